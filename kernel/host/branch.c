/* The giving end of a branch: fetches the other host's descriptors and hands them to the
 * interpreter. One at a time; nothing is dispatched meanwhile, so that the fork falls between two
 * requests. */
#include "kernel/host/branch.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel/host/kernel.h"
#include "kernel/host/reach.h"
#include "sandbox/wire.h"

#define BRANCH_WAIT_MS 10000

struct branch {
    struct kernel *kernel;
    struct outcome outcome;
    uint64_t number;
    bool force, asked;
    int fd; /* to the other host */
    struct watch *watch;
    struct timer *timer;
};

/* Ends it; why NULL: there is a second interpreter. */
static void finish(struct kernel *k, int status, const char *why)
{
    struct branch *b = take(&k->branch);
    if (why)
        wire_send(b->fd, WIRE_FAILED, 0, json_pack("{s:s}", "message", why), NULL, 0,
                  &(struct err){0});
    watch_close(b->watch);
    close(b->fd);
    timer_close(b->timer);
    outcome_tell(&b->outcome, !why, why ? status : 200, why ? why : "");
    free(b);
    if (k->interpreter)
        kernel_dispatch(k);
}

void branch_fail(struct kernel *k, const char *why)
{
    if (k->branch)
        finish(k, 503, why);
}

static void on_overdue(void *data)
{
    branch_fail(((struct branch *)data)->kernel, "the interpreter did not fork in time");
}

static void ask_interpreter(struct branch *b, const struct wire_message *m)
{
    struct kernel *k = b->kernel;
    static const char *const parts[] = {"{\"force\":false}", "{\"force\":true}"};
    struct bytes part = bytes_of(parts[b->force]);
    struct link_frame frame = {
        .kind = LINK_BRANCH, .number = b->number, .parts = &part, .part_count = 1};
    b->asked = true;
    if (!interpreter_send_fds(k->interpreter, &frame, m->fds, m->fd_count))
        branch_fail(k, "the interpreter does not read");
}

static void on_other_host(void *data, uint32_t events)
{
    struct branch *b = data;
    struct wire_message m;
    struct err e;
    (void)events;
    int got = wire_receive(b->fd, &m, &e);
    if (got == 0)
        return;
    if (got < 0 && b->asked) { /* it has what it waited for, and the interpreter will say so */
        watch_close(take(&b->watch));
        return;
    }
    if (got < 0 || m.kind != WIRE_BRANCH || m.fd_count != BRANCH_FDS || b->asked) {
        wire_message_free(&m);
        branch_fail(b->kernel, "the other host went away");
        return;
    }
    ask_interpreter(b, &m);
    wire_message_free(&m);
}

static bool may_branch(const struct kernel *k, struct err *e)
{
    if (k->phase != PHASE_READY || !k->interpreter)
        return fail(e, 409, "the kernel is not ready");
    if (k->running || k->queue.first || k->branch || k->transfer)
        return fail(e, 409, "the kernel is busy: it can be forked between two executions");
    if (!k->branches)
        return fail(e, 409, "this kernel's interpreter cannot be forked");
    return true;
}

void branch_begin(struct kernel *k, struct bytes json, struct outcome outcome)
{
    struct err e;
    const char *to = NULL;
    bool force = false;
    scoped(json) json_t *body = json_parse_object(json, "BRANCH", 64 * 1024, &e);
    int fd = -1;
    if (body && field_str(body, "to", REQUIRED, &to, &e) &&
        field_bool(body, "force", OPTIONAL, &force, &e) && may_branch(k, &e))
        fd = reach(to, SOCK_SEQPACKET | SOCK_NONBLOCK, &e);
    if (fd < 0) {
        outcome_tell(&outcome, false, e.status, e.text);
        return;
    }
    struct branch *b = k->branch = xcalloc(1, sizeof *b);
    *b = (struct branch){
        .kernel = k, .outcome = outcome, .number = ++k->last_number, .force = force, .fd = fd};
    b->watch = loop_watch(k->loop, fd, EPOLLIN, on_other_host, b);
    b->timer = loop_timer(k->loop, on_overdue, b);
    timer_start(b->timer, BRANCH_WAIT_MS);
}

void branch_answered(struct kernel *k, const struct link_frame *frame)
{
    struct err e;
    int64_t status = 503;
    bool done = false;
    const char *why = "the interpreter did not say why";
    if (!k->branch || k->branch->number != frame->number)
        return;
    scoped(json) json_t *body = json_parse_object(
        frame->part_count ? frame->parts[0] : (struct bytes){0}, "BRANCHED", 64 * 1024, &e);
    if (body) {
        field_bool(body, "ok", OPTIONAL, &done, NULL);
        field_int(body, "status", OPTIONAL, 400, 599, &status, NULL);
        field_str(body, "message", OPTIONAL, &why, NULL);
    }
    finish(k, (int)status, done ? NULL : why);
}
