/* The rows of cloud_sandbox's API. */
#include "gateway/dialect/cloud.h"

#include "protocol/memory.h"

static const struct route rows[] = {
    {
        .method = POST,
        .pattern = "/api/v1/auth/token",
        .handler = cloud_token,
        .summary = "A JWT for a user",
        .errors = {400, 401, 403, 413},
        .access = ACCESS_OPEN,
        .error_form = ERRORS_CLOUD,
        .doc = &cloud_token_doc,
    },
};

const struct route_table cloud_routes = {rows, countof(rows)};
