/* What one command left in the workspace: .../commands/{command}/artifacts, artifacts.tar and
 * changes, as those of an execution (v1_changes.c). */
#include "gateway/dialect/v1_artifacts.h"
#include "gateway/dialect/v1_commands.h"
#include "protocol/memory.h"

/* A request that waits until the command is settled. */
struct asking {
    struct exchange *exchange;
    struct core *core;
    struct command_run *run;
    struct command_watch *watch;
    char *sandbox_id; /* owned */
    void (*reply)(const struct asking *a);
};

static void asking_free(struct asking *a)
{
    command_watch_close(a->watch);
    free(a->sandbox_id);
    free(a);
}

static void on_more(void *user)
{
    struct asking *a = user;
    struct exchange *x = a->exchange;
    const struct err *e = command_run_unsettled(a->run);
    if (command_run_settlement(a->run)) {
        a->reply(a);
        asking_free(a);
    } else if (e) {
        asking_free(a);
        exchange_fail(x, e);
    }
}

static void on_gone(void *user)
{
    struct asking *a = user;
    struct exchange *x = a->exchange;
    struct err e;
    v1_command_gone(a->core, &e);
    a->watch = NULL;
    asking_free(a);
    exchange_fail(x, &e);
}

static void answer(struct exchange *x, struct core *core, void (*reply)(const struct asking *a))
{
    struct err e = {0};
    bool settled = false;
    struct command_run *r = v1_command_find(x, core);
    if (!r)
        return;
    if (!v1_settled_wanted(x, &settled, &e)) {
        exchange_fail(x, &e);
        return;
    }
    struct asking *a = xcalloc(1, sizeof *a);
    *a = (struct asking){.exchange = x,
                         .core = core,
                         .run = r,
                         .sandbox_id = xstrdup(command_run_sandbox_id(r)),
                         .reply = reply};
    if (settled) {
        a->watch = command_run_watch(r, on_more, on_gone, a);
        on_more(a);
        return;
    }
    reply(a);
    asking_free(a);
}

static void reply_query(const struct asking *a, void (*give)(struct exchange *x, struct core *c,
                                                             const struct artifact_query *query))
{
    struct err e = {0};
    struct artifact_query query;
    if (!v1_artifacts_query(a->exchange, &query, &e)) {
        exchange_fail(a->exchange, &e);
        return;
    }
    query.sandbox_id = a->sandbox_id;
    query.command_id = command_run_id(a->run);
    give(a->exchange, a->core, &query);
}

static void reply_artifacts(const struct asking *a)
{
    reply_query(a, v1_artifacts_reply);
}

static void reply_tar(const struct asking *a)
{
    reply_query(a, v1_artifacts_send_tar);
}

static void reply_changes(const struct asking *a)
{
    v1_changes_reply(a->exchange, a->core, a->sandbox_id, command_run_id(a->run),
                     command_run_settlement(a->run));
}

void v1_command_artifacts(struct exchange *x, void *core)
{
    answer(x, core, reply_artifacts);
}

void v1_command_artifacts_tar(struct exchange *x, void *core)
{
    answer(x, core, reply_tar);
}

void v1_command_changes(struct exchange *x, void *core)
{
    answer(x, core, reply_changes);
}
