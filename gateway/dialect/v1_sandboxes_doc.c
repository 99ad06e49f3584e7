/* Docs of /v1/sandboxes and of what tells how the gateway is. */
#include "gateway/dialect/v1_docs.h"

#include <stddef.h>

const struct doc_field v1_in_sandbox[] = {
    TEXT("id", "Of the sandbox.", .example = "\"0b5f1d7e-3c0e-4a55-9a0f-6f7c3b8f8a11\""),
    {.name = NULL},
};

const struct doc_field v1_idempotency[] = {
    TEXT("Idempotency-Key",
         "1 to 255 bytes: the same key with the same body makes nothing new. It is known as long "
         "as what it made is there."),
    {.name = NULL},
};

const struct doc_field v1_location[] = {
    TEXT("Location", "Where it is."),
    {.name = NULL},
};

const struct doc_schema v1_limits_schema = {
    .name = "Limits",
    .about = "Each is 0 for no limit; what is left out keeps its value.",
    .fields = FIELDS(
        INTEGER("memory_bytes", "Memory of all its processes; at least 16 MiB.", .null = true),
        NUMBER("cpus", "Cores; 0.5 is half of one. At least 0.01.", .null = true, .example = "1.5"),
        INTEGER("processes", "Processes and threads; at least 4.", .null = true),
        INTEGER("open_files", "Open files of one process; at least 32.", .null = true),
        INTEGER("workspace_bytes", "Of what the workspace holds; at least 64 KiB.", .null = true),
        INTEGER("workspace_inodes", "Files and folders in it; at least 16.", .null = true),
        INTEGER("tmp_bytes", "Of `/tmp`, HOME and `/dev/shm`, each; at least 64 KiB.",
                .null = true),
        INTEGER("output_bytes", "That one execution or command may put out; at least 1 KiB.",
                .null = true),
        NUMBER("execution_s", "That one execution or command may take.", .null = true),
        NUMBER("idle_s",
               "Unused, after which a sandbox is paused with a snapshot: none of its contexts runs "
               "code or was asked anything, no command runs, and no port, file or package is in "
               "use.",
               .null = true),
        NUMBER("life_s",
               "From its beginning, after which the contexts of a sandbox end, unsaved. Its files "
               "and records stay.",
               .null = true)),
};

const struct doc_schema v1_network_schema = {
    .name = "Network",
    .about = "`none`; `full`; or the hosts that may be reached.",
    .json = "{\"anyOf\": [{\"enum\": [\"none\", \"full\"]}, {\"type\": \"object\", "
            "\"required\": [\"allow\"], \"additionalProperties\": false, \"properties\": "
            "{\"allow\": {\"type\": \"array\", \"items\": {\"type\": \"string\"}}}}]}",
};

static const struct doc_schema sandbox_request = {
    .name = "SandboxRequest",
    .closed = true,
    .fields = FIELDS(
        OBJECT("limits", &v1_limits_schema, "What its code may use."),
        MAP("env", NULL, "The environment of its code. Values are never told again.",
            .items = DOC_TEXT, .example = "{\"LANG\": \"C.UTF-8\"}"),
        OBJECT("network", &v1_network_schema, "What its code may reach. Without it: nothing.",
               .null = true),
        TEXT("policy",
             "`required` refuses what this machine cannot enforce; `best-effort` does without "
             "and says so in `confinement.missing`.",
             .words = "required best-effort", .initial = "\"required\""),
        BOOLEAN("cold", "Start Python anew instead of forking a warm one.", .initial = "false"),
        TEXT("name", "Unique among the sandboxes of its owner; routes take it in place of the id.",
             .most = NAME_LIMIT, .pattern = V1_NAME_PATTERN, .null = true),
        MAP("labels", NULL, "At most 32, for finding it again. Values have at most 256 bytes.",
            .items = DOC_TEXT, .example = "{\"team\": \"blue\"}"),
        TEXT("template", "The name or id of a template; what the request says goes over it.",
             .null = true),
        TEXT("language", "Of its contexts, of those that name none; see `/v1/languages`.",
             .null = true, .example = "\"javascript\""),
        LIST("preload", NULL, "Modules that are imported ahead.", .items = DOC_TEXT, .null = true),
        MAP("files", &v1_template_file_schema, "What its workspace begins with, by path."),
        LIST("packages", NULL, "Requirements that are installed before it is answered.",
             .items = DOC_TEXT, .null = true)),
};

static const struct doc_schema limit_state = {
    .name = "LimitState",
    .whole = true,
    .fields =
        FIELDS(NUMBER("value", "The limit; null: none.", .null = true),
               TEXT("enforced_by", "Who watches it.",
                    .words = "cgroup-v1 cgroup-v2 rlimit accounting tmpfs host gateway none")),
};

static const struct doc_schema confinement = {
    .name = "Confinement",
    .whole = true,
    .fields = FIELDS(TEXT("profile", "Always `sandbox`."),
                     TEXT("policy", "The one it was made with.", .words = "required best-effort"),
                     MAP("holds", NULL, "What confines it on this machine.", .items = DOC_ANY),
                     LIST("missing", NULL, "What this machine could not give.", .items = DOC_ANY)),
};

static const struct doc_schema usage = {
    .name = "Usage",
    .about = "What cannot be known is null.",
    .whole = true,
    .fields = FIELDS(NUMBER("cpu_s", "CPU time.", .null = true),
                     INTEGER("memory_bytes", "Memory now.", .null = true),
                     INTEGER("memory_peak_bytes", "The most it was.", .null = true),
                     INTEGER("processes", "Processes now.", .null = true),
                     INTEGER("disk_bytes", "In the workspace.", .null = true),
                     INTEGER("disk_inodes", "Files and folders in the workspace.", .null = true)),
};

static const struct doc_schema uid = {
    .name = "SandboxUid",
    .about = "That of the host which its processes have, or `shared` where all sandboxes have "
             "one; null: it has no process.",
    .json = "{\"anyOf\": [{\"type\": [\"integer\", \"null\"]}, {\"const\": \"shared\"}]}",
};

static const struct doc_schema made_from = {
    .name = "MadeFrom",
    .about = "As the template was then; it may be another now, or gone.",
    .whole = true,
    .fields = FIELDS(TEXT("id", "Of the template."), TEXT("name", "Of the template.")),
};

const struct doc_schema v1_sandbox_schema = {
    .name = "Sandbox",
    .whole = true,
    .fields =
        FIELDS(TEXT("id", "A UUID.", .format = "uuid"),
               TEXT("name", "What its owner calls it.", .null = true),
               MAP("labels", NULL, "As they were given to it.", .items = DOC_TEXT),
               OBJECT("template", &made_from, "What it was made from.", .null = true),
               TEXT("language", "Of contexts that name none."),
               LIST("preload", NULL, "What its own fork server imports; null: the usual.",
                    .items = DOC_TEXT, .null = true),
               TEXT("owner", "The principal whose it is."),
               TEXT("state", "Of its contexts together.",
                    .words = "starting running failed pausing paused resuming"),
               TEXT("reason", "What happened to it last, in a sentence.", .null = true),
               TEXT("cause", "The same in one word, such as `oom` or `signal`.", .null = true),
               TEXT("created", "When.", .format = "date-time"), OBJECT("uid", &uid, "Whose it is."),
               BOOLEAN("cold", "It was not forked."),
               OBJECT("network", &v1_network_schema, "What it may reach."),
               TEXT("policy", "As in the request.", .words = "required best-effort"),
               MAP("limits", &limit_state, "By the names that the request has."),
               TEXT("limits_hold", "Of one that is paused they hold when it is resumed.",
                    .words = "now from_resume"),
               OBJECT("confinement", &confinement, "What holds it."),
               OBJECT("usage", &usage, "What it uses."),
               TEXT("snapshot", "The id of the last one.", .null = true),
               LIST("contexts", &v1_context_schema, "Its interpreters, the oldest first."),
               TEXT("forked_from", "The id of the sandbox that it is a copy of.", .null = true)),
};

static const struct doc_schema sandboxes = {
    .name = "Sandboxes",
    .whole = true,
    .fields = FIELDS(LIST("sandboxes", &v1_sandbox_schema, "Those that live."), V1_NEXT),
};

static const struct doc_schema sandbox_change = {
    .name = "SandboxChange",
    .about = "One member at least.",
    .closed = true,
    .elsewhere = "network policy cold template files preload packages language",
    .elsewhere_why = "cannot be changed while a sandbox lives: make another one",
    .fields = FIELDS(OBJECT("limits", &v1_limits_schema, "Those that are named change."),
                     TEXT("name", "Another one; null: none any more.", .most = NAME_LIMIT,
                          .pattern = V1_NAME_PATTERN, .null = true),
                     MAP("labels", NULL, "Those that are named change; null takes one away.",
                         .items = DOC_ANY, .example = "{\"team\": \"red\", \"draft\": null}"),
                     MAP("env", NULL, "Of contexts and commands to come; null takes a name away.",
                         .items = DOC_ANY, .example = "{\"LANG\": \"C.UTF-8\"}")),
};

const struct doc v1_sandboxes_list_doc = {
    .tag = "Sandboxes",
    .query =
        FIELDS(TEXT("state", "In this state alone.",
                    .words = "starting running failed pausing paused resuming"),
               TEXT("label",
                    "With this label, as `team`, or with this value, as `team=blue`. It may be "
                    "there 16 times; all must fit.",
                    .example = "\"team=blue\""),
               TEXT("name_prefix", "With a name that begins so."),
               TEXT("template", "Made from this one, by its id or name."), V1_LIMIT, V1_AFTER),
    .replies = {REPLY(200, "A page of them, the oldest first, with what they use.",
                      .schema = &sandboxes)},
};

const struct doc v1_sandboxes_create_doc = {
    .tag = "Sandboxes",
    .about = "A sandbox has a workspace folder, limits, and one context to begin with. It is "
             "answered when code can run in it; one with usual wishes comes from the pool.",
    .headers = v1_idempotency,
    .body = &sandbox_request,
    .body_example = "{\"limits\": {\"memory_bytes\": 1073741824, \"execution_s\": 60}, \"env\": "
                    "{\"LANG\": \"C.UTF-8\"}}",
    .replies = {REPLY(201, "It is ready.", .schema = &v1_sandbox_schema, .headers = v1_location)},
    .errors = {{403, "`--max-sandboxes` live, or `--max-kernels` run."},
               {409, "The owner has a sandbox of this name, or one is being made with the key."},
               {422, "The key came with another body; or the language is not installed: the "
                     "sentence names the package."},
               {501, "The machine lacks what policy `required` needs; the sentence names it."}},
};

const struct doc v1_sandbox_show_doc = {
    .tag = "Sandboxes",
    .path = v1_in_sandbox,
    .replies = {REPLY(200, "What it uses is measured now.", .schema = &v1_sandbox_schema)},
};

const struct doc v1_sandbox_change_doc = {
    .tag = "Sandboxes",
    .about = "What runs goes on; the new limits hold at once, of a paused one from its resume on. "
             "All that is named changes, or nothing "
             "does. `network`, `policy`, `cold`, `template`, `files`, `preload`, `packages` and "
             "`language` cannot be changed while a sandbox lives: 400 names the member.",
    .path = v1_in_sandbox,
    .body = &sandbox_change,
    .body_example = "{\"limits\": {\"cpus\": 2}}",
    .body_must = true,
    .replies = {REPLY(200, "As it is now.", .schema = &v1_sandbox_schema)},
};

const struct doc v1_sandbox_interrupt_doc = {
    .tag = "Sandboxes",
    .about = "What its contexts run is interrupted, as by a person's Ctrl-C.",
    .path = v1_in_sandbox,
    .replies = {REPLY(200, "Every context was told.", .schema = &v1_sandbox_schema)},
};

const struct doc v1_sandbox_restart_doc = {
    .tag = "Sandboxes",
    .about = "Every context gets a new interpreter without variables, dead ones too; commands that "
             "run are killed. The workspace, ids, limits and environment stay.",
    .path = v1_in_sandbox,
    .replies = {REPLY(200, "Every context has begun anew.", .schema = &v1_sandbox_schema)},
};

const struct doc v1_sandbox_delete_doc = {
    .tag = "Sandboxes",
    .path = v1_in_sandbox,
    .replies = {REPLY(204, "Its processes, its folder and what is known of it are gone.")},
};

static const struct doc_schema status = {
    .name = "ReadyStatus",
    .whole = true,
    .fields = FIELDS(TEXT("status", "Always `ready`.", .words = "ready")),
};

const struct doc v1_readyz_doc = {
    .tag = "Service",
    .replies = {REPLY(200, "It does.", .schema = &status)},
    .errors = {{503, "The gateway is ending."}},
};

const struct doc v1_metrics_doc = {
    .tag = "Service",
    .about = "Kernels by state, sandboxes and what each uses, pools with their hits and misses, "
             "messages, bytes, connections, and requests by status.",
    .replies = {REPLY(200, "Prometheus text.", .type = "text/plain; version=0.0.4; charset=utf-8")},
};
