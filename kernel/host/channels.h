/* What stands between a host and its interpreter: the link, two pipes, and the memory with the page
 * that tells how far those were read, and the outbox. docs/link.md. */
#ifndef WARMCELL_KERNEL_HOST_CHANNELS_H
#define WARMCELL_KERNEL_HOST_CHANNELS_H

#include "protocol/err.h"
#include "protocol/outbox.h"
#include "protocol/pipe_page.h"

/* In the order in which a keeper takes them. */
enum channel_end { END_LINK, END_STDOUT, END_STDERR, END_PAGE, ENDS };

/* Owned. */
struct channels {
    int ours[END_PAGE];     /* link, and the reading ends; none blocks but the link */
    int theirs[ENDS];       /* -1 when they were closed */
    struct pipe_page *page; /* mapped */
    void *outbox;           /* mapped; only to be read */
};

/* 503. */
bool channels_open(struct channels *out, struct err *e);
void channels_close_theirs(struct channels *c); /* the process has them */
void channels_close(struct channels *c);        /* all that is there still; the page too */

#endif
