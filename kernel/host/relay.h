/* A kernel that speaks ZeroMQ itself (ipykernel, xeus-python, IRkernel...), served to the gateway
 * behind this host: it is started and watched by us, its messages are signed anew in one direction
 * and checked in the other. The second backend besides kernel.h. This header is shared by relay.c
 * and relay_life.c. */
#ifndef WARMCELL_KERNEL_HOST_RELAY_H
#define WARMCELL_KERNEL_HOST_RELAY_H

#include "kernel/host/backend.h"
#include "kernel/host/client.h"
#include "kernel/host/foreign.h"
#include "kernel/host/ledger.h"
#include "kernel/host/publish.h"
#include "kernel/host/queue.h"

/* Borrowed for the life of the relay. */
struct relay_plan {
    char *const *argv;           /* the kernel's command, in which connection_file is named */
    const char *connection_file; /* written by the relay (mode 0600), removed at its end */
    bool ipc;                    /* sockets beside connection_file instead of tcp on 127.0.0.1 */
    bool interrupt_by_message;   /* interrupt_request on control instead of SIGINT */
    const char *username;
    void (*on_end)(void *data); /* the host must end: relay.end says how */
    void *data;
};

enum relay_phase {
    RELAY_STARTING, /* the process runs; it has not answered yet, or its iopub has not been heard */
    RELAY_READY,
    RELAY_RESTARTING, /* it was told to end, a new one follows */
    RELAY_ENDING,     /* it was told to end, and so does the host */
    RELAY_BROKEN,     /* it cannot be started: every request is answered with the reason */
};

struct relay {
    struct backend backend;
    struct relay_plan plan;
    struct loop *loop;
    struct publisher publisher; /* for what the host itself says, and the frontends */
    struct connection connection;
    void *context;               /* ZeroMQ's */
    char own_session[UUID_TEXT]; /* of the requests that the relay itself sends to the kernel */

    enum relay_phase phase;
    struct client *client; /* NULL between two kernels */
    struct foreign *foreign;
    bool answered, heard; /* kernel_info_reply; anything on iopub */
    bool interrupted;     /* and nothing was asked of it since */
    bool drain_over; /* what is left of the dead kernel's messages is not waited for any longer */
    const char *kernel_state; /* of its last status message: "busy" or "idle" */
    int64_t started_ms;
    int failed_starts; /* in a row */
    int quick_deaths;  /* in a row */

    struct queue queue;    /* requests that wait for a kernel that is ready */
    struct ledger *ledger; /* requests that the kernel has */
    char *input_id;        /* msg_id of the input_request that waits for its answer; NULL: none */

    char *broken; /* RELAY_BROKEN: why */
    struct timer *nudge_timer, *start_timer, *leave_timer, *drain_timer, *end_timer;
    bool terminated; /* SIGTERM was sent; SIGKILL comes next */
    struct outcome restarted;
    struct outcome stopped;
    struct backend_end end;
    char *past_reason; /* why the kernel before this one ended; NULL: none did, or it was asked */
    enum cause past_cause;
};

/* Picks the endpoints and writes the connection file, without starting anything. 400: no room for
 * ipc sockets; 503: no ports, or the file cannot be written. */
struct relay *relay_open(struct loop *loop, const struct relay_plan *plan, struct err *e);

/* Starts the kernel and publishes `starting`. Frontends must have been added to the publisher. */
void relay_start(struct relay *r);
void relay_close(struct relay *r);                                            /* NULL is legal */
void relay_take(void *relay, struct frontend *from, const struct message *m); /* a receiver */
void relay_relief(void *relay);                                               /* likewise */

/* relay.c, for relay_life.c */
void relay_on_message(void *relay, const struct message *m); /* from the kernel */
bool relay_congested(void *relay);
void relay_ask(struct relay *r, enum channel channel, const char *msg_type, const char *content);
void relay_dispatch(struct relay *r); /* sends, or refuses, what waits */
void relay_answer(struct relay *r, const struct request *request, const char *content);
void relay_answer_error(struct relay *r, const struct request *request, const char *name,
                        const char *text);

/* relay_life.c */
extern const struct backend_class relay_backend;
bool relay_before_sleep(void *relay);
void relay_ready(struct relay *r);
void relay_leave(struct relay *r, enum relay_phase phase, bool asked); /* asked: it was told */
void relay_nudge_soon(struct relay *r);

#endif
