/* Completion, inspection, and whether code is whole: asked of bash itself. */
#ifndef WARMCELL_KERNEL_BASH_TOOLS_H
#define WARMCELL_KERNEL_BASH_TOOLS_H

#include "kernel/bash/shell_process.h"

/* As struct driver_language has them. */
json_t *tools_complete(struct shell *s, const struct driver_question *q, size_t *start,
                       size_t *end);
json_t *tools_inspect(struct shell *s, const struct driver_question *q);

/* What bash says of code that it cannot parse, from "line N: " on; "" when it finds nothing.
 * Given. */
char *tools_syntax_error(const char *bash, const char *code);

/* By `bash -n` of the bash at that path, in a process of its own. */
json_t *tools_is_whole(const char *bash, const char *code);

#endif
