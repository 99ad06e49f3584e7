/* Connection files. They are small and rewritten at most once, so that they are parsed into a tree;
 * the tree is kept, and what we do not know in it survives the rewriting. */
#include "protocol/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/ids.h"
#include "protocol/json.h"

#define KEY_RANDOM_BYTES     32
#define CURVE_KEY_CHARACTERS 40

/* The members that are strings, where they go, and what an absent one means. */
static const struct member {
    const char *name;
    size_t offset;
    const char *absent;
} members[] = {
    {"transport", offsetof(struct connection, transport), "tcp"},
    {"ip", offsetof(struct connection, ip), ""},
    {"key", offsetof(struct connection, key), ""},
    {"signature_scheme", offsetof(struct connection, signature_scheme), "hmac-sha256"},
    {"kernel_name", offsetof(struct connection, kernel_name), ""},
    {"jupyter_session", offsetof(struct connection, jupyter_session), ""},
    {"curve_publickey", offsetof(struct connection, curve_publickey), NULL},
    {"curve_secretkey", offsetof(struct connection, curve_secretkey), NULL},
};

static const char *const port_names[PORT_COUNT] = {
    [PORT_SHELL] = "shell_port",     [PORT_IOPUB] = "iopub_port", [PORT_STDIN] = "stdin_port",
    [PORT_CONTROL] = "control_port", [PORT_HB] = "hb_port",
};

static char **place(const struct connection *c, const struct member *member)
{
    return (char **)((char *)c + member->offset);
}

static bool is_ipc(const struct connection *c)
{
    return strcmp(c->transport, "ipc") == 0;
}

/* Z85, the alphabet of ZeroMQ RFC 32. */
static bool is_curve_key(const char *text)
{
    return strlen(text) == CURVE_KEY_CHARACTERS &&
           strspn(text, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        ".-:+=^!/*?&<>()[]{}@%$#") == CURVE_KEY_CHARACTERS;
}

static bool check(struct connection *c, struct err *e)
{
    if (!is_ipc(c) && strcmp(c->transport, "tcp") != 0)
        return fail(e, 400, "transport: must be tcp or ipc");
    if (!*c->ip) {
        if (is_ipc(c))
            return fail(e, 400, "ip: is required with ipc, as the prefix of the sockets' paths");
        free(c->ip);
        c->ip = xstrdup("127.0.0.1");
    }
    if (!c->curve_publickey != !c->curve_secretkey)
        return fail(e, 400, "%s: is required, both curve keys go together",
                    c->curve_publickey ? "curve_secretkey" : "curve_publickey");
    if (c->curve_publickey && !is_curve_key(c->curve_publickey))
        return fail(e, 400, "curve_publickey: must be 40 characters of Z85");
    if (c->curve_secretkey && !is_curve_key(c->curve_secretkey))
        return fail(e, 400, "curve_secretkey: must be 40 characters of Z85");
    return true;
}

bool connection_parse(struct bytes text, struct connection *out, struct err *e)
{
    *out = (struct connection){0};
    scoped(connection) struct connection c = {0};
    json_t *body = json_parse_object(text, "connection file", CONNECTION_LIMIT_BYTES, e);
    if (!body)
        return false;
    c.extra = body;
    for (size_t i = 0; i < countof(members); i++) {
        const char *value = members[i].absent;
        if (!field_str(body, members[i].name, OPTIONAL, &value, e))
            return false;
        *place(&c, &members[i]) = value ? xstrdup(value) : NULL;
    }
    for (size_t i = 0; i < PORT_COUNT; i++) {
        int64_t port = 0;
        if (!field_int(body, port_names[i], OPTIONAL, 0, 65535, &port, e))
            return false;
        c.ports[i] = (int)port;
    }
    if (!check(&c, e))
        return false;
    *out = c;
    c = (struct connection){0};
    return true;
}

static bool read_file(int fd, const char *path, struct buffer *out, struct err *e)
{
    struct stat about;
    if (fstat(fd, &about) != 0)
        return fail_errno(e, 400, "connection file %s cannot be read", path);
    if (!S_ISREG(about.st_mode))
        return fail(e, 400, "connection file %s is not a regular file", path);
    while (out->len <= CONNECTION_LIMIT_BYTES) {
        char *room = buffer_reserve(out, 4096);
        ssize_t got = read(fd, room, 4096);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_errno(e, 400, "connection file %s cannot be read", path);
        if (got == 0)
            break;
        out->len += (size_t)got;
    }
    return true;
}

bool connection_read(const char *path, struct connection *out, struct err *e)
{
    *out = (struct connection){0};
    /* O_NONBLOCK: a path that is a FIFO must not hold us up before it can be refused. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return fail(e, 404, "connection file %s does not exist", path);
    if (fd < 0)
        return fail_errno(e, 400, "connection file %s cannot be read", path);
    scoped(buffer) struct buffer text = {0};
    bool good = read_file(fd, path, &text, e);
    close(fd);
    return good && connection_parse(buffer_view(&text), out, e);
}

void connection_default(struct connection *out)
{
    *out = (struct connection){0};
    for (size_t i = 0; i < countof(members); i++)
        *place(out, &members[i]) = members[i].absent ? xstrdup(members[i].absent) : NULL;
    free(out->ip);
    out->ip = xstrdup("127.0.0.1");
    free(out->key);
    out->key = xmalloc(2 * KEY_RANDOM_BYTES + 1);
    random_hex(out->key, KEY_RANDOM_BYTES);
}

void connection_free(struct connection *c)
{
    for (size_t i = 0; i < countof(members); i++)
        free(*place(c, &members[i]));
    json_decref(c->extra);
    *c = (struct connection){0};
}

char *connection_text(const struct connection *c)
{
    scoped(json) json_t *body = c->extra ? json_copy(c->extra) : json_object();
    for (size_t i = 0; i < countof(members); i++) {
        const char *value = *place(c, &members[i]);
        if (value && json_object_set_new(body, members[i].name, json_string(value)) != 0)
            return NULL;
    }
    for (size_t i = 0; i < PORT_COUNT; i++)
        json_object_set_new(body, port_names[i], json_integer(c->ports[i]));
    return json_dumps(body, JSON_INDENT(2));
}

static bool write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t done = write(fd, text, len);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return false;
        text += done;
        len -= (size_t)done;
    }
    return true;
}

bool connection_write(const struct connection *c, const char *path, struct err *e)
{
    scoped(string) char *text = connection_text(c);
    if (!text)
        return fail(e, 400, "connection file %s: a member is not UTF-8", path);
    scoped(string) char *temporary = xasprintf("%s.XXXXXX", path);
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return fail_errno(e, 500, "connection file %s cannot be written", path);
    bool good = fchmod(fd, 0600) == 0 && write_all(fd, text, strlen(text));
    good = close(fd) == 0 && good;
    if (good && rename(temporary, path) == 0)
        return true;
    fail_errno(e, 500, "connection file %s cannot be written", path);
    unlink(temporary);
    return false;
}

char *connection_endpoint(const struct connection *c, enum port port)
{
    int number = c->ports[port];
    if (is_ipc(c))
        return xasprintf("ipc://%s-%d", c->ip, number ? number : (int)port + 1);
    const char *ip = strcmp(c->ip, "*") == 0 ? "0.0.0.0" : c->ip;
    bool bare_v6 = strchr(ip, ':') && *ip != '[';
    scoped(string) char *last = number ? xasprintf("%d", number) : xstrdup("*");
    return xasprintf(bare_v6 ? "tcp://[%s]:%s" : "tcp://%s:%s", ip, last);
}
