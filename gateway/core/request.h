/* The requests that a kernel has not answered yet, so that each gets an answer also when its host
 * is gone. */
#ifndef WARMCELL_GATEWAY_CORE_REQUEST_H
#define WARMCELL_GATEWAY_CORE_REQUEST_H

#include "protocol/bytes.h"
#include "protocol/message.h"

#define REQUESTS_LIMIT       10000             /* beyond, the oldest are forgotten */
#define REQUESTS_LIMIT_BYTES (4 * 1024 * 1024) /* of headers */

struct request {
    char *msg_id;
    char *msg_type; /* ends in "_request" */
    char *identity;
    char *header; /* raw */
    enum channel channel;
    struct request *next;
};

/* {0} is empty. Oldest first. */
struct requests {
    struct request *first, **end;
    size_t count;
    size_t bytes;
};

/* Notes a client's message if it is a request. 400: the header has no msg_id or msg_type. */
bool requests_add(struct requests *r, const char *identity, const struct message *m, struct err *e);

/* A reply came: parent is its raw parent header. */
void requests_answered(struct requests *r, struct bytes parent);

bool requests_awaited(const struct requests *r, const char *msg_type); /* one at least */

/* Takes the oldest out; NULL: none. Given to the caller (request_free). */
struct request *requests_take(struct requests *r);
void request_free(struct request *request);
void requests_clear(struct requests *r);

#endif
