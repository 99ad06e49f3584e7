/* What may be asked to be installed: a name, extras and versions, as in PEP 508, and nothing that
 * leads elsewhere than to the index or the wheels that the administrator has chosen. Pure. */
#ifndef WARMCELL_GATEWAY_CORE_REQUIREMENT_H
#define WARMCELL_GATEWAY_CORE_REQUIREMENT_H

#include <jansson.h>

#include "protocol/err.h"

enum requirement_limits {
    REQUIREMENT_LIMIT_BYTES = 256,
    REQUIREMENTS_MOST = 64, /* in one request */
};

/* "name", "name[extra,other]", "name==1.2", "name >=1, <2": operators === == ~= != <= >= < >.
 * 400 names the entry: an option, a URL, a path, a marker, or no requirement at all. */
bool requirement_check(const char *text, struct err *e);

/* A list of them, at least one. 400 as above, with the entry's place: "packages[2]: ...". */
bool requirements_check(json_t *list, struct err *e);

/* "name" alone: letters, digits, "-", "_" and ".", with a letter or digit at both ends. 400. */
bool requirement_check_name(const char *name, struct err *e);

#endif
