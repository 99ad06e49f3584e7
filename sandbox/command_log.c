/* Appending to a command's log. What was written stands in the page cache at once: it survives the
 * end of any process, and nothing waits for a disk. */
#include "sandbox/command_log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "protocol/byte_order.h"
#include "protocol/crc32c.h"

#define SUM_AT    5
#define SUM_BYTES 3

bool record_parse(const char head[RECORD_HEAD_BYTES], struct record *out)
{
    *out = (struct record){.kind = (unsigned char)head[4],
                           .len = load_u32le(head),
                           .number = load_u64le(head + 8),
                           .time_us = (int64_t)load_u64le(head + 16)};
    return out->kind >= RECORD_STARTED && out->kind <= RECORD_ENDED &&
           out->len <= RECORD_LIMIT_BYTES && out->number > 0;
}

/* Of the head without its sum, and the data. */
static uint32_t sum_of(const char head[RECORD_HEAD_BYTES], struct bytes data)
{
    char bare[RECORD_HEAD_BYTES];
    memcpy(bare, head, sizeof bare);
    memset(bare + SUM_AT, 0, SUM_BYTES);
    uint32_t sum = crc32c(crc32c(0, (struct bytes){bare, sizeof bare}), data) & 0xffffff;
    return sum ? sum : 1;
}

bool record_sound(const char head[RECORD_HEAD_BYTES], struct bytes data)
{
    uint32_t sum = load_u32le(head + SUM_AT - 1) >> 8;
    return sum == 0 || sum == sum_of(head, data);
}

bool command_log_open(const char *path, struct command_log *out, struct err *e)
{
    *out = (struct command_log){.fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC)};
    if (out->fd < 0)
        return fail_errno(e, 503, "the log of the command cannot be opened");
    if (flock(out->fd, LOCK_EX | LOCK_NB) == 0)
        return true;
    fail_errno(e, errno == EWOULDBLOCK ? 409 : 503, "the log of the command cannot be locked");
    command_log_close(out);
    return false;
}

void command_log_close(struct command_log *log)
{
    if (log->fd >= 0)
        close(log->fd);
    log->fd = -1;
}

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static bool write_whole(int fd, const char *head, struct bytes data)
{
    struct iovec parts[] = {{(void *)head, RECORD_HEAD_BYTES}, {(void *)data.data, data.len}};
    size_t whole = RECORD_HEAD_BYTES + data.len;
    ssize_t wrote;
    do
        wrote = writev(fd, parts, data.len ? 2 : 1);
    while (wrote < 0 && errno == EINTR);
    if (wrote >= 0 && (size_t)wrote < whole)
        errno = ENOSPC;
    return wrote == (ssize_t)whole;
}

bool command_log_add(struct command_log *log, enum record_kind kind, struct bytes data,
                     struct err *e)
{
    char head[RECORD_HEAD_BYTES] = {0};
    struct stat before;
    assert(data.len <= RECORD_LIMIT_BYTES);
    store_u32le(head, (uint32_t)data.len);
    head[4] = (char)kind;
    store_u64le(head + 8, log->last + 1);
    store_u64le(head + 16, (uint64_t)now_us());
    uint32_t sum = sum_of(head, data);
    for (int i = 0; i < SUM_BYTES; i++)
        head[SUM_AT + i] = (char)(sum >> 8 * i);
    if (fstat(log->fd, &before) != 0 || !write_whole(log->fd, head, data)) {
        fail_errno(e, 503, "what the command wrote cannot be kept");
        (void)!ftruncate(log->fd, before.st_size);
        return false;
    }
    log->last++;
    if (kind == RECORD_STDOUT || kind == RECORD_STDERR)
        log->bytes[kind == RECORD_STDERR] += data.len;
    return true;
}
