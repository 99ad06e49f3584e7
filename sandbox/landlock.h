/* Landlock: a process may write only where a sandbox may, whatever the mounts say. */
#ifndef WARMCELL_SANDBOX_LANDLOCK_H
#define WARMCELL_SANDBOX_LANDLOCK_H

#include <stdbool.h>

int landlock_abi(void); /* 0: the kernel has none, or it is off */

/* Restricts the calling process and what it starts: it may write to, make and remove files in
 * workspace (NULL: ROOT_WORKSPACE), ROOT_TMP, ROOT_SHM and ROOT_HOME, write to devices and to what
 * /proc shows of itself; no devices are made; abstract Unix sockets of others cannot be reached
 * (ABI 6). Needs no_new_privs. Async-signal-safe. 0, or -1 with errno. */
int landlock_restrict(const char *workspace);

#endif
