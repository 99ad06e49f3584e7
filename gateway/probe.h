/* Asks a program what it is, by running it. */
#ifndef WARMCELL_GATEWAY_PROBE_H
#define WARMCELL_GATEWAY_PROBE_H

#include "protocol/bytes.h"
#include "protocol/err.h"

/* "bin/python" -> "/here/bin/python"; a bare name is looked up on PATH. Given to the caller; ""
 * when there is none. */
char *probe_path(const char *name);

/* Runs argv (argv[0] is a path) and collects what it prints, 8 KiB at most; it gets 30 seconds and
 * is killed then. 400: it cannot be run. */
bool probe_run(char *const *argv, struct buffer *out, struct err *e);

#endif
