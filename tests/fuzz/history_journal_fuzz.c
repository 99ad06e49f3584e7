/* The journal of history rows: whatever a file holds, rows lie in it, and the same prefix gives the
 * same rows. */
#include "tests/fuzz/fuzz.h"

#include "kernel/host/journal.h"

struct seen {
    struct bytes whole;
    size_t rows;
};

static void see(void *data, const struct history_row *row)
{
    struct seen *seen = data;
    REQUIRE(lies_in(row->source, seen->whole));
    REQUIRE(lies_in(row->source_raw, seen->whole));
    seen->rows++;
}

bool fuzz_one(struct bytes input)
{
    struct seen all = {.whole = input}, half = {.whole = {input.data, input.len / 2}};
    bool taken = journal_parse(input, "/db", see, &all);
    journal_parse(half.whole, "/db", see, &half);
    REQUIRE(half.rows <= all.rows);
    REQUIRE(taken || all.rows == 0);
    return taken;
}
