/* Lines are gathered and written once a turn of the loop: what is in the file then survives the end
 * of the process. Called by reply.c for each reply and by server.c before the loop waits. */
#include "gateway/net/audit.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/log.h"
#include "protocol/json.h"

struct audit {
    char *path;
    int fd;
    int64_t bytes; /* of the file */
    struct buffer lines;
    int64_t second; /* of the lines of those whom we do not know */
    int64_t unknown, unlogged;
    bool failed; /* it was said */
};

static bool open_file(struct audit *a)
{
    struct stat st;
    a->fd = open(a->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    a->bytes = a->fd >= 0 && fstat(a->fd, &st) == 0 ? st.st_size : 0;
    return a->fd >= 0;
}

struct audit *audit_open(const char *path, struct err *e)
{
    struct audit *a = xcalloc(1, sizeof *a);
    a->path = xstrdup(path);
    if (open_file(a))
        return a;
    fail_errno(e, 503, "the audit log %.150s cannot be opened", path);
    free(a->path);
    free(a);
    return NULL;
}

static void rotate(struct audit *a)
{
    scoped(string) char *older = xasprintf("%s.1", a->path);
    close(a->fd);
    rename(a->path, older);
    open_file(a);
}

void audit_write(struct audit *a)
{
    if (!a->lines.len)
        return;
    ssize_t wrote = write(a->fd, a->lines.data, a->lines.len);
    bool whole = wrote == (ssize_t)a->lines.len;
    if (!whole && !a->failed)
        log_error("the audit log is not written", F_STR("path", a->path));
    a->failed = !whole;
    a->bytes += wrote > 0 ? wrote : 0;
    buffer_clear(&a->lines);
    if (a->bytes >= AUDIT_LIMIT_BYTES || a->fd < 0)
        rotate(a);
}

void audit_close(struct audit *a)
{
    if (!a)
        return;
    audit_write(a);
    if (a->fd >= 0)
        close(a->fd);
    buffer_free(&a->lines);
    free(a->path);
    free(a);
}

static void add_text(struct buffer *out, const char *name, const char *value)
{
    buffer_printf(out, ",\"%s\":", name);
    if (value)
        json_quote(out, bytes_of(value));
    else
        buffer_add_text(out, "null");
}

/* Who is not let in could fill the file: only so many lines a second. */
static bool is_too_many(struct audit *a)
{
    int64_t second = monotonic_ms() / 1000;
    if (second != a->second) {
        a->second = second;
        a->unknown = 0;
    }
    if (++a->unknown <= AUDIT_UNKNOWN_S)
        return false;
    a->unlogged++;
    return true;
}

void audit_add(struct audit *a, const struct audit_line *line)
{
    char now[TIME_TEXT];
    if (!line->who && is_too_many(a))
        return;
    time_now_text(now);
    buffer_printf(&a->lines, "{\"time\":\"%s\"", now);
    add_text(&a->lines, "principal", line->who ? line->who->name : NULL);
    add_text(&a->lines, "token", line->who && *line->who->token ? line->who->token : NULL);
    if (line->who && *line->who->jti)
        add_text(&a->lines, "jti", line->who->jti);
    add_text(&a->lines, "method", line->method);
    add_text(&a->lines, "route", line->route);
    add_text(&a->lines, "id", line->id);
    buffer_printf(&a->lines, ",\"status\":%d", line->status);
    add_text(&a->lines, "remote", line->remote);
    if (a->unlogged)
        buffer_printf(&a->lines, ",\"unlogged\":%lld", (long long)a->unlogged);
    a->unlogged = 0;
    buffer_add_text(&a->lines, "}\n");
}
