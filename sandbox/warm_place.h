/* Where a user's keeper listens, so that kernels that nobody told of it find it.
 *
 * BASE/warmcell/warm-HEX.sock: BASE is $XDG_RUNTIME_DIR, or /run/user/UID where that is a folder,
 * or
 * ~/.local/state; HEX are the first 16 digits of the SHA-256 of what tells one Python from another:
 * of an environment (pyvenv.cfg above the executable) the resolved folder of the executable,
 * otherwise the resolved executable. */
#ifndef WARMCELL_SANDBOX_WARM_PLACE_H
#define WARMCELL_SANDBOX_WARM_PLACE_H

#include "protocol/err.h"

/* python: a path. Given; NULL: it does not exist, or there is no place (400, 503). */
char *warm_place(const char *python, struct err *e);

#endif
