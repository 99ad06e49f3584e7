/* The one place that knows what --open-tokens opens. */
#include "gateway/dialect/token_asker.h"

#include <stdio.h>
#include <string.h>

static bool name_fits(const char *user_id, struct err *e)
{
    if (!principal_name_good(user_id) || strlen(user_id) > OPEN_USER_MOST)
        return fail(e, 400,
                    "user_id: must be 1 to %d letters, digits and ._@-, the first a letter "
                    "or digit",
                    OPEN_USER_MOST);
    return strcmp(user_id, PRINCIPAL_OWNER) != 0 ||
           fail(e, 400, "user_id: %s is who started this gateway", PRINCIPAL_OWNER);
}

static bool read_known(const struct principal *who, const char *user_id, struct token_asker *out,
                       struct err *e)
{
    const char *own = token_asker_user(who->name);
    if (!(who->scopes & SCOPE_TOKENS))
        return fail(e, 403, "this token has not the scope \"%s\"", scope_name(SCOPE_TOKENS));
    if (!principal_is_admin(who) && strcmp(own, user_id) != 0)
        return fail(e, 403, "user_id: a user's tokens are for themselves, %s", own);
    out->by = *who;
    snprintf(out->name, sizeof(out->name), "%s", principal_is_admin(who) ? user_id : who->name);
    return true;
}

bool token_asker_read(const struct exchange *x, const struct core *c, const char *user_id,
                      struct token_asker *out, struct err *e)
{
    const struct principal *who = exchange_principal(x);
    bool open = core_all_settings(c)->net.open_tokens;
    if (!who && !open)
        return fail(e, 401,
                    "a token of this gateway is needed to ask for one: it was not started "
                    "with --open-tokens");
    if (!name_fits(user_id, e))
        return false;
    if (who && (!open || (who->scopes & SCOPE_TOKENS)))
        return read_known(who, user_id, out, e);
    *out = (struct token_asker){.by = {.role = ROLE_USER, .scopes = SCOPE_READ | SCOPE_WRITE}};
    snprintf(out->name, sizeof(out->name), PRINCIPAL_OPEN "%s", user_id);
    memcpy(out->by.name, out->name, sizeof(out->name));
    return true;
}

const char *token_asker_user(const char *principal)
{
    return principal_is_open(principal) ? principal + strlen(PRINCIPAL_OPEN) : principal;
}
