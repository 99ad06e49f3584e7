/* Work that makes many files in a workspace: a job in steps, each within what the sandbox's quota
 * grants it, so that neither the quota nor libuv's threads are held for long. The first member of
 * what it works on. Shared by the file_*.c of this folder alone. */
#ifndef WARMCELL_GATEWAY_CORE_FILE_MAKING_H
#define WARMCELL_GATEWAY_CORE_FILE_MAKING_H

#include "gateway/core/file_job.h"
#include "gateway/files/room.h"

struct file_making {
    struct file_job job; /* first; its why says how the last step went */
    char *sandbox;       /* its id; owned */
    struct quota_count count;
    bool counted;
    struct room room;
    int64_t reserved;
    bool again; /* of a step: there is more to do */
    void (*step)(struct file_making *m, int root);
    void (*done)(struct file_making *m);
};

void file_making_set(struct file_making *m, struct sandbox *s);
void file_making_clear(struct file_making *m);

/* Runs step off the loop, within m->room, until it says that there is nothing again, or fails; then
 * done on the loop, once, perhaps at once: 404 the sandbox has ended. One at a time. */
void file_making_start(struct file_making *m, void (*step)(struct file_making *m, int root),
                       void (*done)(struct file_making *m));

#endif
