/* Docs of /v1/templates. */
#include <stddef.h>

#include "gateway/core/template.h"
#include "gateway/dialect/v1_docs.h"

const struct doc_schema v1_template_file_schema = {
    .name = "TemplateFile",
    .about = "Text; or an object with `text` or `base64`, and `mode`, octal.",
    .json = "{\"anyOf\": [{\"type\": \"string\"}, {\"type\": \"object\", "
            "\"additionalProperties\": false, \"properties\": {\"text\": {\"type\": \"string\"}, "
            "\"base64\": {\"type\": \"string\"}, \"mode\": "
            "{\"type\": \"string\", \"pattern\": \"^[0-7]{1,4}$\"}}}]}",
};

static const struct doc_schema pool = {
    .name = "TemplatePool",
    .about = "Each at most what `--pool-max` allows.",
    .closed = true,
    .fields = FIELDS(
        INTEGER("min", "Also while nobody asks for one. For administrators.", .initial = "0"),
        INTEGER("max", "At most; 0: none.")),
};

#define BODY_FIELDS(must_)                                                                         \
    TEXT("name", "Unique among the templates of its owner.", .most = NAME_LIMIT,                   \
         .pattern = V1_NAME_PATTERN, .must = must_),                                               \
        BOOLEAN("shared", "Everybody may make sandboxes from it. For administrators.",             \
                .initial = "false"),                                                               \
        TEXT("description", "For people.", .most = TEMPLATE_ABOUT_LIMIT, .null = true),            \
        TEXT("language", "Of contexts that name none; see `/v1/languages`.",                       \
             .initial = "\"python\""),                                                             \
        LIST("preload", NULL,                                                                      \
             "Modules that are imported before a sandbox is asked for. Without it: those of the "  \
             "gateway.",                                                                           \
             .items = DOC_TEXT, .null = true, .example = "[\"numpy\", \"sklearn\"]"),              \
        OBJECT("network", &v1_network_schema, "What its code may reach.", .null = true),           \
        MAP("env", NULL, "The environment of its code. Values are never told again.",              \
            .items = DOC_TEXT),                                                                    \
        OBJECT("limits", &v1_limits_schema, "What its code may use, and for how long."),           \
        MAP("files", &v1_template_file_schema, "What a new workspace has in it, by path."),        \
        LIST("packages", NULL, "Requirements that are installed into a new sandbox.",              \
             .items = DOC_TEXT),                                                                   \
        OBJECT("pool", &pool, "How many sandboxes stand ready.")

static const struct doc_schema request = {
    .name = "TemplateRequest",
    .closed = true,
    .fields = FIELDS(BODY_FIELDS(true)),
};

static const struct doc_schema template_change = {
    .name = "TemplateChange",
    .closed = true,
    .fields = FIELDS(BODY_FIELDS(false)),
};

static const struct doc_schema seeded = {
    .name = "TemplateFileFacts",
    .whole = true,
    .fields = FIELDS(TEXT("path", "Below the workspace."), INTEGER("bytes", "Its size."),
                     TEXT("mode", "Octal.")),
};

static const struct doc_schema seed = {
    .name = "TemplateSeed",
    .whole = true,
    .fields = FIELDS(TEXT("sha256", "Of the tar, as it came.", .pattern = "^[0-9a-f]{64}$"),
                     INTEGER("bytes", "Its size."), INTEGER("files", "In it."),
                     INTEGER("folders", "In it."), INTEGER("symlinks", "In it.")),
};

static const struct doc_schema template_schema = {
    .name = "Template",
    .whole = true,
    .fields = FIELDS(
        TEXT("id", "A UUID.", .format = "uuid"), TEXT("name", "What it is asked for by."),
        TEXT("owner", "The principal whose it is."), BOOLEAN("shared", "Everybody may use it."),
        TEXT("description", "For people.", .null = true),
        TEXT("created", "When.", .format = "date-time"),
        TEXT("changed", "When it was changed last, or made.", .format = "date-time"),
        TEXT("language", "Of contexts that name none."),
        LIST("preload", NULL, "Modules; null: those of the gateway.", .items = DOC_TEXT,
             .null = true),
        OBJECT("network", &v1_network_schema, "What its code may reach."),
        LIST("env", NULL, "The names that it sets.", .items = DOC_TEXT),
        OBJECT("limits", &v1_limits_schema, "Those that it names."),
        LIST("files", &seeded, "What a new workspace has in it."),
        OBJECT("seed", &seed, "The tar that a new workspace begins with; null: none.",
               .null = true),
        LIST("packages", NULL, "What is installed into a new sandbox.", .items = DOC_TEXT),
        OBJECT("pool", &pool, "How many stand ready; null: as there is demand.", .null = true),
        INTEGER("sandboxes", "How many that are there were made from it.")),
};

static const struct doc_schema templates = {
    .name = "Templates",
    .whole = true,
    .fields = FIELDS(LIST("templates", &template_schema, "One's own and those that are shared."),
                     V1_NEXT),
};

static const struct doc_field in_template[] = {
    TEXT("id", "Of the template, or its name: of one's own first, then of those shared.",
         .example = "\"analysis\""),
    {.name = NULL},
};

#define BODY_EXAMPLE                                                                               \
    "{\"name\": \"analysis\", \"preload\": [\"numpy\", \"pandas\"], \"limits\": "                  \
    "{\"memory_bytes\": 1073741824, \"idle_s\": 600}, \"files\": {\"helper.py\": \"x = 1\\n\"}}"
#define STAYS                                                                                      \
    "Sandboxes that were made from it stay as they are: each has a copy of all that it needs."

const struct doc v1_templates_list_doc = {
    .tag = "Templates",
    .query = FIELDS(TEXT("name_prefix", "With a name that begins so."), V1_LIMIT, V1_AFTER),
    .replies = {REPLY(200, "A page of them.", .schema = &templates)},
};

const struct doc v1_templates_create_doc = {
    .tag = "Templates",
    .about = "What sandboxes are made from: `POST /v1/sandboxes` with its name or id as "
             "`template`. A list of modules of its own has a fork server of its own.",
    .headers = v1_idempotency,
    .body = &request,
    .body_example = BODY_EXAMPLE,
    .body_must = true,
    .replies = {REPLY(201, "It is stored.", .schema = &template_schema, .headers = v1_location)},
    .errors =
        {{403,
          "It is to be shared, or kept ready unasked, by who is no administrator; or there are "
          "too many."},
         {409, "Its owner has a template of this name, or one is being made with the key."},
         {422, "The key came with another body; or its language is not installed: the sentence "
               "names the package."}},
};

const struct doc v1_template_show_doc = {
    .tag = "Templates",
    .path = in_template,
    .replies = {REPLY(200, "As it is.", .schema = &template_schema)},
};

const struct doc v1_template_put_doc = {
    .tag = "Templates",
    .about = "What the body does not name is as in a new one, but the seed stays. " STAYS,
    .path = in_template,
    .body = &request,
    .body_example = BODY_EXAMPLE,
    .body_must = true,
    .replies = {REPLY(200, "As it is now, and stored.", .schema = &template_schema)},
    .errors = {{403, "It is somebody else's."},
               {409, "The name is taken, or it is being changed."},
               {422, "Its language is not installed: the sentence names the package."}},
};

const struct doc v1_template_change_doc = {
    .tag = "Templates",
    .about = "Members that the body names change, each as a whole; the others stay. " STAYS,
    .path = in_template,
    .body = &template_change,
    .body_example = "{\"preload\": [\"numpy\"]}",
    .body_must = true,
    .replies = {REPLY(200, "As it is now, and stored.", .schema = &template_schema)},
    .errors = {{403, "It is somebody else's."},
               {409, "The name is taken, or it is being changed."},
               {422, "Its language is not installed: the sentence names the package."}},
};

const struct doc v1_template_delete_doc = {
    .tag = "Templates",
    .about = STAYS,
    .path = in_template,
    .replies = {REPLY(204, "It is deleted, and that is stored.")},
    .errors = {{403, "It is somebody else's."}, {409, "It is being changed."}},
};

const struct doc v1_template_seed_show_doc = {
    .tag = "Templates",
    .about = "As it came.",
    .path = in_template,
    .headers = FIELDS(TEXT("Range", "One range of bytes.", .example = "\"bytes=0-99\""),
                      TEXT("If-None-Match", "An ETag that the client has.")),
    .replies = {REPLY(200, "The tar.", .type = "application/x-tar",
                      .headers = FIELDS(TEXT("ETag", "Of the content."))),
                REPLY(200, "", .type = "application/gzip"),
                REPLY(206, "The range.", .type = "application/x-tar"),
                REPLY(206, "", .type = "application/gzip"), REPLY(304, "The client has it."),
                REPLY(416, "The range lies outside.")},
    .errors = {{404, "There is no such template, or it has no seed."}},
};

const struct doc v1_template_seed_put_doc = {
    .tag = "Templates",
    .about = "The body is a tar, or a gzipped one, by the rules of `PUT …/files?tar=1`. It is "
             "unpacked into each new workspace, before the template's `files`. " STAYS,
    .path = in_template,
    .body_type = "application/x-tar",
    .replies = {REPLY(200, "The template, with it: it is stored.", .schema = &template_schema)},
    .errors = {{400, "It is no tar, breaks off, or has an entry that is not taken."},
               {403, "It is somebody else's, or the quota of disk is used up."},
               {409, "It is being changed."},
               {413, "It, or its files, are longer than `--file-limit`, or it has a million "
                     "entries."}},
};

const struct doc v1_template_seed_delete_doc = {
    .tag = "Templates",
    .about = STAYS,
    .path = in_template,
    .replies = {REPLY(204, "It has none any more, and that is stored.")},
    .errors = {{403, "It is somebody else's."},
               {404, "There is no such template, or it has no seed."},
               {409, "It is being changed."}},
};
