/* /v1/templates/{id}/seed: the tar that a new workspace begins with, as it came.
 *
 * Invariant: one of exchange_receive and seed_upload_write is under way at a time. */
#include <string.h>

#include "gateway/core/core.h"
#include "gateway/dialect/v1.h"
#include "gateway/dialect/v1_docs.h"
#include "gateway/dialect/v1_files.h"
#include "gateway/dialect/v1_templates.h"
#include "protocol/json.h"
#include "protocol/memory.h"

/* --- in */

struct seeding {
    struct exchange *x;
    struct core *core;
    struct seed_upload *upload;
    struct buffer piece;
    int64_t limit_bytes, got_bytes;
    bool last; /* piece is */
};

static void on_more(void *user, bool last, const struct err *e);

static struct exchange *finish(struct seeding *s)
{
    struct exchange *x = s->x;
    seed_upload_free(s->upload);
    buffer_free(&s->piece);
    free(s);
    return x;
}

static void on_taken(void *user, const struct template *t, const struct err *e)
{
    struct seeding *s = user;
    struct err why = e ? *e : (struct err){0}; /* it may be the upload's own */
    struct core *core = s->core;
    if (e)
        exchange_fail(finish(s), &why);
    else if (s->last)
        exchange_reply_json(finish(s), 200, v1_template_model(core, t));
    else
        exchange_receive(s->x, &s->piece, on_more, s);
}

static void on_more(void *user, bool last, const struct err *e)
{
    struct seeding *s = user;
    struct err why = e ? *e : (struct err){0};
    s->last = last;
    s->got_bytes += (int64_t)s->piece.len;
    if (e || !v1_files_check_length(s->got_bytes, s->limit_bytes, &why))
        exchange_fail(finish(s), &why);
    else
        seed_upload_write(s->upload, buffer_view(&s->piece), last, on_taken, s);
}

static void put(struct exchange *x, void *core)
{
    struct err e = {0};
    int64_t limit = core_settings(core)->file_limit_bytes;
    struct seed_upload *upload =
        v1_files_check_length(exchange_body_length(x), limit, &e)
            ? seed_upload_new(core, exchange_principal(x), exchange_param(x, "id"), &e)
            : NULL;
    if (!upload) {
        exchange_fail(x, &e);
        return;
    }
    struct seeding *s = xcalloc(1, sizeof *s);
    *s = (struct seeding){.x = x, .core = core, .upload = upload, .limit_bytes = limit};
    exchange_receive(x, &s->piece, on_more, s);
}

/* --- out */

static void show(struct exchange *x, void *core)
{
    struct err e;
    const struct template *t =
        template_seed_find(core, exchange_principal(x), exchange_param(x, "id"), &e);
    if (!t) {
        exchange_fail(x, &e);
        return;
    }
    bool gzip = json_is_true(json_object_get(template_seed(t), "gzip"));
    scoped(string) char *path = template_seed_path(core, t);
    scoped(string) char *etag =
        xasprintf("\"%s\"", json_string_value(json_object_get(template_seed(t), "sha256")));
    v1_files_add_disposition(x, template_name(t), gzip ? ".tar.gz" : ".tar");
    exchange_reply_file(x, path, gzip ? "application/gzip" : "application/x-tar", etag);
}

static void end(struct exchange *x, void *core)
{
    template_seed_remove(core, exchange_principal(x), exchange_param(x, "id"), v1_removed, x);
}

#define SEED "/v1/templates/{id}/seed"

static const struct route rows[] = {
    {GET,
     SEED,
     show,
     "What the workspaces of a template begin with, as a tar",
     {404},
     ACCESS_TOKEN,
     ERRORS_PROBLEM,
     ROUTE_PLAIN,
     &v1_template_seed_show_doc},
    {PUT,
     SEED,
     put,
     "Give a template a tar that new workspaces begin with",
     {400, 403, 404, 408, 409, 413, 503},
     ACCESS_TOKEN,
     ERRORS_PROBLEM,
     ROUTE_STREAM,
     &v1_template_seed_put_doc},
    {DELETE,
     SEED,
     end,
     "Let new workspaces of a template begin without a tar",
     {403, 404, 409, 503},
     ACCESS_TOKEN,
     ERRORS_PROBLEM,
     ROUTE_PLAIN,
     &v1_template_seed_delete_doc},
};

const struct route_table v1_template_seed_routes = {rows, countof(rows)};
