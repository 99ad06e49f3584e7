/* /v1/tokens: mint, list, revoke.
 *
 * A token is {"id", "name", "principal", "role", "scopes", "quotas", "created", "expires",
 * "minted_by"}; the answer to its minting alone has "token", the secret. */
#include "gateway/core/token.h"
#include "gateway/dialect/v1.h"
#include "gateway/dialect/v1_docs.h"
#include "gateway/dialect/v1_page.h"
#include "gateway/net/doc.h"
#include "gateway/net/server.h"
#include "protocol/json.h"
#include "protocol/memory.h"

static json_t *text_or_null(const char *text)
{
    return text && *text ? json_string(text) : json_null();
}

static json_t *token_model(const struct token *t)
{
    const struct principal *p = token_principal(t);
    char expires[TIME_TEXT] = "";
    if (p->expires_s)
        time_text((struct timespec){.tv_sec = (time_t)p->expires_s}, expires);
    const struct allowance *quotas = token_quotas(t);
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:o, s:o, s:s, s:o, s:o}", "id", token_id(t), "name", token_name(t),
        "principal", p->name, "role", role_name(p->role), "scopes", scopes_json(p->scopes),
        "quotas", quotas ? allowance_json(quotas) : json_null(), "created", token_created(t),
        "expires", text_or_null(expires), "minted_by", text_or_null(token_minted_by(t)));
}

static void on_minted(void *user, const struct token *t, const char *secret, const struct err *e)
{
    struct exchange *x = user;
    if (!t) {
        exchange_fail(x, e);
        return;
    }
    json_t *model = token_model(t);
    scoped(string) char *location = xasprintf("%s/v1/tokens/%s", exchange_base_url(x), token_id(t));
    json_object_set_new(model, "token", secret ? json_string(secret) : json_null());
    exchange_add_header(x, "Location", location);
    exchange_made(x, token_id(t));
    exchange_add_header(x, "Cache-Control", "no-store");
    exchange_reply_json(x, 201, model);
}

static bool read_body(json_t *body, struct token_request *r, struct err *e)
{
    r->scopes = json_object_get(body, "scopes");
    if (json_is_null(r->scopes))
        r->scopes = NULL;
    if (r->scopes && !json_is_array(r->scopes))
        return fail(e, 400, "scopes: must be an array");
    return field_str(body, "name", OPTIONAL, &r->name, e) &&
           field_str(body, "principal", OPTIONAL, &r->principal, e) &&
           field_str(body, "role", OPTIONAL, &r->role, e) &&
           field_object(body, "quotas", OPTIONAL, &r->quotas, e) &&
           field_int(body, "expires_in_s", OPTIONAL, 1, TOKEN_EXPIRES_MOST_S, &r->expires_in_s, e);
}

static void mint(struct exchange *x, void *core)
{
    struct err e = {0};
    struct token_request request = {0};
    scoped(json) json_t *body = v1_body(x);
    if (!body)
        return;
    if (read_body(body, &request, &e) && v1_once(x, core, &request.once, &e))
        tokens_mint(core, exchange_principal(x), &request, on_minted, x);
    else
        exchange_fail(x, &e);
    json_decref(request.once);
}

static void add_to_page(void *user, const struct token *t)
{
    page_add_text(user, token_created(t), token_id(t), (void *)t);
}

static void list(struct exchange *x, void *core)
{
    struct err e = {0};
    struct page page;
    if (!page_read(x, false, &page, &e)) {
        exchange_fail(x, &e);
        return;
    }
    json_t *models = json_array();
    tokens_each(core, exchange_principal(x), add_to_page, &page);
    page_cut(&page);
    for (size_t i = 0; i < page.count; i++)
        json_array_append_new(models, token_model(page.items[i].object));
    exchange_reply_json(x, 200,
                        json_pack("{s:o, s:o}", "tokens", models, "next", page_next(&page)));
    page_free(&page);
}

static void end_token(struct exchange *x, void *core)
{
    struct server *server = exchange_server(x);
    tokens_revoke(core, exchange_principal(x), exchange_param(x, "id"), v1_removed, x);
    server_recheck(server);
}

/* --- what the rows say of themselves */

#define QUOTA(name_, about_)                                                                       \
    INTEGER(name_, about_, .least = 1, .most = ALLOWANCE_MOST, .null = true)

static const struct doc_schema quotas_schema = {
    .name = "TokenQuotas",
    .fields = FIELDS(QUOTA("sandboxes", "Paused ones count."),
                     QUOTA("kernels", "Of sandboxes that are not paused, one each at least."),
                     QUOTA("memory_bytes", "The limits of memory of the same, added up."),
                     QUOTA("disk_bytes", "The limits of all workspaces, added up."),
                     QUOTA("requests", "A second; as many may come at once.")),
};

#define TOKEN_FIELDS                                                                               \
    TEXT("id", "Of the token.", .format = "uuid"), TEXT("name", "For people; may be empty."),      \
        TEXT("principal", "Whose it is: what is made with it belongs to them."),                   \
        TEXT("role", "A `user` sees their own sandboxes alone; an `admin` everything.",            \
             .words = "user admin"),                                                               \
        LIST("scopes", NULL, "What it is good for: `read`, `write`, `tokens`, `metrics`.",         \
             .items = DOC_TEXT),                                                                   \
        OBJECT("quotas", &quotas_schema,                                                           \
               "For what is made with it, and with what was minted with it, besides those of its " \
               "principal.",                                                                       \
               .null = true),                                                                      \
        TEXT("created", "When.", .format = "date-time"),                                           \
        TEXT("expires", "From when on it is good for nothing.", .format = "date-time",             \
             .null = true),                                                                        \
        TEXT("minted_by", "The token that it was minted with; with it, it is revoked.",            \
             .null = true)

static const struct doc_schema token_schema = {
    .name = "Token",
    .whole = true,
    .fields = FIELDS(TOKEN_FIELDS),
};

static const struct doc_schema new_token_schema = {
    .name = "NewToken",
    .whole = true,
    .fields =
        FIELDS(TOKEN_FIELDS,
               TEXT("token",
                    "The secret. Nobody sees it again: null, when it was minted with the same "
                    "key before.",
                    .null = true)),
};

static const struct doc_schema tokens_schema = {
    .name = "Tokens",
    .whole = true,
    .fields =
        FIELDS(LIST("tokens", &token_schema, "In the order in which they were made."), V1_NEXT),
};

static const struct doc_schema request_schema = {
    .name = "TokenRequest",
    .closed = true,
    .fields = FIELDS(
        TEXT("name", "For people.", .most = TOKEN_NAME_LIMIT),
        TEXT("principal", "Only an admin may name another than themselves.",
             .most = PRINCIPAL_LIMIT),
        TEXT("role", "No more than the caller's.", .words = "user admin", .initial = "\"user\""),
        LIST("scopes", NULL, "No more than the caller's.", .items = DOC_TEXT,
             .initial = "[\"read\", \"write\"]"),
        OBJECT("quotas", &quotas_schema,
               "For what is made with it: no more than its principal has. A token that was minted "
               "with one that has them shares them."),
        INTEGER("expires_in_s", "Seconds; no later than the caller's.", .least = 1,
                .most = TOKEN_EXPIRES_MOST_S)),
};

static const struct doc mint_doc = {
    .tag = "Tokens",
    .about = "No token has more rights, or a longer life, than the one that it is minted with.",
    .headers = v1_idempotency,
    .body = &request_schema,
    .replies = {REPLY(201, "The token and its secret.", .schema = &new_token_schema)},
    .errors = {{403, "More was asked for than the caller has."}},
};

static const struct doc list_doc = {
    .tag = "Tokens",
    .about = "Those of the caller's principal; for an admin all. Secrets are not kept.",
    .query = FIELDS(V1_LIMIT, V1_AFTER),
    .replies = {REPLY(200, "The tokens that are good.", .schema = &tokens_schema)},
};

static const struct doc revoke_doc = {
    .tag = "Tokens",
    .about = "It lets nobody in any more, nor does any token that was minted with it, and what "
             "they have open is closed.",
    .path = FIELDS(TEXT("id", "Of the token.")),
    .replies = {REPLY(204, "It is revoked, and that is stored.")},
};

static const struct route rows[] = {
    {
        .method = GET,
        .pattern = "/v1/tokens",
        .handler = list,
        .summary = "The tokens that are good",
        .errors = {400, 403},
        .error_form = ERRORS_PROBLEM,
        .access = ACCESS_TOKENS,
        .doc = &list_doc,
    },
    {
        .method = POST,
        .pattern = "/v1/tokens",
        .handler = mint,
        .summary = "Mint a token",
        .errors = {400, 403, 409, 413, 422, 503},
        .error_form = ERRORS_PROBLEM,
        .access = ACCESS_TOKENS,
        .doc = &mint_doc,
    },
    {
        .method = DELETE,
        .pattern = "/v1/tokens/{id}",
        .handler = end_token,
        .summary = "Revoke a token",
        .errors = {403, 404, 503},
        .error_form = ERRORS_PROBLEM,
        .access = ACCESS_TOKENS,
        .doc = &revoke_doc,
    },
};

const struct route_table v1_token_routes = {rows, countof(rows)};
