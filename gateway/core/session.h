/* Jupyter's sessions: a notebook's path bound to a kernel. Kept in the database, so that a gateway
 * that comes back knows them. A session whose kernel is gone is gone too. */
#ifndef WARMCELL_GATEWAY_CORE_SESSION_H
#define WARMCELL_GATEWAY_CORE_SESSION_H

#include "gateway/core/kernel.h"

#define SESSION_TEXT_LIMIT    4096 /* bytes of a path, a name or a type */
#define SESSIONS_KERNEL_LIMIT 64   /* of one kernel */
#define SESSIONS_LIMIT        4096

struct session; /* borrowed, valid until control returns to the loop */
struct sessions;

const char *session_id(const struct session *s);
const char *session_path(const struct session *s);
const char *session_name(const struct session *s);
const char *session_type(const struct session *s);
struct kernel *session_kernel(const struct session *s); /* never NULL */

/* Those whose kernels who may know of; NULL with e 404. */
struct session *sessions_find(struct core *c, const struct principal *who, const char *id,
                              struct err *e);
/* Of who's own; NULL: none. */
struct session *sessions_find_path(struct core *c, const struct principal *who, const char *path);
void sessions_each(struct core *c, const struct principal *who,
                   void (*each)(void *user, struct session *s), void *user);

bool sessions_have(const struct core *c, const struct kernel *k);
/* Is there room for one more, of k? NULL: of a kernel that is yet to be started. 403. */
bool sessions_allowed(const struct core *c, const struct kernel *k, struct err *e);
/* Binds path to k, in memory, as the next one changes it there: session_write before it is told. No
 * text is longer than SESSION_TEXT_LIMIT. NULL: 403. */
struct session *sessions_add(struct core *c, const char *path, const char *name, const char *type,
                             struct kernel *k, struct err *e);
/* Changes what is not NULL. 403: k has as many as a kernel may have. */
bool session_change(struct session *s, const char *path, const char *name, const char *type,
                    struct kernel *k, struct err *e);
/* As it is now. done is called when it is in the database, or e (503) says why not. */
void session_write(const struct session *s, void (*done)(void *user, const struct err *e),
                   void *user);
void session_remove(struct session *s); /* its kernel goes on */

struct sessions *sessions_new(void);
void sessions_load(struct core *c); /* after the kernels were adopted */
void sessions_free(struct sessions *s);

#endif
