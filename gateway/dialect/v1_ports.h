/* The ports of sandboxes at origins of their own. */
#ifndef WARMCELL_GATEWAY_DIALECT_V1_PORTS_H
#define WARMCELL_GATEWAY_DIALECT_V1_PORTS_H

#include "gateway/core/core.h"
#include "gateway/net/site.h"

/* What server_sites needs; core is borrowed. */
struct sites v1_port_sites(struct core *core);

#endif
