/* What code drew and wrote, saved to a folder of this machine. */
#ifndef WARMCELL_GATEWAY_CLI_ARTIFACTS_H
#define WARMCELL_GATEWAY_CLI_ARTIFACTS_H

#include <jansson.h>

#include "gateway/cli/call.h"

struct artifacts {
    const char *dir; /* borrowed; NULL: nothing is saved */
    size_t cell;     /* from 1 */
    size_t count;    /* saved of this cell */
};

/* Makes DIR and DIR/workspace, if they are not there. CLI_FAILED: that cannot be, as where one of
 * them is a file. */
bool artifacts_open(const struct artifacts *a, struct err *e);

/* Images, PDF and HTML of a display's MIME bundle become DIR/CELL-N.png and so on, each named on
 * stderr. CLI_FAILED. */
bool artifacts_save(struct artifacts *a, const json_t *bundle, struct err *e);

/* All files of the sandbox's workspace, below DIR/workspace. CLI_FAILED, or a status. */
bool artifacts_fetch(const struct artifacts *a, const struct target *t, const char *sandbox,
                     struct err *e);

#endif
