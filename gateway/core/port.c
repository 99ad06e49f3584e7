/* The keeper makes the socket inside; here it is awaited, if it is not connected yet, and counted.
 * Nothing at 127.0.0.1: ::1 is tried. Called by dialect/v1_ports.c.
 *
 * Invariant: a use is in the core's list from the request on until it is released, once. */
#include "gateway/core/port.h"

#include <sys/socket.h>
#include <unistd.h>

#include "gateway/core/port_pass.h"
#include "gateway/core/state.h"
#include "protocol/ids.h"

struct port_use {
    struct core *core;
    struct sandbox *sandbox; /* only while it is being connected */
    struct port_use *next;
    char sandbox_id[UUID_TEXT];
    char principal[PRINCIPAL_LIMIT + 1];
    int port;
    bool six;
    int fd; /* -1: not there yet, or handed out */
    uv_poll_t *poll;
    uv_timer_t *timer; /* both NULL but while it is awaited */
    int handles;
    bool settled; /* done was called */
    void (*done)(void *user, int fd, struct port_use *use, const struct err *e);
    void *user;
};

static void ask(struct port_use *u);

void port_release(void *use)
{
    struct port_use *u = use;
    struct port_use **place = &u->core->port_uses;
    while (*place != u)
        place = &(*place)->next;
    *place = u->next;
    struct sandbox *s = sandbox_known(u->core, u->sandbox_id);
    if (s)
        sandbox_touch(s);
    free(u);
}

static void finish(struct port_use *u, const struct err *e)
{
    void (*done)(void *, int, struct port_use *, const struct err *) = u->done;
    void *user = u->user;
    int fd = u->fd;
    sandbox_let_go(u->sandbox);
    u->sandbox = NULL;
    u->fd = -1;
    if (!e) {
        done(user, fd, u, NULL);
        return;
    }
    if (fd >= 0)
        close(fd);
    port_release(u);
    done(user, -1, NULL, e);
}

/* Nothing listens at 127.0.0.1: perhaps at ::1. */
static void refused(struct port_use *u, const struct err *e)
{
    if (u->fd >= 0)
        close(u->fd);
    u->fd = -1;
    if (u->six) {
        finish(u, e);
        return;
    }
    u->six = true;
    ask(u);
}

/* --- one that is on its way */

static void look(struct port_use *u)
{
    struct err e;
    int cause = 0;
    socklen_t len = sizeof cause;
    getsockopt(u->fd, SOL_SOCKET, SO_ERROR, &cause, &len);
    if (cause)
        refused(u, (fail(&e, 502, "nothing listens at port %d in the sandbox", u->port), &e));
    else
        finish(u, NULL);
}

static void on_closed(uv_handle_t *handle)
{
    struct port_use *u = handle->data;
    struct core *c = u->core;
    struct err e;
    free(handle);
    if (--u->handles == 0) {
        if (u->settled)
            look(u);
        else
            finish(u, (fail(&e, 504, "what listens at port %d in the sandbox accepts nothing",
                            u->port),
                       &e));
    }
    core_handle_closed(c);
}

static void stop_waiting(struct port_use *u, bool settled)
{
    if (!u->poll)
        return;
    u->settled = settled;
    uv_poll_stop(u->poll);
    uv_close((uv_handle_t *)take(&u->poll), on_closed);
    uv_close((uv_handle_t *)take(&u->timer), on_closed);
}

static void on_writable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    stop_waiting(poll->data, true);
}

static void on_late(uv_timer_t *timer)
{
    stop_waiting(timer->data, false);
}

static void wait_for(struct port_use *u)
{
    struct err e;
    uv_loop_t *loop = u->core->loop;
    u->poll = xcalloc(1, sizeof *u->poll);
    if (uv_poll_init(loop, u->poll, u->fd) != 0) {
        free(take(&u->poll));
        finish(u, (fail(&e, 503, "the connection to the sandbox cannot be watched"), &e));
        return;
    }
    u->timer = xcalloc(1, sizeof *u->timer);
    uv_timer_init(loop, u->timer);
    u->poll->data = u->timer->data = u;
    u->handles = 2;
    u->core->open_handles += 2;
    uv_poll_start(u->poll, UV_WRITABLE, on_writable);
    uv_timer_start(u->timer, on_late, PORT_CONNECT_MS, 0);
}

/* --- asking for it */

static void on_answer(void *user, json_t *answer, const struct err *e)
{
    struct port_use *u = user;
    struct keeper *keeper = kept_keeper(sandbox_kept(u->sandbox));
    struct err wrong;
    if (e && e->status == 502) {
        refused(u, e);
        return;
    }
    u->fd = !e && keeper ? keeper_take_fd(keeper) : -1;
    if (e || u->fd < 0)
        finish(u, e ? e : (fail(&wrong, 503, "the keeper gave no socket"), &wrong));
    else if (json_is_true(json_object_get(answer, "connected")))
        finish(u, NULL);
    else
        wait_for(u);
}

static void ask(struct port_use *u)
{
    struct err e;
    struct keeper *keeper = kept_keeper(sandbox_kept(u->sandbox));
    if (!keeper)
        finish(u, (fail(&e, 503, "the gateway is ending"), &e));
    else
        keeper_ask(keeper, WIRE_CONNECT,
                   json_pack("{s:s, s:i, s:i}", "sandbox", u->sandbox->id, "port", u->port,
                             "family", u->six ? 6 : 4),
                   on_answer, u);
}

static bool allowed(const struct core *c, const struct sandbox *s, const struct principal *who,
                    struct err *e)
{
    int of_sandbox = 0, of_principal = 0;
    for (const struct port_use *u = c->port_uses; u; u = u->next) {
        of_sandbox += strcmp(u->sandbox_id, s->id) == 0;
        of_principal += strcmp(u->principal, who->name) == 0;
    }
    if (of_sandbox >= PORTS_OF_SANDBOX)
        return fail(e, 429, "%d connections to ports of this sandbox are open, the most allowed",
                    PORTS_OF_SANDBOX);
    return of_principal < PORTS_OF_PRINCIPAL ||
           fail(e, 429, "%s has %d connections to ports of sandboxes open, the most allowed",
                who->name, PORTS_OF_PRINCIPAL);
}

void port_connect_to(struct sandbox *s, const struct principal *who, int port,
                     void (*done)(void *user, int fd, struct port_use *use, const struct err *e),
                     void *user)
{
    struct err e;
    struct core *c = s->core;
    if (!allowed(c, s, who, &e)) {
        done(user, -1, NULL, &e);
        return;
    }
    struct port_use *u = xcalloc(1, sizeof *u);
    *u = (struct port_use){.core = c,
                           .sandbox = s,
                           .next = c->port_uses,
                           .port = port,
                           .fd = -1,
                           .done = done,
                           .user = user};
    snprintf(u->sandbox_id, sizeof u->sandbox_id, "%s", s->id);
    snprintf(u->principal, sizeof u->principal, "%s", who->name);
    c->port_uses = u;
    sandbox_hold(s);
    for (struct kernel *k = s->kernel; k; k = k->sibling) /* it is in use: not idle */
        kernel_touch(k);
    ask(u);
}

bool ports_used(const struct sandbox *s)
{
    for (const struct port_use *u = s->core->port_uses; u; u = u->next)
        if (strcmp(u->sandbox_id, s->id) == 0)
            return true;
    return false;
}

struct port_passes *core_port_passes(struct core *c)
{
    if (!c->passes)
        c->passes = port_passes_new();
    return c->passes;
}

bool port_read(const char *text, int *port, struct err *e)
{
    size_t len = strspn(text, "0123456789");
    *port = len && len <= 5 && !text[len] && text[0] != '0' ? atoi(text) : 0;
    return (*port >= 1 && *port <= 65535) ||
           fail(e, 400, "%.40s is no port: it must be a number from 1 to 65535", text);
}
