/* Waiting for several things at once: the events of a reply, stdin, and signals. */
#ifndef WARMCELL_GATEWAY_CLI_FOLLOW_H
#define WARMCELL_GATEWAY_CLI_FOLLOW_H

#include <jansson.h>

#include "gateway/cli/call.h"

#define FOLLOW_EVENT_LIMIT_BYTES (1024 * 1024 * 1024)

enum follow_input {
    INPUT_TAKEN,
    INPUT_LATER,  /* offer the same again in a while */
    INPUT_CLOSED, /* no more is wanted */
    INPUT_FAILED, /* with e */
};

struct follow {
    struct call *call; /* borrowed; accepted, its reply is NDJSON */
    int signal_fd;     /* of follow_signals; -1: signals are not looked at */
    int input_fd;      /* -1: nothing is read; on_event may change it */
    const char *query; /* borrowed: "&name=value" for those that are asked for again; NULL: none */
    json_int_t last_event; /* number of the last one that came; kept by follow */
    bool ended;            /* set by on_event: that was the last */
    int64_t due_ms;        /* of monotonic_ms, when on_due is wanted; 0: never; callbacks set it */
    void *user;
    /* One event and the line that it came as, without its end. False ends the following. */
    bool (*on_event)(void *user, json_t *event, struct bytes line, struct err *e);
    /* due_ms is over, and is 0 now. NULL where nobody sets it. */
    bool (*on_due)(void *user, struct err *e);
    /* SIGINT, SIGTERM or SIGHUP came. */
    bool (*on_signal)(void *user, int number, struct err *e);
    /* data is empty at the end of stdin, after which nothing is read any more. */
    enum follow_input (*on_input)(void *user, struct bytes data, struct err *e);
};

/* From now on the three signals do not end the tool but are told by the descriptor. It is the
 * caller's; the signals stay blocked. */
int follow_signals(void);

/* Until the reply ends. False: a callback said so (with its e), or CLI_FAILED: the reply broke off,
 * or is no NDJSON. */
bool follow(struct follow *f, struct err *e);

/* The same until on_event said that it ended: when the reply ends or breaks off before, it goes on
 * behind the last event, at path/events, and looks ten seconds for a gateway that is gone. path is
 * that of a command or an execution. */
bool follow_through(struct follow *f, const struct target *t, const char *path, struct err *e);

/* All of data to a descriptor. CLI_FAILED. */
bool follow_write(int fd, struct bytes data, struct err *e);

#endif
