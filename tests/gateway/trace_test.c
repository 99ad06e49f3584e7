/* Which headers carry a trace on. */
#include "tests/unit.h"

#include "gateway/net/trace.h"

#define TRACE  "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"
#define ZEROS  "0000000000000000"

static void what_is_a_traceparent(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
    } cases[] = {
        {"00-" TRACE "-" PARENT "-01", true},
        {"00-" TRACE "-" PARENT "-00", true},
        {"00-" TRACE "-" PARENT "-ff", true},
        {"cc-" TRACE "-" PARENT "-01", true},
        {"cc-" TRACE "-" PARENT "-01-what-comes", true},
        {"cc-" TRACE "-" PARENT "-01.what-comes", false},
        {"00-" TRACE "-" PARENT "-01-what-comes", false},
        {"00-" TRACE "-" PARENT "-01 ", false},
        {"ff-" TRACE "-" PARENT "-01", false},
        {"0-" TRACE "-" PARENT "-01", false},
        {"0X-" TRACE "-" PARENT "-01", false},
        {"00-" ZEROS ZEROS "-" PARENT "-01", false},
        {"00-" TRACE "-" ZEROS "-01", false},
        {"00-0AF7651916CD43DD8448EB211C80319C-" PARENT "-01", false},
        {"00-" TRACE "0-" PARENT "-1", false},
        {"00_" TRACE "-" PARENT "-01", false},
        {"00-" TRACE "-" PARENT "-0g", false},
        {"00-" TRACE "-" PARENT, false},
        {"-------------------------------------------------------", false},
        {"", false},
        {NULL, false},
    };
    for (size_t i = 0; i < countof(cases); i++)
        if (trace_parent(cases[i].text) != (cases[i].good ? cases[i].text : NULL))
            stop_test("case %zu", i);
    char id[TRACE_TEXT];
    trace_id(cases[0].text, id);
    assert_text(id, TRACE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_a_traceparent)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
