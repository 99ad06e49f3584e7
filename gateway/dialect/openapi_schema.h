/* JSON Schema of what docs speak of. */
#ifndef WARMCELL_GATEWAY_DIALECT_OPENAPI_SCHEMA_H
#define WARMCELL_GATEWAY_DIALECT_OPENAPI_SCHEMA_H

#include <jansson.h>

#include "gateway/net/doc.h"

/* {"$ref": "#/components/schemas/NAME"}, given; the schema itself, and all it speaks of, is put
 * into named unless a schema of this name is there. */
json_t *openapi_schema(const struct doc_schema *schema, json_t *named);

/* The schema of one field, without its name; given. */
json_t *openapi_field(const struct doc_field *field, json_t *named);

/* The two forms of errors, by their names; given. */
json_t *openapi_errors(void);

#endif
