/* What a command left in its workspace: looked for behind its end (settling.h), known by the time
 * that its readers ask for it, and found again by the next gateway.
 *
 * Invariant: what is looked for is begun once of a command, when its end is known. */
#include <string.h>

#include "gateway/core/command_run_state.h"
#include "gateway/core/settling.h"
#include "gateway/log.h"
#include "gateway/store/command_table.h"

const char *command_run_settlement(const struct command_run *r)
{
    return r->settlement;
}

const struct err *command_run_unsettled(const struct command_run *r)
{
    return r->unsettled.status ? &r->unsettled : NULL;
}

/* From when it was asked for: its supervisor notes that it runs when it does already. */
static int64_t asked_ns(const struct command_run *r)
{
    struct timespec when = core_time_of(json_object_get(r->record, "created"));
    return (int64_t)when.tv_sec * 1000000000 + when.tv_nsec;
}

void command_runs_running(const struct sandbox *s, void (*each)(void *user, int64_t asked_ns),
                          void *user)
{
    for (const struct command_run *r = s->runs; r; r = r->next)
        if (!run_log_end(r->log))
            each(user, asked_ns(r));
}

void run_settle(struct command_run *r)
{
    if (r->settling || r->settlement || !r->sandbox)
        return;
    r->settling = true;
    const struct settling_command command = {
        .id = r->id,
        .sandbox_id = r->sandbox->id,
        .started_ns = run_log_started_us(r->log) ? asked_ns(r) : 0,
        .ended_ns = (run_log_ended_us(r->log) + 1) * 1000, /* it is cut off to a microsecond */
    };
    settling_add_command(r->core, &command);
}

static struct command_run *find(const struct sandbox *s, const char *id)
{
    struct command_run *r = s->runs;
    while (r && strcmp(r->id, id) != 0)
        r = r->next;
    return r;
}

void command_run_settled(struct core *c, const char *sandbox_id, const char *id, const char *json,
                         const struct err *e)
{
    const struct sandbox *s = sandbox_known(c, sandbox_id);
    struct command_run *r = s ? find(s, id) : NULL;
    if (!r) { /* forgotten meanwhile */
        if (s && json && !core_draining(c))
            command_table_remove(c->store, id);
        return;
    }
    free(r->settlement);
    r->settlement = json ? xstrdup(json) : NULL;
    if (!json)
        r->unsettled = *e;
    run_tell_more(r);
}

static void take_settled(void *user, const char *id, const char *json)
{
    struct sandbox *s = user;
    struct command_run *r = find(s, id);
    if (r && !r->settling)
        r->settlement = xstrdup(json);
    else if (!r)
        command_table_remove(s->core->store, id);
}

void runs_load_settled(struct sandbox *s)
{
    struct err e = {0};
    if (!command_table_each(s->core->store, s->id, take_settled, s, &e))
        log_error("what commands changed cannot be read", F_STR("sandbox", s->id),
                  F_STR("why", e.text));
    for (struct command_run *r = s->runs; r; r = r->next)
        if (run_log_end(r->log))
            run_settle(r);
}
