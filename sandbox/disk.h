/* What a workspace holds, counted by walking it: few file systems have quotas for us.
 *
 * A walk goes in steps, so that a million files never hold up the keeper; links are not followed,
 * and a file with several names counts once. What was moved about meanwhile may be counted in the
 * next walk only. Files that were removed but are still open are not seen by a walk:
 * disk_open_bytes counts them. */
#ifndef WARMCELL_SANDBOX_DISK_H
#define WARMCELL_SANDBOX_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define DISK_DEPTH_MOST 128 /* folders in folders; deeper ones make a walk `too_deep` */

struct disk_use {
    int64_t bytes; /* as blocks on the disk */
    int64_t inodes;
    bool too_deep;
};

struct disk;
/* NULL: the folder cannot be opened, errno says why. The folder is held by descriptor. */
struct disk *disk_open(const char *folder);
void disk_free(struct disk *d);

/* Begins a walk when none is under way and it is time: the file system lost more than
 * hurry_bytes or hurry_inodes since the last one began, or anything at all and a second (longer
 * where walks are long: they take a twentieth of the time at most) has passed. */
void disk_begin(struct disk *d, int64_t hurry_bytes, int64_t hurry_inodes);
/* What was counted so far says nothing any more: disk_now tells what is found from now on, by a
 * walk that the next disk_begin begins. */
void disk_forget(struct disk *d);
/* Goes on with the walk for at most `entries` names. */
void disk_step(struct disk *d, size_t entries);
bool disk_walking(const struct disk *d);

/* The greater of the last whole walk and what the present one has found so far. false: there was
 * no whole walk yet (*out is what is known). */
bool disk_now(const struct disk *d, struct disk_use *out);

/* The blocks of files on the workspace's file system that have no name any more but are held open
 * by one of these processes, each once. Looks at no more than `entries` descriptors. */
int64_t disk_open_bytes(const struct disk *d, const pid_t *pids, size_t count, size_t entries);

#endif
