/* After packages have changed: has the contexts of a sandbox see it. */
#ifndef WARMCELL_GATEWAY_CORE_PACKAGE_REFRESH_H
#define WARMCELL_GATEWAY_CORE_PACKAGE_REFRESH_H

#include "gateway/core/state.h"

/* Each context is asked which of the modules it has imported; it then also finds what is new. One
 * that has imported any is restarted, if that is wanted. When the fork server has imported one of
 * them, no interpreter of the sandbox is a fork from now on. A context that runs code answers when
 * that is through, and is waited for two seconds only, unless something that it was forked with has
 * changed; after limit_ms nobody is waited for any more.
 *
 * on_restart: before each; context: its id. done is called once, later or at once, unless it is
 * cancelled; answer (borrowed): "restarted", "reason" and "contexts" as in package.h. One refresh
 * of a sandbox is under way at a time. modules: an array of strings; borrowed. */
struct package_refresh_plan {
    json_t *modules;
    bool restart;
    int64_t limit_ms;
    void (*on_restart)(void *user, const char *context);
    void (*done)(void *user, json_t *answer);
    void *user;
};
void package_refresh_start(struct sandbox *s, const struct package_refresh_plan *plan);
void package_refresh_cancel(struct sandbox *s); /* legal when none is under way */

/* The names of modules that the fork server of a sandbox has imported; borrowed; NULL: none has. */
json_t *package_preloaded(const struct sandbox *s);

#endif
