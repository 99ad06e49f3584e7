/* stdin: the interpreter asks, the client of the running request answers, anything else is stale.
 */
#include "kernel/host/kernel.h"

#include "kernel/host/report.h"
#include "protocol/json.h"

static char *string_member(struct bytes json, const char *name)
{
    struct slice slices[] = {{.name = name}};
    size_t len;
    if (!json_slices(json, slices, 1, NULL) || !slices[0].value.data)
        return NULL;
    return json_slice_string(slices[0].value, &len);
}

void input_forget(struct kernel *k)
{
    k->input_number = 0;
    free(take(&k->input_id));
}

void input_ask(struct kernel *k, uint64_t number, struct bytes content)
{
    if (!k->running || k->running->number != number) {
        report_dropped("the interpreter asked for input for a request that does not run");
        return;
    }
    input_forget(k);
    publish_to(&k->publisher, k->running, CHANNEL_STDIN, "input_request",
               &(struct body){.content = content});
    k->input_number = number;
    k->input_id = string_member(buffer_view(&k->publisher.header), "msg_id");
}

/* A reply that names another input_request than the one that is pending is late. Many clients name
 * none. */
static bool is_stale(const struct kernel *k, const struct message *m)
{
    if (k->input_number == 0)
        return true;
    scoped(string) char *parent_id = m->parent.len ? string_member(m->parent, "msg_id") : NULL;
    scoped(string) char *parent_type = m->parent.len ? string_member(m->parent, "msg_type") : NULL;
    return parent_id && parent_type && strcmp(parent_type, "input_request") == 0 &&
           strcmp(parent_id, k->input_id) != 0;
}

void input_take(struct kernel *k, const struct message *m)
{
    struct header header __attribute__((cleanup(header_scoped))) = {0};
    struct err e;
    if (!header_parse(m->header, &header, &e)) {
        report_dropped("a message on stdin was dropped: %s", e.text);
        return;
    }
    struct slice slices[] = {{.name = "value"}};
    size_t len = 0;
    scoped(string) char *value = NULL;
    if (strcmp(header.msg_type, "input_reply") == 0 && json_slices(m->content, slices, 1, &e) &&
        slices[0].value.data)
        value = json_slice_string(slices[0].value, &len);
    if (!value || is_stale(k, m)) {
        report_dropped("a message on stdin was dropped: it answers no input_request");
        return;
    }
    struct bytes part = {value, len};
    interpreter_send(k->interpreter, &(struct link_frame){.kind = LINK_INPUT,
                                                          .number = k->input_number,
                                                          .parts = &part,
                                                          .part_count = 1});
    input_forget(k);
}
