/* Builds each message once, and gives it to the frontends it is for. */
#ifndef WARMCELL_KERNEL_HOST_PUBLISH_H
#define WARMCELL_KERNEL_HOST_PUBLISH_H

#include "kernel/host/death.h"
#include "kernel/host/frontend.h"
#include "kernel/host/request.h"

#define FRONTENDS_LIMIT 2

/* What a message holds besides its header. Empty metadata or content mean {}. */
struct body {
    struct bytes metadata;
    struct bytes content;
    const struct bytes *buffers;
    size_t buffer_count;
};

struct publisher {
    struct frontend *frontends[FRONTENDS_LIMIT]; /* borrowed */
    size_t frontend_count;
    char session[UUID_TEXT]; /* the session of the headers: a new one for each interpreter */
    const char *username;    /* borrowed */
    struct buffer header;    /* scratch */
    /* bytes of one stream that follow each other leave as one message */
    uint64_t stream_number;
    struct bytes stream_parent;
    const char *stream_name;
    struct buffer stream_text;
    struct buffer stream_content; /* scratch */
};

void publisher_init(struct publisher *p, const char *username);
void publisher_add(struct publisher *p, struct frontend *frontend);
void publisher_new_session(struct publisher *p);
void publisher_free(struct publisher *p);

/* On iopub, to everybody. parent: a raw header, or empty for none. What was collected by
 * publish_stream goes out first. */
void publish(struct publisher *p, struct bytes parent, const char *msg_type,
             const struct body *body);
void publish_status(struct publisher *p, struct bytes parent, const char *state);
/* The status "starting", of no request, with the metadata {"warmcell": {"generation": 2}}. */
void publish_starting(struct publisher *p, uint64_t generation);
/* The status "restarting", of no request, with the metadata {"warmcell": {"cause": "oom", "reason":
 * "..."}}: why there is another interpreter. */
void publish_restarting(struct publisher *p, enum cause cause, const char *reason);

/* Text of "stdout" or "stderr" (a literal): collected while number and name stay the same, until
 * publish_flush or another message. parent must live until then. */
void publish_stream(struct publisher *p, uint64_t number, struct bytes parent, const char *name,
                    struct bytes text);
void publish_flush(struct publisher *p);

/* To the client that sent the request, on the channel given (its own, or stdin). */
void publish_to(struct publisher *p, const struct request *request, enum channel channel,
                const char *msg_type, const struct body *body);

/* The same on the request's channel; the type is the request's with "_reply" for "_request". */
void publish_reply(struct publisher *p, const struct request *request, const struct body *body);

/* True when a frontend is so full that no more output should be read. */
bool publisher_congested(const struct publisher *p);

#endif
