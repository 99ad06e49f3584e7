/* Patterns for paths: `*` and `?` and `[a-z]`, `[!a-z]` stand for characters of a name, `**` as a
 * whole part for any number of folders. What begins with a dot is matched only by a part that does,
 * as in a shell. A backslash takes a character's power away. */
#ifndef WARMCELL_GATEWAY_FILES_GLOB_H
#define WARMCELL_GATEWAY_FILES_GLOB_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol/err.h"

#define GLOB_PARTS_MOST 60
#define GLOB_BYTES_MOST 1024

struct glob;

/* 400: empty, longer than GLOB_BYTES_MOST, a part "." or "..", more than GLOB_PARTS_MOST parts, or
 * a "[" without its "]". */
struct glob *glob_new(const char *pattern, struct err *e);
void glob_free(struct glob *g);

struct glob_answer {
    bool matches; /* the path itself */
    bool below;   /* something below it may */
};

/* path is clean (path.h). The work is bounded by the product of both lengths. */
struct glob_answer glob_look(const struct glob *g, const char *path);
/* That product: what a look at the path may cost. */
size_t glob_cost(const struct glob *g, const char *path);

#endif
