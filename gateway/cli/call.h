/* One HTTP request to the gateway and its reply, on a connection of its own; blocking. */
#ifndef WARMCELL_GATEWAY_CLI_CALL_H
#define WARMCELL_GATEWAY_CLI_CALL_H

#include <jansson.h>

#include "gateway/cli/target.h"
#include "protocol/bytes.h"
#include "protocol/memory.h"

#define CALL_BODY_FOLLOWS_CHUNKED (-1)
#define CALL_ANSWER_LIMIT_BYTES   (64 * 1024 * 1024)

struct call;

/* All borrowed during call_send. */
struct call_request {
    const char *method;
    const char *path;   /* encoded, "/v1/…", with the query; the base url is put before it */
    const char *accept; /* NULL: any */
    const char *content_type; /* NULL: none */
    struct bytes body;
    bool body_follows;    /* body is sent by call_write */
    int64_t length_bytes; /* of a body that follows; CALL_BODY_FOLLOWS_CHUNKED: nobody knows */
};

/* Connects and sends head and body. t must outlive the call. CLI_UNREACHED. */
struct call *call_send(const struct target *t, const struct call_request *r, struct err *e);
void call_free(struct call *c);
SCOPED(call, struct call *, call_free)

/* Sends body, and begins a reply that is a stream of lines of JSON. NULL: e, as of call_accepted,
 * or CLI_USAGE when a word of the body is not UTF-8. */
struct call *call_events(const struct target *t, const char *path, const json_t *body,
                         struct err *e);

/* A piece of a body that follows. False without e->status when the gateway takes no more of it: its
 * reply says why. */
bool call_write(struct call *c, struct bytes piece, struct err *e);
bool call_finish(struct call *c, struct err *e); /* the body's end */

/* Waits for the head of the reply. False: CLI_FAILED, the connection broke; else a status of 400
 * and above, with the gateway's own sentence. */
bool call_accepted(struct call *c, struct err *e);
int call_status(const struct call *c);
/* The path that the Location of the reply names, without the base url; borrowed. "": none. */
const char *call_location(const struct call *c);

/* Waits for the next piece of the reply's body, borrowed until the next call; empty: its end. */
bool call_next(struct call *c, struct bytes *piece, struct err *e);

/* Did the connection break, or the reply end before it was whole? */
bool call_broken(const struct call *c);

/* Would call_next not wait, by what has been read already? Else it would not once call_fd is
 * readable. */
bool call_ready(const struct call *c);
int call_fd(const struct call *c);

/* The whole of it for JSON: body (borrowed, NULL: none) is sent, the answer is given to the caller
 * (NULL with e: refused, or it broke; a JSON null when the reply is empty). */
json_t *call_json(const struct target *t, const char *method, const char *path, const json_t *body,
                  struct err *e);

/* The same without a body at folder/name, of which name is encoded. */
json_t *call_named(const struct target *t, const char *method, const char *folder, const char *name,
                   struct err *e);

/* All items of a list that comes in pages: those in `member` at path, which has a query already,
 * and behind every `next`. Given. */
json_t *call_list(const struct target *t, const char *path, const char *member, struct err *e);

#endif
