/* The command line of warmcell-keeper: one table, from which --help is printed. */
#ifndef WARMCELL_SANDBOX_OPTIONS_H
#define WARMCELL_SANDBOX_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/err.h"

#define READ_ONLY_MOST 64

/* Strings are borrowed from argv. */
struct keeper_options {
    const char *socket;
    const char *log; /* NULL: stderr */
    bool sandboxes;  /* the profile sandbox; false: owner */
    bool foreground;
    int64_t idle_s; /* 0: never */
    int64_t recycle_forks;
    int64_t recycle_age_s;
    const char *state_dir; /* these with sandboxes only */
    const char *read_only[READ_ONLY_MOST + 1];
    bool best_effort;
    uid_t first_uid, last_uid;
    const char *audit;  /* of requests to the network; NULL: none is kept */
    const char *cgroup; /* a delegated folder; NULL: found */
    int64_t stock;      /* sandboxes made ahead */
    char **fork_server; /* what follows "--": its command; NULL: none, all is started cold */
    bool help;
    bool version;
};

/* 400 names the option. */
bool keeper_options_parse(int argc, char **argv, struct keeper_options *out, struct err *e);
void keeper_options_print_help(void);

#endif
