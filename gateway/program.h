/* What the program of a language is: asked of itself. */
#ifndef WARMCELL_GATEWAY_PROGRAM_H
#define WARMCELL_GATEWAY_PROGRAM_H

#include "gateway/launch/language.h"
#include "protocol/err.h"
#include "protocol/memory.h"

/* Owned strings. */
struct program {
    char *executable; /* absolute */
    char *version;    /* "20.11.1" */
};

/* Runs name (a path, or a name on PATH; NULL: the language's own) with --version, and checks that
 * the driver of the language runs on it. 400: a sentence with the remedy. */
bool program_probe(const struct language *l, const char *name, struct program *out, struct err *e);
void program_free(struct program *p);
static inline void program_scoped(struct program *p)
{
    program_free(p);
}

#endif
