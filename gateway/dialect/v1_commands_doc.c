/* Docs of /v1/sandboxes/{id}/commands. */
#include <stddef.h>

#include "gateway/dialect/v1_docs.h"

#define STATUSES "running exited killed timeout output_limit oom lost"

static const struct doc_schema input = {
    .name = "CommandInput",
    .about = "Text, or any bytes.",
    .json = "{\"anyOf\": [{\"type\": \"string\"}, {\"type\": \"object\", \"required\": "
            "[\"base64\"], \"additionalProperties\": false, \"properties\": {\"base64\": "
            "{\"type\": \"string\"}}}]}",
};

const struct doc_schema v1_command_request_schema = {
    .name = "CommandRequest",
    .closed = true,
    .about = "Either `argv` or `shell`.",
    .fields = FIELDS(
        LIST("argv", NULL, "The program and its words: 4,096 at most, 1 MiB together.",
             .items = DOC_TEXT, .null = true, .example = "[\"ls\", \"-l\"]"),
        TEXT("shell", "A line for `/bin/sh -c`.", .example = "\"ls | wc -l\""),
        TEXT("cwd", "Below the workspace, unless it is absolute.", .least = 1, .most = 4095),
        MAP("env", NULL, "Over that of the sandbox; 512 KiB at most.", .items = DOC_TEXT),
        OBJECT("stdin", &input, "What it reads; 16 MiB at most.", .null = true),
        BOOLEAN("stdin_open", "More may come. Without it: if it is in the background and has no "
                              "`stdin`."),
        INTEGER("deadline_ms", "Then its whole process tree is killed.", .least = 1,
                .most = INT64_C(604800000)),
        BOOLEAN("background", "Answer with 202 when it runs.", .initial = "false"),
        TEXT("encoding", "How the answer has what it wrote.", .words = "text base64",
             .initial = "\"text\"")),
};

static const struct doc_schema counts = {
    .name = "CommandBytes",
    .whole = true,
    .fields = FIELDS(INTEGER("stdout", "Exactly."), INTEGER("stderr", "Exactly.")),
};

static const struct doc_schema command = {
    .name = "Command",
    .about = "One run of a program in a sandbox.",
    .fields = FIELDS(
        TEXT("id", "A UUID.", .must = true),
        TEXT("status", "How it stands, or ended.", .words = STATUSES, .must = true),
        INTEGER("exit_code",
                "If it exited. 127: there is no such program, 126: it cannot be "
                "executed.",
                .null = true, .must = true),
        ANY("signal", "If a signal killed it.", .must = true),
        TEXT("reason", "Why, where we know it.", .null = true, .must = true),
        OBJECT("bytes", &counts, "What it wrote.", .must = true),
        TEXT("created", "When it was asked for.", .format = "date-time"),
        TEXT("started", "When it began.", .format = "date-time", .null = true, .must = true),
        TEXT("ended", "When it ended.", .format = "date-time", .null = true, .must = true),
        INTEGER("run_ms", "How long it ran.", .null = true, .must = true),
        INTEGER("last_event", "The number of the last event so far."),
        LIST("argv", NULL, "As in the request.", .items = DOC_TEXT, .null = true),
        TEXT("shell", "As in the request.", .null = true), TEXT("cwd", "Where it runs."),
        BOOLEAN("background", "As in the request."),
        INTEGER("deadline_ms", "What holds of the request's and the sandbox's.", .null = true),
        TEXT("idempotency_key", "That it was asked for with.", .null = true),
        TEXT("traceparent", "Of the request that asked for it.", .null = true),
        TEXT("settled", "When the files that it left were all found.", .format = "date-time"),
        INTEGER("artifacts", "How many of them are kept; known when it is settled."),
        OBJECT("files_changed", &v1_files_changed_schema, "Known when it is settled."),
        TEXT("stdout", "Its first 4 MiB. Only where one command alone is asked for, as all that "
                       "follows."),
        TEXT("stderr", "Its first 4 MiB."),
        TEXT("encoding", "Of these two.", .words = "text base64"),
        BOOLEAN("lossy", "Bytes that are no UTF-8 became U+FFFD."),
        BOOLEAN("truncated", "The events have more than `stdout` and `stderr`.")),
};

static const struct doc_schema commands = {
    .name = "Commands",
    .whole = true,
    .fields = FIELDS(LIST("commands", &command, "The newest first."), V1_NEXT),
};

static const struct doc_schema event = {
    .name = "CommandEvent",
    .about = "Numbered from 1 without gaps. `end` has what the command has from `status` to "
             "`run_ms`. `artifacts_settled` follows it, if it was asked for.",
    .fields = FIELDS(INTEGER("number", "Of the event.", .must = true),
                     TEXT("kind", "What it tells.",
                          .words = "started stdout stderr end artifacts_settled", .must = true),
                     TEXT("time", "When.", .format = "date-time", .must = true),
                     INTEGER("offset", "Of an output: where in its stream it begins."),
                     INTEGER("bytes", "Of an output: its length."), TEXT("text", "Of an output."),
                     TEXT("base64", "Of an output that is no UTF-8, or where it is asked for."),
                     TEXT("settled", "When its files were all found.", .format = "date-time"),
                     INTEGER("artifacts", "How many of them are kept."),
                     OBJECT("files_changed", &v1_files_changed_schema, "How much that is.")),
};

const struct doc_schema v1_command_signal_schema = {
    .name = "CommandSignal",
    .closed = true,
    .fields = FIELDS(ANY("signal", "Its name, as `SIGTERM`, or its number.", .must = true,
                         .example = "\"SIGINT\"")),
};

static const struct doc_field one[] = {
    TEXT("id", "Of the sandbox."),
    TEXT("command", "Its id."),
    {.name = NULL},
};

#define ENCODING                                                                                   \
    TEXT("encoding", "How the answer has what it wrote.", .words = "text base64",                  \
         .initial = "\"text\"")
#define SETTLED                                                                                    \
    TEXT("settled",                                                                                \
         "`1`: not done before the files that it left are all found: the events go on to "         \
         "`artifacts_settled`, the command has `files_changed`.",                                  \
         .words = "0 1", .initial = "\"0\"")
#define ACCEPT                                                                                     \
    TEXT("Accept", "`text/event-stream` or `application/x-ndjson`.",                               \
         .example = "\"application/x-ndjson\"")

const struct doc v1_commands_list_doc = {
    .tag = "Commands",
    .path = v1_in_sandbox,
    .query = FIELDS(V1_LIMIT, V1_AFTER),
    .replies = {REPLY(200, "All that are known, without what they wrote.", .schema = &commands)},
};

const struct doc v1_commands_create_doc = {
    .tag = "Commands",
    .about = "A command ends with its first process: whatever that left is killed then. It does "
             "not belong to a connection: a client that goes away ends nothing.",
    .path = v1_in_sandbox,
    .query = FIELDS(SETTLED),
    .headers =
        FIELDS(TEXT("Idempotency-Key", "The same key with the same body is the same command.",
                    .least = 1, .most = 255),
               ACCEPT),
    .body = &v1_command_request_schema,
    .body_example = "{\"shell\": \"ls -l | wc -l\"}",
    .body_must = true,
    .streams = true,
    .replies = {REPLY(200, "It has ended.", .schema = &command, .headers = v1_location),
                REPLY(200, "", .schema = &event, .type = "application/x-ndjson"),
                REPLY(200, "", .type = "text/event-stream"),
                REPLY(202, "With `background`: it runs.", .schema = &command,
                      .headers = v1_location),
                REPLY(202, "", .schema = &event, .type = "application/x-ndjson"),
                REPLY(202, "", .type = "text/event-stream")},
    .errors = {{403, "64 commands run in the sandbox."},
               {409, "The sandbox does not run, or the command was forgotten meanwhile."},
               {422, "The key came with another body before."}},
};

const struct doc v1_command_show_doc = {
    .tag = "Commands",
    .path = one,
    .query = FIELDS(ENCODING, SETTLED),
    .replies = {REPLY(200, "The command, with what it wrote.", .schema = &command)},
};

const struct doc v1_command_delete_doc = {
    .tag = "Commands",
    .path = one,
    .replies = {REPLY(204, "All of it is killed, and it is forgotten.")},
};

const struct doc v1_command_events_doc = {
    .tag = "Commands",
    .about = "A stream that breaks off without `end` has more behind the last number.",
    .path = one,
    .query = FIELDS(TEXT("after", "The number of the last event that the client has.",
                         .pattern = "^[0-9]{1,18}$"),
                    TEXT("follow", "`0`: only those that are there now.", .words = "1 0"), SETTLED,
                    ENCODING),
    .headers = FIELDS(ACCEPT, TEXT("Last-Event-ID", "What `after` says, by browsers.",
                                   .pattern = "^[0-9]{1,18}$")),
    .streams = true,
    .replies = {REPLY(200, "One JSON object on each line; or server-sent events.", .schema = &event,
                      .type = "application/x-ndjson"),
                REPLY(200, "", .type = "text/event-stream")},
};

const struct doc v1_command_output_doc = {
    .tag = "Commands",
    .about = "All of them, also beyond what the command itself shows.",
    .path = one,
    .query = FIELDS(
        TEXT("stream", "Which of the two.", .words = "stdout stderr", .initial = "\"stdout\""),
        TEXT("follow", "`0`: only those that are there now.", .words = "1 0")),
    .streams = true,
    .replies = {REPLY(200, "The bytes, as they come.", .type = "application/octet-stream")},
};

const struct doc v1_command_stdin_doc = {
    .tag = "Commands",
    .about = "The body's bytes as they are, 16 MiB at most.",
    .path = one,
    .query = FIELDS(TEXT("eof", "Nothing follows them.", .words = "1 0")),
    .body_type = "application/octet-stream",
    .replies = {REPLY(204, "The program will read them.")},
    .errors = {{409, "Its stdin is closed, or it has ended."},
               {503, "32 MiB wait to be read by it."}},
};

const struct doc v1_command_signal_doc = {
    .tag = "Commands",
    .path = one,
    .body = &v1_command_signal_schema,
    .body_example = "{\"signal\": \"SIGINT\"}",
    .body_must = true,
    .replies = {REPLY(204, "It was sent to its process group.")},
    .errors = {{409, "It has ended."}},
};
