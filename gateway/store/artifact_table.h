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
    char *mime_type;    /* all owned, never NULL ... */
    char *kernel_id;    /* "": of a command */
    char *sandbox_id;   /* "": of a kernel that is in none */
    char *principal;    /* whose the kernel was; only when it is added */
    char *execution_id; /* msg_id of the request; "" when there was none */
    char *command_id;   /* "": of no command */
    char *path;         /* ... but these: of a file, in the workspace; NULL: of a display */
    char *problem;      /* NULL when stored */
    int64_t size_bytes;
    int64_t width, height; /* of a picture; 0: not known */
    int64_t number;   /* counts the artifacts of its kernel (or of the commands of its sandbox) from
                         1; given when it is added */
    int64_t position; /* in the whole list; likewise */
    uint64_t sequence; /* of the message in the kernel's journal; of a display */
};

void artifacts_free(struct artifact *list, size_t count);

/* Adds rows (list is taken). What is there already (same kernel, sequence and MIME type) is passed
 * over. A kernel that has limit artifacts gets one row more, which says that later ones are not
 * kept. full tells that. */
void artifact_table_add(struct store *s, struct artifact *list, size_t count, int64_t limit,
                        void (*done)(void *user, bool full, const struct err *e), void *user);
/* The same of one, from a job of another table; a stays the caller's. full is only ever set. */
void artifact_insert(struct database *db, struct artifact *a, int64_t limit, bool *full,
                     struct err *e);

enum artifact_kind { ARTIFACT_ANY, ARTIFACT_DISPLAY, ARTIFACT_FILE };

struct artifact_query {
    const char *id;           /* exactly this one, or the SHA-256 of its bytes; NULL: any */
    const char *kernel_id;    /* NULL: of any */
    const char *sandbox_id;   /* NULL: of any */
    const char *execution_id; /* NULL: of any */
    const char *command_id;   /* NULL: of any */
    const char *mime_type;    /* "image/png", or "image/" and what begins so; NULL: any */
    const char *principal;    /* NULL: of any */
    enum artifact_kind kind;
    int64_t after; /* position; 0: from the start */
    int64_t limit; /* at least 1 */
};

/* Forgets one by its id; its bytes go when no other has them and they are collected. principal:
 * NULL: of any. done: e: NULL, 404 there is none, 503. */
void artifact_table_remove(struct store *s, const char *id, const char *principal,
                           void (*done)(void *user, const struct err *e), void *user);

/* Oldest first. list is borrowed for the call of done; e is NULL or 503. */
void artifact_table_list(struct store *s, const struct artifact_query *query,
                         void (*done)(void *user, const struct artifact *list, size_t count,
                                      const struct err *e),
                         void *user);

#endif
