/* The datagrams between a keeper, those who ask it, and its fork server: docs/keeper.md. Sockets
 * are SOCK_SEQPACKET; a datagram is a head of two little-endian u32 (kind, number) and a JSON
 * object, with descriptors beside it. */
#ifndef WARMCELL_SANDBOX_WIRE_H
#define WARMCELL_SANDBOX_WIRE_H

#include <jansson.h>
#include <stdint.h>

#include "protocol/bytes.h"
#include "protocol/err.h"

#define WIRE_LIMIT_BYTES (64u * 1024)
#define WIRE_FDS_MOST    16

/* How warmcell-keeper ends when this machine lacks what the policy requires; the sentence is on
 * stderr or in its log. 0: it listens; 1: it cannot; 2: a wrong option. */
#define KEEPER_EXIT_LACKS 3

enum wire_kind {
    WIRE_OPEN = 1,
    WIRE_START = 2,
    WIRE_USAGE = 3,
    WIRE_LIMITS = 4,
    WIRE_CLOSE = 5,
    WIRE_STATUS = 6,
    WIRE_END = 7,
    WIRE_KILL = 8,
    WIRE_CAUSE = 9,
    WIRE_RENAME = 10,
    WIRE_CONNECT = 11,
    WIRE_PORTS = 12,
    WIRE_OK = 32,
    WIRE_FAILED = 33,
    WIRE_STARTED = 34,
    WIRE_ENDED = 35,
    WIRE_FORK = 64,
    WIRE_WARM = 80,
    WIRE_FORKED = 81,
    WIRE_FORK_FAILED = 82,
    WIRE_STALE = 83,
    WIRE_BRANCH = 96,         /* between two hosts: docs/link.md, "Branching" */
    WIRE_COMMAND_STDIN = 112, /* between a gateway and a command's supervisor */
    WIRE_COMMAND_SIGNAL = 113,
    WIRE_COMMAND_KILL = 114,
    WIRE_COMMAND_NEWS = 115,
};

/* The order of the descriptors of START and FORK. */
enum wire_start_fd {
    START_LINK, /* of a command: stdin */
    START_STDOUT,
    START_STDERR,
    START_PIPES, /* of a command: its words */
    START_ENV,
    START_FDS
};
/* The descriptors of BRANCH: link, stdout, stderr, pipes page, birth. */
#define BRANCH_FDS      5
#define WIRE_NAMESPACES 6 /* user, mnt, pid, net, ipc, uts: behind those of FORK */
#define WIRE_DOORS_MOST 5 /* behind those: files through which a thread enters a control group */

#define WIRE_UMASK 022 /* of START and FORK that say none */

struct wire_message {
    uint32_t kind;
    uint32_t number;
    json_t *body; /* an object; owned */
    int fds[WIRE_FDS_MOST];
    size_t fd_count; /* owned: wire_message_free closes those that are not -1 */
};

void wire_message_free(struct wire_message *m); /* not m itself; m is then empty */

/* Sends one datagram; the descriptors stay the caller's. body: taken; NULL is {}. 503: the peer is
 * gone or, on a socket that does not block, too slow; 413: the body is too long. */
bool wire_send(int fd, uint32_t kind, uint32_t number, json_t *body, const int *fds,
               size_t fd_count, struct err *e);

/* Receives one datagram. 1: *out is filled; 0: nothing is there (EAGAIN), or a timeout of the
 * socket passed; -1: the peer has gone (e->status 0), or what it sent is no message (400, 413): the
 * next one may be. A message that is refused has no body and no descriptors, but the kind and
 * number of its head where it had one. Descriptors arrive with FD_CLOEXEC. */
int wire_receive(int fd, struct wire_message *out, struct err *e);

/* The bytes of a datagram as wire_receive reads them; descriptors are not looked at. 400, 413. */
bool wire_parse(struct bytes datagram, struct wire_message *out, struct err *e);

#endif
