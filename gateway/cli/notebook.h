/* Code to run, out of a script or a notebook. */
#ifndef WARMCELL_GATEWAY_CLI_NOTEBOOK_H
#define WARMCELL_GATEWAY_CLI_NOTEBOOK_H

#include "protocol/bytes.h"
#include "protocol/err.h"

#define NOTEBOOK_LIMIT_BYTES (64 * 1024 * 1024)

/* Pieces of code in their order; all owned. */
struct code {
    char **cell;
    size_t count;
    bool notebook;
    char *language; /* of the notebook's kernelspec; NULL: it does not say */
};

/* text is a notebook (its code cells, those that are blank left out) when it is a JSON object that
 * has "cells", else a script. CLI_FAILED: named as a notebook and none, or not UTF-8. */
bool code_of(struct bytes text, const char *name, struct code *out, struct err *e);
void code_free(struct code *c);

#endif
