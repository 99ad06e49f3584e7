/* Messages of the kernel: header, parent, body, in the order of the protocol. Every message of the
 * host and of its interpreter goes through here, and stream text never overtakes or is overtaken.
 */
#include "kernel/host/publish.h"

#include <stdio.h>

#include "protocol/json.h"

#define STREAM_LIMIT_BYTES (128 * 1024)
#define TYPE_TEXT          80

void publisher_init(struct publisher *p, const char *username)
{
    *p = (struct publisher){.username = username};
    publisher_new_session(p);
}

void publisher_add(struct publisher *p, struct frontend *frontend)
{
    p->frontends[p->frontend_count++] = frontend;
}

void publisher_new_session(struct publisher *p)
{
    publish_flush(p);
    uuid_make(p->session);
}

void publisher_free(struct publisher *p)
{
    buffer_free(&p->header);
    buffer_free(&p->stream_text);
    buffer_free(&p->stream_content);
}

static struct bytes or_empty_object(struct bytes json)
{
    return json.len ? json : bytes_of("{}");
}

static struct message message_of(struct publisher *p, enum channel channel, struct bytes parent,
                                 const char *msg_type, const struct body *body)
{
    buffer_clear(&p->header);
    header_build(&p->header, msg_type, p->session, p->username);
    return (struct message){
        .channel = channel,
        .header = buffer_view(&p->header),
        .parent = or_empty_object(parent),
        .metadata = or_empty_object(body->metadata),
        .content = or_empty_object(body->content),
        .buffers = body->buffers,
        .buffer_count = body->buffer_count,
    };
}

static void to_everybody(struct publisher *p, struct bytes parent, const char *msg_type,
                         const struct body *body)
{
    struct message m = message_of(p, CHANNEL_IOPUB, parent, msg_type, body);
    for (size_t i = 0; i < p->frontend_count; i++)
        p->frontends[i]->class->send(p->frontends[i], msg_type, &m);
}

void publish(struct publisher *p, struct bytes parent, const char *msg_type,
             const struct body *body)
{
    publish_flush(p);
    to_everybody(p, parent, msg_type, body);
}

void publish_status(struct publisher *p, struct bytes parent, const char *state)
{
    char content[64];
    int len = snprintf(content, sizeof content, "{\"execution_state\":\"%s\"}", state);
    publish(p, parent, "status", &(struct body){.content = {content, (size_t)len}});
}

void publish_starting(struct publisher *p, uint64_t generation)
{
    scoped(buffer) struct buffer metadata = {0};
    buffer_printf(&metadata, "{\"warmcell\":{\"generation\":%llu}}",
                  (unsigned long long)generation);
    publish(p, (struct bytes){0}, "status",
            &(struct body){.metadata = buffer_view(&metadata),
                           .content = bytes_of("{\"execution_state\":\"starting\"}")});
}

void publish_restarting(struct publisher *p, enum cause cause, const char *reason)
{
    scoped(buffer) struct buffer metadata = {0};
    buffer_printf(&metadata, "{\"warmcell\":{\"cause\":\"%s\",\"reason\":", cause_word(cause));
    json_quote(&metadata, bytes_of(reason));
    buffer_add_text(&metadata, "}}");
    publish(p, (struct bytes){0}, "status",
            &(struct body){.metadata = buffer_view(&metadata),
                           .content = bytes_of("{\"execution_state\":\"restarting\"}")});
}

void publish_stream(struct publisher *p, uint64_t number, struct bytes parent, const char *name,
                    struct bytes text)
{
    if (p->stream_text.len && (number != p->stream_number || name != p->stream_name ||
                               p->stream_text.len + text.len > STREAM_LIMIT_BYTES))
        publish_flush(p);
    p->stream_number = number;
    p->stream_parent = parent;
    p->stream_name = name;
    buffer_add_bytes(&p->stream_text, text);
}

void publish_flush(struct publisher *p)
{
    if (p->stream_text.len == 0)
        return;
    struct buffer *content = &p->stream_content;
    buffer_clear(content);
    buffer_printf(content, "{\"name\":\"%s\",\"text\":", p->stream_name);
    json_quote(content, buffer_view(&p->stream_text));
    buffer_add_text(content, "}");
    buffer_clear(&p->stream_text);
    to_everybody(p, p->stream_parent, "stream", &(struct body){.content = buffer_view(content)});
}

void publish_to(struct publisher *p, const struct request *request, enum channel channel,
                const char *msg_type, const struct body *body)
{
    publish_flush(p);
    struct message m = message_of(p, channel, request->header, msg_type, body);
    m.identities = request->identities;
    m.identity_count = request->identity_count;
    request->frontend->class->send(request->frontend, msg_type, &m);
}

void publish_reply(struct publisher *p, const struct request *request, const struct body *body)
{
    static const char ending[] = "_request";
    char type[TYPE_TEXT];
    size_t len = strlen(request->msg_type);
    size_t cut = sizeof ending - 1;
    if (len > cut && strcmp(request->msg_type + len - cut, ending) == 0)
        len -= cut;
    snprintf(type, sizeof type, "%.*s_reply", (int)len, request->msg_type);
    publish_to(p, request, request->channel, type, body);
}

bool publisher_congested(const struct publisher *p)
{
    for (size_t i = 0; i < p->frontend_count; i++)
        if (p->frontends[i]->class->congested(p->frontends[i]))
            return true;
    return false;
}
