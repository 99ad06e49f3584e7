/* What changes in a folder, and below it, as the system tells it (inotify). Called with the
 * identity of the sandbox (identity.h), on one thread at a time. */
#ifndef WARMCELL_GATEWAY_FILES_WATCH_H
#define WARMCELL_GATEWAY_FILES_WATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol/err.h"

#define WATCH_FOLDERS_MOST 4096 /* watched at a time */
#define WATCH_BATCH        1000 /* events told at once, and what a new folder has in it besides */

enum watch_kind {
    WATCH_CREATED,
    WATCH_MODIFIED,   /* its bytes */
    WATCH_ATTRIBUTES, /* its permissions or times */
    WATCH_MOVED,      /* from a name to another, both watched */
    WATCH_DELETED,    /* or moved away */
    WATCH_OVERFLOW,   /* changes were not told: look again */
    WATCH_ENDED,      /* the folder itself has gone: nothing more comes */
};

struct watch_event {
    enum watch_kind kind;
    char *path; /* below the workspace; owned; NULL of the last two */
    char *from; /* of WATCH_MOVED; owned; NULL otherwise */
    bool folder;
};

struct watch_events {
    struct watch_event *event; /* owned */
    size_t count;
};
void watch_events_free(struct watch_events *events); /* what it owns */

struct watch;

/* path is clean (path.h) and a folder. deep: also what is below its folders, of which those that
 * the sandbox may not read are left out. 403 more than WATCH_FOLDERS_MOST; 404; 409 no folder; 503
 * the system has no more to give. */
struct watch *watch_open(int root, const char *path, bool deep, struct err *e);
void watch_free(struct watch *w); /* NULL is legal */

/* Is readable when there is something to be told. */
int watch_fd(const struct watch *w);

/* What there is now; perhaps nothing. root as in watch_open. */
void watch_read(struct watch *w, int root, struct watch_events *out);

#endif
