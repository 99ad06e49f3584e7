/* What programs and code wrote, out of events. */
#ifndef WARMCELL_GATEWAY_CLI_OUTPUT_H
#define WARMCELL_GATEWAY_CLI_OUTPUT_H

#include <jansson.h>

#include "protocol/bytes.h"
#include "protocol/err.h"

/* Writes `text`, or `base64` decoded, of an event to stdout or stderr, by its kind: "stderr" or any
 * other. CLI_FAILED: it cannot be written, or is not what an event holds. */
bool output_event(const json_t *event, const char *kind, struct err *e);

/* An event of an execution as a person reads it: streams as they are, displays and results by their
 * text, errors with their traceback on stderr. Others are nothing. CLI_FAILED. */
bool output_execution(const json_t *event, struct err *e);

/* A line of NDJSON as it came, with its end, at once. */
bool output_line(struct bytes line, struct err *e);

/* A sentence on stderr about how something ended, in which what would order something of a terminal
 * is "?". */
__attribute__((format(printf, 1, 2))) void output_note(const char *format, ...);

#endif
