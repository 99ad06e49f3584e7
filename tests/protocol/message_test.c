/* Splitting, signing and building messages. */
#include "tests/unit.h"

#include "protocol/message.h"

#define TIMES_20(x)  x x x x x x x x x x x x x x x x x x x x
#define TIMES_50(x)  TIMES_20(x) TIMES_20(x) x x x x x x x x x x
#define TIMES_131(x) TIMES_50(x) TIMES_50(x) TIMES_20(x) x x x x x x x x x x x

static void signatures_are_hmacs(void **state)
{
    (void)state;
    static const struct {
        const char *scheme;
        struct bytes secret, text;
        const char *signature;
    } cases[] = {
        /* RFC 4231, cases 1, 2, 3 and 6 */
        {"hmac-sha256", LITERAL(TIMES_20("\x0b")), LITERAL("Hi There"),
         "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {"hmac-sha256", LITERAL("Jefe"), LITERAL("what do ya want for nothing?"),
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {"hmac-sha256", LITERAL(TIMES_20("\xaa")), LITERAL(TIMES_50("\xdd")),
         "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
        {"hmac-sha256", LITERAL(TIMES_131("\xaa")),
         LITERAL("Test Using Larger Than Block-Size Key - Hash Key First"),
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
        {"hmac-sha512", LITERAL("Jefe"), LITERAL("what do ya want for nothing?"),
         "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65"
         "f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"},
        /* the names that Python's hashlib has */
        {"hmac-md5", LITERAL("Jefe"), LITERAL("what do ya want for nothing?"),
         "750c783e6ab0b503eaa86e310a5db738"},
        {"hmac-sha3_256", LITERAL("Jefe"), LITERAL("what do ya want for nothing?"),
         "c7d4072e788877ae3596bbb0da73b887c9171f93095b294ae857fbe2645e1ba5"},
        {"hmac-sha512_256", LITERAL("Jefe"), LITERAL("what do ya want for nothing?"),
         "6df7b24630d5ccb2ee335407081a87188c221489768fa2020513b2d593359456"},
        {"hmac-blake2s", LITERAL("Jefe"), LITERAL("what do ya want for nothing?"),
         "90b6281e2f3038c9056af0b4a7e763cae6fe5d9eb4386a0ec95237890c104ff0"},
        {"hmac-blake2b", LITERAL("Jefe"), LITERAL("what do ya want for nothing?"),
         "6ff884f8ddc2a6586b3c98a4cd6ebdf14ec10204b6710073eb5865ade37a2643b8807c1335d107ecdb9ffeae"
         "b6828c4625ba172c66379efcd222c2de11727ab4"},
        {"hmac-sha256", LITERAL(""), LITERAL("x"), ""},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct err e = {0};
        scoped(key) struct key *key = key_new(cases[i].scheme, cases[i].secret, &e);
        if (!key)
            stop_test("case %zu: %s", i, e.text);
        for (int again = 0; again < 3; again++) {
            char signature[SIGNATURE_TEXT];
            key_sign(key, &(struct message){.content = cases[i].text}, signature);
            assert_text(signature, cases[i].signature);
        }
    }
}

static void schemes_must_be_known(void **state)
{
    (void)state;
    static const char *const schemes[] = {"",
                                          "sha256",
                                          "hmac-",
                                          "hmac",
                                          "hmac-none",
                                          "HMAC-sha256",
                                          "hmac-shake128",
                                          "hmac- sha256",
                                          "hmac-sha256, sha1"};
    for (size_t i = 0; i < countof(schemes); i++) {
        struct err e = {0};
        scoped(string) char *text =
            xasprintf("signature_scheme: %s is not known (hmac-sha256 is)", schemes[i]);
        assert_fails(key_new(schemes[i], bytes_of("x"), &e), e, 400, text);
        assert_null(key_new(schemes[i], bytes_of(""), NULL));
    }
    scoped(string) char *long_name = xmalloc(301);
    memset(long_name, 'x', 300);
    memcpy(long_name, "hmac-", 5);
    long_name[300] = '\0';
    assert_null(key_new(long_name, bytes_of("x"), NULL));
}

static void constant_time_comparison_compares(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool equal;
    } cases[] = {{"", "", true},       {"abc", "abc", true}, {"abc", "abd", false},
                 {"abc", "ab", false}, {"", "a", false},     {NULL, "", true}};
    assert_false(bytes_equal_constant_time(LITERAL("ab\0"), bytes_of("ab")));
    assert_false(bytes_equal_constant_time(bytes_of("ab"), LITERAL("ab\0")));
    for (size_t i = 0; i < countof(cases); i++)
        assert_int_equal(bytes_equal_constant_time(bytes_of(cases[i].a), bytes_of(cases[i].b)),
                         cases[i].equal);
}

static void channels_have_names(void **state)
{
    (void)state;
    static const char *const names[] = {"shell", "control", "stdin", "iopub"};
    for (size_t i = 0; i < countof(names); i++) {
        enum channel channel = CHANNEL_COUNT;
        assert_true(channel_parse(bytes_of(names[i]), &channel));
        assert_int_equal(channel, i);
        assert_text(channel_name(channel), names[i]);
    }
    enum channel channel = CHANNEL_IOPUB;
    static const char *const others[] = {"", "hb", "Shell", "shell ", "shel"};
    for (size_t i = 0; i < countof(others); i++)
        assert_false(channel_parse(bytes_of(others[i]), &channel));
    assert_int_equal(channel, CHANNEL_IOPUB);
}

#define HEADER    "{\"msg_id\":\"1\"}"
#define CONTENT   "{\"x\":0.1}"
#define SIGNATURE "ebdf5c07945c3cece139ada729243d75e0a741b36faf0bb933951d3339887501"
#define WRONG     "ebdf5c07945c3cece139ada729243d75e0a741b36faf0bb933951d3339887502"
#define UPPER     "EBDF5C07945C3CECE139ADA729243D75E0A741B36FAF0BB933951D3339887501"
#define BODY      HEADER, "{}", "{}", CONTENT

static void wire_messages_are_split(void **state)
{
    (void)state;
    static const struct {
        const char *secret;
        const char *frames[10]; /* to the first NULL */
        size_t identities, buffers;
        int status;
        const char *message;
    } cases[] = {
        {"secret", {"<IDS|MSG>", SIGNATURE, BODY}, 0, 0, 0, ""},
        {"secret", {"id", "<IDS|MSG>", SIGNATURE, BODY, "buffer"}, 1, 1, 0, ""},
        {"secret", {"", "b", "<IDS|MSG>", SIGNATURE, BODY, "", "<IDS|MSG>"}, 2, 2, 0, ""},
        {"", {"<IDS|MSG>", "", BODY}, 0, 0, 0, ""},
        {"", {"<IDS|MSG>", "anything", BODY}, 0, 0, 0, ""},
        {"secret", {NULL}, 0, 0, 400, "message: no frame is the delimiter <IDS|MSG>"},
        {"secret",
         {"id", "<IDS|MSG> ", SIGNATURE, BODY},
         0,
         0,
         400,
         "message: no frame is the delimiter <IDS|MSG>"},
        {"secret",
         {"id", "<IDS|MSG>", SIGNATURE, HEADER, "{}", "{}"},
         0,
         0,
         400,
         "message: 4 frames after the delimiter, at least 5 are expected"},
        {"secret",
         {"<IDS|MSG>"},
         0,
         0,
         400,
         "message: 0 frames after the delimiter, at least 5 are expected"},
        {"secret", {"<IDS|MSG>", WRONG, BODY}, 0, 0, 401, "message: the signature is wrong"},
        {"secret", {"<IDS|MSG>", UPPER, BODY}, 0, 0, 401, "message: the signature is wrong"},
        {"secret", {"<IDS|MSG>", "", BODY}, 0, 0, 401, "message: the signature is wrong"},
        {"secret",
         {"<IDS|MSG>", SIGNATURE "0", BODY},
         0,
         0,
         401,
         "message: the signature is wrong"},
        {"secret",
         {"<IDS|MSG>", SIGNATURE, HEADER, "{}", "", CONTENT},
         0,
         0,
         401,
         "message: the signature is wrong"},
        {"other", {"<IDS|MSG>", SIGNATURE, BODY}, 0, 0, 401, "message: the signature is wrong"},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        scoped(key) struct key *key = key_new("hmac-sha256", bytes_of(cases[i].secret), NULL);
        struct bytes parts[10];
        size_t count = 0;
        for (; count < 10 && cases[i].frames[count]; count++)
            parts[count] = bytes_of(cases[i].frames[count]);
        struct err e = {0};
        struct message m = {.channel = CHANNEL_STDIN};
        bool good = message_split(parts, count, key, &m, &e);
        assert_int_equal(m.channel, CHANNEL_STDIN);
        if (cases[i].status) {
            assert_fails(good, e, cases[i].status, cases[i].message);
            continue;
        }
        if (!good)
            stop_test("case %zu: %s", i, e.text);
        assert_int_equal(m.identity_count, cases[i].identities);
        assert_ptr_equal(m.identities, parts);
        assert_bytes(m.header, bytes_of(HEADER));
        assert_bytes(m.parent, bytes_of("{}"));
        assert_bytes(m.metadata, bytes_of("{}"));
        assert_bytes(m.content, bytes_of(CONTENT));
        assert_int_equal(m.buffer_count, cases[i].buffers);
        for (size_t b = 0; b < m.buffer_count; b++)
            assert_bytes(m.buffers[b], parts[count - m.buffer_count + b]);
    }
}

static void a_message_survives_the_wire(void **state)
{
    (void)state;
    scoped(key) struct key *key = key_new("hmac-sha256", bytes_of("secret"), NULL);
    struct bytes identity = bytes_of("client"), buffer = LITERAL("\0\1");
    struct message m = {
        .identities = &identity,
        .identity_count = 1,
        .header = bytes_of(HEADER),
        .content = bytes_of(CONTENT),
        .buffers = &buffer,
        .buffer_count = 1,
    };
    char signature[SIGNATURE_TEXT];
    struct bytes parts[8];
    assert_int_equal(message_parts(&m, key, signature, parts, 7), 0);
    assert_int_equal(message_parts(&m, key, signature, parts, 8), 8);
    static const char *const expected[] = {"client", "<IDS|MSG>", SIGNATURE, BODY};
    for (size_t i = 0; i < countof(expected); i++)
        assert_bytes(parts[i], bytes_of(expected[i]));
    struct message back = {0};
    assert_true(message_split(parts, 8, key, &back, NULL));
    assert_bytes(back.identities[0], identity);
    assert_bytes(back.buffers[0], buffer);
}

static void without_a_secret_the_signature_is_empty(void **state)
{
    (void)state;
    scoped(key) struct key *key = key_new("hmac-sha256", bytes_of(""), NULL);
    struct message m = {.header = bytes_of(HEADER), .content = bytes_of("{}")};
    char signature[SIGNATURE_TEXT] = "old";
    struct bytes parts[6];
    assert_int_equal(message_parts(&m, key, signature, parts, 6), 6);
    assert_bytes(parts[1], bytes_of(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signatures_are_hmacs),
        cmocka_unit_test(schemes_must_be_known),
        cmocka_unit_test(constant_time_comparison_compares),
        cmocka_unit_test(channels_have_names),
        cmocka_unit_test(wire_messages_are_split),
        cmocka_unit_test(a_message_survives_the_wire),
        cmocka_unit_test(without_a_secret_the_signature_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
