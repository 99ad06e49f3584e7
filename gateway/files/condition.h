/* What a request says must hold for what it changes: If-None-Match: *, and If-Match. */
#ifndef WARMCELL_GATEWAY_FILES_CONDITION_H
#define WARMCELL_GATEWAY_FILES_CONDITION_H

#include <stdbool.h>
#include <sys/stat.h>

#include "protocol/err.h"

struct condition {
    bool absent; /* nothing may be there */
    char *match; /* owned; a list of tags as in If-Match, or "*": anything; NULL: not said */
};

/* st: of what is there now; NULL: nothing. 412. */
bool condition_holds(const struct condition *c, const struct stat *st, struct err *e);

#endif
