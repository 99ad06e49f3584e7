/* /readyz, for whatever supervises the gateway. */
#include <jansson.h>

#include "gateway/dialect/v1.h"

static void on_known(void *user, const struct err *e)
{
    struct exchange *x = user;
    if (e)
        exchange_fail(x, e);
    else
        exchange_reply_json(x, 200, json_pack("{s:s}", "status", "ready"));
}

void v1_readyz(struct exchange *x, void *core)
{
    core_ready(core, on_known, x);
}
