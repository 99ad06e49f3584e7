/* The JSON framing: what was read survives both framings. An input that starts with a NUL is a
 * binary frame (their count of offsets is below 2^24), any other is a text. */
#include "tests/fuzz/fuzz.h"

#include "protocol/framing.h"
#include "protocol/json.h"

static void require_same(const struct message *a, const struct message *b)
{
    REQUIRE(a->channel == b->channel && a->buffer_count == b->buffer_count);
    REQUIRE(bytes_equal(a->header, b->header) && bytes_equal(a->parent, b->parent));
    REQUIRE(bytes_equal(a->metadata, b->metadata) && bytes_equal(a->content, b->content));
    for (size_t i = 0; i < a->buffer_count; i++)
        REQUIRE(bytes_equal(a->buffers[i], b->buffers[i]));
}

/* The text that a client parses must hold what the header holds, at the top. */
static void require_top_members(struct bytes text, const struct message *m)
{
    struct slice top[] = {{.name = "msg_id"}, {.name = "msg_type"}};
    struct slice inner[] = {{.name = "msg_id"}, {.name = "msg_type"}};
    REQUIRE(json_slices(text, top, 2, NULL) && json_slices(m->header, inner, 2, NULL));
    REQUIRE(bytes_equal(top[0].value, inner[0].value));
    REQUIRE(bytes_equal(top[1].value, inner[1].value));
}

bool fuzz_one(struct bytes input)
{
    struct err e;
    scoped(framed) struct framed f = {0}, again = {0}, through_v1 = {0};
    bool binary = input.len > 0 && input.data[0] == '\0';
    if (!framing_json_decode(input, binary, &f, &e))
        return refused(&e);
    const struct message *m = &f.message;
    for (size_t i = 0; i < m->buffer_count; i++)
        REQUIRE(lies_in(m->buffers[i], input));
    scoped(buffer) struct buffer v1 = {0}, json = {0};
    framing_v1_encode(m, &v1);
    REQUIRE(framing_v1_decode(buffer_view(&v1), &through_v1, NULL));
    require_same(m, &through_v1.message);
    if (!framing_json_encode(m, &json, &binary, &e)) {
        refused(&e); /* it lacks an id or a type: clients may send that, we must not */
        return true;
    }
    REQUIRE(binary == (m->buffer_count > 0));
    REQUIRE(framing_json_decode(buffer_view(&json), binary, &again, NULL));
    require_same(m, &again.message);
    if (!binary)
        require_top_members(buffer_view(&json), m);
    return true;
}
