/* `warmcell serve`: the gateway, from the first bind to the last byte. */
#ifndef WARMCELL_GATEWAY_SERVE_H
#define WARMCELL_GATEWAY_SERVE_H

#include <stddef.h>

/* args are the words behind the subcommand. Returns the exit status: 0 after SIGTERM or SIGINT, 1:
 * it could not start, 2: a wrong option. */
int serve_main(char *const *args, size_t count);

#endif
