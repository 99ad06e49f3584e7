/* Lists in pages, by the order in which their items were made.
 *
 * A cursor (`next`) names the item that a page ended with, by its time and id, and not by its
 * place: what is made or deleted between two pages neither repeats nor hides anything else. */
#ifndef WARMCELL_GATEWAY_DIALECT_V1_PAGE_H
#define WARMCELL_GATEWAY_DIALECT_V1_PAGE_H

#include <jansson.h>
#include <time.h>

#include "gateway/net/exchange.h"

#define PAGE_LIMIT_DEFAULT 100
#define PAGE_LIMIT_MOST    1000

struct page_item {
    int64_t at_us;
    const char *id; /* borrowed */
    void *object;   /* borrowed */
};

struct page {
    bool newest_first;
    int64_t limit;
    bool goes_on; /* behind these: */
    int64_t after_us;
    const char *after_id; /* borrowed from the exchange */
    struct page_item *items;
    size_t count;
    bool more; /* there is something behind the last item; after page_cut */
};

/* ?limit= and ?after=. 400. */
bool page_read(const struct exchange *x, bool newest_first, struct page *out, struct err *e);
/* One of the list, in any order; what is not behind the cursor is left out. */
void page_add(struct page *p, struct timespec at, const char *id, void *object);
/* The same, where the time is as time_text has it; others are the beginning of all. */
void page_add_text(struct page *p, const char *at, const char *id, void *object);
/* Sorts the items, and leaves those of the page. */
void page_cut(struct page *p);
json_t *page_next(const struct page *p); /* of one that was cut: a cursor, or null; given */
void page_free(struct page *p);          /* what it owns */

#endif
