/* Artifacts: what was found, where its bytes are, and which execution made it. */
#ifndef WARMCELL_GATEWAY_STORE_ARTIFACT_TABLE_H
#define WARMCELL_GATEWAY_STORE_ARTIFACT_TABLE_H

#include "gateway/store/blob.h"
#include "gateway/store/store.h"
#include "protocol/ids.h"

struct artifact {
    char id[UUID_TEXT];
    char sha256[BLOB_NAME_TEXT]; /* "": not stored, problem says why */
    char created[TIME_TEXT];
    char *mime_type; /* all owned, never NULL ... */
    char *kernel_id;
    char *principal;    /* whose the kernel was; only when it is added */
    char *execution_id; /* msg_id of the request; "" when there was none */
    char *problem;      /* ... but this: NULL when stored */
    int64_t size_bytes;
    int64_t number;    /* counts the artifacts of its kernel from 1; given when it is added */
    int64_t position;  /* in the whole list; likewise */
    uint64_t sequence; /* of the message in the kernel's journal */
};

void artifacts_free(struct artifact *list, size_t count);

/* Adds rows (list is taken). What is there already (same kernel, sequence and MIME type) is passed
 * over. A kernel that has limit artifacts gets one row more, which says that later ones are not
 * kept. full tells that. */
void artifact_table_add(struct store *s, struct artifact *list, size_t count, int64_t limit,
                        void (*done)(void *user, bool full, const struct err *e), void *user);

struct artifact_query {
    const char *id;           /* exactly this one, or the SHA-256 of its bytes; NULL: any */
    const char *kernel_id;    /* NULL: of any */
    const char *execution_id; /* NULL: of any */
    const char *principal;    /* NULL: of any */
    int64_t after;            /* position; 0: from the start */
    int64_t limit;            /* at least 1 */
};

/* Oldest first. list is borrowed for the call of done; e is NULL or 503. */
void artifact_table_list(struct store *s, const struct artifact_query *query,
                         void (*done)(void *user, const struct artifact *list, size_t count,
                                      const struct err *e),
                         void *user);

#endif
