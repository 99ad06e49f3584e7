/* A run of records, as it may stand in a segment: views lie in it, and what is written again says
 * the same. */
#include "tests/fuzz/fuzz.h"

#include "gateway/core/journal.h"

static bool same(const struct journal_record *a, const struct journal_record *b)
{
    return a->sequence == b->sequence && a->source == b->source && a->epoch == b->epoch &&
           bytes_equal(a->identity, b->identity) && bytes_equal(a->msg_type, b->msg_type) &&
           bytes_equal(a->frame, b->frame);
}

bool fuzz_one(struct bytes input)
{
    struct bytes rest = input;
    struct journal_record record, read;
    while (journal_next(&rest, &record)) {
        scoped(buffer) struct buffer again = {0};
        REQUIRE(lies_in(record.identity, input) && lies_in(record.msg_type, input));
        REQUIRE(lies_in(record.frame, input));
        journal_encode(&again, &record);
        struct bytes whole = buffer_view(&again);
        REQUIRE(journal_next(&whole, &read) && whole.len == 0 && same(&record, &read));
    }
    return rest.len == 0 && input.len > 0;
}
