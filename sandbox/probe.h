/* What this machine can do for confinement, found by trying. */
#ifndef WARMCELL_SANDBOX_PROBE_H
#define WARMCELL_SANDBOX_PROBE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum probe_part {
    PROBE_USER_NAMESPACES,
    PROBE_NAMESPACES,
    PROBE_MOUNTS,
    PROBE_PROC,
    PROBE_TMPFS,
    PROBE_SECCOMP,
    PROBE_LANDLOCK,
    PROBE_PARTS,
};

/* One finding: ok, or what is wrong and what to do about it, each a sentence of static text. */
struct probe_finding {
    const char *name; /* "user namespaces" */
    bool ok;
    bool needed; /* by the policy "required" */
    char why[160];
    const char *remedy; /* NULL when ok */
};

struct probe {
    bool privileged;  /* root with the capabilities that the keeper needs */
    int landlock_abi; /* 0: none */
    struct probe_finding findings[PROBE_PARTS];
};

/* Makes short-lived children that try; takes about 2 ms. Changes nothing of the caller. */
void probe_machine(struct probe *out);

bool probe_holds(const struct probe *p); /* everything that is needed is there */

/* What the machine lacks and the remedies, in one sentence of at most len bytes. */
void probe_sentence(const struct probe *p, char *text, size_t len);

/* The names of what is not ok: ["landlock"]. Given. */
json_t *probe_missing(const struct probe *p);

#endif
