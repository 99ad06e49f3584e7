/* Docs of /v1/sandboxes/{id}/metrics. */
#include <stddef.h>

#include "gateway/dialect/v1_docs.h"

const struct doc_schema v1_code_cache_schema = {
    .name = "CodeCache",
    .about = "Cells that are kept as they were compiled, so that one that runs again is not "
             "compiled again. It begins empty with each interpreter.",
    .whole = true,
    .fields = FIELDS(INTEGER("cached_compilations", "Cells that are kept."),
                     INTEGER("bytes", "What they take, about."),
                     INTEGER("hits", "Cells that ran without a compilation."),
                     INTEGER("misses", "Cells that were compiled, in whole or in part."),
                     NUMBER("hit_ratio", "Of all that ran; null: none did.", .null = true)),
};

static const struct doc_schema bucket = {
    .name = "TimingBucket",
    .whole = true,
    .fields = FIELDS(NUMBER("most", "Milliseconds; null: more than all bounds.", .null = true),
                     INTEGER("count", "Those up to it and above the bucket before.")),
};

static const struct doc_schema timing = {
    .name = "Timing",
    .about = "Milliseconds.",
    .whole = true,
    .fields = FIELDS(INTEGER("count", "How many."), NUMBER("sum", "All together."),
                     NUMBER("p50", "Estimated within its bucket, as the next two.", .null = true),
                     NUMBER("p90", "Nine of ten took no longer.", .null = true),
                     NUMBER("p99", "99 of 100 took no longer.", .null = true),
                     NUMBER("max", "Exactly.", .null = true),
                     LIST("buckets", &bucket, "Each its own: not added up.")),
};

static const struct doc_schema executions = {
    .name = "ExecutionNumbers",
    .whole = true,
    .fields = FIELDS(INTEGER("open", "They wait, or run."), INTEGER("ended", "All that have."),
                     MAP("by_status", NULL, "Those that have ended.", .items = DOC_INTEGER),
                     NUMBER("cpu_ms", "What their interpreters say that they used."),
                     INTEGER("output_bytes", "What they put out."),
                     OBJECT("queue_ms", &timing, "How long they waited."),
                     OBJECT("run_ms", &timing, "How long they ran.")),
};

static const struct doc_schema commands = {
    .name = "CommandNumbers",
    .whole = true,
    .fields = FIELDS(INTEGER("running", "Commands that run.")),
};

static const struct doc_schema metrics = {
    .name = "SandboxMetrics",
    .whole = true,
    .fields = FIELDS(
        TEXT("sandbox_id", "Of the sandbox.", .format = "uuid"),
        TEXT("since", "From when it is counted: it was made then, or the gateway began.",
             .format = "date-time"),
        TEXT("measured", "Now.", .format = "date-time"),
        ANY("usage", "As of the sandbox, measured now; null: it was never measured."),
        OBJECT("executions", &executions, "Of all its contexts."),
        OBJECT("commands", &commands, "Of commands."),
        OBJECT("code_cache", &v1_code_cache_schema, "Of the interpreters of all its contexts.")),
};

const struct doc v1_sandbox_metrics_doc = {
    .tag = "Sandboxes",
    .about = "Numbers of executions are of this gateway's time, and of `POST …/executions` and the "
             "stream; the code cache counts every cell, whoever sent it.",
    .path = v1_in_sandbox,
    .replies = {REPLY(200, "The numbers.", .schema = &metrics)},
};
