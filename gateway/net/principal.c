/* The few questions that are asked of a principal. */
#include "gateway/net/principal.h"

#include <string.h>

const struct principal principal_owner = {
    .name = PRINCIPAL_OWNER, .role = ROLE_ADMIN, .scopes = SCOPES_ALL};
const struct principal principal_gateway = {.role = ROLE_ADMIN, .scopes = SCOPES_ALL};

bool principal_is_admin(const struct principal *who)
{
    return who->role == ROLE_ADMIN;
}

bool principal_sees(const struct principal *who, const char *owner)
{
    return who->role == ROLE_ADMIN || strcmp(who->name, owner) == 0;
}

bool principal_name_good(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    size_t len = strlen(name);
    return len >= 1 && len <= PRINCIPAL_LIMIT && strchr(letters, name[0]) &&
           strspn(name + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@-") ==
               len - 1;
}
