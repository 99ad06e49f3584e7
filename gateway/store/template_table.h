/* Rows of the table templates. What a workspace begins with stays in the database until a sandbox
 * is made; all else of a template is in memory, too. */
#ifndef WARMCELL_GATEWAY_STORE_TEMPLATE_TABLE_H
#define WARMCELL_GATEWAY_STORE_TEMPLATE_TABLE_H

#include "gateway/store/store.h"

/* All borrowed; texts in JSON but for the first three and the times. */
struct template_row {
    const char *id, *owner, *name;
    const char *created, *changed; /* as time_text */
    const char *spec;              /* what core/template.c keeps of the request */
    const char *files;             /* what its workspaces begin with; of a load: NULL */
    const char *once;              /* of its Idempotency-Key; NULL: none */
    const char *seed;              /* the name of a blob (blob.h) that stays for it; NULL: none */
    bool shared;
};

/* Adds a row, or puts it in the place of that of the same id (files NULL: they stay). done is
 * called when it is in, or e (503) says why not. */
void template_table_put(struct store *s, const struct template_row *row,
                        void (*done)(void *user, const struct err *e), void *user);
void template_table_remove(struct store *s, const char *id,
                           void (*done)(void *user, const struct err *e), void *user);

/* files: borrowed; NULL: there is no such template (404), or 503. */
void template_table_files(struct store *s, const char *id,
                          void (*done)(void *user, const char *files, const struct err *e),
                          void *user);

/* What rows of the state folder of a gateway that does not run hold sealed: renew gives what takes
 * its place (given); NULL: it stays, or why it cannot be made anew is in e, and no row changes.
 * *count: of rows that changed. 503. */
bool template_table_renew(const char *state_dir,
                          char *(*renew)(void *user, const char *id, const char *text,
                                         struct err *e),
                          void *user, int64_t *count, struct err *e);

/* Calls each, in the order in which they were made, before it returns: only while the gateway
 * starts. 503. */
bool template_table_load(struct store *s, void (*each)(void *user, const struct template_row *row),
                         void *user, struct err *e);

#endif
