/* Docs of /v1/sandboxes/{id}/contexts. */
#include <stddef.h>

#include "gateway/dialect/v1_docs.h"

const struct doc_schema v1_context_schema = {
    .name = "Context",
    .about = "An interpreter of a sandbox, and a kernel under `/api/kernels` by the same id.",
    .whole = true,
    .fields = FIELDS(
        TEXT("id", "That of its kernel.", .format = "uuid"), TEXT("name", "Unique in the sandbox."),
        TEXT("language", "What its code is written in; see `/v1/languages`."),
        TEXT("state", "What it does.", .words = "starting idle busy restarting dead paused"),
        TEXT("reason", "Why it is dead, or what happened to it last.", .null = true),
        TEXT("cause", "The same in one word.", .null = true),
        TEXT("created", "When.", .format = "date-time"),
        TEXT("forked_from", "The id of the context that it was a branch of.", .null = true),
        TEXT("snapshot",
             "The id of the snapshot whose variables its interpreter began with; null: it "
             "began empty, or as a branch.",
             .null = true),
        OBJECT("code_cache", &v1_code_cache_schema,
               "Of its interpreter; null: none of its cells is known to have run.", .null = true)),
};

static const struct doc_schema contexts = {
    .name = "Contexts",
    .whole = true,
    .fields = FIELDS(LIST("contexts", &v1_context_schema, "The oldest first."), V1_NEXT),
};

static const struct doc_schema request = {
    .name = "ContextRequest",
    .closed = true,
    .fields = FIELDS(TEXT("name", "Made up, if left out.", .least = 1, .most = 64),
                     TEXT("language",
                          "What its code is written in, by the name that `/v1/languages` has. "
                          "Without it: that of the sandbox.",
                          .example = "\"javascript\""),
                     TEXT("fork", "The id of a context, of which it becomes a branch: another "
                                  "process with the same variables."),
                     BOOLEAN("force",
                             "Fork also where threads or tasks run, which the branch "
                             "will not have.",
                             .initial = "false")),
};

static const struct doc_field one[] = {
    TEXT("id", "Of the sandbox."),
    TEXT("context", "Its id, which is that of its kernel."),
    {.name = NULL},
};

const struct doc v1_contexts_list_doc = {
    .tag = "Contexts",
    .path = v1_in_sandbox,
    .query = FIELDS(V1_LIMIT, V1_AFTER),
    .replies = {REPLY(200, "All of them.", .schema = &contexts)},
};

const struct doc v1_contexts_create_doc = {
    .tag = "Contexts",
    .about = "A branch (`fork`) is there within tens of milliseconds and shares memory with where "
             "it came from until one of them writes to it.",
    .path = v1_in_sandbox,
    .headers = v1_idempotency,
    .body = &request,
    .body_example = "{\"name\": \"try\"}",
    .replies = {REPLY(201, "It is ready.", .schema = &v1_context_schema, .headers = v1_location)},
    .errors = {{403, "The sandbox has `--max-contexts`, or `--max-kernels` run."},
               {404, "There is no such sandbox, or no such context to fork."},
               {409, "The name is taken; or the context to fork is busy, starting or dead, runs "
                     "threads or tasks (see `force`), or cannot be forked, as of a language "
                     "other than Python."},
               {422, "The language is not installed: the sentence names the package."}},
};

const struct doc v1_context_show_doc = {
    .tag = "Contexts",
    .path = one,
    .replies = {REPLY(200, "The context.", .schema = &v1_context_schema)},
};

const struct doc v1_context_delete_doc = {
    .tag = "Contexts",
    .path = one,
    .replies = {REPLY(204, "It is gone; with the last one the sandbox ends, too.")},
    .errors = {{409, "The sandbox is paused, or just being saved."}},
};
