/* /api/health, and POST /api/auth/register: a token for a new principal, each time another one. Who
 * may ask for one is said in token_asker.h. */
#include <stdio.h>
#include <string.h>

#include "gateway/core/token.h"
#include "gateway/dialect/sdbx.h"
#include "gateway/dialect/token_asker.h"
#include "protocol/ids.h"
#include "protocol/json.h"

#define FIELD_LIMIT 254                       /* bytes of an address */
#define OPEN_KEY_S  (INT64_C(30) * 24 * 3600) /* life of a key that nobody needed a token for */

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
    sdbx_set(m, "userId", json_string(token_asker_user(token_principal(t)->name)));
    sdbx_set(m, "apiKey", json_string(secret));
    exchange_add_header(x, "Cache-Control", "no-store");
    exchange_made(x, token_id(t));
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

/* Whom the token shall be of: somebody new, whom nobody was before; a user who is known can mint
 * for themselves alone. */
static void choose_user(const struct exchange *x, char out[PRINCIPAL_LIMIT + 1])
{
    const struct principal *who = exchange_principal(x);
    char id[UUID_TEXT];
    uuid_make(id);
    bool own = who && !principal_is_admin(who) && (who->scopes & SCOPE_TOKENS);
    snprintf(out, PRINCIPAL_LIMIT + 1, "%s", own ? token_asker_user(who->name) : id);
}

void sdbx_register(struct exchange *x, void *core)
{
    struct err e = {0};
    char user[PRINCIPAL_LIMIT + 1];
    struct token_asker asker;
    struct token_request request = {0};
    scoped(json) json_t *body = sdbx_body(x);
    if (!body)
        return;
    choose_user(x, user);
    if (!token_asker_read(x, core, user, &asker, &e) || !read_body(body, &request.name, &e)) {
        exchange_fail(x, &e);
        return;
    }
    request.principal = asker.name;
    if (!*asker.by.token && asker.by.role == ROLE_USER)
        request.expires_in_s = OPEN_KEY_S;
    tokens_mint(core, &asker.by, &request, on_minted, x);
}
