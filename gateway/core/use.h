/* What keeps a sandbox awake: it is idle when nothing uses it, and its clock of idleness begins
 * when the last use of it ends. The limit idle_s and --cull-idle-timeout both go by it (cull.c).
 *
 * What the rest of the core knows of anyway (commands, packages, ports, saves, changes, what
 * contexts run) is looked up there; what it would not know of says so by a sandbox_use. */
#ifndef WARMCELL_GATEWAY_CORE_USE_H
#define WARMCELL_GATEWAY_CORE_USE_H

#include <stdbool.h>
#include <stdint.h>

struct sandbox;
struct sandbox_use;

/* Somebody works on it from outside until the use is freed, which may be after the sandbox is. */
struct sandbox_use *sandbox_use_new(struct sandbox *s);
void sandbox_use_free(void *use);            /* a struct sandbox_use, or NULL */
void sandbox_uses_forget(struct sandbox *s); /* it is being freed */

/* It is used just now: what was asked of it began or ended. */
void sandbox_touch(struct sandbox *s);

/* What counts besides work that is under way. */
struct use_rules {
    bool readers; /* WebSockets of its contexts */
    bool ports;   /* connections to servers inside */
    bool runs;    /* code and commands, also while they put nothing out */
};
/* For how long nothing has used it; -1: something does, or it is nobody's yet, or it is not to be
 * paused: it has no context, or they are all dead and it has snapshots. */
int64_t sandbox_idle_ms(const struct sandbox *s, struct use_rules rules);

#endif
