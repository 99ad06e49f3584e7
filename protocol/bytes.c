/* The growing buffer. data is NULL exactly while capacity is 0; len never exceeds capacity. */
#include "protocol/bytes.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#define FIRST_CAPACITY 64

void buffer_free(struct buffer *b)
{
    free(b->data);
    *b = (struct buffer){0};
}

void buffer_clear(struct buffer *b)
{
    b->len = 0;
}

char *buffer_reserve(struct buffer *b, size_t extra)
{
    assert(extra <= SIZE_MAX / 2 - b->len);
    size_t needed = b->len + extra;
    if (needed > b->capacity || !b->data) {
        size_t doubled = b->capacity * 2;
        size_t wanted = needed > doubled ? needed : doubled;
        b->capacity = wanted > FIRST_CAPACITY ? wanted : FIRST_CAPACITY;
        b->data = xrealloc(b->data, b->capacity);
    }
    return b->data + b->len;
}

void buffer_add(struct buffer *b, const void *data, size_t len)
{
    if (len == 0)
        return;
    memcpy(buffer_reserve(b, len), data, len);
    b->len += len;
}

void buffer_add_text(struct buffer *b, const char *text)
{
    buffer_add(b, text, strlen(text));
}

void buffer_add_bytes(struct buffer *b, struct bytes view)
{
    buffer_add(b, view.data, view.len);
}

void buffer_add_number(struct buffer *b, uint64_t number)
{
    char digits[20], *at = digits + sizeof digits;
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    buffer_add(b, at, (size_t)(digits + sizeof digits - at));
}

void buffer_printf(struct buffer *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    char *place = buffer_reserve(b, FIRST_CAPACITY);
    int len = vsnprintf(place, b->capacity - b->len, format, args);
    assert(len >= 0);
    if ((size_t)len >= b->capacity - b->len) {
        place = buffer_reserve(b, (size_t)len + 1);
        vsnprintf(place, (size_t)len + 1, format, again);
    }
    b->len += (size_t)len;
    va_end(again);
    va_end(args);
}

void buffer_drop(struct buffer *b, size_t len)
{
    assert(len <= b->len);
    b->len -= len;
    if (b->len && len)
        memmove(b->data, b->data + len, b->len);
}

const char *buffer_text(struct buffer *b)
{
    *buffer_reserve(b, 1) = '\0';
    return b->data;
}

struct bytes buffer_view(const struct buffer *b)
{
    return (struct bytes){b->data, b->len};
}

char *buffer_take(struct buffer *b, size_t *len)
{
    buffer_text(b);
    char *data = b->data;
    if (len)
        *len = b->len;
    *b = (struct buffer){0};
    return data;
}
