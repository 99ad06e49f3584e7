/* The inside of the commands of sandboxes, for command_run*.c alone. */
#ifndef WARMCELL_GATEWAY_CORE_COMMAND_RUN_STATE_H
#define WARMCELL_GATEWAY_CORE_COMMAND_RUN_STATE_H

#include "gateway/core/command_run.h"
#include "gateway/core/state.h"

/* Something that its supervisor was asked. */
struct run_ask {
    struct run_ask *next;
    uint32_t number;
    void (*done)(void *user, const struct err *e);
    void *user;
};

/* Who asked for it, and waits until it runs. */
struct run_starter {
    struct run_starter *next;
    void (*done)(void *user, struct command_run *r, const struct err *e);
    void *user;
};

struct command_watch {
    struct command_watch *next;
    struct command_run *run;
    void (*on_more)(void *user);
    void (*on_gone)(void *user);
    void *user;
};

struct command_run {
    struct command_run *next; /* of its sandbox, the newest first; borrowed */
    struct core *core;
    struct sandbox *sandbox; /* NULL: it was let go */
    char *id, *folder, *socket;
    json_t *record;
    struct run_log *log;

    int gate_fd; /* -1: none */
    uv_poll_t *gate;
    int pidfd; /* of our child; -1: it is not, or was reaped */
    uv_poll_t *child;
    uv_timer_t *retry; /* to find a supervisor that is there and does not listen, or to read on */
    uint32_t last_ask;
    struct run_ask *asks;

    struct command_watch *watches;
    struct command_watch *telling; /* those whose turn to be told of more is still to come */
    uint64_t told;                 /* the last record that they know of */
    uint64_t round;                /* of the sync, as the log was last said to be changed */
    struct run_starter *starters;  /* NULL: all are told */
    void (*forgotten)(void *user, const struct err *e);
    void *forgotten_user;
    bool forgetting;
    bool start_safe;           /* with full durability: it may be told that it runs */
    bool syncing, syncing_end; /* that is awaited; with the end in it */
    bool settling;             /* what it left is looked for, or was */
    char *settlement;          /* as JSON; NULL: not known */
    struct err unsettled;      /* why it will not be; status 0: it may be */
    int handles;               /* open, or closing; freed with the last when let go */
};

/* command_run.c */
struct command_run *run_new(struct sandbox *s, const char *id);
/* Takes what command_launch or command_find gave; -1: none. */
void run_attach(struct command_run *r, int gate_fd, int pidfd);
void run_look(struct command_run *r); /* there may be more in the log */
void run_lose_gate(struct command_run *r);
void run_hold_end(struct command_run *r);  /* where it may be told only when it is on the disk */
void run_tell_more(struct command_run *r); /* r may be let go by then */
void run_remove(struct command_run *r);    /* out of the list, folder and all; calls forgotten */
void run_free(struct command_run *r);      /* never was in use */

/* command_settling.c */
void run_settle(struct command_run *r);    /* it has ended; no more than once */
void runs_load_settled(struct sandbox *s); /* all of it were found */

/* command_run_words.c */
void run_listen(struct command_run *r); /* what the gate has to say is heard */
/* Of a command whose end is in the log: the answers that the gate gave before. */
void run_hear_out(struct command_run *r);
void run_fail_asks(struct command_run *r, const struct err *e);
void run_ask(struct command_run *r, enum wire_kind kind, json_t *body, int fd,
             void (*done)(void *user, const struct err *e), void *user); /* fd: -1; borrowed */

#endif
