/* The requests that a driver answers, one table. Called by driver.c. Invariant: what is not in the
 * table gets DONE; every other one a reply. */
#include <stdio.h>

#include "kernel/driver/state.h"

struct question {
    struct driver *d;
    uint64_t number;
    json_t *metadata, *content; /* borrowed */
};

static void execute(const struct question *q)
{
    driver_execute(q->d, q->number, q->metadata, q->content);
}

/* content is taken; status is added. */
static void answer_ok(const struct question *q, json_t *content)
{
    if (!json_object_get(content, "status"))
        json_object_set_new(content, "status", json_string("ok"));
    driver_reply(q->d, &(struct driver_reply){.number = q->number, .content = content});
}

static void answer_error(const struct question *q, const struct err *e)
{
    driver_reply(q->d, &(struct driver_reply){.number = q->number,
                                              .content = json_pack("{s:s, s:s, s:s, s:[s]}",
                                                                   "status", "error", "ename",
                                                                   "RequestError", "evalue",
                                                                   e->text, "traceback", e->text)});
}

static bool read_question(const struct question *q, struct driver_question *out, struct err *e)
{
    int64_t cursor = INT64_MAX, detail = 0;
    if (!field_str(q->content, "code", REQUIRED, &out->code, e) ||
        !field_int(q->content, "cursor_pos", OPTIONAL, 0, INT64_MAX, &cursor, e) ||
        !field_int(q->content, "detail_level", OPTIONAL, 0, 1, &detail, e))
        return false;
    out->cursor = driver_bytes_at(out->code, cursor);
    out->detail = (int)detail;
    return true;
}

static void complete(const struct question *q)
{
    struct driver_question asked;
    struct err e;
    if (!read_question(q, &asked, &e)) {
        answer_error(q, &e);
        return;
    }
    size_t start = asked.cursor, end = asked.cursor;
    json_t *matches = q->d->language->complete(q->d->self, &asked, &start, &end);
    answer_ok(q, json_pack("{s:o, s:I, s:I, s:{}}", "matches", matches, "cursor_start",
                           (json_int_t)driver_points_at(asked.code, start), "cursor_end",
                           (json_int_t)driver_points_at(asked.code, end), "metadata"));
}

static void inspect(const struct question *q)
{
    struct driver_question asked;
    struct err e;
    if (!read_question(q, &asked, &e)) {
        answer_error(q, &e);
        return;
    }
    json_t *data = q->d->language->inspect(q->d->self, &asked);
    answer_ok(q, json_pack("{s:b, s:o, s:{}}", "found", data != NULL, "data",
                           data ? data : json_object(), "metadata"));
}

static void is_complete(const struct question *q)
{
    const char *code;
    struct err e;
    if (field_str(q->content, "code", REQUIRED, &code, &e))
        answer_ok(q, q->d->language->is_whole(q->d->self, code));
    else
        answer_error(q, &e);
}

static void comm_info(const struct question *q)
{
    answer_ok(q, json_pack("{s:{}}", "comms"));
}

static const struct {
    const char *type;
    void (*answer)(const struct question *q);
} requests[] = {
    {"execute_request", execute},     {"complete_request", complete},
    {"inspect_request", inspect},     {"is_complete_request", is_complete},
    {"comm_info_request", comm_info},
};

void driver_answer(struct driver *d, const struct lane_frame *frame)
{
    for (size_t i = 0; frame->part_count >= 4 && i < countof(requests); i++) {
        if (!bytes_is(frame->parts[0], requests[i].type))
            continue;
        struct err e = {0};
        scoped(json) json_t *metadata =
            json_parse_object(frame->parts[2], "metadata", LINK_LIMIT_BYTES, &e);
        scoped(json) json_t *content =
            metadata ? json_parse_object(frame->parts[3], "content", LINK_LIMIT_BYTES, &e) : NULL;
        struct question q = {d, frame->number, metadata, content};
        if (content)
            requests[i].answer(&q);
        else
            answer_error(&q, &e);
        return;
    }
    driver_send(d, (struct link_frame){.kind = LINK_DONE, .number = frame->number});
}
