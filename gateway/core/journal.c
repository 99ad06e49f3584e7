/* The journal's segments. Used by kernel.c alone to write and by readers and the scan to read.
 *
 * Invariant: the segments cover first..last without a gap, and only the last one is written to. */
#include "gateway/core/journal.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/log.h"
#include "protocol/byte_order.h"
#include "protocol/crc32c.h"

#define MAGIC      0x324f4c57u /* "WLO2" */
#define MAGIC_OLD  0x474f4c57u /* "WLOG": without a sum */
#define SUM_BYTES  4
#define SCAN_BYTES (256 * 1024)

struct segment {
    uint64_t first;
    uint64_t bytes;
};

struct journal {
    char *dir;
    uint64_t limit_bytes;
    struct segment *segments; /* oldest first */
    size_t count;
    int fd; /* of the last segment; -1: the next batch begins one */
    uint64_t last;
    uint64_t bytes;
    uint64_t source;
    uint32_t epoch;
    struct sync *sync; /* borrowed; NULL: none */
    uint64_t round;    /* that syncs the last segment as it was said to be changed; 0: none */
};

/* Of a whole record: of all but the sum itself. */
static uint32_t sum_of(const char *record, size_t len)
{
    size_t head_bytes = JOURNAL_HEAD_BYTES + SUM_BYTES;
    uint32_t sum = crc32c(0, (struct bytes){record, JOURNAL_HEAD_BYTES});
    return crc32c(sum, (struct bytes){record + head_bytes, len - head_bytes});
}

void journal_encode(struct buffer *batch, const struct journal_record *r)
{
    assert(r->identity.len <= UINT16_MAX && r->msg_type.len <= UINT16_MAX);
    size_t begin = batch->len, head_bytes = JOURNAL_HEAD_BYTES + SUM_BYTES;
    char *head =
        buffer_reserve(batch, head_bytes + r->identity.len + r->msg_type.len + r->frame.len);
    store_u32le(head, MAGIC);
    store_u32le(head + 4, (uint32_t)r->frame.len);
    store_u64le(head + 8, r->sequence);
    store_u64le(head + 16, r->source);
    store_u32le(head + 24, r->epoch);
    store_u16le(head + 28, (uint16_t)r->identity.len);
    store_u16le(head + 30, (uint16_t)r->msg_type.len);
    batch->len += head_bytes;
    buffer_add_bytes(batch, r->identity);
    buffer_add_bytes(batch, r->msg_type);
    buffer_add_bytes(batch, r->frame);
    head = batch->data + begin;
    store_u32le(head + JOURNAL_HEAD_BYTES, sum_of(head, batch->len - begin));
}

/* The whole length of the record whose head is at data, 0: that is no head. */
static uint64_t record_bytes(const char *head)
{
    uint32_t magic = load_u32le(head);
    if (magic != MAGIC && magic != MAGIC_OLD)
        return 0;
    return (uint64_t)JOURNAL_HEAD_BYTES + (magic == MAGIC ? SUM_BYTES : 0) + load_u16le(head + 28) +
           load_u16le(head + 30) + load_u32le(head + 4);
}

bool journal_next(struct bytes *rest, struct journal_record *out)
{
    if (rest->len < JOURNAL_HEAD_BYTES)
        return false;
    const char *head = rest->data;
    uint64_t total = record_bytes(head);
    if (total == 0 || total > rest->len)
        return false;
    size_t identity = load_u16le(head + 28), type = load_u16le(head + 30);
    const char *body = head + JOURNAL_HEAD_BYTES + (load_u32le(head) == MAGIC ? SUM_BYTES : 0);
    *out = (struct journal_record){
        .sequence = load_u64le(head + 8),
        .source = load_u64le(head + 16),
        .epoch = load_u32le(head + 24),
        .identity = {body, identity},
        .msg_type = {body + identity, type},
        .frame = {body + identity + type, load_u32le(head + 4)},
    };
    *rest = (struct bytes){head + total, rest->len - (size_t)total};
    return true;
}

static char *segment_path(const struct journal *j, uint64_t first)
{
    return xasprintf("%s/%020llu", j->dir, (unsigned long long)first);
}

static void drop_oldest(struct journal *j)
{
    scoped(string) char *path = segment_path(j, j->segments[0].first);
    unlink(path);
    sync_path(j->sync, j->dir);
    j->bytes -= j->segments[0].bytes;
    j->count--;
    memmove(j->segments, j->segments + 1, j->count * sizeof(*j->segments));
    if (j->count == 0 && j->fd >= 0) {
        close(j->fd);
        j->fd = -1;
    }
}

static void drop_newest(struct journal *j)
{
    scoped(string) char *path = segment_path(j, j->segments[j->count - 1].first);
    unlink(path);
    j->bytes -= j->segments[--j->count].bytes;
}

static int by_first(const void *a, const void *b)
{
    const struct segment *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

static bool list_segments(struct journal *j, struct err *e)
{
    DIR *handle = opendir(j->dir);
    if (!handle)
        return fail_errno(e, 503, "the log folder %.150s cannot be read", j->dir);
    struct dirent *entry;
    while ((entry = readdir(handle))) {
        char *end;
        unsigned long long first = strtoull(entry->d_name, &end, 10);
        struct stat st;
        if (first == 0 || *end || fstatat(dirfd(handle), entry->d_name, &st, 0) != 0)
            continue;
        j->segments = xrealloc(j->segments, (j->count + 1) * sizeof(*j->segments));
        j->segments[j->count++] = (struct segment){first, (uint64_t)st.st_size};
        j->bytes += (uint64_t)st.st_size;
    }
    closedir(handle);
    if (j->count)
        qsort(j->segments, j->count, sizeof(*j->segments), by_first);
    return true;
}

/* Goes over the heads of a segment as far as they are sound; *next is the sequence expected and
 * moves along. Stops before sequence `until`. learn (may be NULL) keeps the last source seen.
 * Returns the offset where it stopped. */
static uint64_t pass_records(int fd, uint64_t size, uint64_t *next, uint64_t until,
                             struct journal *learn)
{
    char *chunk = xmalloc(SCAN_BYTES);
    uint64_t chunk_at = 0, offset = 0;
    size_t chunk_len = 0;
    while (*next < until && size - offset >= JOURNAL_HEAD_BYTES) {
        if (offset < chunk_at || offset + JOURNAL_HEAD_BYTES > chunk_at + chunk_len) {
            ssize_t got = pread(fd, chunk, SCAN_BYTES, (off_t)offset);
            if (got < JOURNAL_HEAD_BYTES)
                break;
            chunk_at = offset;
            chunk_len = (size_t)got;
        }
        const char *head = chunk + (offset - chunk_at);
        uint64_t total = record_bytes(head);
        if (total == 0 || total > size - offset || load_u64le(head + 8) != *next)
            break;
        if (learn && load_u64le(head + 16)) {
            learn->source = load_u64le(head + 16);
            learn->epoch = load_u32le(head + 24);
        }
        offset += total;
        (*next)++;
    }
    free(chunk);
    return offset;
}

/* Cuts what is torn off the last segment and learns where the journal ends. False: nothing of it is
 * left. */
static bool recover_last(struct journal *j)
{
    struct segment *segment = &j->segments[j->count - 1];
    scoped(string) char *path = segment_path(j, segment->first);
    int fd = open(path, O_RDWR | O_CLOEXEC | O_APPEND);
    uint64_t next = segment->first;
    uint64_t end = fd < 0 ? 0 : pass_records(fd, segment->bytes, &next, UINT64_MAX, j);
    if (end == 0 || (end < segment->bytes && ftruncate(fd, (off_t)end) != 0)) {
        if (fd >= 0)
            close(fd);
        drop_newest(j);
        return false;
    }
    if (end < segment->bytes)
        log_warn("a log is cut behind its last whole message", F_STR("log", j->dir),
                 F_INT("bytes", (int64_t)(segment->bytes - end)));
    j->bytes -= segment->bytes - end;
    segment->bytes = end;
    j->fd = fd;
    j->last = next - 1;
    return true;
}

/* The last source may stand in an earlier segment, when the last one holds our own messages alone.
 */
static void recover_source(struct journal *j)
{
    for (size_t i = j->count - 1; i > 0 && j->source == 0; i--) {
        const struct segment *segment = &j->segments[i - 1];
        scoped(string) char *path = segment_path(j, segment->first);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        uint64_t next = segment->first;
        if (fd < 0)
            return;
        pass_records(fd, segment->bytes, &next, UINT64_MAX, j);
        close(fd);
    }
}

struct journal *journal_open(const char *dir, uint64_t limit_bytes, struct err *e)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        fail_errno(e, 503, "the log folder %.150s cannot be made", dir);
        return NULL;
    }
    struct journal *j = xcalloc(1, sizeof(*j));
    j->dir = xstrdup(dir);
    j->fd = -1;
    j->limit_bytes =
        limit_bytes < 2 * JOURNAL_SEGMENT_BYTES ? 2 * JOURNAL_SEGMENT_BYTES : limit_bytes;
    if (!list_segments(j, e)) {
        journal_close(j);
        return NULL;
    }
    /* a segment of which nothing is left still tells by its name how far the numbers went */
    uint64_t before = j->count ? j->segments[j->count - 1].first - 1 : 0;
    while (j->count && !recover_last(j))
        ;
    if (j->count)
        recover_source(j);
    else
        j->last = before;
    return j;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    if (j->fd >= 0)
        close(j->fd);
    free(j->segments);
    free(j->dir);
    free(j);
}

void journal_set_sync(struct journal *j, struct sync *sync)
{
    j->sync = sync;
    sync_path(sync, j->dir);
}

/* Where the first record stands that is not what was written, or does not follow *next; the
 * segment's size if there is none. */
static uint64_t sound_bytes(int fd, uint64_t size, uint64_t *next)
{
    scoped(buffer) struct buffer record = {0};
    char head[JOURNAL_HEAD_BYTES + SUM_BYTES];
    uint64_t offset = 0;
    while (size - offset >= JOURNAL_HEAD_BYTES &&
           pread(fd, head, sizeof head, (off_t)offset) >= JOURNAL_HEAD_BYTES) {
        uint64_t total = record_bytes(head);
        if (total == 0 || total > size - offset || load_u64le(head + 8) != *next)
            break;
        buffer_clear(&record);
        if (load_u32le(head) == MAGIC &&
            (pread(fd, buffer_reserve(&record, total), total, (off_t)offset) != (ssize_t)total ||
             sum_of(record.data, total) != load_u32le(head + JOURNAL_HEAD_BYTES)))
            break;
        offset += total;
        (*next)++;
    }
    return offset;
}

/* Gives how many bytes were cut off. */
static uint64_t verify_segment(const struct journal *j, const struct segment *segment,
                               uint64_t *next)
{
    scoped(string) char *path = segment_path(j, segment->first);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    uint64_t sound = fd >= 0 && segment->first == *next ? sound_bytes(fd, segment->bytes, next) : 0;
    if (fd >= 0 && sound < segment->bytes && (sound == 0 || ftruncate(fd, (off_t)sound) != 0))
        unlink(path);
    if (fd >= 0)
        close(fd);
    return segment->bytes - sound;
}

uint64_t journal_verify(const char *dir)
{
    struct journal *j = xcalloc(1, sizeof *j);
    uint64_t next = 0, cut = 0;
    j->dir = xstrdup(dir);
    j->fd = -1;
    if (list_segments(j, NULL) && j->count)
        next = j->segments[0].first;
    for (size_t i = 0; i < j->count; i++) {
        if (cut)
            next = 0; /* what is behind a gap goes */
        cut += verify_segment(j, &j->segments[i], &next);
    }
    journal_close(j);
    return cut;
}

uint64_t journal_first(const struct journal *j)
{
    return j->count ? j->segments[0].first : j->last + 1;
}

uint64_t journal_last(const struct journal *j)
{
    return j->last;
}

uint64_t journal_bytes(const struct journal *j)
{
    return j->bytes;
}

size_t journal_segments(const struct journal *j)
{
    return j->count;
}

uint64_t journal_segment(const struct journal *j, size_t index)
{
    return j->segments[index].first;
}

bool journal_begins(const struct journal *j)
{
    return j->fd < 0 || !j->count || j->segments[j->count - 1].bytes >= JOURNAL_SEGMENT_BYTES;
}

void journal_source(const struct journal *j, uint64_t *source, uint32_t *epoch)
{
    *source = j->source;
    *epoch = j->epoch;
}

static bool begin_segment(struct journal *j, struct err *e)
{
    if (j->fd >= 0)
        close(j->fd);
    scoped(string) char *path = segment_path(j, j->last + 1);
    j->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_APPEND, 0600);
    if (j->fd < 0)
        return fail_errno(e, 503, "the log file %.150s cannot be made", path);
    j->segments = xrealloc(j->segments, (j->count + 1) * sizeof(*j->segments));
    j->segments[j->count++] = (struct segment){j->last + 1, 0};
    j->round = 0;
    sync_path(j->sync, j->dir);
    return true;
}

static bool write_whole(int fd, struct bytes data, struct err *e)
{
    while (data.len) {
        ssize_t written = write(fd, data.data, data.len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return fail_errno(e, 503, "the log cannot be written");
        data.data += written;
        data.len -= (size_t)written;
    }
    return true;
}

/* What the batch brings: its last sequence, and the last message of a host in it. */
static void note_batch(struct journal *j, struct bytes batch)
{
    struct journal_record record;
    while (journal_next(&batch, &record)) {
        assert(record.sequence == j->last + 1);
        j->last = record.sequence;
        if (record.source) {
            j->source = record.source;
            j->epoch = record.epoch;
        }
    }
    assert(batch.len == 0);
}

static void say_changed(struct journal *j)
{
    if (!j->sync || !j->count || j->round == sync_round(j->sync))
        return;
    scoped(string) char *path = segment_path(j, j->segments[j->count - 1].first);
    j->round = sync_path(j->sync, path);
}

bool journal_append(struct journal *j, struct bytes batch, struct err *e)
{
    bool stored = (!journal_begins(j) || begin_segment(j, e)) && write_whole(j->fd, batch, e);
    note_batch(j, batch);
    if (!stored) {
        while (j->count)
            drop_oldest(j);
        return false;
    }
    j->segments[j->count - 1].bytes += batch.len;
    j->bytes += batch.len;
    say_changed(j);
    while (j->count > 1 && j->bytes > j->limit_bytes)
        drop_oldest(j);
    return true;
}

void journal_release(struct journal *j, uint64_t needed)
{
    while (j->count > 2 && j->segments[1].first <= needed &&
           j->bytes - j->segments[0].bytes >= 2 * JOURNAL_SEGMENT_BYTES)
        drop_oldest(j);
}

struct journal_cursor journal_end(const struct journal *j)
{
    struct journal_cursor end = {.next = j->last + 1};
    if (j->count) {
        end.segment = j->segments[j->count - 1].first;
        end.offset = j->segments[j->count - 1].bytes;
    }
    return end;
}

/* The segment that holds a sequence, which is within first..last. */
static size_t segment_of(const struct journal *j, uint64_t sequence)
{
    size_t low = 0, high = j->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (j->segments[middle].first <= sequence)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* How many bytes of whole records stand at the start of data; their count in *records. */
static size_t whole_records(struct bytes data, uint64_t first, uint64_t *records)
{
    struct bytes rest = data;
    struct journal_record record;
    *records = 0;
    while (rest.len >= JOURNAL_HEAD_BYTES && load_u64le(rest.data + 8) == first + *records &&
           journal_next(&rest, &record))
        (*records)++;
    return data.len - rest.len;
}

/* Reads want bytes at offset, or one record if it is larger. */
static char *read_chunk(int fd, uint64_t offset, uint64_t limit, size_t want, size_t *len)
{
    char head[JOURNAL_HEAD_BYTES];
    if (pread(fd, head, sizeof(head), (off_t)offset) != (ssize_t)sizeof(head))
        return NULL;
    uint64_t total = record_bytes(head);
    if (total == 0 || total > limit)
        return NULL;
    size_t size = total > want ? (size_t)total : limit < want ? (size_t)limit : want;
    char *data = xmalloc(size);
    *len = 0;
    while (*len < size) {
        ssize_t got = pread(fd, data + *len, size - *len, (off_t)(offset + *len));
        if (got <= 0)
            break;
        *len += (size_t)got;
    }
    return data;
}

static struct shared *damaged(const struct journal *j, struct err *e, const char *what)
{
    fail(e, 500, "the log %.150s is damaged: %s", j->dir, what);
    return NULL;
}

static int open_segment(const struct journal *j, const struct segment *segment)
{
    scoped(string) char *path = segment_path(j, segment->first);
    return open(path, O_RDONLY | O_CLOEXEC);
}

struct shared *journal_read(struct journal *j, struct journal_cursor *cursor, size_t want_bytes,
                            struct err *e)
{
    if (cursor->next < journal_first(j) || cursor->next > j->last)
        return NULL;
    const struct segment *segment = &j->segments[segment_of(j, cursor->next)];
    bool is_last = j->fd >= 0 && segment == &j->segments[j->count - 1];
    int fd = is_last ? j->fd : open_segment(j, segment);
    if (fd < 0)
        return damaged(j, e, "a segment is missing");
    if (cursor->segment != segment->first) {
        uint64_t at = segment->first;
        cursor->offset = pass_records(fd, segment->bytes, &at, cursor->next, NULL);
        cursor->segment = segment->first;
    }
    size_t len = 0;
    scoped(string) char *data =
        read_chunk(fd, cursor->offset, segment->bytes - cursor->offset, want_bytes, &len);
    if (!is_last)
        close(fd);
    uint64_t records = 0;
    size_t whole = data ? whole_records((struct bytes){data, len}, cursor->next, &records) : 0;
    if (records == 0) {
        cursor->segment = 0;
        return damaged(j, e, "a record is not where it should be");
    }
    cursor->next += records;
    cursor->offset += whole;
    return shared_new(take(&data), whole);
}

void journal_remove(const char *dir)
{
    DIR *handle = opendir(dir);
    if (!handle)
        return;
    struct dirent *entry;
    while ((entry = readdir(handle)))
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(handle), entry->d_name, 0);
    closedir(handle);
    rmdir(dir);
}
