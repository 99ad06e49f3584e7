/* Docs of servers that listen inside a sandbox. */
#include <stddef.h>

#include "gateway/dialect/v1_docs.h"

static const struct doc_schema port = {
    .name = "Port",
    .about = "A server that listens in a sandbox.",
    .whole = true,
    .fields = FIELDS(INTEGER("port", "Where it listens."),
                     TEXT("address", "The address inside; what listens at loopback or at all "
                                     "addresses can be reached."),
                     TEXT("url", "The path here that leads to it."),
                     TEXT("origin",
                          "Where a browser finds it; null where there is no domain for "
                          "that (`--ports-domain`).",
                          .null = true)),
};

static const struct doc_schema ports = {
    .name = "Ports",
    .whole = true,
    .fields =
        FIELDS(LIST("ports", &port, "By port, 256 at most."), BOOLEAN("more", "There are more.")),
};

static const struct doc_schema open_request = {
    .name = "PortRequest",
    .closed = true,
    .fields =
        FIELDS(INTEGER("port", "Which one; nothing need listen there yet.", .least = 1,
                       .most = 65535, .must = true, .example = "8000"),
               TEXT("path", "What to show first.", .initial = "\"/\"", .least = 1, .most = 4096)),
};

static const struct doc_schema opened = {
    .name = "PortLink",
    .whole = true,
    .fields =
        FIELDS(INTEGER("port", "Where it listens."), TEXT("url", "The path here that leads to it."),
               TEXT("origin", "Where a browser finds it, or null.", .null = true),
               TEXT("link", "Lets one browser in there, once; or null.", .null = true),
               INTEGER("expires_s", "How many seconds the link is good.")),
};

const struct doc v1_ports_list_doc = {
    .tag = "Ports",
    .about = "Read from the kernel's tables of the sandbox's own network.",
    .path = v1_in_sandbox,
    .replies = {REPLY(200, "What listens now.", .schema = &ports)},
    .errors = {{501, "The sandbox has no network of its own on this machine."}},
};

const struct doc v1_ports_open_doc = {
    .tag = "Ports",
    .about = "A browser that follows the link is given a cookie for that port alone. Calling it "
             "again makes another link and changes nothing.",
    .path = v1_in_sandbox,
    .body = &open_request,
    .body_must = true,
    .replies = {REPLY(201, "The link.", .schema = &opened, .headers = v1_location)},
};

const struct doc v1_port_relay_doc = {
    .tag = "Ports",
    .about = "The request goes to the server as it is, but for headers that concern the gateway, "
             "and its reply comes back; also a WebSocket or any other upgrade. A browser that "
             "shows a page is sent to an origin of its own.",
    .path = FIELDS(TEXT("id", "Of a sandbox.", .format = "uuid"),
                   TEXT("n", "The port.", .example = "\"8000\""),
                   TEXT("path", "What the server is asked for.", .example = "\"index.html\"")),
    .replies = {REPLY(200, "What the server says; any status.", .type = "application/octet-stream"),
                REPLY(302, "To an origin of its own.", .headers = v1_location)},
    .errors = {{403, "A page, and there is no domain to show it at."},
               {409, "The sandbox is paused, or just being saved."},
               {429, "64 connections to this sandbox, or 256 of the caller, are open."},
               {501, "The sandbox has no network of its own on this machine."},
               {502, "Nothing listens at the port, or what it says is no HTTP."},
               {504, "It does not accept, or begins no reply in `--port-timeout`."}},
};
