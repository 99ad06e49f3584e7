/* The v1 framing: a frame that is accepted is, byte for byte, the frame of what it says. */
#include "tests/fuzz/fuzz.h"

#include "protocol/framing.h"

bool fuzz_one(struct bytes input)
{
    struct err e;
    scoped(framed) struct framed f = {0};
    if (!framing_v1_decode(input, &f, &e))
        return refused(&e);
    const struct message *m = &f.message;
    REQUIRE(lies_in(m->header, input) && lies_in(m->parent, input));
    REQUIRE(lies_in(m->metadata, input) && lies_in(m->content, input));
    for (size_t i = 0; i < m->buffer_count; i++)
        REQUIRE(lies_in(m->buffers[i], input));
    scoped(buffer) struct buffer out = {0};
    framing_v1_encode(m, &out);
    if (m->parent.len && m->metadata.len && m->content.len) {
        REQUIRE(bytes_equal(buffer_view(&out), input));
        return true;
    }
    scoped(framed) struct framed again = {0};
    REQUIRE(framing_v1_decode(buffer_view(&out), &again, NULL));
    REQUIRE(bytes_equal(again.message.header, m->header));
    REQUIRE(again.message.buffer_count == m->buffer_count);
    return true;
}
