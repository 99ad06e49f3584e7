/* How much one step of work that makes many files may put on the disk, and how much it did: granted
 * by who keeps the account (core/file_room.h), taken as files are made. */
#ifndef WARMCELL_GATEWAY_FILES_ROOM_H
#define WARMCELL_GATEWAY_FILES_ROOM_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/err.h"

#define ROOM_STEP_BYTES INT64_C(33554432) /* after so many a step ends, ... */
#define ROOM_STEP_NAMES 2000              /* ... or so many */
#define ROOM_TAKE_BYTES INT64_C(4194304)  /* taken at once at most */

struct room {
    int64_t bytes, names; /* that may still be made; INT64_MAX: no limit */
    int64_t used_bytes, used_names;
};

/* 507: as much is not left. What is replaced is not given back before the next count. */
bool room_take(struct room *r, int64_t bytes, int64_t names, struct err *e);

/* The step has made enough: it goes on with another grant. */
bool room_is_used(const struct room *r);

#endif
