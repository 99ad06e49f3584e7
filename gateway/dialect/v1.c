/* The rows of the native API. */
#include "gateway/dialect/v1.h"

#include "protocol/memory.h"

static const struct route rows[] = {
    {GET,
     "/readyz",
     v1_readyz,
     "The gateway takes new work",
     "Health",
     {503},
     ACCESS_OPEN,
     ERRORS_PROBLEM,
     false},
    {GET,
     "/v1/artifacts",
     v1_artifacts_list,
     "What executions displayed, oldest first",
     "Artifacts",
     {400, 503},
     ACCESS_TOKEN,
     ERRORS_PROBLEM,
     false},
    {GET,
     "/v1/artifacts/{id}",
     v1_artifact_show,
     "One artifact",
     "Artifact",
     {404, 503},
     ACCESS_TOKEN,
     ERRORS_PROBLEM,
     false},
    {GET,
     "/v1/artifacts/{id}/content",
     v1_artifact_content,
     "The bytes of an artifact",
     "File",
     {404, 410, 503},
     ACCESS_TOKEN,
     ERRORS_PROBLEM,
     false},
};

const struct route_table v1_routes = {rows, countof(rows)};
