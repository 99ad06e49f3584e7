/* The one route table: dispatch, 405, OPTIONS, the API description and the docs come from it. */
#ifndef WARMCELL_GATEWAY_NET_ROUTE_H
#define WARMCELL_GATEWAY_NET_ROUTE_H

#include "gateway/net/exchange.h"

struct doc;

enum route_access {
    ACCESS_TOKEN,   /* the default: a principal, to read by a plain GET, else to write */
    ACCESS_OPEN,    /* anybody: health, the version */
    ACCESS_TOKENS,  /* a principal with SCOPE_TOKENS */
    ACCESS_METRICS, /* an admin with SCOPE_METRICS */
};

enum route_errors {
    ERRORS_JUPYTER, /* {"message", "reason"} */
    ERRORS_PROBLEM, /* application/problem+json */
    ERRORS_CLOUD,   /* {"error"}; of 401 {"error": "unauthorized", "message"} */
};

enum route_kind {
    ROUTE_PLAIN,   /* the handler is called when the whole request is in */
    ROUTE_RECORD,  /* likewise; also a GET that is let in is for the audit log */
    ROUTE_UPGRADE, /* a WebSocket: the handler calls websocket_accept or fails the exchange */
    ROUTE_STREAM,  /* the handler is called when the head is in, and takes the body by
                      exchange_receive */
    ROUTE_RELAY,   /* as ROUTE_STREAM; the exchange ends by relay_begin (net/relay.h), and may be an
                      upgrade. All that a server could be sent is let through: any encoding of the
                      body, any query */
};

/* handler gets `context`, the pointer that was given to the server for this table (the core). */
struct route {
    enum method method;
    const char *pattern; /* "/api/kernels/{id}"; a last "{path*}" takes the rest with its slashes,
                            and may be any bytes but NUL, as the query may then */
    void (*handler)(struct exchange *x, void *context);
    const char *summary; /* one line for the API description */
    int errors[14];      /* statuses besides 401, 0-terminated */
    enum route_access access;
    enum route_errors error_form;
    enum route_kind kind;
    const struct doc *doc; /* net/doc.h: parameters, bodies, answers */
};

/* Each dialect exports its rows; main hands all tables to the server. */
struct route_table {
    const struct route *routes;
    size_t count;
};

extern const struct route_table jupyter_routes;          /* dialect/jupyter*.c */
extern const struct route_table v1_routes;               /* dialect/v1*.c */
extern const struct route_table v1_file_routes;          /* dialect/v1_files.c */
extern const struct route_table v1_command_routes;       /* dialect/v1_commands.c */
extern const struct route_table v1_stream_routes;        /* dialect/v1_stream.c */
extern const struct route_table v1_package_routes;       /* dialect/v1_packages.c */
extern const struct route_table v1_token_routes;         /* dialect/v1_tokens.c */
extern const struct route_table v1_store_routes;         /* dialect/v1_store.c */
extern const struct route_table v1_template_routes;      /* dialect/v1_templates.c */
extern const struct route_table v1_usage_routes;         /* dialect/v1_usage.c */
extern const struct route_table v1_port_routes;          /* dialect/v1_ports.c */
extern const struct route_table cloud_routes;            /* dialect/cloud*.c */
extern const struct route_table sdbx_routes;             /* dialect/sdbx_routes.c */
extern const struct route_table v1_language_routes;      /* dialect/v1_languages.c */
extern const struct route_table docs_routes;             /* dialect/docs.c */
extern const struct route_table v1_template_seed_routes; /* dialect/v1_template_seed.c */

#endif
