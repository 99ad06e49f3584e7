/* A run of records, as it may stand in a segment: views lie in it, and what is written again is the
 * same. */
#include "tests/fuzz/fuzz.h"

#include "gateway/core/journal.h"

bool fuzz_one(struct bytes input)
{
    struct bytes rest = input;
    struct journal_record record;
    scoped(buffer) struct buffer again = {0};
    while (journal_next(&rest, &record)) {
        REQUIRE(lies_in(record.identity, input) && lies_in(record.msg_type, input));
        REQUIRE(lies_in(record.frame, input));
        journal_encode(&again, &record);
    }
    REQUIRE(bytes_equal(buffer_view(&again), (struct bytes){input.data, input.len - rest.len}));
    return rest.len == 0 && input.len > 0;
}
