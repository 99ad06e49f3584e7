/* A client's request, and the table that finds it again by its number long after it was answered:
 * threads and tasks write with the number of the cell that started them. */
#ifndef WARMCELL_KERNEL_HOST_REQUEST_H
#define WARMCELL_KERNEL_HOST_REQUEST_H

#include "kernel/host/allowance.h"
#include "kernel/host/frontend.h"
#include "protocol/message.h"

struct handler; /* what is done with its message type; see kernel.c */

/* Counted references. All members are owned copies but for frontend and handler. */
struct request {
    uint64_t number; /* 0 until it is sent to the interpreter */
    const struct handler *handler;
    struct frontend *frontend;
    enum channel channel;
    char *msg_type;
    struct bytes header;      /* the raw JSON: the parent of everything it causes */
    struct bytes *identities; /* frames */
    size_t identity_count;
    struct bytes parent; /* what the client said it is; these four until request_drop_payload */
    struct bytes metadata;
    struct bytes content;
    struct bytes *buffers;
    size_t buffer_count;
    char *reason; /* when it cannot be run: what the error reply says; or NULL */

    bool execution;                 /* an execute_request; the next two are of such */
    bool stop_on_error;             /* those behind it are not run when it fails */
    int64_t deadline_ms;            /* that it asks for; 0: none */
    int64_t arrived_us, started_us; /* monotonic; started: 0: not yet */
    struct allowance output;

    struct request *next;          /* for the queue */
    struct request *older, *newer; /* for the table */
    struct request *bucket;        /* for the table */
    int references;
    char *block;   /* header and identities */
    char *payload; /* parent, metadata, content and buffers */
};

/* Copies m. One reference, the caller's. */
struct request *request_new(struct frontend *from, const struct message *m, const char *msg_type);
struct request *request_keep(struct request *request); /* another reference; given to the caller */
void request_release(struct request *request);         /* NULL is legal */
SCOPED(request, struct request *, request_release)
void request_drop_payload(struct request *request); /* once it has been sent on */

/* Requests by number: the `limit` used last, and at most REQUEST_TABLE_LIMIT_BYTES of them. */
#define REQUEST_TABLE_LIMIT_BYTES (4u * 1024 * 1024)
struct request_table;
struct request_table *request_table_new(size_t limit);
void request_table_free(struct request_table *table);

/* Adds it (the table keeps a reference of its own). Its number must be set and new. */
void request_table_add(struct request_table *table, struct request *request);

/* Borrowed until the next call; NULL: number 0, never there, or forgotten. Finding it makes it the
 * one used last. */
struct request *request_table_find(struct request_table *table, uint64_t number);

#endif
