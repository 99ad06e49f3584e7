/* A keeper (docs/keeper.md) as the gateway sees it: found where an earlier gateway left it, else
 * started, and asked over one connection. It is a process of its own that outlives the gateway. One
 * that ends is started again; what is asked meanwhile waits or fails. */
#ifndef WARMCELL_GATEWAY_LAUNCH_KEEPER_H
#define WARMCELL_GATEWAY_LAUNCH_KEEPER_H

#include <jansson.h>
#include <uv.h>

#include "gateway/launch/spawn.h"
#include "gateway/settings.h"
#include "protocol/err.h"
#include "sandbox/wire.h"

enum keeper_profile { KEEPER_OWNER, KEEPER_SANDBOX };

struct keeper_plan {
    const struct settings_core *settings; /* borrowed; outlives the keeper */
    enum keeper_profile profile;
    bool best_effort; /* KEEPER_SANDBOX: do without what the machine lacks */
    const char
        *principal;      /* its alone, with host uids of its own; NULL: the owner's; outlives it */
    const char *preload; /* what its fork server imports, "a,b", with host uids of its own; NULL:
                            what the settings say; outlives it */
};

struct keeper_events {
    /* It can be asked: for the first time, or after it was lost. What an earlier one held is gone
     * if it is another process. */
    void (*on_up)(void *user);
};

struct keeper;

/* Begins to look for it, and starts it if it is not there. */
struct keeper *keeper_open(uv_loop_t *loop, const struct keeper_plan *plan,
                           const struct keeper_events *events, void *user);

/* Lets it go; with `end` it is told to end first. What waits fails (503). closed is called from the
 * loop when no handle of it is left, and may be NULL. */
void keeper_close(struct keeper *k, bool end, void (*closed)(void *user), void *user);

const char *
keeper_name(const struct keeper *k); /* "owner-1a2b3c4d": profile and template; then whose */
const char *keeper_socket(const struct keeper *k); /* for hosts */
bool keeper_up(const struct keeper *k);
int64_t keeper_starts(const struct keeper *k); /* processes that this gateway started, and failed
                                                  attempts */

/* Sends a request; done is called once, at once or later. answer is the body of OK (borrowed). What
 * is asked before the keeper is up waits for it. 501: the machine cannot do it; 503: the keeper is
 * not there, ended, or gave no answer in time; and what it answered itself. body: taken, NULL is
 * {}. */
void keeper_ask(struct keeper *k, enum wire_kind kind, json_t *body,
                void (*done)(void *user, json_t *answer, const struct err *e), void *user);

/* Inside done: takes the next descriptor that came with the answer; -1: there is none. What is not
 * taken is closed. */
int keeper_take_fd(struct keeper *k);

/* keeper_command.c: the words that start it, and where it listens. False: 503, a program is
 * missing. */
bool keeper_command(const struct keeper_plan *plan, const char *socket, const char *log,
                    struct words *out, struct err *e);
/* Names what a keeper's template is made of, so that another one gets another socket. Given. */
char *keeper_template(const struct keeper_plan *plan);

#endif
