/* `warmcell kernelspec`: puts our kernel where Jupyter's programs look for kernels, and takes it
 * away. */
#ifndef WARMCELL_GATEWAY_KERNELSPEC_H
#define WARMCELL_GATEWAY_KERNELSPEC_H

#include <stddef.h>

#include "gateway/option.h"

extern const struct option_table kernelspec_install_options;
extern const struct option_table kernelspec_remove_options;

/* args: "install", "remove" or "list" and what follows. Returns the exit status: 1: it could not be
 * done, 2: a wrong option. */
int kernelspec_main(char *const *args, size_t count);

#endif
