/* Headers: what was read from one can be written into a new one and read again. */
#include "tests/fuzz/fuzz.h"

#include "protocol/json.h"
#include "protocol/message.h"

static void add_member(struct buffer *out, const char *name, const char *value)
{
    buffer_printf(out, "%s\"%s\":", out->len ? "," : "{", name);
    json_quote(out, bytes_of(value));
}

static bool same(const char *a, const char *b)
{
    return (!a && !b) || (a && b && strcmp(a, b) == 0);
}

bool fuzz_one(struct bytes input)
{
    struct err e;
    scoped(header) struct header h = {0}, again = {0};
    if (!header_parse(input, &h, &e))
        return refused(&e);
    REQUIRE(h.msg_id && h.msg_type && h.session && h.username && h.date && h.version);
    REQUIRE(utf8_valid(bytes_of(h.msg_id)) && utf8_valid(bytes_of(h.username)));
    scoped(buffer) struct buffer text = {0};
    add_member(&text, "msg_id", h.msg_id);
    add_member(&text, "msg_type", h.msg_type);
    add_member(&text, "session", h.session);
    add_member(&text, "username", h.username);
    add_member(&text, "date", h.date);
    add_member(&text, "version", h.version);
    if (h.subshell_id)
        add_member(&text, "subshell_id", h.subshell_id);
    buffer_add_text(&text, "}");
    if (text.len > HEADER_LIMIT_BYTES)
        return true; /* replacement characters took more room than what they stand for */
    REQUIRE(header_parse(buffer_view(&text), &again, NULL));
    REQUIRE(same(h.msg_id, again.msg_id) && same(h.msg_type, again.msg_type));
    REQUIRE(same(h.session, again.session) && same(h.username, again.username));
    REQUIRE(same(h.date, again.date) && same(h.version, again.version));
    REQUIRE(same(h.subshell_id, again.subshell_id));
    return true;
}
