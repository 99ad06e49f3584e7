/* A doubly linked ring that objects carry inside themselves: no allocation, removal in one step. */
#ifndef WARMCELL_GATEWAY_NET_LIST_H
#define WARMCELL_GATEWAY_NET_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next;
    struct list *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

/* Adds item, which must be in no list, at the end. */
static inline void list_add(struct list *l, struct list *item)
{
    item->prev = l->prev;
    item->next = l;
    l->prev->next = item;
    l->prev = item;
}

/* Takes item out of its list; harmless for one that is in none. */
static inline void list_remove(struct list *item)
{
    item->prev->next = item->next;
    item->next->prev = item->prev;
    list_init(item);
}

/* The object that carries this link. */
#define list_owner(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

/* The body may remove the current item, but no other. */
#define list_each(list_, item)                                                                     \
    for (struct list *item = (list_)->next, *after_ = item->next; item != (list_);                 \
         item = after_, after_ = item->next)

#endif
