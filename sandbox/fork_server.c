/* What becomes of the fork server's processes. One serves; a replacement warms up beside it before
 * it is let go. When one dies with forks under way, nobody knows which of them came to be: so what
 * it left is killed first, and those starts go cold then; no link ever has two interpreters. */
#include "sandbox/fork_server.h"

#include <stdio.h>
#include <string.h>

#include "protocol/ids.h"
#include "protocol/json.h"
#include "sandbox/log.h"

#define PATIENCE_MS     10000
#define RETRY_FIRST_MS  250
#define RETRY_MOST_MS   60000
#define RETRY_DOUBLINGS 8

/* Starts in the order they came. */
struct line {
    struct start **starts; /* borrowed */
    size_t count, room;
};

struct fork_server {
    struct keeper *keeper;
    char **argv; /* owned array of borrowed words */
    struct parent *parents;
    struct parent *current; /* serves; NULL: none does */
    struct line waiting;    /* for a process that is ready */
    struct line orphans;    /* of processes that died, until what those left is gone */
    struct timer *patience, *retry, *recycle;
    unsigned generation;
    unsigned failures; /* in a row */
    int64_t forks;
    char why[400]; /* the last failure; "" */
    bool ending;
};

static void line_add(struct line *l, struct start *s)
{
    if (l->count == l->room) {
        l->room = l->room ? 2 * l->room : 16;
        l->starts = xrealloc(l->starts, l->room * sizeof *l->starts);
    }
    l->starts[l->count++] = s;
}

/* All of them go cold. They may come back to the line's owner meanwhile: the line is taken first.
 */
static void line_go_cold(struct line *l, const char *why)
{
    struct line old = *l;
    *l = (struct line){0};
    for (size_t n = 0; n < old.count; n++)
        start_cold(old.starts[n], why);
    free(old.starts);
}

static struct parent *in_phase(const struct fork_server *f, enum parent_phase phase)
{
    for (struct parent *p = f->parents; p; p = p->next)
        if (p->phase == phase)
            return p;
    return NULL;
}

/* --- starting one */

static void on_warm(void *data, struct parent *p);
static void on_answer(void *data, struct parent *p, struct start *s, pid_t pid, const char *why);
static void on_stale(void *data, struct parent *p, const char *why);

static void note_failure(struct fork_server *f, const char *why)
{
    unsigned doublings = f->failures < RETRY_DOUBLINGS ? f->failures : RETRY_DOUBLINGS;
    int64_t wait_ms = (int64_t)RETRY_FIRST_MS << doublings;
    f->failures++;
    snprintf(f->why, sizeof f->why, "%s", why);
    timer_start(f->retry, wait_ms < RETRY_MOST_MS ? wait_ms : RETRY_MOST_MS);
    if (!f->current)
        line_go_cold(&f->waiting, f->why);
}

/* Unless one is on its way, or the last has failed just now. */
static void begin_one(struct fork_server *f)
{
    const struct parent_events events = {on_warm, on_answer, on_stale, f};
    struct err e;
    if (f->ending || timer_running(f->retry) || in_phase(f, PARENT_WARMING))
        return;
    struct parent *p = parent_start(f->keeper, f->argv, ++f->generation, &events, &e);
    if (!p) {
        keeper_log("%s", e.text);
        note_failure(f, e.text);
        return;
    }
    p->next = f->parents;
    f->parents = p;
}

static void on_retry(void *data)
{
    begin_one(data);
}

static void on_patience(void *data)
{
    struct fork_server *f = data;
    if (!f->current)
        line_go_cold(&f->waiting, "the fork server is still warming up");
}

static void on_recycle(void *data)
{
    struct fork_server *f = data;
    keeper_log("the fork server is old and is replaced");
    begin_one(f);
}

struct fork_server *fork_server_new(struct keeper *k, char *const *command)
{
    struct fork_server *f = xcalloc(1, sizeof *f);
    size_t count = 0;
    while (command[count])
        count++;
    f->keeper = k;
    f->argv = xcalloc(count + 2, sizeof *f->argv);
    memcpy(f->argv, command, count * sizeof *f->argv);
    f->argv[count] = "--fork-server";
    f->patience = loop_timer(k->loop, on_patience, f);
    f->retry = loop_timer(k->loop, on_retry, f);
    f->recycle = loop_timer(k->loop, on_recycle, f);
    begin_one(f);
    return f;
}

void fork_server_free(struct fork_server *f)
{
    if (!f)
        return;
    while (f->parents) {
        struct parent *p = f->parents;
        f->parents = p->next;
        parent_free(p);
    }
    timer_close(f->patience);
    timer_close(f->retry);
    timer_close(f->recycle);
    free(f->waiting.starts);
    free(f->orphans.starts);
    free(f->argv);
    free(f);
}

/* --- asking */

/* As many as the one that serves takes at a time. */
static void serve_waiting(struct fork_server *f)
{
    struct err e;
    while (f->current && f->waiting.count > 0) {
        struct start *s = f->waiting.starts[0];
        bool wanted = start_is_wanted(s);
        if (wanted && !parent_ask(f->current, s, &e))
            return;
        memmove(f->waiting.starts, f->waiting.starts + 1,
                --f->waiting.count * sizeof *f->waiting.starts);
        if (!wanted)
            start_cold(s, NULL); /* says so */
    }
}

bool fork_server_take(struct fork_server *f, struct start *s, bool patient, struct err *e)
{
    if (!f)
        return fail(e, 503, "this keeper has no fork server");
    if (f->orphans.count > 0)
        return fail(e, 503, "the fork server died and is being replaced");
    bool warming = !f->current && in_phase(f, PARENT_WARMING);
    if (!f->current && !(warming && patient))
        return warming ? fail(e, 503, "the fork server is still warming up")
                       : fail(e, 503, "the fork server failed: %s", f->why);
    if (warming && f->waiting.count == 0)
        timer_start(f->patience, PATIENCE_MS);
    line_add(&f->waiting, s);
    serve_waiting(f);
    return true;
}

/* --- being answered */

static void on_warm(void *data, struct parent *p)
{
    struct fork_server *f = data;
    struct parent *old = f->current;
    f->current = p;
    f->why[0] = '\0';
    timer_stop(f->patience);
    timer_start(f->recycle, f->keeper->options->recycle_age_s * 1000);
    if (old)
        parent_retire(old);
    serve_waiting(f);
}

/* Kills what dead processes left half done, as soon as no living one has forks under way, which
 * look the same; called again whenever something is reaped or answered. */
static void purge(struct fork_server *f)
{
    if (f->orphans.count == 0)
        return;
    for (struct parent *p = f->parents; p; p = p->next)
        if (p->asked_count > 0)
            return;
    if (keeper_kill_strangers(f->keeper) == 0)
        line_go_cold(&f->orphans, "the fork server died while it forked");
}

static void on_answer(void *data, struct parent *p, struct start *s, pid_t pid, const char *why)
{
    struct fork_server *f = data;
    if (pid) {
        f->forks++;
        f->failures = 0;
        start_forked(s, pid);
    } else {
        start_cold(s, why);
    }
    if (p == f->current && p->forks >= f->keeper->options->recycle_forks)
        begin_one(f);
    serve_waiting(f);
    purge(f);
}

static void on_stale(void *data, struct parent *p, const char *why)
{
    struct fork_server *f = data;
    keeper_log("fork server %d is stale: %s", (int)p->pid, why);
    if (p == f->current)
        f->current = NULL;
    parent_retire(p);
    begin_one(f);
}

/* --- its end */

bool fork_server_has(const struct fork_server *f, pid_t pid)
{
    for (struct parent *p = f ? f->parents : NULL; p; p = p->next)
        if (p->pid == pid)
            return true;
    return false;
}

static struct parent *unlink_parent(struct fork_server *f, pid_t pid)
{
    for (struct parent **at = &f->parents; *at; at = &(*at)->next) {
        struct parent *p = *at;
        if (p->pid == pid) {
            *at = p->next;
            return p;
        }
    }
    return NULL;
}

bool fork_server_reap(struct fork_server *f, pid_t pid)
{
    if (!f || !fork_server_has(f, pid))
        return false;
    struct parent *dead = NULL;
    for (struct parent *p = f->parents; p; p = p->next)
        if (p->pid == pid)
            dead = p;
    bool expected = dead->phase == PARENT_RETIRED || f->ending;
    parent_reap(dead);
    unlink_parent(f, pid);
    if (f->current == dead)
        f->current = NULL;
    for (size_t n = 0; n < dead->asked_count; n++)
        line_add(&f->orphans, dead->asked[n].start);
    if (!expected)
        note_failure(f, dead->why);
    parent_free(dead);
    purge(f);
    keeper_settle(f->keeper);
    return true;
}

void fork_server_stranger(struct fork_server *f)
{
    if (f)
        purge(f);
}

void fork_server_end(struct fork_server *f)
{
    if (!f)
        return;
    f->ending = true;
    f->current = NULL;
    timer_stop(f->retry);
    timer_stop(f->recycle);
    line_go_cold(&f->waiting, "the keeper is ending");
    for (struct parent *p = f->parents; p; p = p->next)
        parent_kill(p, "the keeper is ending");
}

bool fork_server_ended(const struct fork_server *f)
{
    return !f || !f->parents;
}

json_t *fork_server_status(const struct fork_server *f)
{
    const struct parent *p = f ? f->current : NULL;
    const char *state = p ? "ready" : "off";
    if (f && !p) {
        p = f->parents; /* on its way in, or out: then it is told soon why */
        state = p ? "starting" : "failed";
    }
    return json_pack("{s:s, s:i, s:i, s:I, s:I, s:s?, s:O?}", "state", state, "pid",
                     p ? (int)p->pid : 0, "generation", p ? (int)p->generation : 0, "forks",
                     (json_int_t)(f ? f->forks : 0), "age_s",
                     (json_int_t)(p ? (monotonic_ms() - p->born_ms) / 1000 : 0), "why",
                     f && f->why[0] ? f->why : NULL, "preloaded", p ? p->preloaded : NULL);
}
