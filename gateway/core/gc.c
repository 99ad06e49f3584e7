/* Which sandboxes there are is known here; the rest is the store's. */
#include "gateway/core/gc.h"

#include "gateway/core/state.h"
#include "gateway/log.h"
#include "protocol/json.h"

#define EVERY_MS (3600 * 1000)

void gc_run(struct core *c, bool dry_run,
            void (*done)(void *user, const struct retention_report *report, const struct err *e),
            void *user)
{
    const struct settings_core *settings = &c->settings->core;
    const struct retention rules = {
        .executions_days = settings->executions_days,
        .artifacts_days = settings->artifacts_days,
        .artifacts_most = settings->artifacts_keep,
        .artifacts_bytes = settings->artifacts_bytes,
    };
    scoped(json) json_t *ids = json_array();
    for (size_t i = 0; i < c->sandbox_count; i++)
        json_array_append_new(ids, json_string(c->sandboxes[i]->id));
    scoped(string) char *text = json_dumps(ids, JSON_COMPACT);
    /* a sandbox that cannot be read is not gone */
    retention_run(c->store, &rules, c->unread ? NULL : text, dry_run, done, user);
}

static void on_done(void *user, const struct retention_report *report, const struct err *e)
{
    struct core *c = user;
    c->counters.retention_passes += !e;
    if (e)
        log_warn("what is old was not forgotten", F_STR("why", e->text));
    else if (report->executions || report->artifacts || report->blobs || report->kernels)
        log_info("what is old is forgotten", F_INT("executions", report->executions),
                 F_INT("artifacts", report->artifacts), F_INT("kernels", report->kernels),
                 F_INT("blobs", report->blobs), F_INT("blob_bytes", report->blob_bytes));
}

void gc_tick(struct core *c, int64_t now_ms)
{
    if (now_ms < c->next_gc_ms)
        return;
    gc_run(c, false, on_done, c);
    c->next_gc_ms = now_ms + EVERY_MS;
}
