/* The list that a new table of routes is added to. */
#include "gateway/dialect/tables.h"

#include "protocol/memory.h"

const struct route_table *const dialect_tables[] = {
    &jupyter_routes,          &v1_routes,        &v1_file_routes,     &v1_command_routes,
    &v1_package_routes,       &v1_stream_routes, &v1_token_routes,    &v1_template_routes,
    &v1_usage_routes,         &v1_store_routes,  &v1_port_routes,     &cloud_routes,
    &v1_template_seed_routes, &sdbx_routes,      &v1_language_routes, &docs_routes,
};

const size_t dialect_table_count = countof(dialect_tables);
