/* A fuzz target defines fuzz_one(). It is built twice: with corpus_main.c, which runs it over its
 * corpus as an ordinary test, and, with -Dfuzz=true, with libfuzzer_main.c. */
#ifndef WARMCELL_TESTS_FUZZ_H
#define WARMCELL_TESTS_FUZZ_H

#include <stdio.h>
#include <stdlib.h>

#include "protocol/bytes.h"
#include "protocol/err.h"
#include "protocol/utf8.h"

/* Gives input, which ends where its memory ends, to the parser and checks what must hold of the
 * outcome. True: the parser accepted it. */
bool fuzz_one(struct bytes input);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* What holds of every refusal of a parser; returns false. */
static inline bool refused(const struct err *e)
{
    REQUIRE(e->status == 400 || e->status == 401 || e->status == 413);
    REQUIRE(e->text[0] && utf8_valid(bytes_of(e->text)) && !strchr(e->text, '\n'));
    return false;
}

/* part is a run of whole's bytes (or empty). */
static inline bool lies_in(struct bytes part, struct bytes whole)
{
    return part.len == 0 || (part.data >= whole.data && part.len <= whole.len &&
                             part.data + part.len <= whole.data + whole.len);
}

#endif
