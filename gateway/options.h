/* The options of `warmcell serve`: the one table behind flags, environment, ini file, --help and
 * docs/options.md. */
#ifndef WARMCELL_GATEWAY_OPTIONS_H
#define WARMCELL_GATEWAY_OPTIONS_H

#include "gateway/option.h"
#include "gateway/settings.h"

extern const struct option_table serve_options;

/* Fills *out from args (the words behind "serve"), environment and ini file, finds folders and
 * Python, makes a token where none was given, and takes the token out of the environment. 400: a
 * sentence for the operator. */
bool options_resolve(char *const *args, size_t count, struct settings *out, struct err *e);
void settings_free(struct settings *s);

/* The runtime folder when none is named: $XDG_RUNTIME_DIR/warmcell, else /tmp/warmcell-UID. Given
 * to the caller. */
char *options_runtime_dir(void);

/* The Python that kernels get when none is named: of the environment that a wheel has put us into,
 * of VIRTUAL_ENV, of the source tree when run from its build tree, else python3 on PATH. Absolute,
 * given to the caller; "" when there is none. */
char *options_find_python(void);

#endif
