/* What is told of an execution that its interpreter did not outlive. */
#include "tests/unit.h"

#include "kernel/host/spent.h"

#define MIB (1 << 20)

static const struct {
    const char *usage;  /* of the last reply; NULL: there was none */
    int64_t cpu_us;     /* the interpreter's, as the execution began */
    bool apart, unseen; /* unseen: nobody has told what it had used */
    const char *told;
} rows[] = {
    /* the process: 2 s of its own, 0.5 s of children, at most 100 MiB */
    {.cpu_us = 1500000, .told = "{\"usage\":{\"cpu_s\":1.000000,\"memory_peak_bytes\":104857600}}"},
    {.usage = "{\"cpu_s\": 9, \"children_cpu_s\": 0.4, \"children_peak_bytes\": 1}",
     .cpu_us = 1500000,
     .told = "{\"usage\":{\"cpu_s\":0.600000,\"memory_peak_bytes\":104857600}}"},
    /* one of its children may have had that before */
    {.usage = "{\"children_cpu_s\": 0.5, \"children_peak_bytes\": 104857600}",
     .cpu_us = 1500000,
     .told = "{\"usage\":{\"cpu_s\":0.500000}}"},
    /* it says nothing of its children */
    {.usage = "{\"cpu_s\": 1}", .cpu_us = 1500000, .told = "{\"usage\":{\"cpu_s\":0.500000}}"},
    {.usage = "", .cpu_us = 1500000, .told = "{\"usage\":{\"cpu_s\":0.500000}}"},
    /* what no interpreter would say */
    {.usage = "{\"children_cpu_s\": 1e99, \"children_peak_bytes\": -1}",
     .cpu_us = 2500000,
     .told = "{\"usage\":{\"cpu_s\":0.000000}}"},
    {.usage = "{\"children_cpu_s\": \"x\", \"children_peak_bytes\": {}}",
     .cpu_us = 2000000,
     .told = "{\"usage\":{\"cpu_s\":0.000000}}"},
    {.usage = "{\"children_cpu_s\": 7, \"children_peak_bytes\": 0}",
     .cpu_us = 0,
     .told = "{\"usage\":{\"cpu_s\":2.000000,\"memory_peak_bytes\":104857600}}"},
    /* nothing is known */
    {.cpu_us = -1, .told = ""},
    {.apart = true, .told = ""},
    {.unseen = true, .told = ""},
};

static void tells_the_rest(void **state)
{
    (void)state;
    for (size_t i = 0; i < countof(rows); i++) {
        struct spent s = {.apart = rows[i].apart, .cpu_us = rows[i].cpu_us};
        const struct interpreter_end end = {.use = {.known = !rows[i].unseen,
                                                    .cpu_us = 2000000,
                                                    .children_cpu_us = 500000,
                                                    .memory_peak_bytes = 100 * MIB}};
        scoped(buffer) struct buffer out = {0};
        if (rows[i].usage)
            spent_hear(&s, bytes_of(rows[i].usage));
        spent_tell(&s, &end, &out);
        assert_text(buffer_text(&out), rows[i].told);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(tells_the_rest)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
