/* Buckets of principals. One that is full again is as good as none, and makes room for another. */
#include "gateway/net/rate.h"

#include <string.h>

#include "gateway/net/principal.h"
#include "protocol/memory.h"

#define PLACES 256

struct bucket {
    char name[PRINCIPAL_LIMIT + 1];
    double left;
    int64_t seen_ms;
    struct bucket *next;
};

struct rate {
    double per_ms, most;
    struct bucket *places[PLACES];
};

struct rate *rate_new(int64_t per_second)
{
    struct rate *r = xcalloc(1, sizeof *r);
    r->per_ms = (double)per_second / 1000;
    r->most = (double)per_second;
    return r;
}

void rate_free(struct rate *r)
{
    for (size_t i = 0; r && i < PLACES; i++)
        while (r->places[i]) {
            struct bucket *next = r->places[i]->next;
            free(r->places[i]);
            r->places[i] = next;
        }
    free(r);
}

static void fill(const struct rate *r, struct bucket *b, int64_t now_ms)
{
    b->left += (double)(now_ms - b->seen_ms) * r->per_ms;
    if (b->left > r->most)
        b->left = r->most;
    b->seen_ms = now_ms;
}

/* The bucket of name; those beside it that are full go. */
static struct bucket *find(struct rate *r, const char *name, int64_t now_ms)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (const char *at = name; *at; at++)
        hash = (hash ^ (unsigned char)*at) * 16777619u;
    struct bucket **place = &r->places[hash % PLACES], *found = NULL;
    while (*place) {
        struct bucket *b = *place;
        fill(r, b, now_ms);
        if (strcmp(b->name, name) == 0)
            found = b;
        if (b->left >= r->most && b != found) {
            *place = b->next;
            free(b);
        } else {
            place = &b->next;
        }
    }
    if (found)
        return found;
    *place = xcalloc(1, sizeof **place);
    strncpy((*place)->name, name, PRINCIPAL_LIMIT);
    (*place)->left = r->most;
    (*place)->seen_ms = now_ms;
    return *place;
}

bool rate_take(struct rate *r, const char *principal, int64_t now_ms)
{
    struct bucket *b = find(r, principal, now_ms);
    if (b->left < 1)
        return false;
    b->left -= 1;
    return true;
}
