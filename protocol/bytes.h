/* A borrowed run of bytes, and a growing buffer that owns its own. */
#ifndef WARMCELL_PROTOCOL_BYTES_H
#define WARMCELL_PROTOCOL_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "protocol/memory.h"

/* Borrowed: data must outlive the view. An empty view may have data == NULL. */
struct bytes {
    const char *data;
    size_t len;
};

/* A literal or a NUL-terminated string as bytes, without the NUL. */
static inline struct bytes bytes_of(const char *text)
{
    return (struct bytes){text, text ? strlen(text) : 0};
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool bytes_is(struct bytes a, const char *text)
{
    return bytes_equal(a, bytes_of(text));
}

/* Owned; {0} is a valid empty buffer. data ends in a NUL only after buffer_text(). */
struct buffer {
    char *data;
    size_t len;
    size_t capacity;
};

void buffer_free(struct buffer *b);  /* releases the content; b is then empty and usable again */
void buffer_clear(struct buffer *b); /* forgets the content, keeps the memory */
/* Makes room for extra bytes at the end (len stays) and returns where they go; borrowed. */
char *buffer_reserve(struct buffer *b, size_t extra);
void buffer_add(struct buffer *b, const void *data, size_t len);
void buffer_add_text(struct buffer *b, const char *text);
void buffer_add_number(struct buffer *b, uint64_t number); /* in decimal */
void buffer_add_bytes(struct buffer *b, struct bytes view);
__attribute__((format(printf, 2, 3))) void buffer_printf(struct buffer *b, const char *format, ...);
void buffer_drop(struct buffer *b, size_t len); /* forgets the first len bytes (memmove) */
const char *buffer_text(struct buffer *b);      /* NUL-terminated content; borrowed until changed */
struct bytes buffer_view(const struct buffer *b);
char *buffer_take(struct buffer *b, size_t *len); /* given to the caller; b is then empty */

static inline void buffer_scoped(struct buffer *b)
{
    buffer_free(b);
}

#endif
