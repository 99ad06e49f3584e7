/* Marks: what tells, without the bytes, whether others are the same. An interpreter gets those of
 * the buffers that are kept of it, and sends none again that has one (docs/link.md, "Snapshots").
 *
 * A mark is "KEY:TAG": 32 hexadecimal digits of chance, which are as they stand a key of AES-256,
 * and the GMAC of the bytes under it (a nonce of zeros), in 32 more. Bytes that were not chosen by
 * who knows the key have another's mark once in 2^90 at most, for an eighth of what a hash costs.
 * It proves nothing to anybody: what is kept is authenticated by its seal (seal.h). */
#ifndef WARMCELL_GATEWAY_STORE_MARK_H
#define WARMCELL_GATEWAY_STORE_MARK_H

#include "protocol/bytes.h"

#define MARK_KEY_TEXT 33 /* with a NUL, both */
#define MARK_TEXT     66

void mark_key_make(char key[MARK_KEY_TEXT]);
/* That of a mark; false: the text is none (NULL is legal). */
bool mark_key_of(const char *mark, char key[MARK_KEY_TEXT]);

/* One that is being made; the key is copied. */
struct mark;
struct mark *mark_new(const char key[MARK_KEY_TEXT]);
void mark_free(struct mark *m); /* NULL is legal */
void mark_add(struct mark *m, struct bytes data);
/* Once, and nothing is added afterwards. */
void mark_end(struct mark *m, char text[MARK_TEXT]);

#endif
