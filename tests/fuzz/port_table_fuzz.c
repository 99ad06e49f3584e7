/* A table of sockets: its rows end, and each names a port and an address. */
#include "tests/fuzz/fuzz.h"

#include "gateway/core/port_table.h"

bool fuzz_one(struct bytes input)
{
    struct port_row row;
    size_t count = 0, left = input.len;
    while (port_table_next(&input, &row)) {
        REQUIRE(input.len < left);
        left = input.len;
        REQUIRE(row.port > 0 && row.address[0]);
        count++;
    }
    REQUIRE(input.len == 0);
    return count > 0;
}
