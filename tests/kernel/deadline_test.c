/* The deadline of a request's metadata: what is taken, and what is refused by name. */
#include "tests/unit.h"

#include "kernel/host/deadline.h"

#define RANGE "metadata.warmcell.deadline_s: must be a number of seconds from 0.001 to 2592000"

static const struct {
    const char *raw;
    int64_t ms;
    const char *text; /* NULL: it is taken */
} rows[] = {
    {"", 0, NULL},
    {"{}", 0, NULL},
    {"{\"deadline_s\":null}", 0, NULL},
    {"{\"deadline_s\":2}", 2000, NULL},
    {"{\"deadline_s\":0.25,\"other\":[]}", 250, NULL},
    {"{\"deadline_s\":0.001}", 1, NULL},
    {"{\"deadline_s\":1e3}", 1000000, NULL},
    {"{\"deadline_s\":2592000}", DEADLINE_MOST_MS, NULL},
    {"{\"deadline_s\":2592000.1}", 0, RANGE},
    {"{\"deadline_s\":0}", 0, RANGE},
    {"{\"deadline_s\":0.0001}", 0, RANGE},
    {"{\"deadline_s\":-1}", 0, RANGE},
    {"{\"deadline_s\":1e999}", 0, RANGE},
    {"{\"deadline_s\":\"2\"}", 0, RANGE},
    {"{\"deadline_s\":true}", 0, RANGE},
    {"{\"deadline_s\":{}}", 0, RANGE},
    {"{\"deadline_s\":2.00000000000000000000000000000000000000000}", 0, RANGE},
    {"[]", 0, "metadata.warmcell: must be an object"},
    {"7", 0, "metadata.warmcell: must be an object"},
    {"{\"deadline_s\":1,\"deadline_s\":2}", 0, "metadata.warmcell: deadline_s is there twice"},
};

static void reads_and_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < countof(rows); i++) {
        int64_t ms = -1;
        struct err e = {0};
        bool good = deadline_read(bytes_of(rows[i].raw), &ms, &e);
        if (good != !rows[i].text)
            stop_test("row %zu: %s", i, good ? "was taken" : e.text);
        if (good)
            assert_int_equal(ms, rows[i].ms);
        else
            assert_fails(good, e, 400, rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads_and_refuses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
