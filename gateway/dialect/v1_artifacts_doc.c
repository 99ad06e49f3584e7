/* Docs of /v1/artifacts. */
#include <stddef.h>

#include "gateway/dialect/v1_docs.h"

static const struct doc_schema artifact = {
    .name = "Artifact",
    .about = "What an execution displayed, stored once by its SHA-256. What could not be kept has "
             "`sha256` and `content_url` null and `problem`, which says why.",
    .fields =
        FIELDS(TEXT("id", "A UUID.", .must = true),
               TEXT("mime_type", "Such as `image/png`.", .must = true),
               INTEGER("size_bytes", "Of its content.", .must = true),
               TEXT("sha256", "Of its content, in hexadecimal digits.", .null = true, .must = true),
               TEXT("kernel_id", "Whose output it was.", .must = true),
               TEXT("execution_id", "The `msg_id` of the request that made it.", .null = true,
                    .must = true),
               INTEGER("number", "Counts the artifacts of its kernel from 1.", .must = true),
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

const struct doc v1_artifacts_list_doc = {
    .tag = "Artifacts",
    .query = FIELDS(
        TEXT("kernel", "Of this kernel alone."), TEXT("execution", "Of this execution alone."),
        INTEGER("limit", "At most so many.", .least = 1, .most = 1000, .initial = "100"),
        TEXT("after", "What `next` said.", .pattern = "^[0-9]{1,18}$")),
    .replies = {REPLY(200, "A page of them.", .schema = &artifacts)},
};

const struct doc v1_artifact_show_doc = {
    .tag = "Artifacts",
    .path = one,
    .replies = {REPLY(200, "The artifact.", .schema = &artifact)},
};

const struct doc v1_artifact_content_doc = {
    .tag = "Artifacts",
    .about = "Served with a policy that lets it run no script and fetch nothing.",
    .path = one,
    .headers = FIELDS(TEXT("Range", "One range of bytes.", .example = "\"bytes=0-99\""),
                      TEXT("If-None-Match", "An ETag that the client has.")),
    .replies = {REPLY(200, "Its bytes, of the type that `mime_type` says.", .type = "*/*",
                      .headers = FIELDS(TEXT("ETag", "Of the content."))),
                REPLY(206, "The range.", .type = "*/*"), REPLY(304, "The client has it."),
                REPLY(416, "The range lies outside.")},
    .errors = {{410, "It was not kept; the sentence says why."}},
};
