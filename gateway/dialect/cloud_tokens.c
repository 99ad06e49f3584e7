/* POST /api/v1/auth/token: {"user_id", "role"} -> {"access_token", "refresh_token", "token_type":
 * "Bearer", "expires_in": "86400"}.
 *
 * Invariant: no token gives more, or longer, than who asks for it has. */
#include <time.h>

#include "gateway/dialect/cloud.h"
#include "gateway/dialect/token_asker.h"
#include "gateway/net/server.h"
#include "protocol/json.h"
#include "protocol/memory.h"

#define BODY_LIMIT_BYTES (64 * 1024)

struct asked {
    struct token_asker who;
    const char *user_id;
    enum role role;
};

static bool read_body(const struct exchange *x, const struct core *c, json_t *body,
                      struct asked *out, struct err *e)
{
    const char *role = "user";
    if (!field_str(body, "user_id", OPTIONAL, &out->user_id, e) ||
        !field_str(body, "role", OPTIONAL, &role, e))
        return false;
    if (!out->user_id || !*out->user_id)
        return fail(e, 400, "user_id required");
    if (!role_read(role, &out->role))
        return fail(e, 400, "role: must be user or admin");
    if (!token_asker_read(x, c, out->user_id, &out->who, e))
        return false;
    if (out->role > out->who.by.role)
        return fail(e, 403, "role: %s is more than the caller has", role);
    return (out->who.by.scopes & (SCOPE_READ | SCOPE_WRITE)) ||
           fail(e, 403, "this token may neither read nor write, nor may any that it asks for");
}

static int64_t life_of(const struct asked *a, int64_t wanted_s, int64_t now_s)
{
    int64_t left_s = a->who.by.expires_s - now_s;
    return a->who.by.expires_s && left_s < wanted_s ? left_s : wanted_s;
}

/* Given; NULL: 500. */
static char *sign(struct exchange *x, const struct asked *a, const char *issuer, int64_t life_s,
                  int64_t now_s, struct err *e)
{
    static const char *const scopes[] = {
        [SCOPE_READ] = "read", [SCOPE_WRITE] = "write", [SCOPE_READ | SCOPE_WRITE] = "read write"};
    scoped(json) json_t *claims =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I}", "iss", issuer, "sub", a->who.name,
                  "user_id", a->user_id, "role", role_name(a->role), "scope",
                  scopes[a->who.by.scopes & (SCOPE_READ | SCOPE_WRITE)], "iat", (json_int_t)now_s,
                  "exp", (json_int_t)(now_s + life_s));
    if (*a->who.by.token)
        json_object_set_new(claims, "by", json_string(a->who.by.token));
    return server_sign_jwt(exchange_server(x), claims, e);
}

static void reply(struct exchange *x, const struct asked *a)
{
    struct err e = {0};
    int64_t now_s = (int64_t)time(NULL);
    int64_t life_s = life_of(a, CLOUD_ACCESS_S, now_s);
    scoped(string) char *access = sign(x, a, CLOUD_ISSUER, life_s, now_s, &e);
    scoped(string) char *refresh =
        sign(x, a, CLOUD_REFRESH_ISSUER, life_of(a, CLOUD_REFRESH_S, now_s), now_s, &e);
    scoped(string) char *expires = xasprintf("%lld", (long long)life_s);
    if (!access || !refresh) {
        exchange_fail(x, &e);
        return;
    }
    exchange_add_header(x, "Cache-Control", "no-store");
    exchange_reply_json(x, 200,
                        json_pack("{s:s, s:s, s:s, s:s}", "access_token", access, "refresh_token",
                                  refresh, "token_type", "Bearer", "expires_in", expires));
}

void cloud_token(struct exchange *x, void *core)
{
    struct err e = {0};
    struct asked asked = {0};
    scoped(json) json_t *body = json_parse_object(exchange_body(x), "body", BODY_LIMIT_BYTES, &e);
    if (body && read_body(x, core, body, &asked, &e))
        reply(x, &asked);
    else
        exchange_fail(x, &e);
}

/* --- what the row says of itself */

static const struct doc_schema request_schema = {
    .name = "CloudTokenRequest",
    .fields = FIELDS(
        TEXT("user_id", "Who it is for.", .must = true),
        TEXT("role", "No more than the caller's.", .words = "user admin", .initial = "\"user\"")),
};

static const struct doc_schema reply_schema = {
    .name = "CloudToken",
    .whole = true,
    .fields = FIELDS(TEXT("access_token",
                          "A JWT (HS256) to be sent as `Authorization: Bearer`; good for 24 "
                          "hours, or as long as what it was asked for with."),
                     TEXT("refresh_token", "One of 7 days. It is no access token."),
                     TEXT("token_type", "Always `Bearer`.", .words = "Bearer"),
                     TEXT("expires_in", "Seconds until the access token expires, in decimal.")),
};

const struct doc cloud_token_doc = {
    .tag = CLOUD_TAG,
    .about = "Without `--open-tokens` it needs a token of the gateway with the scope `tokens`, or "
             "a peer of its own uid; users ask for themselves alone. With it whoever reaches the "
             "gateway gets one of the role `user`, for a principal of its own.",
    .body = &request_schema,
    .body_must = true,
    .replies = {REPLY(200, "The tokens.", .schema = &reply_schema)},
    .errors = {{401, "Nobody is known, and tokens are not open."},
               {403, "It is for another, or more than the caller has."}},
};
