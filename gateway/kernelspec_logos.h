/* The pictures of the kernelspec, held in the program: gateway/web/logo-*. */
#ifndef WARMCELL_GATEWAY_KERNELSPEC_LOGOS_H
#define WARMCELL_GATEWAY_KERNELSPEC_LOGOS_H

#include "protocol/bytes.h"

struct kernelspec_logo {
    const char *name; /* of the file, as Jupyter looks for it */
    struct bytes content;
};

/* The picture with this number, counting from 0; false: there are no more. */
bool kernelspec_logo(size_t number, struct kernelspec_logo *out);

#endif
