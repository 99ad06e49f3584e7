/* A request target on its way to a route: what is decoded is UTF-8 without NUL and never longer
 * than what came, every view lies in the input, and a path that climbs is seen. */
#include "tests/fuzz/fuzz.h"

#include "gateway/net/router.h"
#include "gateway/net/url.h"
#include "protocol/utf8.h"

static void handler(struct exchange *x, void *context)
{
    (void)x;
    (void)context;
}

#define ROUTE(pattern_)                                                                            \
    {                                                                                              \
        .method = GET, .pattern = pattern_, .handler = handler                                     \
    }

static const struct route routes[] = {
    ROUTE("/"),
    ROUTE("/api"),
    ROUTE("/api/kernels/{id}"),
    ROUTE("/api/kernels/{id}/channels"),
    ROUTE("/kernelspecs/{name}/{file}"),
    ROUTE("/files/{path*}"),
    ROUTE("/files/{box}/tar"),
};

static bool decodes(struct bytes raw, bool plus)
{
    scoped(string) char *out = xmalloc(raw.len + 1);
    scoped(string) char *any = xmalloc(raw.len + 1);
    long len = url_decode(raw, plus, out), any_len = url_decode_bytes(raw, plus, any);
    REQUIRE(len < 0 || len == any_len);
    if (any_len >= 0) {
        scoped(buffer) struct buffer again = {0};
        REQUIRE((size_t)any_len <= raw.len && strlen(any) == (size_t)any_len);
        url_encode_path(&again, (struct bytes){any, (size_t)any_len});
        scoped(string) char *back = xmalloc(again.len + 1);
        REQUIRE(url_decode_bytes(buffer_view(&again), false, back) == any_len);
        REQUIRE(strcmp(any, back) == 0);
    }
    if (len < 0)
        return false;
    REQUIRE((size_t)len <= raw.len && strlen(out) == (size_t)len);
    REQUIRE(utf8_valid((struct bytes){out, (size_t)len}));
    if (strcmp(out, "..") == 0)
        REQUIRE(url_climbs(out));
    return true;
}

bool fuzz_one(struct bytes input)
{
    static struct router *router;
    if (!router) {
        router = router_new();
        router_add(router, &(struct route_table){routes, countof(routes)}, NULL);
    }
    struct bytes path, query, name, value;
    struct router_match match;
    struct err e;
    if (!url_split(input, &path, &query, &e))
        return refused(&e);
    REQUIRE(path.len && path.data[0] == '/');
    REQUIRE(!query.len || lies_in(query, input));
    while (url_query_next(&query, &name, &value)) {
        REQUIRE(lies_in(name, input) && (!value.len || lies_in(value, input)));
        decodes(name, true);
        decodes(value, true);
    }
    if (router_find(router, path, &match))
        for (size_t i = 0; i < match.param_count; i++)
            REQUIRE(!match.params[i].value.len || lies_in(match.params[i].value, input));
    return decodes(path, false);
}
