/* Requests and the table from number to request: a hash table with a list in order of use. */
#include "kernel/host/request.h"

#include <assert.h>

#define BUCKETS 1024

static char *place(char *at, struct bytes from, struct bytes *to)
{
    if (from.len)
        memcpy(at, from.data, from.len);
    *to = (struct bytes){at, from.len};
    return at + from.len;
}

static size_t sum(const struct bytes *parts, size_t count)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += parts[i].len;
    return total;
}

static void copy_payload(struct request *request, const struct message *m)
{
    size_t array = m->buffer_count * sizeof(struct bytes);
    request->payload = xmalloc(array + m->parent.len + m->metadata.len + m->content.len +
                               sum(m->buffers, m->buffer_count));
    request->buffers = (struct bytes *)request->payload;
    request->buffer_count = m->buffer_count;
    char *at = request->payload + array;
    at = place(at, m->parent, &request->parent);
    at = place(at, m->metadata, &request->metadata);
    at = place(at, m->content, &request->content);
    for (size_t i = 0; i < m->buffer_count; i++)
        at = place(at, m->buffers[i], &request->buffers[i]);
}

struct request *request_new(struct frontend *from, const struct message *m, const char *msg_type)
{
    struct request *request = xcalloc(1, sizeof *request);
    request->references = 1;
    request->frontend = from;
    request->channel = m->channel;
    size_t array = m->identity_count * sizeof(struct bytes);
    size_t type_len = strlen(msg_type) + 1;
    request->block =
        xmalloc(array + m->header.len + sum(m->identities, m->identity_count) + type_len);
    request->identities = (struct bytes *)request->block;
    request->identity_count = m->identity_count;
    char *at = request->block + array;
    at = place(at, m->header, &request->header);
    for (size_t i = 0; i < m->identity_count; i++)
        at = place(at, m->identities[i], &request->identities[i]);
    request->msg_type = memcpy(at, msg_type, type_len);
    copy_payload(request, m);
    return request;
}

struct request *request_keep(struct request *request)
{
    request->references++;
    return request;
}

void request_drop_payload(struct request *request)
{
    free(request->payload);
    request->payload = NULL;
    request->parent = request->metadata = request->content = (struct bytes){0};
    request->buffers = NULL;
    request->buffer_count = 0;
}

void request_release(struct request *request)
{
    if (!request || --request->references > 0)
        return;
    free(request->block);
    free(request->payload);
    free(request->reason);
    free(request);
}

struct request_table {
    struct request *buckets[BUCKETS];
    struct request *oldest, *newest;
    size_t count, limit;
    size_t bytes;
};

struct request_table *request_table_new(size_t limit)
{
    struct request_table *table = xcalloc(1, sizeof *table);
    table->limit = limit;
    return table;
}

static size_t weight(const struct request *request)
{
    return sizeof *request + request->header.len +
           sum(request->identities, request->identity_count);
}

static void unlink_use(struct request_table *table, struct request *request)
{
    *(request->older ? &request->older->newer : &table->oldest) = request->newer;
    *(request->newer ? &request->newer->older : &table->newest) = request->older;
    request->older = request->newer = NULL;
}

static void link_newest(struct request_table *table, struct request *request)
{
    request->older = table->newest;
    *(table->newest ? &table->newest->newer : &table->oldest) = request;
    table->newest = request;
}

static void forget_oldest(struct request_table *table)
{
    struct request *request = table->oldest;
    struct request **at = &table->buckets[request->number % BUCKETS];
    while (*at != request)
        at = &(*at)->bucket;
    *at = request->bucket;
    unlink_use(table, request);
    table->count--;
    table->bytes -= weight(request);
    request_release(request);
}

void request_table_free(struct request_table *table)
{
    if (!table)
        return;
    while (table->oldest)
        forget_oldest(table);
    free(table);
}

void request_table_add(struct request_table *table, struct request *request)
{
    assert(request->number > 0);
    struct request **bucket = &table->buckets[request->number % BUCKETS];
    request->bucket = *bucket;
    *bucket = request_keep(request);
    link_newest(table, request);
    table->count++;
    table->bytes += weight(request);
    while (table->oldest != request &&
           (table->count > table->limit || table->bytes > REQUEST_TABLE_LIMIT_BYTES))
        forget_oldest(table);
}

struct request *request_table_find(struct request_table *table, uint64_t number)
{
    struct request *request = table->buckets[number % BUCKETS];
    while (request && request->number != number)
        request = request->bucket;
    if (!request)
        return NULL;
    if (request != table->newest) {
        unlink_use(table, request);
        link_newest(table, request);
    }
    return request;
}
