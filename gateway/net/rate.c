/* Buckets of principals. One that is full again is as good as none, and makes room for another. */
#include "gateway/net/rate.h"

#include <string.h>

#include "gateway/net/principal.h"
#include "protocol/memory.h"

#define PLACES 256

struct bucket {
    char name[PRINCIPAL_LIMIT + 1];
    double left, most; /* most: of a second */
    int64_t seen_ms;
    struct bucket *next;
};

struct rate {
    struct bucket *places[PLACES];
};

struct rate *rate_new(void)
{
    return xcalloc(1, sizeof(struct rate));
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

static void fill(struct bucket *b, int64_t now_ms)
{
    b->left += (double)(now_ms - b->seen_ms) * b->most / 1000;
    if (b->left > b->most)
        b->left = b->most;
    b->seen_ms = now_ms;
}

/* The bucket of name; those beside it that are full go. */
static struct bucket *find(struct rate *r, const char *name, double most, int64_t now_ms)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (const char *at = name; *at; at++)
        hash = (hash ^ (unsigned char)*at) * 16777619u;
    struct bucket **place = &r->places[hash % PLACES], *found = NULL;
    while (*place) {
        struct bucket *b = *place;
        fill(b, now_ms);
        if (strcmp(b->name, name) == 0)
            found = b;
        if (b->left >= b->most && b != found) {
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
    (*place)->left = (*place)->most = most;
    (*place)->seen_ms = now_ms;
    return *place;
}

bool rate_take(struct rate *r, const char *principal, int64_t per_second, int64_t now_ms)
{
    struct bucket *b = find(r, principal, (double)per_second, now_ms);
    if (b->left < 1)
        return false;
    b->left -= 1;
    return true;
}
