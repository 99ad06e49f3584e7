/* The scan for artifacts. Fed by stream.c with what kernels said, once it is in their journals.
 *
 * A queue of batches; one is worked on in the pool (libuv's threads) at a time, with bytes that it
 * holds a reference of. What it found is written to the database; when that is committed the
 * kernel's place of the scan moves on, so that a gateway that is killed in between scans again and
 * finds its rows there already. */
#include "gateway/core/artifact.h"

#include <stdio.h>
#include <string.h>

#include "gateway/core/bundle.h"
#include "gateway/core/picture.h"
#include "gateway/core/settling.h"
#include "gateway/core/state.h"
#include "gateway/log.h"
#include "gateway/store/artifact_table.h"
#include "protocol/framing.h"
#include "protocol/json.h"

#define PIECE_BYTES    (256 * 1024)
#define AT_ONCE_BYTES  (16 * 1024) /* looking through so many costs less than another thread */
#define CATCH_UP_BYTES (4 * 1024 * 1024)

struct work {
    uv_work_t request;
    struct scan *scan;
    struct kernel *kernel; /* NULL: it is gone meanwhile */
    char *kernel_id;
    char *principal;  /* whose the kernel is */
    char *sandbox_id; /* "": none */
    struct shared *batch;
    uint64_t last;
    struct artifact *found;
    size_t found_count;
    struct work *next;
};

struct scan {
    struct core *core;
    struct work *first, **end; /* first is being worked on */
    size_t waiting_bytes;
    uint64_t added, finished; /* of all that ever were */
};

bool artifact_may_hold(struct bytes type)
{
    return bytes_is(type, "display_data") || bytes_is(type, "execute_result") ||
           bytes_is(type, "update_display_data");
}

static bool is_subtype(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+-_",
                    text.data[i]) ||
            text.data[i] == '\0')
            return false;
    return text.len > 0 && text.len <= 100;
}

/* How the data of a type stands in a bundle. */
enum encoding { NOT_KEPT, BASE64, TEXT, JSON };

/* The first that fits. A pattern is the whole type, or what stands before or behind its *. */
static const struct {
    const char *before, *behind; /* behind: NULL: the type is `before` */
    enum encoding encoding;
} kinds[] = {
    {"image/svg+xml", NULL, TEXT},
    {"image/", "", BASE64},
    {"audio/", "", BASE64},
    {"video/", "", BASE64},
    {"application/pdf", NULL, BASE64},
    {"text/html", NULL, TEXT},
    {"text/markdown", NULL, TEXT},
    {"text/latex", NULL, TEXT},
    {"application/json", NULL, JSON},
    {"application/geo+json", NULL, JSON},
    {"application/vnd.jupyter.", "", NOT_KEPT}, /* widgets: they are nothing without their kernel */
    {"application/vnd.", "+json", JSON},        /* plotly, vega, vega-lite, data resources */
};

static enum encoding encoding_of(struct bytes type)
{
    for (size_t i = 0; i < countof(kinds); i++) {
        struct bytes before = bytes_of(kinds[i].before), behind = bytes_of(kinds[i].behind);
        if (!kinds[i].behind && bytes_is(type, kinds[i].before))
            return kinds[i].encoding;
        if (!kinds[i].behind || type.len <= before.len + behind.len ||
            memcmp(type.data, before.data, before.len) != 0 ||
            (behind.len && memcmp(type.data + type.len - behind.len, behind.data, behind.len) != 0))
            continue;
        struct bytes rest = {type.data + before.len, type.len - before.len};
        return is_subtype(rest) ? kinds[i].encoding : NOT_KEPT;
    }
    return NOT_KEPT;
}

bool artifact_mime_wanted(struct bytes type)
{
    return encoding_of(type) != NOT_KEPT;
}

/* One that is being written: its blob, and what says how large a picture is. */
struct writing {
    struct blob *blob;
    struct picture_head head;
};

static bool write_piece(struct writing *w, struct bytes data, struct err *e)
{
    picture_head_add(&w->head, data);
    return blob_write(w->blob, data, e);
}

/* Decodes a raw base64 string into the blob, a piece at a time. */
static bool write_base64(struct writing *w, struct bytes raw, struct err *e)
{
    if (raw.len < 2 || raw.data[0] != '"')
        return fail(e, 400, "the data is not a string");
    struct bytes text = {raw.data + 1, raw.len - 2};
    struct base64 state = {0};
    scoped(buffer) struct buffer out = {0};
    while (text.len) {
        size_t len = text.len < PIECE_BYTES ? text.len : PIECE_BYTES;
        buffer_clear(&out);
        if (!base64_decode(&state, (struct bytes){text.data, len}, &out))
            return fail(e, 400, "the data is not base64");
        if (!write_piece(w, buffer_view(&out), e))
            return false;
        text = (struct bytes){text.data + len, text.len - len};
    }
    return base64_whole(&state) || fail(e, 400, "the data is not whole base64");
}

static bool write_text(struct writing *w, struct bytes raw, struct err *e)
{
    size_t len = 0;
    scoped(string) char *text = raw.len >= 2 ? json_slice_string(raw, &len) : NULL;
    if (!text)
        return fail(e, 400, "the data is not a string");
    return write_piece(w, (struct bytes){text, len}, e);
}

/* As the kernel wrote it. */
static bool write_json(struct writing *w, struct bytes raw, struct err *e)
{
    return write_piece(w, raw, e);
}

static bool store_value(const char *state_dir, struct bytes mime, struct bytes raw,
                        struct artifact *a, struct err *e)
{
    static bool (*const writers[])(struct writing *, struct bytes, struct err *) = {
        [BASE64] = write_base64, [TEXT] = write_text, [JSON] = write_json};
    struct picture picture;
    if (raw.len > ARTIFACT_LIMIT_BYTES)
        return fail(e, 413, "%zu bytes, more than the %d that are kept of one", raw.len,
                    ARTIFACT_LIMIT_BYTES);
    struct writing w = {.blob = blob_begin(state_dir, e)};
    if (!w.blob)
        return false;
    bool written = writers[encoding_of(mime)](&w, raw, e);
    if (written && mime.data[0] == 'i' && picture_look(buffer_view(&w.head.bytes), &picture)) {
        a->width = picture.width;
        a->height = picture.height;
    }
    buffer_free(&w.head.bytes);
    if (written)
        return blob_finish(w.blob, a->sha256, &a->size_bytes, e);
    blob_abandon(w.blob);
    return false;
}

static void keep(struct work *work, const struct journal_record *record, struct bytes mime,
                 struct bytes raw, const char *execution_id)
{
    struct artifact a = {
        .mime_type = xstrndup(mime.data, mime.len),
        .kernel_id = xstrdup(work->kernel_id),
        .sandbox_id = xstrdup(work->sandbox_id),
        .principal = xstrdup(work->principal),
        .execution_id = xstrdup(execution_id),
        .command_id = xstrdup(""),
        .size_bytes = (int64_t)raw.len,
        .sequence = record->sequence,
    };
    struct err e = {0};
    uuid_make(a.id);
    time_now_text(a.created);
    if (!store_value(store_dir(work->scan->core->store), mime, raw, &a, &e)) {
        a.sha256[0] = '\0';
        a.problem = xstrdup(e.text);
    }
    work->found = xrealloc(work->found, (work->found_count + 1) * sizeof(*work->found));
    work->found[work->found_count++] = a;
}

/* The bundle of a display, as it stands in its frame; data NULL: there is none. f holds it. */
static struct bytes bundle_of(const struct journal_record *record, struct framed *f)
{
    struct slice data = {.name = "data"};
    if (!framing_v1_decode(record->frame, f, NULL) ||
        !json_slices(f->message.content, &data, 1, NULL) || !json_slice_is_object(data.value))
        return (struct bytes){NULL, 0};
    return data.value;
}

/* The next of a bundle that is kept. mime is given, NULL where there is none: false. */
static bool next_kept(struct bytes *rest, char **mime, size_t *len, struct bytes *value)
{
    struct bytes name;
    while (bundle_next(rest, &name, value)) {
        *mime = json_slice_string(name, len);
        if (*mime && artifact_mime_wanted((struct bytes){*mime, *len}))
            return true;
        free(*mime);
    }
    *mime = NULL;
    return false;
}

static void scan_record(struct work *work, const struct journal_record *record)
{
    scoped(framed) struct framed f = {0};
    struct slice parent = {.name = "msg_id"};
    struct bytes rest = bundle_of(record, &f), value;
    if (!rest.data)
        return;
    size_t len = 0;
    scoped(string) char *execution = json_slices(f.message.parent, &parent, 1, NULL)
                                         ? json_slice_string(parent.value, &len)
                                         : NULL;
    char *mime;
    while (next_kept(&rest, &mime, &len, &value)) {
        keep(work, record, (struct bytes){mime, len}, value, execution ? execution : "");
        free(mime);
    }
}

static bool record_holds_some(const struct journal_record *record)
{
    scoped(framed) struct framed f = {0};
    struct bytes rest = bundle_of(record, &f), value;
    scoped(string) char *mime = NULL;
    size_t len;
    return rest.data && next_kept(&rest, &mime, &len, &value);
}

/* Most results are a short text: no thread need be woken to find nothing in them. */
static bool is_plain(struct shared *batch)
{
    struct bytes rest = shared_view(batch);
    struct journal_record record;
    if (rest.len > AT_ONCE_BYTES)
        return false;
    while (journal_next(&rest, &record))
        if (artifact_may_hold(record.msg_type) && record_holds_some(&record))
            return false;
    return true;
}

static void on_work(uv_work_t *request)
{
    struct work *work = request->data;
    struct bytes rest = shared_view(work->batch);
    struct journal_record record;
    while (journal_next(&rest, &record))
        if (artifact_may_hold(record.msg_type))
            scan_record(work, &record);
}

static void begin_next(struct scan *s);

static void pause_kernels(struct scan *s, bool paused)
{
    struct core *c = s->core;
    for (size_t i = 0; i < c->kernel_count; i++)
        if (c->kernels[i]->uplink)
            uplink_pause(c->kernels[i]->uplink, paused);
}

static void work_free(struct work *work)
{
    if (work->batch)
        shared_free(work->batch);
    free(work->kernel_id);
    free(work->principal);
    free(work->sandbox_id);
    free(work);
}

/* The first is done: its kernel's place moves, and the next one begins. */
static void finish_first(struct scan *s)
{
    struct work *work = s->first;
    s->first = work->next;
    if (!s->first)
        s->end = &s->first;
    size_t bytes = work->batch ? shared_view(work->batch).len : 0;
    bool was_high = s->waiting_bytes > SCAN_LOW_WATER_BYTES;
    s->waiting_bytes -= bytes;
    if (work->kernel)
        places_mark(work->kernel->places, PLACES_SCAN, work->last);
    work_free(work);
    s->finished++;
    if (was_high && s->waiting_bytes <= SCAN_LOW_WATER_BYTES)
        pause_kernels(s, false);
    if (s->first)
        begin_next(s);
    else
        core_check_drained(s->core);
    settling_look(s->core);
}

uint64_t scan_ticket(const struct scan *s)
{
    return s->added;
}

bool scan_passed(const struct scan *s, uint64_t ticket)
{
    return s->finished >= ticket;
}

static void on_stored(void *user, bool full, const struct err *e)
{
    struct scan *s = user;
    if (e)
        log_error("artifacts were not recorded", F_STR("why", e->text));
    if (full)
        log_warn("a kernel has all the artifacts that are kept of one",
                 F_STR("kernel", s->first->kernel_id));
    finish_first(s);
}

static void on_worked(uv_work_t *request, int status)
{
    struct work *work = request->data;
    struct scan *s = work->scan;
    (void)status;
    if (work->found_count == 0) {
        finish_first(s);
        return;
    }
    artifact_table_add(s->core->store, work->found, work->found_count, ARTIFACTS_PER_KERNEL,
                       on_stored, s);
    work->found = NULL;
}

static void begin_next(struct scan *s)
{
    struct work *work = s->first;
    work->request.data = work;
    uv_queue_work(s->core->loop, &work->request, on_work, on_worked);
}

struct scan *scan_new(struct core *c)
{
    struct scan *s = xcalloc(1, sizeof(*s));
    s->core = c;
    s->end = &s->first;
    return s;
}

bool scan_idle(const struct scan *s)
{
    return !s->first;
}

void scan_free(struct scan *s)
{
    free(s);
}

static struct work *last_work(struct scan *s, const struct kernel *k)
{
    struct work *last = NULL;
    for (struct work *work = s->first; work; work = work->next)
        if (work->kernel == k)
            last = work;
    return last;
}

void scan_add(struct scan *s, struct kernel *k, struct shared *batch, uint64_t last)
{
    if (!batch || is_plain(batch)) {
        struct work *before = s->first ? last_work(s, k) : NULL;
        if (before)
            before->last = last;
        else
            places_mark(k->places, PLACES_SCAN, last);
        return;
    }
    struct work *work = xcalloc(1, sizeof(*work));
    work->scan = s;
    work->kernel = k;
    work->kernel_id = xstrdup(k->id);
    work->principal = xstrdup(k->sandbox ? sandbox_owner(k->sandbox) : PRINCIPAL_OWNER);
    work->sandbox_id = xstrdup(k->sandbox ? sandbox_id(k->sandbox) : "");
    work->batch = shared_ref(batch);
    work->last = last;
    s->added++;
    bool idle = !s->first;
    *s->end = work;
    s->end = &work->next;
    s->waiting_bytes += shared_view(batch).len;
    if (s->waiting_bytes > SCAN_HIGH_WATER_BYTES)
        pause_kernels(s, true);
    if (idle)
        begin_next(s);
}

void scan_catch_up(struct scan *s, struct kernel *k)
{
    struct journal_cursor cursor = {.next = places_get(k->places, PLACES_SCAN) + 1};
    if (cursor.next < journal_first(k->journal))
        cursor.next = journal_first(k->journal);
    struct shared *piece;
    while ((piece = journal_read(k->journal, &cursor, CATCH_UP_BYTES, NULL))) {
        scan_add(s, k, piece, cursor.next - 1);
        shared_free(piece);
    }
}

void scan_forget(struct scan *s, struct kernel *k)
{
    for (struct work *work = s->first; work; work = work->next)
        if (work->kernel == k)
            work->kernel = NULL;
}

void artifacts_list(struct core *c, const struct principal *who, const struct artifact_query *query,
                    void (*done)(void *user, const struct artifact *list, size_t count,
                                 const struct err *e),
                    void *user)
{
    struct artifact_query own = *query;
    own.principal = principal_is_admin(who) ? NULL : who->name;
    artifact_table_list(c->store, &own, done, user);
}

void artifact_remove(struct core *c, const struct principal *who, const char *id,
                     void (*done)(void *user, const struct err *e), void *user)
{
    artifact_table_remove(c->store, id, principal_is_admin(who) ? NULL : who->name, done, user);
}

char *artifact_path(const struct core *c, const struct artifact *a)
{
    return a->sha256[0] ? blob_path(store_dir(c->store), a->sha256) : NULL;
}
