/* One execution, from its start to the reply that says how it ended: the metadata that every
 * execute_reply carries, and the errors of those that were ended by a limit. docs/link.md, "How an
 * execution ends". */
#ifndef WARMCELL_KERNEL_HOST_EXECUTION_H
#define WARMCELL_KERNEL_HOST_EXECUTION_H

#include "kernel/host/death.h"
#include "kernel/host/publish.h"

struct kernel;

/* What the reply says in metadata.warmcell.outcome. */
enum run_outcome {
    RUN_OK,
    RUN_ERROR,
    RUN_INTERRUPTED,
    RUN_TIMEOUT,
    RUN_KILLED,
    RUN_OOM,
    RUN_OUTPUT_LIMIT,
    RUN_ABORTED,
    RUN_CANCELLED,
};

/* The reason of CAUSE_ASKED when it was no client. */
#define EXECUTION_ASKED_FOR_END "the code that ran asked the kernel to end"
/* That of CAUSE_RESTART for what ran. */
#define EXECUTION_RESTARTED "the kernel was restarted while this ran"

/* The running request is an execution, and was just sent. */
void execution_begin(struct kernel *k);

/* An `error` of the running execution: true: it is that of an interrupt which a limit sent; it is
 * held back until the reply says how the run ended. */
bool execution_holds_error(struct kernel *k, struct bytes content);

/* The interpreter's reply to the running execution. abort_queue: those behind it are not to run. */
void execution_reply(struct kernel *k, const struct body *body, bool abort_queue);

/* `error` and reply of the running request, an execution or another, whose interpreter has ended;
 * the reply only if it was not given yet. */
void execution_lost(struct kernel *k, enum cause cause, const char *text);

/* Replies of executions that were not run: `aborted`, or an error, which is `killed` when there is
 * no interpreter and `error` when the request itself is wrong. */
void execution_aborted(struct kernel *k, const struct request *request);
void execution_cancelled(struct kernel *k, const struct request *request); /* aborted, too */
void execution_refused(struct kernel *k, const struct request *request, const char *name,
                       const char *text);

/* Why the run ended with its kernel. Given. */
char *execution_kernel_end_text(const struct kernel *k);

/* Why the ladder ended the interpreter, without a word on the variables. Given. */
char *execution_end_text(const struct kernel *k);

#endif
