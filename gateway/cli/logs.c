/* `warmcell logs`: what a command or an execution put out, from its beginning; with --follow also
 * what is still to come. */
#include <stdio.h>
#include <string.h>

#include "gateway/cli/cli.h"
#include "gateway/cli/follow.h"
#include "gateway/cli/output.h"
#include "gateway/cli/sandbox.h"
#include "gateway/net/url.h"
#include "protocol/json.h"

struct logs_options {
    struct cli_options common;
    bool follow;
};

static const struct option rows[] = {
    CLI_ROWS,
    {"follow", OPTION_BOOL, offsetof(struct logs_options, follow), NULL,
     .help = "go on to its end, as it comes (-f)", .flag_only = true},
};

struct reader {
    const struct cli *cli;
    char *path; /* of the command or the execution; owned */
    struct follow follow;
};

static bool show(const struct reader *r, const json_t *event, struct bytes line, struct err *e)
{
    const char *kind = json_string_value(json_object_get(event, "kind")); /* of a command */
    if (r->cli->json)
        return output_line(line, e);
    if (!kind)
        return output_execution(event, e);
    return (strcmp(kind, "stdout") != 0 && strcmp(kind, "stderr") != 0) ||
           output_event(event, kind, e);
}

static bool on_event(void *user, json_t *event, struct bytes line, struct err *e)
{
    struct reader *r = user;
    const char *kind = json_string_value(json_object_get(event, "kind"));
    const char *type = json_string_value(json_object_get(event, "type"));
    const char *detail = json_string_value(json_object_get(event, "detail"));
    bool problem = type && strcmp(type, "problem") == 0;
    if (problem && json_integer_value(json_object_get(event, "status")) != 503)
        return fail(e, CLI_FAILED, "%s", detail ? detail : "the events broke off");
    if (!problem && !show(r, event, line, e))
        return false;
    r->follow.ended = (kind && strcmp(kind, "end") == 0) || (type && strcmp(type, "end") == 0);
    return true;
}

static bool read_stream(struct reader *r, const char *query, struct err *e)
{
    const struct logs_options *o = r->cli->options;
    scoped(string) char *path = xasprintf("%s/events%s", r->path, query);
    const struct call_request request = {
        .method = "GET", .path = path, .accept = "application/x-ndjson"};
    scoped(call) struct call *c = call_send(r->cli->target, &request, e);
    if (!c || !call_accepted(c, e))
        return false;
    r->follow = (struct follow){
        .call = c, .signal_fd = -1, .input_fd = -1, .user = r, .on_event = on_event};
    return o->follow ? follow_through(&r->follow, r->cli->target, r->path, e)
                     : follow(&r->follow, e);
}

/* An execution's events that are there, page by page. */
static bool read_pages(struct reader *r, struct err *e)
{
    int64_t after = 0;
    for (bool more = true; more;) {
        json_t *event;
        size_t i;
        scoped(string) char *path = xasprintf("%s/events?after=%lld", r->path, (long long)after);
        scoped(json) json_t *page = call_json(r->cli->target, "GET", path, NULL, e);
        const json_t *events = json_object_get(page, "events");
        if (!page || !field_int(page, "after", REQUIRED, 0, INT64_MAX, &after, e))
            return false;
        more = json_array_size(events) > 0;
        json_array_foreach(events, i, event)
        {
            scoped(string) char *line = r->cli->json ? json_dumps(event, JSON_COMPACT) : NULL;
            if (!show(r, event, bytes_of(line), e))
                return false;
        }
    }
    return true;
}

static bool read_kind(struct reader *r, const char *sandbox, const char *kind, struct err *e)
{
    const struct logs_options *o = r->cli->options;
    scoped(buffer) struct buffer path = {0};
    buffer_printf(&path, "/v1/sandboxes/%s/%s/", sandbox, kind);
    for (const char *at = r->cli->words[1]; *at; at++)
        if (*at != '/') /* no id has one, and none leads elsewhere */
            url_encode_path(&path, (struct bytes){at, 1});
    free(r->path);
    r->path = buffer_take(&path, NULL);
    if (o->follow)
        return read_stream(r, "", e);
    return strcmp(kind, "commands") == 0 ? read_stream(r, "?follow=0", e) : read_pages(r, e);
}

static bool logs_run(struct cli *c, struct err *e)
{
    char sandbox[SANDBOX_ID_TEXT];
    struct reader r = {.cli = c};
    if (!cli_sandbox_find(c->target, c->words[0], sandbox, e))
        return false;
    bool ok = read_kind(&r, sandbox, "commands", e);
    if (!ok && e->status == 404)
        ok = read_kind(&r, sandbox, "executions", e);
    if (!ok && e->status == 404)
        fail(e, 404, "sandbox %s has neither a command nor an execution %.80s", sandbox,
             c->words[1]);
    free(r.path);
    return ok;
}

const struct verb cli_logs = {
    .name = "logs",
    .words = "SANDBOX COMMAND|EXECUTION",
    .help = "what a command or an execution of a sandbox put out",
    .options = rows,
    .option_count = countof(rows),
    .options_size = sizeof(struct logs_options),
    .min_words = 2,
    .max_words = 2,
    .run = logs_run,
};
