/* The core: kernels, their logs and readers, sessions and artifacts. It knows no client's API; the
 * dialects translate to it. Everything runs on the loop's thread. */
#ifndef WARMCELL_GATEWAY_CORE_CORE_H
#define WARMCELL_GATEWAY_CORE_CORE_H

#include <time.h>
#include <uv.h>

#include "gateway/launch/kernelspec.h"
#include "gateway/settings.h"
#include "protocol/err.h"

struct core;
struct store;

/* Opens state and runtime folders, adopts the kernels that still live there, and starts the pool.
 * settings and loop are borrowed. 503: a folder cannot be used, or another gateway uses it. */
struct core *core_new(const struct settings *settings, uv_loop_t *loop, struct err *e);

/* Ends every client with close code 1012, writes everything down and lets go of the kernels, which
 * live on until their lease ends or a gateway comes back. done is called when nothing of the core
 * is in the loop any more. */
void core_drain(struct core *c, void (*done)(void *user), void *user);
void core_free(
    struct core *c); /* only after done, or when core_drain was never called and the loop ends */

const struct settings *core_all_settings(const struct core *c);
const struct settings_core *core_settings(const struct core *c);
const struct settings_quota *core_quotas(const struct core *c);
struct kernelspecs *core_kernelspecs(const struct core *c); /* what can be started */
struct timespec core_started(const struct core *c);
struct timespec core_last_activity(const struct core *c); /* of any kernel or request for one */
bool core_draining(const struct core *c);
/* Does anything run, or begin to, that somebody asked for? Paused sandboxes, dead kernels and what
 * only stands in a pool do not. */
bool core_in_use(const struct core *c);
/* Does it take new work? done is called once, at once or later; e: NULL, or 503: it ends, or the
 * database cannot be written. */
void core_ready(struct core *c, void (*done)(void *user, const struct err *e), void *user);

#endif
