/* An execute_request, as the messaging specification has it: counts, history, what is published,
 * and the reply. Called by request.c. Invariant: every one gets exactly one reply. */
#include <stdio.h>

#include "kernel/driver/state.h"

struct ask {
    const char *code; /* borrowed of content */
    bool silent, store, may_ask, stop;
    json_t *expressions;       /* borrowed; may be NULL */
    struct driver_place place; /* borrowed */
};

static bool read_ask(json_t *metadata, json_t *content, struct ask *a, struct err *e)
{
    json_t *ours = NULL;
    *a = (struct ask){.stop = true};
    if (!field_bool(content, "silent", OPTIONAL, &a->silent, e))
        return false;
    a->store = !a->silent;
    return field_str(content, "code", REQUIRED, &a->code, e) &&
           field_bool(content, "store_history", OPTIONAL, &a->store, e) &&
           field_bool(content, "allow_stdin", OPTIONAL, &a->may_ask, e) &&
           field_bool(content, "stop_on_error", OPTIONAL, &a->stop, e) &&
           field_object(content, "user_expressions", OPTIONAL, &a->expressions, e) &&
           field_object(metadata, "warmcell", OPTIONAL, &ours, e) &&
           (!ours || (field_object(ours, "env", OPTIONAL, &a->place.env, e) &&
                      field_str(ours, "cwd", OPTIONAL, &a->place.cwd, e)));
}

static void tell_history(struct driver *d, const char *code)
{
    char line[16];
    snprintf(line, sizeof line, "%u", d->count);
    struct bytes parts[] = {bytes_of(line), bytes_of(code), bytes_of(code)};
    driver_send(d, (struct link_frame){.kind = LINK_HISTORY,
                                       .number = d->number,
                                       .parts = parts,
                                       .part_count = countof(parts)});
}

static unsigned shown_count(const struct driver *d)
{
    return d->count ? d->count : 1;
}

static void begin(struct driver *d, const struct ask *a)
{
    if (a->silent)
        return;
    if (a->store) {
        d->count++;
        tell_history(d, a->code);
    }
    driver_publish(
        d, "execute_input",
        json_pack("{s:s, s:I}", "code", a->code, "execution_count", (json_int_t)shown_count(d)));
}

static json_t *error_content(const struct driver_outcome *out)
{
    json_t *name = driver_text(bytes_of(out->name)), *value = driver_text(bytes_of(out->value));
    json_t *traceback = out->traceback ? json_incref(out->traceback) : json_array();
    if (!out->traceback) {
        scoped(string) char *line = xasprintf("%s: %s", out->name, out->value);
        json_array_append_new(traceback, driver_text(bytes_of(line)));
    }
    return json_pack("{s:o, s:o, s:o}", "ename", name, "evalue", value, "traceback", traceback);
}

static json_t *evaluate_all(struct driver *d, const struct ask *a, struct driver_run run)
{
    json_t *answers = json_object(), *code;
    const char *name;
    json_object_foreach(a->expressions, name, code)
    {
        scoped(driver_outcome) struct driver_outcome out = {0};
        json_t *data = NULL, *answer;
        run.code = json_string_value(code);
        if (run.code)
            data = d->language->evaluate(d->self, &run, &out);
        else
            driver_fail(&out, "RequestError", "%.100s: must be a string", name);
        if (data) {
            answer = json_pack("{s:s, s:o, s:{}}", "status", "ok", "data", data, "metadata");
        } else {
            answer = error_content(&out);
            json_object_set_new(answer, "status", json_string("error"));
        }
        json_object_set_new(answers, name, answer);
    }
    return answers;
}

static void run_in_place(struct driver *d, const struct ask *a, const struct driver_run *run,
                         struct driver_outcome *out)
{
    struct err e;
    bool elsewhere = a->place.env || a->place.cwd;
    if (elsewhere && !d->language->enter(d->self, &a->place, &e)) {
        driver_fail(out, "PlaceError", "%s", e.text);
        return;
    }
    d->language->run(d->self, run, out);
    if (elsewhere)
        d->language->leave(d->self);
}

static json_t *usage(const struct driver_outcome *out)
{
    return json_pack("{s:{s:f, s:I, s:f, s:I}}", "usage", "cpu_s", out->cpu_s, "memory_peak_bytes",
                     (json_int_t)out->memory_peak_bytes, "children_cpu_s", out->children_cpu_s,
                     "children_peak_bytes", (json_int_t)out->children_peak_bytes);
}

void driver_execute(struct driver *d, uint64_t number, json_t *metadata, json_t *content)
{
    scoped(driver_outcome) struct driver_outcome out = {0};
    struct ask ask;
    struct err e;
    struct driver_reply reply = {.number = number};
    json_t *expressions = NULL;
    d->number = number;
    if (read_ask(metadata, content, &ask, &e)) {
        begin(d, &ask);
        struct driver_run run = {number, ask.code, d->count, ask.silent, ask.may_ask};
        run_in_place(d, &ask, &run, &out);
        if (out.end == DRIVER_OK)
            expressions = evaluate_all(d, &ask, run);
    } else {
        driver_fail(&out, "RequestError", "%s", e.text);
    }
    if (out.end == DRIVER_ERROR) {
        reply.content = error_content(&out);
        driver_publish(d, "error", json_incref(reply.content));
        json_object_set_new(reply.content, "status", json_string("error"));
        reply.flags = ask.stop ? LINK_FLAG_ABORT_QUEUE : 0;
    } else {
        reply.content = json_pack("{s:s, s:o, s:[]}", "status", "ok", "user_expressions",
                                  expressions ? expressions : json_object(), "payload");
    }
    if (out.end == DRIVER_EXIT)
        driver_exit(d, out.status);
    json_object_set_new(reply.content, "execution_count", json_integer(shown_count(d)));
    reply.metadata = usage(&out);
    driver_reply(d, &reply);
}
