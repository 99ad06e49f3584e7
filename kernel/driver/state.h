/* Inside of kernel/driver/: what its files share. */
#ifndef WARMCELL_KERNEL_DRIVER_STATE_H
#define WARMCELL_KERNEL_DRIVER_STATE_H

#include "kernel/driver/driver.h"
#include "kernel/python/lane.h"
#include "protocol/utf8.h"

struct driver {
    struct lane *lane;                      /* owned */
    const struct driver_language *language; /* borrowed */
    void *self;                             /* borrowed */
    uint64_t number;                        /* the request that runs, or ran last */
    unsigned count;                         /* executions so far */
    bool ended;
    int status;
};

struct driver_reply {
    uint64_t number;
    json_t *metadata; /* taken; NULL: none */
    json_t *content;  /* taken */
    uint8_t flags;
};

/* Waits where the host does not take it. */
void driver_send(struct driver *d, struct link_frame frame);

/* A frame of request 0 with one part; content is taken. */
void driver_say(struct driver *d, enum link_kind kind, json_t *content);

void driver_reply(struct driver *d, const struct driver_reply *reply);

/* Answers a REQUEST. */
void driver_answer(struct driver *d, const struct lane_frame *frame);

/* Of an execute_request. */
void driver_execute(struct driver *d, uint64_t number, json_t *metadata, json_t *content);

#endif
