/* The inside of the core, shared by the files of this folder alone. */
#ifndef WARMCELL_GATEWAY_CORE_STATE_H
#define WARMCELL_GATEWAY_CORE_STATE_H

#include "gateway/core/context.h"
#include "gateway/core/core.h"
#include "gateway/core/execution_numbers.h"
#include "gateway/core/journal.h"
#include "gateway/core/kernel.h"
#include "gateway/core/places.h"
#include "gateway/core/pool.h"
#include "gateway/core/quota.h"
#include "gateway/core/reader.h"
#include "gateway/core/request.h"
#include "gateway/core/sandbox.h"
#include "gateway/core/token.h"
#include "gateway/core/snapshot.h"
#include "gateway/core/uplink.h"
#include "gateway/core/usage.h"
#include "gateway/core/use.h"
#include "gateway/launch/keeper.h"
#include "gateway/launch/kernelspec.h"
#include "gateway/launch/language.h"
#include "gateway/launch/provisioner.h"

#define RESTART_LIMIT     5 /* in a row, as jupyter_client's restarter */
#define RESTART_STABLE_MS (10 * 1000)
#define DEAD_LIMIT        50 /* dead kernels in no sandbox that are kept to be looked at */
#define GATEWAY_IDENTITY                                                                           \
    "warmcell-gateway" /* of the gateway's own requests: their replies go to nobody */

#define PACKAGES_IDENTITY "warmcell-packages" /* likewise; see package_refresh.h */

struct branching;
struct keepsake_waiter;
struct moving;
struct package_job;
struct package_refresh;
struct port_passes;
struct port_use;
struct resuming;
struct scan;
struct seed;
struct sessions;
struct settling;
struct templates;

/* Which keeper; KEEPERS itself: none. */
enum keepers { KEEPERS_OWNER, KEEPERS_REQUIRED, KEEPERS_BEST_EFFORT, KEEPERS };

struct kept {
    struct core *core;
    enum keepers which;
    char *principal;        /* owned: whose sandboxes it has alone; NULL: the owner's */
    char *preload;          /* owned: what its fork server imports, "a,b"; NULL: the usual */
    struct keeper *keeper;  /* NULL: not needed now */
    json_t *status;         /* its last answer to STATUS; NULL: none yet */
    int64_t unused_from_ms; /* 0: a sandbox needs it */
    bool lives_on;          /* beyond this gateway */
    struct kept *next;      /* of those with a principal or a preload */
};

/* Of the life of this gateway: what /metrics counts. */
struct counters {
    uint64_t kernels_started, kernels_died;
    uint64_t retention_passes; /* by the clock, done */
    uint64_t commands_started;
    uint64_t messages_out, message_bytes_out; /* from kernels */
    uint64_t messages_in, message_bytes_in;   /* to kernels */
};

struct core {
    const struct settings *settings;
    uv_loop_t *loop;
    struct kernelspecs *specs;
    struct store *store;
    struct vault *vault;
    struct scan *scan;
    struct settling *settling;
    struct sessions *sessions;
    struct tokens *tokens;
    struct templates *templates;
    struct seed *seed;
    struct kernel **kernels; /* owned: all of them, pooled and ending ones too */
    size_t kernel_count;
    char *kernels_dir;
    char *logs_dir;
    int state_lock_fd; /* as lock_fd, of the state folder; -1: not locked */
    int lock_fd;
    uv_idle_t catch_up; /* runs while readers have more to read from disk */
    uv_timer_t ack_timer, cull_timer, pool_timer, launch_timer, execution_timer, settling_timer,
        keepsake_timer;
    uv_idle_t launch_turns;              /* runs while hosts may be started */
    struct kernel *launches;             /* borrowed: the first whose host waits to be started */
    size_t opens;                        /* sandboxes that keepers are making for those who asked */
    size_t forks;                        /* of sandboxes, that are under way */
    int64_t last_take_ms, busy_since_ms; /* of any pool: busy while takes follow each other */
    int64_t next_gc_ms;                  /* 0: at the first tick */
    int64_t next_cull_ms, next_demand_ms;
    int64_t give_back_ms; /* when the memory of kernels that ended is given back; 0: not at all */
    struct pool pool_owner, pool_sandbox; /* the first two of the list */
    bool pools_lack; /* a template's could not begin: there were as many as may be */
    struct kept keepers[KEEPERS];
    struct kept *own_keepers; /* owned: of principals who have their own */
    struct execution_numbers numbers;
    int64_t last_execution;     /* the highest position of all */
    struct sandbox **sandboxes; /* owned: pooled and ending ones too */
    size_t sandbox_count;
    char *sandboxes_dir;
    struct counters counters;
    size_t left_files;          /* that writers which were killed had left; removed */
    struct port_use *port_uses; /* owned by who was given them */
    struct port_passes *passes; /* owned */
    struct timespec started, last_activity;
    bool machine_restarted; /* since the state folder was used last */
    bool unread;            /* what a sandbox was could not be read: nothing is cleared away */
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

/* Someone who waits for the end of a sandbox. */
struct removal {
    void (*done)(void *user, const struct err *e);
    void *user;
    struct removal *next;
};

struct sandbox {
    struct core *core;
    char *id;
    char *owner;           /* the principal's name */
    struct kernel *kernel; /* borrowed: the first of its contexts; NULL: none yet, or all gone */
    int64_t last_number;   /* of the contexts that were ever made */
    int64_t lives_from_ms; /* monotonic: when its limit of life began */
    struct limits limits;
    json_t *env; /* what its maker named; an object */
    json_t *network;
    const struct language *language; /* of contexts that name none */
    bool cold, best_effort;
    char *name;               /* owned; NULL: none */
    const char *claimed_name; /* borrowed: of a change that is under way; NULL */
    bool changing;
    json_t *labels;             /* owned */
    json_t *once;               /* owned: of the request that made it; NULL: it had no key */
    json_t *template, *preload; /* owned; NULL: none, and as is usual */
    bool shares_keeper;         /* with all who use its template */
    char *forked_from;          /* owned: the id of the sandbox that it is a copy of; NULL */
    bool seeding;               /* files are yet to be written: nobody was told of it */
    struct timespec created;
    bool bounded;                /* its maker was a user: quotas hold (usage.h) */
    char account[UUID_TEXT];     /* id of the token whose quotas it was made with; "": of none */
    const struct limits *wanted; /* borrowed: of a change under way; NULL */
    bool pooled;       /* no kernel yet, for the pool; afterwards the kernel's pooled says it */
    struct pool *pool; /* borrowed; NULL: it is in none, or its pool has ended */
    bool opening;      /* its keeper is making it for who asked */
    bool begun;        /* its kernel was started before its keeper had answered */
    bool ending;       /* is being removed */
    bool gone;         /* freed when no answer is awaited any more */
    int asks;          /* answers that are awaited, and work under way */

    char *keeper;                       /* keeper_name of the one it was made in; NULL: none yet */
    int64_t uid;                        /* -1: shared, or not known */
    json_t *enforced, *missing, *usage; /* as the keeper said; NULL: it did not yet */
    struct quota quota;                 /* for what comes from outside */
    struct execution_numbers numbers;
    struct command_run *runs;           /* owned: its commands, the newest first */
    struct file_watch *watches;         /* borrowed: those who watch its files */
    struct package_job *packages;       /* owned: what is done to its packages, in its order */
    struct package_refresh *refreshing; /* borrowed; NULL */
    struct sandbox_use *uses;           /* borrowed: work on it from outside (use.h) */
    int64_t used_ms;                    /* monotonic: when a use of it last began or ended */

    void (*opened)(void *user, struct sandbox *s,
                   const struct err *e); /* of its maker; NULL: told */
    void *opened_user;
    struct removal *removals;

    json_t *snapshots;     /* owned; an array; see snapshot.c */
    json_t *paused;        /* owned: the record that it is resumed from; NULL: it has processes */
    char *paused_reason;   /* why it is, when nobody asked for it; NULL */
    char *ended_by;        /* what ended its processes when nobody paused it; NULL */
    struct moving *moving; /* a save, pause or resume that is under way; NULL */
    struct resuming *resuming;
    json_t *keepsake; /* owned: what of it was written down last; NULL: nothing */
    struct keepsake_waiter *keepsake_waiters; /* owned: for what is written next */
    bool keepsake_due, keepsake_busy;
    int writes;         /* of it into the vault, under way on other threads */
    bool folder_awaits; /* it goes when the last of them has ended */
    bool halted;        /* takes nothing on: is being paused, is paused, or being resumed */
    bool emptying;      /* it is recorded as paused; its processes still end */
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
    struct sandbox *sandbox; /* borrowed; NULL: unconfined, the owner's */
    struct kernel *sibling;  /* borrowed: the next context of the sandbox */
    int64_t context_number;
    char *context_name, *forked_from; /* NULL: not in a sandbox; it began empty */
    json_t *once;        /* owned: of the request that made this context; NULL: it had no key */
    char *restored_from; /* the snapshot whose state its interpreter began with; NULL: none */
    struct branching *branching; /* owned until its maker is told: it waits to be branched */
    bool pooled;                 /* of the pool, not handed out */
    bool handing;                /* being adopted for a request */
    bool ending;                 /* kernel_stop was called */
    bool restoring;              /* its variables are to be restored when it is ready */
    bool gone;                   /* waits for its handles to close */
    bool was_attached;

    int listener;               /* of a host that is to be started; 0: none */
    struct kernel *next_launch; /* borrowed: the next whose host waits (launching.h) */
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
    int64_t generation; /* of its newest interpreter, as its hosts have said; 0: none yet */
    uint32_t epoch;     /* which host this is, from 1 */
    uint64_t source;    /* last sequence taken from this host */
    uint64_t acked;

    struct journal *journal;
    struct places *places;
    uint64_t next_sequence;
    struct buffer batch;
    bool batch_displays;
    uint64_t release_at_bytes;

    struct execution *executions;       /* open ones, in the order in which they were asked for */
    struct execution *ended_executions; /* by what is in the batch: owned, each */
    uint64_t executions_from;           /* the journal is kept from here on; 0: it had none */
    json_t *known_executions; /* owned: those its host said it has; NULL: nothing to look up */
    uint64_t known_at;        /* they are what follows after this of its sequences */
    struct code_cache code_cache;

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
bool kernel_launch(struct kernel *k, struct err *e); /* the next two */
/* Its socket listens and its uplink is connected; a host is not there yet. 503. */
bool kernel_prepare(struct kernel *k, struct err *e);
bool kernel_start_host(struct kernel *k, struct err *e); /* of one that is prepared; 502, 503 */
void kernel_unprepare(struct kernel *k);                 /* its host could not be started */
char *kernel_branch_path(const struct kernel *k); /* where it waits to be branched into; given */
void kernel_kill_host(struct kernel *k);
void kernel_watch_host(struct kernel *k);
void kernel_save(const struct kernel *k);              /* kernel.json, whole or not at all */
#define KERNEL_ENV_CONTEXT  "environment of kernel %s" /* of vault_hide; its id */
#define SANDBOX_ENV_CONTEXT "environment of sandbox %s"
#define TEMPLATE_CONTEXT    "template %s"
/* cause: a word as in DEATH (docs/link.md). Both are copied; NULL: none. */
void kernel_set_reason(struct kernel *k, const char *cause, const char *reason);
void kernel_add_handle(struct kernel *k);
void kernel_close_handle(struct kernel *k, uv_handle_t *handle);
/* Ends the readers with a code, closes everything and frees k when the loop has let go. Files stay
 * if keep_files. */
void kernel_forget(struct kernel *k, int code, const char *reason, bool keep_files);
bool kernel_is_for(const struct kernel *k, const struct principal *who); /* theirs to touch */
size_t kernels_live(const struct core *c); /* what max_kernels counts */
bool kernels_allowed(const struct core *c, size_t more, struct err *e); /* 403 */
struct kernel *kernels_any(const struct core *c, const char *id); /* also pooled and ending ones */

/* stream.c: what a host says */
extern const struct uplink_events kernel_uplink_events;
void kernel_touch(struct kernel *k);
/* A client sends a message with this raw header. */
void kernel_note_client(struct kernel *k, struct bytes header);
/* Sends a request of the gateway's own on shell. */
void kernel_ask(struct kernel *k, const char *msg_type, const struct buffer *content);
void kernel_ask_as(struct kernel *k, const char *identity, const char *msg_type,
                   const struct buffer *content);
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

/* adopt.c, cull.c */
void core_adopt(struct core *c);
struct timespec core_time_of(json_t *text); /* 0: it is none */
void core_cull(struct core *c);
void core_pause_idle(struct core *c); /* sandboxes whose limit idle_s is over */

/* keepers.c */
void core_keepers_init(struct core *c);
/* Of a fixed kind; borrowed. */
struct kept *core_kept(struct core *c, enum keepers which);
/* That starts its interpreters; kernel_kept: NULL, none does. */
struct kept *kernel_kept(const struct kernel *k);
struct kept *sandbox_kept(const struct sandbox *s);
/* May a sandbox have a fork server with the libraries that it asks for? Else the usual one is its:
 * there is no room for another one, or nothing is forked. */
bool keepers_take(struct core *c, const char *owner, const struct sandbox_request *request);
/* Whose keeper the sandboxes of owner live in: NULL: that of the owner of this gateway. shared:
 * their template is for everybody. */
const char *keepers_whose(const struct core *c, const char *owner, bool shared);
/* Opened if need be; NULL: draining, or kept is NULL. */
struct keeper *kept_keeper(struct kept *kept);
/* Asks for a fresh status; false: there is no keeper to ask, and done is not called. */
bool kept_refresh(struct kept *kept, void (*done)(void *user), void *user);
void core_keepers_tick(struct core *c, int64_t now_ms); /* ends those that nothing needs */
void core_keepers_close(struct core *c); /* but those that were marked as living on */
bool kernel_env_is_cold(const struct environment *env); /* WARMCELL_COLD is set and not 0 */

/* sandbox_model.c, sandbox_folder.c */
void sandbox_set_owner(struct sandbox *s, const char *owner);
/* It is made by who, with the token that they show. */
void sandbox_set_account(struct sandbox *s, const struct principal *who);
void sandbox_take_opening(struct sandbox *s, json_t *answer); /* of OPEN */
/* Removes a sandbox's folder with everything in it, on another thread; done on the loop's. */
void sandbox_folder_remove(struct core *c, const char *id, void (*done)(void *user), void *user);
/* The same with the folder `name` of another one. */
void folder_remove(struct core *c, const char *parent, const char *name, void (*done)(void *user),
                   void *user);

/* sandbox_words.c */
struct sandbox *sandbox_named(const struct core *c, const char *owner, const char *name);
bool sandbox_name_free(const struct core *c, const char *owner, const char *name,
                       const struct sandbox *but, struct err *e); /* 409 */
bool sandbox_check_network(json_t *network, struct err *e);       /* 400 */
bool sandbox_check_words(const struct core *c, const struct principal *who,
                         const struct sandbox_request *request, struct err *e); /* 400, 409 */
void sandbox_take_words(struct sandbox *s, const struct sandbox_request *request);
/* Which keeper it will have; of one that is being made. */
void sandbox_take_preload(struct sandbox *s, const struct sandbox_request *request);
/* out: the one that was made with the same key; NULL: none. 409 it is not ready yet; 422. */
bool sandbox_made_before(const struct core *c, json_t *once, struct sandbox **out, struct err *e);
void sandbox_save_all(const struct sandbox *s); /* all its kernels are saved */
void sandbox_save_words(const struct sandbox *s, json_t *saved);
void sandbox_restore_words(struct sandbox *s, json_t *saved);

/* sandbox.c */
bool sandbox_is_made(const struct sandbox *s); /* its maker was told; it is there for its owner */
struct keeper *sandbox_keeper(const struct sandbox *s); /* NULL: draining */
/* It lives in the keeper that we talk to, and not in one of an earlier template. */
bool sandbox_reachable(const struct sandbox *s);
bool sandboxes_allowed(const struct core *c, struct err *e); /* one more; 403 */
/* Over those that are in *out, which nobody asked for; 400, 403. asked: NULL: none. */
bool sandbox_read_limits(const struct core *c, json_t *asked, struct limits *out, struct err *e);
struct sandbox *sandbox_new(struct core *c, const char *id);
void sandboxes_join(struct core *c,
                    struct keeper *keeper); /* it is up: take hold of what lives there */
/* The sandbox's part of kernel.json; and back, with k's own part: k becomes its kernel. */
json_t *sandbox_save(const struct sandbox *s);
void sandbox_restore(struct kernel *k, json_t *saved);
/* One of its kernels is being freed; with the last it goes too, with its folder unless keep. */
void sandbox_kernel_gone(struct sandbox *s, struct kernel *k, bool keep);
json_t *sandbox_plan(const struct sandbox *s);            /* what OPEN is told; given */
json_t *sandbox_limits_told(const struct limits *limits); /* to hosts and keepers; given */
struct sandbox *sandbox_known(const struct core *c, const char *id); /* whatever its state; NULL */
/* What sandbox_save gave, in a sandbox of c that has no kernel. */
struct sandbox *sandbox_revive(struct core *c, const char *id, json_t *saved);
void sandbox_hold(struct sandbox *s); /* an answer is awaited for it */
void sandbox_let_go(struct sandbox *s);
/* Another thread writes a record of it: nothing is said to be gone before that has ended. */
void sandbox_write_began(struct sandbox *s);
void sandbox_write_ended(struct sandbox *s);
void sandbox_end_contexts(struct sandbox *s, int code, const char *reason);
void sandbox_open_again(struct sandbox *s,
                        void (*done)(void *user, json_t *answer, const struct err *e), void *user);
/* Has the keeper end what is left of it; done once. */
void sandbox_close(struct sandbox *s, void (*done)(void *user, json_t *answer, const struct err *e),
                   void *user);
void sandbox_died(struct sandbox *s); /* a kernel is dead: with the last all that runs in it ends */
/* One for the pool: its kernel is pooled from the start. */
void sandbox_start_pooled(struct core *c, struct pool *p);
/* For the pool, without a kernel yet. */
size_t sandboxes_opening(const struct core *c, const struct pool *p);
/* One of a pool that ends; one that is being made ends when it is. */
void sandbox_retire(struct sandbox *s, const char *why);

/* context.c */
/* Starts one more kernel in s. All may be NULL: name, for the next one; language, for that of the
 * sandbox; once, of its request; branching: it waits for that; borrowed when it fails, else the
 * kernel's. NULL: e is filled, 422, 502, 503. */
struct kernel *context_start(struct sandbox *s, const char *name, const struct language *language,
                             json_t *once, struct branching *branching, struct err *e);
/* One that a snapshot holds: {"id", "name", "language", "number", "created", "forked_from"}; it is
 * handed out (handing) when it is restored. NULL: 422, 502, 503. */
struct kernel *context_revive(struct sandbox *s, json_t *record, struct err *e);
/* One of a sandbox that lives, whose host ended while no gateway was there: it is dead, until it is
 * restarted. record: as above; "reason" and "cause" may be in it. */
void context_find_dead(struct sandbox *s, json_t *record);
void context_join(struct sandbox *s, struct kernel *k, int64_t number);
void context_leave(struct kernel *k);
/* What code in a sandbox finds in its environment besides what its maker named. env: empty. */
void context_environment(const struct settings_core *settings, struct environment *env);
/* The file that its host has interpreters started by; 503. */
bool context_write_plan(const struct kernel *k, const char *path, struct err *e);
size_t contexts_count(const struct sandbox *s); /* that contexts_each finds */
bool contexts_live(const struct sandbox *s);    /* one at least is not dead */

/* branching.c */
/* done: as of contexts_create. Given. */
struct branching *branching_new(struct kernel *from, bool force,
                                void (*done)(void *user, struct kernel *k, const struct err *e),
                                void *user);
void branching_free(struct branching *b);                       /* nobody is told */
void branching_expects(struct branching *b, struct kernel *to); /* before it is launched */
void branching_attached(struct kernel *to);                     /* its host waits now */
void branching_lost(struct kernel *to, const char *reason);     /* to is being freed */

/* snapshot.c: {"id", "name", "language", "number", "created", "forked_from", "head": null,
 * "problem": null}; given */
json_t *snapshot_context_record(const struct kernel *k);

/* snapshot_list.c */
/* {"id", "created", "why", "bytes", "files", "buffers"} of a record; given. */
json_t *snapshot_summary(json_t *record);
json_t *snapshot_model(json_t *record);   /* as in snapshot.h; given; on any thread */
void snapshot_keep_short(json_t *record); /* without what a resume does not need */

/* snapshot.c, pausing.c, paused.c */
struct moving *moving_begin(struct sandbox *s, bool force, snapshot_done *done, void *user,
                            struct err *e); /* NULL: 409, 503; done was not called */
/* Saves all contexts and commits; then calls next with e NULL or why not. */
/* why: "asked", "fork", or "pause" and "idle", which pause it; reason: what its model says then;
 * NULL. */
void moving_save(struct moving *m, const char *why, const char *reason,
                 void (*next)(struct moving *m, const struct err *e));
/* Writes, on another thread, that the sandbox is paused or not; then next. */
void moving_commit(struct moving *m, bool paused,
                   void (*next)(struct moving *m, const struct err *e));
struct sandbox *moving_sandbox(const struct moving *m);
void *moving_user(const struct moving *m); /* of moving_begin */
json_t *moving_record(const struct moving *m);
void moving_end(struct moving *m, json_t *answer, const struct err *e); /* answer: taken */
void resuming_ready(struct kernel *k);                    /* its interpreter is idle */
void resuming_lost(struct kernel *k, const char *reason); /* it is being freed */
void pausing_emptied(struct sandbox *s);                  /* its last kernel is gone */
/* At the start, after the kernels that live. What is taken over of remains.h is taken out there. */
void paused_load(struct core *c, json_t *remains);
struct sandbox *paused_holding(const struct core *c, const char *kernel); /* NULL: none */
void paused_forget(struct core *c); /* at the end: frees those paused */
void paused_remove_logs(const struct sandbox *s);
bool sandbox_refuses(const struct sandbox *s, struct err *e); /* halted: true and 409 */

/* package.c, package_refresh.c */
void packages_let_go(struct sandbox *s); /* every job fails: the sandbox goes, or this gateway */
void package_take_reply(struct kernel *k, struct bytes frame); /* to PACKAGES_IDENTITY */
/* A file that is there when no interpreter of the sandbox may be a fork; given. */
char *sandbox_cold_mark(const struct core *c, const char *id);

/* sessions that a kernel's end takes with it */
void sessions_kernel_gone(struct core *c, const char *kernel_id);

#endif
