/* A row is "   0: 0100007F:1F40 00000000:0000 0A …": number, own address and port, the peer's, and
 * the state in hexadecimal; addresses are groups of eight digits, each a word of memory. */
#include "gateway/core/port_table.h"

#include <arpa/inet.h>
#include <string.h>

#define STATE_LISTEN 0x0a
#define WORDS_MOST   4

/* Reads n digits; false: they are none. */
static bool hex(struct bytes *line, size_t n, uint32_t *out)
{
    *out = 0;
    if (line->len < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = line->data[i];
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit == 16)
            return false;
        *out = *out << 4 | digit;
    }
    line->data += n;
    line->len -= n;
    return true;
}

static bool skip(struct bytes *line, char c)
{
    if (!line->len || line->data[0] != c)
        return false;
    line->data++;
    line->len--;
    return true;
}

/* "0100007F:1F40", of one word or four. */
static bool read_end(struct bytes *line, uint32_t words[WORDS_MOST], size_t *count, uint32_t *port)
{
    for (*count = 0; *count < WORDS_MOST && !(line->len && line->data[0] == ':'); ++*count)
        if (!hex(line, 8, &words[*count]))
            return false;
    return (*count == 1 || *count == WORDS_MOST) && skip(line, ':') && hex(line, 4, port);
}

static bool read_row(struct bytes line, struct port_row *out)
{
    uint32_t own[WORDS_MOST], peer[WORDS_MOST], port, peer_port, state;
    size_t count, peer_count;
    const char *colon = line.len ? memchr(line.data, ':', line.len) : NULL;
    if (!colon)
        return false;
    line.len -= (size_t)(colon + 1 - line.data);
    line.data = colon + 1;
    if (!skip(&line, ' ') || !read_end(&line, own, &count, &port) || !skip(&line, ' ') ||
        !read_end(&line, peer, &peer_count, &peer_port) || !skip(&line, ' ') ||
        !hex(&line, 2, &state) || state != STATE_LISTEN || !port)
        return false;
    out->port = (uint16_t)port;
    return inet_ntop(count == 1 ? AF_INET : AF_INET6, own, out->address, sizeof out->address);
}

bool port_table_next(struct bytes *table, struct port_row *out)
{
    while (table->len) {
        const char *end = memchr(table->data, '\n', table->len);
        struct bytes line = {table->data, end ? (size_t)(end - table->data) : table->len};
        table->data += line.len + (end != NULL);
        table->len -= line.len + (end != NULL);
        if (read_row(line, out))
            return true;
    }
    return false;
}
