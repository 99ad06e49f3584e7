/* Templates: what sandboxes are made from, kept under a name.
 *
 * A sandbox is made from a copy: what it has from its template stays with it, and a template that
 * is changed or deleted changes no sandbox that is there. One belongs to a principal; an
 * administrator may share it, and then everybody may make sandboxes from it. */
#ifndef WARMCELL_GATEWAY_CORE_TEMPLATE_H
#define WARMCELL_GATEWAY_CORE_TEMPLATE_H

#include <jansson.h>
#include <time.h>

#include "gateway/core/sandbox.h"
#include "gateway/net/principal.h"

#define TEMPLATES_LIMIT       1000              /* in all */
#define TEMPLATES_USER_LIMIT  50                /* of a principal whose role is user */
#define TEMPLATE_FILES_MOST   256               /* of one */
#define TEMPLATE_FILES_BYTES  (4 * 1024 * 1024) /* together */
#define TEMPLATE_MODULES_MOST 32
#define TEMPLATE_ABOUT_LIMIT  1024 /* bytes of its description */

struct core;
struct template; /* borrowed, valid until control returns to the loop */
struct templates;

/* body: all members but "name" are optional:
 *   {"name", "shared": bool, "description", "language": "python", "preload": [module],
 *    "network", "env": {…}, "limits": {…}, "files": {path: text or {"text" or "base64", "mode"}},
 *    "packages": [requirement], "pool": {"min", "max"}}
 * done is called once, when it is stored: with the template, or NULL and why: 400 the body; 403 it
 * is to be shared, or kept ready unasked, by who is no admin, or the most allowed; 404; 409 the
 * name is taken, or it is being changed; 422 the key (once: borrowed; NULL) came with another body;
 * 503. */
typedef void template_done(void *user, const struct template *t, const struct err *e);
void templates_create(struct core *c, const struct principal *who, json_t *body, json_t *once,
                      template_done *done, void *user);
/* whole: what body does not name is as in a new one; else it stays. 403: it is somebody else's. */
void templates_change(struct core *c, const struct principal *who, const char *id, json_t *body,
                      bool whole, template_done *done, void *user);
void templates_remove(struct core *c, const struct principal *who, const char *id,
                      void (*done)(void *user, const struct err *e), void *user);

/* By its id or name: of one's own first, then of those that are shared. NULL with e 404. */
struct template *templates_find(const struct core *c, const struct principal *who, const char *id,
                                struct err *e);
void templates_each(const struct core *c, const struct principal *who,
                    void (*each)(void *user, struct template *t), void *user);

const char *template_id(const struct template *t);
const char *template_name(const struct template *t);
const char *template_owner(const struct template *t);
const char *template_language(const struct template *t); /* of contexts that name none */
bool template_is_shared(const struct template *t);
struct timespec template_created(const struct template *t);
struct timespec template_changed(const struct template *t);
/* What was asked for, checked: "language", "preload" (or absent), "network", "env", "limits",
 * "description", "pool"; of its "files" [{"path", "bytes", "mode"}]; and of its "seed"
 * (template_seed.h). Borrowed. */
json_t *template_spec(const struct template *t);
size_t template_uses(const struct core *c, const struct template *t); /* sandboxes made from it */

/* As sandboxes_create, with what request->template (NULL: none) names below what the request itself
 * says: of limits and env each member, of network the whole. done comes when its files are in the
 * workspace and its packages installed, too. 400 also: there is no such template; 507 they do not
 * fit the workspace; and what packages_install says. With --durability=full all of it is on the
 * disk before done; 503: it was made, and is not. */
void sandboxes_make(struct core *c, const struct principal *who,
                    const struct sandbox_request *request,
                    void (*done)(void *user, struct sandbox *s, const struct err *e), void *user);

/* It is stored, and nobody has changed it since. */
bool templates_current(const struct core *c, const char *id, uint64_t version);
/* Those that ask for a pool get it; once, at the start. */
void templates_fill_pools(struct core *c);
struct templates *templates_new(struct core *c, struct err *e); /* NULL: 503 */
void templates_free(struct templates *all);

#endif
