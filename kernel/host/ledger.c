/* A hash table over msg_ids with a list in order of arrival. Message ids come from clients: the
 * hash is seeded, so that none can be chosen to fall together. */
#include "kernel/host/ledger.h"

#include <string.h>
#include <sys/random.h>

#define BUCKETS 1024

struct ledger {
    struct entry *buckets[BUCKETS];
    struct entry *oldest, *newest;
    size_t count, limit;
    uint64_t seed;
};

struct ledger *ledger_new(size_t limit)
{
    struct ledger *ledger = xcalloc(1, sizeof *ledger);
    ledger->limit = limit;
    if (getrandom(&ledger->seed, sizeof ledger->seed, 0) < 0)
        ledger->seed = (uint64_t)(uintptr_t)ledger;
    return ledger;
}

void ledger_free(struct ledger *ledger)
{
    if (!ledger)
        return;
    while (ledger->oldest)
        ledger_remove(ledger, ledger->oldest);
    free(ledger);
}

static struct entry **bucket_of(struct ledger *ledger, const char *msg_id)
{
    uint64_t hash = ledger->seed;
    for (; *msg_id; msg_id++)
        hash = (hash ^ (unsigned char)*msg_id) * 0x100000001b3u; /* FNV-1a */
    return &ledger->buckets[(hash ^ hash >> 32) % BUCKETS];
}

struct entry *ledger_add(struct ledger *ledger, struct request *request, const char *msg_id)
{
    if (ledger->count == ledger->limit)
        ledger_remove(ledger, ledger->oldest);
    struct entry *entry = xcalloc(1, sizeof *entry);
    *entry = (struct entry){.request = request, .msg_id = xstrdup(msg_id), .older = ledger->newest};
    struct entry **bucket = bucket_of(ledger, msg_id);
    entry->bucket = *bucket;
    *bucket = entry;
    *(ledger->newest ? &ledger->newest->newer : &ledger->oldest) = entry;
    ledger->newest = entry;
    ledger->count++;
    return entry;
}

struct entry *ledger_find(struct ledger *ledger, const char *msg_id)
{
    struct entry *entry = *bucket_of(ledger, msg_id);
    while (entry && strcmp(entry->msg_id, msg_id) != 0)
        entry = entry->bucket;
    return entry;
}

struct entry *ledger_oldest(struct ledger *ledger)
{
    return ledger->oldest;
}

void ledger_remove(struct ledger *ledger, struct entry *entry)
{
    struct entry **at = bucket_of(ledger, entry->msg_id);
    while (*at != entry)
        at = &(*at)->bucket;
    *at = entry->bucket;
    *(entry->older ? &entry->older->newer : &ledger->oldest) = entry->newer;
    *(entry->newer ? &entry->newer->older : &ledger->newest) = entry->older;
    ledger->count--;
    request_release(entry->request);
    free(entry->msg_id);
    free(entry);
}
