/* Artifacts as a tar: of a sandbox, and of an execution.
 *
 * Invariant: one of exchange_send and artifact_tar_next is under way at a time. */
#include "gateway/core/artifact_tar.h"
#include "gateway/dialect/v1_artifacts.h"
#include "gateway/dialect/v1_files.h"
#include "protocol/memory.h"

struct sending {
    struct exchange *exchange;
    struct artifact_tar *tar;
    bool begun, last;
};

static void on_piece(void *user, struct bytes piece, bool last, const struct err *e);

static void finish(struct sending *s)
{
    artifact_tar_free(s->tar);
    free(s);
}

static void on_ready(void *user)
{
    struct sending *s = user;
    struct exchange *x = s->exchange;
    if (!s->last) {
        artifact_tar_next(s->tar, on_piece, s);
        return;
    }
    finish(s);
    exchange_end(x);
}

static void on_gone(void *user)
{
    finish(user);
}

/* With the first piece, so that what cannot be read at all is told. False: it was answered. */
static bool begin(struct sending *s, const struct err *e)
{
    static const struct pieces_events events = {on_ready, on_gone};
    struct exchange *x = s->exchange;
    s->begun = true;
    if (!e) {
        v1_files_add_disposition(x, "artifacts", ".tar");
        if (exchange_begin(x, 200, "application/x-tar", &events, s))
            return true;
    } else
        exchange_fail(x, e);
    finish(s);
    return false;
}

static void on_piece(void *user, struct bytes piece, bool last, const struct err *e)
{
    struct sending *s = user;
    struct exchange *x = s->exchange;
    if (!s->begun && !begin(s, e))
        return;
    if (e) { /* what came is no whole tar */
        finish(s);
        exchange_cut(x);
        return;
    }
    s->last = last;
    if (exchange_send(x, piece)) /* else on_ready goes on */
        on_ready(s);
}

void v1_artifacts_send_tar(struct exchange *x, struct core *c, const struct artifact_query *query)
{
    struct sending *s = xcalloc(1, sizeof(*s));
    s->exchange = x;
    s->tar = artifact_tar_open(c, exchange_principal(x), query);
    artifact_tar_next(s->tar, on_piece, s);
}
