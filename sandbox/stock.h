/* Sandboxes that are made ahead: with the usual limits and no network, no asker holds them, nothing
 * ever ran in them. An OPEN that they fit takes one over in a fraction of the time. */
#ifndef WARMCELL_SANDBOX_STOCK_H
#define WARMCELL_SANDBOX_STOCK_H

#include "sandbox/limits.h"
#include "sandbox/sandbox.h"

struct stock;

/* Keeps so many of them ready; made one at a time, when nobody asked for anything for a while. */
struct stock *stock_new(struct keeper *k, size_t size);
void stock_free(struct stock *stock); /* the sandboxes are the keeper's; NULL is legal */

/* One that is this id's from now on, with these limits; NULL: none is there or fits. stock: NULL is
 * legal. */
struct sandbox *stock_take(struct stock *stock, const char *id, int64_t uid,
                           const struct limits *limits);

size_t stock_count(const struct keeper *k);

/* Somebody asked for something: what is made ahead waits. */
void stock_yield(struct stock *stock);

/* A sandbox of the stock that has this uid gives it up. */
void stock_release_uid(struct keeper *k, uid_t uid);

#endif
