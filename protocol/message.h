/* One Jupyter message: splitting, checking, signing and building its frames.
 *
 * Everything here is views on bytes that somebody else holds; nothing copies content.
 * Source: jupyter-client "Messaging in Jupyter", 5.5, "The wire protocol". */
#ifndef WARMCELL_PROTOCOL_MESSAGE_H
#define WARMCELL_PROTOCOL_MESSAGE_H

#include "protocol/bytes.h"
#include "protocol/err.h"
#include "protocol/ids.h"

#define MESSAGE_DELIMITER "<IDS|MSG>"
#define SIGNATURE_TEXT    129 /* room for the hex of the widest digest and a NUL */

enum channel { CHANNEL_SHELL, CHANNEL_CONTROL, CHANNEL_STDIN, CHANNEL_IOPUB, CHANNEL_COUNT };

/* "shell", "control", "stdin", "iopub". */
const char *channel_name(enum channel channel);
bool channel_parse(struct bytes name, enum channel *out); /* false: none of them */

/* All borrowed. parent, metadata and content are JSON texts; one that is empty means {}. */
struct message {
    enum channel channel;
    const struct bytes *identities;
    size_t identity_count;
    struct bytes header;
    struct bytes parent;
    struct bytes metadata;
    struct bytes content;
    const struct bytes *buffers;
    size_t buffer_count;
};

/* m with "{}" for each of parent, metadata and content that is empty: what is sent in its place. */
struct message message_completed(const struct message *m);

/* The members of a header that we use, decoded. Owned; {0} is empty. */
struct header {
    char *msg_id;      /* never NULL after header_parse */
    char *msg_type;    /* never NULL after header_parse */
    char *session;     /* "" when absent */
    char *username;    /* "" when absent */
    char *date;        /* "" when absent: some agents send none; a number as it stands */
    char *version;     /* "" when absent */
    char *subshell_id; /* NULL when absent or null */
};

#define HEADER_LIMIT_BYTES (64 * 1024)

/* Decodes a header. 400 names the member: msg_id and msg_type are required strings; others of the
 * wrong type are an error, unknown ones are passed over. 413 beyond HEADER_LIMIT_BYTES. */
bool header_parse(struct bytes text, struct header *out, struct err *e);
void header_free(struct header *h); /* releases the members */

static inline void header_scoped(struct header *h)
{
    header_free(h);
}

/* Appends a new header: {"msg_id":"<session>_<pid>_<n>","msg_type":...,"username":...,
 * "session":...,"date":...,"version":"5.5"}. n counts up in the process (atomic), so that no two
 * headers are alike. */
void header_build(struct buffer *out, const char *msg_type, const char *session,
                  const char *username);

/* The signing key of a connection. */
struct key;

/* scheme "hmac-sha256" (any hmac-<digest OpenSSL knows>); an empty secret means: no signatures.
 * 400: scheme not known. The key is owned by the caller. Not thread-safe: one key a thread. */
struct key *key_new(const char *scheme, struct bytes secret, struct err *e);
void key_free(struct key *key);
SCOPED(key, struct key *, key_free)

/* Writes the lower-case hex signature over header, parent, metadata and content ("" for an empty
 * secret). Buffers are not signed (jupyter_client session.py). */
void key_sign(struct key *key, const struct message *m, char out[SIGNATURE_TEXT]);

/* Constant-time comparison of two byte runs; lengths may differ (then false). */
bool bytes_equal_constant_time(struct bytes a, struct bytes b);

/* Splits one wire message: [ids..., "<IDS|MSG>", hmac, header, parent, metadata, content,
 * buffers...]. Frames are borrowed from parts. The channel of *out is not touched.
 * 400: no delimiter or fewer than 5 parts after it; 401: wrong signature. */
bool message_split(const struct bytes *parts, size_t count, struct key *key, struct message *out,
                   struct err *e);

/* The frames of m for the wire, in order, at most `room` of them; *signature receives the hex and
 * must stay alive as long as the parts. Returns how many (identities + 6 + buffers); 0: room too
 * small. */
size_t message_parts(const struct message *m, struct key *key, char signature[SIGNATURE_TEXT],
                     struct bytes *parts, size_t room);

#endif
