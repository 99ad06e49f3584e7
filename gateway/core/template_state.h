/* The inside of templates: shared by template*.c alone. */
#ifndef WARMCELL_GATEWAY_CORE_TEMPLATE_STATE_H
#define WARMCELL_GATEWAY_CORE_TEMPLATE_STATE_H

#include "gateway/core/template.h"
#include "protocol/bytes.h"

struct template
{
    char *id, *owner, *name; /* owned, as the next two */
    json_t *spec;            /* see template_spec */
    json_t *once;            /* of the request that made it; NULL: it had no key */
    struct timespec created, changed;
    uint64_t version; /* another one for each that is stored, while this gateway runs */
    bool shared;
    bool coming;           /* not in the database yet */
    bool replaces;         /* it is a change of another one of its id, while it comes */
    bool busy;             /* another one is coming in its place */
    bool ending;           /* is being removed */
    struct template *next; /* in the order of making */
};

struct templates {
    struct template *first; /* owned */
    uint64_t versions;
};

/* template.c */
/* What a text of the database says; on any thread; given. NULL: 503, and the like. */
json_t *template_reveal(const struct core *c, const char *id, const char *text, struct err *e);

/* As templates_find, to be changed now. NULL with e 403, 404, 409. */
struct template *templates_find_own(const struct core *c, const struct principal *who,
                                    const char *id, struct err *e);
/* seed: what the spec shall say of it (template_seed.h); NULL: there is none any more. done as of
 * templates_change. */
void templates_set_seed(struct core *c, const struct principal *who, const char *id, json_t *seed,
                        template_done *done, void *user);

/* template_spec.c */
/* Checks what body names, and puts it into spec, a name for a name. files: what the database shall
 * have, [{"path", "mode", "text" or "base64"}], an array that is given if body has "files"; else as
 * it was. 400; 403 limits above those allowed; 422 its language is not installed; 501. */
bool template_read_spec(const struct core *c, json_t *body, json_t *spec, json_t **files,
                        struct err *e);
/* The bytes of one of files; false: they are no base64. */
bool template_file_bytes(json_t *file, struct buffer *out);

#endif
