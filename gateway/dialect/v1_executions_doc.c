/* Docs of /v1/sandboxes/{id}/executions. */
#include <stddef.h>

#include "gateway/dialect/v1_docs.h"

#define STATUSES                                                                                   \
    "queued running ok error interrupted timeout killed oom output_limit aborted cancelled lost"

static const struct doc_schema error = {
    .name = "ExecutionError",
    .whole = true,
    .fields = FIELDS(TEXT("name", "Such as `ZeroDivisionError`.", .null = true),
                     TEXT("value", "Its text.", .null = true),
                     LIST("traceback", NULL, "Lines without colours.", .items = DOC_TEXT),
                     LIST("traceback_ansi", NULL, "Lines with colours.", .items = DOC_TEXT),
                     BOOLEAN("truncated", "True: the `error` event has more of it.")),
};

static const struct doc_schema display = {
    .name = "Display",
    .about = "What was displayed, or the value of the last expression.",
    .fields = FIELDS(
        TEXT("type", "What it is.", .words = "display update_display result", .must = true),
        MAP("data", NULL, "The whole MIME bundle.", .items = DOC_ANY, .must = true),
        ANY("metadata", "Of the bundle.", .must = true),
        TEXT("text", "Its `text/plain`.", .null = true, .must = true),
        ANY("display_id", "By which it can be updated."), ANY("execution_count", "Of a result.")),
};

static const struct doc_schema outputs = {
    .name = "Outputs",
    .fields = FIELDS(
        TEXT("stdout", "All of it.", .must = true), TEXT("stderr", "All of it.", .must = true),
        TEXT("text", "The `text/plain` of the last result.", .null = true, .must = true),
        LIST("displays", &display, "In their order.", .must = true),
        BOOLEAN("truncated",
                "There is more (beyond 8 MiB): at `events?after=` and "
                "the number in `after`.",
                .must = true),
        INTEGER("after", "The number of the last event that is in here.", .must = true),
        TEXT("problem", "Why older events are not there.")),
};

const struct doc_schema v1_files_changed_schema = {
    .name = "FilesChanged",
    .fields = FIELDS(
        INTEGER("added", "Files that were not there before.", .must = true),
        INTEGER("changed", "Files that have other bytes than before.", .must = true),
        INTEGER("deleted", "Files that are not there any more.", .must = true),
        INTEGER("bytes", "Of those whose bytes are kept.", .must = true),
        INTEGER("not_kept", "So many of these are without their bytes; the change says why.",
                .must = true),
        INTEGER("passed_over", "So many more changed than are recorded of one run.", .must = true),
        TEXT("problem", "Why nothing could be looked for.", .null = true, .must = true)),
};

static const struct doc_schema execution = {
    .name = "Execution",
    .about = "One run of one piece of code. What is known only at its end is absent before.",
    .fields = FIELDS(
        TEXT("id", "The `msg_id` of its request.", .must = true),
        TEXT("sandbox_id", "Where it runs.", .null = true, .must = true),
        TEXT("context_id", "In which context, by id.", .null = true, .must = true),
        TEXT("context", "In which context, by name.", .null = true, .must = true),
        TEXT("status", "How it stands, or ended.", .words = STATUSES, .must = true),
        TEXT("created", "When it was asked for.", .null = true, .must = true),
        TEXT("started", "When it began.", .null = true, .must = true),
        TEXT("ended", "When it ended.", .null = true, .must = true),
        INTEGER("queue_position", "So many others, of any client, are before it.", .null = true,
                .must = true),
        BOOLEAN("awaits_input", "It waits in an `input()`.", .must = true),
        INTEGER("events", "How many there are so far.", .must = true),
        TEXT("idempotency_key", "That it was asked for with.", .null = true, .must = true),
        TEXT("code", "What runs. Lists and events are without it."),
        TEXT("code_sha256", "Of the code."), INTEGER("code_bytes", "Of the code."),
        LIST("env", NULL, "The names that were set for this run.", .items = DOC_TEXT),
        TEXT("cwd", "Its folder, if one was given."),
        LIST("argv", NULL, "As in the request, if it was there.", .items = DOC_TEXT),
        INTEGER("deadline_ms", "If one was given."),
        MAP("labels", NULL, "As in the request.", .items = DOC_TEXT),
        BOOLEAN("stop_on_error", "As in the request."),
        BOOLEAN("store_history", "As in the request."), BOOLEAN("silent", "As in the request."),
        BOOLEAN("allow_input", "As in the request."),
        TEXT("traceparent", "Of the request that asked for it."),
        BOOLEAN("state_retained", "Whether the variables are still there. Null: it never ran.",
                .null = true),
        ANY("generation", "Which interpreter of its context ran it."),
        NUMBER("queue_ms", "How long it waited."), NUMBER("run_ms", "How long it ran."),
        NUMBER("cpu_ms",
               "What it used of processors, ended child processes included (of JavaScript "
               "they are not)."),
        INTEGER("memory_peak_bytes", "The most that one process had in memory: its interpreter "
                                     "while it ran, or a child process that ended in the run "
                                     "and had more than each that ended before it (of others, "
                                     "and of those of JavaScript, the system does not tell). "
                                     "Absent where it is not known: the interpreter ended, and "
                                     "a child process of its had once had as much."),
        BOOLEAN("code_cache_hit", "Nothing of its code had to be compiled."),
        ANY("output_bytes", "What it put out, as readers get it: text in bytes of UTF-8, in which "
                            "what it wrote that is none has become U+FFFD (three bytes), and "
                            "what it displayed."),
        ANY("withheld_bytes", "What a limit kept back, counted in the same way."),
        ANY("deadline_passed", "It did."), ANY("ended_by", "What ended it."),
        ANY("stack_dumped", "Where it was is in `stderr`."),
        ANY("execution_count", "The number of its cell."),
        OBJECT("error", &error, "Of status `error`."),
        TEXT("cause", "One word for why it ended.", .null = true),
        TEXT("reason", "A sentence for why it ended.", .null = true),
        TEXT("settled", "When its artifacts were all found.", .format = "date-time"),
        INTEGER("artifacts", "How many it has; known when it is settled.", .null = true),
        OBJECT("files_changed", &v1_files_changed_schema, "Known when it is settled."),
        OBJECT("outputs", &outputs, "If it was asked for.")),
};

static const struct doc_schema executions = {
    .name = "Executions",
    .whole = true,
    .fields = FIELDS(
        LIST("executions", &execution, "Without code, the oldest first."),
        TEXT("next", "What `after` takes for what follows; null: that was all.", .null = true)),
};

#define RUN_FIELDS                                                                                 \
    TEXT("context", "The id or name of a context; the first one, if left out."),                   \
        INTEGER("deadline_ms", "Then it is interrupted; the variables stay.", .least = 1,          \
                .most = INT64_C(2592000000)),                                                      \
        MAP("env", NULL, "Environment for this run alone; null removes a name.",                   \
            .items = DOC_ANY),                                                                     \
        TEXT("cwd", "Folder for this run alone."),                                                 \
        LIST("argv", NULL,                                                                         \
             "The code is that of a program of this name and with these words, as `sys.argv` has " \
             "them for this run alone; `__file__` is the name, and `exit()` ends the run. 1 to "   \
             "1,000, 64 KiB together. 409: the context is not of Python.",                         \
             .items = DOC_TEXT),                                                                   \
        MAP("labels", NULL, "Kept with the record.", .items = DOC_TEXT),                           \
        BOOLEAN("stop_on_error", "What waits behind it does not run if it fails.",                 \
                .initial = "false"),                                                               \
        BOOLEAN("store_history", "It gets a number and a place in the history.",                   \
                .initial = "true"),                                                                \
        BOOLEAN("silent", "Nothing of it is published.", .initial = "false"),                      \
        BOOLEAN("allow_input", "`input()` waits for an answer at `/input`.", .initial = "false")

static const struct doc_schema item = {
    .name = "ExecutionItem",
    .about = "Of a batch.",
    .closed = true,
    .fields = FIELDS(TEXT("code", "At most 8 MiB.", .must = true, .example = "\"print(6 * 7)\""),
                     RUN_FIELDS,
                     BOOLEAN("detach", "Not of an item: a batch is awaited.", .initial = "false")),
};

const struct doc_schema v1_execution_request_schema = {
    .name = "ExecutionRequest",
    .closed = true,
    .fields = FIELDS(
        TEXT("code", "At most 8 MiB. Needed, but for a batch.", .example = "\"print(6 * 7)\""),
        RUN_FIELDS,
        BOOLEAN("detach", "Answer at once with 202; it goes on by itself.", .initial = "false"),
        LIST("items", &item,
             "Instead of `code`: a batch of 1 to 100 such requests, each an execution; "
             "with `parallel` and `stop_on_error` of the whole."),
        BOOLEAN("parallel", "Of a batch: all at once, not one after the other.",
                .initial = "false")),
};

static const struct doc_schema event = {
    .name = "ExecutionEvent",
    .about = "Numbered from 1 without gaps; the members beyond these three are those of its type "
             "(`end` has the record in `execution`).",
    .fields = FIELDS(INTEGER("number", "Of the event.", .must = true),
                     TEXT("type", "What it tells.",
                          .words = "started stdout stderr display update_display result error "
                                   "input clear message end artifacts_settled problem",
                          .must = true),
                     TEXT("time", "When.", .null = true),
                     TEXT("text", "Of an output, or the `text/plain` of a display.", .null = true),
                     OBJECT("execution", &execution, "Of the end: the record."),
                     TEXT("settled", "When that was.", .format = "date-time"),
                     INTEGER("artifacts", "How many it has.", .null = true),
                     OBJECT("files_changed", &v1_files_changed_schema, "Likewise.")),
};

static const struct doc_schema events = {
    .name = "ExecutionEvents",
    .fields =
        FIELDS(LIST("events", &event, "Behind the number that was asked for.", .must = true),
               INTEGER("after", "The number of the last one.", .must = true),
               BOOLEAN("ended", "There will be no more, but `artifacts_settled`.", .must = true),
               BOOLEAN("settled", "There will be none at all; if it was asked for.")),
};

const struct doc_schema v1_execution_input_schema = {
    .name = "ExecutionInput",
    .closed = true,
    .fields = FIELDS(TEXT("value", "One line, without its end.", .must = true)),
};

static const struct doc_field one[] = {
    TEXT("id", "Of the sandbox."),
    TEXT("execution", "Its id."),
    {.name = NULL},
};

#define AFTER                                                                                      \
    TEXT("after", "The number of the last event that the client has.", .pattern = "^[0-9]{1,18}$")
#define SETTLED                                                                                    \
    TEXT("settled",                                                                                \
         "`1`: not done before its artifacts are all found: the events go on to "                  \
         "`artifacts_settled`, the record has `files_changed`.",                                   \
         .words = "0 1", .initial = "\"0\"")
#define STREAM_HEADERS                                                                             \
    TEXT("Accept", "`application/x-ndjson` or `text/event-stream`: the events as they come.",      \
         .example = "\"application/x-ndjson\""),                                                   \
        TEXT("Last-Event-ID", "What `after` says, by browsers.", .pattern = "^[0-9]{1,18}$")

const struct doc v1_executions_list_doc = {
    .tag = "Executions",
    .path = v1_in_sandbox,
    .query =
        FIELDS(TEXT("context", "Of this context alone: its id."),
               TEXT("status", "Of this status alone.", .words = STATUSES),
               INTEGER("limit", "At most so many.", .least = 1, .most = 1000, .initial = "100"),
               TEXT("after", "What `next` said.", .pattern = "^[0-9]{1,18}$")),
    .replies = {REPLY(200, "A page of them.", .schema = &executions)},
};

const struct doc v1_executions_create_doc = {
    .tag = "Executions",
    .about = "A client that goes away cancels nothing. Whatever is acknowledged is kept, also by "
             "a gateway that is killed.",
    .path = v1_in_sandbox,
    .query = FIELDS(AFTER, SETTLED),
    .headers =
        FIELDS(TEXT("Idempotency-Key", "The same key with the same body is the same execution.",
                    .least = 1, .most = 255),
               STREAM_HEADERS, TEXT("traceparent", "W3C trace context; kept with the record.")),
    .body = &v1_execution_request_schema,
    .body_example = "{\"code\": \"print(6 * 7)\"}",
    .body_must = true,
    .streams = true,
    .replies = {REPLY(200, "It has ended, however it ended: the record with `outputs`.",
                      .schema = &execution, .headers = v1_location),
                REPLY(200, "", .schema = &event, .type = "application/x-ndjson"),
                REPLY(200, "", .type = "text/event-stream"),
                REPLY(202, "With `detach`: the record, at once.", .schema = &execution,
                      .headers = v1_location)},
    .errors = {{404, "There is no such sandbox or context."},
               {409, "The context is dead."},
               {413, "The body is longer than 16 MiB."},
               {422, "The key came with another body before."},
               {429, "1,000 of the context's executions have not ended."}},
};

const struct doc v1_execution_show_doc = {
    .tag = "Executions",
    .path = one,
    .query = FIELDS(TEXT("outputs", "With what it put out.", .words = "1 0")),
    .replies = {REPLY(200, "The record.", .schema = &execution)},
};

const struct doc v1_execution_events_doc = {
    .tag = "Executions",
    .about = "Any number of clients read them, each at its own pace, also while it runs; each goes "
             "on exactly behind the number that it has.",
    .path = one,
    .query = FIELDS(AFTER, SETTLED,
                    INTEGER("limit", "Of a page: at most so many.", .least = 1, .most = 10000,
                            .initial = "1000")),
    .headers = FIELDS(STREAM_HEADERS),
    .streams = true,
    .replies = {REPLY(200, "What is there now; or all as they come, one JSON object on each line.",
                      .schema = &events),
                REPLY(200, "", .schema = &event, .type = "application/x-ndjson"),
                REPLY(200, "", .type = "text/event-stream")},
    .errors = {{410, "What was asked for is not kept any more; the sentence says from where on "
                     "it is."}},
};

const struct doc v1_execution_output_doc = {
    .tag = "Executions",
    .about = "Also beyond what `outputs` holds. One that cannot be given whole breaks off.",
    .path = one,
    .query = FIELDS(
        TEXT("stream", "Which of the two.", .words = "stdout stderr", .initial = "\"stdout\"")),
    .streams = true,
    .replies = {REPLY(200, "The text, as it comes.", .type = "text/plain; charset=utf-8")},
    .errors = {{410, "The beginning of it is not kept any more."}},
};

const struct doc v1_execution_cancel_doc = {
    .tag = "Executions",
    .about = "One that waits is taken out of the queue, one that runs is interrupted.",
    .path = one,
    .replies = {REPLY(200, "It has ended.", .schema = &execution),
                REPLY(202, "It was asked to end.", .schema = &execution)},
};

const struct doc v1_execution_input_doc = {
    .tag = "Executions",
    .path = one,
    .body = &v1_execution_input_schema,
    .body_example = "{\"value\": \"yes\"}",
    .body_must = true,
    .replies = {REPLY(204, "It was passed on.")},
    .errors = {{409, "It waits in no `input()`."}},
};
