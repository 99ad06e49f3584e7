/* /v1/backup, the whole state folder as a tar, and /v1/gc, for administrators.
 *
 * Invariant: one of exchange_send and backup_next is under way at a time. */
#include "gateway/core/backup.h"
#include "gateway/core/gc.h"
#include "gateway/dialect/v1.h"
#include "gateway/dialect/v1_docs.h"
#include "protocol/json.h"
#include "protocol/memory.h"

static bool is_admin(struct exchange *x)
{
    struct err e;
    if (principal_is_admin(exchange_principal(x)))
        return true;
    fail(&e, 403, "this is for administrators");
    exchange_fail(x, &e);
    return false;
}

struct backing_up {
    struct exchange *x;
    struct backup *backup;
    bool last;
};

static void on_piece(void *user, struct bytes piece, bool last, const struct err *e);

static void finish(struct backing_up *b)
{
    backup_free(b->backup);
    free(b);
}

static void on_ready(void *user)
{
    struct backing_up *b = user;
    struct exchange *x = b->x;
    if (!b->last) {
        backup_next(b->backup, on_piece, b);
        return;
    }
    finish(b);
    exchange_end(x);
}

static void on_gone(void *user)
{
    finish(user);
}

static void on_piece(void *user, struct bytes piece, bool last, const struct err *e)
{
    struct backing_up *b = user;
    struct exchange *x = b->x;
    if (e) { /* the disk fails: what came is no whole tar */
        finish(b);
        exchange_cut(x);
        return;
    }
    b->last = last;
    if (exchange_send(x, piece)) /* else on_ready goes on */
        on_ready(b);
}

static void on_opened(void *user, struct backup *backup, const struct err *e)
{
    static const struct pieces_events events = {on_ready, on_gone};
    struct backing_up *b = user;
    struct exchange *x = b->x;
    b->backup = backup;
    if (e) {
        free(b);
        exchange_fail(x, e);
    } else if (exchange_begin(x, 200, "application/x-tar", &events, b)) {
        backup_next(backup, on_piece, b);
    } else {
        finish(b);
    }
}

static void back_up(struct exchange *x, void *core)
{
    struct err e;
    if (!is_admin(x))
        return;
    if (!(exchange_principal(x)->scopes & SCOPE_WRITE)) { /* keys are in it: it can do anything */
        fail(&e, 403, "a backup holds the keys of all that is stored: it takes the scope write");
        exchange_fail(x, &e);
        return;
    }
    struct backing_up *b = xcalloc(1, sizeof *b);
    b->x = x;
    backup_open(core, on_opened, b);
}

struct collecting {
    struct exchange *x;
    bool dry_run;
};

static void on_collected(void *user, const struct retention_report *r, const struct err *e)
{
    struct collecting *c = user;
    if (e)
        exchange_fail(c->x, e);
    else
        exchange_reply_json(c->x, 200,
                            json_pack("{s:b, s:I, s:I, s:I, s:I, s:I}", "dry_run", (int)c->dry_run,
                                      "executions", (json_int_t)r->executions, "kernels",
                                      (json_int_t)r->kernels, "artifacts", (json_int_t)r->artifacts,
                                      "blobs", (json_int_t)r->blobs, "blob_bytes",
                                      (json_int_t)r->blob_bytes));
    free(c);
}

static void collect(struct exchange *x, void *core)
{
    struct err e;
    bool dry_run = false;
    scoped(json) json_t *body = is_admin(x) ? v1_body(x) : NULL;
    if (!body)
        return;
    if (!field_bool(body, "dry_run", OPTIONAL, &dry_run, &e)) {
        exchange_fail(x, &e);
        return;
    }
    struct collecting *c = xmalloc(sizeof *c);
    *c = (struct collecting){x, dry_run};
    gc_run(core, dry_run, on_collected, c);
}

static const struct doc_schema gc_request = {
    .name = "GcRequest",
    .closed = true,
    .fields = FIELDS(BOOLEAN("dry_run", "Only count what would go.", .initial = "false")),
};

static const struct doc_schema gc_report = {
    .name = "GcReport",
    .whole = true,
    .fields = FIELDS(BOOLEAN("dry_run", "Nothing was removed."),
                     INTEGER("executions", "Records that were too old, or of sandboxes that are "
                                           "gone."),
                     INTEGER("kernels", "Records of kernels that were too old."),
                     INTEGER("artifacts", "Too old, too many, or too large together."),
                     INTEGER("blobs", "Files that no artifact names any more."),
                     INTEGER("blob_bytes", "What they took on the disk.")),
};

static const struct doc gc_doc = {
    .tag = "Store",
    .about = "Forgets what the options `--executions-days`, `--artifacts-days`, "
             "`--artifacts-keep` and `--artifacts-bytes` do not keep, and removes bytes that "
             "nothing names. The gateway does so itself once an hour.",
    .body = &gc_request,
    .replies = {REPLY(200, "What went.", .schema = &gc_report)},
    .errors = {{403, "The caller is no administrator."}},
};

static const struct doc backup_doc = {
    .tag = "Store",
    .about = "The database, blobs, logs, snapshots and workspaces, as they are now, while the "
             "gateway works. Unpacked, it is a state folder for `--state-dir`. It holds the keys "
             "of snapshots: keep it as secret as the folder itself.",
    .replies = {REPLY(200, "A tar, as it is made.", .type = "application/x-tar")},
    .errors = {{403, "The caller is no administrator."}},
};

static const struct route rows[] = {
    {
        .method = GET,
        .pattern = "/v1/backup",
        .kind = ROUTE_RECORD,
        .handler = back_up,
        .summary = "All that is stored, as a tar",
        .errors = {403, 503},
        .error_form = ERRORS_PROBLEM,
        .access = ACCESS_TOKEN,
        .doc = &backup_doc,
    },
    {
        .method = POST,
        .pattern = "/v1/gc",
        .handler = collect,
        .summary = "Forget what need not be kept",
        .errors = {400, 403, 413, 503},
        .error_form = ERRORS_PROBLEM,
        .access = ACCESS_TOKEN,
        .doc = &gc_doc,
    },
};

const struct route_table v1_store_routes = {rows, countof(rows)};
