/* Two ends are awaited, whichever comes first: what the host says of its interpreter, and the
 * thread that speaks with it. When the host says that it failed, the thread is cancelled.
 *
 * Invariant: the thread has its own copies and is joined before the carrier is freed. */
#include "gateway/core/carrier.h"

#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/core/state.h"
#include "gateway/store/vault_stream.h"
#include "protocol/ids.h"
#include "protocol/json.h"

#define LIMIT_S     300 /* of what runs in the interpreter */
#define GRACE_MS    15000
#define MARGIN_MS   10000 /* for what is on its way when the interpreter is through */
#define SOCKET_NAME "snapshot"

struct carrier {
    struct core *core;
    struct vault_stream stream;
    char *sandbox, *path;
    bool saves;
    json_t *given; /* known, or what is restored */
    json_t *got;
    struct err thread_said, host_said;
    uv_thread_t thread;
    uv_async_t ended;
    int awaited;
    void (*done)(void *user, json_t *got, const struct err *e);
    void *user;
};

static void run(void *arg)
{
    struct carrier *c = arg;
    bool good = c->saves ? vault_take(&c->stream, c->given, &c->got, &c->thread_said)
                         : vault_give(&c->stream, c->given, &c->got, &c->thread_said);
    if (good)
        c->thread_said = (struct err){0};
    uv_async_send(&c->ended);
}

static void on_closed(uv_handle_t *handle)
{
    struct carrier *c = handle->data;
    struct core *core = c->core;
    json_decref(c->given);
    json_decref(c->got);
    free(c->sandbox);
    free(c->path);
    free(c);
    core_handle_closed(core);
}

/* When the thread has turned the interpreter away, the host tells a consequence of that; when the
 * interpreter went away, the host knows why. */
static void settle(struct carrier *c)
{
    if (--c->awaited > 0)
        return;
    bool gone = c->thread_said.status == VAULT_PEER_GONE;
    const struct err *e =
        c->thread_said.status && !(gone && c->host_said.status) ? &c->thread_said : &c->host_said;
    if (gone)
        c->thread_said.status = 502;
    c->done(c->user, e->status ? NULL : c->got, e->status ? e : NULL);
    uv_close((uv_handle_t *)&c->ended, on_closed);
}

static void on_thread_ended(uv_async_t *async)
{
    struct carrier *c = async->data;
    uv_thread_join(&c->thread);
    close(c->stream.listen_fd);
    close(c->stream.cancel_fd);
    c->stream.cancel_fd = -1;
    unlink(c->path);
    settle(c);
}

static void on_host_said(void *user, const struct err *e)
{
    struct carrier *c = user;
    if (e)
        c->host_said = *e;
    if (c->stream.cancel_fd >= 0)
        eventfd_write(c->stream.cancel_fd, 1);
    settle(c);
}

static int listen_at(const char *path, struct err *e)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    unlink(path);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
        chmod(path, 0600) == 0 && listen(fd, 1) == 0)
        return fd;
    fail_errno(e, 503, "a socket for the snapshot cannot be made");
    if (fd >= 0)
        close(fd);
    return -1;
}

/* It waits for the interpreter from now on. */
static bool begin(struct carrier *c, struct err *e)
{
    c->stream.listen_fd = listen_at(c->path, e);
    if (c->stream.listen_fd < 0)
        return false;
    c->stream.cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    uv_async_init(c->core->loop, &c->ended, on_thread_ended);
    c->ended.data = c;
    c->core->open_handles++;
    if (c->stream.cancel_fd >= 0 && uv_thread_create(&c->thread, run, c) == 0)
        return true;
    fail(e, 503, "no thread can be had for the snapshot");
    close(c->stream.listen_fd);
    if (c->stream.cancel_fd >= 0)
        close(c->stream.cancel_fd);
    unlink(c->path);
    uv_close((uv_handle_t *)&c->ended, on_closed);
    return false;
}

static void carry(struct kernel *k, bool saves, const json_t *given,
                  void (*done)(void *user, json_t *got, const struct err *e), void *user)
{
    struct err e = {0};
    struct carrier *c = xcalloc(1, sizeof(*c));
    *c = (struct carrier){
        .core = k->core,
        .sandbox = xstrdup(sandbox_id(k->sandbox)),
        .path = xasprintf("%s/" SOCKET_NAME, k->dir),
        .saves = saves,
        .given = given ? json_deep_copy(given) : NULL,
        .awaited = 2,
        .done = done,
        .user = user,
    };
    c->stream = (struct vault_stream){
        .vault = k->core->vault,
        .sandbox = c->sandbox,
        .deadline_ms = monotonic_ms() + LIMIT_S * 1000 + GRACE_MS + MARGIN_MS,
        .limit_bytes = k->core->settings->core.snapshot_limit,
    };
    if (!k->uplink) {
        fail(&e, 409, "context %s is dead", k->id);
    } else if (begin(c, &e)) {
        scoped(json) json_t *order = json_pack("{s:s, s:i}", "to", c->path, "limit_s", LIMIT_S);
        scoped(string) char *text = json_dumps(order, JSON_COMPACT);
        kernel_command(k, saves ? LINK_SAVE_KERNEL : LINK_RESTORE_KERNEL, bytes_of(text),
                       LIMIT_S * 1000 + GRACE_MS, on_host_said, c);
        return;
    }
    done(user, NULL, &e);
    if (c->ended.data)
        return; /* freed when its handle is closed */
    json_decref(c->given);
    free(c->sandbox);
    free(c->path);
    free(c);
}

void carrier_save(struct kernel *k, const json_t *known,
                  void (*done)(void *user, json_t *saved, const struct err *e), void *user)
{
    carry(k, true, known, done, user);
}

void carrier_restore(struct kernel *k, const json_t *saved,
                     void (*done)(void *user, json_t *answer, const struct err *e), void *user)
{
    carry(k, false, saved, done, user);
}
