/* /readyz, for whatever supervises the gateway. */
#include <jansson.h>

#include "gateway/dialect/v1.h"

void v1_readyz(struct exchange *x, void *core)
{
    struct err e;
    if (core_draining(core)) {
        fail(&e, 503, "the gateway is ending");
        exchange_fail(x, &e);
        return;
    }
    exchange_reply_json(x, 200, json_pack("{s:s}", "status", "ready"));
}
