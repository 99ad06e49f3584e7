/* Each request to warmcell-pasta has a number of its own, so that an answer that comes too late is
 * nobody's. */
#include "sandbox/opening.h"

#include <string.h>

#include "protocol/ids.h"
#include "sandbox/pasta.h"
#include "sandbox/world.h"

struct opening {
    uint32_t number;
    int64_t due_ms;
    struct open_waiter *waiters;
    struct err refused; /* status 0: it was not */
};

struct open_waiter {
    struct open_waiter *next;
    uint32_t asker; /* its serial: it may have left */
    uint32_t number;
    bool created;
};

bool opening_begin(struct sandbox *s, struct err *e)
{
    static uint32_t last; /* a keeper has one thread */
    struct keeper *k = s->keeper;
    uid_t owner = world_has_uids(k->world) ? k->options->first_uid : 0;
    if (!pasta_open(k->pasta, ++last, s->id, owner, &s->boundary, e))
        return false;
    s->opening = xcalloc(1, sizeof *s->opening);
    *s->opening = (struct opening){.number = last, .due_ms = monotonic_ms() + PASTA_MOST_MS};
    return true;
}

void opening_wait(struct sandbox *s, struct asker *a, uint32_t number, bool created)
{
    struct open_waiter *w = xcalloc(1, sizeof *w);
    *w = (struct open_waiter){s->opening->waiters, a->serial, number, created};
    s->opening->waiters = w;
}

/* why NULL: it is open. */
static void settle(struct sandbox *s, const struct err *why)
{
    struct opening *o = take(&s->opening);
    while (o && o->waiters) {
        struct open_waiter *w = o->waiters;
        struct asker *a = asker_of(s->keeper, w->asker);
        o->waiters = w->next;
        if (a && why)
            asker_fail(a, w->number, why);
        else if (a)
            asker_tell(a, WIRE_OK, w->number, sandbox_opened(s, w->created));
        free(w);
    }
    free(o);
}

void opening_drop(struct sandbox *s)
{
    struct err why = s->opening ? s->opening->refused : (struct err){0};
    if (!why.status)
        fail(&why, 503, "%s",
             s->breach ? s->breach : "the sandbox ended before its network was there");
    settle(s, &why);
}

static void refuse(struct sandbox *s, const struct err *why)
{
    s->opening->refused = *why;
    sandbox_end(s);
}

static struct sandbox *of_number(const struct keeper *k, uint32_t number)
{
    for (struct sandbox *s = k->sandboxes; s; s = s->next)
        if (s->opening && s->opening->number == number)
            return s;
    return NULL;
}

bool openings_hear(struct keeper *k)
{
    uint32_t number;
    struct err why;
    int got;
    while ((got = pasta_hear(k->pasta, &number, &why)) > 0) {
        struct sandbox *s = of_number(k, number);
        if (!s || s->ending)
            continue;
        if (why.status)
            refuse(s, &why);
        else
            settle(s, NULL);
    }
    return got == 0;
}

void openings_check(struct keeper *k)
{
    struct err why;
    int64_t now_ms = monotonic_ms();
    fail(&why, 503, "network: the way out did not open within %d s", PASTA_MOST_MS / 1000);
    for (struct sandbox *s = k->sandboxes; s; s = s->next)
        if (s->opening && !s->ending && now_ms > s->opening->due_ms)
            refuse(s, &why);
}
