/* Allocation that cannot fail, and release at the end of a block.
 *
 * Out of memory aborts with one line on stderr: no caller can do better, and every size that comes
 * from outside is checked against a limit before it gets here. */
#ifndef WARMCELL_PROTOCOL_MEMORY_H
#define WARMCELL_PROTOCOL_MEMORY_H

#include <stddef.h>
#include <stdlib.h>

/* Each returns memory that the caller owns, never NULL. A size of 0 gives a unique pointer. */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t size);
char *xstrdup(const char *text);
char *xstrndup(const char *text, size_t len);
void *xmemdup(const void *data, size_t len);
__attribute__((format(printf, 1, 2))) char *xasprintf(const char *format, ...);

/* Gives the pages that are free in between back to the system, where the allocator can: what a
 * short-lived thing took and a longer-lived one keeps apart stays with the process otherwise. Takes
 * up to a few milliseconds. */
void memory_give_back(void);

/* scoped(kernel) struct kernel *k = ...;  calls kernel_free(k) when k leaves its block.
 * SCOPED(kernel, struct kernel *, kernel_free) declares it; the release must accept NULL. */
#define scoped(name) __attribute__((cleanup(name##_scoped)))
#define SCOPED(name, type, release)                                                                \
    static inline void name##_scoped(type *place)                                                  \
    {                                                                                              \
        release(*place);                                                                           \
    }

/* Moves a pointer out of its variable, which becomes NULL and is then not released. */
#define take(place)                                                                                \
    __extension__({                                                                                \
        __typeof__(place) take_from_ = (place);                                                    \
        __typeof__(*(place)) taken_ = *take_from_;                                                 \
        *take_from_ = NULL;                                                                        \
        taken_;                                                                                    \
    })

static inline void string_scoped(char **place)
{
    free(*place);
}

#define countof(array) (sizeof(array) / sizeof((array)[0]))

#endif
