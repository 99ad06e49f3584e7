/* What is said to the supervisor of a command and what it answers: datagrams of sandbox/wire.h. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gateway/core/command_run_state.h"

#define TURN_MESSAGES 64

static void finish(struct run_ask *ask, const struct err *e)
{
    if (ask->done)
        ask->done(ask->user, e);
    free(ask);
}

void run_fail_asks(struct command_run *r, const struct err *e)
{
    struct run_ask *ask = r->asks;
    r->asks = NULL;
    while (ask) {
        struct run_ask *next = ask->next;
        finish(ask, e);
        ask = next;
    }
}

void run_ask(struct command_run *r, enum wire_kind kind, json_t *body, int fd,
             void (*done)(void *user, const struct err *e), void *user)
{
    struct err e;
    struct run_ask *ask = xcalloc(1, sizeof *ask);
    *ask = (struct run_ask){r->asks, ++r->last_ask, done, user};
    if (run_log_end(r->log) || r->gate_fd < 0) {
        json_decref(body);
        if (run_log_end(r->log))
            fail(&e, 409, "the command has ended");
        else
            fail(&e, 503, "the command's supervisor cannot be reached now");
        finish(ask, &e);
        return;
    }
    if (!wire_send(r->gate_fd, kind, ask->number, body, &fd, fd >= 0 ? 1 : 0, &e)) {
        finish(ask, &e);
        return;
    }
    r->asks = ask;
}

static void take_answer(struct command_run *r, struct wire_message *m)
{
    struct run_ask **at = &r->asks;
    struct err e;
    while (*at && (*at)->number != m->number)
        at = &(*at)->next;
    struct run_ask *ask = *at;
    if (!ask)
        return;
    *at = ask->next;
    json_int_t status = json_integer_value(json_object_get(m->body, "status"));
    const char *message = json_string_value(json_object_get(m->body, "message"));
    fail(&e, status >= 400 && status < 600 ? (int)status : 503, "%s",
         message ? message : "the command's supervisor refused");
    finish(ask, m->kind == WIRE_OK ? NULL : &e);
}

void run_hear_out(struct command_run *r)
{
    bool more = true;
    while (more && r->asks && r->gate_fd >= 0) {
        struct wire_message m = {0};
        struct err e = {0};
        int got = wire_receive(r->gate_fd, &m, &e);
        if (got > 0 && m.kind != WIRE_COMMAND_NEWS)
            take_answer(r, &m);
        more = got > 0 || (got < 0 && e.status != 0);
        wire_message_free(&m);
    }
}

/* News are looked at once for all that came: that may be the end of r. */
void run_listen(struct command_run *r)
{
    bool news = false, lost = false;
    for (int n = 0; n < TURN_MESSAGES && r->gate_fd >= 0; n++) {
        struct wire_message m = {0};
        struct err e = {0};
        int got = wire_receive(r->gate_fd, &m, &e);
        if (got > 0 && m.kind == WIRE_COMMAND_NEWS)
            news = true;
        else if (got > 0)
            take_answer(r, &m);
        lost = got < 0 && e.status == 0;
        wire_message_free(&m);
        if (got == 0 || lost)
            break;
    }
    if (lost)
        run_lose_gate(r);
    else if (news)
        run_look(r);
}

/* --- what callers ask */

/* A memory that holds the bytes; -1: 503. */
static int memory_of(struct bytes text, struct err *e)
{
    int fd = memfd_create("warmcell stdin", MFD_CLOEXEC);
    while (fd >= 0 && text.len) {
        ssize_t wrote = write(fd, text.data, text.len);
        if (wrote <= 0) {
            close(fd);
            fd = -1;
            break;
        }
        text = (struct bytes){text.data + wrote, text.len - (size_t)wrote};
    }
    if (fd < 0)
        fail_errno(e, 503, "the bytes for the command cannot be kept");
    return fd;
}

void command_run_feed(struct command_run *r, struct bytes input, bool ends,
                      void (*done)(void *user, const struct err *e), void *user)
{
    struct err e;
    int fd = -1;
    if (input.len && (fd = memory_of(input, &e)) < 0) {
        done(user, &e);
        return;
    }
    run_ask(r, WIRE_COMMAND_STDIN, json_pack("{s:b}", "eof", ends), fd, done, user);
    if (fd >= 0)
        close(fd);
}

void command_run_signal(struct command_run *r, int number,
                        void (*done)(void *user, const struct err *e), void *user)
{
    run_ask(r, WIRE_COMMAND_SIGNAL, json_pack("{s:i}", "signal", number), -1, done, user);
}
