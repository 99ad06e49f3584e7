/* An ini file: keys and values are trimmed runs of the input, and lines count up. */
#include "tests/fuzz/fuzz.h"

#include "gateway/ini.h"

struct seen {
    struct bytes input;
    int line;
};

static bool on_pair(void *user, struct bytes key, struct bytes value, int line, struct err *e)
{
    struct seen *s = user;
    (void)e;
    REQUIRE(key.len == 0 || lies_in(key, s->input));
    REQUIRE(value.len == 0 || lies_in(value, s->input));
    REQUIRE(!memchr(key.data, '\n', key.len) && !memchr(key.data, '=', key.len));
    REQUIRE(value.len == 0 || (value.data[0] != ' ' && value.data[value.len - 1] != '\r'));
    REQUIRE(line > s->line);
    s->line = line;
    return true;
}

bool fuzz_one(struct bytes input)
{
    struct seen s = {.input = input};
    struct err e;
    return ini_parse(input, on_pair, &s, &e) || refused(&e);
}
