/* Cursors: "TIME-ID", microseconds since 1970 and the id of an item. Clients pass them back as they
 * are. */
#include "gateway/dialect/v1_page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/dialect/v1.h"
#include "protocol/ids.h"
#include "protocol/memory.h"

static bool read_cursor(const char *text, struct page *out, struct err *e)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 18 || text[digits] != '-' || !id_valid(text + digits + 1))
        return fail(e, 400, "after: must be what `next` of a page said");
    out->goes_on = true;
    out->after_us = strtoll(text, NULL, 10);
    out->after_id = text + digits + 1;
    return true;
}

bool page_read(const struct exchange *x, bool newest_first, struct page *out, struct err *e)
{
    const char *after = exchange_query(x, "after");
    *out = (struct page){.newest_first = newest_first, .limit = PAGE_LIMIT_DEFAULT};
    return v1_query_number(x, "limit", 1, PAGE_LIMIT_MOST, &out->limit, e) &&
           (!after || read_cursor(after, out, e));
}

void page_add_text(struct page *p, const char *at, const char *id, void *object)
{
    struct tm parts = {0};
    struct timespec when = {0};
    const char *rest = at ? strptime(at, "%Y-%m-%dT%H:%M:%S", &parts) : NULL;
    if (rest)
        when.tv_sec = timegm(&parts);
    if (rest && *rest == '.')
        when.tv_nsec = strtol(rest + 1, NULL, 10) * 1000; /* always six digits */
    page_add(p, when, id, object);
}

static int compare(const struct page_item *a, const struct page_item *b)
{
    return a->at_us != b->at_us ? (a->at_us > b->at_us) - (a->at_us < b->at_us)
                                : strcmp(a->id, b->id);
}

static int oldest_first(const void *a, const void *b)
{
    return compare(a, b);
}

static int newest_first(const void *a, const void *b)
{
    return compare(b, a);
}

void page_add(struct page *p, struct timespec at, const char *id, void *object)
{
    const struct page_item last = {p->after_us, p->after_id, NULL};
    const struct page_item item = {(int64_t)at.tv_sec * 1000000 + at.tv_nsec / 1000, id, object};
    int order = p->goes_on ? compare(&item, &last) : 0;
    if (p->goes_on && (p->newest_first ? order >= 0 : order <= 0))
        return;
    p->items = xrealloc(p->items, (p->count + 1) * sizeof(*p->items));
    p->items[p->count++] = item;
}

void page_cut(struct page *p)
{
    if (p->count)
        qsort(p->items, p->count, sizeof(*p->items), p->newest_first ? newest_first : oldest_first);
    p->more = p->count > (size_t)p->limit;
    if (p->more)
        p->count = (size_t)p->limit;
}

json_t *page_next(const struct page *p)
{
    if (!p->more)
        return json_null();
    const struct page_item *last = &p->items[p->count - 1];
    scoped(string) char *text = xasprintf("%lld-%s", (long long)last->at_us, last->id);
    return json_string(text);
}

void page_free(struct page *p)
{
    free(p->items);
    p->items = NULL;
    p->count = 0;
}
