/* The one error value of the project: an HTTP status and a sentence for the client. */
#ifndef WARMCELL_PROTOCOL_ERR_H
#define WARMCELL_PROTOCOL_ERR_H

#include <stdbool.h>
#include <stdint.h>

/* A bound that was met: a word of ours for it, how much may be, and how much there is. */
struct err_quota {
    const char *name; /* a constant; NULL: none was */
    int64_t limit, used;
};

/* status: 4xx the caller's fault, 500 a bug, 502 the kernel's fault, 503 ours for now.
 * text: one sentence that names the field or thing and the remedy, UTF-8, without a newline. */
struct err {
    int status;
    char text[400];
    struct err_quota quota;
};

/* Fills e (which may be NULL) and returns false, so that `return fail(e, 404, ...)` reads well. A
 * text that is too long is cut at a whole character and ends in "..."; control characters become
 * spaces, and bytes that are not UTF-8 '?'. */
__attribute__((format(printf, 3, 4))) bool fail(struct err *e, int status, const char *format, ...);

/* The same about a quota, which the client is told, too. */
__attribute__((format(printf, 4, 5))) bool
fail_quota(struct err *e, int status, const struct err_quota *quota, const char *format, ...);

/* The same with ": <strerror(errno)>" appended; errno is kept. */
__attribute__((format(printf, 3, 4))) bool fail_errno(struct err *e, int status, const char *format,
                                                      ...);

#endif
