/* The kernel: takes requests from its frontends, runs them one at a time in the interpreter, and
 * says to everybody what came of it. This header is shared by kernel.c and the files that each hold
 * one part of its work. */
#ifndef WARMCELL_KERNEL_HOST_KERNEL_H
#define WARMCELL_KERNEL_HOST_KERNEL_H

#include "kernel/host/backend.h"
#include "kernel/host/branch.h"
#include "kernel/host/deadline.h"
#include "kernel/host/history.h"
#include "kernel/host/interpreter.h"
#include "kernel/host/lifetime.h"
#include "sandbox/loop.h"
#include "kernel/host/publish.h"
#include "kernel/host/queue.h"
#include "kernel/host/spent.h"
#include "kernel/host/transfer.h"
#include "kernel/host/usage.h"
#include "protocol/connection.h"
#include "protocol/json.h"

enum phase {
    PHASE_STARTING, /* an interpreter is coming up */
    PHASE_READY,
    PHASE_RESTARTING, /* it was told to end, a new one follows */
    PHASE_ENDING,     /* it was told to end, and so does the host */
    PHASE_BROKEN,     /* it cannot be started: every request is answered with the reason */
};

/* What the kernel is made from; borrowed for its life. */
struct kernel_plan {
    char *const *argv;            /* the interpreter's command */
    struct keeper_client *keeper; /* has it started; NULL: the host starts it itself */
    const char *connection_file;  /* NULL: none */
    const char *history_file;     /* NULL: no history */
    const char
        *python_version; /* what kernel_info says before the interpreter does; NULL: not Python */
    const char *username;
    const char *await_branch; /* where the first interpreter comes from; NULL: it is started */
    uint64_t generation;      /* of its last interpreter, by an earlier host; 0: it had none */
    bool renews; /* code that asks for the end gets another interpreter; else the host ends */
    struct run_limits limits;
    void (*on_end)(void *data); /* the host must end: kernel.end says how */
    void *data;
};

struct kernel {
    struct backend backend;
    struct kernel_plan plan;
    struct loop *loop;
    struct publisher publisher;
    const struct connection *connection; /* borrowed; NULL without ZeroMQ */

    enum phase phase;
    struct interpreter *interpreter; /* NULL between two */
    bool ever_ready;
    bool told_to_end; /* it asked for its own end (EXIT) */
    int64_t started_ms;
    int quick_deaths;          /* in a row, without an answer in between */
    uint64_t generation;       /* which interpreter this is, from 1 */
    bool branches;             /* it can fork itself into another host */
    struct branch *branch;     /* under way; or NULL */
    bool snapshots;            /* it can save and restore its variables */
    struct transfer *transfer; /* under way; or NULL */
    int dump_signal;           /* what makes it write its stacks to descriptor 2; 0: nothing does */
    char *interrupt_error;     /* the ename of a run that was interrupted; NULL: not known */
    bool hello_sent;

    struct queue queue;
    struct request_table *requests;
    struct request *running;
    bool replied;
    bool interrupt_asked; /* somebody interrupted it */
    struct ladder ladder; /* of the running execution, if it is one */
    struct spent spent;
    struct buffer held_error; /* its `error`, told when its reply has come; empty: none */
    struct run_limits limits;
    struct lifetime lifetime;
    struct allowance unowned; /* output of requests that are not remembered */
    struct queue
        doomed;   /* executions that are answered `aborted` once the running one is finished */
    bool dooming; /* nothing is dispatched meanwhile */
    uint64_t last_number;
    uint64_t text_number;    /* whose the bytes of descriptors 1 and 2 are */
    int64_t execution_count; /* of the last execute_input */
    char *kernel_info;       /* the content of kernel_info_reply */

    uint64_t input_number; /* the request that waits for input; 0: none */
    char *input_id;        /* msg_id of the input_request */

    struct history *history; /* NULL: none */
    int64_t history_session;
    struct usage *usage;
    char *adopted; /* the JSON of ADOPT, given to each new interpreter; or NULL */

    char *broken;           /* PHASE_BROKEN: why */
    int64_t broken_told_ms; /* monotonic: when that was first told; 0: not yet */
    struct timer *end_timer;
    struct timer *hello_timer;
    struct timer *again_timer; /* no keeper was there */
    struct queue leaving; /* shutdown requests that are answered when the interpreter has ended */
    struct outcome restarted; /* likewise a RESTART */
    struct outcome stopped;
    struct backend_end end;
    char *past_reason; /* why the interpreter before this one ended; NULL: none did, or it was asked
                        */
    enum cause past_cause;
};

/* Starts the interpreter and publishes `starting`. Frontends must have been added to the publisher.
 */
void kernel_open(struct kernel *k, struct loop *loop, const struct kernel_plan *plan);
void kernel_start(struct kernel *k);
void kernel_close(struct kernel *k);
void kernel_take(void *kernel, struct frontend *from, const struct message *m); /* a receiver */
void kernel_relief(void *kernel);                                               /* likewise */
/* SIGTERM, lease, parent gone, idle, ... */
void kernel_orderly_end(struct kernel *k, enum cause cause, const char *reason);
void kernel_interrupt(struct kernel *k);
uint64_t kernel_running_number(const struct kernel *k); /* of the link; 0: no request runs */

/* kernel.c, for the other parts */
void kernel_dispatch(struct kernel *k); /* runs what can be run now */
void kernel_finish(struct kernel *k);   /* idle for the running request, then dispatch */
void kernel_answer_error(struct kernel *k, const struct request *request, const char *name,
                         const char *text);
/* Every execute_request that has arrived is not to be run. Called before the failed one is
 * answered: what a client sends when it has seen that answer is not part of the queue. */
void kernel_doom_queue(struct kernel *k);
void kernel_abort_doomed(struct kernel *k);

/* deliver.c: frames and text from the interpreter */
void kernel_on_frame(void *kernel, const struct link_frame *frame);
void kernel_on_text(void *kernel, const char *name, struct bytes text);
bool kernel_congested(void *kernel);

/* lifecycle.c */
void kernel_on_end(void *kernel, const struct interpreter_end *end);
void kernel_ready(struct kernel *k, struct bytes json);
void kernel_leave(struct kernel *k, enum phase phase); /* asks the interpreter to end */
bool kernel_renews(const struct kernel *k); /* its code asked for the end, and another follows */
void kernel_hello(struct kernel *k);
void kernel_broken_told(struct kernel *k); /* somebody knows now: it need not wait much longer */
extern const struct backend_class kernel_backend;

/* control.c: what the host answers itself. True: it is finished; false: it answers later. */
bool answer_kernel_info(struct kernel *k, struct request *request);
bool answer_connect(struct kernel *k, struct request *request);
bool answer_interrupt(struct kernel *k, struct request *request);
bool answer_shutdown(struct kernel *k, struct request *request);
bool answer_usage(struct kernel *k, struct request *request);
char *kernel_info_content(const char *python_version);     /* given to the caller */
void kernel_info_merge(struct kernel *k, json_t *members); /* members: borrowed, may be NULL */

/* history_answer.c */
bool answer_history(struct kernel *k, struct request *request);
void history_on_session(void *kernel, int64_t session); /* history_events */
void history_on_answer(void *kernel, uint64_t number, struct bytes content);

/* input.c: stdin */
void input_ask(struct kernel *k, uint64_t number, struct bytes content);
void input_take(struct kernel *k, const struct message *m);
void input_forget(struct kernel *k);

#endif
