/* Docs of Jupyter's routes. The shapes are jupyter_server's; what it lets be of any kind is ANY. */
#include "gateway/dialect/jupyter_docs.h"

#include <stddef.h>

/* --- the server */

static const struct doc_schema version = {
    .name = "Version",
    .whole = true,
    .fields = FIELDS(TEXT("version", "Of warmcell.")),
};

static const struct doc_schema status = {
    .name = "Status",
    .whole = true,
    .fields = FIELDS(TEXT("started", "When.", .format = "date-time"),
                     TEXT("last_activity", "When.", .format = "date-time"),
                     INTEGER("connections", "WebSockets of kernels."),
                     INTEGER("kernels", "That live, those of sandboxes too.")),
};

static const struct doc_schema swagger = {
    .name = "Swagger",
    .about = "A Swagger 2.0 document.",
    .json = "{\"type\": \"object\", \"required\": [\"swagger\", \"info\", \"paths\"]}",
};

static const struct doc_schema place = {
    .name = "ResolvedPlace",
    .whole = true,
    .fields = FIELDS(TEXT("scope", "Always `kernel`.", .words = "kernel"),
                     TEXT("path", "An absolute path.")),
};

static const struct doc_schema missed = {
    .name = "UnresolvedPlace",
    .whole = true,
    .fields = FIELDS(TEXT("scope", "Always `kernel`.", .words = "kernel"), TEXT("reason", "Why.")),
};

static const struct doc_schema resolved = {
    .name = "ResolvedPath",
    .fields = FIELDS(LIST("resolved", &place, "Where it is.", .must = true),
                     LIST("unresolved", &missed, "Where it could not be looked for.")),
};

const struct doc jupyter_version_doc = {
    .tag = "Jupyter",
    .replies = {REPLY(200, "The version.", .schema = &version)},
};

const struct doc jupyter_status_doc = {
    .tag = "Jupyter",
    .replies = {REPLY(200, "The counts.", .schema = &status)},
};

const struct doc jupyter_swagger_json_doc = {
    .tag = "Jupyter",
    .about = "Jupyter's routes alone, as kernel_gateway serves them. `/openapi.json` has all.",
    .replies = {REPLY(200, "The document.", .schema = &swagger)},
};

const struct doc jupyter_swagger_yaml_doc = {
    .tag = "Jupyter",
    .replies = {REPLY(200, "The document.", .type = "application/yaml")},
};

const struct doc jupyter_resolve_path_doc = {
    .tag = "Jupyter",
    .query = FIELDS(TEXT("path", "What to look for.", .must = true, .least = 1),
                    TEXT("kernel", "The id of a kernel, from whose folder on.")),
    .replies = {REPLY(200, "Where it is, or nowhere.", .schema = &resolved)},
};

/* --- kernelspecs */

static const struct doc_schema kernelspec = {
    .name = "KernelSpec",
    .whole = true,
    .fields = FIELDS(TEXT("name", "By which a kernel is started."),
                     MAP("spec", NULL, "What its `kernel.json` says.", .items = DOC_ANY),
                     MAP("resources", NULL, "Where its logos are.", .items = DOC_TEXT)),
};

static const struct doc_schema kernelspecs = {
    .name = "KernelSpecs",
    .whole = true,
    .fields = FIELDS(TEXT("default", "What is started when no name is given."),
                     MAP("kernelspecs", &kernelspec, "By their names.")),
};

static const struct doc_field named[] = {
    TEXT("name", "Of the kernelspec."),
    {.name = NULL},
};

const struct doc jupyter_kernelspecs_list_doc = {
    .tag = "Kernelspecs",
    .replies = {REPLY(200, "All of them.", .schema = &kernelspecs)},
};

const struct doc jupyter_kernelspec_show_doc = {
    .tag = "Kernelspecs",
    .path = named,
    .replies = {REPLY(200, "The kernelspec.", .schema = &kernelspec)},
};

const struct doc jupyter_kernelspec_file_doc = {
    .tag = "Kernelspecs",
    .path = FIELDS(TEXT("name", "Of the kernelspec."), TEXT("file", "In its folder.")),
    .replies = {REPLY(200, "The file, of the type that its name says.", .type = "*/*"),
                REPLY(206, "One range of it.", .type = "*/*"), REPLY(304, "The client has it.")},
};

/* --- kernels */

static const struct doc_schema kernel = {
    .name = "Kernel",
    .fields = FIELDS(TEXT("id", "Of the kernel.", .must = true),
                     TEXT("name", "Of its kernelspec.", .must = true),
                     TEXT("last_activity", "When.", .format = "date-time", .must = true),
                     TEXT("execution_state", "What it does.",
                          .words = "starting idle busy restarting dead", .must = true),
                     INTEGER("connections", "WebSockets.", .must = true),
                     TEXT("profile", "Whose rights it has: all of the owner's, or a sandbox's.",
                          .words = "owner sandbox", .must = true),
                     TEXT("reason", "What ended it, or its interpreter, last."),
                     TEXT("cause", "The same in one word.")),
};

static const struct doc_schema kernels = {
    .name = "Kernels",
    .json = "{\"type\": \"array\", \"items\": {\"$ref\": \"#/components/schemas/Kernel\"}}",
};

static const struct doc_schema kernel_request = {
    .name = "KernelRequest",
    .fields = FIELDS(TEXT("name", "Of a kernelspec; the default one, if left out."),
                     TEXT("path", "Of a notebook, in whose folder it begins."),
                     TEXT("kernel_id", "The id that it shall have."),
                     ANY("env", "An object of texts: its environment.")),
};

static const struct doc_field one_kernel[] = {
    TEXT("id", "Of the kernel."),
    {.name = NULL},
};

static const struct doc_field made[] = {
    TEXT("Location", "Where it is."),
    {.name = NULL},
};

const struct doc jupyter_kernels_list_doc = {
    .tag = "Kernels",
    .replies = {REPLY(200, "All of them, those of sandboxes too.", .schema = &kernels)},
    .errors = {{403, "Lists are turned off (`--no-list-kernels`)."}},
};

const struct doc jupyter_kernels_start_doc = {
    .tag = "Kernels",
    .about = "It has the rights of the gateway's owner, as Jupyter's kernels have. For confined "
             "ones see Sandboxes.",
    .body = &kernel_request,
    .body_example = "{\"name\": \"warmcell\"}",
    .replies = {REPLY(201, "It is on its way.", .schema = &kernel, .headers = made)},
    .errors = {{403, "`--max-kernels` run."},
               {404, "There is no such kernelspec."},
               {409, "A kernel has this id."}},
};

const struct doc jupyter_kernel_show_doc = {
    .tag = "Kernels",
    .path = one_kernel,
    .replies = {REPLY(200, "The kernel.", .schema = &kernel)},
};

const struct doc jupyter_kernel_delete_doc = {
    .tag = "Kernels",
    .path = one_kernel,
    .replies = {REPLY(204, "It has ended.")},
};

const struct doc jupyter_kernel_interrupt_doc = {
    .tag = "Kernels",
    .path = one_kernel,
    .replies = {REPLY(204, "It was told.")},
};

const struct doc jupyter_kernel_restart_doc = {
    .tag = "Kernels",
    .about = "A new interpreter with the same id; the variables are gone.",
    .path = one_kernel,
    .replies = {REPLY(200, "It has restarted.", .schema = &kernel)},
};

const struct doc jupyter_channels_open_doc = {
    .tag = "Kernels",
    .about = "Jupyter messages both ways, one in each WebSocket message: JSON, or with the "
             "subprotocol `v1.kernel.websocket.jupyter.org` that framing. A client with a "
             "`session_id` of its own that comes back gets what it missed.",
    .path = one_kernel,
    .query = FIELDS(TEXT("session_id", "Up to 100 bytes without control characters.", .most = 100)),
    .headers = FIELDS(TEXT("Sec-WebSocket-Protocol", "The subprotocol, if one is wanted.",
                           .example = "\"v1.kernel.websocket.jupyter.org\"")),
    .replies = {REPLY(101, "It is a WebSocket now.")},
};

/* --- sessions */

static const struct doc_schema session_notebook = {
    .name = "SessionNotebook",
    .fields = FIELDS(TEXT("path", "Of the notebook."), TEXT("name", "Of the notebook.")),
};

static const struct doc_schema session = {
    .name = "Session",
    .about = "A path that is bound to a kernel.",
    .whole = true,
    .fields =
        FIELDS(TEXT("id", "Of the session."), TEXT("path", "Of the notebook."),
               TEXT("name", "Of the notebook."), TEXT("type", "Such as `notebook` or `console`."),
               OBJECT("kernel", &kernel, "What runs its code."),
               OBJECT("notebook", &session_notebook, "For old clients.")),
};

static const struct doc_schema sessions = {
    .name = "Sessions",
    .json = "{\"type\": \"array\", \"items\": {\"$ref\": \"#/components/schemas/Session\"}}",
};

static const struct doc_schema wanted_kernel = {
    .name = "SessionKernel",
    .fields = FIELDS(TEXT("name", "Of a kernelspec: a new kernel."),
                     TEXT("id", "Of a kernel that runs."), ANY("env", "Of a new kernel.")),
};

#define SESSION_FIELDS                                                                             \
    TEXT("path", "Of the notebook, at most 4,096 bytes."), TEXT("name", "Likewise."),              \
        TEXT("type", "Such as `notebook` or `console`."),                                          \
        OBJECT("kernel", &wanted_kernel, "What shall run its code."),                              \
        OBJECT("notebook", &session_notebook, "By old clients, instead of `path`.")

static const struct doc_schema session_request = {
    .name = "SessionRequest",
    .about = "`path` and `type` are needed, or `notebook`.",
    .fields = FIELDS(SESSION_FIELDS),
};

static const struct doc_field one_session[] = {
    TEXT("id", "Of the session."),
    {.name = NULL},
};

const struct doc jupyter_sessions_list_doc = {
    .tag = "Sessions",
    .replies = {REPLY(200, "All of them.", .schema = &sessions)},
    .errors = {{403, "Lists are turned off (`--no-list-kernels`)."}},
};

const struct doc jupyter_sessions_add_doc = {
    .tag = "Sessions",
    .about = "What is bound already is answered as it is.",
    .body = &session_request,
    .body_example = "{\"path\": \"first.ipynb\", \"type\": \"notebook\", \"kernel\": {\"name\": "
                    "\"warmcell\"}}",
    .body_must = true,
    .replies = {REPLY(201, "The session.", .schema = &session, .headers = made)},
    .errors = {{403,
                "The kernel has 64 sessions, or there are 4,096, or a new kernel is not allowed."},
               {501, "There is no such kernelspec."}},
};

const struct doc jupyter_session_show_doc = {
    .tag = "Sessions",
    .path = one_session,
    .replies = {REPLY(200, "The session.", .schema = &session)},
};

const struct doc jupyter_session_change_doc = {
    .tag = "Sessions",
    .about = "With another kernel the old one ends, unless another session has it too.",
    .path = one_session,
    .body = &session_request,
    .body_example = "{\"path\": \"renamed.ipynb\"}",
    .replies = {REPLY(200, "As it is now.", .schema = &session)},
    .errors = {{403, "The kernel has 64 sessions, or a new kernel is not allowed."},
               {501, "There is no such kernelspec."}},
};

const struct doc jupyter_session_delete_doc = {
    .tag = "Sessions",
    .path = one_session,
    .replies = {REPLY(204, "It and its kernel are gone.")},
    .errors = {{410, "Its kernel was gone."}},
};
