/* Bodies that become files: each piece is written while the next one comes, so that one costs two
 * pieces of memory, and the loop never waits for a disk.
 *
 * Invariant: one of exchange_receive and the calls of file_upload is under way at a time. */
#include <string.h>

#include "gateway/core/core.h"
#include "gateway/dialect/v1_files.h"
#include "protocol/memory.h"

struct putting {
    struct exchange *x;
    struct file_upload *upload; /* NULL: not open */
    struct buffer piece;
    int64_t limit_bytes, got_bytes;
    bool last; /* piece is */
};

static void finish(struct putting *p)
{
    buffer_free(&p->piece);
    free(p);
}

static void fail_putting(struct putting *p, const struct err *e)
{
    struct exchange *x = p->x;
    if (p->upload)
        file_upload_abort(p->upload);
    finish(p);
    exchange_fail(x, e);
}

static void on_committed(void *user, const struct upload_result *result, const struct err *e)
{
    struct putting *p = user;
    struct exchange *x = p->x;
    finish(p);
    if (e)
        exchange_fail(x, e);
    else
        v1_files_reply_changed(x, result->created, exchange_param(x, "path"), result->etag);
}

static void on_piece(void *user, bool last, const struct err *e);

static void go_on(struct putting *p)
{
    if (p->last)
        file_upload_commit(p->upload, on_committed, p);
    else
        exchange_receive(p->x, &p->piece, on_piece, p);
}

static void on_written(void *user, const struct err *e)
{
    struct putting *p = user;
    if (e)
        fail_putting(p, e);
    else
        go_on(p);
}

bool v1_files_check_length(int64_t bytes, int64_t limit, struct err *e)
{
    return bytes <= limit ||
           fail(e, 413, "the body is longer than %lld bytes (--file-limit)", (long long)limit);
}

static void on_piece(void *user, bool last, const struct err *e)
{
    struct putting *p = user;
    struct err why = e ? *e : (struct err){0};
    p->last = last;
    p->got_bytes += (int64_t)p->piece.len;
    if (e || !v1_files_check_length(p->got_bytes, p->limit_bytes, &why))
        fail_putting(p, &why);
    else if (p->piece.len)
        file_upload_write(p->upload, buffer_view(&p->piece), on_written, p);
    else
        go_on(p);
}

static void on_opened(void *user, struct file_upload *u, const struct err *e)
{
    struct putting *p = user;
    p->upload = u;
    if (e)
        fail_putting(p, e);
    else
        exchange_receive(p->x, &p->piece, on_piece, p);
}

void v1_files_receive(struct exchange *x, struct core *c, bool append)
{
    struct err e = {0};
    struct upload_plan plan = {.append = append};
    int64_t limit = core_settings(c)->file_limit_bytes;
    struct sandbox *s = v1_files_sandbox(x, c);
    if (!s)
        return;
    const char *mode = exchange_query(x, "mode");
    plan.mode = -1;
    if ((mode && !v1_files_mode(mode, &plan.mode, &e)) ||
        !v1_files_condition(x, &plan.condition, &e) ||
        !v1_files_check_length(exchange_body_length(x), limit, &e)) {
        exchange_fail(x, &e);
        return;
    }
    plan.path = xstrdup(exchange_param(x, "path"));
    plan.condition.match = plan.condition.match ? xstrdup(plan.condition.match) : NULL;
    struct putting *p = xcalloc(1, sizeof *p);
    p->x = x;
    p->limit_bytes = limit;
    file_upload_open(s, &plan, exchange_body_length(x), on_opened, p);
}
