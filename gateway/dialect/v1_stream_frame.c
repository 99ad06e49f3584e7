/* Frames of clients: one table says which members an op needs and which it may have.
 *
 * Invariant: what a frame does not need may still be there; it is then not looked at. */
#include "gateway/dialect/v1_stream_frame.h"

#include <stdio.h>
#include <string.h>

#include "protocol/json.h"
#include "protocol/memory.h"

#define EXECUTIONS "/v1/sandboxes/{id}/executions"
#define COMMANDS   "/v1/sandboxes/{id}/commands"

enum member {
    IN_SANDBOX = 1,
    OF_EXECUTION = 2,
    OF_COMMAND = 4,
    OF_ONE = 8, /* of an execution or of a command */
    OF_CALL = 16,
    WITH_BODY = 32,
};

static const struct row {
    const char *name;
    unsigned needs;
    const char *route;
} rows[FRAME_OPS] = {
    [FRAME_RUN] = {"run", IN_SANDBOX | WITH_BODY, EXECUTIONS},
    [FRAME_COMMAND] = {"command", IN_SANDBOX | WITH_BODY, COMMANDS},
    [FRAME_SUBSCRIBE] = {"subscribe", IN_SANDBOX | OF_ONE, NULL},
    [FRAME_UNSUBSCRIBE] = {"unsubscribe", OF_CALL, NULL},
    [FRAME_INPUT] = {"input", IN_SANDBOX | OF_EXECUTION | WITH_BODY,
                     EXECUTIONS "/{execution}/input"},
    [FRAME_CANCEL] = {"cancel", IN_SANDBOX | OF_EXECUTION, EXECUTIONS "/{execution}/cancel"},
    [FRAME_INTERRUPT] = {"interrupt", IN_SANDBOX, "/v1/sandboxes/{id}/interrupt"},
    [FRAME_STDIN] = {"stdin", IN_SANDBOX | OF_COMMAND | WITH_BODY, COMMANDS "/{command}/stdin"},
    [FRAME_SIGNAL] = {"signal", IN_SANDBOX | OF_COMMAND | WITH_BODY, COMMANDS "/{command}/signal"},
    [FRAME_PING] = {"ping", 0, NULL},
};

const char *v1_frame_op_name(enum v1_frame_op op)
{
    return rows[op].name;
}

const char *v1_frame_op_route(enum v1_frame_op op)
{
    return rows[op].route;
}

static bool read_id(struct v1_frame *f, struct err *e)
{
    const char *id = NULL;
    if (!field_str(f->json, "id", REQUIRED, &id, e))
        return false;
    if (!*id || strlen(id) > V1_FRAME_ID_LIMIT)
        return fail(e, 400, "id: must be 1 to %d bytes long", V1_FRAME_ID_LIMIT);
    memcpy(f->id, id, strlen(id) + 1);
    return true;
}

static bool read_op(struct v1_frame *f, struct err *e)
{
    const char *name = NULL;
    if (!field_str(f->json, "op", REQUIRED, &name, e))
        return false;
    for (size_t i = 0; i < countof(rows); i++) {
        if (strcmp(rows[i].name, name) == 0) {
            f->op = (enum v1_frame_op)i;
            return true;
        }
    }
    return fail(e, 400, "op: \"%.40s\" is none", name);
}

static enum presence needed(const struct v1_frame *f, enum member member)
{
    return rows[f->op].needs & member ? REQUIRED : OPTIONAL;
}

static bool read_members(struct v1_frame *f, struct err *e)
{
    int64_t after = 0;
    if (!field_str(f->json, "sandbox", needed(f, IN_SANDBOX), &f->sandbox, e) ||
        !field_str(f->json, "execution", needed(f, OF_EXECUTION), &f->execution, e) ||
        !field_str(f->json, "command", needed(f, OF_COMMAND), &f->command, e) ||
        !field_str(f->json, "of", needed(f, OF_CALL), &f->of, e) ||
        !field_object(f->json, "body", needed(f, WITH_BODY), &f->body, e) ||
        !field_str(f->json, "context", OPTIONAL, &f->context, e) ||
        !field_str(f->json, "key", OPTIONAL, &f->key, e) ||
        !field_str(f->json, "traceparent", OPTIONAL, &f->traceparent, e) ||
        !field_str(f->json, "encoding", OPTIONAL, &f->encoding, e) ||
        !field_int(f->json, "after", OPTIONAL, 0, INT64_MAX - 1, &after, e))
        return false;
    f->after = (uint64_t)after;
    if ((rows[f->op].needs & OF_ONE) && !f->execution == !f->command)
        return fail(e, 400, "either execution or command is required");
    return true;
}

bool v1_frame_read(struct bytes text, struct v1_frame *out, struct err *e)
{
    struct slice body = {.name = "body"};
    *out = (struct v1_frame){0};
    out->json = json_parse_object(text, "frame", V1_FRAME_LIMIT_BYTES, e);
    if (!out->json || !read_id(out, e) || !read_op(out, e) || !read_members(out, e))
        return false;
    if (out->key && out->body) {
        if (!json_slices(text, &body, 1, e))
            return false;
        out->body_text = body.value;
    }
    return true;
}

void v1_frame_free(struct v1_frame *f)
{
    json_decref(f->json);
    *f = (struct v1_frame){0};
}
