/* Notices that a gateway has not been used for long, for one that shall end then (--idle-exit). */
#ifndef WARMCELL_GATEWAY_IDLE_H
#define WARMCELL_GATEWAY_IDLE_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

/* Who is asked, and told; each gets user. */
struct idle_words {
    bool (*in_use)(void *user);
    uint64_t (*uses)(void *user); /* how often it was used so far: short uses between two looks */
    void (*on_idle)(void *user);  /* it was not used for idle_s; told at each look from then on */
};

struct idle {
    uv_timer_t timer; /* data is NULL: not watching */
    const struct idle_words *words;
    void *user;
    int64_t idle_ms;     /* may change at any time; 0: at the next look */
    int64_t last_use_ms; /* monotonic */
    uint64_t uses;
};

/* Looks once a second; the time begins now. words and user are borrowed. */
void idle_watch(struct idle *i, uv_loop_t *loop, int64_t idle_s, const struct idle_words *words,
                void *user);

/* Leaves the loop; of one that does not watch, nothing. */
void idle_close(struct idle *i);

#endif
