/* Executions: what was asked, and how it ended. What came out is in the kernel's journal. */
#ifndef WARMCELL_GATEWAY_STORE_EXECUTION_TABLE_H
#define WARMCELL_GATEWAY_STORE_EXECUTION_TABLE_H

#include "gateway/store/store.h"
#include "protocol/ids.h"

#define EXECUTION_STATUS_TEXT 16
#define EXECUTION_SHA256_TEXT 65
#define EXECUTIONS_KEPT_BYTES (256 * 1024 * 1024) /* of those of a sandbox that have ended */

/* {0} is empty. The pointers are owned. */
struct execution_row {
    char id[UUID_TEXT];
    char status[EXECUTION_STATUS_TEXT]; /* until it has ended that of when it was added: the present
                                           one is known to core alone */
    char created[TIME_TEXT], started[TIME_TEXT], ended[TIME_TEXT]; /* "": not yet */
    int64_t position; /* in the list of all; given by core, counts up */
    char *sandbox_id, *kernel_id, *context;
    uint64_t first_sequence; /* none of its messages is before it in the kernel's journal */
    uint64_t last_sequence;  /* 0: not ended, or never said anything */
    uint64_t events;         /* how many it has had, when it ended */
    char *asked;             /* JSON object */
    char *outcome;           /* JSON object; NULL: not ended */
    char *key;               /* unique in its sandbox; NULL: none */
    char *settled;           /* JSON object (workspace_table.h), written there; NULL: not settled */
    char body_sha256[EXECUTION_SHA256_TEXT]; /* once_digest (core/once.h) of the request that
                                                brought the key; "": no key */
};

void execution_row_copy(struct execution_row *out, const struct execution_row *from);
void execution_row_clear(struct execution_row *row);
/* Of asked, and of outcome. */
size_t execution_row_bytes(const struct execution_row *row);
/* How long `asked` is before its last member, which is the code. */
size_t execution_asked_head(const char *asked, size_t len);
void execution_rows_free(struct execution_row *list, size_t count);

/* Adds a row, of one that may have ended already; it is copied. With a key that is taken in its
 * sandbox nothing is added and `found` is the row that has it; else found is NULL. done comes after
 * the commit; e: 503. Of its sandbox those that have ended and are older than the newest `keep` (0:
 * all are kept), or than the newest EXECUTIONS_KEPT_BYTES of them, go now and then: a sixteenth
 * more may be there, at most 625. */
void execution_table_add(struct store *s, const struct execution_row *row, int64_t keep,
                         void (*done)(void *user, const struct execution_row *found,
                                      const struct err *e),
                         void *user);

/* Writes status, started, ended, last_sequence, events and outcome of the row with that id. */
void execution_table_end(struct store *s, const struct execution_row *row,
                         void (*done)(void *user, const struct err *e), void *user);

/* All borrowed for the call; NULL: any. */
struct execution_query {
    const char *sandbox_id;
    const char *id;
    const char *kernel_id;
    const char *status; /* of one that has ended */
    int64_t after;      /* position; 0: from the start */
    int64_t limit;      /* at least 1 */
    size_t limit_bytes; /* 0: none. Else their code is "", and behind so many bytes (of asked and
                           outcome) comes one more row at most */
};

/* Oldest first. list is borrowed for the call of done; e is NULL or 503. */
void execution_table_list(struct store *s, const struct execution_query *query,
                          void (*done)(void *user, const struct execution_row *list, size_t count,
                                       const struct err *e),
                          void *user);

/* Those that have not ended or are not settled, oldest first, and the highest position of all:
 * while the gateway starts. *list is given (execution_rows_free). */
bool execution_table_load(struct store *s, struct execution_row **list, size_t *count,
                          int64_t *last_position, struct err *e);

/* Forgets those of a sandbox that is gone. */
void execution_table_remove(struct store *s, const char *sandbox_id);

#endif
