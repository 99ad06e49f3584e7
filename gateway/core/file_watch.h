/* Who is told what changes in a sandbox's workspace (files/watch.h). The rules and errors of
 * core/file.h hold. */
#ifndef WARMCELL_GATEWAY_CORE_FILE_WATCH_H
#define WARMCELL_GATEWAY_CORE_FILE_WATCH_H

#include "gateway/core/sandbox.h"
#include "gateway/files/watch.h"

#define FILE_WATCHES_MOST     16 /* of one principal; each has WATCH_FOLDERS_MOST at most */
#define FILE_WATCHES_ALL_MOST 64 /* of all: the system gives 128 to one user */

struct file_watch;

struct file_watch_events {
    /* What was asked for by file_watch_next; borrowed, at least one. */
    void (*on_events)(void *user, const struct watch_events *events);
    /* Nothing more comes, and the watch is gone: its folder is, or its sandbox, or the gateway
     * ends. At any time, also from inside no other call. */
    void (*on_end)(void *user, const char *reason);
};

/* done gets the watch, which stands by then, or NULL and why: 403 the principal, or all together,
 * have as many as they may. */
void file_watch_open(struct sandbox *s, const struct principal *who, const char *path, bool deep,
                     const struct file_watch_events *events, void *user,
                     void (*done)(void *user, struct file_watch *w, const struct err *e));

/* Waits for events; once, until they have come. Who does not ask is told of an overflow later. */
void file_watch_next(struct file_watch *w);
void file_watch_close(struct file_watch *w); /* its owner hears nothing more */

void file_watches_end(struct sandbox *s, const char *reason); /* of core alone */

#endif
