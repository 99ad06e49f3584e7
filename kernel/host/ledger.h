/* The requests that are with a foreign kernel: who asked, and what is still owed. Found by msg_id,
 * kept in the order in which they were sent. */
#ifndef WARMCELL_KERNEL_HOST_LEDGER_H
#define WARMCELL_KERNEL_HOST_LEDGER_H

#include "kernel/host/request.h"

/* All owned by the ledger. */
struct entry {
    struct request *request;
    char *msg_id;
    bool begun;     /* its `busy` has been seen */
    bool replied;   /* or it is of a type that has no reply */
    bool idle_seen; /* its `idle` has been seen */
    struct entry *older, *newer;
    struct entry *bucket;
};

struct ledger;

/* limit: how many entries are kept; adding one more drops the oldest. */
struct ledger *ledger_new(size_t limit);
void ledger_free(struct ledger *ledger);

/* request: the reference is taken. Returns the entry, borrowed until it is removed or dropped. */
struct entry *ledger_add(struct ledger *ledger, struct request *request, const char *msg_id);
struct entry *ledger_find(struct ledger *ledger, const char *msg_id); /* the newest; NULL: none */
struct entry *ledger_oldest(struct ledger *ledger);                   /* NULL: none */
void ledger_remove(struct ledger *ledger, struct entry *entry);

#endif
