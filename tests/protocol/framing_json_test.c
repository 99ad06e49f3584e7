/* The JSON WebSocket framing. */
#include "tests/unit.h"

#include "protocol/byte_order.h"
#include "protocol/framing.h"
#include "protocol/json.h"

#define HEADER "{\"msg_id\": \"1\", \"msg_type\": \"stream\", \"x\": 0.1}"
#define TEXT_BEFORE_END                                                                            \
    "{\"header\":" HEADER                                                                          \
    ",\"msg_id\":\"1\",\"msg_type\":\"stream\",\"parent_header\":{\"p\" : 1}"                      \
    ",\"metadata\":{},\"content\":{\"v\": 0.1, \"s\": \"\\ud800\"}"
#define TEXT              TEXT_BEFORE_END ",\"buffers\":[],\"channel\":\"iopub\"}"
#define TEXT_WITH_BUFFERS TEXT_BEFORE_END ",\"channel\":\"iopub\"}"

static struct message example(const struct bytes *buffers, size_t count)
{
    return (struct message){
        .channel = CHANNEL_IOPUB,
        .header = bytes_of(HEADER),
        .parent = bytes_of("{\"p\" : 1}"),
        .content = bytes_of("{\"v\": 0.1, \"s\": \"\\ud800\"}"),
        .buffers = buffers,
        .buffer_count = count,
    };
}

static void without_buffers_it_is_a_text(void **state)
{
    (void)state;
    struct message m = example(NULL, 0);
    scoped(buffer) struct buffer out = {0};
    bool binary = true;
    assert_true(framing_json_encode(&m, &out, &binary, NULL));
    assert_false(binary);
    assert_bytes(buffer_view(&out), bytes_of(TEXT));
}

static void with_buffers_it_is_binary(void **state)
{
    (void)state;
    struct bytes buffers[] = {LITERAL("ab"), LITERAL(""), LITERAL("\0\xFF")};
    struct message m = example(buffers, 3);
    scoped(buffer) struct buffer out = {0};
    bool binary = false;
    buffer_add_text(&out, "before"); /* it is appended, offsets count from its start */
    assert_true(framing_json_encode(&m, &out, &binary, NULL));
    buffer_drop(&out, strlen("before"));
    assert_true(binary);
    size_t json = 4 * 5, end = json + strlen(TEXT_WITH_BUFFERS);
    const size_t numbers[] = {4, json, end, end + 2, end + 2};
    for (size_t i = 0; i < countof(numbers); i++)
        assert_int_equal(load_u32be(out.data + 4 * i), numbers[i]);
    assert_bytes(((struct bytes){out.data + json, end - json}), bytes_of(TEXT_WITH_BUFFERS));
    assert_bytes(((struct bytes){out.data + end, out.len - end}), LITERAL("ab\0\xFF"));
    scoped(framed) struct framed f = {0};
    assert_true(framing_json_decode(buffer_view(&out), true, &f, NULL));
    assert_bytes(f.message.content, m.content);
    assert_int_equal(f.message.buffer_count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_bytes(f.message.buffers[i], buffers[i]);
}

static void a_header_must_say_what_it_is(void **state)
{
    (void)state;
    static const struct {
        const char *header, *message;
    } cases[] = {
        {"{\"msg_type\":\"t\"}", "header: msg_id: must be a string"},
        {"{\"msg_id\":\"1\"}", "header: msg_type: must be a string"},
        {"{\"msg_id\":1,\"msg_type\":\"t\"}", "header: msg_id: must be a string"},
        {"", "header: not valid JSON at byte 0: an object is expected"},
        {"{\"msg_id\":\"1\",\"msg_type\":\"t\"",
         "header: not valid JSON at byte 28: ',' or '}' is expected"},
    };
    struct bytes buffer = LITERAL("x");
    for (size_t i = 0; i < countof(cases); i++)
        for (size_t count = 0; count < 2; count++) {
            struct err e = {0};
            struct message m = example(&buffer, count);
            m.header = bytes_of(cases[i].header);
            scoped(buffer) struct buffer out = {0};
            buffer_add_text(&out, "kept");
            bool binary;
            assert_fails(framing_json_encode(&m, &out, &binary, &e), e, 400, cases[i].message);
            assert_text(buffer_text(&out), "kept");
        }
}

static void texts_of_real_clients_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum channel channel;
        const char *parent, *metadata, *content;
    } cases[] = {
        {TEXT, CHANNEL_IOPUB, "{\"p\" : 1}", "{}", "{\"v\": 0.1, \"s\": \"\\ud800\"}"},
        {"{\"header\":" HEADER "}", CHANNEL_SHELL, "{}", "{}", "{}"},
        {"{\"header\":" HEADER ",\"channel\":null,\"parent_header\":null,\"metadata\":null,"
         "\"content\":null,\"buffers\":null}",
         CHANNEL_SHELL, "{}", "{}", "{}"},
        {"{\"channel\":\"std\\u0069n\",\"content\":{\"value\":\"x\"},\"header\":" HEADER
         ",\"metadata\":{\"cellId\":\"c\"},\"parent_header\":{},\"buffers\":[1],\"z\":[[]]}",
         CHANNEL_STDIN, "{}", "{\"cellId\":\"c\"}", "{\"value\":\"x\"}"},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct err e = {0};
        scoped(framed) struct framed f = {0};
        if (!framing_json_decode(bytes_of(cases[i].text), false, &f, &e))
            stop_test("case %zu: %s", i, e.text);
        assert_int_equal(f.message.channel, cases[i].channel);
        assert_bytes(f.message.header, bytes_of(HEADER));
        assert_bytes(f.message.parent, bytes_of(cases[i].parent));
        assert_bytes(f.message.metadata, bytes_of(cases[i].metadata));
        assert_bytes(f.message.content, bytes_of(cases[i].content));
        assert_int_equal(f.message.buffer_count, 0);
    }
}

static void bad_texts_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "not valid JSON at byte 0: an object is expected"},
        {"[]", "not valid JSON at byte 0: an object is expected"},
        {"{}", "header: is required"},
        {"{\"header\":null}", "header: is required"},
        {"{\"header\":\"x\"}", "header: must be an object"},
        {"{\"header\":{},\"parent_header\":[]}", "parent_header: must be an object"},
        {"{\"header\":{},\"metadata\":1}", "metadata: must be an object"},
        {"{\"header\":{},\"content\":\"x\"}", "content: must be an object"},
        {"{\"header\":{},\"channel\":\"hb\"}", "channel: must be shell, control, stdin or iopub"},
        {"{\"header\":{},\"channel\":\"shell\\u0000\"}",
         "channel: must be shell, control, stdin or iopub"},
        {"{\"header\":{},\"channel\":1}", "channel: must be shell, control, stdin or iopub"},
        {"{\"header\":{},\"header\":{}}", "header: is there twice (byte 13)"},
        {"{\"header\":{},\"content\":{\"a\":0.1e}}",
         "not valid JSON at byte 32: a digit is expected"},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct err e = {0};
        struct framed f;
        assert_fails(framing_json_decode(bytes_of(cases[i].text), false, &f, &e), e, 400,
                     cases[i].message);
    }
}

/* The JSON {"header":{}} and the buffers "ab" and "c" (32 bytes), one number changed. */
static void numbers_must_agree(void **state)
{
    (void)state;
    static const struct {
        size_t place;
        uint32_t value;
        const char *message;
    } cases[] = {
        {0, 0, "frame: at least one offset is expected"},
        {0, 2, "frame: the first offset must be 12, the end of the table"},
        {0, 4, "frame: the first offset must be 20, the end of the table"},
        {0, 8, "frame: shorter than its table of offsets"},
        {0, 1025, "frame: shorter than its table of offsets"},
        {0, 1026, "frame: 1026 offsets, more than 1024 buffers are not accepted"},
        {0, UINT32_MAX, "frame: 4294967295 offsets, more than 1024 buffers are not accepted"},
        {1, 0, "frame: the first offset must be 16, the end of the table"},
        {1, 17, "frame: the first offset must be 16, the end of the table"},
        {2, 15, "frame: part 0 goes from byte 16 to 15 of 32"},
        {2, 33, "frame: part 0 goes from byte 16 to 33 of 32"},
        {2, UINT32_MAX, "frame: part 0 goes from byte 16 to 4294967295 of 32"},
        {2, 28, "not valid JSON at byte 12: ',' or '}' is expected"},
        {3, 28, "frame: part 1 goes from byte 29 to 28 of 32"},
        {3, 33, "frame: part 1 goes from byte 29 to 33 of 32"},
    };
    const struct bytes whole = LITERAL("\0\0\0\3\0\0\0\x10\0\0\0\x1d\0\0\0\x1f{\"header\":{}}ab"
                                       "c");
    scoped(framed) struct framed good = {0};
    assert_true(framing_json_decode(whole, true, &good, NULL));
    assert_int_equal(good.message.buffer_count, 2);
    assert_bytes(good.message.buffers[0], bytes_of("ab"));
    assert_bytes(good.message.buffers[1], bytes_of("c"));
    for (size_t i = 0; i < countof(cases); i++) {
        scoped(string) char *frame = xmemdup(whole.data, whole.len);
        store_u32be(frame + 4 * cases[i].place, cases[i].value);
        struct err e = {0};
        struct framed f;
        assert_fails(framing_json_decode((struct bytes){frame, whole.len}, true, &f, &e), e, 400,
                     cases[i].message);
        assert_null(f.buffers);
    }
    for (size_t len = 0; len < 29; len++) {
        scoped(string) char *cut = xmemdup(whole.data, len);
        struct framed f;
        assert_false(framing_json_decode((struct bytes){cut, len}, true, &f, NULL));
    }
}

/* What code in a cell has said of itself must not become members of the message. */
static void what_is_no_object_is_an_empty_one(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "nonsense",         "[]",          "{\"a\":1}},\"channel\":\"shell\",\"x\":{\"y\":{}",
        "{\"a\":\"\xFF\"}", "{\"a\":NaN}", "{",
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct message m = example(NULL, 0);
        m.metadata = m.content = bytes_of(cases[i]);
        scoped(buffer) struct buffer out = {0};
        scoped(framed) struct framed f = {0};
        bool binary;
        assert_true(framing_json_encode(&m, &out, &binary, NULL));
        assert_true(framing_json_decode(buffer_view(&out), binary, &f, NULL));
        assert_int_equal(f.message.channel, CHANNEL_IOPUB);
        assert_bytes(f.message.metadata, bytes_of("{}"));
        assert_bytes(f.message.content, bytes_of("{}"));
        assert_bytes(f.message.parent, m.parent);
    }
}

static void big_content_is_the_same_bytes(void **state)
{
    (void)state;
    scoped(buffer) struct buffer content = {0}, text = {0};
    while (text.len < 3000000)
        buffer_add_text(&text, "line \"x\" \xE2\x82\xAC\n");
    buffer_add_text(&content, "{\"n\":0.1,\"text\":");
    json_quote(&content, buffer_view(&text));
    buffer_add_text(&content, "}");
    struct message m = example(NULL, 0);
    m.content = buffer_view(&content);
    scoped(buffer) struct buffer out = {0};
    bool binary;
    assert_true(framing_json_encode(&m, &out, &binary, NULL));
    scoped(framed) struct framed f = {0};
    assert_true(framing_json_decode(buffer_view(&out), false, &f, NULL));
    assert_true(bytes_equal(f.message.content, m.content));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_buffers_it_is_a_text),
        cmocka_unit_test(with_buffers_it_is_binary),
        cmocka_unit_test(a_header_must_say_what_it_is),
        cmocka_unit_test(texts_of_real_clients_are_read),
        cmocka_unit_test(bad_texts_are_refused),
        cmocka_unit_test(numbers_must_agree),
        cmocka_unit_test(what_is_no_object_is_an_empty_one),
        cmocka_unit_test(big_content_is_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
