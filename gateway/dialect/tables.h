/* Every route of every dialect: what main serves, and what the tests walk. */
#ifndef WARMCELL_GATEWAY_DIALECT_TABLES_H
#define WARMCELL_GATEWAY_DIALECT_TABLES_H

#include "gateway/net/route.h"

extern const struct route_table *const dialect_tables[]; /* their context is the core */
extern const size_t dialect_table_count;

#endif
