/* Docs of /v1/artifacts. */
#include <stddef.h>

#include "gateway/dialect/v1_docs.h"

static const struct doc_schema artifact = {
    .name = "Artifact",
    .about = "What an execution displayed, or a file that a run left in its workspace, stored once "
             "by its SHA-256. What could not be kept has `sha256` and `content_url` null and "
             "`problem`, which says why.",
    .fields = FIELDS(
        TEXT("id", "A UUID.", .must = true),
        TEXT("kind", "What it was.", .words = "display file", .must = true),
        TEXT("mime_type",
             "Such as `image/png`; of a file by its name, and else by its first bytes.",
             .must = true),
        INTEGER("size_bytes", "Of its content.", .must = true),
        TEXT("sha256", "Of its content, in hexadecimal digits.", .null = true, .must = true),
        TEXT("path", "Of a file, in the workspace.", .null = true, .must = true),
        INTEGER("width", "Of a picture, in pixels.", .null = true, .must = true),
        INTEGER("height", "Of a picture, in pixels.", .null = true, .must = true),
        TEXT("sandbox_id", "Where it was made.", .null = true, .must = true),
        TEXT("kernel_id", "Whose output it was.", .null = true, .must = true),
        TEXT("execution_id", "The `msg_id` of the request that made it.", .null = true,
             .must = true),
        TEXT("command_id", "The command that made it.", .null = true, .must = true),
        INTEGER("number",
                "Counts the artifacts of its kernel, or of the commands of its sandbox, from 1.",
                .must = true),
        TEXT("created", "When.", .format = "date-time", .must = true),
        TEXT("content_url", "Where its bytes are.", .null = true, .must = true),
        TEXT("problem", "Why it was not kept; absent if it was.")),
};

static const struct doc_schema artifacts = {
    .name = "Artifacts",
    .whole = true,
    .fields = FIELDS(
        LIST("artifacts", &artifact, "The oldest first."),
        TEXT("next", "What `after` takes for what follows; null: that was all.", .null = true)),
};

static const struct doc_field one[] = {
    TEXT("id", "Its id, or the SHA-256 of its content."),
    {.name = NULL},
};

#define PAGE                                                                                       \
    INTEGER("limit", "At most so many.", .least = 1, .most = 1000, .initial = "100"),              \
        TEXT("after", "What `next` said.", .pattern = "^[0-9]{1,18}$")
#define FILTERS                                                                                    \
    TEXT("kind", "Of this kind alone.", .words = "display file"),                                  \
        TEXT("mime_type", "Of this type alone; with a slash at its end of all that begin so.",     \
             .example = "\"image/\""),                                                             \
        PAGE
#define SETTLED                                                                                    \
    TEXT("settled", "`1`: waits until it has ended and all was found.", .words = "0 1",            \
         .initial = "\"0\"")

static const struct doc_field in_execution[] = {
    TEXT("id", "Of a sandbox."),
    TEXT("execution", "Of an execution."),
    {.name = NULL},
};

static const struct doc_field in_command[] = {
    TEXT("id", "Of a sandbox."),
    TEXT("command", "Of a command."),
    {.name = NULL},
};

const struct doc v1_artifacts_list_doc = {
    .tag = "Artifacts",
    .about = "Those of sandboxes that are gone, too.",
    .query =
        FIELDS(TEXT("sandbox", "Of this sandbox alone."), TEXT("kernel", "Of this kernel alone."),
               TEXT("execution", "Of this execution alone."),
               TEXT("command", "Of this command alone."), FILTERS),
    .replies = {REPLY(200, "A page of them.", .schema = &artifacts)},
};

const struct doc v1_sandbox_artifacts_doc = {
    .tag = "Artifacts",
    .path = v1_in_sandbox,
    .query = FIELDS(TEXT("kernel", "Of this context alone, by its id."),
                    TEXT("execution", "Of this execution alone."),
                    TEXT("command", "Of this command alone."), FILTERS),
    .replies = {REPLY(200, "A page of them.", .schema = &artifacts)},
};

const struct doc v1_execution_artifacts_doc = {
    .tag = "Artifacts",
    .path = in_execution,
    .query = FIELDS(SETTLED, FILTERS),
    .replies = {REPLY(200, "A page of them.", .schema = &artifacts)},
};

const struct doc v1_command_artifacts_doc = {
    .tag = "Artifacts",
    .path = in_command,
    .query = FIELDS(SETTLED, FILTERS),
    .replies = {REPLY(200, "A page of them.", .schema = &artifacts)},
};

#define TAR_ABOUT                                                                                  \
    "Those that are kept, as files `NNNNNN-NAME`: counted in the tar, and the last part of their " \
    "path, or `display` with the ending of their type."
#define TAR_FILTERS                                                                                \
    TEXT("kind", "Of this kind alone.", .words = "display file"),                                  \
        TEXT("mime_type", "As in the list.", .example = "\"image/\"")

const struct doc v1_sandbox_artifacts_tar_doc = {
    .tag = "Artifacts",
    .about = TAR_ABOUT,
    .path = v1_in_sandbox,
    .query = FIELDS(TEXT("kernel", "Of this context alone, by its id."),
                    TEXT("execution", "Of this execution alone."),
                    TEXT("command", "Of this command alone."), TAR_FILTERS),
    .streams = true,
    .replies = {REPLY(200, "The tar, as it is made.", .type = "application/x-tar")},
};

const struct doc v1_execution_artifacts_tar_doc = {
    .tag = "Artifacts",
    .about = TAR_ABOUT,
    .path = in_execution,
    .query = FIELDS(SETTLED, TAR_FILTERS),
    .streams = true,
    .replies = {REPLY(200, "The tar, as it is made.", .type = "application/x-tar")},
};

const struct doc v1_command_artifacts_tar_doc = {
    .tag = "Artifacts",
    .about = TAR_ABOUT,
    .path = in_command,
    .query = FIELDS(SETTLED, TAR_FILTERS),
    .streams = true,
    .replies = {REPLY(200, "The tar, as it is made.", .type = "application/x-tar")},
};

static const struct doc_schema version = {
    .name = "FileVersion",
    .whole = true,
    .fields = FIELDS(TEXT("sha256", "Null: not known.", .null = true),
                     INTEGER("size_bytes", "Of the file.")),
};

static const struct doc_schema change = {
    .name = "FileChange",
    .fields = FIELDS(
        TEXT("path", "In the workspace.", .must = true),
        TEXT("what", "What became of it.", .words = "added changed deleted", .must = true),
        OBJECT("before", &version, "The file as it was.", .null = true, .must = true),
        OBJECT("after", &version, "The file as it is.", .null = true, .must = true),
        TEXT("artifact_id", "Its bytes are kept as this artifact.", .null = true, .must = true),
        TEXT("content_url", "Where they are.", .null = true, .must = true),
        BOOLEAN("shared", "Others ran at that time, too: it may have been one of them.",
                .must = true),
        BOOLEAN("outside", "It was made while nothing ran, by what an earlier run had left there.",
                .must = true),
        TEXT("problem", "Why its bytes are not kept; absent if they are.")),
};

static const struct doc_schema changes = {
    .name = "FileChanges",
    .fields = FIELDS(
        LIST("changes", &change, "By path.", .must = true),
        TEXT("next", "What `after` takes for what follows; null: that was all.", .null = true,
             .must = true),
        TEXT("settled", "When they were found; null: not yet.", .null = true,
             .format = "date-time"),
        INTEGER("artifacts", "How many artifacts it has, displays and files.", .null = true),
        OBJECT("files_changed", &v1_files_changed_schema, "How much that is.", .null = true)),
};

const struct doc v1_execution_changes_doc = {
    .tag = "Artifacts",
    .path = in_execution,
    .query = FIELDS(SETTLED, PAGE),
    .replies = {REPLY(200, "A page of them.", .schema = &changes)},
};

const struct doc v1_command_changes_doc = {
    .tag = "Artifacts",
    .path = in_command,
    .query = FIELDS(SETTLED, PAGE),
    .replies = {REPLY(200, "A page of them.", .schema = &changes)},
};

const struct doc v1_artifact_show_doc = {
    .tag = "Artifacts",
    .path = one,
    .replies = {REPLY(200, "The artifact.", .schema = &artifact)},
};

static const struct doc_field by_id[] = {
    TEXT("id", "Its id."),
    {.name = NULL},
};

const struct doc v1_artifact_delete_doc = {
    .tag = "Artifacts",
    .about = "Not its file in the workspace. Bytes that no other artifact has go when what nothing "
             "names is collected.",
    .path = by_id,
    .replies = {REPLY(204, "It is forgotten.")},
};

const struct doc v1_artifact_content_doc = {
    .tag = "Artifacts",
    .about = "Served with a policy that lets it run no script and fetch nothing.",
    .path = one,
    .query =
        FIELDS(TEXT("download", "Asks for a file of this name to be saved; without one, of its "
                                "own.")),
    .headers = FIELDS(TEXT("Range", "One range of bytes.", .example = "\"bytes=0-99\""),
                      TEXT("If-None-Match", "An ETag that the client has.")),
    .replies = {REPLY(200, "Its bytes, of the type that `mime_type` says.", .type = "*/*",
                      .headers = FIELDS(TEXT("ETag", "Of the content."))),
                REPLY(206, "The range.", .type = "*/*"), REPLY(304, "The client has it."),
                REPLY(416, "The range lies outside.")},
    .errors = {{410, "It was not kept; the sentence says why."}},
};
