/* What the routes of templates share. */
#ifndef WARMCELL_GATEWAY_DIALECT_V1_TEMPLATES_H
#define WARMCELL_GATEWAY_DIALECT_V1_TEMPLATES_H

#include "gateway/core/template_seed.h"
#include "gateway/net/exchange.h"

json_t *v1_template_model(const struct core *c, const struct template *t); /* given */

#endif
