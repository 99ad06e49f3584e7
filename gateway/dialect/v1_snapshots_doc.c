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
                     TEXT("why", "What it was made for.", .words = "asked pause idle fork"),
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
                     TEXT("snapshot",
                          "The id of the one that it has the state of; null: it had none, and its "
                          "contexts begin anew.",
                          .null = true),
                     LIST("contexts", &restored_context, "What of it is there again.")),
};

static const struct doc_schema force = {
    .name = "SnapshotRequest",
    .closed = true,
    .fields = FIELDS(BOOLEAN("force",
                             "Leave out the variables of a context that is busy or cannot be "
                             "restored, and say so, instead of failing.",
                             .initial = "false")),
};

static const struct doc_schema fork_request = {
    .name = "ForkRequest",
    .closed = true,
    .elsewhere = "limits env network policy cold template language preload packages files",
    .elsewhere_why = "a copy has that of the first: change it afterwards",
    .fields = FIELDS(
        TEXT("name", "Of the copy; unique among the sandboxes of its owner.", .most = NAME_LIMIT,
             .pattern = V1_NAME_PATTERN, .null = true),
        MAP("labels", NULL, "Of the copy; without it those of the first.", .items = DOC_TEXT),
        BOOLEAN("force",
                "A context that is busy, or cannot be saved or restored, begins empty in the copy, "
                "and the answer says so, instead of failing.",
                .initial = "false")),
};

static const struct doc_schema missed_file = {
    .name = "MissedFile",
    .whole = true,
    .fields = FIELDS(TEXT("path", "In the workspace."), TEXT("reason", "Why.")),
};

static const struct doc_schema copied_workspace = {
    .name = "CopiedWorkspace",
    .whole = true,
    .fields = FIELDS(
        INTEGER("files", "That were copied."), INTEGER("folders", "That were copied."),
        INTEGER("links", "That were copied, as links."),
        INTEGER("bytes", "Of the files together, as long as they say they are."),
        LIST("changed", NULL,
             "Files that something in the first wrote to each time they were copied: they may be "
             "as they never were. 100 at most.",
             .items = DOC_TEXT),
        INTEGER("changed_more", "How many more there are."),
        LIST("not_copied", &missed_file, "What the copy lacks, 100 at most."),
        INTEGER("not_copied_more", "How many more there are.")),
};

static const struct doc_schema forked = {
    .name = "Forked",
    .whole = true,
    .fields = FIELDS(
        OBJECT("sandbox", &v1_sandbox_schema, "The copy. It runs."),
        TEXT("snapshot", "Of the copy: the id of the one that it began with.", .null = true),
        LIST("contexts", &restored_context,
             "What of each is there again; null: the same key has made it before.", .null = true),
        OBJECT("workspace", &copied_workspace,
               "What was copied; null: the same key has made it before.", .null = true)),
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

const struct doc v1_sandbox_fork_doc = {
    .tag = "Snapshots",
    .about =
        "The copy belongs to the same owner and has the limits, environment, secrets, network, "
        "policy and template of the first, and its contexts by their names, with ids of their own. "
        "What the first ran, its artifacts, its history and its snapshots are not copied. It runs "
        "on, or stays paused. Each context is saved between two executions, and then the "
        "workspace is copied: what the first does after its contexts were saved may be in the "
        "copy's files, or not.",
    .path = v1_in_sandbox,
    .headers = v1_idempotency,
    .body = &fork_request,
    .replies = {REPLY(201, "The copy runs.", .schema = &forked, .headers = v1_location)},
    .errors = {{403, "`--max-sandboxes` live, `--max-kernels` run, or the owner's quota is used."},
               {409, "A context is busy or starting, and `force` was not asked for; it is saved, "
                     "paused, resumed or forked just now; or the name is taken."},
               {413, "The variables of a context are larger than `--snapshot-limit`."},
               {422, "The key came with another body."},
               {502, "A context cannot be restored as a whole; with `force` it begins empty."},
               {507, "It does not fit into `workspace_bytes`, or onto the disk."}},
};
