/* Connection files: what was read is written so that it is read again as the same. */
#include "tests/fuzz/fuzz.h"

#include "protocol/connection.h"

static bool same(const char *a, const char *b)
{
    return (!a && !b) || (a && b && strcmp(a, b) == 0);
}

bool fuzz_one(struct bytes input)
{
    struct err e;
    scoped(connection) struct connection c = {0}, again = {0};
    if (!connection_parse(input, &c, &e))
        return refused(&e);
    for (int port = 0; port < PORT_COUNT; port++) {
        scoped(string) char *endpoint = connection_endpoint(&c, (enum port)port);
        REQUIRE(strncmp(endpoint, c.transport, 3) == 0);
        REQUIRE(c.ports[port] >= 0 && c.ports[port] <= 65535);
    }
    scoped(string) char *text = connection_text(&c);
    REQUIRE(text);
    if (strlen(text) > CONNECTION_LIMIT_BYTES)
        return true; /* printed with indentation, it is longer than it was */
    REQUIRE(connection_parse(bytes_of(text), &again, NULL));
    REQUIRE(same(c.transport, again.transport) && same(c.ip, again.ip) && same(c.key, again.key));
    REQUIRE(same(c.signature_scheme, again.signature_scheme));
    REQUIRE(same(c.kernel_name, again.kernel_name));
    REQUIRE(same(c.jupyter_session, again.jupyter_session));
    REQUIRE(same(c.curve_publickey, again.curve_publickey));
    REQUIRE(same(c.curve_secretkey, again.curve_secretkey));
    REQUIRE(memcmp(c.ports, again.ports, sizeof(c.ports)) == 0);
    return true;
}
