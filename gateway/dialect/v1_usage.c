/* /v1/usage: what a principal has of its quotas. */
#include <string.h>

#include "gateway/core/token.h"
#include "gateway/core/usage.h"
#include "gateway/dialect/v1.h"
#include "gateway/net/allowance.h"
#include "gateway/net/doc.h"
#include "protocol/memory.h"

static json_t *quota_model(int64_t used, int64_t limit)
{
    return json_pack("{s:I, s:o}", "used", (json_int_t)used, "limit",
                     limit > 0 ? json_integer(limit) : json_null());
}

static json_t *usage_model(struct core *core, const char *principal, bool bounded)
{
    struct usage used;
    struct allowance most = {0};
    usage_of(core, principal, &used);
    if (bounded)
        allowance_of(core_quotas(core), principal, &most);
    return json_pack("{s:s, s:b, s:{s:o, s:o, s:o, s:o, s:{s:o}}}", "principal", principal,
                     "bounded", (int)bounded, "quotas", "sandboxes",
                     quota_model(used.sandboxes, most.sandboxes), "kernels",
                     quota_model(used.kernels, most.kernels), "memory_bytes",
                     quota_model(used.memory_bytes, most.memory_bytes), "disk_bytes",
                     quota_model(used.disk_bytes, most.disk_bytes), "requests", "limit",
                     most.requests > 0 ? json_integer(most.requests) : json_null());
}

static void show(struct exchange *x, void *core)
{
    struct err e;
    const struct principal *who = exchange_principal(x);
    const char *asked = exchange_query(x, "principal");
    const char *name = asked ? asked : who->name;
    if (asked && !principal_name_good(asked))
        fail(&e, 400, "principal: must be 1 to %d letters, digits and ._@-", PRINCIPAL_LIMIT);
    else if (!principal_sees(who, name))
        fail(&e, 403, "principal: a user sees their own usage alone");
    else {
        bool own = strcmp(name, who->name) == 0;
        exchange_reply_json(x, 200, usage_model(core, name, !own || !principal_is_admin(who)));
        return;
    }
    exchange_fail(x, &e);
}

/* --- what the row says of itself */

static const struct doc_schema used_schema = {
    .name = "Quota",
    .whole = true,
    .fields = FIELDS(INTEGER("used", "How much there is."),
                     INTEGER("limit", "How much there may be.", .null = true)),
};

static const struct doc_schema rate_schema = {
    .name = "RequestQuota",
    .whole = true,
    .fields = FIELDS(INTEGER("limit", "Requests a second.", .null = true)),
};

static const struct doc_schema quotas_schema = {
    .name = "Quotas",
    .whole = true,
    .fields = FIELDS(
        OBJECT("sandboxes", &used_schema, "Paused ones count."),
        OBJECT("kernels", &used_schema, "Of sandboxes that are not paused, one each at least."),
        OBJECT("memory_bytes", &used_schema, "The limits of memory of the same, added up."),
        OBJECT("disk_bytes", &used_schema, "The limits of all workspaces, added up."),
        OBJECT("requests", &rate_schema, "As many may come at once.")),
};

static const struct doc_schema usage_schema = {
    .name = "PrincipalUsage",
    .whole = true,
    .fields = FIELDS(TEXT("principal", "Whose it is."),
                     BOOLEAN("bounded", "False: an administrator, for whom no quota holds."),
                     OBJECT("quotas", &quotas_schema, "What there is, and may be.")),
};

static const struct doc show_doc = {
    .tag = "Tokens",
    .about = "A limit of a sandbox that is 0 (none) counts as more than any quota allows.",
    .query = FIELDS(TEXT("principal",
                         "Another than the caller, as their role `user` has it; for "
                         "administrators.",
                         .most = PRINCIPAL_LIMIT)),
    .replies = {REPLY(200, "The usage.", .schema = &usage_schema)},
    .errors = {{403, "It is another's."}},
};

static const struct route rows[] = {
    {
        .method = GET,
        .pattern = "/v1/usage",
        .handler = show,
        .summary = "What a principal has of its quotas",
        .errors = {400, 403},
        .error_form = ERRORS_PROBLEM,
        .doc = &show_doc,
    },
};

const struct route_table v1_usage_routes = {rows, countof(rows)};
