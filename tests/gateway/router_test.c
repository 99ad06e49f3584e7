/* Which route answers a path, and with which parameters. */
#include "tests/unit.h"

#include "gateway/net/router.h"

static void handler(struct exchange *x, void *context)
{
    (void)x;
    (void)context;
}

#define ROUTE(method_, pattern_)                                                                   \
    {                                                                                              \
        .method = method_, .pattern = pattern_, .handler = handler                                 \
    }

static const struct route routes[] = {
    ROUTE(GET, "/"),
    ROUTE(GET, "/api"),
    ROUTE(GET, "/api/kernels"),
    ROUTE(POST, "/api/kernels"),
    ROUTE(GET, "/api/kernels/{id}"),
    ROUTE(DELETE, "/api/kernels/{id}"),
    ROUTE(POST, "/api/kernels/{id}/interrupt"),
    ROUTE(GET, "/api/kernels/special/channels"),
    ROUTE(GET, "/api/kernels/{id}/channels"),
    ROUTE(GET, "/files/{path*}"),
    ROUTE(GET, "/files/{box}/tar"),
    ROUTE(GET, "/kernelspecs/{name}/{file}"),
};

static void paths_find_their_routes(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum method method;
        const char *pattern; /* NULL: none for this method */
        const char *first, *second;
    } cases[] = {
        {"/", GET, "/", NULL, NULL},
        {"/api", GET, "/api", NULL, NULL},
        {"/api/", GET, "/api", NULL, NULL},
        {"/api", POST, NULL, NULL, NULL},
        {"/api/kernels", POST, "/api/kernels", NULL, NULL},
        {"/api/kernels/a-b", GET, "/api/kernels/{id}", "a-b", NULL},
        {"/api/kernels/a-b", DELETE, "/api/kernels/{id}", "a-b", NULL},
        {"/api/kernels/a%2Fb/interrupt", POST, "/api/kernels/{id}/interrupt", "a%2Fb", NULL},
        {"/api/kernels/special/channels", GET, "/api/kernels/special/channels", NULL, NULL},
        {"/api/kernels/special/interrupt", POST, "/api/kernels/{id}/interrupt", "special", NULL},
        {"/api/kernels/special", GET, "/api/kernels/{id}", "special", NULL},
        {"/api/kernels/x/channels", GET, "/api/kernels/{id}/channels", "x", NULL},
        {"/files/a/b/c", GET, "/files/{path*}", "a/b/c", NULL},
        {"/files/a/tar", GET, "/files/{box}/tar", "a", NULL},
        {"/files/a/tar/x", GET, "/files/{path*}", "a/tar/x", NULL},
        {"/files/", GET, "/files/{path*}", "", NULL},
        {"/kernelspecs/n/f.png", GET, "/kernelspecs/{name}/{file}", "n", "f.png"},
    };
    struct router *r = router_new();
    int context;
    router_add(r, &(struct route_table){routes, countof(routes)}, &context);
    for (size_t i = 0; i < countof(cases); i++) {
        struct router_match m;
        if (!router_find(r, bytes_of(cases[i].path), &m))
            stop_test("%s: not found", cases[i].path);
        const struct route *found = m.routes[cases[i].method];
        if (!cases[i].pattern) {
            assert_null(found);
            continue;
        }
        if (!found)
            stop_test("%s: no such method", cases[i].path);
        assert_text(found->pattern, cases[i].pattern);
        assert_ptr_equal(m.contexts[cases[i].method], &context);
        const char *expected[] = {cases[i].first, cases[i].second};
        assert_int_equal(m.param_count, (expected[0] != NULL) + (expected[1] != NULL));
        for (size_t j = 0; j < m.param_count; j++)
            assert_bytes(m.params[j].value, bytes_of(expected[j]));
        assert_true(m.any_bytes == (strchr(cases[i].pattern, '*') != NULL));
    }
    router_free(r);
}

static void other_paths_find_none(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "",
        "api",
        "//",
        "/ap",
        "/api2",
        "/api//kernels",
        "/api/kernels//interrupt",
        "/kernelspecs/n",
        "/kernelspecs/n/f/g",
        "/files",
        "/api/kernels/x/channels/y",
        "/API",
    };
    struct router *r = router_new();
    router_add(r, &(struct route_table){routes, countof(routes)}, NULL);
    for (size_t i = 0; i < countof(paths); i++) {
        struct router_match m;
        if (router_find(r, bytes_of(paths[i]), &m))
            stop_test("%s: found", paths[i]);
    }
    router_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_find_their_routes),
        cmocka_unit_test(other_paths_find_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
