/* What code may be written in here. */
#ifndef WARMCELL_GATEWAY_CORE_LANGUAGES_H
#define WARMCELL_GATEWAY_CORE_LANGUAGES_H

#include <jansson.h>

/* [{"name", "kind": "kernel" (of contexts) or "toolchain" (run by commands), "title", "available":
 * bool, "reason": why it is not, or null, "program", "package": name or null, "mime_type",
 * "file_extension", "keeps_variables": bool}], looked up now. Given. */
json_t *languages_model(void);

#endif
