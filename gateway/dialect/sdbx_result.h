/* What came out of a run, as sandbox_sdk's clients read it.
 *
 * A result is {"text", "html", "markdown", "svg", "png", "jpeg", "pdf", "latex", "json",
 * "javascript", "is_main_result", "isMainResult"}: of what was displayed, the formats that it has.
 * Formats without such a word stand under their media types. */
#ifndef WARMCELL_GATEWAY_DIALECT_SDBX_RESULT_H
#define WARMCELL_GATEWAY_DIALECT_SDBX_RESULT_H

#include "gateway/core/execution_event.h"
#include "gateway/dialect/v1_executions.h"

#define SDBX_OUTPUTS_BYTES                                                                         \
    (8 * 1024 * 1024) /* of what was put out, in an answer that is no stream */

/* The whole of a run that has ended:
 *   {"results": [...], "logs": {"stdout": [lines], "stderr": [lines]}, "error": {"name", "value",
 *    "traceback"} or null, "executionCount", "executionId", "contextId", "status", "startTime",
 *    "endTime", "duration": ms, "truncated"}
 * names in both cases. One that ended well with neither result nor display has what it printed as
 * its main result, with "type": "stdout". */
void sdbx_write_whole(struct execution *x, struct buffer *out);

/* The same as lines, as it comes: {"type": "stdout" or "stderr", "text"}, {"type": "result", ...},
 * {"type": "error", "name", "value", "traceback"}, and last {"type": "end", ...} with what the
 * whole has besides results and logs; or {"type": "problem", "status", "message"}. */
extern const struct v1_stream_words sdbx_words;

#endif
