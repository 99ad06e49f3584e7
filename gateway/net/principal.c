/* The few questions that are asked of a principal, and the words for roles and scopes. */
#include "gateway/net/principal.h"

#include <string.h>

static const struct {
    const char *name;
    enum scope scope;
} scope_names[] = {
    {"read", SCOPE_READ},
    {"write", SCOPE_WRITE},
    {"tokens", SCOPE_TOKENS},
    {"metrics", SCOPE_METRICS},
};

static const char *const role_names[] = {[ROLE_USER] = "user", [ROLE_ADMIN] = "admin"};

const struct principal principal_owner = {
    .name = PRINCIPAL_OWNER, .role = ROLE_ADMIN, .scopes = SCOPES_ALL};
const struct principal principal_gateway = {.role = ROLE_ADMIN, .scopes = SCOPES_ALL};

const char *role_name(enum role role)
{
    return role_names[role];
}

bool role_read(const char *text, enum role *out)
{
    for (size_t i = 0; i < countof(role_names); i++)
        if (strcmp(text, role_names[i]) == 0) {
            *out = (enum role)i;
            return true;
        }
    return false;
}

const char *scope_name(enum scope scope)
{
    for (size_t i = 0; i < countof(scope_names); i++)
        if (scope_names[i].scope == scope)
            return scope_names[i].name;
    return "";
}

unsigned scope_read(struct bytes name)
{
    for (size_t i = 0; i < countof(scope_names); i++)
        if (bytes_is(name, scope_names[i].name))
            return scope_names[i].scope;
    return 0;
}

unsigned scopes_read(const char *text)
{
    unsigned scopes = 0;
    while (*text) {
        size_t len = strcspn(text, " ");
        scopes |= scope_read((struct bytes){text, len});
        text += len + strspn(text + len, " ");
    }
    return scopes;
}

bool principal_is_own(const struct principal *who)
{
    return !*who->token && !who->jwt_key;
}

bool principal_is_admin(const struct principal *who)
{
    return who->role == ROLE_ADMIN;
}

bool principal_sees(const struct principal *who, const char *owner)
{
    return who->role == ROLE_ADMIN || strcmp(who->name, owner) == 0;
}

bool principal_is_open(const char *name)
{
    return strncmp(name, PRINCIPAL_OPEN, strlen(PRINCIPAL_OPEN)) == 0;
}

bool principal_name_good(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    size_t len = strlen(name);
    return len >= 1 && len <= PRINCIPAL_LIMIT && strchr(letters, name[0]) &&
           strspn(name + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@-") ==
               len - 1;
}
