/* A copy of the state folder as it is, as a tar, while the gateway works: the database by SQLite's
 * own backup, then the blobs, logs, snapshots and workspaces that it names. Made off the loop, a
 * piece when it is asked for. Unpacked, it is a state folder. */
#ifndef WARMCELL_GATEWAY_CORE_BACKUP_H
#define WARMCELL_GATEWAY_CORE_BACKUP_H

#include "gateway/core/core.h"
#include "protocol/bytes.h"

struct backup;

/* Its owner calls one function at a time, awaits its done, and ends it by free. done gets it, or
 * NULL and why: 503. */
void backup_open(struct core *c, void (*done)(void *user, struct backup *b, const struct err *e),
                 void *user);
/* piece is borrowed until the next call; last: no more follows. */
void backup_next(struct backup *b,
                 void (*done)(void *user, struct bytes piece, bool last, const struct err *e),
                 void *user);
/* Also while a piece is awaited: its done does not come then. */
void backup_free(struct backup *b);

/* Removes what a gateway that was killed left of one. */
void backup_clear(const char *state_dir);

#endif
