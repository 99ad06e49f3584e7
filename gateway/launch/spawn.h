/* Programs that are to outlive the gateway: started in a session of their own, with a log for what
 * they say. */
#ifndef WARMCELL_GATEWAY_LAUNCH_SPAWN_H
#define WARMCELL_GATEWAY_LAUNCH_SPAWN_H

#include <stddef.h>
#include <sys/types.h>

#include "protocol/err.h"

/* Owned words of a command; word[count] is NULL once one was added. {0} is empty. */
struct words {
    char **word;
    size_t count;
};

void words_add(struct words *w, char *word); /* taken */
void words_free(struct words *w);
static inline void words_scoped(struct words *w)
{
    words_free(w);
}

/* All borrowed for the call. */
struct spawn_plan {
    char *const *argv; /* argv[0] is looked up in PATH */
    char *const *env;
    const char *cwd; /* NULL: the gateway's */
    const char *log; /* descriptors 1 and 2 append to it (0600) */
    int handed;      /* becomes descriptor SPAWN_HANDED; 0: none is handed over */
};

#define SPAWN_HANDED 3

/* Descriptor 0 is /dev/null, none but these stays open; signals have their defaults. 502. */
bool spawn_session(const struct spawn_plan *plan, pid_t *pid, struct err *e);

/* The last line of a log behind the byte `from`, cut at 300 bytes, as clean UTF-8. Given; NULL:
 * there is none. */
char *spawn_last_line(const char *log, int64_t from);
int64_t spawn_log_bytes(const char *log); /* 0: there is none */

#endif
