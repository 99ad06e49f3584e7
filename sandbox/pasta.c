/* The keeper's side of warmcell-pasta, and what the machine must have for it. */
#include "sandbox/pasta.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "protocol/ids.h"
#include "protocol/json.h"
#include "sandbox/wire.h"

#define NAMESPACE_USER 0
#define NAMESPACE_NET  3
#define TUN            "/dev/net/tun"

/* One request is under way at a time; what answers another came too late. */
static bool hear(int fd, uint32_t number, struct err *e)
{
    int64_t due_ms = monotonic_ms() + PASTA_MOST_MS, left_ms;
    while ((left_ms = due_ms - monotonic_ms()) > 0) {
        struct wire_message m = {0};
        struct pollfd ready = {fd, POLLIN, 0};
        if (poll(&ready, 1, (int)left_ms) <= 0)
            continue;
        int got = wire_receive(fd, &m, e);
        if (got < 0 && e->status == 0)
            return fail(e, 503, "network: " PASTA_PROGRAM " has ended");
        if (got <= 0 || m.number != number) {
            wire_message_free(&m);
            continue;
        }
        bool good = m.kind == WIRE_OK;
        const char *why = json_string_value(json_object_get(m.body, "message"));
        int status = (int)json_integer_value(json_object_get(m.body, "status"));
        if (!good)
            fail(e, status >= 400 ? status : 503, "%s", why ? why : "network: no reason given");
        wire_message_free(&m);
        return good;
    }
    return fail(e, 503, "network: the way out did not open within %d s", PASTA_MOST_MS / 1000);
}

bool pasta_open(struct outsider *o, const char *id, uid_t owner, const struct boundary *b,
                struct err *e)
{
    static uint32_t last; /* a keeper has one thread */
    const int fds[PASTA_OPEN_FDS] = {b->namespaces[NAMESPACE_USER], b->namespaces[NAMESPACE_NET],
                                     b->init_pidfd};
    json_t *body = json_pack("{s:s, s:I}", "sandbox", id, "uid", (json_int_t)owner);
    struct err why = {0};
    if (!wire_send(outsider_fd(o), PASTA_OPEN, ++last, body, fds, PASTA_OPEN_FDS, e))
        return false;
    if (hear(outsider_fd(o), last, &why))
        return true;
    pasta_close(o, id);
    return fail(e, why.status, "%s", why.text);
}

void pasta_close(struct outsider *o, const char *id)
{
    if (o)
        wire_send(outsider_fd(o), PASTA_CLOSE, 0, json_pack("{s:s}", "sandbox", id), NULL, 0, NULL);
}

bool pasta_is_there(struct outsider *o)
{
    struct wire_message m = {0};
    struct err e = {0};
    int got;
    while ((got = wire_receive(outsider_fd(o), &m, &e)) != 0) {
        if (got < 0 && e.status == 0)
            return false;
        wire_message_free(&m);
    }
    return true;
}

/* --- outside */

static bool find_program(char program[PATH_MAX])
{
    const char *folders = getenv("PATH");
    if (!folders)
        folders = "/usr/bin:/bin";
    for (size_t len; *folders; folders += len + (folders[len] == ':')) {
        len = strcspn(folders, ":");
        int written = snprintf(program, PATH_MAX, "%.*s/pasta", (int)len, folders);
        if (len > 0 && written < PATH_MAX && access(program, X_OK) == 0)
            return true;
    }
    return false;
}

bool pasta_find(char program[PATH_MAX], const char **why, const char **remedy)
{
    if (!find_program(program)) {
        *why = "the program pasta is not in PATH";
        *remedy = "install the Debian package passt";
        return false;
    }
    int fd = open(TUN, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        *why = errno == ENOENT ? "there is no " TUN : TUN " cannot be opened";
        *remedy = "load the module tun and let everybody open it (0666); in a container, hand in "
                  "that device";
        return false;
    }
    close(fd);
    return true;
}
