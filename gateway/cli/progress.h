/* How far a long transfer is, on stderr where that is a terminal, from its third second on. */
#ifndef WARMCELL_GATEWAY_CLI_PROGRESS_H
#define WARMCELL_GATEWAY_CLI_PROGRESS_H

#include <stdint.h>

struct progress {
    int64_t began_ms, shown_ms; /* 0: not yet */
};

void progress_show(struct progress *p, int64_t bytes); /* so many until now; often */
void progress_end(struct progress *p);                 /* takes its line away */

#endif
