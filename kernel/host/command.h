/* Which command starts the interpreter. */
#ifndef WARMCELL_KERNEL_HOST_COMMAND_H
#define WARMCELL_KERNEL_HOST_COMMAND_H

#include "kernel/host/options.h"
#include "protocol/memory.h"

/* Owned. */
struct command {
    char **argv;    /* NULL at the end */
    char *embedded; /* the Python that warmcell-python is to serve; NULL: it is another program */
    char *python_version; /* "3.11.7", "3.11", or NULL: not Python */
};

/* The command of --driver, or warmcell-python for the Python of --python, VIRTUAL_ENV or PATH;
 * where that Python is of another version than warmcell-python was built with, "EXE -m
 * warmcell_kernel". 503: no Python. Sets PYTHONPATH of this process where the module is not
 * installed. */
bool command_find(const struct options *options, struct command *out, struct err *e);
void command_free(struct command *command);
static inline void command_scoped(struct command *command)
{
    command_free(command);
}

#endif
