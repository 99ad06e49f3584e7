/* Finds the route of a path: the tables of net/route.h as a tree of path segments. */
#ifndef WARMCELL_GATEWAY_NET_ROUTER_H
#define WARMCELL_GATEWAY_NET_ROUTER_H

#include "gateway/net/limits.h"
#include "gateway/net/route.h"

struct router;

struct router *router_new(void);
void router_free(struct router *r);

/* Adds the rows of a table; context is handed to their handlers. The table is borrowed for the
 * router's life. A row that an earlier one already answers, or a malformed pattern, is a bug. */
void router_add(struct router *r, const struct route_table *table, void *context);

/* Raw (still encoded) views into the path that was looked up. names are borrowed from the pattern.
 */
struct router_param {
    struct bytes name;
    struct bytes value;
};

struct router_match {
    const struct route *routes[METHOD_COUNT]; /* NULL: that method is not allowed here */
    void *contexts[METHOD_COUNT];
    struct router_param params[PARAMS_LIMIT];
    size_t param_count;
    bool any_bytes; /* the last parameter is a {rest*} */
};

/* path is raw, without base URL and query, and starts with "/". A literal segment wins over a
 * {name}, and that over a {rest*}; one slash at the end is passed over. False: no route for any
 * method. */
bool router_find(const struct router *r, struct bytes path, struct router_match *out);

#endif
