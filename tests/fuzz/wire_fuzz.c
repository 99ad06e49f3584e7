/* Datagrams of the keeper: what is accepted is a head and an object, and says the same when it is
 * written again. */
#include "tests/fuzz/fuzz.h"

#include "protocol/byte_order.h"
#include "protocol/json.h"
#include "sandbox/wire.h"

bool fuzz_one(struct bytes input)
{
    struct wire_message m, again;
    struct err e;
    if (!wire_parse(input, &m, &e)) {
        REQUIRE(!m.body && m.fd_count == 0);
        return refused(&e);
    }
    REQUIRE(json_is_object(m.body) && m.fd_count == 0);
    char *text = json_dumps(m.body, JSON_COMPACT);
    REQUIRE(text);
    scoped(buffer) struct buffer written = {0};
    char *head = buffer_reserve(&written, 8);
    store_u32le(head, m.kind);
    store_u32le(head + 4, m.number);
    written.len = 8;
    buffer_add_text(&written, text);
    free(text);
    if (written.len <= WIRE_LIMIT_BYTES) {
        REQUIRE(wire_parse(buffer_view(&written), &again, &e));
        REQUIRE(again.kind == m.kind && again.number == m.number);
        REQUIRE(json_equal(again.body, m.body));
        wire_message_free(&again);
    }
    wire_message_free(&m);
    return true;
}
