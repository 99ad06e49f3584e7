/* The commands of a sandbox: each one run of a program, confined as everything in it.
 *
 * A command belongs to its supervisor (sandbox/command.h), which writes what it says to a log
 * below the sandbox's folder. The gateway reads that log: it may end, and come back, at any time.
 */
#ifndef WARMCELL_GATEWAY_CORE_COMMAND_RUN_H
#define WARMCELL_GATEWAY_CORE_COMMAND_RUN_H

#include "gateway/core/run_log.h"
#include "gateway/core/sandbox.h"

/* Bounds on what comes from outside; that of env is of environment_check. */
enum command_limits {
    COMMAND_WORDS_MOST = 4096,
    COMMAND_WORD_LIMIT_BYTES = 128 * 1024 - 1, /* Linux takes no longer one */
    COMMAND_WORDS_LIMIT_BYTES = 1024 * 1024,   /* all of them, each with a NUL */
    COMMAND_CWD_LIMIT_BYTES = 4095,
    COMMAND_KEY_LIMIT_BYTES = 255,
    COMMAND_STDIN_LIMIT_BYTES = 16 * 1024 * 1024, /* of one request */
    COMMANDS_RUNNING_MOST = 64,                   /* of a sandbox */
    COMMANDS_KEPT_MOST = 256,                     /* of a sandbox, those that run too */
    COMMANDS_KEPT_BYTES = 512 * 1024 * 1024,      /* the logs of those that have ended */
};

struct command_run; /* borrowed; valid until control returns to the loop, or its watch is told */

/* All borrowed; NULL, 0: not said. */
struct command_request {
    json_t *argv;      /* a list of strings; or */
    const char *shell; /* for /bin/sh -c */
    const char *cwd;   /* relative to the workspace, or absolute as it is inside */
    json_t *env;       /* {"NAME": "value"}: over that of the sandbox */
    bool has_input;
    struct bytes input; /* what it reads first */
    bool stdin_open;    /* more may follow */
    bool background;    /* is only remembered */
    int64_t deadline_ms;
    const char *key;         /* the same one with the same body is the same command */
    struct bytes body;       /* of the request; looked at with a key only */
    const char *traceparent; /* W3C trace context, as trace_parent gives it */
};

/* done is called once: when it runs, or its program could not be had (which its end says); or with
 * NULL and why: 400 the request; 403 so many run already; 409 the sandbox ends; 422 the key came
 * with another body; 502, 503. */
void command_runs_start(struct sandbox *s, const struct command_request *request,
                        void (*done)(void *user, struct command_run *r, const struct err *e),
                        void *user);

struct command_run *command_runs_find(const struct sandbox *s, const char *id, struct err *e);
/* The newest first. */
void command_runs_each(const struct sandbox *s, void (*each)(void *user, struct command_run *r),
                       void *user);

const char *command_run_id(const struct command_run *r);
const char *command_run_sandbox_id(const struct command_run *r);
/* As it was asked for: {"argv": […], "shell": …, "cwd": …, "background": bool, "deadline_ms": n,
 * "created": time}; borrowed. */
json_t *command_run_record(const struct command_run *r);
const struct run_log *command_run_log(const struct command_run *r);
const char *command_run_status(const struct command_run *r); /* "running", or of its end */
bool command_run_find(struct command_run *r, struct run_cursor *cursor); /* as run_log_find */
bool command_run_read(struct command_run *r, struct run_cursor *cursor, struct buffer *out,
                      size_t want); /* as run_log_read */

/* What it left in the workspace: {"settled", "artifacts", "files_changed"} as JSON, borrowed; NULL:
 * not known yet. It is told as more in the log is. */
const char *command_run_settlement(const struct command_run *r);
/* Why this gateway will not come to know it: 503; NULL: it will. */
const struct err *command_run_unsettled(const struct command_run *r);

/* Told when there is more in the log, and when the command is forgotten (it must then not be used
 * any more, and the watch is gone). */
struct command_watch;
struct command_watch *command_run_watch(struct command_run *r, void (*on_more)(void *user),
                                        void (*on_gone)(void *user), void *user);
void command_watch_close(struct command_watch *w);

/* Each done is called once, also when the command is gone by then. 409: it has ended, or stdin is
 * closed; 503. */
void command_run_feed(struct command_run *r, struct bytes input, bool ends,
                      void (*done)(void *user, const struct err *e), void *user);
void command_run_signal(struct command_run *r, int number,
                        void (*done)(void *user, const struct err *e), void *user);
/* Kills all of it if it runs, and forgets it with what it wrote; it is not found any more at once.
 */
void command_run_forget(struct command_run *r, void (*done)(void *user, const struct err *e),
                        void *user);

/* Of core alone: what an earlier gateway left of a sandbox is found; the sandbox goes, or this
 * gateway does: its commands go on, or end, without us. */
void command_runs_adopt(struct sandbox *s);
void command_runs_let_go(struct sandbox *s);
size_t command_runs_count(const struct sandbox *s); /* that run */
/* Since when those run that do: CLOCK_REALTIME. */
void command_runs_running(const struct sandbox *s, void (*each)(void *user, int64_t asked_ns),
                          void *user);
/* What was looked for of a command is known; json NULL: why not. Both are borrowed. */
void command_run_settled(struct core *c, const char *sandbox_id, const char *id, const char *json,
                         const struct err *e);

#endif
