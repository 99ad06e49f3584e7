/* The host's part of a snapshot: nothing but the connection, which it makes because the interpreter
 * may be confined. One at a time; nothing is dispatched meanwhile, so that it falls between two
 * requests. What runs for too long there is interrupted, as any request is. */
#include "kernel/host/transfer.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel/host/kernel.h"
#include "kernel/host/reach.h"

#define LIMIT_MOST_S 3600
#define GRACE_MS     5000 /* after the interrupt */

struct transfer {
    struct kernel *kernel;
    struct outcome outcome;
    uint64_t number;
    struct timer *timer;
    bool interrupted;
};

static void finish(struct kernel *k, int status, const char *why)
{
    struct transfer *t = take(&k->transfer);
    timer_close(t->timer);
    outcome_tell(&t->outcome, !why, why ? status : 200, why ? why : "");
    free(t);
    if (k->interpreter)
        kernel_dispatch(k);
}

void transfer_fail(struct kernel *k, const char *why)
{
    if (k->transfer)
        finish(k, 503, why);
}

static void on_overdue(void *data)
{
    struct transfer *t = data;
    struct kernel *k = t->kernel;
    if (t->interrupted) {
        transfer_fail(k, "the interpreter did not end it in time");
        return;
    }
    t->interrupted = true;
    interpreter_interrupt(k->interpreter, 0);
    timer_start(t->timer, GRACE_MS);
}

static bool may_transfer(const struct kernel *k, struct err *e)
{
    if (k->phase != PHASE_READY || !k->interpreter)
        return fail(e, 409, "the kernel is not ready");
    if (k->running || k->queue.first || k->branch || k->transfer)
        return fail(e, 409, "the kernel is busy");
    if (!k->snapshots)
        return fail(e, 409, "this kernel's interpreter has no snapshots");
    return true;
}

void transfer_begin(struct kernel *k, enum link_kind kind, struct bytes json,
                    struct outcome outcome)
{
    struct err e;
    const char *to = NULL;
    int64_t limit_s = LIMIT_MOST_S;
    scoped(json) json_t *body = json_parse_object(json, "SAVE_KERNEL", 64 * 1024, &e);
    int fd = -1;
    if (body && field_str(body, "to", REQUIRED, &to, &e) &&
        field_int(body, "limit_s", OPTIONAL, 1, LIMIT_MOST_S, &limit_s, &e) && may_transfer(k, &e))
        fd = reach(to, SOCK_STREAM, &e);
    if (fd < 0) {
        outcome_tell(&outcome, false, e.status, e.text);
        return;
    }
    struct transfer *t = k->transfer = xcalloc(1, sizeof *t);
    *t = (struct transfer){.kernel = k, .outcome = outcome, .number = ++k->last_number};
    t->timer = loop_timer(k->loop, on_overdue, t);
    timer_start(t->timer, limit_s * 1000);
    struct link_frame frame = {.kind = (uint8_t)kind, .number = t->number};
    if (!interpreter_send_fds(k->interpreter, &frame, &fd, 1))
        transfer_fail(k, "the interpreter does not read");
    close(fd);
}

void transfer_answered(struct kernel *k, const struct link_frame *frame)
{
    struct err e;
    bool done = false;
    const char *why = "the interpreter did not say why";
    if (!k->transfer || k->transfer->number != frame->number)
        return;
    scoped(json) json_t *body = json_parse_object(
        frame->part_count ? frame->parts[0] : (struct bytes){0}, "SAVED", 64 * 1024, &e);
    if (body) {
        field_bool(body, "ok", OPTIONAL, &done, NULL);
        field_str(body, "message", OPTIONAL, &why, NULL);
    }
    finish(k, 502, done ? NULL : why);
}
