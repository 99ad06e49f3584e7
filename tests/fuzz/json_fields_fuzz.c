/* Bodies and their members: an accepted member is what it was asked to be, a refused one leaves the
 * default alone. */
#include "tests/fuzz/fuzz.h"

#include "protocol/json.h"

static void read_strings(json_t *body)
{
    struct err e;
    const char *untouched = "default", *text = untouched;
    if (!field_str(body, "s", OPTIONAL, &text, &e))
        refused(&e);
    REQUIRE(text && utf8_valid(bytes_of(text)));
    bool there = text != untouched;
    const char *again = untouched;
    REQUIRE(field_str(body, "s", REQUIRED, &again, &e) == there && (again == text));
}

static void read_numbers(json_t *body)
{
    struct err e;
    int64_t number = 7;
    if (!field_int(body, "i", REQUIRED, -5, 1000, &number, &e)) {
        refused(&e);
        REQUIRE(number == 7);
    }
    REQUIRE(number >= -5 && number <= 1000);
}

static void read_others(json_t *body)
{
    struct err e;
    bool truth = true;
    if (!field_bool(body, "b", OPTIONAL, &truth, &e)) {
        refused(&e);
        REQUIRE(truth);
    }
    json_t *object = NULL;
    if (!field_object(body, "o", REQUIRED, &object, &e)) {
        refused(&e);
        REQUIRE(!object);
    } else {
        REQUIRE(json_is_object(object));
    }
}

bool fuzz_one(struct bytes input)
{
    struct err e;
    scoped(json) json_t *body = json_parse_object(input, "body", 64 * 1024, &e);
    if (!body)
        return refused(&e);
    REQUIRE(json_is_object(body) && input.len <= 64 * 1024);
    read_strings(body);
    read_numbers(body);
    read_others(body);
    return true;
}
