/* The seccomp filters of sandboxes and of what serves them: allow-lists of system calls, with
 * checks of arguments. */
#ifndef WARMCELL_SANDBOX_FILTER_H
#define WARMCELL_SANDBOX_FILTER_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>

#define FILTER_MOST 1024

struct filter {
    struct sock_filter code[FILTER_MOST];
    unsigned short len; /* 0: does not fit, a bug */
};

enum filter_kind {
    FILTER_SANDBOX,
    FILTER_FORK_SERVER, /* the same, and setns: what it forks joins sandboxes */
    FILTER_PROXY,       /* far less: threads, sockets, files to read; see filter_proxy.inc */
    FILTER_KINDS,
};

/* Builds the program for this architecture: allowed calls pass; known others fail with EPERM;
 * numbers that it does not know, and calls that libc tries first, with ENOSYS; foreign
 * architectures (i386, x32 on x86_64) end the process. Pure and async-signal-safe; some
 * microseconds. */
void filter_build(struct filter *out, enum filter_kind kind);

/* Puts it on the calling thread, which must have no_new_privs and be the only one: 0, or -1 with
 * errno. The first call of each kind builds the program, and a fork server does that before it
 * forks. */
int filter_install(enum filter_kind kind);

#endif
