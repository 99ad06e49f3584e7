/* The supervisor of one command: warmcell-command, a small process outside the sandbox. It has the
 * keeper start the program, owns its pipes, writes its log, and takes words from a gateway. It
 * outlives gateways by a lease, and ends with its command; when it is killed, the keeper kills all
 * that the command left.
 *
 * command.c is the life, command_pipes.c what passes through the pipes, command_gate.c the
 * gateway's end. */
#ifndef WARMCELL_SANDBOX_COMMAND_H
#define WARMCELL_SANDBOX_COMMAND_H

#include "sandbox/command_log.h"
#include "sandbox/command_plan.h"
#include "sandbox/loop.h"
#include "sandbox/wire.h"

#define STDIN_QUEUE_LIMIT_BYTES (32 * 1024 * 1024) /* that the program has not read */

/* Why it ended, when it was not by itself. In RECORD_ENDED: {"status": …, "exit_code": n or null,
 * "signal": "SIGKILL" or null, "reason": "…" or null}, or, when the program was not started for
 * another reason than the program itself, {"refused": http status, "reason": "…"}. */
enum command_end {
    END_OWN, /* "exited", or "killed" by a signal */
    END_KILLED,
    END_TIMEOUT,
    END_OUTPUT,
    END_OOM,
    END_LOST,
};

enum command_phase {
    COMMAND_OPENING,  /* the keeper was asked for the sandbox */
    COMMAND_STARTING, /* and for the program */
    COMMAND_RUNS,
    COMMAND_ENDED, /* its first process has; the rest is being killed */
};

struct stdin_piece {
    struct stdin_piece *next;
    int fd; /* a memory or a file; owned */
    int64_t at, end;
};

struct command {
    struct loop *loop;
    struct command_plan plan;
    struct command_log log;
    enum command_phase phase;
    enum command_end end;
    char *reason;    /* owned */
    int wait_status; /* once it ended */

    int keeper_fd; /* -1: lost */
    struct watch *keeper_watch;
    uint32_t start_number, kill_number; /* 0: not sent */
    int pidfd;
    pid_t pid;
    struct watch *pidfd_watch; /* when the keeper was lost */
    struct timer *deadline, *overdue;

    int out[2]; /* our ends of stdout and stderr; -1: at its end */
    struct watch *out_watch[2];
    struct timer *calm[2]; /* runs while a pipe is not looked at */
    int in;                /* of stdin; -1: closed */
    struct watch *in_watch;
    struct stdin_piece *pieces; /* what it shall read */
    int64_t piece_bytes;
    bool in_ends; /* behind them */
    int theirs[3];

    const char *socket; /* borrowed; where gateways that come back find it */
    int listen_fd, gate_fd;
    struct watch *listening, *gate_watch;
    struct timer *lease;
    bool news; /* the gateway does not know yet of the log's last record */
    bool done; /* RECORD_ENDED is written */
};

/* command.c */
/* Runs until the command has ended and the log says how. socket, gate_fd (-1: none): taken as of
 * struct command. Returns the exit status. */
int command_run(struct command_plan *plan, struct command_log *log, const char *socket, int gate_fd,
                int stdin_fd);
void command_kill(struct command *c, enum command_end why, const char *reason);
/* 409: it does not run. */
bool command_signal(struct command *c, int number, struct err *e);
void command_add(struct command *c, enum record_kind kind, struct bytes data);

/* command_pipes.c */
bool pipes_make(struct command *c, uid_t uid, struct err *e); /* 503 */
void pipes_given(struct command *c); /* the program has its ends: close ours of them */
void pipes_begin(struct command *c);
void pipes_drain(struct command *c); /* takes what is there, and ends */
void pipes_close(struct command *c);
/* fd: taken, -1: nothing; ends: nothing comes behind it. 409: stdin is closed; 503: too much waits.
 */
bool pipes_feed(struct command *c, int fd, bool ends, struct err *e);

/* command_gate.c */
bool gate_open(struct command *c, struct err *e); /* 503 */
void gate_close(struct command *c);

#endif
