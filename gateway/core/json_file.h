/* Files that hold one JSON value: what a gateway that comes back reads of its kernels, and what
 * hosts are told at their start. */
#ifndef WARMCELL_GATEWAY_CORE_JSON_FILE_H
#define WARMCELL_GATEWAY_CORE_JSON_FILE_H

#include <jansson.h>
#include <stdbool.h>

#include "protocol/err.h"

/* Writes a file of mode 0600 anew. 503. */
bool json_file_write(const char *path, const json_t *value, struct err *e);

/* Puts a file in the place of the one at path, whole or not at all, by way of path + ".new". It is
 * there for other processes and after the death of this one; a power cut may lose it. 503. */
bool json_file_replace(const char *path, const json_t *value, struct err *e);

#endif
