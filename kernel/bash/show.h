/* What `display FILE` shows: a MIME bundle of the file's content. */
#ifndef WARMCELL_KERNEL_BASH_SHOW_H
#define WARMCELL_KERNEL_BASH_SHOW_H

#include "protocol/bytes.h"
#include "protocol/err.h"
#include "protocol/json.h"

struct show {
    bool update;
    json_t *content; /* of the display_data; the caller's */
};

/* text: the type asked for ("": find out), the id ("": none) and the file's name, each with its
 * NUL. data_fd: a memfd, or another file that can be mapped. 400: what it is cannot be shown. */
bool show_read(struct show *out, const char *text, size_t len, int data_fd, struct err *e);

#endif
