/* Calls: how each is made, gathers what it says into frames, and ends. */
#include <stdio.h>
#include <string.h>

#include "gateway/dialect/v1_stream.h"
#include "protocol/json.h"

struct v1_call *v1_call_new(struct v1_socket *s, const struct v1_frame *f)
{
    struct v1_call *c = xcalloc(1, sizeof(*c));
    memcpy(c->id, f->id, sizeof(c->id));
    c->route = v1_frame_op_route(f->op);
    snprintf(c->sandbox, sizeof(c->sandbox), "%s", f->sandbox ? f->sandbox : "");
    c->socket = s;
    list_init(&c->waiting);
    list_init(&c->link);
    list_add(&s->calls, &c->link);
    s->untaken++;
    return c;
}

struct v1_call *v1_call_find(const struct v1_socket *s, const char *id)
{
    list_each(&s->calls, link)
    {
        struct v1_call *c = list_owner(link, struct v1_call, link);
        if (strcmp(c->id, id) == 0)
            return c;
    }
    return NULL;
}

static void call_free(struct v1_call *c)
{
    buffer_free(&c->out);
    buffer_free(&c->given);
    free(c);
}

bool v1_call_back(struct v1_call *c)
{
    c->owed--;
    if (c->socket)
        return true;
    if (!c->owed)
        call_free(c);
    return false;
}

/* Notes what became of what was asked for, once. */
static void note(struct v1_call *c, int status)
{
    if (c->route)
        websocket_audit(c->socket->socket, "POST", c->route, c->sandbox, status);
    c->route = NULL;
}

/* Nothing comes from it any more. */
static void end(struct v1_call *c)
{
    list_remove(&c->link);
    list_remove(&c->waiting);
    c->socket = NULL;
    execution_follow_close(take(&c->follower));
    command_watch_close(take(&c->watch));
    execution_release(take(&c->execution));
    if (!c->owed)
        call_free(c);
}

void v1_call_drop(struct v1_call *c)
{
    c->socket->untaken--;
    note(c, 202); /* nobody waits for more */
    end(c);
}

static void add_id(struct buffer *out, const struct v1_call *c)
{
    buffer_add_text(out, "{\"id\":");
    json_quote(out, bytes_of(c->id));
}

void v1_call_done(struct v1_call *c, const char *members)
{
    struct buffer frame = {0};
    add_id(&frame, c);
    buffer_printf(&frame, "%s,\"done\":true}", members);
    note(c, 200);
    v1_socket_send(c->socket, &frame, true, false);
    end(c);
}

void v1_call_fail(struct v1_call *c, const struct err *e)
{
    struct buffer frame = {0};
    note(c, e->status);
    add_id(&frame, c);
    buffer_add_text(&frame, ",\"problem\":");
    exchange_problem(&frame, e);
    buffer_add_text(&frame, ",\"done\":true}");
    if (c->out.len)
        v1_call_send(c);
    v1_socket_send(c->socket, &frame, true, false);
    end(c);
}

/* --- events */

/* {"id":"1","execution":"…","events":[ */
static void begin_frame(struct v1_call *c)
{
    note(c, 200);
    add_id(&c->out, c);
    if (!c->named && c->execution)
        buffer_printf(&c->out, ",\"execution\":\"%s\"", execution_id(c->execution));
    if (!c->named && c->run)
        buffer_printf(&c->out, ",\"command\":\"%s\"", command_run_id(c->run));
    c->named = true;
    buffer_add_text(&c->out, ",\"events\":[");
}

struct buffer *v1_call_event(struct v1_call *c)
{
    if (c->out.len)
        buffer_add_text(&c->out, ",");
    else
        begin_frame(c);
    return &c->out;
}

void v1_call_send(struct v1_call *c)
{
    if (!c->out.len)
        begin_frame(c);
    buffer_add_text(&c->out, "]}");
    v1_socket_send(c->socket, &c->out, false, false);
}

void v1_call_finish(struct v1_call *c)
{
    if (!c->out.len)
        begin_frame(c);
    buffer_add_text(&c->out, "],\"done\":true}");
    v1_socket_send(c->socket, &c->out, true, false);
    end(c);
}

void v1_call_wait(struct v1_call *c)
{
    if (list_empty(&c->waiting))
        list_add(&c->socket->waiting, &c->waiting);
}
