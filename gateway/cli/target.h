/* Which gateway a tool speaks to, and with what token. */
#ifndef WARMCELL_GATEWAY_CLI_TARGET_H
#define WARMCELL_GATEWAY_CLI_TARGET_H

#include "protocol/err.h"

/* All owned. */
struct target {
    char *socket; /* path of a Unix socket; NULL: host and port */
    char *host;   /* without brackets */
    char *port;
    char *authority; /* for the Host header */
    char *base_url;  /* "" or "/prefix" */
    char *token;     /* "": none is sent */
};

/* url: "http://HOST[:PORT][/PREFIX][/]" or "unix:PATH"; NULL: the gateway of this user that runs,
 * by its record (gateway/server_record.h), whose token is then taken too. token_file: NULL for
 * none. CLI_USAGE: the url is none that we speak, or holds a token, or the file has none;
 * CLI_UNREACHED: no gateway of this user runs, or several do. */
bool target_find(const char *url, const char *token_file, struct target *out, struct err *e);
void target_free(struct target *t);

/* A connected socket, or -1 with CLI_UNREACHED. Owned by the caller. */
int target_connect(const struct target *t, struct err *e);

#endif
