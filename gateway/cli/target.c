/* Where the gateway is: told by an option, or found by the record that each gateway leaves. The
 * token never comes from the command line, which others of this machine can read. */
#include "gateway/cli/target.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/cli/cli.h"
#include "gateway/ini.h"
#include "gateway/options.h"
#include "gateway/server_record.h"

#define DEFAULT_PORT "80"

static const char http[] = "http://";
static const char unix_scheme[] = "unix:";

/* "name", "name:80" or "[::1]:80". */
static bool split_authority(const char *text, size_t len, struct target *out, struct err *e)
{
    const char *end = text + len, *name = text, *name_end;
    if (len && *text == '[') {
        name = text + 1;
        name_end = memchr(text, ']', len);
        text = name_end ? name_end + 1 : end;
    } else {
        name_end = memchr(text, ':', len);
        name_end = name_end ? name_end : end;
        text = name_end;
    }
    bool has_port = text < end;
    if (!name_end || name == name_end || (has_port && (*text != ':' || text + 1 == end)) ||
        memchr(name, '@', (size_t)(end - name)))
        return fail(e, CLI_USAGE, "--url: name a gateway as http://HOST:PORT or unix:PATH");
    out->host = xstrndup(name, (size_t)(name_end - name));
    out->port = has_port ? xstrndup(text + 1, (size_t)(end - text - 1)) : xstrdup(DEFAULT_PORT);
    return true;
}

static bool parse_http(const char *url, struct target *out, struct err *e)
{
    const char *authority = url + strlen(http);
    size_t len = strcspn(authority, "/");
    const char *path = authority + len;
    size_t path_len = strlen(path);
    while (path_len && path[path_len - 1] == '/')
        path_len--;
    for (const char *at = url; *at; at++)
        if ((unsigned char)*at <= ' ' || *at == 0x7f)
            return fail(e, CLI_USAGE, "--url: must not hold blanks or control characters");
    out->authority = xstrndup(authority, len);
    out->base_url = xstrndup(path, path_len);
    return split_authority(authority, len, out, e);
}

static bool parse(const char *url, struct target *out, struct err *e)
{
    if (strncmp(url, unix_scheme, strlen(unix_scheme)) == 0 && url[strlen(unix_scheme)]) {
        out->socket = xstrdup(url + strlen(unix_scheme));
        out->authority = xstrdup("localhost");
        out->base_url = xstrdup("");
        return true;
    }
    if (strchr(url, '?') || strchr(url, '#'))
        return fail(e, CLI_USAGE,
                    "--url: must end before the ?; put the token into a file and name that with "
                    "--token-file");
    if (strncmp(url, "https://", 8) == 0)
        return fail(e, CLI_USAGE,
                    "--url: TLS is not spoken by this tool; go by the gateway's Unix socket, or "
                    "run the tool where the gateway is");
    if (strncmp(url, http, strlen(http)) != 0)
        return fail(e, CLI_USAGE, "--url: name a gateway as http://HOST:PORT or unix:PATH");
    return parse_http(url, out, e);
}

static bool read_token(const char *path, char **out, struct err *e)
{
    scoped(buffer) struct buffer text = {0};
    bool found;
    if (!ini_read(path, &text, &found, e)) {
        e->status = CLI_USAGE;
        return false;
    }
    size_t len = found ? strcspn(buffer_text(&text), "\r\n") : 0;
    if (!len)
        return fail(e, CLI_USAGE, "--token-file: %s %s", path,
                    found ? "has an empty first line" : "does not exist");
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text.data[i] <= ' ' || text.data[i] == 0x7f)
            return fail(e, CLI_USAGE,
                        "--token-file: the first line of %s holds blanks or control characters",
                        path);
    *out = xstrndup(text.data, len);
    return true;
}

/* "http://a, http://b" */
static void name_all(const struct server_record *records, size_t count, struct buffer *out)
{
    for (size_t i = 0; i < count; i++)
        buffer_printf(out, "%s%s", i ? ", " : "", records[i].url);
}

static bool find(struct target *out, struct err *e)
{
    scoped(string) char *dir = options_runtime_dir();
    struct server_record *records;
    size_t count = server_record_list(dir, &records);
    bool ok = false;
    if (count == 1) {
        ok = parse(records[0].url, out, e);
        if (ok && out->socket) {
            free(out->base_url);
            out->base_url = xstrdup(records[0].base_url);
        }
        out->token = xstrdup(records[0].token);
    } else if (count == 0) {
        fail(e, CLI_UNREACHED,
             "no gateway of this user runs; start one with `warmcell serve`, or name one with "
             "--url");
    } else {
        scoped(buffer) struct buffer names = {0};
        name_all(records, count, &names);
        fail(e, CLI_UNREACHED, "%zu gateways of this user run; choose one with --url: %s", count,
             buffer_text(&names));
    }
    server_records_free(records, count);
    return ok;
}

/* The token of the record that has this very url, so that --url is enough to choose among ours. */
static void borrow_token(const struct target *chosen, char **out)
{
    scoped(string) char *dir = options_runtime_dir();
    struct server_record *records;
    size_t count = server_record_list(dir, &records);
    for (size_t i = 0; i < count && !*out; i++) {
        struct target t = {0};
        if (!chosen->socket && parse(records[i].url, &t, NULL) && !t.socket &&
            strcmp(t.authority, chosen->authority) == 0 &&
            strcmp(t.base_url, chosen->base_url) == 0)
            *out = xstrdup(records[i].token);
        target_free(&t);
    }
    server_records_free(records, count);
}

bool target_find(const char *url, const char *token_file, struct target *out, struct err *e)
{
    *out = (struct target){0};
    if (url && *url ? !parse(url, out, e) : !find(out, e))
        return false;
    if (token_file && *token_file) {
        free(take(&out->token));
        return read_token(token_file, &out->token, e);
    }
    if (!out->token)
        borrow_token(out, &out->token);
    if (!out->token)
        out->token = xstrdup("");
    return true;
}

void target_free(struct target *t)
{
    free(t->socket);
    free(t->host);
    free(t->port);
    free(t->authority);
    free(t->base_url);
    free(t->token);
    *t = (struct target){0};
}

static int connect_unix(const char *path, struct err *e)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        fail(e, CLI_USAGE, "--url: the path of a Unix socket has at most %zu bytes",
             sizeof address.sun_path - 1);
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    fail_errno(e, CLI_UNREACHED, "no gateway answers at unix:%.150s", path);
    if (fd >= 0)
        close(fd);
    return -1;
}

static int connect_first(const struct addrinfo *found)
{
    int one = 1;
    for (; found; found = found->ai_next) {
        int fd = socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) == 0) {
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            return fd;
        }
        int why = errno;
        if (fd >= 0)
            close(fd);
        errno = why;
    }
    return -1;
}

int target_connect(const struct target *t, struct err *e)
{
    const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    if (t->socket)
        return connect_unix(t->socket, e);
    int problem = getaddrinfo(t->host, t->port, &wanted, &found);
    if (problem) {
        fail(e, CLI_UNREACHED, "the gateway's name %.80s was not found: %s", t->host,
             gai_strerror(problem));
        return -1;
    }
    int fd = connect_first(found);
    if (fd < 0)
        fail_errno(e, CLI_UNREACHED, "no gateway answers at http://%.150s", t->authority);
    freeaddrinfo(found);
    return fd;
}
