/* Packages of a sandbox: installed from wheels by a program that is confined apart from it,
 * listed, and removed. docs/packages.md has the way from the request to the answer.
 *
 * What is done to one sandbox is done one after the other. A job goes on when nobody listens any
 * more; it ends with its sandbox, with its processes (a pause), and with this gateway: what it
 * would have changed is then as before. */
#ifndef WARMCELL_GATEWAY_CORE_PACKAGE_H
#define WARMCELL_GATEWAY_CORE_PACKAGE_H

#include "gateway/core/requirement.h"
#include "gateway/core/sandbox.h"

enum package_limits {
    PACKAGE_DEADLINE_MOST_S = 3600,
    PACKAGE_JOBS_MOST = 16, /* of one sandbox, with those that wait */
};

/* NULL members: nobody listens. */
struct package_events {
    /* Before on_done, any number of times (event: borrowed):
     *   {"event": "queued", "position": n}        jobs before it
     *   {"event": "started"}
     *   {"event": "progress", "phase": "resolve" or "install", "text": a line of pip's}
     *   {"event": "restarting", "context": id} */
    void (*on_event)(void *user, json_t *event);
    /* Once: result (borrowed), or e. Of an installation:
     *   {"installed": [{"name", "version", "replaces": version or null}],
     *    "already": [{"name", "version"}], "restarted": bool, "reason": text or null,
     *    "contexts": [{"id", "name", "restarted": bool, "reason": text or null,
     *                  "modules": [those that it had imported]}]}
     * Of a removal: {"removed": {"name", "version"}}, and the last three. Of a list:
     *   {"packages": [{"name", "version", "location": "sandbox" or "environment", "modules":
     * [name], "preloaded": bool}]} 400; 403 the administrator has allowed neither an index nor
     * wheels; 404 there is no such package; 409 the sandbox is paused, ends, or was changed
     * meanwhile; 422 it cannot be done with what is there: pip's reason, or that of the files; 429
     * PACKAGE_JOBS_MOST wait; 501 there is no Python, or no pip; 502; 503; 504 its time was over;
     * 507 it does not fit into the workspace, or into the memory. Nothing has changed then. */
    void (*on_done)(void *user, json_t *result, const struct err *e);
};

/* deadline_s: of all of it, but for waiting for its turn; 0: the setting. restart: contexts that
 * have imported what changed are restarted, else only told of. False: e is filled (400, 403, 429)
 * and on_done does not come; else it comes, at once or later. A template that has packages installs
 * them when its sandbox is there, and removes the sandbox when on_done says that it failed. */
struct package_request {
    json_t *packages; /* of an installation, as requirements_check takes them; borrowed */
    const char *name; /* of a removal; borrowed */
    int64_t deadline_s;
    bool restart;
};
/* Would packages_install begin? What it says then can be said before anything is answered. */
bool packages_allowed(const struct sandbox *s, const struct package_request *request,
                      struct err *e);
bool packages_install(struct sandbox *s, const struct package_request *request,
                      const struct package_events *events, void *user, struct err *e);
bool packages_remove(struct sandbox *s, const struct package_request *request,
                     const struct package_events *events, void *user, struct err *e);
bool packages_list(struct sandbox *s, const struct package_request *request,
                   const struct package_events *events, void *user, struct err *e);
/* The one who asked with that user, and was not yet told of the end, hears nothing any more. */
void packages_leave(struct sandbox *s, const void *user);

/* The folder that holds the packages, as PYTHONPATH inside every sandbox names it. */
#define PACKAGES_FOLDER "/workspace/.packages"
#define PACKAGES_SITE   PACKAGES_FOLDER "/site"

#endif
