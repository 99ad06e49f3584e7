/* /api/health, and POST /api/auth/register: a token for a new principal.
 *
 * The original gives a key to whoever asks. Here who asks must be known already and be good for
 * minting: they hold a token with the scope "tokens", or are a peer of the gateway's own uid. */
#include <string.h>

#include "gateway/core/token.h"
#include "gateway/dialect/sdbx.h"
#include "protocol/ids.h"
#include "protocol/json.h"

#define FIELD_LIMIT 254 /* bytes of a name, or of an address */

void sdbx_health(struct exchange *x, void *core)
{
    char now[TIME_TEXT];
    (void)core;
    time_now_text(now);
    exchange_reply_json(x, 200, json_pack("{s:s, s:s}", "status", "ok", "timestamp", now));
}

static void on_minted(void *user, const struct token *t, const char *secret, const struct err *e)
{
    struct exchange *x = user;
    if (!t) {
        exchange_fail(x, e);
        return;
    }
    json_t *m = json_pack("{s:s}", "message", "User registered successfully");
    sdbx_set(m, "userId", json_string(token_principal(t)->name));
    sdbx_set(m, "apiKey", json_string(secret));
    exchange_add_header(x, "Cache-Control", "no-store");
    exchange_reply_json(x, 201, m);
}

/* Both are asked for as the original does; the name is for people alone. */
static bool read_body(json_t *body, const char **name, struct err *e)
{
    const char *address = NULL;
    if (!field_str(body, "username", REQUIRED, name, e) ||
        !field_str(body, "email", REQUIRED, &address, e))
        return false;
    if (!**name || !*address)
        return fail(e, 400, "username and email are required");
    return strlen(address) <= FIELD_LIMIT ||
           fail(e, 400, "email: must be at most %d bytes long", FIELD_LIMIT);
}

/* An administrator makes somebody new each time, whom nobody was before; a user can mint for
 * themselves alone. */
void sdbx_register(struct exchange *x, void *core)
{
    struct err e = {0};
    char id[UUID_TEXT];
    const struct principal *who = exchange_principal(x);
    struct token_request request = {0};
    scoped(json) json_t *body = sdbx_body(x);
    if (!body)
        return;
    if (!read_body(body, &request.name, &e)) {
        exchange_fail(x, &e);
        return;
    }
    uuid_make(id);
    request.principal = principal_is_admin(who) ? id : NULL;
    tokens_mint(core, who, &request, on_minted, x);
}
