/* A program of ours that stays outside of the keeper's world, on the host's network: warmcell-proxy
 * and warmcell-pasta. It lies beside the keeper's program, speaks datagrams of sandbox/wire.h on
 * its descriptor 3, and ends when the keeper's end of that socket is closed, for whatever reason.
 */
#ifndef WARMCELL_SANDBOX_OUTSIDER_H
#define WARMCELL_SANDBOX_OUTSIDER_H

#include <stdbool.h>

#include "protocol/err.h"
#include "protocol/memory.h"

struct outsider;

/* Finds the program, beside this one or at the path in the environment's variable, and makes the
 * socket. To be called before the keeper leaves the host's file system and its PID namespace. NULL:
 * 503. */
struct outsider *outsider_new(const char *program, const char *variable, struct err *e);
void outsider_free(struct outsider *o); /* NULL is legal */

/* Then, in the process that stays outside: starts it as its child, in a session of its own, with
 * PATH alone in its environment. options follow "--control-fd 3"; NULL at the end. 503. */
bool outsider_start(struct outsider *o, const char *const *options, struct err *e);
/* And in the keeper, where that is another process. */
void outsider_keep(struct outsider *o);

int outsider_fd(const struct outsider *o); /* the keeper's end, which does not block; borrowed */
SCOPED(outsider, struct outsider *, outsider_free)

#endif
