/* A connection to the keeper: a host's, or a gateway's. What it started ends with it. */
#ifndef WARMCELL_SANDBOX_ASKER_H
#define WARMCELL_SANDBOX_ASKER_H

#include "sandbox/keeper.h"
#include "sandbox/wire.h"

struct hold;

struct asker {
    struct asker *next;
    struct keeper *keeper;
    uint32_t serial; /* also the mark of what it started (sandbox/lineage.h) */
    int fd;
    struct watch *watch;
    struct hold *holds; /* sandboxes that it holds (sandbox.c) */
    bool has_started;   /* something, once */
    bool waits_for_end;
    uint32_t end_number; /* of its END, which is answered last */
    bool deaf;           /* it has closed; what it said before that still counts */
    bool gone;           /* nothing more is said to it; buried before the loop sleeps */
};

/* fd: taken; it must not block. */
void asker_open(struct keeper *k, int fd);

/* An asker that does not read is let go, as one that has closed. body: taken. */
void asker_tell(struct asker *a, uint32_t kind, uint32_t number, json_t *body);
void asker_tell_fd(struct asker *a, uint32_t kind, uint32_t number, json_t *body, int fd);
void asker_fail(struct asker *a, uint32_t number, const struct err *e);

/* NULL: it has left. */
struct asker *asker_of(struct keeper *k, uint32_t serial);

/* Ends the connection, and with it what it holds. */
void asker_leave(struct asker *a);

/* Frees those that have left; called by the loop before it sleeps. */
void askers_bury(struct keeper *k);

#endif
