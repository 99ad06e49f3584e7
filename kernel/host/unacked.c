/* A ring of numbered messages. When memory is full a new message goes to the file, the older ones
 * stay where they are; the file is forgotten from its start as they are acknowledged in order. */
#include "kernel/host/unacked.h"

#include <assert.h>

#include "kernel/host/report.h"
#include "kernel/host/spill.h"

struct entry {
    char *data; /* NULL: in the file */
    size_t len;
    int64_t offset;
};

struct unacked {
    struct entry *ring;
    size_t capacity; /* a power of two */
    uint64_t first, last;
    size_t memory, bytes, memory_limit;
    struct spill *spill;
    struct buffer scratch; /* a message read back */
    bool failed;
};

struct unacked *unacked_new(const char *directory, size_t memory_bytes)
{
    struct unacked *u = xcalloc(1, sizeof *u);
    u->spill = spill_new(directory);
    u->memory_limit = memory_bytes;
    u->first = 1;
    u->capacity = 64;
    u->ring = xcalloc(u->capacity, sizeof *u->ring);
    return u;
}

static struct entry *entry(const struct unacked *u, uint64_t number)
{
    assert(number >= u->first && number <= u->last);
    return &u->ring[number & (u->capacity - 1)];
}

void unacked_free(struct unacked *u)
{
    if (!u)
        return;
    unacked_ack(u, u->last);
    spill_free(u->spill);
    buffer_free(&u->scratch);
    free(u->ring);
    free(u);
}

static void grow(struct unacked *u)
{
    size_t capacity = 2 * u->capacity;
    struct entry *ring = xcalloc(capacity, sizeof *ring);
    for (uint64_t n = u->first; n <= u->last; n++)
        ring[n & (capacity - 1)] = *entry(u, n);
    free(u->ring);
    u->ring = ring;
    u->capacity = capacity;
}

static bool to_file(struct unacked *u, struct bytes data, struct entry *out)
{
    struct err e;
    if (spill_write(u->spill, data, &out->offset, &e)) {
        u->failed = false;
        return true;
    }
    if (!u->failed)
        report("%s; it is kept in memory", e.text);
    u->failed = true;
    return false;
}

void unacked_add(struct unacked *u, struct buffer *frame)
{
    if (u->last + 1 - u->first == u->capacity)
        grow(u);
    u->last++;
    struct entry *added = entry(u, u->last);
    *added = (struct entry){.len = frame->len};
    u->bytes += frame->len;
    bool full = u->memory + frame->len > u->memory_limit;
    if (full && to_file(u, buffer_view(frame), added)) {
        buffer_free(frame);
        return;
    }
    u->memory += frame->len;
    size_t len, spare = frame->capacity - frame->len;
    added->data = buffer_take(frame, &len);
    if (spare > len / 4 + 64)
        added->data = xrealloc(added->data, len ? len : 1);
}

uint64_t unacked_last(const struct unacked *u)
{
    return u->last;
}

uint64_t unacked_first(const struct unacked *u)
{
    return u->first;
}

size_t unacked_bytes(const struct unacked *u)
{
    return u->bytes;
}

void unacked_ack(struct unacked *u, uint64_t number)
{
    int64_t forget = -1;
    if (number > u->last)
        number = u->last;
    for (; u->first <= number; u->first++) {
        struct entry *gone = entry(u, u->first);
        u->bytes -= gone->len;
        if (gone->data)
            u->memory -= gone->len;
        else
            forget = gone->offset + (int64_t)gone->len;
        free(gone->data);
        gone->data = NULL;
    }
    if (forget >= 0)
        spill_forget(u->spill, forget);
}

bool unacked_in_memory(const struct unacked *u, uint64_t number)
{
    return entry(u, number)->data != NULL;
}

size_t unacked_size(const struct unacked *u, uint64_t number)
{
    return entry(u, number)->len;
}

static struct bytes read_back(struct unacked *u, int64_t offset, size_t len)
{
    struct err e;
    buffer_clear(&u->scratch);
    char *space = buffer_reserve(&u->scratch, len);
    if (!spill_read(u->spill, offset, space, len, &e)) {
        report("%s", e.text);
        return (struct bytes){0};
    }
    u->scratch.len = len;
    return buffer_view(&u->scratch);
}

struct bytes unacked_get(struct unacked *u, uint64_t number)
{
    const struct entry *wanted = entry(u, number);
    if (wanted->data)
        return (struct bytes){wanted->data, wanted->len};
    return read_back(u, wanted->offset, wanted->len);
}

struct bytes unacked_get_run(struct unacked *u, uint64_t number, size_t most_bytes, uint64_t *last)
{
    const struct entry *first = entry(u, number);
    size_t len = first->len;
    for (*last = number; *last < u->last; ++*last) {
        const struct entry *next = entry(u, *last + 1);
        bool behind = !next->data && next->offset == first->offset + (int64_t)len;
        if (!behind || len + next->len > most_bytes)
            break;
        len += next->len;
    }
    return read_back(u, first->offset, len);
}
