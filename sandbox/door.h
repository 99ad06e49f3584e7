/* The Unix socket that a keeper listens on, and its file. */
#ifndef WARMCELL_SANDBOX_DOOR_H
#define WARMCELL_SANDBOX_DOOR_H

#include <stdbool.h>
#include <sys/types.h>

#include "protocol/err.h"

struct door {
    int fd;
    int folder_fd; /* of the file, so that it is found from another root too */
    int file_fd;   /* of the file: while it is open, no other one has its number */
    char name[108];
    dev_t device;
    ino_t inode;
};

enum door_state { DOOR_OPEN, DOOR_TAKEN, DOOR_FAILED };

/* Listens at path (absolute) with mode 0600; the folder is made (0700) when it is absent. What a
 * dead keeper left there is replaced. DOOR_TAKEN: another keeper listens there. DOOR_FAILED: 400
 * the path is too long, 503. Two that come at once are told apart by a lock on the folder. */
enum door_state door_open(const char *path, struct door *out, struct err *e);

/* Removes the file, if it is still this door's, and closes both; fd is the listener's. */
void door_close(struct door *d);

#endif
