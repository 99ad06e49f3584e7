/* Sandboxes made ahead. They are in the keeper's list as all others are, marked `spare`, and end as
 * all others do; they count for nobody.
 *
 * Invariant: a spare one has no asker, no process but its init, and the limits by which it was
 * made. */
#include "sandbox/stock.h"

#include <errno.h>
#include <string.h>

#include "protocol/ids.h"
#include "sandbox/log.h"
#include "sandbox/start.h"

#define QUIET_MS 12    /* after a question: what somebody waits for comes first */
#define PAUSE_MS 5     /* from one to the next: making one takes some milliseconds */
#define RETRY_MS 60000 /* after one could not be made */

struct stock {
    struct keeper *keeper;
    size_t size;
    struct timer *timer;
};

size_t stock_count(const struct keeper *k)
{
    size_t count = 0;
    for (struct sandbox *s = k->sandboxes; s; s = s->next)
        count += s->spare && !s->ending;
    return count;
}

static void on_due(void *data)
{
    struct stock *stock = data;
    struct keeper *k = stock->keeper;
    struct err e;
    if (k->ending || k->draining || stock_count(k) >= stock->size)
        return;
    if (sandbox_make_spare(k, &e)) {
        timer_start(stock->timer, PAUSE_MS);
        return;
    }
    keeper_log("no sandbox ahead: %s", e.text);
    timer_start(stock->timer, RETRY_MS);
}

struct stock *stock_new(struct keeper *k, size_t size)
{
    struct stock *stock = xcalloc(1, sizeof *stock);
    *stock = (struct stock){.keeper = k, .size = size};
    stock->timer = loop_timer(k->loop, on_due, stock);
    timer_start(stock->timer, QUIET_MS);
    return stock;
}

void stock_free(struct stock *stock)
{
    if (!stock)
        return;
    timer_close(stock->timer);
    free(stock);
}

void stock_yield(struct stock *stock)
{
    if (stock)
        timer_start(stock->timer, QUIET_MS);
}

void stock_release_uid(struct keeper *k, uid_t uid)
{
    for (struct sandbox *s = k->sandboxes; s; s = s->next)
        if (s->spare && s->uid == uid)
            sandbox_end(s);
}

/* What was fixed as it was made. */
static bool fits(const struct sandbox *s, const struct limits *limits)
{
    return s->spare && !s->ending && share_limits(s->share)->tmp_bytes == limits->tmp_bytes;
}

/* Who clears the state folder may have taken the one that was made ahead. */
static bool adopt_folder(struct sandbox *s, const char *id)
{
    if (boundary_rename(s->keeper->world, s->id, id))
        return true;
    if (errno == ENOENT)
        sandbox_end(s);
    return false;
}

struct sandbox *stock_take(struct stock *stock, const char *id, int64_t uid,
                           const struct limits *limits)
{
    struct sandbox *s = stock && !uid ? stock->keeper->sandboxes : NULL;
    while (s && !(fits(s, limits) && adopt_folder(s, id)))
        s = s->next;
    if (!s)
        return NULL;
    struct err e;
    bool usual = memcmp(share_limits(s->share), limits, sizeof *limits) == 0;
    if (!usual && !share_change(s->share, limits, &e)) {
        boundary_rename(stock->keeper->world, id, s->id);
        return NULL;
    }
    share_rename(s->share, id);
    free(s->id);
    s->id = xstrdup(id);
    s->spare = false;
    stock->keeper->sandbox_count++;
    return s;
}
