/* Pure functions over request targets, called by exchange.c for every request and by the fuzzer.
 * They never write more than they read. */
#include "gateway/net/url.h"

#include <strings.h>

#include "protocol/utf8.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

long url_decode_bytes(struct bytes raw, bool plus, char *out)
{
    size_t len = 0;
    for (size_t i = 0; i < raw.len; i++) {
        char c = raw.data[i];
        if (c == '%') {
            if (raw.len - i < 3)
                return -1;
            int high = hex_value(raw.data[i + 1]), low = hex_value(raw.data[i + 2]);
            if (high < 0 || low < 0)
                return -1;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (c == '\0')
            return -1;
        out[len++] = c;
    }
    out[len] = '\0';
    return (long)len;
}

long url_decode(struct bytes raw, bool plus, char *out)
{
    long len = url_decode_bytes(raw, plus, out);
    return len >= 0 && utf8_valid((struct bytes){out, (size_t)len}) ? len : -1;
}

void url_encode_path(struct buffer *out, struct bytes raw)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "-._~/";
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.data[i] && strchr(plain, raw.data[i]))
            buffer_add(out, raw.data + i, 1);
        else
            buffer_printf(out, "%%%02X", (unsigned char)raw.data[i]);
    }
}

/* Moves past "http://authority"; the authority must not be empty. */
static bool skip_authority(struct bytes *target)
{
    size_t scheme = target->len > 7 && strncasecmp(target->data, "http://", 7) == 0    ? 7
                    : target->len > 8 && strncasecmp(target->data, "https://", 8) == 0 ? 8
                                                                                       : 0;
    if (!scheme)
        return false;
    size_t at = scheme;
    while (at < target->len && target->data[at] != '/' && target->data[at] != '?')
        at++;
    if (at == scheme)
        return false;
    *target = (struct bytes){target->data + at, target->len - at};
    return true;
}

bool url_split(struct bytes target, struct bytes *path, struct bytes *query, struct err *e)
{
    bool absolute = target.len && target.data[0] != '/' && skip_authority(&target);
    if (!absolute && (!target.len || target.data[0] != '/'))
        return fail(e, 400, "the request target must be a path that starts with /");
    if (memchr(target.data, '#', target.len))
        return fail(e, 400, "the request target must not hold a fragment");
    const char *mark = target.len ? memchr(target.data, '?', target.len) : NULL;
    size_t path_len = mark ? (size_t)(mark - target.data) : target.len;
    *path = path_len ? (struct bytes){target.data, path_len} : bytes_of("/");
    *query = mark ? (struct bytes){mark + 1, target.len - path_len - 1} : (struct bytes){0};
    return true;
}

bool url_climbs(const char *path)
{
    while (*path) {
        size_t len = strcspn(path, "/");
        if ((len == 1 && path[0] == '.') || (len == 2 && path[0] == '.' && path[1] == '.'))
            return true;
        path += len + (path[len] == '/');
    }
    return false;
}

bool url_query_next(struct bytes *query, struct bytes *name, struct bytes *value)
{
    while (query->len) {
        const char *amp = memchr(query->data, '&', query->len);
        size_t len = amp ? (size_t)(amp - query->data) : query->len;
        struct bytes pair = {query->data, len};
        query->data += len + (amp != NULL);
        query->len -= len + (amp != NULL);
        if (!len)
            continue;
        const char *equals = memchr(pair.data, '=', len);
        size_t name_len = equals ? (size_t)(equals - pair.data) : len;
        *name = (struct bytes){pair.data, name_len};
        *value = equals ? (struct bytes){equals + 1, len - name_len - 1} : (struct bytes){0};
        return true;
    }
    return false;
}
