/* The keeper's side of warmcell-pasta, and what the machine must have for it. */
#include "sandbox/pasta.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "protocol/json.h"
#include "sandbox/wire.h"

#define NAMESPACE_USER 0
#define NAMESPACE_NET  3
#define TUN            "/dev/net/tun"

bool pasta_open(struct outsider *o, uint32_t number, const char *id, uid_t owner,
                const struct boundary *b, struct err *e)
{
    const int fds[PASTA_OPEN_FDS] = {b->namespaces[NAMESPACE_USER], b->namespaces[NAMESPACE_NET],
                                     b->init_pidfd};
    json_t *body = json_pack("{s:s, s:I}", "sandbox", id, "uid", (json_int_t)owner);
    return wire_send(outsider_fd(o), PASTA_OPEN, number, body, fds, PASTA_OPEN_FDS, e);
}

int pasta_hear(struct outsider *o, uint32_t *number, struct err *why)
{
    struct wire_message m = {0};
    struct err e = {0};
    int got;
    *why = (struct err){0};
    while ((got = wire_receive(outsider_fd(o), &m, &e)) < 0 && e.status)
        wire_message_free(&m); /* what cannot be read answers nobody */
    if (got > 0 && m.kind != WIRE_OK) {
        const char *text = json_string_value(json_object_get(m.body, "message"));
        int status = (int)json_integer_value(json_object_get(m.body, "status"));
        fail(why, status >= 400 ? status : 503, "%s", text ? text : "network: no reason given");
    }
    *number = m.number;
    wire_message_free(&m);
    return got;
}

void pasta_close(struct outsider *o, const char *id)
{
    if (o)
        wire_send(outsider_fd(o), PASTA_CLOSE, 0, json_pack("{s:s}", "sandbox", id), NULL, 0, NULL);
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
