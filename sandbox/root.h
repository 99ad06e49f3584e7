/* The read-only root of a template: what code in a sandbox, and the fork server, see of the host.
 */
#ifndef WARMCELL_SANDBOX_ROOT_H
#define WARMCELL_SANDBOX_ROOT_H

#include <stdbool.h>
#include <stddef.h>

#include "protocol/err.h"

/* The places that each sandbox has for itself alone; the template holds empty folders there. */
#define ROOT_WORKSPACE "/workspace"
#define ROOT_TMP       "/tmp"
#define ROOT_SHM       "/dev/shm"
#define ROOT_HOME      "/home/user"
#define ROOT_PTS       "/dev/pts"

/* Builds it on the folder `at` (which becomes a mount) out of the file system that host_fd, an
 * O_PATH folder, is the root of. read_only: further absolute paths, of folders or files, NULL at
 * the end; a path that is a symbolic link is seen under both names. One that lies in ROOT_TMP,
 * ROOT_SHM or ROOT_HOME is named in *hidden (given, NULL at the end, each string too): there the
 * sandbox's own mount hides it, and has to show it again. 400: a path of read_only that cannot be
 * shown; 503. */
bool root_build(const char *at, int host_fd, const char *const *read_only, char ***hidden,
                struct err *e);

/* Mounts what is a process's own over a copy of the template: "/s" becomes ROOT_TMP, ROOT_SHM and
 * ROOT_HOME (bounded; 0: the kernel's default), and the hidden paths in them. Async-signal-safe.
 * NULL, or the step that failed, with errno. */
struct root_sizes {
    long long tmp_bytes, home_bytes, shm_bytes;
    long long inodes; /* of each */
};
const char *root_private(const char *template, const char *at, const struct root_sizes *sizes,
                         char *const *hidden);

#endif
