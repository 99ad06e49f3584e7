/* JSON strings: any bytes can be quoted, and what is decoded is what jansson decodes. */
#include "tests/fuzz/fuzz.h"

#include "protocol/json.h"

static void require_quotable(struct bytes text)
{
    scoped(buffer) struct buffer quoted = {0}, clean = {0};
    json_quote(&quoted, text);
    utf8_clean(&clean, text);
    size_t len = 0;
    scoped(string) char *back = json_slice_string(buffer_view(&quoted), &len);
    REQUIRE(back && bytes_equal((struct bytes){back, len}, buffer_view(&clean)));
    scoped(json) json_t *parsed =
        json_loadb(quoted.data, quoted.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    REQUIRE(parsed);
    REQUIRE(bytes_equal((struct bytes){json_string_value(parsed), json_string_length(parsed)},
                        buffer_view(&clean)));
}

bool fuzz_one(struct bytes input)
{
    require_quotable(input);
    size_t len = 0;
    scoped(string) char *text = json_slice_string(input, &len);
    scoped(json) json_t *parsed =
        json_loadb(input.data ? input.data : "", input.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    bool bare = input.len > 0 && input.data[0] == '"' && input.data[input.len - 1] == '"';
    if (!text) {
        REQUIRE(!bare || !json_is_string(parsed));
        return false;
    }
    struct bytes decoded = {text, len};
    REQUIRE(utf8_valid(decoded) && text[len] == '\0');
    if (parsed)
        REQUIRE(bytes_equal((struct bytes){json_string_value(parsed), json_string_length(parsed)},
                            decoded));
    require_quotable(decoded);
    return true;
}
