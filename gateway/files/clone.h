/* A whole workspace copied into another one that is empty and that nobody has yet, while code in
 * the first may go on. Called with the gateway's own identity: what is there belongs to the new
 * owner afterwards.
 *
 * Nothing is followed and nothing leads out: each step goes from an open folder to a name in it. A
 * file shares its bytes with the first where the file system can (FICLONE), else they are copied
 * inside the system, and its holes stay holes. Links, permissions and times of change stay; what
 * was one file with several names becomes several files. Memory is bounded. */
#ifndef WARMCELL_GATEWAY_FILES_CLONE_H
#define WARMCELL_GATEWAY_FILES_CLONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/files/room.h"

#define CLONE_DEPTH_MOST 128 /* folders in each other; each holds three descriptors */
#define CLONE_TRIES_MOST 3   /* of a file that is written to as it is copied */
#define CLONE_NOTES_MOST 100 /* paths that a result names, of each kind */

struct clone_note {
    char *path;         /* owned; below the workspace; any bytes but NUL */
    const char *reason; /* why it was not copied; NULL: it was written to as it was; for ever */
};

struct clone_notes {
    struct clone_note list[CLONE_NOTES_MOST]; /* the first of them */
    size_t count;
    int64_t more; /* that are not in the list */
};

/* {0} is empty. */
struct clone_result {
    int64_t files, folders, links;
    int64_t bytes;              /* of the files' content, as long as they say they are */
    struct clone_notes changed; /* copied, but perhaps as it never was: written to every time */
    struct clone_notes not_copied;
};
void clone_result_clear(struct clone_result *r); /* what it owns */

/* from, to: descriptors of the folders, O_PATH is enough; borrowed. uid: whose it is to be, and of
 * the group of the same number; -1: the caller's. What is copied is taken from the room. False:
 * 503, 507; some of it is copied then. */
bool clone_workspace(int from, int to, int64_t uid, struct room *room, struct clone_result *out,
                     struct err *e);

#endif
