/* What a Node executable is: asked of itself. */
#ifndef WARMCELL_GATEWAY_NODE_H
#define WARMCELL_GATEWAY_NODE_H

#include "protocol/err.h"
#include "protocol/memory.h"

/* Owned strings. */
struct node {
    char *executable; /* absolute */
    char *version;    /* "20.11.1" */
};

/* Runs name (a path, or a name on PATH) and checks that it is a Node that the driver of JavaScript
 * runs on (kernel/node/). 400: a sentence with the remedy. */
bool node_probe(const char *name, struct node *out, struct err *e);
void node_free(struct node *n);
static inline void node_scoped(struct node *n)
{
    node_free(n);
}

#endif
