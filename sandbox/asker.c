/* Askers: each datagram is looked up in a table and answered by one function. Whatever is wrong
 * with one is said in FAILED, and the next is read. Invariant: an asker that has left is told
 * nothing, holds nothing, and is freed only when no caller up the stack can still use it. */
#include "sandbox/asker.h"

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "protocol/json.h"
#include "sandbox/opening.h"
#include "sandbox/port.h"
#include "sandbox/proxy.h"
#include "sandbox/sandbox.h"
#include "sandbox/start.h"
#include "sandbox/stock.h"

#define DATAGRAMS_A_TURN 16

static void send_to(struct asker *a, uint32_t kind, uint32_t number, json_t *body, const int *fds,
                    size_t count);

static bool answer_open(struct asker *a, struct wire_message *m, struct err *e)
{
    bool created;
    if (a->keeper->draining || a->keeper->ending)
        return fail(e, 503, "the keeper is ending");
    struct sandbox *s = sandbox_open(a, m->body, &created, e);
    if (s && s->opening)
        opening_wait(s, a, m->number, created);
    else if (s)
        asker_tell(a, WIRE_OK, m->number, sandbox_opened(s, created));
    return s != NULL;
}

/* The one that the body names; NULL: e. */
static struct sandbox *named(struct asker *a, struct wire_message *m, struct err *e)
{
    const char *id;
    return field_str(m->body, "sandbox", REQUIRED, &id, e) ? sandbox_find(a->keeper, id, e) : NULL;
}

static bool answer_usage(struct asker *a, struct wire_message *m, struct err *e)
{
    struct sandbox *s = named(a, m, e);
    if (s)
        asker_tell(a, WIRE_OK, m->number, share_usage(s->share));
    return s != NULL;
}

static bool answer_cause(struct asker *a, struct wire_message *m, struct err *e)
{
    struct sandbox *s = named(a, m, e);
    if (s)
        asker_tell(a, WIRE_OK, m->number, sandbox_cause(s));
    return s != NULL;
}

static bool answer_rename(struct asker *a, struct wire_message *m, struct err *e)
{
    const char *to;
    struct sandbox *s = named(a, m, e);
    if (!s || !field_str(m->body, "to", REQUIRED, &to, e) || !sandbox_rename(s, to, e))
        return false;
    asker_tell(a, WIRE_OK, m->number, NULL);
    return true;
}

/* What is just ending has no ports any more. NULL: e. */
static const int *named_network(struct asker *a, struct wire_message *m, struct sandbox **out,
                                struct err *e)
{
    struct sandbox *s = *out = named(a, m, e);
    const int *namespaces = s ? sandbox_namespaces(s) : NULL;
    if (s && !namespaces)
        fail(e, 501, "ports: the sandbox has no network of its own on this machine");
    else if (s && s->ending)
        fail(e, 409, "the sandbox is just ending");
    else
        return namespaces;
    return NULL;
}

static bool answer_connect(struct asker *a, struct wire_message *m, struct err *e)
{
    int64_t port = 0, family = 4;
    struct sandbox *s;
    const int *namespaces = named_network(a, m, &s, e);
    bool connected;
    if (!namespaces || !field_int(m->body, "port", REQUIRED, 1, 65535, &port, e) ||
        !field_int(m->body, "family", OPTIONAL, 4, 6, &family, e))
        return false;
    int fd = port_connect(namespaces, (uint16_t)port, family == 6, &connected, e);
    if (fd < 0)
        return false;
    asker_tell_fd(a, WIRE_OK, m->number, json_pack("{s:b}", "connected", connected), fd);
    close(fd);
    return true;
}

static bool answer_ports(struct asker *a, struct wire_message *m, struct err *e)
{
    int fds[PORT_TABLES];
    struct sandbox *s;
    const int *namespaces = named_network(a, m, &s, e);
    if (!namespaces || !port_tables(namespaces, fds, e))
        return false;
    json_t *own = s->proxied ? json_pack("[i]", PROXY_PORT) : json_array();
    send_to(a, WIRE_OK, m->number, json_pack("{s:o}", "own", own), fds, PORT_TABLES);
    for (size_t n = 0; n < PORT_TABLES; n++)
        close(fds[n]);
    return true;
}

static bool answer_limits(struct asker *a, struct wire_message *m, struct err *e)
{
    struct sandbox *s = named(a, m, e);
    json_t *asked = NULL;
    if (!s || !field_object(m->body, "limits", REQUIRED, &asked, e))
        return false;
    struct limits limits = *share_limits(s->share);
    if (!limits_read(asked, &limits, e) || !share_change(s->share, &limits, e))
        return false;
    for (struct start *start = a->keeper->starts; start; start = start->next)
        if (start->sandbox == s && start->pid > 0)
            share_press(s->share, start->pid);
    asker_tell(a, WIRE_OK, m->number,
               json_pack("{s:o, s:o}", "limits", limits_json(&limits), "enforced",
                         share_enforced(s->share)));
    return true;
}

static bool answer_close(struct asker *a, struct wire_message *m, struct err *e)
{
    struct sandbox *s = named(a, m, e);
    if (!s)
        return false;
    sandbox_wait_for_end(s, a, m->number);
    sandbox_end(s);
    return true;
}

/* Everything that this connection had started, wherever it is by now. */
static void kill_own(struct asker *a, uint32_t number)
{
    for (struct start *s = a->keeper->starts; s; s = s->next)
        if (s->asker == a)
            start_kill(s);
    keeper_sweep(a->keeper, a->serial, number);
}

static bool answer_kill(struct asker *a, struct wire_message *m, struct err *e)
{
    if (!json_object_get(m->body, "sandbox")) {
        kill_own(a, m->number);
        return true;
    }
    struct sandbox *s = named(a, m, e);
    if (!s || !sandbox_kill(s, e))
        return false;
    asker_tell(a, WIRE_OK, m->number, NULL);
    return true;
}

static bool answer_start(struct asker *a, struct wire_message *m, struct err *e)
{
    return start_begin(a, m, e);
}

static bool answer_status(struct asker *a, struct wire_message *m, struct err *e)
{
    (void)e;
    asker_tell(a, WIRE_OK, m->number, keeper_status(a->keeper));
    return true;
}

static bool answer_end(struct asker *a, struct wire_message *m, struct err *e)
{
    bool drain = false;
    if (!field_bool(m->body, "drain", OPTIONAL, &drain, e))
        return false;
    if (drain) {
        asker_tell(a, WIRE_OK, m->number, NULL);
        keeper_drain(a->keeper);
        return true;
    }
    a->waits_for_end = true;
    a->end_number = m->number;
    keeper_end(a->keeper);
    return true;
}

/* An answer that is false has filled e; one that is true has answered, or will. */
static const struct {
    uint32_t kind;
    bool (*answer)(struct asker *a, struct wire_message *m, struct err *e);
} rows[] = {
    {WIRE_OPEN, answer_open},     {WIRE_START, answer_start},     {WIRE_USAGE, answer_usage},
    {WIRE_LIMITS, answer_limits}, {WIRE_CLOSE, answer_close},     {WIRE_STATUS, answer_status},
    {WIRE_END, answer_end},       {WIRE_KILL, answer_kill},       {WIRE_CAUSE, answer_cause},
    {WIRE_RENAME, answer_rename}, {WIRE_CONNECT, answer_connect}, {WIRE_PORTS, answer_ports},
};

static void answer(struct asker *a, struct wire_message *m)
{
    struct err e;
    for (size_t n = 0; n < countof(rows); n++) {
        if (rows[n].kind != m->kind)
            continue;
        if (m->kind == WIRE_OPEN || m->kind == WIRE_START)
            stock_yield(a->keeper->stock);
        if (!rows[n].answer(a, m, &e))
            asker_fail(a, m->number, &e);
        return;
    }
    fail(&e, 400, "kind %u: is nothing that a keeper does", m->kind);
    asker_fail(a, m->number, &e);
}

static void on_asker(void *data, uint32_t events)
{
    struct asker *a = data;
    (void)events;
    for (int n = 0; n < DATAGRAMS_A_TURN && !a->gone; n++) {
        struct wire_message m;
        struct err e;
        int got = wire_receive(a->fd, &m, &e);
        if (got == 0)
            return;
        if (got > 0)
            answer(a, &m);
        else if (e.status)
            asker_fail(a, m.number, &e);
        else
            asker_leave(a);
        wire_message_free(&m);
    }
}

void asker_open(struct keeper *k, int fd)
{
    struct asker *a = xcalloc(1, sizeof *a);
    *a = (struct asker){.next = k->askers, .keeper = k, .serial = ++k->last_asker, .fd = fd};
    a->watch = loop_watch(k->loop, fd, EPOLLIN, on_asker, a);
    k->askers = a;
    k->asker_count++;
    keeper_settle(k);
}

static bool has_closed(int fd)
{
    struct pollfd peer = {.fd = fd};
    return poll(&peer, 1, 0) == 1 && (peer.revents & POLLHUP);
}

/* What is too long for a datagram is said; an asker that does not read is let go. One that has
 * closed leaves when all that it had said is read: a gateway's END may stand behind other requests.
 */
static void send_to(struct asker *a, uint32_t kind, uint32_t number, json_t *body, const int *fds,
                    size_t count)
{
    struct err e;
    if (a->gone || a->deaf)
        json_decref(body);
    else if (wire_send(a->fd, kind, number, body, fds, count, &e))
        return;
    else if (e.status == 413)
        asker_fail(a, number, &e);
    else if (has_closed(a->fd))
        a->deaf = true;
    else
        asker_leave(a);
}

void asker_tell(struct asker *a, uint32_t kind, uint32_t number, json_t *body)
{
    send_to(a, kind, number, body, NULL, 0);
}

void asker_tell_fd(struct asker *a, uint32_t kind, uint32_t number, json_t *body, int fd)
{
    send_to(a, kind, number, body, &fd, 1);
}

void asker_fail(struct asker *a, uint32_t number, const struct err *e)
{
    asker_tell(a, WIRE_FAILED, number,
               json_pack("{s:i, s:s}", "status", e->status, "message", e->text));
}

struct asker *asker_of(struct keeper *k, uint32_t serial)
{
    for (struct asker *a = k->askers; a; a = a->next)
        if (a->serial == serial && !a->gone)
            return a;
    return NULL;
}

void asker_leave(struct asker *a)
{
    struct keeper *k = a->keeper;
    if (a->gone)
        return;
    a->gone = true;
    watch_close(take(&a->watch));
    close(a->fd);
    k->asker_count--;
    for (struct start *s = k->starts; s; s = s->next)
        if (s->asker == a)
            start_abandon(s);
    if (a->has_started && sandboxes_outlive(a))
        keeper_sweep(k, a->serial, 0);
    sandboxes_release(a);
    keeper_settle(k);
}

void askers_bury(struct keeper *k)
{
    for (struct asker **at = &k->askers; *at;) {
        struct asker *a = *at;
        if (!a->gone) {
            at = &a->next;
            continue;
        }
        *at = a->next;
        free(a);
    }
}
