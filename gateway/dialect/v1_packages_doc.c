/* Docs of /v1/sandboxes/{id}/packages. */
#include <stddef.h>

#include "gateway/dialect/v1_docs.h"

#define DEADLINE                                                                                   \
    INTEGER("deadline_s", "For all of it, but for waiting for its turn.", .least = 1,              \
            .most = 3600, .initial = "600")

static const struct doc_schema package = {
    .name = "Package",
    .whole = true,
    .fields = FIELDS(TEXT("name", "As it calls itself."), TEXT("version", "Of it."),
                     TEXT("location",
                          "`sandbox`: installed into this one; `environment`: of the Python that "
                          "all share.",
                          .words = "sandbox environment"),
                     LIST("modules", NULL, "By which names it is imported, without what is below.",
                          .items = DOC_TEXT),
                     BOOLEAN("preloaded", "Contexts begin with it imported, unless the sandbox is "
                                          "cold.")),
};

static const struct doc_schema packages = {
    .name = "Packages",
    .whole = true,
    .fields = FIELDS(LIST("packages", &package,
                          "By name; one of the sandbox hides that of the "
                          "environment.")),
};

static const struct doc_schema request = {
    .name = "PackageRequest",
    .closed = true,
    .fields = FIELDS(
        LIST("packages", NULL,
             "1 to 64 names of packages with extras and versions, as PEP 508 has them, 256 bytes "
             "each. URLs, paths, options and markers are refused.",
             .items = DOC_TEXT, .must = true, .example = "[\"httpx==0.27.0\", \"rich>=13,<14\"]"),
        DEADLINE,
        BOOLEAN("restart",
                "Restart contexts that have imported what changes; else they are only "
                "told of.",
                .initial = "true")),
};

static const struct doc_schema installed = {
    .name = "PackageInstalled",
    .whole = true,
    .fields = FIELDS(TEXT("name", "Of a package that was asked for, or that one needs."),
                     TEXT("version", "Of it."),
                     TEXT("replaces", "The version that code saw before.", .null = true)),
};

static const struct doc_schema plain = {
    .name = "PackageVersion",
    .whole = true,
    .fields = FIELDS(TEXT("name", "As it calls itself."), TEXT("version", "Of it.")),
};

static const struct doc_schema context = {
    .name = "PackageContext",
    .whole = true,
    .fields = FIELDS(
        TEXT("id", "Of a context."), TEXT("name", "Its name."),
        BOOLEAN("restarted", "Its variables are gone, and it sees what changed."),
        TEXT("reason", "Why it was, or should be.", .null = true),
        LIST("modules", NULL, "Those that changed and that it had imported.", .items = DOC_TEXT)),
};

#define CHANGED                                                                                    \
    BOOLEAN("restarted", "A context was."), TEXT("reason", "Why.", .null = true),                  \
        LIST("contexts", &context, "Those that were asked what they have imported.")

static const struct doc_schema result = {
    .name = "PackagesInstalled",
    .whole = true,
    .fields = FIELDS(LIST("installed", &installed, "With all that they need."),
                     LIST("already", &plain, "What was asked for and is there as it is."), CHANGED),
};

static const struct doc_schema removed = {
    .name = "PackageRemoved",
    .whole = true,
    .fields = FIELDS(OBJECT("removed", &plain, "It."), CHANGED),
};

static const struct doc_schema event = {
    .name = "PackageEvent",
    .about = "`end` has the result's members besides.",
    .fields = FIELDS(TEXT("event", "What it tells.",
                          .words = "queued started progress restarting end failed", .must = true),
                     INTEGER("position", "Of `queued`: how many go before it."),
                     TEXT("phase", "Of `progress`.", .words = "resolve install"),
                     TEXT("text", "Of `progress`: a line of pip's."),
                     TEXT("context", "Of `restarting`: its id."),
                     INTEGER("status", "Of `failed`: an HTTP status."),
                     TEXT("detail", "Of `failed`: why.")),
};

static const struct doc_field one[] = {
    TEXT("id", "Of the sandbox."),
    TEXT("package", "Its name."),
    {.name = NULL},
};

const struct doc v1_packages_list_doc = {
    .tag = "Packages",
    .path = v1_in_sandbox,
    .query = FIELDS(DEADLINE),
    .replies = {REPLY(200, "All of them.", .schema = &packages)},
    .errors = {{409, "The sandbox is paused, or ends."},
               {422, "What is installed in the sandbox cannot be read: why."},
               {429, "16 changes wait already."},
               {501, "The gateway has no Python."},
               {504, "Its time was over."},
               {507, "The sandbox has no memory left."}},
};

const struct doc v1_packages_install_doc = {
    .tag = "Packages",
    .about = "Wheels alone, from the index or the folder that the administrator has chosen, by a "
             "program that is confined apart from the sandbox. All of them are there then, or "
             "nothing has changed. To install again what is there changes nothing.",
    .path = v1_in_sandbox,
    .headers = FIELDS(TEXT("Accept", "`text/event-stream` or `application/x-ndjson`: as it goes.",
                           .example = "\"application/x-ndjson\"")),
    .body = &request,
    .body_example = "{\"packages\": [\"humanize==4.9.0\"]}",
    .body_must = true,
    .streams = true,
    .replies = {REPLY(200, "They can be imported.", .schema = &result),
                REPLY(200, "", .schema = &event, .type = "application/x-ndjson"),
                REPLY(200, "", .type = "text/event-stream")},
    .errors = {{403, "The administrator has allowed neither an index nor wheels."},
               {409, "The sandbox is paused, or ended meanwhile."},
               {422, "They cannot be installed: pip's reason."},
               {429, "16 changes wait already."},
               {501, "The gateway has no Python, or that has no pip."},
               {504, "Its time was over."},
               {507, "They do not fit into the workspace, or into the memory."}},
};

const struct doc v1_package_delete_doc = {
    .tag = "Packages",
    .about = "Packages of the environment stay.",
    .path = one,
    .query = FIELDS(TEXT("restart", "`0`: contexts that have imported it are only told of.",
                         .words = "1 0", .initial = "\"1\""),
                    DEADLINE),
    .replies = {REPLY(200, "It cannot be imported any more.", .schema = &removed)},
    .errors = {{404, "There is no such sandbox, or it was not installed into it."},
               {409, "The sandbox is paused, or ended meanwhile."},
               {422, "What is installed in the sandbox cannot be changed: why."},
               {429, "16 changes wait already."},
               {501, "The gateway has no Python."},
               {504, "Its time was over."},
               {507, "There is no room for the change, or no memory."}},
};
