/* Header values that decide who may call: nothing that is not the token is taken for it, and no
 * name beyond this machine for a name of it. The input is one value; it is tried in every place. */
#include "tests/fuzz/fuzz.h"

#include "gateway/net/auth.h"
#include "gateway/net/origin.h"

#define TOKEN "0123456789abcdef0123456789abcdef"

/* The token, its cookie, or its base64 is in the text, so it may be right. */
static bool may_be_right(const char *text, const struct auth *a)
{
    return strstr(text, TOKEN) || strstr(text, auth_cookie(a)) || strcasestr(text, "basic");
}

bool fuzz_one(struct bytes input)
{
    static struct auth *auth;
    static struct origin_policy *policy;
    static const struct settings_net settings = {.ip = "127.0.0.1",
                                                 .allow_origin_pat = "https://[a-z]+\\.example$"};
    if (!auth) {
        auth = auth_new(TOKEN);
        policy = origin_policy_new(&settings, true, NULL);
    }
    if (memchr(input.data ? input.data : "", '\0', input.len))
        return false;
    scoped(string) char *text = xstrndup(input.data ? input.data : "", input.len);
    struct credentials c = {.authorization = text,
                            .query_token = text,
                            .cookie = text,
                            .cookie_name = "warmcell-1",
                            .cookie_counts = true};
    struct principal who;
    enum credential found = auth_check(auth, &c, &who);
    REQUIRE(found == CREDENTIAL_NONE || may_be_right(text, auth));
    bool host = origin_host_allowed(policy, text);
    REQUIRE(!host || strcasestr(text, "localhost") || strstr(text, "127.") || strchr(text, '['));
    bool origin = origin_allowed(policy, text, "localhost:1");
    REQUIRE(!origin || strcasestr(text, "://localhost:1") || strstr(text, ".example"));
    scoped(buffer) struct buffer lines = {0};
    origin_add_headers(policy, text, &lines);
    return found != CREDENTIAL_NONE || host || origin;
}
