/* Who did what: a line of JSON for each request that changed something, took a backup or was
 * refused. No token, query, body or file name is in it.
 *
 *     {"time": "2026-01-31T23:59:59.123456Z", "principal": "ada", "token": id, "method": "POST",
 *      "route": "/v1/sandboxes/{id}/pause", "id": "…", "status": 200, "remote": "127.0.0.1"}
 *
 * "jti" stands behind "token" where a JWT was shown that says it. */
#ifndef WARMCELL_GATEWAY_NET_AUDIT_H
#define WARMCELL_GATEWAY_NET_AUDIT_H

#include "gateway/net/principal.h"
#include "protocol/bytes.h"
#include "protocol/err.h"

#define AUDIT_LIMIT_BYTES (64 * 1024 * 1024) /* of the file; the one before it is kept as .1 */
#define AUDIT_UNKNOWN_S   20 /* lines a second of those whom we do not know; more are counted */

struct audit;

/* Opens or makes the file, which only the gateway's user may read. 503. */
struct audit *audit_open(const char *path, struct err *e);
void audit_close(struct audit *a); /* what was added is written */

/* All borrowed. */
struct audit_line {
    const struct principal *who; /* NULL: nobody whom we know */
    const char *method, *route, *remote;
    const char
        *id; /* what the path names as {id} or {template}, or else what was made; NULL: nothing */
    int status;
};
void audit_add(struct audit *a, const struct audit_line *line);
void audit_write(
    struct audit *a); /* what was added; a disk that is full loses lines, and says so */

#endif
