/* Tokens: minted, looked up, revoked.
 *
 * A secret is found by its SHA-256, which is compared in constant time; where it stands in the
 * table tells nothing, for nobody can choose a secret by the digest that it will have.
 *
 * Invariant: a token that is `ended` lets nobody in; it leaves the list when the database has it.
 */
#include "gateway/core/token.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "gateway/core/once.h"
#include "gateway/core/state.h"
#include "gateway/log.h"
#include "gateway/store/token_table.h"
#include "gateway/store/vault.h"
#include "protocol/bytes.h"
#include "protocol/json.h"

#define PLACES       1024
#define SECRET_BYTES 32
#define SECRET_TEXT  (3 + 44 + 1) /* "wc_", base64, NUL */

struct token {
    struct principal principal;
    unsigned char sha256[SHA256_DIGEST_LENGTH];
    char created[TIME_TEXT];
    char minted_by[UUID_TEXT]; /* "": by none */
    char *name;
    json_t *once;               /* owned: of the request that minted it; NULL: it had no key */
    char account[UUID_TEXT];    /* id of the token that its quotas are counted for; "": none */
    struct allowance allowance; /* these */
    bool ended;
    struct token *next;  /* in the order of making */
    struct token *other; /* at the same place */
};

struct tokens {
    struct core *core;
    struct token *first;
    struct token *places[PLACES];
    bool limited;         /* one has quotas, or had */
    struct token *coming; /* minted, and not in the database yet; owned by their minting */
};

json_t *scopes_json(unsigned scopes)
{
    json_t *list = json_array();
    for (unsigned scope = 1; scope <= SCOPES_ALL; scope <<= 1)
        if (scopes & scope)
            json_array_append_new(list, json_string(scope_name(scope)));
    return list;
}

json_t *tokens_jwt_secrets(const struct core *c)
{
    return vault_digests(c->vault, "signature of JWTs", bytes_of("HS256"));
}

const char *token_id(const struct token *t)
{
    return t->principal.token;
}

const char *token_name(const struct token *t)
{
    return t->name;
}

const struct principal *token_principal(const struct token *t)
{
    return &t->principal;
}

const char *token_created(const struct token *t)
{
    return t->created;
}

const struct allowance *token_quotas(const struct token *t)
{
    return *t->account ? &t->allowance : NULL;
}

const char *token_minted_by(const struct token *t)
{
    return *t->minted_by ? t->minted_by : NULL;
}

/* --- the list */

static struct token **place_of(struct tokens *all, const unsigned char *sha256)
{
    return &all->places[(sha256[0] << 8 | sha256[1]) % PLACES];
}

static void add(struct tokens *all, struct token *t)
{
    struct token **end = &all->first, **place = place_of(all, t->sha256);
    while (*end)
        end = &(*end)->next;
    *end = t;
    all->limited = all->limited || *t->account;
    t->other = *place;
    *place = t;
}

static void token_free(struct token *t)
{
    free(t->name);
    json_decref(t->once);
    free(t);
}

static void drop(struct tokens *all, struct token *t)
{
    struct token **from = &all->first, **place = place_of(all, t->sha256);
    while (*from != t)
        from = &(*from)->next;
    *from = t->next;
    while (*place != t)
        place = &(*place)->other;
    *place = t->other;
    token_free(t);
}

static void forget_coming(struct tokens *all, const struct token *t)
{
    struct token **from = &all->coming;
    while (*from != t)
        from = &(*from)->next;
    *from = t->next;
}

/* principal NULL: of all. */
static size_t count_of(const struct token *list, const char *principal)
{
    size_t count = 0;
    for (; list; list = list->next)
        count += !principal || (list->principal.role == ROLE_USER &&
                                strcmp(list->principal.name, principal) == 0);
    return count;
}

/* Counts those under way, too: many may be asked for at once. */
static bool check_room(const struct tokens *all, const struct principal *who, struct err *e)
{
    if (count_of(all->first, NULL) + count_of(all->coming, NULL) >= TOKENS_LIMIT)
        return fail(e, 403, "Resource Limit: there are %d tokens, the most allowed", TOKENS_LIMIT);
    return principal_is_admin(who) ||
           count_of(all->first, who->name) + count_of(all->coming, who->name) < TOKENS_USER_LIMIT ||
           fail(e, 403, "Resource Limit: %s has %d tokens, the most allowed", who->name,
                TOKENS_USER_LIMIT);
}

/* One of a higher role is not theirs, whatever name it has. */
static bool is_seen(const struct principal *who, const struct token *t)
{
    return principal_sees(who, t->principal.name) && t->principal.role <= who->role;
}

static bool has_expired(const struct principal *who)
{
    return who->expires_s && who->expires_s <= (int64_t)time(NULL);
}

/* Their rows stay for the record. */
static void drop_expired(struct tokens *all)
{
    for (struct token *t = all->first, *next; t; t = next) {
        next = t->next;
        if (has_expired(&t->principal))
            drop(all, t);
    }
}

static struct token *find(const struct tokens *all, const char *id)
{
    struct token *t = all->first;
    while (t && strcmp(t->principal.token, id) != 0)
        t = t->next;
    return t;
}

bool tokens_lookup(void *core, const unsigned char sha256[32], struct principal *out)
{
    struct tokens *all = ((struct core *)core)->tokens;
    for (const struct token *t = *place_of(all, sha256); t; t = t->other)
        if (CRYPTO_memcmp(t->sha256, sha256, sizeof(t->sha256)) == 0 && !t->ended &&
            !has_expired(&t->principal)) {
            *out = t->principal;
            return true;
        }
    return false;
}

const char *tokens_account(const struct core *c, const struct principal *who, struct allowance *out)
{
    const struct tokens *all = c->tokens;
    const struct token *t = all->limited && *who->token ? find(all, who->token) : NULL;
    if (!t || !*t->account)
        return NULL;
    *out = t->allowance;
    return t->account;
}

const char *tokens_allowance(void *core, const struct principal *who, struct allowance *out)
{
    return tokens_account(core, who, out);
}

bool tokens_allowance_of(const struct core *c, const char *id, struct allowance *out)
{
    const struct token *t = find(c->tokens, id);
    if (!t || t->ended || has_expired(&t->principal) || !*t->account)
        return false;
    *out = t->allowance;
    return true;
}

bool tokens_still(void *core, const struct principal *who)
{
    if (!*who->token)
        return true;
    const struct token *t = find(((struct core *)core)->tokens, who->token);
    return t && !t->ended && !has_expired(who);
}

void tokens_each(struct core *c, const struct principal *who,
                 void (*each)(void *user, const struct token *t), void *user)
{
    drop_expired(c->tokens);
    for (const struct token *t = c->tokens->first; t; t = t->next)
        if (!t->ended && is_seen(who, t))
            each(user, t);
}

/* --- made */

static bool read_scopes(const struct principal *who, json_t *scopes, unsigned *out, struct err *e)
{
    json_t *item;
    size_t i;
    *out = (SCOPE_READ | SCOPE_WRITE) & who->scopes;
    if (!scopes)
        return true;
    *out = 0;
    json_array_foreach(scopes, i, item)
    {
        unsigned scope = json_is_string(item) ? scope_read(bytes_of(json_string_value(item))) : 0;
        if (!scope)
            return fail(e, 400, "scopes: must be of read, write, tokens and metrics");
        *out |= scope;
    }
    if (!*out)
        return fail(e, 400, "scopes: must name at least one");
    return !(*out & ~who->scopes) ||
           fail(e, 403, "scopes: no token has more than the one that it is minted with");
}

static bool read_whose(const struct principal *who, const struct token_request *r,
                       struct principal *out, struct err *e)
{
    const char *name = r->principal ? r->principal : who->name;
    if (!principal_name_good(name))
        return fail(e, 400, "principal: must be 1 to %d letters, digits and ._@-", PRINCIPAL_LIMIT);
    if (!principal_sees(who, name))
        return fail(e, 403, "principal: a user mints tokens for themselves alone");
    if (r->role && !role_read(r->role, &out->role))
        return fail(e, 400, "role: must be \"user\" or \"admin\"");
    if (out->role > who->role)
        return fail(e, 403, "role: no token has more than the one that it is minted with");
    memcpy(out->name, name, strlen(name) + 1);
    return true;
}

static bool read_expiry(const struct principal *who, int64_t in_s, struct principal *out,
                        struct err *e)
{
    out->expires_s = in_s ? (int64_t)time(NULL) + in_s : who->expires_s;
    return !who->expires_s || out->expires_s <= who->expires_s ||
           fail(e, 403, "expires_in_s: no token outlives the one that it is minted with");
}

/* None is more than its principal has. */
static bool check_quotas(const struct core *c, const struct allowance *asked,
                         const struct principal *p, struct err *e)
{
    struct allowance most;
    allowance_of(&c->settings->net.quota, p->name, &most);
    for (size_t i = 0; i < allowance_word_count; i++) {
        const struct allowance_word *word = &allowance_words[i];
        int64_t limit = allowance_number(&most, word);
        if (limit && allowance_number(asked, word) > limit)
            return fail(e, 403, "quotas.%s: %s has %lld, and no token has more", word->name,
                        p->name, (long long)limit);
    }
    return true;
}

/* One that is minted with a token that has quotas shares them, and has none besides. */
static bool read_quotas(struct core *c, const struct principal *who, json_t *quotas,
                        const struct principal *p, struct token *out, struct err *e)
{
    static const struct allowance none;
    const char *account = tokens_account(c, who, &out->allowance);
    if (account && quotas)
        return fail(e, 403,
                    "quotas: the token that it is minted with has its own, which hold for both "
                    "together");
    if (account) {
        memcpy(out->account, account, UUID_TEXT);
        return true;
    }
    if (!allowance_read(quotas, &out->allowance, e))
        return false;
    if (memcmp(&out->allowance, &none, sizeof(none)) == 0)
        return true;
    if (p->role != ROLE_USER)
        return fail(e, 400,
                    "quotas: hold for the role user: an administrator's kernels are not "
                    "counted");
    memcpy(out->account, p->token, UUID_TEXT);
    return check_quotas(c, &out->allowance, p, e);
}

static bool check_name(const char *name, struct err *e)
{
    if (strlen(name) > TOKEN_NAME_LIMIT)
        return fail(e, 400, "name: must be at most %d bytes long", TOKEN_NAME_LIMIT);
    for (const char *at = name; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 127)
            return fail(e, 400, "name: must hold no control characters");
    return true;
}

static struct token *token_new(struct core *c, const struct principal *who,
                               const struct token_request *r, struct err *e)
{
    struct principal p = {.role = ROLE_USER};
    struct token made = {0};
    drop_expired(c->tokens);
    uuid_make(p.token);
    if (!read_whose(who, r, &p, e) || !read_scopes(who, r->scopes, &p.scopes, e) ||
        !read_expiry(who, r->expires_in_s, &p, e) || (r->name && !check_name(r->name, e)) ||
        !read_quotas(c, who, r->quotas, &p, &made, e) || !check_room(c->tokens, who, e))
        return NULL;
    struct token *t = xmalloc(sizeof(*t));
    *t = made;
    t->principal = p;
    t->name = xstrdup(r->name ? r->name : "");
    t->once = json_incref(r->once);
    memcpy(t->minted_by, who->token, sizeof(t->minted_by));
    time_now_text(t->created);
    return t;
}

/* "wc_" and 32 random bytes in base64url without padding. */
static bool make_secret(char out[SECRET_TEXT], unsigned char sha256[32], struct err *e)
{
    unsigned char random[SECRET_BYTES];
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return fail_errno(e, 503, "there are no random bytes");
    memcpy(out, "wc_", 3);
    EVP_EncodeBlock((unsigned char *)out + 3, random, sizeof(random));
    OPENSSL_cleanse(random, sizeof(random));
    for (char *at = out + 3; *at; at++)
        *at = *at == '+' ? '-' : *at == '/' ? '_' : *at == '=' ? '\0' : *at;
    SHA256((const unsigned char *)out, strlen(out), sha256);
    return true;
}

struct minting {
    struct core *core;
    struct token *token; /* owned until it is in the list */
    char secret[SECRET_TEXT];
    void (*done)(void *user, const struct token *t, const char *secret, const struct err *e);
    void *user;
};

static bool parent_is_gone(const struct tokens *all, const struct token *t)
{
    const struct token *parent = *t->minted_by ? find(all, t->minted_by) : NULL;
    return *t->minted_by && (!parent || parent->ended);
}

static void on_unwanted(void *user, const struct err *e)
{
    (void)user;
    (void)e;
}

static void on_added(void *user, const struct err *e)
{
    struct minting *m = user;
    struct tokens *all = m->core->tokens;
    struct err why;
    forget_coming(all, m->token);
    m->token->next = NULL;
    if (!e && parent_is_gone(all, m->token)) {
        token_table_revoke(m->core->store, token_id(m->token), on_unwanted, NULL);
        fail(&why, 403, "the token that this one was minted with was revoked");
        e = &why;
    }
    if (e) {
        m->done(m->user, NULL, NULL, e);
        token_free(m->token);
    } else {
        add(all, m->token);
        log_info("token minted", F_STR("token", token_id(m->token)),
                 F_STR("principal", m->token->principal.name));
        m->done(m->user, m->token, m->secret, NULL);
    }
    OPENSSL_cleanse(m->secret, sizeof(m->secret));
    free(m);
}

static void join_scopes(unsigned scopes, struct buffer *out)
{
    for (unsigned scope = 1; scope <= SCOPES_ALL; scope <<= 1)
        if (scopes & scope)
            buffer_printf(out, "%s%s", out->len ? " " : "", scope_name(scope));
    buffer_text(out);
}

static void store_token(const struct token *t, struct minting *m)
{
    scoped(buffer) struct buffer scopes = {0};
    char digest[2 * SHA256_DIGEST_LENGTH + 1];
    for (size_t i = 0; i < sizeof(t->sha256); i++)
        snprintf(digest + 2 * i, 3, "%02x", t->sha256[i]);
    join_scopes(t->principal.scopes, &scopes);
    scoped(string) char *once = t->once ? json_dumps(t->once, JSON_COMPACT) : NULL;
    bool own = strcmp(t->account, token_id(t)) == 0; /* else its parent's say it */
    scoped(json) json_t *allowance = own ? allowance_json(&t->allowance) : NULL;
    scoped(string) char *quotas = allowance ? json_dumps(allowance, JSON_COMPACT) : NULL;
    const struct token_row row = {
        .id = token_id(t),
        .name = t->name,
        .sha256 = digest,
        .principal = t->principal.name,
        .role = role_name(t->principal.role),
        .scopes = buffer_text(&scopes),
        .created = t->created,
        .minted_by = token_minted_by(t),
        .once = once,
        .quotas = quotas,
        .expires_s = t->principal.expires_s,
    };
    token_table_add(m->core->store, &row, on_added, m);
}

/* True: there is one; e: or why there cannot be. */
static bool minted_before(const struct tokens *all, json_t *once, struct token **out, struct err *e)
{
    struct token *lists[] = {all->first, all->coming};
    for (size_t i = 0; i < countof(lists); i++)
        for (struct token *t = lists[i]; t; t = t->next) {
            if (t->ended || !once_meets(t->once, once))
                continue;
            if (once_same(t->once, once, "token", token_id(t), e) && i == 1)
                fail(e, 409, "Idempotency-Key: token %s is being minted with it", token_id(t));
            *out = t;
            return true;
        }
    return false;
}

void tokens_mint(struct core *c, const struct principal *who, const struct token_request *request,
                 void (*done)(void *user, const struct token *t, const char *secret,
                              const struct err *e),
                 void *user)
{
    struct err e = {0};
    struct token *t = NULL;
    drop_expired(c->tokens);
    if (minted_before(c->tokens, request->once, &t, &e)) {
        done(user, e.status ? NULL : t, NULL, e.status ? &e : NULL);
        return;
    }
    t = token_new(c, who, request, &e);
    struct minting *m = xcalloc(1, sizeof(*m));
    *m = (struct minting){.core = c, .token = t, .done = done, .user = user};
    if (t && make_secret(m->secret, t->sha256, &e)) {
        t->next = c->tokens->coming;
        c->tokens->coming = t;
        store_token(t, m);
        return;
    }
    done(user, NULL, NULL, &e);
    if (t)
        token_free(t);
    free(m);
}

/* --- ended */

struct revoking {
    struct core *core;
    size_t awaited;
    struct err why;
    void (*done)(void *user, const struct err *e);
    void *user;
};

struct ending {
    struct revoking *revoking;
    char id[UUID_TEXT];
};

static void settle(struct revoking *r)
{
    if (--r->awaited > 0)
        return;
    r->done(r->user, r->why.status ? &r->why : NULL);
    free(r);
}

static void on_revoked(void *user, const struct err *e)
{
    struct ending *ending = user;
    struct revoking *r = ending->revoking;
    struct token *t = find(r->core->tokens, ending->id);
    if (e)
        r->why = *e;
    else if (t)
        drop(r->core->tokens, t);
    free(ending);
    settle(r);
}

static void end_one(struct revoking *r, struct token *t)
{
    struct ending *ending = xcalloc(1, sizeof(*ending));
    ending->revoking = r;
    memcpy(ending->id, token_id(t), UUID_TEXT);
    t->ended = true;
    r->awaited++;
    log_info("token revoked", F_STR("token", ending->id));
    token_table_revoke(r->core->store, ending->id, on_revoked, ending);
}

/* What was minted with one that has ended ends too; the list is in the order of making. */
static void end_minted(struct revoking *r, struct tokens *all)
{
    for (struct token *t = all->first; t; t = t->next)
        if (!t->ended && *t->minted_by) {
            const struct token *parent = find(all, t->minted_by);
            if (parent && parent->ended)
                end_one(r, t);
        }
}

void tokens_revoke(struct core *c, const struct principal *who, const char *id,
                   void (*done)(void *user, const struct err *e), void *user)
{
    struct token *t = find(c->tokens, id);
    struct err e;
    if (!t || !is_seen(who, t)) {
        fail(&e, 404, "there is no token %.100s", id);
        done(user, &e);
        return;
    }
    struct revoking *r = xcalloc(1, sizeof(*r));
    *r = (struct revoking){.core = c, .awaited = 1, .done = done, .user = user};
    end_one(r, t);
    end_minted(r, c->tokens);
    settle(r);
}

/* --- the start */

static bool read_digest(const char *text, unsigned char out[SHA256_DIGEST_LENGTH])
{
    if (strlen(text) != 2 * SHA256_DIGEST_LENGTH ||
        strspn(text, "0123456789abcdef") != 2 * SHA256_DIGEST_LENGTH)
        return false;
    for (size_t i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        unsigned byte = 0;
        sscanf(text + 2 * i, "%2x", &byte);
        out[i] = (unsigned char)byte;
    }
    return true;
}

static bool restore_quotas(const struct tokens *all, const struct token_row *row, struct token *t)
{
    struct err e;
    const struct token *parent = row->minted_by ? find(all, row->minted_by) : NULL;
    if (parent && *parent->account) {
        memcpy(t->account, parent->account, UUID_TEXT);
        t->allowance = parent->allowance;
    } else if (row->quotas) {
        scoped(json) json_t *quotas = json_loads(row->quotas, JSON_REJECT_DUPLICATES, NULL);
        memcpy(t->account, row->id, UUID_TEXT);
        return json_is_object(quotas) && allowance_read(quotas, &t->allowance, &e);
    }
    return true;
}

/* One that cannot be understood lets nobody in; nor does one whose parent is not there any more: it
 * would have been revoked in the same moment, or has expired as well. */
static void on_row(void *user, const struct token_row *row)
{
    struct tokens *all = user;
    struct token *t = xcalloc(1, sizeof(*t));
    t->principal.scopes = scopes_read(row->scopes);
    t->principal.expires_s = row->expires_s;
    t->name = xstrdup(row->name);
    t->once = row->once ? json_loads(row->once, 0, NULL) : NULL;
    if (strlen(row->id) != UUID_TEXT - 1 || !principal_name_good(row->principal) ||
        !role_read(row->role, &t->principal.role) || !read_digest(row->sha256, t->sha256) ||
        has_expired(&t->principal) || (row->minted_by && !find(all, row->minted_by)) ||
        !restore_quotas(all, row, t)) {
        token_free(t);
        return;
    }
    memcpy(t->principal.token, row->id, UUID_TEXT);
    memcpy(t->principal.name, row->principal, strlen(row->principal) + 1);
    snprintf(t->created, sizeof(t->created), "%s", row->created);
    snprintf(t->minted_by, sizeof(t->minted_by), "%s", row->minted_by ? row->minted_by : "");
    add(all, t);
}

struct tokens *tokens_new(struct core *c, struct err *e)
{
    struct tokens *all = xcalloc(1, sizeof(*all));
    all->core = c;
    if (token_table_load(c->store, on_row, all, e))
        return all;
    tokens_free(all);
    return NULL;
}

void tokens_free(struct tokens *all)
{
    if (!all)
        return;
    while (all->first)
        drop(all, all->first);
    free(all);
}
