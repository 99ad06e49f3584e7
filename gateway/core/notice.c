/* Builds the gateway's own messages. Used when kernels die, restart, or a log was too small. */
#include "gateway/core/notice.h"

#include "protocol/framing.h"
#include "protocol/json.h"

#define USERNAME "warmcell"

static void add(struct buffer *out, enum channel channel, const char *msg_type, const char *session,
                struct bytes parent, struct bytes metadata, const struct buffer *content)
{
    scoped(buffer) struct buffer header = {0};
    header_build(&header, msg_type, session, USERNAME);
    const struct message m = {
        .channel = channel,
        .header = buffer_view(&header),
        .parent = parent.len ? parent : bytes_of("{}"),
        .metadata = metadata.len ? metadata : bytes_of("{}"),
        .content = buffer_view(content),
    };
    framing_v1_encode(&m, out);
}

static void add_member(struct buffer *content, const char *before, const char *text)
{
    buffer_add_text(content, before);
    json_quote(content, bytes_of(text));
}

void notice_status(struct buffer *out, const char *session, struct bytes parent, const char *state)
{
    scoped(buffer) struct buffer content = {0};
    add_member(&content, "{\"execution_state\":", state);
    buffer_add_text(&content, "}");
    add(out, CHANNEL_IOPUB, "status", session, parent, (struct bytes){0}, &content);
}

void notice_end(struct buffer *out, const char *session, const char *state, const char *cause,
                const char *reason)
{
    scoped(buffer) struct buffer content = {0}, metadata = {0};
    add_member(&content, "{\"execution_state\":", state);
    buffer_add_text(&content, "}");
    add_member(&metadata, "{\"warmcell\":{\"cause\":", cause ? cause : "");
    add_member(&metadata, ",\"reason\":", reason ? reason : "");
    buffer_add_text(&metadata, "}}");
    add(out, CHANNEL_IOPUB, "status", session, (struct bytes){0}, buffer_view(&metadata), &content);
}

void notice_stream(struct buffer *out, const char *session, struct bytes parent, const char *text)
{
    scoped(buffer) struct buffer content = {0};
    add_member(&content, "{\"name\":\"stderr\",\"text\":", text);
    buffer_add_text(&content, "}");
    add(out, CHANNEL_IOPUB, "stream", session, parent, (struct bytes){0}, &content);
}

static void add_error(struct buffer *content, const char *name, const char *value)
{
    scoped(string) char *line = xasprintf("%s: %s", name, value);
    add_member(content, "\"ename\":", name);
    add_member(content, ",\"evalue\":", value);
    add_member(content, ",\"traceback\":[", line);
    buffer_add_text(content, "]}");
}

void notice_error(struct buffer *out, const char *session, struct bytes parent, const char *name,
                  const char *value)
{
    scoped(buffer) struct buffer content = {0};
    buffer_add_text(&content, "{");
    add_error(&content, name, value);
    add(out, CHANNEL_IOPUB, "error", session, parent, (struct bytes){0}, &content);
}

void notice_lost_reply(struct buffer *out, const char *session, struct bytes parent,
                       const char *reply_type, const char *channel, const char *name,
                       const char *value)
{
    enum channel place = CHANNEL_SHELL;
    channel_parse(bytes_of(channel), &place);
    scoped(buffer) struct buffer content = {0};
    buffer_add_text(&content, "{\"status\":\"error\",\"execution_count\":null,\"payload\":[],");
    add_error(&content, name, value);
    bool execution = strcmp(reply_type, "execute_reply") == 0;
    add(out, place, reply_type, session, parent,
        bytes_of(execution ? "{\"warmcell\":{\"outcome\":\"killed\",\"state_retained\":false}}"
                           : "{}"),
        &content);
}
