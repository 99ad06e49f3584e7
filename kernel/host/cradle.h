/* Where a host waits for an interpreter that another host's interpreter forks for it: the second
 * context of fork(context). docs/link.md, "Branching". */
#ifndef WARMCELL_KERNEL_HOST_CRADLE_H
#define WARMCELL_KERNEL_HOST_CRADLE_H

#include "kernel/host/channels.h"
#include "kernel/host/keeper_client.h"

struct cradle;

/* Listens at path (SOCK_SEQPACKET, mode 0600), and gives the first of our user who comes the
 * interpreter's ends. theirs: borrowed until events tell of the birth. on_failed comes also when
 * nobody was born within CRADLE_WAIT_MS. 400: the path is too long; 503. */
#define CRADLE_WAIT_MS 30000
struct cradle *cradle_open(struct loop *loop, const char *path, const int theirs[ENDS],
                           const struct birth_events *events, struct err *e);
void cradle_free(struct cradle *c); /* no event comes after it; NULL is legal */

#endif
