/* Bytes that nobody reads or changes without a key: AES-256-GCM, in pieces, so that a text of any
 * length is sealed and opened with the memory of one piece.
 *
 * A sealed text is a head (magic, which key, 32 random bytes) and its pieces, each behind the other
 * with its tag: all but the last hold SEAL_PIECE_BYTES. The key of a text is derived (HMAC-SHA256)
 * from one of ours, its random bytes and its context, a word for what it is and where it stands: a
 * text that is put in the place of another is not opened, nor is one that was cut, or whose pieces
 * changed places. Every function may be called on any thread. */
#ifndef WARMCELL_GATEWAY_STORE_SEAL_H
#define WARMCELL_GATEWAY_STORE_SEAL_H

#include "protocol/bytes.h"
#include "protocol/err.h"

#define SEAL_KEY_BYTES   32
#define SEAL_KEYS_LIMIT  8
#define SEAL_HEAD_BYTES  44
#define SEAL_TAG_BYTES   16
#define SEAL_PIECE_BYTES (1024 * 1024)

/* The first one seals; each of them opens what it has sealed. */
struct seal_keys {
    unsigned char key[SEAL_KEYS_LIMIT][SEAL_KEY_BYTES];
    size_t count;
};

/* Reads a file of 1 to SEAL_KEYS_LIMIT keys, one behind the other, the newest first. 404: there is
 * none; 503: it is not that, or others may read it. */
bool seal_keys_read(const char *path, struct seal_keys *out, struct err *e);

/* One text on its way. */
struct seal;
struct seal *seal_begin(const struct seal_keys *keys, const char *context,
                        unsigned char head[SEAL_HEAD_BYTES]);
/* NULL: 503, the head is not one, or its key is not there any more. */
struct seal *seal_open(const struct seal_keys *keys, const char *context,
                       const unsigned char head[SEAL_HEAD_BYTES], struct err *e);
void seal_free(struct seal *s); /* NULL is legal */
/* Was it sealed with the first key? */
bool seal_is_newest(const struct seal_keys *keys, const unsigned char head[SEAL_HEAD_BYTES]);

/* The next piece; plain has SEAL_PIECE_BYTES, or is the last and has as many or fewer. out has room
 * for plain.len + SEAL_TAG_BYTES, and may be where plain is. */
void seal_piece(struct seal *s, struct bytes plain, bool last, char *out);
/* The next piece with its tag; out has room for all but that, and may be where sealed is. 503: it
 * is not what was sealed. */
bool seal_open_piece(struct seal *s, struct bytes sealed, bool last, char *out, struct err *e);

/* Hexadecimal HMAC-SHA256 of data under a key derived from the one of this number; the context says
 * what the data is. */
#define SEAL_DIGEST_TEXT (2 * SEAL_KEY_BYTES + 1)
void seal_digest(const struct seal_keys *keys, size_t number, const char *context,
                 struct bytes data, char out[SEAL_DIGEST_TEXT]);

/* A whole text: appended to out. */
void seal_text(const struct seal_keys *keys, const char *context, struct bytes plain,
               struct buffer *out);
bool unseal_text(const struct seal_keys *keys, const char *context, struct bytes sealed,
                 struct buffer *out, struct err *e);

#endif
