/* Docs of /v1/sandboxes/{id}/files. */
#include <stddef.h>

#include "gateway/dialect/v1_docs.h"

static const struct doc_field at_path[] = {
    TEXT("id", "Of the sandbox."),
    TEXT("path",
         "Below the workspace, with its slashes; each byte may be percent-encoded. A part `.` or "
         "`..` is 400.",
         .example = "\"data/table.csv\""),
    {.name = NULL},
};

static const struct doc_schema entry = {
    .name = "FileEntry",
    .about = "Bytes of names that are no UTF-8 are U+FFFD in `name`, `path` and `target`; `url` "
             "has them all. Where a folder lets only its names be read, all from `size_bytes` on "
             "is null.",
    .whole = true,
    .fields = FIELDS(TEXT("name", "The last part of its path."),
                     TEXT("path", "Below the workspace."), TEXT("url", "Where it is served."),
                     TEXT("kind", "What it is.", .words = "file folder symlink other"),
                     INTEGER("size_bytes", "Its size.", .null = true),
                     TEXT("modified", "When.", .format = "date-time", .null = true),
                     TEXT("mode", "Permissions in octal: `0644`.", .null = true),
                     TEXT("etag", "A file's version.", .null = true),
                     TEXT("target", "Where a symlink leads.", .null = true)),
};

static const struct doc_schema folder = {
    .name = "Folder",
    .whole = true,
    .fields = FIELDS(
        TEXT("path", "Below the workspace; empty: itself."),
        LIST("files", &entry, "By name, as bytes."),
        TEXT("next", "What `after` takes for what follows; null: that was all.", .null = true)),
};

/* What a GET of a path answers is of three kinds. */
static const struct doc_schema entry_or_folder = {
    .name = "FileEntryOrFolder",
    .about = "The list of a folder; with `stat=1` the entry itself.",
    .json = "{\"anyOf\": [{\"$ref\": \"#/components/schemas/FileEntry\"}, {\"$ref\": "
            "\"#/components/schemas/Folder\"}, {}]}",
};

#define FLAG "1 0 true false"
#define PAGE                                                                                       \
    INTEGER("limit", "Of a folder: at most so many.", .least = 1, .most = 10000,                   \
            .initial = "1000"),                                                                    \
        TEXT("after", "Of a folder: what `next` said."),                                           \
        TEXT("recursive", "Of a folder: all below it, what is in a folder behind it.",             \
             .words = FLAG),                                                                       \
        TEXT("glob",                                                                               \
             "Of what is below a folder, what this pattern matches: `*`, `?` and `[a-z]` in a "    \
             "name, `**` for any number of folders.",                                              \
             .example = "\"**/*.csv\"")
#define WATCH                                                                                      \
    TEXT("watch",                                                                                  \
         "What changes in a folder (with `recursive` also below its folders), as events for as "   \
         "long as the client listens: `ready`, then `created`, `modified`, `attributes`, "         \
         "`moved`, `deleted`, and `overflow` where changes were not told; `end` is the last.",     \
         .words = FLAG)
#define EVENTS                                                                                     \
    REPLY(200, "", .type = "application/x-ndjson"), REPLY(200, "", .type = "text/event-stream")
#define TAR_OUT                                                                                    \
    TEXT("tar",                                                                                    \
         "All of a folder as a tar: `1`, or `gzip`. What cannot be read is left out, and a "       \
         "comment in it says so.",                                                                 \
         .words = "1 gzip")
#define CONDITIONS                                                                                 \
    TEXT("If-None-Match", "`*`: only if nothing is there.", .words = "*"),                         \
        TEXT("If-Match", "Only if this version is there: an ETag.")

const struct doc v1_files_list_doc = {
    .tag = "Files",
    .path = v1_in_sandbox,
    .query = FIELDS(PAGE, TAR_OUT, WATCH,
                    TEXT("stat", "The workspace itself, not what is in it.", .words = FLAG)),
    .replies = {REPLY(200, "What is in it.", .schema = &folder),
                REPLY(200, "", .type = "application/x-tar"),
                REPLY(200, "", .type = "application/gzip"), EVENTS},
};

static const struct doc_schema unpacked = {
    .name = "Unpacked",
    .about = "What the tar had.",
    .whole = true,
    .fields = FIELDS(INTEGER("files", "Files."), INTEGER("folders", "Folders."),
                     INTEGER("symlinks", "Symlinks."), INTEGER("bytes", "Of the files.")),
};

#define ABOUT_TAR                                                                                  \
    "A tar, or a gzipped one, is unpacked as it comes: files appear whole, one after the other, "  \
    "in place of files and links; folders that are there stay. Nothing leaves the folder and no "  \
    "link is followed. Absolute paths, `..`, links that lead out, hard links, devices, FIFOs and " \
    "sparse files are 400, with the entry's name; what was before it stays."

const struct doc v1_files_unpack_doc = {
    .tag = "Files",
    .about = ABOUT_TAR,
    .path = v1_in_sandbox,
    .query = FIELDS(TEXT("tar", "Must be there.", .words = FLAG, .must = true)),
    .body_type = "application/x-tar",
    .replies = {REPLY(200, "All of it is there.", .schema = &unpacked)},
    .errors = {{400, "It is no tar, breaks off, or has an entry that is not taken."},
               {409, "Something is there that an entry cannot replace, or a link is on its way."},
               {413, "Its files are longer than `--file-limit`, or it has a million entries."},
               {507, "The sandbox's `workspace_bytes` or `workspace_inodes`."}},
};

const struct doc v1_file_show_doc = {
    .tag = "Files",
    .about = "Links are followed where they stay in the workspace; one that leads out is 403.",
    .path = at_path,
    .query =
        FIELDS(PAGE, TAR_OUT, WATCH,
               TEXT("stat", "What it is, not what is in it; of a link itself.", .words = FLAG)),
    .headers = FIELDS(TEXT("Range", "Of a file: one range of bytes.", .example = "\"bytes=0-99\""),
                      TEXT("If-None-Match", "Of a file: an ETag that the client has.")),
    .replies = {REPLY(200,
                      "The bytes of a file, of the type that its name says; or JSON of a folder.",
                      .type = "*/*"),
                REPLY(200, "", .schema = &entry_or_folder), REPLY(206, "The range.", .type = "*/*"),
                REPLY(304, "The client has it."), REPLY(416, "The range lies outside.")},
    .errors = {{403, "What the code inside may not read, or a link that leads out."},
               {409, "Neither a FIFO, a socket nor a device is opened."}},
};

const struct doc v1_file_put_doc = {
    .tag = "Files",
    .about = "Folders on the way are made. The file takes its place at once when all bytes are "
             "there; a request that breaks off leaves nothing. With `tar=1`: " ABOUT_TAR,
    .path = at_path,
    .query =
        FIELDS(TEXT("mode",
                    "Permissions in octal. Without it what was there keeps its own, and what "
                    "is new has 644.",
                    .pattern = "^[0-7]{1,3}$"),
               TEXT("folder", "Make a folder; the request has no body.", .words = FLAG),
               TEXT("tar", "Unpack the body into this folder, made if need be.", .words = FLAG)),
    .headers = FIELDS(CONDITIONS),
    .body_type = "application/octet-stream",
    .replies = {REPLY(200, "The tar is unpacked.", .schema = &unpacked),
                REPLY(201, "It is new.",
                      .headers = FIELDS(TEXT("Location", "Where it is."),
                                        TEXT("ETag", "Of a file: its version."))),
                REPLY(204, "It replaced what was there.",
                      .headers = FIELDS(TEXT("ETag", "Of a file: its version.")))},
    .errors = {{413, "Longer than `--file-limit`."},
               {507, "The sandbox's `workspace_bytes` or `workspace_inodes`."}},
};

const struct doc v1_file_post_doc = {
    .tag = "Files",
    .about = "One of `append`, `move_to` and `copy_to` is needed. An append of up to 1 MiB is one "
             "write, not mixed with those "
             "of others.",
    .path = at_path,
    .query = FIELDS(TEXT("append", "Add the body to the end of a file.", .words = FLAG),
                    TEXT("mode", "Of a new file: permissions in octal.", .pattern = "^[0-7]{1,3}$"),
                    TEXT("move_to", "Where it shall be, below the workspace; without a body."),
                    TEXT("copy_to", "Where a copy shall be, of a folder with all in it; without a "
                                    "body."),
                    TEXT("overwrite", "Replace what is there.", .words = FLAG)),
    .headers = FIELDS(CONDITIONS),
    .body_type = "application/octet-stream",
    .replies = {REPLY(201, "It is new.", .headers = v1_location),
                REPLY(204, "Something was there, and has grown or was replaced.")},
    .errors = {{409, "Something is where it shall be, and `overwrite` was not asked "
                     "for."},
               {413, "Longer than `--file-limit`."},
               {507, "The sandbox's `workspace_bytes` or `workspace_inodes`."}},
};

static const struct doc_schema change = {
    .name = "ModeChange",
    .closed = true,
    .fields = FIELDS(
        TEXT("mode", "Permissions in octal: `755`.", .pattern = "^[0-7]{1,4}$", .must = true)),
};

const struct doc v1_file_patch_doc = {
    .tag = "Files",
    .about = "A link is followed where it stays in the workspace.",
    .path = at_path,
    .headers = FIELDS(CONDITIONS),
    .body = &change,
    .body_must = true,
    .replies = {REPLY(204, "It has them.")},
};

const struct doc v1_file_delete_doc = {
    .tag = "Files",
    .path = at_path,
    .query = FIELDS(TEXT("recursive", "A folder with all that is in it.", .words = FLAG)),
    .headers = FIELDS(CONDITIONS),
    .replies = {REPLY(204, "It is gone.")},
    .errors = {{409, "It is a folder, which needs `recursive`."}},
};
