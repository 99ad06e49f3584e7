/* The tree is built once at the start and only read afterwards. A node's literal children are few,
 * so they are compared one after another. Parameter names belong to the pattern, not to the node:
 * rows that share a node must name its parameter alike. */
#include "gateway/net/router.h"

#include <assert.h>

struct node {
    struct bytes
        name; /* the literal segment, or the name of the parameter; borrowed from a pattern */
    struct node *literals; /* first child with a literal name; owned */
    struct node *param;    /* the child for {name}; owned */
    struct node *rest;     /* the child for {name*}: a leaf; owned */
    struct node *next;     /* the next literal of the same parent; owned */
    const struct route *routes[METHOD_COUNT];
    void *contexts[METHOD_COUNT];
    bool ends; /* at least one route ends here */
};

struct router {
    struct node root;
};

struct router *router_new(void)
{
    return xcalloc(1, sizeof(struct router));
}

static void node_free(struct node *n)
{
    while (n) {
        struct node *next = n->next;
        node_free(n->literals);
        node_free(n->param);
        node_free(n->rest);
        free(n);
        n = next;
    }
}

void router_free(struct router *r)
{
    if (!r)
        return;
    node_free(r->root.literals);
    node_free(r->root.param);
    node_free(r->root.rest);
    free(r);
}

/* Takes the first segment of *path, which starts with "/", off it. */
static struct bytes segment_take(struct bytes *path)
{
    const char *start = path->data + 1;
    size_t left = path->len - 1;
    const char *slash = left ? memchr(start, '/', left) : NULL;
    struct bytes segment = {start, slash ? (size_t)(slash - start) : left};
    path->data = start + segment.len;
    path->len = left - segment.len;
    return segment;
}

static struct node *literal_find(const struct node *parent, struct bytes segment)
{
    for (struct node *n = parent->literals; n; n = n->next)
        if (bytes_equal(n->name, segment))
            return n;
    return NULL;
}

/* The child of parent for one segment of a pattern, made if it is new. */
static struct node *child_of(struct node *parent, struct bytes segment)
{
    bool param = segment.len > 2 && segment.data[0] == '{' && segment.data[segment.len - 1] == '}';
    bool rest = param && segment.data[segment.len - 2] == '*';
    struct bytes name =
        param ? (struct bytes){segment.data + 1, segment.len - (rest ? 3u : 2u)} : segment;
    struct node **place = rest ? &parent->rest : &parent->param;
    struct node *found = param ? *place : literal_find(parent, name);
    if (found) {
        assert(bytes_equal(found->name, name));
        return found;
    }
    struct node *n = xcalloc(1, sizeof *n);
    n->name = name;
    if (param) {
        *place = n;
    } else {
        n->next = parent->literals;
        parent->literals = n;
    }
    return n;
}

void router_add(struct router *r, const struct route_table *table, void *context)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct route *route = &table->routes[i];
        struct bytes path = bytes_of(route->pattern);
        assert(path.len && path.data[0] == '/');
        struct node *n = &r->root;
        while (path.len > 1)
            n = child_of(n, segment_take(&path));
        assert(!n->routes[route->method]);
        n->routes[route->method] = route;
        n->contexts[route->method] = context;
        n->ends = true;
    }
}

static bool matched(const struct node *n, struct router_match *out)
{
    memcpy(out->routes, n->routes, sizeof out->routes);
    memcpy(out->contexts, n->contexts, sizeof out->contexts);
    return n->ends;
}

static void param_push(struct router_match *out, const struct node *n, struct bytes value)
{
    assert(out->param_count < PARAMS_LIMIT);
    out->params[out->param_count++] = (struct router_param){n->name, value};
}

static bool descend(const struct node *n, struct bytes path, struct router_match *out)
{
    if (path.len <= 1 && n->ends)
        return matched(n, out);
    if (!path.len)
        return false;
    struct bytes left = path;
    struct bytes segment = segment_take(&left);
    const struct node *literal = literal_find(n, segment);
    if (literal && descend(literal, left, out))
        return true;
    if (n->param && segment.len) {
        size_t kept = out->param_count;
        param_push(out, n->param, segment);
        if (descend(n->param, left, out))
            return true;
        out->param_count = kept;
    }
    if (!n->rest)
        return false;
    param_push(out, n->rest, (struct bytes){path.data + 1, path.len - 1});
    out->any_bytes = true;
    return matched(n->rest, out);
}

bool router_find(const struct router *r, struct bytes path, struct router_match *out)
{
    out->param_count = 0;
    out->any_bytes = false;
    return path.len && path.data[0] == '/' && descend(&r->root, path, out);
}
