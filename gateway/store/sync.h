/* What was written to the state folder and may not be on the disk yet, and the thread that sees to
 * it.
 *
 * Whoever changes a file or a folder says so afterwards; SYNC_DELAY_MS later at most all that was
 * said is synced, the write-ahead log of the database last, because it names the others. It names
 * none of the users' files: those have a thread of their own, so that nothing else waits while the
 * disk takes a large one. Nothing runs while nothing changes. With `full` the store syncs before
 * each commit instead (sync_now), and the thread only what no commit follows. Every function may be
 * called on any thread. */
#ifndef WARMCELL_GATEWAY_STORE_SYNC_H
#define WARMCELL_GATEWAY_STORE_SYNC_H

#include <stdint.h>

#include "protocol/err.h"

#define SYNC_DELAY_MS  50  /* what is left of 100 ms is for the disk */
#define SYNC_OPEN_MOST 256 /* files and folders that are held open until they are synced */

struct sync;

struct sync *sync_new(const char *state_dir, bool full);
/* Syncs what is left, and ends the thread. NULL is legal. */
void sync_close(struct sync *y);
bool sync_is_full(const struct sync *y);

/* The file or folder of that path was changed. A link in its last place is not followed; one that
 * is gone by then is passed over. Gives the round that syncs it. y may be NULL: then 0. */
uint64_t sync_path(struct sync *y, const char *path);
/* Much was changed in the file system that this open file or folder lies in; fd is taken. All of
 * the file system is synced, also what others wrote there: by a thread of its own, because that may
 * take long. */
void sync_filesystem(struct sync *y, int fd);
/* The database was written. */
void sync_database(struct sync *y);

/* The round that takes what is said now. While it is the one that sync_path gave, the same path
 * need not be said again. */
uint64_t sync_round(const struct sync *y);

/* Syncs all that was said, but for the database. 503: the disk failed. */
bool sync_now(struct sync *y, struct err *e);

/* A file or folder, at once. 503. */
bool sync_file(const char *path, struct err *e);
/* An open file or folder was changed, with its mode and times. It is on the disk when this returns
 * with `full`, or where SYNC_OPEN_MOST wait already. fd is taken; -1: it could not be opened, with
 * errno. 503: it is not on the disk. */
bool sync_settle_fd(struct sync *y, int fd, struct err *e);
/* As sync_filesystem; with `full` it is on the disk when this returns. fd and 503 as above. */
bool sync_settle_filesystem(struct sync *y, int fd, struct err *e);

#endif
