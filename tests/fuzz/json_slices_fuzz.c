/* The scanner: slices lie in the text and are values of their own; and what jansson accepts, it
 * accepts, nesting apart (and NUL bytes: jansson 2.14 passes over one that follows a number). */
#include "tests/fuzz/fuzz.h"

#include "protocol/json.h"

#define DEPTH_LIMIT 200

static size_t depth_of(json_t *value)
{
    size_t deepest = 0, i;
    const char *name;
    json_t *inner;
    if (json_is_object(value)) {
        json_object_foreach(value, name, inner)
        {
            size_t depth = depth_of(inner);
            deepest = depth > deepest ? depth : deepest;
        }
    } else if (json_is_array(value)) {
        json_array_foreach(value, i, inner)
        {
            size_t depth = depth_of(inner);
            deepest = depth > deepest ? depth : deepest;
        }
    } else {
        return 0;
    }
    return deepest + 1;
}

static void require_value(struct bytes value)
{
    scoped(buffer) struct buffer text = {0};
    buffer_add_text(&text, " { \"a\" : ");
    buffer_add_bytes(&text, value);
    buffer_add_text(&text, " } ");
    struct slice slice = {.name = "a"};
    REQUIRE(json_slices(buffer_view(&text), &slice, 1, NULL));
    REQUIRE(bytes_equal(slice.value, value));
    if (value.data[0] == '"') {
        scoped(string) char *decoded = json_slice_string(value, NULL);
        REQUIRE(decoded);
    }
}

static bool same_text(json_t *value, struct bytes raw)
{
    size_t len = 0;
    scoped(string) char *text = json_slice_string(raw, &len);
    return text && bytes_equal((struct bytes){text, len},
                               (struct bytes){json_string_value(value), json_string_length(value)});
}

bool fuzz_one(struct bytes input)
{
    struct err e;
    struct slice slices[] = {{.name = "a"}, {.name = "bb"}, {.name = "content"}};
    bool has_nul = input.len > 0 && memchr(input.data, '\0', input.len);
    bool accepted = json_slices(input, slices, countof(slices), &e);
    scoped(json) json_t *parsed = json_loadb(input.data ? input.data : "", input.len,
                                             JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    if (!accepted) {
        REQUIRE(!json_is_object(parsed) || depth_of(parsed) > DEPTH_LIMIT || has_nul);
        return refused(&e);
    }
    for (size_t i = 0; i < countof(slices); i++) {
        struct bytes value = slices[i].value;
        json_t *expected = json_object_get(parsed, slices[i].name);
        REQUIRE(lies_in(value, input) && (!value.data || value.len > 0));
        REQUIRE(!parsed || !expected == !value.data);
        if (value.data)
            require_value(value);
        REQUIRE(!json_is_string(expected) || same_text(expected, value));
    }
    return true;
}
