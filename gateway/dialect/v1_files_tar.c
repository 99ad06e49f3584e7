/* Folders of a workspace as tars: GET …/files/{path}?tar=1 or ?tar=gzip, PUT …?tar=1. What was
 * unpacked is answered as {"files", "folders", "symlinks", "bytes"}.
 *
 * Invariant: one of exchange_receive and file_unpack_write, or one of exchange_send and
 * file_pack_next, is under way at a time. */
#include <string.h>

#include "gateway/core/core.h"
#include "gateway/core/file_tar.h"
#include "gateway/dialect/v1_files.h"
#include "protocol/memory.h"

/* --- out */

struct packing {
    struct exchange *x;
    struct file_pack *pack;
    bool gzip;
    bool last;
};

static void on_piece(void *user, struct bytes piece, bool last, const struct err *e);

static void finish_packing(struct packing *p)
{
    file_pack_free(p->pack);
    free(p);
}

static void end_packing(struct packing *p)
{
    struct exchange *x = p->x;
    finish_packing(p);
    exchange_end(x);
}

static void on_ready(void *user)
{
    struct packing *p = user;
    if (p->last)
        end_packing(p);
    else
        file_pack_next(p->pack, on_piece, p);
}

static void on_gone(void *user)
{
    finish_packing(user);
}

static void on_piece(void *user, struct bytes piece, bool last, const struct err *e)
{
    struct packing *p = user;
    struct exchange *x = p->x;
    if (e) { /* the sandbox has ended, or a disk fails: what came is no whole tar */
        finish_packing(p);
        exchange_cut(x);
        return;
    }
    p->last = last;
    if (exchange_send(x, piece)) /* else on_ready goes on */
        on_ready(p);
}

static void on_packed(void *user, struct file_pack *pack, const struct err *e)
{
    static const struct pieces_events events = {on_ready, on_gone};
    struct packing *p = user;
    struct exchange *x = p->x;
    p->pack = pack;
    if (e) {
        free(p);
        exchange_fail(x, e);
        return;
    }
    v1_files_add_disposition(x, v1_files_path(x), p->gzip ? ".tar.gz" : ".tar");
    if (exchange_begin(x, 200, p->gzip ? "application/gzip" : "application/x-tar", &events, p))
        file_pack_next(pack, on_piece, p);
    else
        finish_packing(p);
}

void v1_files_pack(struct exchange *x, struct core *c, const char *form)
{
    struct err e = {0};
    struct sandbox *s = v1_files_sandbox(x, c);
    bool gzip = strcmp(form, "gzip") == 0;
    if (!s)
        return;
    if (!gzip && strcmp(form, "1") != 0 && !fail(&e, 400, "tar: must be 1 or gzip")) {
        exchange_fail(x, &e);
        return;
    }
    struct packing *p = xcalloc(1, sizeof *p);
    p->x = x;
    p->gzip = gzip;
    file_pack_open(s, v1_files_path(x), gzip, on_packed, p);
}

/* --- in */

struct unpacking {
    struct exchange *x;
    struct file_unpack *unpack;
    struct buffer piece;
    int64_t limit_bytes, got_bytes;
    bool last; /* piece is */
};

static void on_more(void *user, bool last, const struct err *e);

static struct exchange *finish_unpacking(struct unpacking *u)
{
    struct exchange *x = u->x;
    file_unpack_free(u->unpack);
    buffer_free(&u->piece);
    free(u);
    return x;
}

/* e may be the unpack's own, which goes here. */
static void fail_unpacking(struct unpacking *u, const struct err *e)
{
    struct err why = *e;
    exchange_fail(finish_unpacking(u), &why);
}

static void on_unpacked(void *user, const struct unpack_result *result, const struct err *e)
{
    struct unpacking *u = user;
    if (e) {
        fail_unpacking(u, e);
        return;
    }
    if (!u->last) {
        exchange_receive(u->x, &u->piece, on_more, u);
        return;
    }
    json_t *answer = json_pack("{s:I, s:I, s:I, s:I}", "files", (json_int_t)result->files,
                               "folders", (json_int_t)result->folders, "symlinks",
                               (json_int_t)result->symlinks, "bytes", (json_int_t)result->bytes);
    exchange_reply_json(finish_unpacking(u), 200, answer);
}

static void on_more(void *user, bool last, const struct err *e)
{
    struct unpacking *u = user;
    struct err why = e ? *e : (struct err){0};
    u->last = last;
    u->got_bytes += (int64_t)u->piece.len;
    if (e || !v1_files_check_length(u->got_bytes, u->limit_bytes, &why))
        fail_unpacking(u, &why);
    else
        file_unpack_write(u->unpack, buffer_view(&u->piece), last, on_unpacked, u);
}

void v1_files_unpack(struct exchange *x, struct core *c)
{
    struct err e = {0};
    int64_t limit = core_settings(c)->file_limit_bytes;
    struct sandbox *s = v1_files_sandbox(x, c);
    if (!s)
        return;
    struct file_unpack *unpack = NULL;
    if (v1_files_check_length(exchange_body_length(x), limit, &e))
        unpack = file_unpack_new(s, v1_files_path(x), &e);
    if (!unpack) {
        exchange_fail(x, &e);
        return;
    }
    struct unpacking *u = xcalloc(1, sizeof *u);
    *u = (struct unpacking){.x = x, .unpack = unpack, .limit_bytes = limit};
    exchange_receive(x, &u->piece, on_more, u);
}
