/* What the routes of sandbox_sdk's dialect say of themselves. Members are told in camelCase; each
 * is there in snake_case as well. */
#include "gateway/dialect/sdbx_doc.h"

#include <stddef.h>

#include "gateway/core/token.h"
#include "gateway/dialect/v1_docs.h"

#define TAG        "sandbox_sdk"
#define BOTH_CASES "Members may be in camelCase or snake_case, and are answered in both."
#define TIMEOUT                                                                                    \
    INTEGER("timeoutMs", "After which the gateway ends it; milliseconds.", .least = 1,             \
            .most = 604800000, .null = true)
#define ENV                                                                                        \
    MAP("envVars", NULL, "Environment variables of this run alone.", .items = DOC_TEXT,            \
        .null = true)

static const struct doc_schema message = {
    .name = "SdkMessage",
    .whole = true,
    .fields = FIELDS(TEXT("message", "What was done.")),
};

static const struct doc_field in_context[] = {
    TEXT("id", "Of the sandbox."),
    TEXT("context", "Its id."),
    {.name = NULL},
};

/* --- health and keys */

static const struct doc_schema health = {
    .name = "SdkHealth",
    .whole = true,
    .fields = FIELDS(TEXT("status", "Always `ok`."),
                     TEXT("timestamp", "Of this answer.", .format = "date-time")),
};

const struct doc sdbx_health_doc = {
    .tag = TAG,
    .replies = {REPLY(200, "It does.", .schema = &health)},
};

static const struct doc_schema user_request = {
    .name = "SdkUserRequest",
    .fields =
        FIELDS(TEXT("username", "For people; the token's name.", .must = true, .least = 1,
                    .most = TOKEN_NAME_LIMIT),
               TEXT("email", "Is asked for, and not kept.", .must = true, .least = 1, .most = 254)),
};

static const struct doc_schema user = {
    .name = "SdkUser",
    .fields = FIELDS(TEXT("userId", "The new principal.", .must = true),
                     TEXT("apiKey", "Their token, which nobody sees again.", .must = true),
                     TEXT("message", "That it was done.", .must = true)),
};

const struct doc sdbx_register_doc = {
    .tag = TAG,
    .about =
        "Without `--open-tokens` it needs a token of the gateway with the scope `tokens`, or a "
        "peer of its own uid: an administrator makes a new user each time, a user gets one "
        "more token of their own. With it, whoever asks is a new user for 30 days. " BOTH_CASES,
    .body = &user_request,
    .body_must = true,
    .replies = {REPLY(201, "The user and their key.", .schema = &user)},
    .errors = {{401, "Nobody is known, and tokens are not open."}},
};

/* --- sandboxes */

static const struct doc_schema config = {
    .name = "SdkTemplateConfig",
    .about = "What the template was made with. Only `language`, `dependencies`, `defaultEnvVars` "
             "and `timeoutMs` have an effect; the other words are kept.",
    .fields = FIELDS(
        TEXT("name", "For people.", .must = true),
        TEXT("language", "`python`, `javascript` and what else the gateway speaks.", .null = true),
        TEXT("version", "Of the language.", .null = true),
        TEXT("dockerImage", "Is kept; there are no images here.", .null = true),
        ANY("framework", "Is kept.", .null = true),
        LIST("dependencies", NULL, "Requirements that each sandbox has installed.",
             .items = DOC_TEXT, .null = true),
        ANY("installCommand", "Is kept.", .null = true),
        ANY("startCommand", "Is kept.", .null = true),
        MAP("defaultEnvVars", NULL, "The environment; is not told again.", .items = DOC_TEXT,
            .null = true),
        INTEGER("timeoutMs", "The most that one run may take.", .least = 1, .most = 604800000,
                .null = true),
        ANY("maxInstances", "Is kept.", .null = true)),
};

static const struct doc_schema sandbox = {
    .name = "SdkSandbox",
    .about = BOTH_CASES,
    .fields =
        FIELDS(TEXT("id", "Of the sandbox: that of /v1/sandboxes, too.", .must = true),
               TEXT("userId", "The principal that it belongs to.", .must = true),
               TEXT("name", "As it was given.", .must = true, .null = true),
               TEXT("templateId", "As it was asked for.", .must = true),
               OBJECT("templateConfig", &config, "Of its template.", .must = true),
               TEXT("status",
                    "`running`: it was to be started at once, or code runs in it; `stopped`: it is "
                    "paused.",
                    .words = "creating ready running stopped error", .must = true),
               TEXT("createdAt", "When.", .format = "date-time", .must = true),
               TEXT("updatedAt", "When.", .format = "date-time", .must = true),
               TEXT("expiresAt", "When it ends by itself.", .format = "date-time", .must = true,
                    .null = true),
               ANY("metadata", "As it was given.", .must = true)),
};

static const struct doc_schema sandbox_request = {
    .name = "SdkSandboxRequest",
    .about = BOTH_CASES,
    .fields =
        FIELDS(TEXT("templateId",
                    "The id or name of a template; `python-3.11`, `python3`, `python` and "
                    "the like are the usual one.",
                    .must = true, .example = "\"python-3.11\""),
               TEXT("name", "For people.", .most = LABEL_VALUE_LIMIT, .null = true),
               BOOLEAN("autoStart", "Its status is `running` from the start. It runs in any case.",
                       .null = true),
               INTEGER("expiryTime", "Milliseconds, after which it ends.", .least = 1000,
                       .most = 31622400000, .null = true),
               MAP("initialEnvVars", NULL, "Its environment.", .items = DOC_TEXT, .null = true),
               MAP("metadata", NULL, "Whatever is to be kept with it; at most 5,120 bytes as JSON.",
                   .items = DOC_ANY, .null = true)),
};

static const struct doc_schema new_sandbox = {
    .name = "SdkNewSandbox",
    .fields = FIELDS(OBJECT("sandbox", &sandbox, "The sandbox.", .must = true),
                     MAP("credentials", NULL, "`apiKey`: the token that was shown, or null.",
                         .items = DOC_ANY, .must = true)),
};

static const struct doc_schema sandboxes = {
    .name = "SdkSandboxes",
    .whole = true,
    .fields = FIELDS(LIST("sandboxes", &sandbox, "The oldest first.")),
};

static const struct doc_schema status = {
    .name = "SdkStatus",
    .whole = true,
    .fields = FIELDS(
        TEXT("status", "As in the sandbox.", .words = "creating ready running stopped error")),
};

const struct doc sdbx_sandboxes_create_doc = {
    .tag = TAG,
    .headers = v1_idempotency,
    .body = &sandbox_request,
    .body_must = true,
    .replies = {REPLY(201, "The sandbox.", .schema = &new_sandbox)},
    .errors = {{404, "There is no such template."}},
};

const struct doc sdbx_sandboxes_list_doc = {
    .tag = TAG,
    .about = "Those of the caller's principal, also an administrator's; paused ones, too.",
    .replies = {REPLY(200, "All of them.", .schema = &sandboxes)},
};

const struct doc sdbx_sandbox_status_doc = {
    .tag = TAG,
    .path = v1_in_sandbox,
    .replies = {REPLY(200, "Its status.", .schema = &status)},
};

const struct doc sdbx_sandbox_delete_doc = {
    .tag = TAG,
    .path = v1_in_sandbox,
    .replies = {REPLY(200, "Nothing of it is left.", .schema = &message)},
};

/* --- runs */

static const struct doc_schema run_request = {
    .name = "SdkRunRequest",
    .about = BOTH_CASES,
    .fields = FIELDS(
        TEXT("code", "At most 8 MiB.", .must = true),
        TEXT("language", "`python`, `javascript` and what else the gateway speaks.", .null = true),
        ENV, TEXT("contextId", "Of one that was made; else the sandbox's own.", .null = true),
        TIMEOUT),
};

static const struct doc_schema logs = {
    .name = "SdkLogs",
    .whole = true,
    .fields = FIELDS(LIST("stdout", NULL, "Lines, without their ends.", .items = DOC_TEXT),
                     LIST("stderr", NULL, "The same.", .items = DOC_TEXT)),
};

static const struct doc_schema run = {
    .name = "SdkRun",
    .about = "Results have `text`, `html`, `markdown`, `svg`, `png`, `jpeg`, `pdf`, `latex`, "
             "`json`, `javascript` as far as there is such a format, others under their media "
             "type, and `isMainResult`. One of `type` `stdout` stands for what was printed, where "
             "nothing else was shown. " BOTH_CASES,
    .fields = FIELDS(
        LIST("results", NULL, "What was shown, in order.", .items = DOC_ANY, .must = true),
        OBJECT("logs", &logs, "What was written.", .must = true),
        ANY("error",
            "`{\"name\", \"value\", \"traceback\"}`, or null. `TimeoutError`, `OutOfMemoryError`, "
            "`KernelDiedError` and `OutputLimitError` ended a run from outside.",
            .must = true),
        TEXT("status", "As that of an execution.", .must = true),
        INTEGER("executionCount", "Of the context.", .must = true, .null = true),
        TEXT("executionId", "Of the execution under /v1.", .must = true),
        TEXT("contextId", "Where it ran.", .must = true, .null = true),
        TEXT("startTime", "When.", .must = true, .null = true),
        TEXT("endTime", "When.", .must = true, .null = true),
        NUMBER("duration", "Milliseconds.", .must = true, .null = true),
        BOOLEAN("truncated", "There was more than 8 MiB.", .must = true)),
};

static const struct doc_schema line = {
    .name = "SdkRunLine",
    .about = "Last comes `end`, with what the whole has besides results and logs; or `problem`, "
             "with `status` and `message`, where the stream cannot go on.",
    .fields = FIELDS(TEXT("type", "What it is.", .words = "stdout stderr result error end problem",
                          .must = true),
                     TEXT("text", "Of an output: as it was written; of a result, its text.")),
};

const struct doc sdbx_execute_doc = {
    .tag = TAG,
    .about = "A client that goes away cancels nothing. With `Accept: application/x-ndjson` what "
             "comes out is told as it comes.",
    .path = v1_in_sandbox,
    .headers = FIELDS(
        TEXT("Idempotency-Key", "1 to 255 bytes: the same key with the same body is the same run."),
        TEXT("Accept", "`application/x-ndjson`: lines, as it comes.",
             .example = "\"application/x-ndjson\"")),
    .body = &run_request,
    .body_example = "{\"code\": \"6 * 7\"}",
    .body_must = true,
    .streams = true,
    .replies = {REPLY(200, "It has ended, however it ended.", .schema = &run),
                REPLY(200, "", .schema = &line, .type = "application/x-ndjson")},
    .errors = {{404, "There is no such sandbox or context."}, {409, "The context is dead."}},
};

static const struct doc_schema terminal_request = {
    .name = "SdkTerminalRequest",
    .about = BOTH_CASES,
    .fields = FIELDS(TEXT("command", "For `/bin/sh -c`.", .must = true), ENV,
                     TEXT("cwd", "Below the workspace unless absolute.", .null = true), TIMEOUT),
};

static const struct doc_schema terminal = {
    .name = "SdkTerminal",
    .about = BOTH_CASES,
    .fields = FIELDS(
        TEXT("output", "What it wrote to stdout and stderr, in the order in which it was read.",
             .must = true),
        INTEGER("exitCode", "Null: something else ended it.", .must = true, .null = true),
        TEXT("status", "As that of a command.", .must = true),
        BOOLEAN("truncated", "There was more than 8 MiB.", .must = true)),
};

const struct doc sdbx_terminal_doc = {
    .tag = TAG,
    .path = v1_in_sandbox,
    .headers = FIELDS(TEXT("Idempotency-Key",
                           "1 to 255 bytes: the same key with the same body is the same run.")),
    .body = &terminal_request,
    .body_example = "{\"command\": \"ls -la /workspace\"}",
    .body_must = true,
    .replies = {REPLY(200, "It has ended, however it ended.", .schema = &terminal)},
};

/* --- files */

#define PATH                                                                                       \
    TEXT("path", "In the workspace: `/workspace/a.txt`, or `a.txt`.",                              \
         .example = "\"/workspace/a.txt\"")
#define ENCODING                                                                                   \
    TEXT("encoding", "`base64` for what is no text.", .words = "utf-8 utf8 base64",                \
         .initial = "\"utf-8\"")

static const struct doc_schema content = {
    .name = "SdkFileContent",
    .whole = true,
    .fields = FIELDS(TEXT("content", "All of it."),
                     TEXT("encoding", "Of content.", .words = "utf-8 base64")),
};

static const struct doc_schema file_request = {
    .name = "SdkFileRequest",
    .about = BOTH_CASES,
    .fields = FIELDS(TEXT("content", "All of it.", .must = true), ENCODING,
                     BOOLEAN("createParents", "Folders on the way are made.", .initial = "true")),
};

static const struct doc_schema written = {
    .name = "SdkFileWritten",
    .whole = true,
    .fields = FIELDS(TEXT("path", "As it was asked for.")),
};

static const struct doc_schema entry = {
    .name = "SdkFile",
    .about = BOTH_CASES,
    .fields = FIELDS(TEXT("path", "Below the folder as it was named.", .must = true),
                     TEXT("name", "In the folder.", .must = true),
                     BOOLEAN("isDirectory", "It is a folder.", .must = true),
                     INTEGER("size", "Bytes.", .must = true, .null = true),
                     TEXT("createdAt", "Null: nobody keeps it.", .must = true, .null = true),
                     TEXT("modifiedAt", "When.", .must = true, .null = true)),
};

static const struct doc_schema files = {
    .name = "SdkFiles",
    .whole = true,
    .fields = FIELDS(LIST("files", &entry, "By name."), TEXT("directory", "As it was asked for."),
                     BOOLEAN("truncated", "There are more than 10,000.")),
};

const struct doc sdbx_file_read_doc = {
    .tag = TAG,
    .about = "Larger ones than 16 MiB are under /v1.",
    .path = v1_in_sandbox,
    .query = FIELDS(PATH, ENCODING),
    .replies = {REPLY(200, "The file.", .schema = &content)},
    .errors = {{413, "It is longer than 16 MiB."}, {422, "It is not UTF-8."}},
};

const struct doc sdbx_file_write_doc = {
    .tag = TAG,
    .path = v1_in_sandbox,
    .query = FIELDS(PATH),
    .body = &file_request,
    .body_must = true,
    .replies = {REPLY(200, "It is there.", .schema = &written)},
};

const struct doc sdbx_file_delete_doc = {
    .tag = TAG,
    .path = v1_in_sandbox,
    .query = FIELDS(PATH),
    .replies = {REPLY(200, "It is gone.", .schema = &message)},
};

const struct doc sdbx_files_list_doc = {
    .tag = TAG,
    .path = v1_in_sandbox,
    .query = FIELDS(TEXT("path", "A folder in the workspace.", .initial = "\".\"")),
    .replies = {REPLY(200, "What is in it.", .schema = &files)},
};

/* --- contexts */

static const struct doc_schema context = {
    .name = "SdkContext",
    .about = BOTH_CASES,
    .fields = FIELDS(TEXT("id", "Of the context: that of its kernel, too.", .must = true),
                     TEXT("sandboxId", "Where it is.", .must = true),
                     TEXT("language", "What it speaks.", .must = true),
                     TEXT("cwd", "Where each of its runs begins.", .must = true),
                     TEXT("createdAt", "When.", .format = "date-time", .must = true)),
};

static const struct doc_schema context_request = {
    .name = "SdkContextRequest",
    .fields = FIELDS(
        TEXT("language", "`python`, `javascript` and what else the gateway speaks.", .null = true),
        TEXT("cwd", "Where each of its runs begins.", .most = LABEL_VALUE_LIMIT,
             .initial = "\"/workspace\"", .null = true)),
};

static const struct doc_schema contexts = {
    .name = "SdkContexts",
    .whole = true,
    .fields = FIELDS(LIST("contexts", &context, "In the order in which they were made.")),
};

const struct doc sdbx_contexts_create_doc = {
    .tag = TAG,
    .path = v1_in_sandbox,
    .headers = v1_idempotency,
    .body = &context_request,
    .replies = {REPLY(201, "The context.", .schema = &context)},
};

const struct doc sdbx_contexts_list_doc = {
    .tag = TAG,
    .about = "The one that the sandbox began with is not among them.",
    .path = v1_in_sandbox,
    .replies = {REPLY(200, "All of them.", .schema = &contexts)},
};

const struct doc sdbx_context_delete_doc = {
    .tag = TAG,
    .path = in_context,
    .replies = {REPLY(200, "It has ended.", .schema = &message)},
    .errors = {{409, "The sandbox began with it, or is paused."}},
};

/* --- templates */

static const struct doc_schema template = {
    .name = "SdkTemplate",
    .about = BOTH_CASES,
    .fields =
        FIELDS(TEXT("id", "Of the template.", .must = true),
               OBJECT("config", &config, "What it was made with.", .must = true),
               TEXT("createdAt", "When.", .format = "date-time", .must = true),
               TEXT("updatedAt", "When.", .format = "date-time", .must = true),
               BOOLEAN("isPublic", "Everybody may use it.", .must = true),
               TEXT("authorId", "Whose it is; null: the gateway's.", .must = true, .null = true)),
};

static const struct doc_schema templates = {
    .name = "SdkTemplates",
    .fields =
        FIELDS(LIST("templates", &template, "The usual one, then the oldest first.", .must = true),
               INTEGER("total", "On all pages.", .must = true),
               INTEGER("page", "This one, from 1.", .must = true),
               INTEGER("pageSize", "On one page.", .must = true)),
};

const struct doc sdbx_templates_list_doc = {
    .tag = TAG,
    .query =
        FIELDS(INTEGER("page", "Which one.", .least = 1, .most = 2147483647, .initial = "1"),
               INTEGER("pageSize", "So many on one.", .least = 1, .most = 1000, .initial = "10"),
               INTEGER("page_size", "The same.", .least = 1, .most = 1000)),
    .replies = {REPLY(200, "A page of them.", .schema = &templates)},
};

const struct doc sdbx_template_show_doc = {
    .tag = TAG,
    .path = FIELDS(TEXT("template", "Its id or name.")),
    .replies = {REPLY(200, "The template.", .schema = &template)},
};

const struct doc sdbx_templates_create_doc = {
    .tag = TAG,
    .about = "What has no effect here is at most 1,024 bytes as JSON.",
    .headers = v1_idempotency,
    .body = &config,
    .body_must = true,
    .replies = {REPLY(201, "The template.", .schema = &template)},
};
