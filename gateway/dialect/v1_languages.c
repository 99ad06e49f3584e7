/* /v1/languages: what code may be written in here, and what of it is installed. */
#include "gateway/core/languages.h"
#include "gateway/dialect/v1.h"
#include "gateway/net/doc.h"
#include "protocol/memory.h"

static void list(struct exchange *x, void *core)
{
    (void)core;
    exchange_reply_json(x, 200, json_pack("{s:o}", "languages", languages_model()));
}

/* --- what the row says of itself */

static const struct doc_schema language = {
    .name = "Language",
    .whole = true,
    .fields = FIELDS(
        TEXT("name", "As requests have it."),
        TEXT("kind",
             "`kernel`: contexts may be of it. `toolchain`: it has none; commands in a sandbox "
             "compile and run it.",
             .words = "kernel toolchain"),
        TEXT("title", "Of what runs it, for people."), BOOLEAN("available", "It is installed."),
        TEXT("reason", "Why it is not available, with the package to install.", .null = true),
        TEXT("program", "What is looked for; null: nothing need be.", .null = true),
        TEXT("package", "Debian's that has the program.", .null = true),
        TEXT("mime_type", "Of its source."), TEXT("file_extension", "Of its source."),
        BOOLEAN("keeps_variables", "Snapshots and forks have the variables of its contexts.")),
};

static const struct doc_schema languages = {
    .name = "Languages",
    .whole = true,
    .fields = FIELDS(LIST("languages", &language, "Those that there may be, installed or not.")),
};

static const struct doc list_doc = {
    .tag = "Contexts",
    .replies = {REPLY(200, "As they are now.", .schema = &languages)},
};

static const struct route rows[] = {
    {
        .method = GET,
        .pattern = "/v1/languages",
        .handler = list,
        .summary = "What code may be written in, and what of it is installed",
        .error_form = ERRORS_PROBLEM,
        .doc = &list_doc,
    },
};

const struct route_table v1_language_routes = {rows, countof(rows)};
