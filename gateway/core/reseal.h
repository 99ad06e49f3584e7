/* What a gateway that does not run has sealed is sealed anew with the newest key, and then the
 * older ones are dropped. */
#ifndef WARMCELL_GATEWAY_CORE_RESEAL_H
#define WARMCELL_GATEWAY_CORE_RESEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/err.h"

struct reseal_report {
    int64_t records, files, templates, kernels; /* sealed anew; files: big ones */
    size_t keys;                                /* that were dropped */
};

/* Goes through the state folder and through what lives on in the runtime folder, which need not be
 * there. Each thing is replaced whole or not at all, and all keys stay until the last one was: it
 * may be killed at any time, and is then done again from the beginning. 403: it is not the
 * caller's; 404: state_dir is no state folder; 409: a gateway uses it; 503: something cannot be
 * opened or written, and no key went. */
bool reseal_state(const char *state_dir, const char *runtime_dir, struct reseal_report *out,
                  struct err *e);

#endif
