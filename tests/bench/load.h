/* Many connections, each with one request under way, until a time is over: what the load programs
 * share. An answer counts when its status is 200 and its body is as long as its Content-Length;
 * anything else ends the program with 1, for an error is no measurement. */
#ifndef WARMCELL_BENCH_LOAD_H
#define WARMCELL_BENCH_LOAD_H

#include <stddef.h>

#define LOAD_ANSWER_LIMIT_BYTES 65536

struct load_connection {
    int fd;
    size_t len; /* bytes of the answer so far */
    char answer[LOAD_ANSWER_LIMIT_BYTES + 1];
    void *user;
};

struct load {
    void (*ask)(struct load_connection *c); /* sends the next request, by load_send */
    void (*check)(const char *body);        /* a text; NULL: any will do */
};

_Noreturn void load_die(const char *what); /* with what errno says */
void load_send(const struct load_connection *c, const char *text, size_t len);

/* Until so many seconds are over, which *took tells exactly. Returns how many answers came. */
unsigned long load_run(const struct load *load, struct load_connection *all, int count,
                       double seconds, double *took);

#endif
