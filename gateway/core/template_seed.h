/* The seed of a template: a tar that is unpacked into each new workspace. It is kept as it came, as
 * a blob (store/blob.h), and its template's spec says what it is:
 *   "seed": {"sha256", "bytes", "files", "folders", "symlinks", "gzip": bool} */
#ifndef WARMCELL_GATEWAY_CORE_TEMPLATE_SEED_H
#define WARMCELL_GATEWAY_CORE_TEMPLATE_SEED_H

#include "gateway/core/template.h"
#include "protocol/bytes.h"

/* --- in. Its owner calls one function at a time, awaits its done, and ends it by free. */

struct seed_upload;

/* For the template of this id or name. NULL: 403, 404, 409 as of templates_change. */
struct seed_upload *seed_upload_new(struct core *c, const struct principal *who, const char *id,
                                    struct err *e);
/* data is borrowed until done, which gets the template with the last, when it has the seed and that
 * is stored; before, it keeps the one that it had. 400 of the tar (files/unpack.h); 403 the quota;
 * 404 and 409 of the template; 413; 503. */
void seed_upload_write(struct seed_upload *u, struct bytes data, bool last, template_done *done,
                       void *user);
void seed_upload_free(struct seed_upload *u); /* not while a done is awaited; NULL is legal */

/* --- out */

/* The template that who sees by this id or name, which has a seed. NULL: 404. */
struct template *template_seed_find(const struct core *c, const struct principal *who,
                                    const char *id, struct err *e);
json_t *template_seed(const struct template *t); /* borrowed; NULL: it has none */
/* Of all templates of a principal. */
int64_t templates_seed_bytes(const struct core *c, const char *principal);
/* Where it is; given. */
char *template_seed_path(const struct core *c, const struct template *t);
/* Open for reading, taken; -1: 503. It stays what it is, whatever becomes of the template. */
int template_seed_open(const struct core *c, const struct template *t, struct err *e);
/* fd (borrowed until done) into the workspace of s, which is held. done once: 409, 507 of the
 * workspace; 503. */
void template_seed_unpack(struct sandbox *s, int fd, void (*done)(void *user, const struct err *e),
                          void *user);

/* 404: it has none. */
void template_seed_remove(struct core *c, const struct principal *who, const char *id,
                          void (*done)(void *user, const struct err *e), void *user);

#endif
