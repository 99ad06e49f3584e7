/* Connection files: read, checked, rewritten. */
#include "tests/unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "protocol/connection.h"
#include "protocol/json.h"

#define PUBLIC "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
#define SECRET "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"

static const char full[] =
    "{\"transport\": \"tcp\", \"ip\": \"10.0.0.1\", \"shell_port\": 1, \"iopub_port\": 2, "
    "\"stdin_port\": 3, \"control_port\": 4, \"hb_port\": 65535, \"key\": \"k\\u00e9y\", "
    "\"signature_scheme\": \"hmac-sha512\", \"kernel_name\": \"warmcell\", \"jupyter_session\": "
    "\"/a/b.ipynb\", \"curve_publickey\": \"" PUBLIC "\", \"curve_secretkey\": \"" SECRET "\"}";

static void every_field_is_read(void **state)
{
    (void)state;
    struct err e = {0};
    scoped(connection) struct connection c = {0};
    if (!connection_parse(bytes_of(full), &c, &e))
        stop_test("%s", e.text);
    assert_text(c.transport, "tcp");
    assert_text(c.ip, "10.0.0.1");
    static const int ports[PORT_COUNT] = {1, 2, 3, 4, 65535};
    assert_memory_equal(c.ports, ports, sizeof(ports));
    assert_text(c.key, "k\xC3\xA9y");
    assert_text(c.signature_scheme, "hmac-sha512");
    assert_text(c.kernel_name, "warmcell");
    assert_text(c.jupyter_session, "/a/b.ipynb");
    assert_text(c.curve_publickey, PUBLIC);
    assert_text(c.curve_secretkey, SECRET);
}

static void absent_fields_have_meanings(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "{\"transport\":null,\"ip\":null,\"key\":null,\"hb_port\":null,\"curve_publickey\":null}",
        "{\"ip\":\"\",\"shell_port\":0}",
    };
    for (size_t i = 0; i < countof(texts); i++) {
        scoped(connection) struct connection c = {0};
        assert_true(connection_parse(bytes_of(texts[i]), &c, NULL));
        assert_text(c.transport, "tcp");
        assert_text(c.ip, "127.0.0.1");
        for (size_t p = 0; p < PORT_COUNT; p++)
            assert_int_equal(c.ports[p], 0);
        assert_text(c.key, "");
        assert_text(c.signature_scheme, "hmac-sha256");
        assert_text(c.kernel_name, "");
        assert_text(c.jupyter_session, "");
        assert_null(c.curve_publickey);
        assert_null(c.curve_secretkey);
    }
}

static void wrong_fields_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"[]", "connection file: must be an object"},
        {"{\"transport\":\"udp\"}", "transport: must be tcp or ipc"},
        {"{\"transport\":1}", "transport: must be a string"},
        {"{\"transport\":\"ipc\"}",
         "ip: is required with ipc, as the prefix of the sockets' paths"},
        {"{\"ip\":[]}", "ip: must be a string"},
        {"{\"ip\":\"a\\u0000b\"}", "ip: must not contain the NUL character"},
        {"{\"key\":5}", "key: must be a string"},
        {"{\"shell_port\":\"5\"}", "shell_port: must be an integer"},
        {"{\"iopub_port\":65536}", "iopub_port: out of range (0 to 65535)"},
        {"{\"stdin_port\":-1}", "stdin_port: out of range (0 to 65535)"},
        {"{\"control_port\":1.5}", "control_port: must be an integer"},
        {"{\"hb_port\":true}", "hb_port: must be an integer"},
        {"{\"signature_scheme\":{}}", "signature_scheme: must be a string"},
        {"{\"curve_publickey\":\"" PUBLIC "\"}",
         "curve_secretkey: is required, both curve keys go together"},
        {"{\"curve_secretkey\":\"" SECRET "\"}",
         "curve_publickey: is required, both curve keys go together"},
        {"{\"curve_publickey\":\"short\",\"curve_secretkey\":\"" SECRET "\"}",
         "curve_publickey: must be 40 characters of Z85"},
        {"{\"curve_publickey\":\"" PUBLIC
         "\",\"curve_secretkey\":\"0123456789012345678901234567890123456 89\"}",
         "curve_secretkey: must be 40 characters of Z85"},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct err e = {0};
        struct connection c;
        assert_fails(connection_parse(bytes_of(cases[i].text), &c, &e), e, 400, cases[i].message);
        assert_null(c.extra);
    }
}

static void files_have_a_size(void **state)
{
    (void)state;
    scoped(string) char *text = xcalloc(1, CONNECTION_LIMIT_BYTES + 2);
    memset(text, ' ', CONNECTION_LIMIT_BYTES + 1);
    memcpy(text, "{}", 2);
    struct err e = {0};
    struct connection none;
    scoped(connection) struct connection c = {0};
    assert_true(connection_parse((struct bytes){text, CONNECTION_LIMIT_BYTES}, &c, NULL));
    assert_fails(connection_parse((struct bytes){text, CONNECTION_LIMIT_BYTES + 1}, &none, &e), e,
                 413, "connection file: larger than 65536 bytes");
}

static void endpoints_are_as_jupyter_has_them(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum port port;
        const char *endpoint;
    } cases[] = {
        {"{\"shell_port\":5555}", PORT_SHELL, "tcp://127.0.0.1:5555"},
        {"{\"shell_port\":5555}", PORT_HB, "tcp://127.0.0.1:*"},
        {"{\"ip\":\"*\",\"iopub_port\":6}", PORT_IOPUB, "tcp://0.0.0.0:6"},
        {"{\"ip\":\"*\"}", PORT_IOPUB, "tcp://0.0.0.0:*"},
        {"{\"ip\":\"::1\",\"stdin_port\":7}", PORT_STDIN, "tcp://[::1]:7"},
        {"{\"ip\":\"[::1]\",\"stdin_port\":7}", PORT_STDIN, "tcp://[::1]:7"},
        {"{\"ip\":\"%s%n\",\"stdin_port\":7}", PORT_STDIN, "tcp://%s%n:7"},
        {"{\"transport\":\"ipc\",\"ip\":\"/tmp/k\",\"control_port\":9}", PORT_CONTROL,
         "ipc:///tmp/k-9"},
        {"{\"transport\":\"ipc\",\"ip\":\"/tmp/k\"}", PORT_SHELL, "ipc:///tmp/k-1"},
        {"{\"transport\":\"ipc\",\"ip\":\"/tmp/k\"}", PORT_HB, "ipc:///tmp/k-5"},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        scoped(connection) struct connection c = {0};
        assert_true(connection_parse(bytes_of(cases[i].text), &c, NULL));
        scoped(string) char *endpoint = connection_endpoint(&c, cases[i].port);
        assert_text(endpoint, cases[i].endpoint);
    }
}

static void a_new_connection_has_its_own_key(void **state)
{
    (void)state;
    scoped(connection) struct connection a = {0}, b = {0};
    connection_default(&a);
    connection_default(&b);
    assert_text(a.transport, "tcp");
    assert_text(a.ip, "127.0.0.1");
    assert_text(a.signature_scheme, "hmac-sha256");
    assert_int_equal(strlen(a.key), 64);
    assert_string_not_equal(a.key, b.key);
    for (size_t i = 0; i < PORT_COUNT; i++)
        assert_int_equal(a.ports[i], 0);
}

/* A folder of its own for a test that writes files; the state is its path. */
static int make_folder(void **state)
{
    char *path = xasprintf("%s/warmcell-test-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(path)) {
        free(path);
        return -1;
    }
    *state = path;
    return 0;
}

static int remove_folder(void **state)
{
    scoped(string) char *folder = *state;
    scoped(string) char *file = xasprintf("%s/kernel.json", folder);
    unlink(file);
    return rmdir(folder); /* fails when something else, like a temporary file, was left there */
}

static void put_file(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void rewriting_keeps_what_we_do_not_know(void **state)
{
    scoped(string) char *path = xasprintf("%s/kernel.json", (char *)*state);
    put_file(path,
             "{\"future\": {\"x\": [1, null]}, \"ip\": \"127.0.0.1\", \"key\": \"k\", "
             "\"shell_port\": 0, \"kernel_name\": \"n\"}",
             0644);
    scoped(connection) struct connection c = {0}, again = {0};
    assert_true(connection_read(path, &c, NULL));
    for (int i = 0; i < PORT_COUNT; i++)
        c.ports[i] = 5000 + i;
    struct err e = {0};
    if (!connection_write(&c, path, &e))
        stop_test("%s", e.text);
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 07777, 0600);
    scoped(json) json_t *body = json_load_file(path, 0, NULL);
    scoped(json) json_t *expected =
        json_pack("{s:{s:[i,n]}, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i}", "future",
                  "x", 1, "transport", "tcp", "ip", "127.0.0.1", "key", "k", "signature_scheme",
                  "hmac-sha256", "kernel_name", "n", "jupyter_session", "", "shell_port", 5000,
                  "iopub_port", 5001, "stdin_port", 5002, "control_port", 5003, "hb_port", 5004);
    assert_non_null(expected);
    assert_true(json_equal(body, expected));
    assert_true(connection_read(path, &again, NULL));
    assert_int_equal(again.ports[PORT_HB], 5004);
}

static void a_full_file_is_written_as_it_was(void **state)
{
    scoped(string) char *path = xasprintf("%s/kernel.json", (char *)*state);
    scoped(connection) struct connection c = {0};
    assert_true(connection_parse(bytes_of(full), &c, NULL));
    assert_true(connection_write(&c, path, NULL));
    scoped(json) json_t *written = json_load_file(path, 0, NULL);
    scoped(json) json_t *expected = json_loads(full, 0, NULL);
    assert_true(json_equal(written, expected));
}

static void files_that_cannot_be_read_say_so(void **state)
{
    scoped(string) char *path = xasprintf("%s/kernel.json", (char *)*state);
    struct err e = {0};
    struct connection c;
    scoped(string) char *absent = xasprintf("connection file %s does not exist", path);
    assert_fails(connection_read(path, &c, &e), e, 404, absent);
    scoped(string) char *folder =
        xasprintf("connection file %s is not a regular file", (char *)*state);
    assert_fails(connection_read(*state, &c, &e), e, 400, folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    scoped(string) char *fifo = xasprintf("connection file %s is not a regular file", path);
    assert_fails(connection_read(path, &c, &e), e, 400, fifo);
    assert_int_equal(unlink(path), 0);
    put_file(path, "{\"key\": 1}", 0600);
    assert_fails(connection_read(path, &c, &e), e, 400, "key: must be a string");
}

static void files_that_cannot_be_written_say_so(void **state)
{
    (void)state;
    scoped(connection) struct connection c = {0};
    connection_default(&c);
    struct err e = {0};
    assert_fails(
        connection_write(&c, "/nonexistent/k.json", &e), e, 500,
        "connection file /nonexistent/k.json cannot be written: No such file or directory");
    free(c.kernel_name);
    c.kernel_name = xstrdup("\xFF");
    assert_fails(connection_write(&c, "/nonexistent/k.json", &e), e, 400,
                 "connection file /nonexistent/k.json: a member is not UTF-8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_is_read),
        cmocka_unit_test(absent_fields_have_meanings),
        cmocka_unit_test(wrong_fields_are_named),
        cmocka_unit_test(files_have_a_size),
        cmocka_unit_test(endpoints_are_as_jupyter_has_them),
        cmocka_unit_test(a_new_connection_has_its_own_key),
        cmocka_unit_test_setup_teardown(rewriting_keeps_what_we_do_not_know, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(a_full_file_is_written_as_it_was, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(files_that_cannot_be_read_say_so, make_folder,
                                        remove_folder),
        cmocka_unit_test(files_that_cannot_be_written_say_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
