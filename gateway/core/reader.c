/* Readers of a journal. A reader is live when it has been given everything: then batches go to it
 * as they come. Otherwise it is behind and is fed from disk, a piece in each turn of the loop,
 * while its client takes it.
 *
 * Invariant: next is the only truth about what a reader was given; a batch or a piece is passed
 * over up to it. */
#include "gateway/core/reader.h"

#include <stdio.h>

#include "gateway/core/notice.h"
#include "gateway/core/state.h"
#include "gateway/log.h"

#define PIECE_LEAST_BYTES (64 * 1024)
#define PIECE_MOST_BYTES  (256 * 1024)

struct reader {
    struct kernel *kernel;
    struct reader_events events;
    void *user;
    char *session; /* NULL: it is given everything */
    int slot;      /* -1: the session cannot come back */
    struct journal_cursor cursor;
    size_t piece_bytes; /* of the next piece: more is not read than its client takes */
    bool full;          /* the client takes nothing now */
    bool closed;
    struct reader *next;
};

static bool behind(const struct reader *r)
{
    return r->cursor.next <= journal_last(r->kernel->journal);
}

struct kernel *reader_kernel(const struct reader *r)
{
    return r->kernel;
}

static void unlink_reader(struct reader *r)
{
    struct reader **place = &r->kernel->readers;
    while (*place != r)
        place = &(*place)->next;
    *place = r->next;
}

static void reader_free(struct reader *r)
{
    free(r->session);
    free(r);
}

/* Out of sight at once; out of the list when nobody walks it. */
static void retire(struct reader *r)
{
    struct kernel *k = r->kernel;
    r->closed = true;
    k->connections -= r->session != NULL;
    if (r->slot >= 0)
        places_hold(k->places, r->slot, false);
    if (k->delivering)
        return;
    unlink_reader(r);
    reader_free(r);
}

static void sweep(struct kernel *k)
{
    struct reader **place = &k->readers;
    while (*place) {
        struct reader *r = *place;
        if (r->closed) {
            *place = r->next;
            reader_free(r);
        } else {
            place = &r->next;
        }
    }
}

void reader_close(struct reader *r)
{
    if (r && !r->closed)
        retire(r);
}

static void end(struct reader *r, int code, const char *reason)
{
    struct reader_events events = r->events;
    void *user = r->user;
    retire(r);
    events.on_end(user, code, reason);
}

void readers_end(struct kernel *k, int code, const char *reason)
{
    struct reader *r = k->readers;
    while (r) {
        if (r->closed) {
            r = r->next;
            continue;
        }
        end(r, code, reason);
        r = k->readers; /* on_end may have closed others */
        while (r && r->closed)
            r = r->next;
    }
}

/* The session's place: where it was, or for a new one the present end. */
static void find_place(struct reader *r, bool keep)
{
    struct kernel *k = r->kernel;
    uint64_t last = journal_last(k->journal);
    r->slot = keep ? places_find(k->places, r->session) : -1;
    if (keep && r->slot < 0)
        r->slot = places_add(k->places, r->session, last);
    r->cursor.next = (r->slot >= 0 ? places_get(k->places, r->slot) : last) + 1;
    if (r->cursor.next > last + 1) /* the journal was lost with its folder */
        r->cursor.next = last + 1;
    if (r->slot >= 0)
        places_hold(k->places, r->slot, true);
}

static void end_same_session(struct kernel *k, const char *session)
{
    for (struct reader *r = k->readers; r; r = r->next)
        if (!r->closed && r->session && strcmp(r->session, session) == 0) {
            end(r, 1000, "a newer connection has this session");
            return;
        }
}

struct reader *reader_open(struct kernel *k, const char *session, bool keep,
                           const struct reader_events *events, void *user)
{
    end_same_session(k, session);
    struct reader *r = xcalloc(1, sizeof(*r));
    r->kernel = k;
    r->events = *events;
    r->user = user;
    r->piece_bytes = PIECE_LEAST_BYTES;
    r->session = xstrdup(session);
    find_place(r, keep);
    r->next = k->readers;
    k->readers = r;
    k->connections++;
    core_catch_up_soon(k->core);
    return r;
}

struct reader *reader_open_at(struct kernel *k, const struct journal_cursor *from,
                              const struct reader_events *events, void *user)
{
    struct reader *r = xcalloc(1, sizeof(*r));
    r->kernel = k;
    r->events = *events;
    r->user = user;
    r->piece_bytes = PIECE_LEAST_BYTES;
    r->slot = -1;
    r->cursor = *from;
    r->next = k->readers;
    k->readers = r;
    core_catch_up_soon(k->core);
    return r;
}

/* Tells a client that the log had no room for all that it missed. */
static void tell_dropped(struct reader *r, uint64_t first)
{
    if (!r->session) {
        r->cursor = (struct journal_cursor){.next = first};
        r->events.on_dropped(r->user, first);
        return;
    }
    scoped(buffer) struct buffer frame = {0};
    scoped(string) char *text = xasprintf(
        "\n[warmcell: %llu messages are missing here: they were no longer in this kernel's log, "
        "whose size --log-bytes sets]\n",
        (unsigned long long)(first - r->cursor.next));
    notice_stream(&frame, r->kernel->id, bytes_of("{}"), text);
    log_warn("messages were dropped for a reader", F_STR("kernel", r->kernel->id),
             F_INT("count", (int64_t)(first - r->cursor.next)));
    r->cursor = (struct journal_cursor){.next = first};
    size_t len = 0;
    char *data = buffer_take(&frame, &len);
    struct shared *owner = shared_new(data, len);
    const struct journal_record record = {.msg_type = bytes_of("stream"),
                                          .frame = shared_view(owner)};
    r->full = !r->events.on_message(r->user, owner, &record);
    shared_free(owner);
}

/* Gives the records of a run that this reader has not had, as long as its client takes them.
 * Returns how many bytes of the run are behind it then. */
static size_t give(struct reader *r, struct shared *run)
{
    struct bytes rest = shared_view(run);
    struct journal_record record;
    bool all = !r->session;
    struct bytes session = bytes_of(r->session);
    while (!r->closed && !r->full && journal_next(&rest, &record)) {
        if (record.sequence < r->cursor.next)
            continue;
        r->cursor = (struct journal_cursor){.next = record.sequence + 1};
        if (all || record.identity.len == 0 || bytes_equal(record.identity, session))
            r->full = !r->events.on_message(r->user, run, &record);
    }
    if (!r->closed && r->events.on_pause)
        r->events.on_pause(r->user);
    return shared_view(run).len - rest.len;
}

/* The same from disk: the cursor knows where the reading goes on, so that a client that takes
 * little at a time does not have the segment searched each time. */
static void give_piece(struct reader *r)
{
    struct journal *journal = r->kernel->journal;
    if (r->cursor.next < journal_first(journal)) {
        tell_dropped(r, journal_first(journal));
        return;
    }
    struct err e = {0};
    struct journal_cursor after = r->cursor;
    struct shared *piece = journal_read(journal, &after, r->piece_bytes, &e);
    if (!piece) {
        log_error("a kernel's log cannot be read", F_STR("kernel", r->kernel->id),
                  F_STR("why", e.text));
        tell_dropped(r, journal_last(journal) + 1);
        return;
    }
    uint64_t start = after.offset - shared_view(piece).len;
    size_t whole = shared_view(piece).len, given = give(r, piece);
    bool more = given == whole && r->piece_bytes < PIECE_MOST_BYTES;
    r->piece_bytes = given < whole ? PIECE_LEAST_BYTES : r->piece_bytes << more;
    shared_free(piece);
    r->cursor.segment = after.segment;
    r->cursor.offset = start + given;
}

void readers_deliver(struct kernel *k, struct shared *batch)
{
    struct bytes view = shared_view(batch);
    struct journal_record first;
    if (!journal_next(&view, &first))
        return;
    k->delivering = true;
    for (struct reader *r = k->readers; r; r = r->next)
        if (!r->closed && !r->full && r->cursor.next >= first.sequence)
            give(r, batch);
    k->delivering = false;
    sweep(k);
}

bool readers_catch_up(struct kernel *k)
{
    bool more = false;
    k->delivering = true;
    for (struct reader *r = k->readers; r; r = r->next) {
        if (!r->closed && !r->full && behind(r))
            give_piece(r);
        more = more || (!r->closed && !r->full && behind(r));
    }
    k->delivering = false;
    sweep(k);
    return more;
}

void reader_resume(struct reader *r)
{
    if (r->closed)
        return;
    r->full = false;
    if (behind(r))
        core_catch_up_soon(r->kernel->core);
}

void reader_sent(struct reader *r, uint64_t sequence)
{
    if (r->slot >= 0 && sequence)
        places_mark(r->kernel->places, r->slot, sequence);
}

void reader_sending(struct reader *r, uint64_t sequence)
{
    if (r->slot >= 0)
        places_sending(r->kernel->places, r->slot, sequence);
}
