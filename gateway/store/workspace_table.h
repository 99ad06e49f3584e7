/* What is known of the files in the workspaces of sandboxes, and what runs changed in them.
 *
 * A run is an execution or a command. It is settled when what it left in the workspace was looked
 * for: that, its artifacts and the files as they are known now are written in one transaction, so a
 * run is settled once, whatever is killed when. */
#ifndef WARMCELL_GATEWAY_STORE_WORKSPACE_TABLE_H
#define WARMCELL_GATEWAY_STORE_WORKSPACE_TABLE_H

#include "gateway/store/artifact_table.h"

/* One name in a workspace as it was seen. */
struct workspace_file {
    char *path; /* owned; relative; any bytes but NUL; "": the workspace itself, which says that it
                   was looked at before */
    char kind;  /* 'f' a file, 'l' a link, 'o' a FIFO, a socket or a device, 'w' the workspace */
    int64_t inode, size_bytes, modified_ns, changed_ns;
    char sha256[BLOB_NAME_TEXT]; /* of a file; "": not known */
};

/* By path, as bytes. {0} is empty. */
struct workspace_files {
    struct workspace_file *list; /* owned */
    size_t count, capacity;
};
void workspace_files_free(struct workspace_files *files); /* what it owns; it is empty then */
/* At the end; path is taken. */
struct workspace_file *workspace_files_add(struct workspace_files *files, char *path);

enum workspace_change_flags {
    WORKSPACE_CHANGE_SHARED = 1, /* others ran at that time, too: who made it is not known */
    WORKSPACE_CHANGE_OUTSIDE =
        2, /* it was made while nothing ran, by what an earlier run had left */
};

struct workspace_change {
    char *path;       /* owned */
    const char *what; /* "added", "changed" or "deleted"; borrowed for ever */
    char before_sha256[BLOB_NAME_TEXT], sha256[BLOB_NAME_TEXT]; /* "": not known, or nothing */
    int64_t before_bytes, size_bytes;                           /* -1: nothing */
    char artifact_id[UUID_TEXT];                                /* "": its bytes were not kept */
    char *problem; /* owned: why they were not; NULL: they were, or there are none */
    int flags;
    int64_t position;          /* in the list of all; when it is read */
    size_t run;                /* whose it is, in the settlement; when it is written */
    struct artifact *artifact; /* likewise, owned: what is kept; NULL: nothing */
};
void workspace_changes_free(struct workspace_change *list, size_t count);

struct settled_run {
    char id[UUID_TEXT];
    bool is_command;
    int64_t passed_over; /* changes beyond what is recorded of one run */
    char *problem;       /* owned: why nothing could be looked for; NULL */
    char *json;          /* owned; of the result: what is written of it (docs/gateway.md) */
};

struct settlement {
    char *sandbox_id; /* owned, as all here */
    struct settled_run *runs;
    size_t run_count;
    struct workspace_change *changes;
    size_t change_count;
    struct workspace_file *seen; /* new, or not as it was known */
    size_t seen_count;
    char **gone; /* paths */
    size_t gone_count;
};
void settlement_free(struct settlement *s); /* NULL is legal */

/* Writes it; done gets it back with the json of each run. artifacts_most: as in artifact_table_add.
 * e: 503; nothing was written. */
void workspace_table_settle(struct store *s, struct settlement *settlement, int64_t artifacts_most,
                            void (*done)(void *user, struct settlement *settlement,
                                         const struct err *e),
                            void *user);

/* What is known of a sandbox's files, and how many bytes of its artifacts are kept. done may take
 * files. e: 503. */
void workspace_table_load(struct store *s, const char *sandbox_id,
                          void (*done)(void *user, struct workspace_files *files,
                                       int64_t kept_bytes, const struct err *e),
                          void *user);

/* The changes of a run behind a position, in the order of their paths; list is borrowed for the
 * call. limit: at least 1. e: 503. */
struct workspace_change_query {
    const char *sandbox_id, *run_id;
    int64_t after, limit;
};
void workspace_table_changes(struct store *s, const struct workspace_change_query *query,
                             void (*done)(void *user, const struct workspace_change *list,
                                          size_t count, const struct err *e),
                             void *user);

/* Forgets a sandbox that is gone; its artifacts stay. */
void workspace_table_remove(struct store *s, const char *sandbox_id);

#endif
