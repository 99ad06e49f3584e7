/* What the files API may still put into a workspace. The keeper counts what code inside writes and
 * ends everything when it is too much; what comes from outside is refused before that. */
#ifndef WARMCELL_GATEWAY_CORE_QUOTA_H
#define WARMCELL_GATEWAY_CORE_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/err.h"
#include "sandbox/limits.h"

struct quota {
    int64_t used_bytes, used_inodes;       /* as the last walk counted, blocks on the disk */
    int64_t added_bytes, added_inodes;     /* through us, ever */
    int64_t counted_bytes, counted_inodes; /* of these, what was there as it began */
    int64_t reserved_bytes;                /* of uploads under way */
    int64_t walked_ms;                     /* monotonic; when it began; 0: never */
    int64_t walk_ms;                       /* how long it took */
};

/* One walk over a workspace. quota_walk does it, on any thread, with the gateway's own identity; it
 * takes as long as there are files. */
struct quota_count {
    char *workspace; /* borrowed */
    int64_t began_ms, took_ms;
    int64_t counted_bytes, counted_inodes; /* what was added as it began */
    int64_t bytes, inodes;
};
void quota_begin(const struct quota *q, struct quota_count *count);
void quota_walk(struct quota_count *count);
void quota_take(struct quota *q, const struct quota_count *count); /* unless a later one was */

/* The account is as good as new: a second old, or twenty times as long as a walk takes. */
bool quota_is_fresh(const struct quota *q);
/* So many bytes of a file, and so many names, more. 507 names the limit. */
bool quota_fits(const struct quota *q, const struct limits *l, int64_t bytes, int64_t inodes,
                struct err *e);
/* How much is left; INT64_MAX: there is no limit. */
void quota_left(const struct quota *q, const struct limits *l, int64_t *bytes, int64_t *inodes);
int64_t quota_blocks(int64_t bytes); /* as bytes on the disk */

#endif
