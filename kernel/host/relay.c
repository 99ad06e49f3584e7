/* Messages through the relay, both ways. Their header is looked into for the type and the ids;
 * parent, metadata, content and buffers pass byte for byte.
 *
 * Invariants: a request goes to the kernel only when its iopub has been heard; the replies and
 * input requests of the kernel go to the client whose request is their parent, everything on iopub
 * to everybody; what the relay itself asked of the kernel is seen by nobody. */
#include "kernel/host/relay.h"

#include <string.h>

#include "kernel/host/report.h"
#include "protocol/json.h"

/* What is read of a message from the kernel. Owned. */
struct about {
    char *msg_type;
    char *msg_id;
    char *parent_id; /* "" when it has no parent */
};

static void about_scoped(struct about *about)
{
    free(about->msg_type);
    free(about->msg_id);
    free(about->parent_id);
}

/* A string member as text without NUL; NULL: absent or not one. Given to the caller. */
static char *plain_text(struct bytes raw)
{
    size_t len = 0;
    char *text = raw.data ? json_slice_string(raw, &len) : NULL;
    if (!text || strlen(text) == len)
        return text;
    free(text);
    return NULL;
}

static bool look(const struct message *m, struct about *out, struct err *e)
{
    struct slice header[] = {{.name = "msg_type"}, {.name = "msg_id"}};
    struct slice parent[] = {{.name = "msg_id"}};
    if (!json_slices(m->header, header, countof(header), e))
        return false;
    if (m->parent.len && !json_slices(m->parent, parent, countof(parent), e))
        return false;
    out->msg_type = plain_text(header[0].value);
    out->msg_id = plain_text(header[1].value);
    out->parent_id = plain_text(parent[0].value);
    if (!out->parent_id)
        out->parent_id = xstrdup("");
    return (out->msg_type && out->msg_id) || fail(e, 502, "its header lacks msg_type or msg_id");
}

static bool ends_with(const char *text, const char *ending)
{
    size_t len = strlen(text), cut = strlen(ending);
    return len >= cut && strcmp(text + len - cut, ending) == 0;
}

static bool is_own(const struct relay *r, const char *msg_id)
{
    return strncmp(msg_id, r->own_session, sizeof r->own_session - 1) == 0;
}

void relay_ask(struct relay *r, enum channel channel, const char *msg_type, const char *content)
{
    struct buffer header = {0};
    header_build(&header, msg_type, r->own_session, r->plan.username);
    struct message m = {
        .channel = channel, .header = buffer_view(&header), .content = bytes_of(content)};
    m = message_completed(&m);
    client_send(r->client, &m);
    buffer_free(&header);
}

void relay_answer(struct relay *r, const struct request *request, const char *content)
{
    if (ends_with(request->msg_type, "_request"))
        publish_reply(&r->publisher, request, &(struct body){.content = bytes_of(content)});
}

void relay_answer_error(struct relay *r, const struct request *request, const char *name,
                        const char *text)
{
    struct buffer content = {0};
    buffer_add_text(&content, "{\"status\":\"error\",\"ename\":");
    json_quote(&content, bytes_of(name));
    buffer_add_text(&content, ",\"evalue\":");
    json_quote(&content, bytes_of(text));
    scoped(string) char *line = xasprintf("%s: %s", name, text);
    buffer_add_text(&content, ",\"traceback\":[");
    json_quote(&content, bytes_of(line));
    buffer_add_text(&content, "],\"execution_count\":0}");
    relay_answer(r, request, buffer_text(&content));
    buffer_free(&content);
}

/* To the kernel */

static void forward(struct relay *r, struct request *request)
{
    struct header header __attribute__((cleanup(header_scoped))) = {0};
    if (!header_parse(request->header, &header, NULL)) {
        request_release(request);
        return;
    }
    struct message m = {.channel = request->channel,
                        .header = request->header,
                        .parent = request->parent,
                        .metadata = request->metadata,
                        .content = request->content,
                        .buffers = request->buffers,
                        .buffer_count = request->buffer_count};
    m = message_completed(&m);
    client_send(r->client, &m);
    request_drop_payload(request);
    struct entry *entry = ledger_add(r->ledger, request, header.msg_id);
    entry->replied = !ends_with(header.msg_type, "_request");
    r->interrupted = false;
}

static void refuse(struct relay *r, const struct request *request)
{
    publish_status(&r->publisher, request->header, "busy");
    if (r->phase == RELAY_BROKEN)
        relay_answer_error(r, request, "KernelDied", r->broken);
    else
        relay_answer_error(r, request, "KernelEnded", "the kernel is being shut down");
    publish_status(&r->publisher, request->header, "idle");
}

void relay_dispatch(struct relay *r)
{
    while (r->queue.first) {
        if (r->phase == RELAY_STARTING || r->phase == RELAY_RESTARTING)
            return;
        struct request *request = queue_next(&r->queue);
        if (r->phase == RELAY_READY) {
            forward(r, request);
            continue;
        }
        refuse(r, request);
        request_release(request);
    }
}

/* An answer that no input_request waits for would be taken for that of the next one. */
static void take_input(struct relay *r, const struct message *m)
{
    scoped(string) char *asked = r->input_id;
    r->input_id = NULL;
    struct slice parent[] = {{.name = "msg_id"}, {.name = "msg_type"}};
    bool named = m->parent.len && json_slices(m->parent, parent, countof(parent), NULL);
    scoped(string) char *id = named ? plain_text(parent[0].value) : NULL;
    scoped(string) char *type = named ? plain_text(parent[1].value) : NULL;
    bool other =
        asked && id && type && strcmp(type, "input_request") == 0 && strcmp(id, asked) != 0;
    if (!asked || other || r->phase != RELAY_READY) {
        report_dropped("a message on stdin was dropped: it answers no input_request");
        if (other)
            r->input_id = take(&asked);
        return;
    }
    struct message whole = message_completed(m);
    client_send(r->client, &whole);
}

static void take_shutdown(struct relay *r, struct request *request)
{
    bool told = r->phase == RELAY_READY;
    if (told)
        forward(r, request);
    else
        queue_add(&r->queue, request); /* answered when the kernel has ended */
    relay_leave(r, RELAY_ENDING, told);
}

void relay_take(void *relay, struct frontend *from, const struct message *m)
{
    struct relay *r = relay;
    struct header header __attribute__((cleanup(header_scoped))) = {0};
    struct err e;
    if (!header_parse(m->header, &header, &e)) {
        report_dropped("a message on %s was dropped: %s", channel_name(m->channel), e.text);
        return;
    }
    if (m->channel == CHANNEL_IOPUB) {
        report_dropped("a message on iopub was dropped: clients publish nothing");
        return;
    }
    if (m->channel == CHANNEL_STDIN) {
        take_input(r, m);
        return;
    }
    struct request *request = request_new(from, m, header.msg_type);
    if (strcmp(header.msg_type, "shutdown_request") == 0 && r->phase != RELAY_ENDING &&
        r->phase != RELAY_BROKEN) {
        take_shutdown(r, request);
        return;
    }
    queue_add(&r->queue, request);
    relay_dispatch(r);
}

/* From the kernel */

static void to_everybody(struct relay *r, const char *msg_type, const struct message *m)
{
    struct message sent = message_completed(m);
    sent.identities = NULL;
    sent.identity_count = 0;
    for (size_t i = 0; i < r->publisher.frontend_count; i++)
        r->publisher.frontends[i]->class->send(r->publisher.frontends[i], msg_type, &sent);
}

static void to_client(const struct entry *entry, const char *msg_type, const struct message *m)
{
    const struct request *request = entry->request;
    struct message sent = message_completed(m);
    sent.identities = request->identities;
    sent.identity_count = request->identity_count;
    request->frontend->class->send(request->frontend, msg_type, &sent);
}

static void settle_if_done(struct relay *r, struct entry *entry)
{
    if (entry->replied && entry->idle_seen)
        ledger_remove(r->ledger, entry);
}

/* True: it is for the clients. */
static bool take_status(struct relay *r, const struct about *about, const struct message *m)
{
    struct slice slices[] = {{.name = "execution_state"}};
    if (is_own(r, about->parent_id) || !json_slices(m->content, slices, 1, NULL))
        return false;
    scoped(string) char *state = plain_text(slices[0].value);
    struct entry *entry = ledger_find(r->ledger, about->parent_id);
    if (!state || strcmp(state, "starting") == 0) /* the host has said so */
        return false;
    bool busy = strcmp(state, "busy") == 0;
    if (busy || strcmp(state, "idle") == 0)
        r->kernel_state = busy ? "busy" : "idle";
    if (!entry)
        return true;
    entry->begun |= busy;
    entry->idle_seen |= strcmp(state, "idle") == 0;
    settle_if_done(r, entry);
    return true;
}

static void take_published(struct relay *r, const struct about *about, const struct message *m)
{
    if (strcmp(about->msg_type, "iopub_welcome") == 0)
        return; /* to the relay's own subscription */
    if (is_own(r, about->parent_id) && ends_with(about->msg_type, "_reply"))
        return;
    if (strcmp(about->msg_type, "status") == 0 && !take_status(r, about, m))
        return;
    to_everybody(r, about->msg_type, m);
}

static void take_reply(struct relay *r, const struct about *about, const struct message *m)
{
    if (is_own(r, about->parent_id)) {
        r->answered |= strcmp(about->msg_type, "kernel_info_reply") == 0;
        return;
    }
    struct entry *entry = ledger_find(r->ledger, about->parent_id);
    if (!entry) {
        report_dropped("a reply of the kernel was dropped: nobody waits for it");
        return;
    }
    to_client(entry, about->msg_type, m);
    if (m->channel == CHANNEL_SHELL)
        free(take(&r->input_id));
    entry->replied = true;
    settle_if_done(r, entry);
}

static void take_prompt(struct relay *r, struct about *about, const struct message *m)
{
    struct entry *entry = ledger_find(r->ledger, about->parent_id);
    if (!entry) {
        report_dropped("a question of the kernel was dropped: its request is not known");
        return;
    }
    to_client(entry, about->msg_type, m);
    free(r->input_id);
    r->input_id = take(&about->msg_id);
}

static void note_signs_of_life(struct relay *r, enum channel channel)
{
    if (r->phase != RELAY_STARTING)
        return;
    r->heard |= channel == CHANNEL_IOPUB;
    if (r->answered && r->heard)
        relay_ready(r);
    else if (r->answered)
        relay_nudge_soon(r);
}

void relay_on_message(void *relay, const struct message *m)
{
    struct relay *r = relay;
    struct about about __attribute__((cleanup(about_scoped))) = {0};
    struct message with_parent = *m;
    struct err e;
    if (bytes_is(m->parent, "null")) { /* xeus has no parent that way */
        with_parent.parent = (struct bytes){0};
        m = &with_parent;
    }
    if (!look(m, &about, &e)) {
        report_dropped("a message of the kernel on %s was dropped: %s", channel_name(m->channel),
                       e.text);
        return;
    }
    if (m->channel == CHANNEL_IOPUB)
        take_published(r, &about, m);
    else if (m->channel == CHANNEL_STDIN)
        take_prompt(r, &about, m);
    else
        take_reply(r, &about, m);
    note_signs_of_life(r, m->channel);
}

bool relay_congested(void *relay)
{
    const struct relay *r = relay;
    return publisher_congested(&r->publisher);
}

void relay_relief(void *relay)
{
    struct relay *r = relay;
    if (r->client && !relay_congested(r))
        client_resume(r->client);
}
