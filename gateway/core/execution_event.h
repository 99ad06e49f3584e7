/* The events of an execution: the records of its kernel's journal that it caused, numbered from 1
 * without gaps in their order. Nothing else holds them, so any number of readers resume exactly
 * behind any number, after a restart of the gateway too.
 *
 * Events are everything with the execution as its parent but status messages, the reply, and input
 * replies; the last one is its `idle`. What its threads write later belongs to no event. As a
 * segment of the journal begins, a mark in it says how many events each open execution had before,
 * so that the numbers stay when older segments are gone. */
#ifndef WARMCELL_GATEWAY_CORE_EXECUTION_EVENT_H
#define WARMCELL_GATEWAY_CORE_EXECUTION_EVENT_H

#include "gateway/core/execution.h"
#include "gateway/core/journal.h"
#include "protocol/framing.h"

/* The identity of what the gateway sends for executions, and of what answers it. */
#define EXECUTION_SESSION "warmcell-executions"

enum execution_part {
    PART_NONE,  /* of another request */
    PART_STATE, /* of this one, but no event: busy, the reply */
    PART_EVENT,
    PART_END, /* the last event */
};

struct execution_row;
struct journal;

/* Puts the `idle` that its readers wait for behind what the journal of its kernel has. 503. */
bool execution_append_end(struct journal *j, const struct execution_row *row, struct err *e);

/* What a message with an execution as its parent is to it; never PART_NONE. */
enum execution_part execution_part_of(struct bytes msg_type, const struct message *m);
/* Whether a raw parent header is that of the execution's request. */
bool execution_is_parent(struct bytes parent, const char *id);

/* One event, borrowed for the call. */
struct execution_event {
    uint64_t number;
    struct bytes msg_type;
    const struct message *message;
    bool is_last;
};

/* Gives the events behind `after` that are there, until each says false (that one was taken). The
 * last event only once its end is committed. 410: some that are asked for are not kept any more
 * (the sentence names the oldest that is); 409: its sandbox is paused; 500. */
bool execution_events_read(struct execution *x, uint64_t after,
                           bool (*each)(void *user, const struct execution_event *event),
                           void *user, struct err *e);

uint64_t execution_events_count(const struct execution *x); /* so far */

/* Follows an execution: events as they come, each once and in order, at the pace of their taker,
 * all but the last, of which on_end tells. */
struct execution_follower;

struct follower_events {
    /* False: not more until execution_follow_on (this one was taken). */
    bool (*on_event)(void *user, const struct execution_event *event);
    /* All there is now was given; or nothing more is taken. */
    void (*on_pause)(void *user);
    /* Nothing more comes: e NULL: it has ended, which is committed, and its last event is number
     * execution_events_count; 410: the journal is shorter now than what this one has still to read;
     * 503: the gateway ends. The follower is gone when this is called. */
    void (*on_end)(void *user, const struct err *e);
};

/* Begins behind `after`; nothing comes before the first execution_follow_on, from inside of which
 * any event may come, the end too. NULL: 409, 410, 500, as above. */
struct execution_follower *execution_follow(struct execution *x, uint64_t after,
                                            const struct follower_events *events, void *user,
                                            struct err *e);
void execution_follow_on(struct execution_follower *f);
void execution_follow_close(struct execution_follower *f); /* NULL is legal; no event after it */

#endif
