/* Where packages may come from, as the options say: --package-index, --package-hosts, --wheels. */
#ifndef WARMCELL_GATEWAY_CORE_PACKAGE_SOURCE_H
#define WARMCELL_GATEWAY_CORE_PACKAGE_SOURCE_H

#include <jansson.h>

#include "gateway/settings.h"
#include "protocol/err.h"

struct package_source {
    const char *index;  /* borrowed; NULL: none */
    const char *wheels; /* borrowed; NULL: none */
    char *trusted;      /* owned; host of an index without TLS, as pip wants it; NULL */
    json_t *network;    /* owned; what the installer may reach, as OPEN takes it */
};

/* Of an index the network is {"allow": [its host and port, and the further ones]}, else "none". 400
 * names the option: the index is no URL as https://HOST[:PORT]/PATH (http:// does, too), or a host
 * is none that a list of hosts takes. out is to be freed in any case. */
bool package_source_read(const struct settings_core *settings, struct package_source *out,
                         struct err *e);
void package_source_free(struct package_source *source); /* not source itself */

#endif
