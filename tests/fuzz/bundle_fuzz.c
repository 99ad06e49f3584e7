/* A MIME bundle that the scanner of protocol/ found well-formed: its members are values of their
 * own, as many as jansson finds; and base64 gives the same in pieces as whole. */
#include "tests/fuzz/fuzz.h"

#include "gateway/core/bundle.h"
#include "protocol/json.h"

static void decode(struct bytes raw)
{
    struct bytes text = {raw.data + 1, raw.len - 2};
    struct base64 whole = {0}, pieces = {0};
    scoped(buffer) struct buffer a = {0}, b = {0};
    bool fine = base64_decode(&whole, text, &a) && base64_whole(&whole);
    bool same = true;
    for (size_t i = 0; i < text.len && same; i++)
        same = base64_decode(&pieces, (struct bytes){text.data + i, 1}, &b);
    REQUIRE((same && base64_whole(&pieces)) == fine);
    REQUIRE(!fine || bytes_equal(buffer_view(&a), buffer_view(&b)));
}

bool fuzz_one(struct bytes input)
{
    struct err e;
    if (!json_slices(input, NULL, 0, &e))
        return refused(&e);
    struct bytes rest = input, name, value;
    while (rest.len && *rest.data != '{')
        rest = (struct bytes){rest.data + 1, rest.len - 1};
    size_t count = 0;
    while (bundle_next(&rest, &name, &value)) {
        REQUIRE(lies_in(name, input) && lies_in(value, input));
        scoped(string) char *text = json_slice_string(name, NULL);
        REQUIRE(text);
        if (value.data[0] == '"')
            decode(value);
        count++;
    }
    scoped(json) json_t *parsed =
        json_loadb(input.data, input.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    REQUIRE(!parsed || json_object_size(parsed) == count);
    return true;
}
