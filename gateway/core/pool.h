/* Pools: kernels and sandboxes that stand ready before they are asked for. The inside of the core.
 *
 * Two are always there: kernels of the default kind for the owner, and sandboxes as they are by
 * default. Each other one is of sandboxes that have something else from their fork on, for which
 * there is demand or whose template asks for it. */
#ifndef WARMCELL_GATEWAY_CORE_POOL_H
#define WARMCELL_GATEWAY_CORE_POOL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/launch/environment.h"
#include "gateway/net/principal.h"

#define POOLS_MOST      16          /* besides the two; and so many labels in /metrics at most */
#define POOLS_EACH      3           /* of a principal who has keepers of their own */
#define POOLS_WINDOW_MS (60 * 1000) /* two that are asked for within it are a demand */

struct core;
struct kernel;
struct kernel_request;
struct language;
struct sandbox;
struct sandbox_request;
struct template;

struct pool {
    struct pool *next;
    const char *label; /* in /metrics; several may have one: borrowed of `template`, or constant */
    bool fixed;        /* one of the two */

    /* What its sandboxes have from their fork on; all owned; NULL, 0: as is usual. */
    char *principal;  /* whose keeper they live in */
    char *template;   /* the id of the one that they are made from */
    uint64_t version; /* of that */
    json_t *made_from, *network, *preload;
    const struct language *language;
    bool best_effort, shares_keeper;

    size_t least, most;         /* as its template says */
    bool shown;                 /* there is a demand, or least is not 0; else it is only counted */
    int64_t asked_ms;           /* when last */
    size_t wanted;              /* by its demand, within its bounds */
    size_t target;              /* how many shall be ready: as many as there is room for */
    double demand;              /* takes in two intervals, fading */
    size_t takes, takes_before; /* in this interval, in the one before */
    int64_t delay_ms;           /* grows while starts fail */
    int64_t not_before_ms;
    uint64_t hits, misses;
};

/* --- pools.c: which there are */
void pools_init(struct core *c);
void pools_free(struct core *c); /* but the two */
/* The one that a request of who could be answered from. NULL: it asks for a cold one, its template
 * has changed since it was looked up, or there are too many already. */
struct pool *pools_for(struct core *c, const struct principal *who,
                       const struct sandbox_request *request);
/* Where a template asks for sandboxes without a demand its pool begins. */
void pools_template_came(struct core *c, const struct template *t);
/* All pools of the template of this id end with what stands in them. */
void pools_template_gone(struct core *c, const char *id);
/* The one that a sandbox of an earlier gateway's pool may stand in; NULL: it is of no use. */
struct pool *pools_of_earlier(struct core *c, const struct sandbox *s);
void pools_forget_unwanted(struct core *c, int64_t now_ms);

/* --- pool.c */
void pool_refill(struct core *c);
void pool_tick(struct core *c, int64_t now_ms);
/* One of it could not be started; NULL: of none. */
void pool_failed(struct pool *p);
/* Ends a kernel of the pool with the gateway: nobody has it. */
void pool_end(struct kernel *k);
size_t pool_count(const struct core *c, const struct pool *p); /* those on their way, too */
size_t pool_ready(const struct core *c, const struct pool *p); /* could be handed out now */
struct pool *pool_of(const struct kernel *k);                  /* NULL: it left its pool */
/* Hands out a kernel of the pool that fits; done is called as by kernels_start. False: none fits.
 */
bool pool_take(struct core *c, const struct kernel_request *request, const struct environment *env,
               const char *cwd, void (*done)(void *user, struct kernel *k, const struct err *e),
               void *user);
/* A sandbox of the pool becomes its taker's. NULL: none is ready, or p is NULL. */
struct sandbox *pool_take_sandbox(struct core *c, struct pool *p);

#endif
