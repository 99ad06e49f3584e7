/* The account of one step. */
#include "gateway/files/room.h"

bool room_take(struct room *r, int64_t bytes, int64_t names, struct err *e)
{
    if (bytes > r->bytes)
        return fail(e, 507, "workspace_bytes: the workspace has no room for more");
    if (names > r->names)
        return fail(e, 507, "workspace_inodes: the workspace has no room for more files");
    r->bytes -= bytes;
    r->names -= names;
    r->used_bytes += bytes;
    r->used_names += names;
    return true;
}

bool room_is_used(const struct room *r)
{
    return r->used_bytes >= ROOM_STEP_BYTES || r->used_names >= ROOM_STEP_NAMES;
}
