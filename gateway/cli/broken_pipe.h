/* That nobody reads any more what the tool writes, as behind `| head`. A tool ends then, by SIGPIPE
 * and without a word; what it began in a sandbox has to be ended before. So the signal is only
 * taken note of, the write fails, and the tool ends by it when all is done. */
#ifndef WARMCELL_GATEWAY_CLI_BROKEN_PIPE_H
#define WARMCELL_GATEWAY_CLI_BROKEN_PIPE_H

#include <stdbool.h>

/* From now on SIGPIPE ends nothing; for the life of the process. */
void broken_pipe_watch(void);

/* Has it come? */
bool broken_pipe_seen(void);

_Noreturn void broken_pipe_die(void);

#endif
