/* What starts kernels: one struct of functions for each kind of place they can run in. */
#ifndef WARMCELL_GATEWAY_LAUNCH_PROVISIONER_H
#define WARMCELL_GATEWAY_LAUNCH_PROVISIONER_H

#include <jansson.h>
#include <sys/types.h>

#include "gateway/launch/environment.h"

/* What is to be started. All borrowed for the call. */
struct launch {
    const char *dir; /* the kernel's own folder (0700): host.sock and connection.json go there */
    json_t *spec;    /* as kernelspec_parse makes it */
    const char *resource_dir; /* of the spec; "" when built in */
    const char *python;       /* the configured Python; "" for none */
    const struct environment *env;
    const char *cwd; /* an existing folder, or NULL: the gateway's own */
    int64_t lease_s;
    const char
        *keeper; /* the socket of the keeper that starts its interpreters; NULL: the host does */
    const char *sandbox;      /* with a keeper: its id there; NULL: unconfined */
    const char *sandbox_plan; /* with a sandbox: the file that its interpreters are started by */
    const char *await_branch; /* with a sandbox: where its first interpreter is branched into it;
                                 NULL: one is started */
    int64_t generation;       /* with a sandbox: how many interpreters it had before */
    bool cold;                /* with a keeper: never a fork */
    int listener;             /* what listen gave for dir; stays the caller's */
};

/* A started host. pidfd is owned. */
struct launched {
    pid_t pid;
    int pidfd;            /* readable when it has ended */
    uint64_t start_ticks; /* see launch/process.h */
};

struct provisioner {
    const char *name;
    /* Listens at dir/host.sock for a host that will be started there: one can connect at once and
     * need not look for a socket that comes to be. A descriptor, or -1: 503. */
    int (*listen)(const char *dir, struct err *e);
    /* Starts a host that serves launch->dir/host.sock. 502: the program cannot be started; 503:
     * ours for now. */
    bool (*start)(const struct launch *launch, struct launched *out, struct err *e);
};

extern const struct provisioner local_provisioner;

#endif
