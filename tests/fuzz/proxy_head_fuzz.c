/* The head of a request to the proxy of sandboxes: what is accepted names a host of harmless
 * characters, and what the server would get is one head that says no more than it may. */
#include "tests/fuzz/fuzz.h"

#include "sandbox/proxy_head.h"

bool fuzz_one(struct bytes input)
{
    struct proxy_head head;
    struct err e = {0};
    size_t len = proxy_head_length(input);
    if (len == 0 || len > PROXY_HEAD_BYTES)
        return false;
    REQUIRE(len <= input.len);
    bool read = proxy_head_read((struct bytes){input.data, len}, &head, &e);
    if (!read) {
        REQUIRE(e.status == 400 || e.status == 501);
        proxy_head_free(&head);
        return false;
    }
    char again[ALLOW_HOST_MOST + 1];
    REQUIRE(head.port != 0);
    REQUIRE(allow_normalize(head.host, again) && strcmp(again, head.host) == 0);
    struct bytes forward = buffer_view(&head.forward);
    REQUIRE(head.tunnel == (forward.len == 0));
    if (!head.tunnel) {
        REQUIRE(proxy_head_length(forward) == forward.len);
        REQUIRE(!memchr(forward.data, '\0', forward.len));
    }
    proxy_head_free(&head);
    return true;
}
