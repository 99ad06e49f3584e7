/* `warmcell warm`: a keeper of the user's own, so that the kernels of JupyterLab start warm. */
#ifndef WARMCELL_GATEWAY_WARM_H
#define WARMCELL_GATEWAY_WARM_H

#include "gateway/option.h"

extern const struct option_table warm_options;

/* Without --status and --stop: starts the keeper where none runs, waits until it can fork and
 * prints where it listens. Returns the exit status: 1: it could not be done (or --status: none
 * runs), 2: a wrong option. */
int warm_main(char *const *args, size_t count);

#endif
