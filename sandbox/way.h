/* The way out of a sandbox whose network is "full":
 *
 *   sandbox's namespace            the middle                     the host's namespace
 *   eth0 192.0.0.2 ── pair ── inner 192.0.0.1, tap0 ── pasta ── its sockets
 *
 * pasta is never attached to the sandbox's own namespace. A program may bind its socket to an
 * interface, and Linux then sends to addresses for which the routes there say "prohibit". In the
 * middle, a namespace in which no process of the sandbox is, packets are forwarded by the routes
 * alone, so what these forbid does not pass: link-local and metadata addresses, multicast, and all
 * that the machine takes for its own. The same routes in the sandbox only make it hear so at once.
 *
 * 192.0.0.0/29 is of RFC 7335: for such links within one machine, and nowhere else in use. */
#ifndef WARMCELL_SANDBOX_WAY_H
#define WARMCELL_SANDBOX_WAY_H

#include <stdbool.h>
#include <sys/types.h>

#include "protocol/err.h"
#include "sandbox/outside.h"

#define WAY_TAP        "tap0"
#define WAY_INSIDE     "192.0.0.2" /* the sandbox */
#define WAY_GATEWAY    "192.0.0.6" /* what pasta answers for, on the tap */
#define WAY_RESOLVER   "192.0.0.5" /* which pasta leads to the machine's name server */
#define WAY_GATEWAY6   "fe80::1"
#define WAY_RESOLVER6  "fd77:6172:6d63:656c::5"
#define WAY_DEVICE_MTU 65520

struct way {
    int user_fd, net_fd; /* of the sandbox; owned */
    int middle_fd;       /* owned; -1: not made yet */
};

/* A child that is in the sandbox's user namespace and in the middle: pasta is led there by
 * /proc/PID/ns/user and /proc/PID/ns/net. */
struct way_guide {
    pid_t pid;
    int socket_fd;
};

/* The middle is made if there is none, and forbids what it must. 501: the kernel has no veth; 503.
 */
bool way_open(struct way *w, const struct outside *o, struct way_guide *guide, struct err *e);

/* pasta's tap is there: it becomes the way out. The guide ends in any case. 503. */
bool way_attach(struct way_guide *guide, struct err *e);
void way_abandon(struct way_guide *guide);

/* Forbids what the machine takes for itself now; what was forbidden stays so. 503. */
bool way_forbid(struct way *w, const struct outside *o, struct err *e);

void way_close(struct way *w);

#endif
