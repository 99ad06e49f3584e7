/* Artifacts as one tar, made piece by piece as its taker asks for them.
 *
 * Each that is kept is a file NNNNNN-NAME: its place in the tar, which makes names unique, and the
 * last part of its path, or "display" with the ending of its type. */
#ifndef WARMCELL_GATEWAY_CORE_ARTIFACT_TAR_H
#define WARMCELL_GATEWAY_CORE_ARTIFACT_TAR_H

#include "gateway/core/artifact.h"

struct artifact_tar;

/* Of those of who's that the query finds (its after and limit are not looked at; its texts are
 * copied). Never fails by itself. Its owner calls one function at a time and awaits its done. */
struct artifact_tar *artifact_tar_open(struct core *c, const struct principal *who,
                                       const struct artifact_query *query);

/* piece is at most about ARTIFACT_TAR_BYTES, borrowed for the call; last: no more follows. e: 503,
 * or the bytes of one cannot be read. done never comes from inside. */
#define ARTIFACT_TAR_BYTES (256 * 1024)
void artifact_tar_next(struct artifact_tar *t,
                       void (*done)(void *user, struct bytes piece, bool last, const struct err *e),
                       void *user);

/* Also while a piece is awaited: its done does not come then. */
void artifact_tar_free(struct artifact_tar *t);

#endif
