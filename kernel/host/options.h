/* The command line of warmcell-kernel: one table, from which --help is printed. */
#ifndef WARMCELL_KERNEL_HOST_OPTIONS_H
#define WARMCELL_KERNEL_HOST_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/host/deadline.h"
#include "protocol/err.h"

/* Strings are borrowed from argv. */
struct options {
    const char *connection_file;
    const char *uplink;
    int uplink_fd;   /* 0: none */
    int64_t lease_s; /* 0: none */
    struct run_limits limits;
    const char *await_branch;
    int64_t generation; /* of its last interpreter, by an earlier host; 0: it had none */
    bool renew;         /* an interpreter whose code asked for its end is followed by another */
    const char *python;
    const char *keeper;       /* the socket of the keeper that starts the interpreter; NULL: none */
    const char *sandbox;      /* an id: what the keeper starts is confined in it */
    const char *sandbox_plan; /* a file: what it is to be like */
    bool cold;                /* never a fork */
    const char *history;      /* NULL: IPython's own; "none" */
    const char *relay;        /* the connection file of the kernel that is relayed */
    const char *relay_transport; /* "tcp" or "ipc" */
    const char *interrupt_mode;  /* "signal" or "message" */
    bool driver;
    char **argv; /* what follows "--"; NULL: nothing */
    bool help;
    bool version;
};

/* 400 names the option. */
bool options_parse(int argc, char **argv, struct options *out, struct err *e);
void options_print_help(void);

#endif
