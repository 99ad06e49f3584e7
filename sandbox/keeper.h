/* The keeper: its loop, and the lists of everybody it deals with. One thread owns all of it. Shared
 * by keeper.c and the files that each hold one part: askers, starts, sandboxes, the fork server. */
#ifndef WARMCELL_SANDBOX_KEEPER_H
#define WARMCELL_SANDBOX_KEEPER_H

#include <jansson.h>
#include <sys/resource.h>

#include "protocol/err.h"
#include "sandbox/loop.h"
#include "sandbox/options.h"

/* Limits on what askers can make it hold. */
#define ASKERS_MOST    4096
#define STARTS_MOST    8192
#define SANDBOXES_MOST 4096

struct asker;
struct start;
struct stock;
struct fork_server;
struct governor;
struct outsider;
struct sandbox;
struct sweep;
struct world;

struct keeper {
    const struct keeper_options *options; /* borrowed */
    struct loop *loop;
    int listen_fd;
    int null_fd;
    struct watch *listening;
    struct rlimit nofile; /* what started processes get: ours is raised */

    struct asker *askers;
    size_t asker_count;
    uint32_t last_asker; /* askers are numbered from 1 */
    struct start *starts;
    size_t start_count;
    struct fork_server *fork_server; /* NULL: none */
    struct world *world;             /* borrowed; NULL: the profile owner */
    struct governor *governor;       /* owned; NULL likewise */
    int64_t cold_starts;             /* of its life */
    struct outsider *proxy;          /* owned; NULL: no sandbox reaches listed hosts */
    struct outsider *pasta;          /* owned; NULL: none reaches the outside (pasta.h) */
    struct watch *pasta_watch;
    struct sandbox *sandboxes;
    size_t sandbox_count; /* without those of the stock */
    struct stock *stock;  /* owned; NULL: none */
    struct timer *tick;

    struct timer *idle;
    struct timer *sweep;
    struct sweep *sweeps; /* whose processes are being killed */

    bool draining; /* listens no more, ends when nothing runs */
    bool ending;
};

/* Serves on a listening socket (taken) until it is told to end or idle. The socket's file is the
 * caller's. governor, proxy, pasta: taken. Descriptor 0 must be /dev/null: where the keeper is,
 * there may be none. Returns the exit status. */
int keeper_run(const struct keeper_options *options, int listen_fd, struct world *world,
               struct governor *governor, struct outsider *proxy, struct outsider *pasta);

/* keeper.c, for the other parts */
void keeper_settle(struct keeper *k); /* something ended: perhaps the keeper does */
void keeper_drain(struct keeper *k);
void keeper_end(struct keeper *k);
json_t *keeper_status(struct keeper *k); /* given */
/* True: the child has a name here: it is a start's or the fork server's. */
bool keeper_knows(struct keeper *k, pid_t pid);
/* Kills the children that it does not know, nor knows where they come from; how many there were. */
size_t keeper_kill_strangers(struct keeper *k);
/* Kills what carries the mark of an asker (its serial), until nothing does; then answers its
 * datagram of that number. 0: none. */
void keeper_sweep(struct keeper *k, uint32_t mark, uint32_t number);

#endif
