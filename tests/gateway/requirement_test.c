/* What is taken for a requirement, and what is told of the rest. */
#include "tests/unit.h"

#include "gateway/core/package_source.h"
#include "gateway/core/requirement.h"
#include "protocol/json.h"

static void a_name_with_extras_and_versions_is_one(void **state)
{
    (void)state;
    static const char *const good[] = {
        "numpy",
        "a",
        "Zope.Interface-x_1",
        "numpy==2.1.0",
        "numpy >=1.2, <2,!=1.5",
        "x~=1.4.2",
        "x===1.0+abc",
        "x==1.*",
        "httpx[http2]",
        "httpx[http2, socks]>=0.2",
        "x<=1!2.0a",
        "x >  1",
        "x [a] == 1",
        "x>=2024.1.dev0",
        " x",
    };
    struct err e;
    for (size_t i = 0; i < countof(good); i++)
        if (!requirement_check(good[i], &e))
            stop_test("%s: %s", good[i], e.text);
}

static void anything_else_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"", "does not begin with the name"},
        {"--index-url=x", "an option of pip"},
        {"-e", "an option of pip"},
        {"-r requirements.txt", "an option of pip"},
        {"git+https://host/x.git", "a URL"},
        {"x @ file:///tmp/x", "a URL"},
        {"x@1", "a URL"},
        {"./x", "a path"},
        {"x/y", "a path"},
        {"..", "a path"},
        {"C:\\x", "a path"},
        {"x; os_name == 'nt'", "an environment marker"},
        {"x-", "the name of a package"},
        {"x==", "versions"},
        {"x=1", "versions"},
        {"x 1", "versions"},
        {"x>=1,", "versions"},
        {"x>=1 <2", "versions"},
        {"x==1\n--pre", "versions"},
        {"x\nnumpy", "versions"},
        {"x[a", "extras"},
        {"x[]", "extras"},
        {"\xc3\xa4", "does not begin with the name"},
    };
    struct err e = {0};
    for (size_t i = 0; i < countof(bad); i++) {
        assert_false(requirement_check(bad[i].text, &e));
        assert_int_equal(e.status, 400);
        if (!strstr(e.text, bad[i].says))
            stop_test("%s: %s", bad[i].text, e.text);
    }
    char longest[REQUIREMENT_LIMIT_BYTES + 2];
    memset(longest, 'x', sizeof longest);
    longest[REQUIREMENT_LIMIT_BYTES] = '\0';
    assert_true(requirement_check(longest, &e));
    longest[REQUIREMENT_LIMIT_BYTES] = 'x';
    longest[REQUIREMENT_LIMIT_BYTES + 1] = '\0';
    assert_false(requirement_check(longest, &e));
}

static void a_list_names_the_entry(void **state)
{
    (void)state;
    static const struct {
        const char *json, *says;
    } bad[] = {
        {"null", "packages: must be a list"},
        {"\"x\"", "packages: must be a list"},
        {"[]", "packages: must be a list"},
        {"[\"x\", 1]", "packages[1]: must be a string"},
        {"[\"x\", \"y\", \"-z\"]", "packages[2]: \"-z\": holds an option of pip"},
        {"[\"x\\u0000y\"]", "packages[0]: must be a string without NUL"},
    };
    struct err e;
    for (size_t i = 0; i < countof(bad); i++) {
        scoped(json) json_t *list = json_loads(bad[i].json, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_false(requirements_check(list, &e));
        assert_memory_equal(e.text, bad[i].says, strlen(bad[i].says));
    }
    scoped(json) json_t *many = json_array();
    for (int i = 0; i < REQUIREMENTS_MOST; i++)
        json_array_append_new(many, json_string("x"));
    assert_true(requirements_check(many, &e));
    json_array_append_new(many, json_string("x"));
    assert_false(requirements_check(many, &e));
}

static bool read_source(const char *index, const char *wheels, struct package_source *out,
                        struct err *e)
{
    static char *hosts[] = {"mirror.example", NULL};
    static struct settings_core settings;
    settings = (struct settings_core){.package_index = (char *)index,
                                      .package_hosts = {hosts, *index ? 1 : 0},
                                      .wheels = (char *)wheels};
    return package_source_read(&settings, out, e);
}

static void an_index_is_all_that_is_reached(void **state)
{
    (void)state;
    static const struct {
        const char *index, *network, *trusted;
    } rows[] = {
        {"", "\"none\"", NULL},
        {"https://pypi.org/simple",
         "{\"allow\": [\"pypi.org\", \"files.pythonhosted.org\", \"mirror.example\"]}", NULL},
        {"https://own.example:8443", "{\"allow\": [\"own.example:8443\", \"mirror.example\"]}",
         NULL},
        {"http://127.0.0.1:99/s/", "{\"allow\": [\"127.0.0.1:99\", \"mirror.example\"]}",
         "127.0.0.1:99"},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        struct package_source source;
        struct err e;
        assert_true(read_source(rows[i].index, "/w", &source, &e));
        scoped(json) json_t *wanted = json_loads(rows[i].network, JSON_DECODE_ANY, NULL);
        assert_true(json_equal(wanted, source.network));
        assert_string_equal(source.wheels, "/w");
        if (rows[i].trusted)
            assert_string_equal(source.trusted, rows[i].trusted);
        else
            assert_null(source.trusted);
        package_source_free(&source);
    }
}

static void what_is_no_index_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "pypi.org",        "ftp://x/",        "https://",       "https:///simple",
        "https://u:p@x/s", "https://x/ y",    "https://x/#y",   "https://x:0/",
        "https://*/",      "file:///simple/", "https://x\\y/s",
    };
    for (size_t i = 0; i < countof(bad); i++) {
        struct package_source source;
        struct err e = {0};
        if (read_source(bad[i], "", &source, &e))
            stop_test("%s was taken", bad[i]);
        assert_memory_equal(e.text, "package-index", 13);
        package_source_free(&source);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_with_extras_and_versions_is_one),
        cmocka_unit_test(anything_else_is_refused_by_name),
        cmocka_unit_test(a_list_names_the_entry),
        cmocka_unit_test(an_index_is_all_that_is_reached),
        cmocka_unit_test(what_is_no_index_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
