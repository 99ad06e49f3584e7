/* What a change of files touched and must be synced for the change to survive a power cut: open
 * files and folders, a few; more than that are synced with the whole file system that they lie in,
 * which takes one descriptor however many they are.
 *
 * They are found by their names below a folder, after the change: what was put elsewhere meanwhile
 * does not lead out. Called with the identity of the sandbox (identity.h). t may be NULL
 * everywhere: nobody asks. */
#ifndef WARMCELL_GATEWAY_FILES_TOUCHED_H
#define WARMCELL_GATEWAY_FILES_TOUCHED_H

#include <stdbool.h>
#include <stddef.h>

#define TOUCHED_MOST 16

/* {0} is empty. */
struct touched {
    int list[TOUCHED_MOST]; /* owned descriptors */
    size_t count;
    bool all; /* the file system; the list is empty then */
};

/* fd: taken. */
void touched_fd(struct touched *t, int fd);
/* What at (borrowed, O_PATH is enough) stands for, unless it is there already. */
void touched_at(struct touched *t, int at);
/* What is at path, links followed. */
void touched_entry(struct touched *t, int root, const char *path);
/* The folder at path (clean) and as many of those above it: where that many were made on the way.
 */
void touched_folder(struct touched *t, int root, const char *path, size_t above);
/* The same from the folder on that path lies in. */
void touched_parent(struct touched *t, int root, const char *path, size_t above);

/* Gives one after the other away; -1: there is none left. */
int touched_take(struct touched *t);

#endif
