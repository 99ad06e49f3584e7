/* Docs of a sandbox's snapshots, and of how it is paused and resumed. */
#include <stddef.h>

#include "gateway/dialect/v1_docs.h"

static const struct doc_schema saved_variable = {
    .name = "SavedVariable",
    .whole = true,
    .fields = FIELDS(TEXT("name", "Of the variable."), TEXT("type", "Of its value.")),
};

static const struct doc_schema missed_variable = {
    .name = "MissedVariable",
    .whole = true,
    .fields = FIELDS(TEXT("name", "Of the variable."), TEXT("reason", "Why.")),
};

static const struct doc_schema saved_context = {
    .name = "SavedContext",
    .whole = true,
    .fields = FIELDS(TEXT("id", "Of the context."), TEXT("name", "Of the context."),
                     LIST("saved", &saved_variable, "Its variables, 10,000 at most."),
                     INTEGER("saved_more", "How many more there are."),
                     LIST("not_saved", &missed_variable, "What cannot be saved, 10,000 at most."),
                     INTEGER("not_saved_more", "How many more there are."),
                     TEXT("problem", "Why nothing of it was saved.", .null = true)),
};

static const struct doc_schema snapshot = {
    .name = "Snapshot",
    .about = "The variables of all contexts of a sandbox, and what it takes to make it again.",
    .whole = true,
    .fields = FIELDS(TEXT("id", "Of the snapshot."), TEXT("created", "When."),
                     TEXT("why", "What it was made for.", .words = "asked pause idle"),
                     INTEGER("bytes", "What it takes on the disk."),
                     LIST("contexts", &saved_context, "What is saved.")),
};

static const struct doc_schema snapshots = {
    .name = "Snapshots",
    .whole = true,
    .fields = FIELDS(LIST("snapshots", &snapshot, "The oldest first; the newest five are kept."),
                     V1_NEXT),
};

static const struct doc_schema restored_context = {
    .name = "RestoredContext",
    .whole = true,
    .fields = FIELDS(TEXT("id", "Of the context."), TEXT("name", "Of the context."),
                     LIST("restored", NULL, "Names of its variables.", .items = DOC_TEXT),
                     LIST("not_restored", &missed_variable, "What could not be restored."),
                     TEXT("problem", "Why nothing of it was restored.", .null = true)),
};

static const struct doc_schema resumed = {
    .name = "Resumed",
    .whole = true,
    .fields = FIELDS(OBJECT("sandbox", &v1_sandbox_schema, "As it is now."),
                     TEXT("snapshot", "The id of the one that it has the state of."),
                     LIST("contexts", &restored_context, "What of it is there again.")),
};

static const struct doc_schema force = {
    .name = "SnapshotRequest",
    .fields = FIELDS(BOOLEAN("force",
                             "Leave out the variables of a context that is busy or cannot be "
                             "restored, and say so, instead of failing.",
                             .initial = "false")),
};

const struct doc v1_snapshots_list_doc = {
    .tag = "Snapshots",
    .path = v1_in_sandbox,
    .query = FIELDS(V1_LIMIT, V1_AFTER),
    .replies = {REPLY(200, "All that are kept.", .schema = &snapshots)},
};

const struct doc v1_snapshots_create_doc = {
    .tag = "Snapshots",
    .about = "Falls between two executions. The workspace is not copied: it stays where it is.",
    .path = v1_in_sandbox,
    .headers = v1_idempotency,
    .body = &force,
    .replies = {REPLY(201, "It is on the disk.", .schema = &snapshot)},
    .errors = {{409, "A context is busy or starting, and `force` was not asked for; or it is "
                     "saved, paused or resumed just now."},
               {413, "The variables of a context are larger than `--snapshot-limit`."}},
};

const struct doc v1_sandbox_pause_doc = {
    .tag = "Snapshots",
    .about = "Its workspace, its ids and its variables are kept; it has no process any more.",
    .path = v1_in_sandbox,
    .body = &force,
    .replies = {REPLY(200, "It is saved, and its processes have ended.",
                      .schema = &v1_sandbox_schema)},
    .errors = {{409, "A context is busy or starting, and `force` was not asked for; or it is "
                     "saved or resumed just now."},
               {413, "The variables of a context are larger than `--snapshot-limit`."}},
};

const struct doc v1_sandbox_resume_doc = {
    .tag = "Snapshots",
    .about = "Contexts have their ids and names again, so that a client comes back to its kernel.",
    .path = v1_in_sandbox,
    .body = &force,
    .replies = {REPLY(200, "It runs, with what is said.", .schema = &resumed)},
    .errors = {{403, "`--max-kernels` leaves no room for all its contexts."},
               {409, "It is not paused."},
               {502, "A context cannot be restored as a whole; with `force` it begins empty."}},
};
