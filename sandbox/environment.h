/* An environment as a sealed memory: NAME=VALUE strings, each with a NUL behind it. So a secret in
 * it passes from a host to the process it is for, and lies in no other process's /proc/PID/environ.
 */
#ifndef WARMCELL_SANDBOX_ENVIRONMENT_H
#define WARMCELL_SANDBOX_ENVIRONMENT_H

#include "protocol/err.h"

#define ENVIRONMENT_LIMIT_BYTES (8 * 1024 * 1024)
#define ENVIRONMENT_NAMES_MOST  65536

/* Writes the strings (NULL at the end) into a new memory that nobody can change. Its descriptor
 * (FD_CLOEXEC), given; -1: 413 when it is too long, 503. */
int environment_seal(char *const *strings, struct err *e);

/* Replaces a sealed one (closed, also on failure) by one that has the added strings too (NULL at
 * the end), but for those whose name it has already. 400, 413, 503; *fd is then -1. */
bool environment_extend(int *fd, const char *const *added, struct err *e);

/* Reads one back: NULL-terminated, to be released with environment_free. NULL: 400 it is not
 * sealed, or a string is not NAME=VALUE; 413 too long. */
char **environment_open(int fd, struct err *e);
/* The same of strings that need no '=': the words of a command. */
char **environment_open_words(int fd, struct err *e);
void environment_free(char **strings); /* overwrites them first */

#endif
