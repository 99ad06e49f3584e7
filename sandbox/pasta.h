/* The network of a sandbox that may reach the outside ("full"): pasta (Debian's package passt), one
 * process for each sandbox, behind a namespace that forbids what is the machine's own (way.h).
 *
 * warmcell-pasta, one for each keeper, is outside and starts them, as the owner of the sandboxes'
 * user namespaces, with no other right. A pasta that ends is started anew; all of them end with
 * warmcell-pasta, and that with its keeper. */
#ifndef WARMCELL_SANDBOX_PASTA_H
#define WARMCELL_SANDBOX_PASTA_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "protocol/err.h"
#include "sandbox/boundary.h"
#include "sandbox/outsider.h"

#define PASTA_PROGRAM "warmcell-pasta"

/* Words on the socket between a keeper and its warmcell-pasta: datagrams of sandbox/wire.h. */
enum pasta_word {
    /* {"sandbox": id, "uid": n}, and three descriptors: the user and the network namespace, and the
     * pidfd of the init, with whose end the way ends. uid is that of the owner of the first; 0:
     * that of the keeper. Answered by WIRE_OK when the way is open, or by WIRE_FAILED. */
    PASTA_OPEN = 112,
    PASTA_CLOSE = 113, /* {"sandbox": id}: it ends already now; not answered */
};

#define PASTA_OPEN_FDS 3

/* --- in the keeper */

/* Asks for the way out of the sandbox of that boundary; the answer carries the number, and comes
 * some tens of milliseconds later, or never: PASTA_MOST_MS is time enough. 503. */
#define PASTA_MOST_MS 8000
bool pasta_open(struct outsider *o, uint32_t number, const char *id, uid_t owner,
                const struct boundary *b, struct err *e);
void pasta_close(struct outsider *o, const char *id);

/* Takes one answer. 1: why->status 0 means that the way is open, else it is 501, what the machine
 * lacks, with the remedy, or 503. 0: there is none now. -1: warmcell-pasta has ended, and with it
 * every way out. */
int pasta_hear(struct outsider *o, uint32_t *number, struct err *why);

/* --- outside */

/* What it takes: the program in PATH, and /dev/net/tun. False: *why and *remedy, static text, say
 * what is missing. */
bool pasta_find(char program[PATH_MAX], const char **why, const char **remedy);

#endif
