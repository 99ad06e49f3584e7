/* What a Python executable is: asked of itself. */
#ifndef WARMCELL_GATEWAY_PYTHON_H
#define WARMCELL_GATEWAY_PYTHON_H

#include "protocol/err.h"
#include "protocol/memory.h"

/* Owned strings. */
struct python {
    char *executable; /* absolute; links are not followed, because a venv is one */
    char *prefix;     /* sys.prefix */
    char *version;    /* "3.11.7" */
};

/* Runs name (a path, or a name on PATH) and checks that it is Python 3 and can import IPython. 400:
 * a sentence with the remedy. */
bool python_probe(const char *name, struct python *out, struct err *e);
void python_free(struct python *p);
static inline void python_scoped(struct python *p)
{
    python_free(p);
}

#endif
