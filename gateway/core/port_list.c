/* The list of what listens: the keeper opens the tables inside, which are read on another thread,
 * and no further than TABLE_LIMIT_BYTES: whoever runs inside decides how long they are. */
#include <errno.h>
#include <unistd.h>

#include "gateway/core/port.h"
#include "gateway/core/port_table.h"
#include "gateway/core/state.h"
#include "sandbox/port.h"

#define TABLE_LIMIT_BYTES (256 * 1024) /* 1,700 sockets; those that listen come first */

struct listing {
    uv_work_t work;
    struct core *core;
    struct sandbox *sandbox;
    int fds[PORT_TABLES];
    struct port_row rows[PORTS_LISTED];
    size_t count;
    bool more;
    json_t *own; /* ports of the sandbox's way out, which are not its servers' */
    void (*done)(void *user, json_t *list, bool more, const struct err *e);
    void *user;
};

static void finish(struct listing *l, const struct err *e)
{
    json_t *list = e ? NULL : json_array();
    for (size_t i = 0; !e && i < l->count; i++)
        json_array_append_new(list, json_pack("{s:i, s:s}", "port", (int)l->rows[i].port, "address",
                                              l->rows[i].address));
    sandbox_let_go(l->sandbox);
    l->done(l->user, list, l->more, e);
    json_decref(list);
    json_decref(l->own);
    free(l);
}

static bool is_own(const struct listing *l, int port)
{
    size_t i;
    json_t *one;
    json_array_foreach(l->own, i, one) if (json_integer_value(one) == port) return true;
    return false;
}

static void add(struct listing *l, const struct port_row *row)
{
    if (is_own(l, row->port))
        return;
    if (l->count == PORTS_LISTED)
        l->more = true;
    else
        l->rows[l->count++] = *row;
}

static int by_port(const void *a, const void *b)
{
    const struct port_row *one = a, *other = b;
    return one->port != other->port ? one->port - other->port
                                    : strcmp(one->address, other->address);
}

static void on_work(uv_work_t *work)
{
    struct listing *l = work->data;
    scoped(buffer) struct buffer text = {0};
    struct port_row row;
    for (size_t i = 0; i < PORT_TABLES; i++) {
        ssize_t got = 1;
        buffer_clear(&text);
        while (text.len < TABLE_LIMIT_BYTES && (got > 0 || (got < 0 && errno == EINTR))) {
            got = read(l->fds[i], buffer_reserve(&text, 16384), 16384);
            text.len += got > 0 ? (size_t)got : 0;
        }
        close(l->fds[i]);
        struct bytes table = buffer_view(&text);
        while (port_table_next(&table, &row))
            add(l, &row);
    }
    qsort(l->rows, l->count, sizeof *l->rows, by_port);
}

static void on_worked(uv_work_t *work, int status)
{
    struct listing *l = work->data;
    struct core *c = l->core;
    (void)status;
    finish(l, NULL);
    core_handle_closed(c);
}

static void on_tables(void *user, json_t *answer, const struct err *e)
{
    struct listing *l = user;
    struct keeper *keeper = kept_keeper(sandbox_kept(l->sandbox));
    struct err wrong;
    if (e) {
        finish(l, e);
        return;
    }
    for (size_t i = 0; i < PORT_TABLES; i++)
        l->fds[i] = keeper ? keeper_take_fd(keeper) : -1;
    if (l->fds[PORT_TABLES - 1] < 0) {
        if (l->fds[0] >= 0)
            close(l->fds[0]);
        fail(&wrong, 503, "the keeper did not show the ports");
        finish(l, &wrong);
        return;
    }
    l->own = json_incref(json_object_get(answer, "own"));
    l->work.data = l;
    l->core->open_handles++;
    uv_queue_work(l->core->loop, &l->work, on_work, on_worked);
}

void ports_list(struct sandbox *s,
                void (*done)(void *user, json_t *list, bool more, const struct err *e), void *user)
{
    struct listing *l = xcalloc(1, sizeof *l);
    struct keeper *keeper = kept_keeper(sandbox_kept(s));
    struct err e;
    l->core = s->core;
    l->sandbox = s;
    l->done = done;
    l->user = user;
    sandbox_hold(s);
    if (keeper)
        keeper_ask(keeper, WIRE_PORTS, json_pack("{s:s}", "sandbox", s->id), on_tables, l);
    else
        finish(l, (fail(&e, 503, "the gateway is ending"), &e));
}
