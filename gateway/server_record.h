/* How the tools of a user find the gateways of that user: each leaves a file of its own, mode 0600,
 * in `servers/` of the user's usual runtime folder, and removes it at its end.
 *
 *     {"pid": 17, "start": 123456, "url": "http://127.0.0.1:8888/", "base_url": "", "token": "…"}
 *
 * start is that of the process in clock ticks since boot: a record whose process is another or none
 * is stale and is passed over. Folders and files that do not belong to this user are not believed.
 */
#ifndef WARMCELL_GATEWAY_SERVER_RECORD_H
#define WARMCELL_GATEWAY_SERVER_RECORD_H

#include "protocol/err.h"

#include <stddef.h>

struct server_record {
    char *url;      /* "http://host:port/base/" or "unix:/path"; owned */
    char *base_url; /* "" or "/prefix", in url already unless that is a Unix socket; owned */
    char *token;    /* "": none is needed; owned */
};

/* Writes the record of this process below dir, visible only when whole. 503. */
bool server_record_write(const char *dir, const struct server_record *record, struct err *e);
void server_record_remove(const char *dir);

/* Those of living processes, given to the caller; *out is NULL when there are none. Returns how
 * many. */
size_t server_record_list(const char *dir, struct server_record **out);
void server_records_free(struct server_record *records, size_t count);

#endif
