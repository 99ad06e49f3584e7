/* Wire messages. The input is lines: the secret, then one frame each. */
#include "tests/fuzz/fuzz.h"

#include "protocol/message.h"

#define LINES_LIMIT 64

static size_t split_lines(struct bytes text, struct bytes lines[LINES_LIMIT])
{
    size_t count = 0;
    while (count < LINES_LIMIT && text.len > 0) {
        const char *end = memchr(text.data, '\n', text.len);
        size_t len = end ? (size_t)(end - text.data) : text.len;
        lines[count++] = (struct bytes){text.data, len};
        len += end ? 1 : 0;
        text = (struct bytes){text.data + len, text.len - len};
    }
    return count;
}

static void require_same(const struct message *a, const struct message *b)
{
    struct message whole = message_completed(a);
    REQUIRE(a->identity_count == b->identity_count && a->buffer_count == b->buffer_count);
    for (size_t i = 0; i < a->identity_count; i++)
        REQUIRE(bytes_equal(a->identities[i], b->identities[i]));
    for (size_t i = 0; i < a->buffer_count; i++)
        REQUIRE(bytes_equal(a->buffers[i], b->buffers[i]));
    REQUIRE(bytes_equal(whole.header, b->header) && bytes_equal(whole.parent, b->parent));
    REQUIRE(bytes_equal(whole.metadata, b->metadata) && bytes_equal(whole.content, b->content));
}

bool fuzz_one(struct bytes input)
{
    struct bytes lines[LINES_LIMIT];
    size_t count = split_lines(input, lines);
    if (count == 0)
        return false;
    struct err e;
    struct message m = {0}, again = {0};
    scoped(key) struct key *key = key_new("hmac-sha256", lines[0], NULL);
    REQUIRE(key);
    if (!message_split(lines + 1, count - 1, key, &m, &e))
        return refused(&e);
    REQUIRE(m.identity_count + 6 + m.buffer_count == count - 1);
    REQUIRE(lies_in(m.header, input) && lies_in(m.content, input));
    struct bytes parts[LINES_LIMIT];
    char signature[SIGNATURE_TEXT];
    REQUIRE(message_parts(&m, key, signature, parts, count - 2) == 0);
    REQUIRE(message_parts(&m, key, signature, parts, count - 1) == count - 1);
    REQUIRE(message_split(parts, count - 1, key, &again, NULL));
    require_same(&m, &again);
    return true;
}
