/* What a server in a sandbox replies: split anywhere it means the same, and what is accepted has
 * clean headers and no more of a body than it says. */
#include "tests/fuzz/fuzz.h"

#include "gateway/net/relay_reply.h"

/* Feeds it in two parts; true: it was accepted. */
static bool feed(struct relay_reply *r, struct bytes input, size_t first)
{
    struct err e = {0};
    size_t used = 0, rest = 0;
    bool good = relay_reply_feed(r, (struct bytes){input.data, first}, &used, &e);
    REQUIRE(used <= first);
    if (good && !r->ended)
        good =
            relay_reply_feed(r, (struct bytes){input.data + first, input.len - first}, &rest, &e);
    REQUIRE(rest <= input.len - first);
    good = good && relay_reply_close(r, &e);
    REQUIRE(good || e.status == 502);
    return good;
}

bool fuzz_one(struct bytes input)
{
    struct relay_reply whole, split;
    const char *name, *value;
    relay_reply_init(&whole, false, true);
    relay_reply_init(&split, false, true);
    bool good = feed(&whole, input, input.len);
    bool again = feed(&split, input, input.len / 2);
    REQUIRE(good == again);
    REQUIRE(!good || (whole.status == split.status && whole.header_count == split.header_count));
    for (size_t i = 0; good && relay_reply_header(&whole, i, &name, &value); i++)
        REQUIRE(*name && !strpbrk(name, "\r\n: ") && !strpbrk(value, "\r\n"));
    REQUIRE(!good || whole.length < 0 || (int64_t)whole.body.len <= whole.length);
    relay_reply_free(&whole);
    relay_reply_free(&split);
    return good;
}
