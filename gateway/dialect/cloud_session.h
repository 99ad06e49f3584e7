/* A session of cloud_sandbox: a sandbox with labels.
 *
 * The sandbox has the session's id, its limits of processors, memory and life, and the rest in
 * labels, which survive what it survives:
 *
 *   cloud/binding  "unbound": nobody has acquired it; "resumed": since it was paused; "bound"; or
 *                  "lone": it was acquired without a session, and is none
 *   cloud/image    what was asked for
 *   cloud/ttl_ms   how long it lives from its begin, or its last touch
 *   cloud/expires  when it is over, in milliseconds since 1970
 *   cloud/active   when it was last changed, in microseconds since 1970
 *
 * Labels are its owner's to change: what is no number in them is 0, and what has no binding is no
 * session. */
#ifndef WARMCELL_GATEWAY_DIALECT_CLOUD_SESSION_H
#define WARMCELL_GATEWAY_DIALECT_CLOUD_SESSION_H

#include "gateway/dialect/cloud.h"

#define CLOUD_IMAGE       "python:3.11-slim"
#define CLOUD_CPUS        2
#define CLOUD_MEMORY_MB   2048
#define CLOUD_TTL_MS      (INT64_C(24) * 3600 * 1000)
#define CLOUD_TTL_MOST_MS (INT64_C(366) * 24 * 3600 * 1000)

enum cloud_binding { CLOUD_UNBOUND, CLOUD_RESUMED, CLOUD_BOUND, CLOUD_LONE };

/* As it is now; all borrowed from the sandbox. */
struct cloud_session {
    struct sandbox *sandbox;
    enum cloud_binding binding;
    const char *image;
    int64_t ttl_ms, expires_ms, active_us;
};

int64_t cloud_now_ms(void); /* since 1970 */

/* False: it is no sandbox of this API. */
bool cloud_session_read(struct sandbox *s, struct cloud_session *out);
bool cloud_session_expired(const struct cloud_session *session);
/* It is not paused, nor on its way there or back. */
bool cloud_session_runs(const struct cloud_session *session);

/* One session of the caller's. 404. */
bool cloud_session_find(const struct exchange *x, const struct core *c, const char *id,
                        struct cloud_session *out, struct err *e);
/* The sandbox that somebody acquired: it can be worked in. 404; 409 it is paused, or about to be,
 * or not any more; 410 its session has expired. */
struct sandbox *cloud_sandbox_find(const struct exchange *x, const struct core *c, const char *id,
                                   struct err *e);

/* The labels of one that begins now, over those that are given in *labels. */
void cloud_session_labels(json_t *labels, enum cloud_binding binding, const char *image,
                          int64_t ttl_ms);
/* Changes the binding, and says that it was changed now. renewed: it lives for ttl_ms from now on.
 * paused: its limit of life is what is left of it. done is called once, at once or later, as by
 * sandbox_change. */
struct cloud_change {
    enum cloud_binding binding;
    bool renewed, paused;
};
void cloud_session_change(const struct cloud_session *session, const struct cloud_change *change,
                          void (*done)(void *user, const struct err *e), void *user);

/* {"id", "user_id", "status", …}; given. */
json_t *cloud_session_model(const struct exchange *x, const struct cloud_session *session);

extern const struct doc_schema cloud_session_schema;
extern const struct doc_field cloud_in_session[]; /* the path parameter {id} */

#endif
