/* The page at /: what this is, and where to go from here. */
#ifndef WARMCELL_GATEWAY_HOME_H
#define WARMCELL_GATEWAY_HOME_H

#include "gateway/net/route.h"
#include "gateway/net/server.h"

/* The context of its routes. */
struct home {
    const struct server *server; /* borrowed */
};

extern const struct route_table home_routes;

#endif
