/* Mounts, moved as whole trees: what the root of a template and that of a sandbox are made of.
 *
 * All functions here are async-signal-safe and allocate nothing. They return 0, or -1 with errno.
 */
#ifndef WARMCELL_SANDBOX_MOUNTING_H
#define WARMCELL_SANDBOX_MOUNTING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define MOUNTING_PATH_BYTES 4096

/* A detached copy of the tree at fd (O_PATH), with the MOUNT_ATTR_* of attributes set on all of it.
 * The descriptor is the caller's; closing it without mounting_attach drops the copy. */
int mounting_copy(int fd, uint64_t attributes);
int mounting_attach(int tree, const char *target);

/* Both at once: the tree at source is also seen at target. */
int mounting_bind(const char *source, const char *target, uint64_t attributes);

/* size_bytes, inodes: 0 is the kernel's default. nosuid and nodev always. */
int mounting_tmpfs(const char *target, const char *mode, int64_t size_bytes, int64_t inodes);

/* Makes the folders above path (not path itself), 0755. Existing ones stay as they are. */
int mounting_parents(const char *path);

/* Makes path, a folder or an empty file, and what is above it: a place to mount on. */
int mounting_place(const char *path, bool folder);

/* The calling process's mount namespace becomes what is at root, a mount; all else leaves it.
 * root then is "/", and the current folder. */
int mounting_pivot(const char *root);

#endif
