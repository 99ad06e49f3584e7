/* Splitting, signing and building messages. */
#include "tests/unit.h"

#include "protocol/message.h"

static void a_message_survives_the_wire(void **state)
{
    (void)state;
    scoped(key) struct key *key = key_new("hmac-sha256", bytes_of("secret"), NULL);
    struct bytes identity = bytes_of("client"), buffer = LITERAL("\0\1");
    struct message m = {
        .identities = &identity,
        .identity_count = 1,
        .header = bytes_of("{\"msg_id\":\"1\"}"),
        .parent = bytes_of("{}"),
        .content = bytes_of("{\"x\":0.1}"),
        .buffers = &buffer,
        .buffer_count = 1,
    };
    char signature[SIGNATURE_TEXT];
    struct bytes parts[8];
    assert_int_equal(message_parts(&m, key, signature, parts, 7), 0);
    assert_int_equal(message_parts(&m, key, signature, parts, 8), 8);
    struct message back = {.channel = CHANNEL_STDIN};
    assert_true(message_split(parts, 8, key, &back, NULL));
    assert_int_equal(back.channel, CHANNEL_STDIN);
    assert_int_equal(back.identity_count, 1);
    assert_bytes(back.identities[0], identity);
    assert_bytes(back.header, m.header);
    assert_bytes(back.parent, m.parent);
    assert_bytes(back.metadata, bytes_of("{}"));
    assert_bytes(back.content, m.content);
    assert_int_equal(back.buffer_count, 1);
    assert_bytes(back.buffers[0], buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_survives_the_wire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
