/* What a kernel says of its open executions: each record of its journal passes here once, as it is
 * written or, when a gateway comes back, as it is read again. Only small messages are looked into;
 * output is counted and passed over.
 *
 * Invariant: an execution leaves the list of its kernel exactly when it ends, and its row is
 * written then. */
#include <stdio.h>
#include <string.h>

#include "gateway/core/execution_event.h"
#include "gateway/core/execution_state.h"
#include "gateway/core/settling.h"
#include "gateway/core/state.h"
#include "gateway/log.h"
#include "protocol/json.h"

#define REASON_LIMIT 300
#define WORD_LIMIT   64

static void set_status(struct execution *x, const char *status)
{
    snprintf(x->row.status, sizeof(x->row.status), "%s", status);
}

/* --- the end */

static void on_settled(void *user, const struct err *e)
{
    struct execution *x = user;
    x->settled = true;
    if (e)
        x->problem = *e;
    else
        settling_add(x->core, x);
    execution_tell(x);
    execution_release(x);
}

static void on_added_ended(void *user, const struct execution_row *found, const struct err *e)
{
    struct execution *x = user;
    (void)found; /* it has no key */
    x->stored = true;
    on_settled(x, e);
}

static void leave_kernel(struct execution *x)
{
    struct execution **place = &x->kernel->executions;
    while (*place != x)
        place = &(*place)->next;
    *place = x->next;
    x->kernel = NULL;
    x->next = NULL;
    execution_release(x); /* who called holds another one */
}

static void store_end(struct execution *x)
{
    if (x->unstored)
        execution_table_add(x->core->store, &x->row, x->core->settings->core.executions_keep,
                            on_added_ended, x);
    else
        execution_table_end(x->core->store, &x->row, on_settled, x);
    x->unstored = false;
}

/* The row of an end may be on the disk only behind the messages that it ends. */
static void store_end_behind_batch(struct execution *x, struct kernel *k)
{
    struct execution **end = &k->ended_executions;
    while (*end)
        end = &(*end)->next;
    *end = x;
}

void executions_batch_stored(struct kernel *k)
{
    struct execution *x;
    while ((x = k->ended_executions)) {
        k->ended_executions = x->next;
        x->next = NULL;
        store_end(x);
    }
}

/* The execution is over; its outcome is set. */
static void settle(struct execution *x)
{
    struct kernel *k = x->kernel;
    execution_keep(x);
    if (!x->row.ended[0])
        time_now_text(x->row.ended);
    x->row.events = x->events;
    buffer_clear(&x->input_header);
    execution_numbers_add(&x->core->numbers, x->row.status, x->row.outcome);
    if (k && k->sandbox)
        execution_numbers_add(&k->sandbox->numbers, x->row.status, x->row.outcome);
    if (k)
        leave_kernel(x);
    if (k && k->batch.len)
        store_end_behind_batch(x, k);
    else
        store_end(x);
}

static void add_word(struct buffer *out, const char *name, const char *text)
{
    buffer_printf(out, ",\"%s\":", name);
    if (text)
        json_quote(out, (struct bytes){text, strnlen(text, REASON_LIMIT)});
    else
        buffer_add_text(out, "null");
}

void execution_end(struct execution *x, const char *status, const char *cause, const char *reason)
{
    scoped(buffer) struct buffer outcome = {0};
    bool ran = strcmp(x->row.status, "running") == 0;
    buffer_printf(&outcome, "{\"state_retained\":%s", ran ? "false" : "null");
    add_word(&outcome, "cause", cause);
    add_word(&outcome, "reason", reason);
    buffer_add_text(&outcome, "}");
    free(x->row.outcome);
    x->row.outcome = xstrdup(buffer_text(&outcome));
    set_status(x, status);
    x->events++; /* of its end */
    settle(x);
}

/* --- the reply */

/* Seconds as the host writes them, in milliseconds. */
static void add_ms(struct buffer *out, const char *name, struct bytes seconds)
{
    char text[40] = "";
    if (!seconds.len || seconds.len >= sizeof(text))
        return;
    memcpy(text, seconds.data, seconds.len);
    buffer_printf(out, ",\"%s\":%.3f", name, strtod(text, NULL) * 1000);
}

/* A number or a word; what is longer is none. */
static void add_raw(struct buffer *out, const char *name, struct bytes value)
{
    if (!value.len || value.len > WORD_LIMIT)
        return;
    buffer_printf(out, ",\"%s\":", name);
    buffer_add_bytes(out, value);
}

static void add_outcome(struct buffer *out, struct bytes warmcell)
{
    enum {
        RETAINED,
        GENERATION,
        QUEUE,
        RUN,
        BYTES,
        WITHHELD,
        PASSED,
        ENDED_BY,
        DUMPED,
        CAUSE,
        REASON
    };
    struct slice own[] = {
        [RETAINED] = {.name = "state_retained"}, [GENERATION] = {.name = "generation"},
        [QUEUE] = {.name = "queue_s"},           [RUN] = {.name = "run_s"},
        [BYTES] = {.name = "out_bytes"},         [WITHHELD] = {.name = "withheld_bytes"},
        [PASSED] = {.name = "deadline_passed"},  [ENDED_BY] = {.name = "ended_by"},
        [DUMPED] = {.name = "stack_dumped"},     [CAUSE] = {.name = "cause"},
        [REASON] = {.name = "reason"},
    };
    if (json_slice_is_object(warmcell))
        json_slices(warmcell, own, countof(own), NULL);
    buffer_add_text(out, "{\"state_retained\":");
    buffer_add_bytes(out, own[RETAINED].value.len ? own[RETAINED].value : bytes_of("null"));
    add_raw(out, "generation", own[GENERATION].value);
    add_ms(out, "queue_ms", own[QUEUE].value);
    add_ms(out, "run_ms", own[RUN].value);
    add_raw(out, "output_bytes", own[BYTES].value);
    add_raw(out, "withheld_bytes", own[WITHHELD].value);
    add_raw(out, "deadline_passed", own[PASSED].value);
    add_raw(out, "ended_by", own[ENDED_BY].value);
    add_raw(out, "stack_dumped", own[DUMPED].value);
    add_raw(out, "cause", own[CAUSE].value);
    add_raw(out, "reason", own[REASON].value);
}

/* The word of the reply for how it ended: the host's, or what the content says. */
static void take_status(struct execution *x, struct bytes outcome, struct bytes status)
{
    size_t len;
    scoped(string) char *word = outcome.len ? json_slice_string(outcome, &len) : NULL;
    if (!word || !execution_status_known(word)) {
        free(word);
        word = status.len ? json_slice_string(status, &len) : NULL;
    }
    bool known = word && execution_status_known(word);
    snprintf(x->reply_status, sizeof(x->reply_status), "%s", known ? word : "error");
}

/* What the interpreter says that it has used. */
static void add_usage(struct buffer *out, struct bytes usage)
{
    struct slice own[] = {{.name = "cpu_s"}, {.name = "memory_peak_bytes"}};
    if (!json_slice_is_object(usage) || !json_slices(usage, own, countof(own), NULL))
        return;
    add_ms(out, "cpu_ms", own[0].value);
    add_raw(out, "memory_peak_bytes", own[1].value);
}

/* Whether nothing of the cell had to be compiled. */
static void add_code_cache(struct buffer *out, struct bytes cache)
{
    struct slice hit = {.name = "hit"};
    if (json_slice_is_object(cache) && json_slices(cache, &hit, 1, NULL))
        add_raw(out, "code_cache_hit", hit.value);
}

static void take_reply(struct execution *x, const struct message *m)
{
    enum { STATUS, COUNT };
    struct slice content[] = {[STATUS] = {.name = "status"}, [COUNT] = {.name = "execution_count"}};
    enum { WARMCELL, USAGE, CACHE };
    struct slice metadata[] = {[WARMCELL] = {.name = "warmcell"},
                               [USAGE] = {.name = "usage"},
                               [CACHE] = {.name = "code_cache"}};
    struct slice outcome = {.name = "outcome"};
    json_slices(m->content, content, countof(content), NULL);
    json_slices(m->metadata, metadata, countof(metadata), NULL);
    if (json_slice_is_object(metadata[WARMCELL].value))
        json_slices(metadata[WARMCELL].value, &outcome, 1, NULL);
    take_status(x, outcome.value, content[STATUS].value);
    struct buffer *out = &x->outcome;
    buffer_clear(out);
    add_outcome(out, metadata[WARMCELL].value);
    add_usage(out, metadata[USAGE].value);
    add_code_cache(out, metadata[CACHE].value);
    add_raw(out, "execution_count", content[COUNT].value);
    if (bytes_is(content[STATUS].value, "\"error\"")) {
        buffer_add_text(out, ",\"error\":{");
        execution_error_write(m->content, true, out);
        buffer_add_text(out, "}");
    }
    buffer_add_text(out, "}");
}

/* --- the messages */

static void read_date(const struct message *m, char out[TIME_TEXT])
{
    struct slice date = {.name = "date"};
    size_t len;
    json_slices(m->header, &date, 1, NULL);
    scoped(string) char *when = date.value.len ? json_slice_string(date.value, &len) : NULL;
    snprintf(out, TIME_TEXT, "%s", when ? when : "");
}

/* Also one that is never run is `busy` for its reply. */
static void take_busy(struct execution *x, const struct message *m)
{
    if (x->row.started[0])
        return;
    set_status(x, "running");
    read_date(m, x->row.started);
}

static void take_end(struct execution *x, uint64_t sequence, const struct message *m)
{
    read_date(m, x->row.ended);
    x->row.last_sequence = sequence;
    if (!x->outcome.len) {
        execution_end(x, "lost", "no_reply", "the kernel gave no reply");
        return;
    }
    free(x->row.outcome);
    x->row.outcome = xstrndup(x->outcome.data, x->outcome.len);
    set_status(x, x->reply_status);
    if (strcmp(x->row.status, "aborted") == 0 || strcmp(x->row.status, "cancelled") == 0)
        x->row.started[0] = '\0'; /* it was busy for its reply alone */
    x->events++;
    settle(x);
}

static void take_one(struct execution *x, const struct journal_record *record,
                     enum execution_part part, const struct message *m)
{
    if (part == PART_END) {
        take_end(x, record->sequence, m);
    } else if (part == PART_EVENT) {
        x->events++;
        if (m->channel == CHANNEL_STDIN && bytes_is(record->msg_type, "input_request")) {
            buffer_clear(&x->input_header);
            buffer_add_bytes(&x->input_header, m->header);
        }
    } else if (bytes_is(record->msg_type, "execute_reply")) {
        if (m->channel == CHANNEL_SHELL) /* on another it is nobody's word for how it ended */
            take_reply(x, m);
    } else {
        take_busy(x, m);
    }
}

void executions_take(struct kernel *k, const struct journal_record *record)
{
    scoped(framed) struct framed framed = {0};
    if (bytes_is(record->identity, JOURNAL_MARK) ||
        !framing_v1_decode(record->frame, &framed, NULL))
        return;
    const struct message *m = &framed.message;
    struct execution *x = k->executions;
    while (x && !execution_is_parent(m->parent, x->row.id))
        x = x->next;
    if (x)
        take_one(x, record, execution_part_of(record->msg_type, m), m);
}

void execution_take(struct execution *x, const struct journal_record *record)
{
    scoped(framed) struct framed framed = {0};
    if (bytes_is(record->identity, JOURNAL_MARK) ||
        !framing_v1_decode(record->frame, &framed, NULL))
        return;
    const struct message *m = &framed.message;
    if (execution_is_parent(m->parent, x->row.id))
        take_one(x, record, execution_part_of(record->msg_type, m), m);
}

void executions_kernel_gone(struct kernel *k, bool keep)
{
    static const struct err going = {.status = 503,
                                     .text = "the gateway ends; ask again when it is back"};
    executions_batch_stored(k);
    while (k->executions) {
        struct execution *x = execution_keep(k->executions);
        if (!keep) {
            bool asked = k->cause && strcmp(k->cause, "asked") == 0;
            execution_end(x, k->cause ? "killed" : "lost", k->cause,
                          k->reason ? k->reason
                                    : (asked ? "its context ended" : "its kernel ended"));
        } else {
            execution_store(x);
            x->problem = going;
            leave_kernel(x);
            execution_tell(x);
        }
        execution_release(x);
    }
}

/* --- marks */

bool executions_mark(const struct kernel *k, struct buffer *out)
{
    const char *before = "{";
    for (const struct execution *x = k->executions; x; x = x->next)
        if (x->events) {
            buffer_printf(out, "%s\"%s\":%llu", before, x->row.id, (unsigned long long)x->events);
            before = ",";
        }
    if (out->len)
        buffer_add_text(out, "}");
    return out->len > 0;
}

uint64_t execution_marked(struct bytes mark, const char *id)
{
    struct slice number = {.name = id};
    char text[24] = "";
    if (!json_slices(mark, &number, 1, NULL) || !number.value.len ||
        number.value.len >= sizeof(text))
        return 0;
    memcpy(text, number.value.data, number.value.len);
    return strtoull(text, NULL, 10);
}
