/* At the start of a gateway: executions that an earlier one had not seen end. What their kernels
 * said since is in the journals, or comes from the hosts now; one that a host never got is sent
 * again, and one whose kernel has gone is lost where the journal does not say how it ended.
 *
 * Order: a host says which executions it has as it is attached to, and then repeats what was not
 * stored; only behind that it is sure that one neither ended nor is to come. */
#include <string.h>
#include <unistd.h>

#include "gateway/core/execution_event.h"
#include "gateway/core/execution_state.h"
#include "gateway/core/settling.h"
#include "gateway/core/state.h"
#include "gateway/log.h"
#include "gateway/store/store.h"
#include "protocol/json.h"

#define PIECE_BYTES (1024 * 1024)

/* The request as kernel.c notes what it sends, so that it is answered if the host dies. */
static void note_request(struct execution *x)
{
    scoped(string) char *header =
        xasprintf("{\"msg_id\":\"%s\",\"msg_type\":\"execute_request\",\"username\":\"warmcell\","
                  "\"session\":\"" EXECUTION_SESSION "\",\"date\":\"%s\",\"version\":\"5.5\"}",
                  x->row.id, x->row.created);
    const struct message m = {.channel = CHANNEL_SHELL, .header = bytes_of(header)};
    requests_add(&x->kernel->requests, EXECUTION_SESSION, &m, NULL);
}

/* What the journal has of one whose kernel says no more, up to its end. */
static void replay(struct execution *x, struct journal *j)
{
    struct journal_cursor cursor = {.next = x->row.first_sequence};
    bool at_start = cursor.next < journal_first(j);
    if (at_start)
        cursor.next = journal_first(j);
    while (!x->row.outcome && cursor.next <= journal_last(j)) {
        struct shared *piece = journal_read(j, &cursor, PIECE_BYTES, NULL);
        if (!piece)
            return;
        struct bytes rest = shared_view(piece);
        struct journal_record record;
        while (!x->row.outcome && journal_next(&rest, &record)) {
            if (at_start && bytes_is(record.identity, JOURNAL_MARK))
                x->events = execution_marked(record.frame, x->row.id);
            at_start = false;
            execution_take(x, &record);
        }
        shared_free(piece);
    }
}

static void end_in(struct execution *x, struct journal *j)
{
    struct err e;
    replay(x, j);
    if (x->row.outcome)
        return;
    if (execution_append_end(j, &x->row, &e))
        x->row.last_sequence = journal_last(j);
    else
        log_warn("the end of an execution is not in its log", F_STR("execution", x->row.id),
                 F_STR("why", e.text));
}

/* k: that is dead, or NULL: its journal is there if its context is to be resumed. */
static void end_lost(struct core *c, struct execution *x, struct kernel *k)
{
    struct err e;
    scoped(string) char *dir = xasprintf("%s/%s", c->logs_dir, x->row.kernel_id);
    bool is_left = !k && access(dir, F_OK) == 0;
    struct journal *j = k         ? k->journal
                        : is_left ? journal_open(dir, (uint64_t)c->settings->core.log_bytes, &e)
                                  : NULL;
    if (j && !k)
        journal_set_sync(j, store_sync(c->store));
    if (j)
        end_in(x, j);
    if (k)
        k->next_sequence = journal_last(j) + 1;
    else
        journal_close(j);
    if (!x->row.outcome)
        execution_end(x, "lost", "gateway", "its kernel ended while no gateway was there");
}

static void take_up(struct core *c, const struct execution_row *row)
{
    struct kernel *k = kernels_any(c, row->kernel_id);
    struct execution *x = execution_new(c, row);
    x->stored = true;
    if (row->outcome) { /* it had ended, and was not settled */
        settling_add(c, x);
    } else if (k && k->state != KERNEL_DEAD) {
        x->taken_up = true;
        execution_open(x, k);
        note_request(x);
    } else {
        end_lost(c, x, k);
    }
    execution_release(x);
}

/* Takes from a mark what it says of the open ones. */
static void start_at_mark(struct kernel *k, const struct journal_record *record)
{
    for (struct execution *x = k->executions; x; x = x->next)
        x->events = execution_marked(record->frame, x->row.id);
}

/* Reads again what the journal has of the open ones. */
static void read_journal(struct kernel *k)
{
    struct journal_cursor cursor = {.next = k->executions->row.first_sequence};
    bool at_start = cursor.next < journal_first(k->journal);
    if (at_start)
        cursor.next = journal_first(k->journal);
    while (k->executions && cursor.next <= journal_last(k->journal)) {
        struct shared *piece = journal_read(k->journal, &cursor, PIECE_BYTES, NULL);
        if (!piece)
            return;
        struct bytes rest = shared_view(piece);
        struct journal_record record;
        while (k->executions && journal_next(&rest, &record)) {
            if (at_start && bytes_is(record.identity, JOURNAL_MARK))
                start_at_mark(k, &record);
            at_start = false;
            executions_take(k, &record);
        }
        shared_free(piece);
    }
}

void executions_load(struct core *c)
{
    struct execution_row *list = NULL;
    size_t count = 0;
    struct err e = {0};
    if (!execution_table_load(c->store, &list, &count, &c->last_execution, &e))
        log_error("executions could not be read", F_STR("why", e.text));
    for (size_t i = 0; i < count; i++)
        take_up(c, &list[i]);
    execution_rows_free(list, count);
    for (size_t i = 0; i < c->kernel_count; i++) {
        struct kernel *k = c->kernels[i];
        if (k->executions)
            read_journal(k);
        if (k->sandbox && !k->executions_from) /* there may be some that have ended */
            k->executions_from = journal_first(k->journal);
    }
}

void executions_known(struct kernel *k, json_t *state, uint64_t last)
{
    json_t *known = json_object_get(state, "executions");
    json_decref(k->known_executions);
    k->known_executions = json_is_array(known) ? json_incref(known) : NULL;
    k->known_at = last;
    executions_caught_up(k);
}

static bool has(json_t *known, const char *id)
{
    size_t i;
    json_t *one;
    json_array_foreach(known, i, one)
    {
        const char *text = json_string_value(one);
        if (text && strcmp(text, id) == 0)
            return true;
    }
    return false;
}

/* The kernel never got it. */
static void send_again(struct execution *x)
{
    struct err e = {0};
    scoped(json) json_t *asked = json_loads(x->row.asked, JSON_ALLOW_NUL, NULL);
    if (json_array_size(json_object_get(asked, "env")))
        execution_end(x, "lost", "gateway",
                      "the gateway ended before the kernel had it, and the values of its env are "
                      "not kept; it did not run");
    else if (!execution_dispatch(x, NULL, &e))
        execution_end(x, "lost", "gateway", e.text);
    else
        log_info("an execution is sent again", F_STR("execution", x->row.id));
}

static struct execution *next_unsure(struct kernel *k)
{
    struct execution *x = k->executions;
    while (x && !x->taken_up)
        x = x->next;
    return x;
}

void executions_caught_up(struct kernel *k)
{
    if (!k->known_executions || k->source < k->known_at)
        return;
    struct execution *x;
    while ((x = next_unsure(k))) {
        x->taken_up = false;
        if (!has(k->known_executions, x->row.id))
            send_again(x);
    }
    json_decref(k->known_executions);
    k->known_executions = NULL;
}
