/* run, and subscribe to an execution: its events, gathered into a frame while more of them are
 * there.
 *
 * Invariant: nothing is told of an execution that is not stored. One that ends before that is told
 * of in one frame. */
#include "gateway/dialect/members.h"
#include "gateway/dialect/v1.h"
#include "gateway/dialect/v1_executions.h"
#include "gateway/dialect/v1_docs.h"
#include "gateway/dialect/v1_stream.h"
#include "gateway/net/trace.h"

static void pass_on(struct v1_call *c)
{
    if (c->out.len && !c->held && !v1_socket_full(c->socket))
        v1_call_send(c);
}

static bool on_event(void *user, const struct execution_event *event)
{
    struct v1_call *c = user;
    v1_event_write(event, v1_call_event(c));
    if (c->held && !bytes_is(event->msg_type, "execute_input"))
        c->hurried = true; /* it says something: not to be kept back for long */
    if (c->out.len < V1_PIECE_BYTES)
        return true;
    pass_on(c);
    if (c->held)
        return false;
    if (!c->out.len && !v1_socket_full(c->socket))
        return true;
    v1_call_wait(c);
    return false;
}

static void on_pause(void *user)
{
    struct v1_call *c = user;
    pass_on(c);
    if (c->held && c->hurried)
        execution_hurry(c->execution);
    if (c->out.len && !c->held)
        v1_call_wait(c);
}

static void on_end(void *user, const struct err *e)
{
    struct v1_call *c = user;
    c->follower = NULL;
    if (e) {
        v1_call_fail(c, e);
        return;
    }
    if (execution_events_count(c->execution) > c->after)
        v1_event_write_end(c->execution, v1_call_event(c));
    v1_call_finish(c);
}

/* The client has room. */
static void resume(struct v1_call *c)
{
    pass_on(c);
    execution_follow_on(c->follower);
}

static void follow(struct v1_call *c)
{
    static const struct follower_events events = {on_event, on_pause, on_end};
    struct err e = {0};
    c->resume = resume;
    c->follower = execution_follow(c->execution, c->after, &events, c, &e);
    if (c->follower)
        execution_follow_on(c->follower);
    else
        v1_call_fail(c, &e);
}

/* --- run */

static void on_stored(void *user, const struct err *e)
{
    struct v1_call *c = user;
    if (!v1_call_back(c))
        return;
    c->held = false;
    if (e) {
        v1_call_fail(c, e);
        return;
    }
    if (execution_ended(c->execution) && c->out.len < V1_PIECE_BYTES)
        return; /* its end is told at once, with what is gathered */
    v1_call_send(c);
    if (c->follower)
        resume(c);
}

static void on_created(void *user, struct execution *execution, const struct err *e)
{
    struct v1_call *c = user;
    if (!v1_call_back(c))
        return;
    if (e) {
        v1_call_fail(c, e);
        return;
    }
    c->execution = execution_keep(execution);
    c->held = true;
    c->owed += 2; /* what follows may end the call */
    follow(c);
    execution_await(execution, EXECUTION_STORED_SOON, on_stored, c);
    v1_call_back(c);
}

void v1_stream_run(struct v1_call *c, const struct v1_frame *f)
{
    struct err e = {0};
    bool detach = false;
    struct execution_request request = {.store_history = true,
                                        .key = f->key,
                                        .body = f->body_text,
                                        .traceparent = trace_parent(f->traceparent)};
    struct sandbox *s = v1_call_sandbox(c, f, true);
    if (!s)
        return;
    if (!members_check(f->body, &v1_execution_request_schema, &e) ||
        !v1_execution_request_read(f->body, &request, &detach, &e) ||
        (json_object_get(f->body, "items") && !fail(&e, 400, "items: not here; send them")) ||
        (detach && !fail(&e, 400, "detach: unsubscribe instead"))) {
        v1_call_fail(c, &e);
        return;
    }
    c->after = f->after;
    c->owed++;
    executions_create(s, &request, on_created, c);
}

/* --- subscribe */

static void on_found(void *user, struct execution *execution, const struct err *e)
{
    struct v1_call *c = user;
    if (!v1_call_back(c))
        return;
    if (!execution) {
        v1_call_fail(c, e);
        return;
    }
    c->execution = execution_keep(execution);
    follow(c);
}

void v1_stream_subscribe(struct v1_call *c, const struct v1_frame *f)
{
    if (f->command) {
        v1_stream_subscribe_command(c, f);
        return;
    }
    struct sandbox *s = v1_call_sandbox(c, f, true);
    if (!s)
        return;
    c->after = f->after;
    c->owed++;
    executions_find(s, f->execution, on_found, c);
}
