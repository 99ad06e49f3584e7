/* Languages that have no kernel: their programs are compiled and run by commands in a sandbox, with
 * what is installed on this machine. The table says which package has it. */
#ifndef WARMCELL_GATEWAY_LAUNCH_TOOLCHAIN_H
#define WARMCELL_GATEWAY_LAUNCH_TOOLCHAIN_H

#include <stdbool.h>
#include <stddef.h>

/* A row; all of it is constant. */
struct toolchain {
    const char *name;           /* "cpp" */
    const char *title;          /* for people: "C++" */
    const char *program;        /* what compiles, or runs, a source: "g++" */
    const char *package;        /* Debian's that has it */
    const char *mime_type;      /* of a source, as the next */
    const char *file_extension; /* ".cpp" */
};

const struct toolchain *toolchain_at(size_t index);       /* NULL ends the table */
const struct toolchain *toolchain_find(const char *name); /* NULL: there is none */
/* Its program is where commands in sandboxes look for theirs. */
bool toolchain_is_there(const struct toolchain *t);

#endif
