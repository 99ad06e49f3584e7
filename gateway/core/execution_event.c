/* Events out of journals. A record belongs to an execution when its parent header begins as the
 * header of the execution's request does; the host gives that back byte for byte.
 *
 * Invariant: whether a record is an event, and which number it has, depends on the journal alone.
 */
#include "gateway/core/execution_event.h"

#include <string.h>

#include "gateway/core/execution_state.h"
#include "gateway/core/notice.h"
#include "gateway/core/state.h"
#include "gateway/log.h"
#include "protocol/json.h"

#define FIRST_PIECE_BYTES (16 * 1024) /* most executions are no longer */
#define PIECE_BYTES       (256 * 1024)
#define ID_BEFORE         "{\"msg_id\":\""

bool execution_is_parent(struct bytes parent, const char *id)
{
    size_t before = strlen(ID_BEFORE), len = strlen(id);
    return parent.len > before + len && memcmp(parent.data, ID_BEFORE, before) == 0 &&
           memcmp(parent.data + before, id, len) == 0 && parent.data[before + len] == '"';
}

static bool says_idle(const struct message *m)
{
    struct slice state = {.name = "execution_state"};
    return json_slices(m->content, &state, 1, NULL) && bytes_is(state.value, "\"idle\"");
}

enum execution_part execution_part_of(struct bytes msg_type, const struct message *m)
{
    if (bytes_is(msg_type, "status"))
        return says_idle(m) ? PART_END : PART_STATE;
    return bytes_is(msg_type, "execute_reply") ? PART_STATE : PART_EVENT;
}

bool execution_append_end(struct journal *j, const struct execution_row *row, struct err *e)
{
    scoped(buffer) struct buffer frame = {0}, batch = {0};
    scoped(string) char *parent =
        xasprintf("{\"msg_id\":\"%s\",\"msg_type\":\"execute_request\"}", row->id);
    notice_status(&frame, row->kernel_id, bytes_of(parent), "idle");
    const struct journal_record record = {.sequence = journal_last(j) + 1,
                                          .msg_type = bytes_of("status"),
                                          .frame = buffer_view(&frame)};
    journal_encode(&batch, &record);
    return journal_append(j, buffer_view(&batch), e);
}

/* framed: released by the caller, whatever is returned. */
static enum execution_part look_at(const char *id, const struct journal_record *record,
                                   struct framed *framed)
{
    if (bytes_is(record->identity, JOURNAL_MARK) ||
        !framing_v1_decode(record->frame, framed, NULL) ||
        !execution_is_parent(framed->message.parent, id))
        return PART_NONE;
    return execution_part_of(record->msg_type, &framed->message);
}

/* --- where an event stands */

struct place {
    struct journal_cursor cursor;
    uint64_t number; /* of the events before it */
};

/* The number of events of x before the segment that begins with first; false: its mark does not
 * name x, which had none, or had ended. */
static bool read_mark(struct journal *j, uint64_t first, const char *id, uint64_t *number)
{
    struct journal_cursor cursor = {.next = first};
    struct shared *data = journal_read(j, &cursor, 1, NULL);
    if (!data)
        return false;
    struct bytes rest = shared_view(data);
    struct journal_record record;
    *number = 0;
    if (journal_next(&rest, &record) && bytes_is(record.identity, JOURNAL_MARK))
        *number = execution_marked(record.frame, id);
    shared_free(data);
    return *number > 0;
}

static bool too_old(const struct execution *x, uint64_t kept, struct err *e)
{
    if (kept)
        return fail(e, 410,
                    "the events of execution %s before number %llu are not kept any more: "
                    "ask for after=%llu, or give the gateway more --log-bytes",
                    x->row.id, (unsigned long long)kept + 1, (unsigned long long)kept);
    return fail(e, 410, "no events of execution %s are kept any more, but for its end", x->row.id);
}

/* The latest place known at or before the event `after`. */
static bool seek(const struct execution *x, struct journal *j, uint64_t after, struct place *out,
                 struct err *e)
{
    uint64_t first = journal_first(j), last = journal_last(j), number;
    for (size_t i = journal_segments(j); i-- > 0;) {
        uint64_t begin = journal_segment(j, i);
        bool ended_before = x->row.last_sequence && x->row.last_sequence < begin;
        if (begin <= x->row.first_sequence)
            break;
        if (!ended_before && read_mark(j, begin, x->row.id, &number) && number <= after) {
            *out = (struct place){{.next = begin}, number};
            return true;
        }
    }
    *out = (struct place){
        x->from.next ? x->from : (struct journal_cursor){.next = x->row.first_sequence}, 0};
    if (first <= x->row.first_sequence || x->row.first_sequence > last)
        return true;
    if (x->row.last_sequence && x->row.last_sequence < first)
        return after >= x->row.events || too_old(x, 0, e);
    if (read_mark(j, first, x->row.id, &number))
        return number <= after || too_old(x, number, e);
    out->cursor = (struct journal_cursor){.next = first}; /* it had not begun before */
    return true;
}

/* Its kernel is not there, and so is its journal: for now, or for ever. */
static bool no_journal(const struct execution *x, struct err *e)
{
    const struct sandbox *s = paused_holding(x->core, x->row.kernel_id);
    return s && sandbox_refuses(s, e) ? false : too_old(x, 0, e);
}

static struct journal *journal_of(const struct execution *x)
{
    struct kernel *k = kernels_any(x->core, x->row.kernel_id);
    return k && !k->gone ? k->journal : NULL;
}

uint64_t execution_events_count(const struct execution *x)
{
    return x->events;
}

/* --- reading what is there */

struct reading {
    const struct execution *x;
    uint64_t after, number;
    bool (*each)(void *user, const struct execution_event *event);
    void *user;
};

/* False: that was all. */
static bool read_record(struct reading *r, const struct journal_record *record)
{
    scoped(framed) struct framed framed = {0};
    enum execution_part part = look_at(r->x->row.id, record, &framed);
    if (part != PART_EVENT && part != PART_END)
        return true;
    if (part == PART_END && !r->x->settled)
        return false;
    r->number++;
    const struct execution_event event = {r->number, record->msg_type, &framed.message,
                                          part == PART_END};
    return (r->number <= r->after || r->each(r->user, &event)) && part != PART_END;
}

static bool read_piece(struct reading *r, struct shared *piece)
{
    struct bytes rest = shared_view(piece);
    struct journal_record record;
    while (journal_next(&rest, &record))
        if (!read_record(r, &record))
            return false;
    return true;
}

/* The end of one whose kernel did not say it. */
static void give_last(const struct execution *x, uint64_t after,
                      bool (*each)(void *user, const struct execution_event *event), void *user)
{
    if (x->settled && after < x->events)
        each(user, &(struct execution_event){.number = x->events, .is_last = true});
}

bool execution_events_read(struct execution *x, uint64_t after,
                           bool (*each)(void *user, const struct execution_event *event),
                           void *user, struct err *e)
{
    struct journal *j = journal_of(x);
    struct place place;
    if (!j && after + 1 < x->events)
        return no_journal(x, e);
    if (!j || x->row.events == after + 1) {
        give_last(x, after, each, user);
        return true;
    }
    if (!seek(x, j, after, &place, e))
        return false;
    struct reading reading = {x, after, place.number, each, user};
    size_t want = FIRST_PIECE_BYTES;
    for (bool more = true; more && place.cursor.next <= journal_last(j); want = PIECE_BYTES) {
        struct shared *piece = journal_read(j, &place.cursor, want, e);
        if (!piece)
            return fail(e, 500, "the log of context %.100s cannot be read", x->row.context);
        more = read_piece(&reading, piece);
        shared_free(piece);
    }
    return true;
}

/* --- following */

struct execution_follower {
    struct execution *x;   /* owned */
    struct reader *reader; /* NULL: the journal has no more for it */
    struct follower_events events;
    void *user;
    uint64_t after, number;
    struct journal_cursor from; /* next 0: there is nothing to read */
    struct err gone;
    bool begun, waiting, closed;
};

static void follower_free(struct execution_follower *f)
{
    execution_release(f->x);
    free(f);
}

static void tell_end(struct execution_follower *f, const struct err *e)
{
    struct follower_events events = f->events;
    void *user = f->user;
    f->closed = true;
    events.on_end(user, e);
    follower_free(f);
}

/* Its kernel may have gone before all was given. */
static bool has_all(const struct execution_follower *f, struct err *e)
{
    uint64_t given = f->number > f->after ? f->number : f->after;
    if (given + 1 >= f->x->events)
        return true;
    if (core_draining(f->x->core))
        return fail(e, 503, "the gateway ends; ask again when it is back");
    return no_journal(f->x, e);
}

static void on_settled(void *user, const struct err *e)
{
    struct execution_follower *f = user;
    struct err missing;
    if (f->closed)
        follower_free(f);
    else
        tell_end(f, e ? e : has_all(f, &missing) ? NULL : &missing);
}

/* The reader is gone, or no more is wanted of it. */
static void await_end(struct execution_follower *f)
{
    f->waiting = true;
    execution_await(f->x, EXECUTION_ENDED, on_settled, f);
}

static bool on_message(void *user, struct shared *owner, const struct journal_record *record)
{
    struct execution_follower *f = user;
    scoped(framed) struct framed framed = {0};
    (void)owner;
    enum execution_part part = look_at(f->x->row.id, record, &framed);
    if (part == PART_END) {
        reader_close(take(&f->reader));
        f->events.on_pause(f->user);
        await_end(f);
        return false;
    }
    if (part != PART_EVENT || ++f->number <= f->after)
        return true;
    return f->events.on_event(
        f->user, &(struct execution_event){f->number, record->msg_type, &framed.message, false});
}

static void on_pause(void *user)
{
    struct execution_follower *f = user;
    f->events.on_pause(f->user);
}

static void on_dropped(void *user, uint64_t first)
{
    struct execution_follower *f = user;
    struct err e;
    (void)first;
    fail(&e, 410,
         "this reader was too slow: events behind number %llu of execution %s are not kept "
         "any more; ask for what is, or give the gateway more --log-bytes",
         (unsigned long long)(f->number > f->after ? f->number : f->after), f->x->row.id);
    reader_close(take(&f->reader));
    tell_end(f, &e);
}

static void on_reader_end(void *user, int code, const char *reason)
{
    struct execution_follower *f = user;
    (void)code;
    (void)reason;
    f->reader = NULL;
    await_end(f);
}

struct execution_follower *execution_follow(struct execution *x, uint64_t after,
                                            const struct follower_events *events, void *user,
                                            struct err *e)
{
    struct journal *j = journal_of(x);
    struct place place = {{0}, 0};
    bool reads = j && !(x->row.outcome && after + 1 >= x->row.events);
    if (!j && after + 1 < x->events) {
        no_journal(x, e);
        return NULL;
    }
    if (reads && !seek(x, j, after, &place, e))
        return NULL;
    struct execution_follower *f = xcalloc(1, sizeof(*f));
    f->x = execution_keep(x);
    f->events = *events;
    f->user = user;
    f->after = after;
    f->number = place.number;
    if (reads)
        f->from = place.cursor;
    return f;
}

void execution_follow_on(struct execution_follower *f)
{
    static const struct reader_events events = {on_message, on_reader_end, on_pause, on_dropped};
    if (f->reader) {
        reader_resume(f->reader);
    } else if (!f->begun) {
        struct kernel *k = f->from.next ? kernels_any(f->x->core, f->x->row.kernel_id) : NULL;
        f->begun = true;
        if (k && !k->gone)
            f->reader = reader_open_at(k, &f->from, &events, f);
        else
            await_end(f);
    }
}

void execution_follow_close(struct execution_follower *f)
{
    if (!f || f->closed)
        return;
    f->closed = true;
    reader_close(take(&f->reader));
    if (!f->waiting)
        follower_free(f);
}
