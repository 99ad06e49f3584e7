/* What the followed execution prints, known from where in it one is, and its events, taken apart
 * and checked: numbers without a gap, and every byte. */
#ifndef WARMCELL_TESTS_SOAK_PRINTED_H
#define WARMCELL_TESTS_SOAK_PRINTED_H

#include "protocol/bytes.h"
#include "protocol/err.h"

/* Line N is the first part, N as eight digits, and the second part. The cell that prints it is made
 * in followers.py of the same words. */
#define PRINTED_BEFORE "followers, line "
#define PRINTED_BEHIND " of many, and some more text to make it long enough to matter"

enum printed_form {
    PRINTED_RAW,  /* as it was printed */
    PRINTED_JSON, /* inside of a string: the end of a line is two characters */
    PRINTED_FORMS
};

/* How far one reader is. */
struct printed_place {
    uint64_t events; /* number of the last one that it has */
    uint64_t at;     /* characters of the text behind it, in the form that it reads */
    bool ended;      /* it has the last event */
};

/* How long the whole is. */
uint64_t printed_length(uint64_t lines, enum printed_form form);

/* Takes text that is to follow at place. False: it is not what was printed there. */
bool printed_text(struct printed_place *place, struct bytes text, enum printed_form form,
                  struct err *e);

/* Takes the event that rest begins with, the next one, off rest: {"number":N,"type":…}. Behind the
 * last event nothing is left of rest. */
bool printed_event(struct printed_place *place, struct bytes *rest, struct err *e);

/* Takes a word off rest, which must begin with it. */
bool printed_word(struct bytes *rest, const char *word, struct err *e);

#endif
