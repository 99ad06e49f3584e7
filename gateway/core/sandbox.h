/* A sandbox: a workspace folder, an environment, limits and a policy, around one or more kernels,
 * its contexts (core/context.h). What is in it is confined by a keeper (docs/keeper.md); a kernel
 * of a sandbox is a kernel like any other. */
#ifndef WARMCELL_GATEWAY_CORE_SANDBOX_H
#define WARMCELL_GATEWAY_CORE_SANDBOX_H

#include <jansson.h>
#include <time.h>

#include "gateway/core/kernel.h"
#include "protocol/err.h"
#include "sandbox/limits.h"

struct language;
struct sandbox; /* borrowed, valid until control returns to the loop */

/* All borrowed; NULL: not said. */
struct sandbox_request {
    json_t *limits;                  /* see sandbox/limits.h; what is absent has its default */
    json_t *env;                     /* {"NAME": "value"}, all of which code inside finds */
    json_t *network;                 /* "none", "full", or {"allow": [...]} (docs/keeper.md) */
    const char *policy;              /* "required" or "best-effort" */
    bool cold;                       /* never a fork */
    const struct language *language; /* of contexts that name none; NULL: Python */
    const char *name;                /* unique among those of its owner (naming.h) */
    json_t *labels;                  /* {"name": "text"} */
    json_t *once;                    /* of its Idempotency-Key (once.h) */
    const char *template; /* of sandboxes_make (template.h) alone, as the next: an id or a name */
    json_t *body;         /* it may hold "language", "preload", "files" and "packages" */
    json_t *made_from;    /* {"id", "name"} of the template */
    uint64_t version;     /* of the template, as it was looked up */
    json_t *pool;         /* {"min", "max"}, as the template has them */
    json_t *preload;      /* modules that its fork server shall have imported; an array */
    bool shares_keeper;   /* that of a template that everybody may use */
    bool seeds;           /* it is there for nobody until files were written into its workspace */
};

/* What a list shall hold; all borrowed; NULL, 0: whatever. */
struct sandbox_filter {
    const char *state;         /* as sandbox_state_text */
    const char *name_prefix;   /* what its name begins with */
    const char *template;      /* the id or name of the one that it was made from */
    const char *const *labels; /* each as for labels_match: all must fit */
    size_t label_count;
};

/* What changes of one that lives or is paused; all borrowed; NULL: stays. */
struct sandbox_change {
    json_t *limits;   /* those that are named */
    json_t *labels;   /* {"name": "text" or null}: null takes one away */
    json_t *env;      /* {"NAME": "value" or null}: of contexts and commands to come */
    const char *name; /* unique */
    bool no_name;     /* it shall have none */
    bool soon; /* without limits, of one that is not paused: it is done before this returns, and on
                  the disk 100 ms later */
};

/* Makes one, or hands out one of the pool, that belongs to who. done is called once, at once or
 * later: with a sandbox (its kernel may still be starting; the one that was made with the same key
 * before), or NULL and why: 400 the request; 403 the most allowed live; 409 its name is taken, or
 * it is being made with the same key; 422 the key came with another body, or its language is not
 * installed; 501 the machine lacks
 * what the policy requires; 502; 503. */
void sandboxes_create(struct core *c, const struct principal *who,
                      const struct sandbox_request *request,
                      void (*done)(void *user, struct sandbox *s, const struct err *e), void *user);

/* What who may know of, by its id or, of their own, by its name: NULL with e 404, whether it is
 * foreign or not there. Those of the pool and those that are being deleted are not found. Whatever
 * a route does with a sandbox begins here. */
struct sandbox *sandboxes_find(const struct core *c, const struct principal *who, const char *id,
                               struct err *e);
/* The same also of those that are paused, or on their way there or back; sandboxes_find answers 409
 * for them. */
struct sandbox *sandboxes_find_any(const struct core *c, const struct principal *who,
                                   const char *id, struct err *e);
void sandboxes_each(const struct core *c, const struct principal *who,
                    void (*each)(void *user, struct sandbox *s), void *user);

const char *sandbox_id(const struct sandbox *s);
const char *sandbox_owner(const struct sandbox *s);       /* the name of a principal */
const char *sandbox_name(const struct sandbox *s);        /* NULL: it has none */
json_t *sandbox_labels(const struct sandbox *s);          /* an object; borrowed */
const char *sandbox_forked_from(const struct sandbox *s); /* an id; NULL: it is no copy */
json_t *sandbox_template(const struct sandbox *s);        /* {"id", "name"}; borrowed; NULL: none */
json_t *sandbox_preload(const struct sandbox *s); /* an array; borrowed; NULL: as is usual */
bool sandbox_fits(const struct sandbox *s, const struct sandbox_filter *filter);
const char *sandbox_state_text(const struct sandbox *s); /* "starting", "running", "paused"... */
const char *sandbox_reason(const struct sandbox *s);     /* NULL: nothing happened */
const char *sandbox_cause(const struct sandbox *s); /* the word for it, as kernel_cause; NULL */
struct timespec sandbox_created(const struct sandbox *s);
int64_t
sandbox_uid(const struct sandbox *s); /* of the host; -1: the shared one of an ordinary user */
char *sandbox_workspace(const struct sandbox *s); /* its folder on the host; given */
const struct limits *sandbox_limits(const struct sandbox *s);
const char *sandbox_enforcer(const struct sandbox *s, const char *limit); /* "none": nobody */
json_t *sandbox_network(const struct sandbox *s);                         /* borrowed */
const char *sandbox_policy(const struct sandbox *s);
bool sandbox_is_cold(const struct sandbox *s);
const char *sandbox_language(const struct sandbox *s); /* of contexts that name none */
json_t *sandbox_missing(const struct sandbox *s);      /* an array; borrowed */
json_t *
sandbox_confinement(const struct sandbox *s); /* the keeper's report; borrowed; NULL: not known */
json_t *sandbox_last_usage(const struct sandbox *s);    /* borrowed; NULL: never asked */
struct sandbox *kernel_sandbox(const struct kernel *k); /* NULL: the owner's */

/* Asks its keeper what was used; afterwards it is in sandbox_last_usage (as it was before, when the
 * keeper did not say). done is called once; the sandbox may be gone by then. */
void sandbox_measure(struct sandbox *s, void (*done)(void *user), void *user);

/* All or nothing: 400, 403 the request; 409 the name is taken, more is in use than a limit allows,
 * or it is being changed, paused, resumed or forked, or was deleted meanwhile. Of a paused one the
 * limits hold from its resume on. All of it is on the disk before done: it is so after an end of
 * the machine, too. 502, 503: it is as it was (but hosts that were told keep what they heard), or
 * the sentence says that it is changed and not written down. */
void sandbox_change(struct sandbox *s, const struct sandbox_change *change,
                    void (*done)(void *user, const struct err *e), void *user);

/* Interrupts what its contexts run. */
void sandbox_interrupt(struct sandbox *s, void (*done)(void *user, const struct err *e),
                       void *user);
/* Each context gets a new interpreter, dead ones too, and commands that run are killed; the
 * workspace stays. done of both: once, when all have answered; 502, 503: of the first that could
 * not, the others have nevertheless. */
void sandbox_restart(struct sandbox *s, void (*done)(void *user, const struct err *e), void *user);

/* Ends it and everything in it, and removes its folder: it is not found any more at once; done when
 * nothing of it is left. done may be NULL. */
void sandbox_remove(struct sandbox *s, const char *reason,
                    void (*done)(void *user, const struct err *e), void *user);

#endif
