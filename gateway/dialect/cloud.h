/* The REST API of cloud_sandbox: what its files share.
 *
 * A session is a sandbox of ours: the same id, and what the session has besides is in labels of the
 * sandbox whose names begin with CLOUD_LABEL. Errors are {"error": sentence}; a 401 is {"error":
 * "unauthorized", "message": sentence}. */
#ifndef WARMCELL_GATEWAY_DIALECT_CLOUD_H
#define WARMCELL_GATEWAY_DIALECT_CLOUD_H

#include "gateway/core/core.h"
#include "gateway/core/sandbox.h"
#include "gateway/net/doc.h"
#include "gateway/net/route.h"

#define CLOUD_ISSUER         "cloud-sandbox"
#define CLOUD_REFRESH_ISSUER "cloud-sandbox-refresh"
#define CLOUD_ACCESS_S       (24 * 3600)
#define CLOUD_REFRESH_S      (7 * 24 * 3600)
#define CLOUD_LABEL          "cloud/"
#define CLOUD_TAG            "cloud_sandbox"

void cloud_token(struct exchange *x, void *core);

extern const struct doc cloud_token_doc;

#endif
