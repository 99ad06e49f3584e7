/* The list of open requests. kernel.c adds what clients send, removes what is answered, and turns
 * what is left into errors when a host dies. */
#include "gateway/core/request.h"

#include "protocol/json.h"

void request_free(struct request *request)
{
    if (!request)
        return;
    free(request->msg_id);
    free(request->msg_type);
    free(request->identity);
    free(request->header);
    free(request);
}

static void remove_at(struct requests *r, struct request **place)
{
    struct request *request = *place;
    *place = request->next;
    if (r->end == &request->next)
        r->end = place;
    r->count--;
    r->bytes -= strlen(request->header);
}

bool requests_awaited(const struct requests *r, const char *msg_type)
{
    for (const struct request *request = r->first; request; request = request->next)
        if (strcmp(request->msg_type, msg_type) == 0)
            return true;
    return false;
}

struct request *requests_take(struct requests *r)
{
    struct request *request = r->first;
    if (request) {
        remove_at(r, &r->first);
        request->next = NULL;
    }
    return request;
}

void requests_clear(struct requests *r)
{
    struct request *request;
    while ((request = requests_take(r)))
        request_free(request);
}

static bool is_request(const char *msg_type)
{
    size_t len = strlen(msg_type);
    return len > 8 && strcmp(msg_type + len - 8, "_request") == 0;
}

bool requests_add(struct requests *r, const char *identity, const struct message *m, struct err *e)
{
    if (m->header.len > HEADER_LIMIT_BYTES)
        return fail(e, 400, "header: larger than %d bytes", HEADER_LIMIT_BYTES);
    struct slice slices[] = {{.name = "msg_id"}, {.name = "msg_type"}};
    if (!json_slices(m->header, slices, countof(slices), e))
        return false;
    size_t len;
    scoped(string) char *msg_id = json_slice_string(slices[0].value, &len);
    scoped(string) char *msg_type = json_slice_string(slices[1].value, &len);
    if (!msg_id || !msg_type)
        return fail(e, 400, "header: %s: must be a string", msg_id ? "msg_type" : "msg_id");
    if (!is_request(msg_type))
        return true;
    struct request *request = xcalloc(1, sizeof(*request));
    request->msg_id = take(&msg_id);
    request->msg_type = take(&msg_type);
    request->identity = xstrdup(identity);
    request->header = xstrndup(m->header.data, m->header.len);
    request->channel = m->channel;
    if (!r->first)
        r->end = &r->first;
    *r->end = request;
    r->end = &request->next;
    r->count++;
    r->bytes += strlen(request->header);
    while (r->count > REQUESTS_LIMIT || r->bytes > REQUESTS_LIMIT_BYTES)
        request_free(requests_take(r));
    return true;
}

void requests_answered(struct requests *r, struct bytes parent)
{
    struct slice slice = {.name = "msg_id"};
    size_t len;
    if (!r->first || !json_slices(parent, &slice, 1, NULL))
        return;
    scoped(string) char *msg_id = json_slice_string(slice.value, &len);
    for (struct request **place = &r->first; msg_id && *place; place = &(*place)->next)
        if (strcmp((*place)->msg_id, msg_id) == 0) {
            struct request *request = *place;
            remove_at(r, place);
            request_free(request);
            return;
        }
}
