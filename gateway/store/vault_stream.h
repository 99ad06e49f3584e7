/* An interpreter's variables on their way into the vault and out of it: the gateway's end of what
 * docs/link.md, "Snapshots", says. Each call is for a thread of its own: it waits for a peer that
 * is not trusted, and ends at its deadline or when it is cancelled, whatever the peer does. */
#ifndef WARMCELL_GATEWAY_STORE_VAULT_STREAM_H
#define WARMCELL_GATEWAY_STORE_VAULT_STREAM_H

#include "gateway/store/vault.h"

/* A status for the caller alone: the peer went away, or it was cancelled. Whoever knows why says
 * it. */
#define VAULT_PEER_GONE 499

/* All borrowed. */
struct vault_stream {
    const struct vault *vault;
    const char *sandbox;
    int listen_fd;       /* one peer connects to it */
    int cancel_fd;       /* readable: the peer is through, nothing more is to be waited for */
    int64_t deadline_ms; /* monotonic */
    int64_t limit_bytes; /* of what is taken, and of what stays where it is */
};

/* Saves. known: the "buffers" of an earlier save of this sandbox, whose files are there still;
 * NULL: none. *saved (given) is the head with "pickle", the name of its file, and "buffers":
 * [{"bytes", "file": name, "mark": of one of VAULT_LARGE_BYTES or more}]. 413 it is larger than the
 * limit; 502 the peer said what is no snapshot, or went away; 503 cancelled, the deadline, the
 * disk. */
bool vault_take(const struct vault_stream *s, const json_t *known, json_t **saved, struct err *e);

/* Restores what vault_take gave. *answer (given) is {"restored": [name], "not_restored": [{"name",
 * "reason"}]}. 502, 503: as above, or a file is not what was saved; the peer then has restored
 * nothing. */
bool vault_give(const struct vault_stream *s, json_t *saved, json_t **answer, struct err *e);

/* The name of the file of one of its buffers; borrowed. */
json_t *vault_buffer_file(const json_t *buffer);

#endif
