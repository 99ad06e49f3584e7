/* Texts, bytes and errors of a language as JSON has them. */
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>

#include "kernel/driver/state.h"

#define ENCODED_AT_ONCE (3 * 1024 * 1024)

json_t *driver_text(struct bytes text)
{
    scoped(buffer) struct buffer clean = {0};
    utf8_clean(&clean, text);
    return json_stringn_nocheck(buffer_text(&clean), clean.len);
}

json_t *driver_base64(struct bytes data)
{
    scoped(buffer) struct buffer coded = {0};
    for (size_t at = 0; at < data.len; at += ENCODED_AT_ONCE) {
        size_t len = data.len - at < ENCODED_AT_ONCE ? data.len - at : ENCODED_AT_ONCE;
        unsigned char *into = (unsigned char *)buffer_reserve(&coded, (len + 2) / 3 * 4 + 1);
        coded.len += (size_t)EVP_EncodeBlock(into, (const unsigned char *)data.data + at, (int)len);
    }
    return json_stringn_nocheck(buffer_text(&coded), coded.len);
}

json_t *driver_plain(struct bytes text)
{
    return json_pack("{s:o}", "text/plain", driver_text(text));
}

void driver_fail(struct driver_outcome *out, const char *name, const char *format, ...)
{
    va_list args;
    char *value = NULL;
    va_start(args, format);
    if (vasprintf(&value, format, args) < 0)
        abort();
    va_end(args);
    driver_outcome_free(out);
    out->end = DRIVER_ERROR;
    out->name = xstrdup(name);
    out->value = value;
}

void driver_outcome_free(struct driver_outcome *out)
{
    free(take(&out->name));
    free(take(&out->value));
    json_decref(take(&out->traceback));
}

static bool begins_character(char byte)
{
    return ((unsigned char)byte & 0xc0) != 0x80;
}

size_t driver_bytes_at(const char *code, int64_t points)
{
    size_t at = 0;
    for (; code[at]; at++)
        if (begins_character(code[at]) && points-- == 0)
            break;
    return at;
}

int64_t driver_points_at(const char *code, size_t at)
{
    int64_t points = 0;
    for (size_t i = 0; i < at && code[i]; i++)
        points += begins_character(code[i]);
    return points;
}
