/* One line for each request that came to the proxy. */
#ifndef WARMCELL_SANDBOX_PROXY_AUDIT_H
#define WARMCELL_SANDBOX_PROXY_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol/err.h"

/* The file is appended to; past this size its content moves to FILE.1, whose old content goes. */
#define AUDIT_BYTES (32 * 1024 * 1024)

struct audit_line {
    const char *sandbox;
    const char *method; /* "" when it could not be read */
    const char *host;   /* the same */
    int port;
    const char *verdict; /* "allowed", "refused: ...", "failed: ..." */
    int64_t sent_bytes;  /* to the host */
    int64_t received_bytes;
};

/* Opens both files, mode 0600. 503. */
bool audit_open(const char *path, struct err *e);
/* {"time": "...Z", "sandbox": id, "method": "CONNECT", "host": "pypi.org", "port": 443,
 *  "verdict": "allowed", "sent_bytes": n, "received_bytes": n}; nothing when no file is open. */
void audit_write(const struct audit_line *line);

#endif
