/* The inside of the core, shared by the files of this folder alone. */
#ifndef WARMCELL_GATEWAY_CORE_STATE_H
#define WARMCELL_GATEWAY_CORE_STATE_H

#include "gateway/core/core.h"
#include "gateway/core/journal.h"
#include "gateway/core/kernel.h"
#include "gateway/core/places.h"
#include "gateway/core/reader.h"
#include "gateway/core/request.h"
#include "gateway/core/uplink.h"
#include "gateway/launch/kernelspec.h"
#include "gateway/launch/provisioner.h"

#define RESTART_LIMIT     5 /* in a row, as jupyter_client's restarter */
#define RESTART_STABLE_MS (10 * 1000)
#define DEAD_LIMIT        50 /* dead kernels that are kept to be looked at */
#define GATEWAY_IDENTITY                                                                           \
    "warmcell-gateway" /* of the gateway's own requests: their replies go to nobody */

struct scan;
struct seed;
struct sessions;

struct core {
    const struct settings *settings;
    uv_loop_t *loop;
    struct kernelspecs *specs;
    struct store *store;
    struct scan *scan;
    struct sessions *sessions;
    struct seed *seed;
    struct kernel **kernels; /* owned: all of them, pooled and ending ones too */
    size_t kernel_count;
    char *kernels_dir;
    char *logs_dir;
    int state_lock_fd; /* as lock_fd, of the state folder; -1: not locked */
    int lock_fd;
    uv_idle_t catch_up; /* runs while readers have more to read from disk */
    uv_timer_t ack_timer, cull_timer, pool_timer;
    int64_t pool_delay_ms, next_cull_ms;
    struct timespec started, last_activity;
    bool draining, store_closing;
    void (*drained)(void *user);
    void *drained_user;
    int open_handles;
};

/* Something that was asked of a host, or of the end of a kernel. */
struct command {
    uint64_t number;
    int64_t deadline_ms;
    bool is_restart;
    void (*done)(void *user, const struct err *e);
    void *user;
    struct command *next;
};

struct kernel {
    struct core *core;
    char *id, *name, *dir, *log_dir;
    json_t *spec;
    char *resource_dir, *cwd; /* cwd: NULL is the gateway's own */
    struct environment env;

    enum kernel_state state;
    char *reason; /* why it is dead, or what happened last */
    char *cause;  /* the word for it, as in DEATH; NULL: none */
    struct timespec started, last_activity;
    bool pooled;  /* of the pool, not handed out */
    bool handing; /* being adopted for a request */
    bool ending;  /* kernel_stop was called */
    bool gone;    /* waits for its handles to close */
    bool was_attached;

    struct launched host;
    bool host_alive;              /* started and not yet reaped */
    bool host_exited;             /* its pidfd said so; the uplink may hold its last words */
    int exit_status, exit_signal; /* -1, 0: not known */
    char *death_reason;           /* from DEATH, as is the next */
    char *death_cause;
    uv_poll_t *watch;
    uv_timer_t timer;
    int open_handles;
    pid_t interpreter_session;
    uint64_t interpreter_ticks;
    int restarts;
    int64_t launched_ms;

    struct uplink *uplink;
    uint32_t epoch;  /* which host this is, from 1 */
    uint64_t source; /* last sequence taken from this host */
    uint64_t acked;

    struct journal *journal;
    struct places *places;
    uint64_t next_sequence;
    struct buffer batch;
    bool batch_displays;
    uint64_t release_at_bytes;

    struct reader *readers;
    size_t connections;
    bool delivering;

    struct requests requests;
    struct command *commands;
    uint64_t next_command;
};

/* core.c: readers that are behind are fed in the coming turns of the loop. */
void core_catch_up_soon(struct core *c);
/* Ends the draining when nothing is left to wait for. */
void core_check_drained(struct core *c);
void core_handle_closed(struct core *c);

/* kernel.c */
struct kernel *kernel_new(struct core *c, const char *id, const char *name, struct err *e);
bool kernel_launch(struct kernel *k, struct err *e);
void kernel_kill_host(struct kernel *k);
void kernel_watch_host(struct kernel *k);
void kernel_save(const struct kernel *k); /* kernel.json, whole or not at all */
/* cause: a word as in DEATH (docs/link.md). Both are copied; NULL: none. */
void kernel_set_reason(struct kernel *k, const char *cause, const char *reason);
void kernel_add_handle(struct kernel *k);
void kernel_close_handle(struct kernel *k, uv_handle_t *handle);
/* Ends the readers with a code, closes everything and frees k when the loop has let go. Files stay
 * if keep_files. */
void kernel_forget(struct kernel *k, int code, const char *reason, bool keep_files);
size_t kernels_live(const struct core *c);                        /* what max_kernels counts */
struct kernel *kernels_any(const struct core *c, const char *id); /* also pooled and ending ones */

/* stream.c: what a host says */
extern const struct uplink_events kernel_uplink_events;
void kernel_touch(struct kernel *k);
/* Sends a request of the gateway's own on shell. */
void kernel_ask(struct kernel *k, const char *msg_type, const struct buffer *content);
/* Puts a message of the gateway into the batch. identity "": everybody. */
void kernel_publish(struct kernel *k, const char *identity, const char *msg_type,
                    const struct buffer *frame);
void kernel_flush(struct kernel *k);
void kernel_acknowledge(struct kernel *k);

/* death.c */
void kernel_host_ended(
    struct kernel *k); /* its pidfd is readable, or its connection ended: see whether both */
void kernel_answer_lost(struct kernel *k,
                        const char *reason); /* every open request gets an error */
void kernel_die(struct kernel *k, const char *cause, const char *reason);

/* command.c */
void kernel_command(struct kernel *k, enum link_kind kind, struct bytes json, int64_t limit_ms,
                    void (*done)(void *user, const struct err *e), void *user);
void kernel_result(struct kernel *k, const struct link_frame *frame);
void kernel_fail_commands(struct kernel *k, const struct err *e);
void kernel_check_deadlines(struct kernel *k, int64_t now_ms);

/* reader.c */
void readers_deliver(struct kernel *k, struct shared *batch);
void readers_end(struct kernel *k, int code, const char *reason);
bool readers_catch_up(struct kernel *k); /* one step for each; false: nobody has more to read now */

/* adopt.c, cull.c, prespawn.c */
void core_adopt(struct core *c);
void core_cull(struct core *c);
void pool_refill(struct core *c);
/* Ends a kernel of the pool with the gateway: nobody has it. */
void pool_end(struct kernel *k);
/* Hands out a kernel of the pool that fits; done is called as by kernels_start. False: none fits.
 */
bool pool_take(struct core *c, const struct kernel_request *request, const struct environment *env,
               const char *cwd, void (*done)(void *user, struct kernel *k, const struct err *e),
               void *user);

/* sessions that a kernel's end takes with it */
void sessions_kernel_gone(struct core *c, const char *kernel_id);

#endif
