/* The heads of all records are looked at once, as they come; every INDEX_STEP-th is remembered, so
 * that a reader finds any number within a few of them. The file of a command that has ended is open
 * only while it is read: there may be many of them. */
#include "gateway/core/run_log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/log.h"
#include "protocol/json.h"

#define INDEX_STEP      64
#define SCAN_BYTES      (256 * 1024) /* more than the greatest record */
#define END_LIMIT_BYTES RECORD_LIMIT_BYTES

struct run_log {
    char *path;
    int fd;           /* -1: closed */
    uint64_t scanned; /* offset behind the last whole record */
    uint64_t last;
    uint64_t bytes[2];
    int64_t started_us, ended_us;
    bool behind;       /* there are more than were looked at */
    bool holds, waits; /* its end, which is there */
    json_t *end;
    struct run_cursor *index; /* of records 1, 1 + INDEX_STEP, ... */
    size_t index_count;
};

struct run_log *run_log_open(const char *path, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fail_errno(e, 503, "the log of the command cannot be read");
        return NULL;
    }
    struct run_log *l = xcalloc(1, sizeof *l);
    l->path = xstrdup(path);
    l->fd = fd;
    return l;
}

static void close_file(struct run_log *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}

static void close_if_ended(struct run_log *l)
{
    if (l->end)
        close_file(l);
}

void run_log_free(struct run_log *l)
{
    if (!l)
        return;
    close_file(l);
    json_decref(l->end);
    free(l->index);
    free(l->path);
    free(l);
}

uint64_t run_log_last(const struct run_log *l)
{
    return l->last;
}

uint64_t run_log_size(const struct run_log *l)
{
    return l->scanned;
}

uint64_t run_log_bytes(const struct run_log *l, enum record_kind stream)
{
    return l->bytes[stream == RECORD_STDERR];
}

int64_t run_log_started_us(const struct run_log *l)
{
    return l->started_us;
}

int64_t run_log_ended_us(const struct run_log *l)
{
    return l->ended_us;
}

bool run_log_behind(const struct run_log *l)
{
    return l->behind;
}

void run_log_hold_end(struct run_log *l)
{
    l->holds = true;
}

bool run_log_end_waits(const struct run_log *l)
{
    return l->waits;
}

void run_log_let_end(struct run_log *l)
{
    l->holds = l->waits = false;
}

json_t *run_log_end(const struct run_log *l)
{
    return l->end;
}

bool run_log_next(struct bytes *rest, struct record *out, struct bytes *text)
{
    if (rest->len < RECORD_HEAD_BYTES || !record_parse(rest->data, out) ||
        rest->len - RECORD_HEAD_BYTES < out->len)
        return false;
    *text = (struct bytes){rest->data + RECORD_HEAD_BYTES, out->len};
    *rest = (struct bytes){text->data + text->len, rest->len - RECORD_HEAD_BYTES - text->len};
    return true;
}

/* Reads at most len bytes; what could not be read is as if it were not there yet. */
static struct bytes read_at(struct run_log *l, uint64_t offset, char *into, size_t len)
{
    ssize_t got;
    if (l->fd < 0)
        l->fd = open(l->path, O_RDONLY | O_CLOEXEC);
    do
        got = pread(l->fd, into, len, (off_t)offset);
    while (got < 0 && errno == EINTR);
    return (struct bytes){into, got > 0 ? (size_t)got : 0};
}

static void note(struct run_log *l, const struct record *record, struct bytes text, uint64_t offset)
{
    struct err e;
    if ((record->number - 1) % INDEX_STEP == 0) {
        l->index = xrealloc(l->index, (l->index_count + 1) * sizeof *l->index);
        l->index[l->index_count++] =
            (struct run_cursor){record->number, true, offset, {l->bytes[0], l->bytes[1]}};
    }
    l->last = record->number;
    if (record->kind == RECORD_STARTED)
        l->started_us = record->time_us;
    else if (record->kind != RECORD_ENDED)
        l->bytes[record->kind == RECORD_STDERR] += record->len;
    if (record->kind != RECORD_ENDED)
        return;
    l->ended_us = record->time_us;
    l->end = json_parse_object(text, "the end of a command", END_LIMIT_BYTES, &e);
    if (!l->end)
        l->end = json_pack("{s:s, s:s}", "status", "lost", "reason", "its log is damaged");
}

bool run_log_refresh(struct run_log *l)
{
    static char piece[SCAN_BYTES];
    uint64_t before = l->last, until = l->scanned + RUN_LOG_TURN_BYTES;
    bool more = !l->end;
    while (more && l->scanned < until) {
        struct bytes rest = read_at(l, l->scanned, piece, sizeof piece), text;
        struct record record;
        const char *begin = rest.data, *at = begin;
        more = rest.len == sizeof piece;
        while (!l->end && run_log_next(&rest, &record, &text) && record.number == l->last + 1) {
            l->waits = l->holds && record.kind == RECORD_ENDED;
            if (l->waits)
                break;
            note(l, &record, text, l->scanned + (uint64_t)(at - begin));
            at = rest.data;
        }
        more = more && at > begin && !l->end;
        l->scanned += (uint64_t)(at - begin);
    }
    l->behind = more;
    close_if_ended(l);
    return l->last > before;
}

static void step(struct run_cursor *cursor, const struct record *record)
{
    cursor->next = record->number + 1;
    cursor->offset += RECORD_HEAD_BYTES + record->len;
    if (record->kind == RECORD_STDOUT || record->kind == RECORD_STDERR)
        cursor->bytes[record->kind == RECORD_STDERR] += record->len;
}

static bool find(struct run_log *l, struct run_cursor *cursor)
{
    uint64_t wanted = cursor->next ? cursor->next : 1;
    if (wanted > l->last)
        return false;
    if (cursor->found)
        return true;
    *cursor = l->index[(wanted - 1) / INDEX_STEP];
    while (cursor->next < wanted) {
        char head[RECORD_HEAD_BYTES];
        struct record record;
        if (read_at(l, cursor->offset, head, sizeof head).len < sizeof head ||
            !record_parse(head, &record))
            return false;
        step(cursor, &record);
    }
    return true;
}

bool run_log_find(struct run_log *l, struct run_cursor *cursor)
{
    bool found = find(l, cursor);
    close_if_ended(l);
    return found;
}

bool run_log_read(struct run_log *l, struct run_cursor *cursor, struct buffer *out, size_t want)
{
    if (!find(l, cursor))
        return false;
    size_t most = want + RECORD_HEAD_BYTES + RECORD_LIMIT_BYTES;
    if (most > l->scanned - cursor->offset)
        most = (size_t)(l->scanned - cursor->offset);
    size_t before = out->len;
    struct bytes rest = read_at(l, cursor->offset, buffer_reserve(out, most), most), text;
    const char *begin = rest.data;
    struct record record;
    while ((size_t)(rest.data - begin) < want && run_log_next(&rest, &record, &text))
        step(cursor, &record);
    out->len = before + (size_t)(rest.data - begin);
    close_if_ended(l);
    return out->len > before;
}

bool run_log_give_up(struct run_log *l, const char *reason)
{
    struct command_log log;
    struct err e;
    if (!command_log_open(l->path, &log, &e)) {
        if (e.status != 409)
            log_warn("the log of a command cannot be ended", F_STR("why", e.text));
        return false;
    }
    do
        run_log_refresh(l); /* its supervisor's last words */
    while (l->behind);
    if (!l->end && !l->waits) {
        scoped(json) json_t *end = json_pack("{s:s, s:n, s:n, s:s}", "status", "lost", "exit_code",
                                             "signal", "reason", reason);
        scoped(string) char *text = json_dumps(end, JSON_COMPACT);
        log.last = l->last;
        if (ftruncate(log.fd, (off_t)l->scanned) != 0 ||
            !command_log_add(&log, RECORD_ENDED, bytes_of(text), &e))
            log_warn("the log of a command cannot be ended", F_STR("why", strerror(errno)));
        run_log_refresh(l);
    }
    command_log_close(&log);
    return l->end != NULL || l->waits;
}

/* Whole and sound records from the start on; 0 in *last: none. Gives where they end. */
static uint64_t sound_until(int fd, uint64_t *last)
{
    static char piece[SCAN_BYTES];
    uint64_t offset = 0;
    bool ended = false, more = true;
    while (more && !ended) {
        ssize_t got = pread(fd, piece, sizeof piece, (off_t)offset);
        struct bytes rest = {piece, got > 0 ? (size_t)got : 0}, text;
        struct record record;
        const char *at = piece;
        while (!ended && run_log_next(&rest, &record, &text) && record.number == *last + 1 &&
               record_sound(at, text)) {
            *last = record.number;
            ended = record.kind == RECORD_ENDED;
            at = rest.data;
        }
        more = at > piece;
        offset += (uint64_t)(at - piece);
    }
    return offset;
}

uint64_t run_log_verify(const char *path)
{
    struct stat st;
    uint64_t last = 0, cut = 0;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        if (fd >= 0)
            close(fd);
        return 0;
    }
    uint64_t sound = sound_until(fd, &last);
    if (sound < (uint64_t)st.st_size && ftruncate(fd, (off_t)sound) == 0 && fdatasync(fd) == 0)
        cut = (uint64_t)st.st_size - sound;
    close(fd);
    return cut;
}
