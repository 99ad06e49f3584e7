/* What people call their things: the name of a sandbox or a template, and a sandbox's labels. */
#ifndef WARMCELL_GATEWAY_CORE_NAMING_H
#define WARMCELL_GATEWAY_CORE_NAMING_H

#include <jansson.h>
#include <stdbool.h>

#include "protocol/err.h"

#define NAME_LIMIT        64  /* bytes of a name */
#define LABELS_MOST       32  /* of one sandbox */
#define LABEL_NAME_LIMIT  64  /* bytes */
#define LABEL_VALUE_LIMIT 256 /* bytes */

/* 1 to NAME_LIMIT letters, digits and ._-, the first a letter or digit, and not what an id looks
 * like: where a route takes an id or a name it is one or the other. 400. */
bool name_check(const char *name, struct err *e);

/* {"name": "text"}: at most LABELS_MOST; names of letters, digits and ._-/ and values without
 * control characters, each as long as it may be. nulls: a value may be null, which takes a label
 * away. 400. */
bool labels_check(json_t *labels, bool nulls, struct err *e);

/* Sets and takes away as changes (checked, with nulls) says. 400: they are too many now. */
bool labels_change(json_t *labels, json_t *changes, struct err *e);

/* filter: "name", it is there, or "name=text", it has this value. NULL: everything fits. */
bool labels_match(json_t *labels, const char *filter);

#endif
