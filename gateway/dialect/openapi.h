/* The description of every route of a server, made from the route tables and their docs. */
#ifndef WARMCELL_GATEWAY_DIALECT_OPENAPI_H
#define WARMCELL_GATEWAY_DIALECT_OPENAPI_H

#include <jansson.h>

#include "gateway/net/doc.h"
#include "gateway/net/route.h"

/* An OpenAPI 3.1 document; given. base_url: "" or "/prefix". A row without a doc is there with its
 * summary alone. {path*} becomes {path}. Source: spec.openapis.org, OAS 3.1.1. */
json_t *openapi_document(const struct route_table *const *tables, size_t count,
                         const char *base_url);

#endif
