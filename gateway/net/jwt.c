/* Checks tokens, in an order: size, shape, header, signature, claims. What was found good is kept
 * by its digest until it expires or the keys change, as every request of a client shows it again.
 * Called by auth.c on the loop's thread; cjose's own words on a failure are passed over. */
#include "gateway/net/jwt.h"

#include <math.h>
#include <openssl/err.h>
#include <openssl/sha.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "gateway/log.h"
#include "protocol/json.h"

#define KNOWN_PLACES 256
#define TIME_MOST_S  1e11 /* a claim beyond is no time */
#define PARTS        3
#define OWN_LEEWAY_S 2 /* our clock may be set back a little after a token was signed */

struct known {
    unsigned char sha256[SHA256_DIGEST_LENGTH];
    struct principal principal; /* an empty name: none */
};

struct jwt {
    const struct settings_jwt *settings; /* borrowed; of our own &own */
    struct settings_jwt own;             /* its issuer is owned */
    enum role role;                      /* the most */
    unsigned scopes;                     /* the most */
    struct jwt_keys keys;
    struct stat file; /* as it was read last, or failed to be */
    struct known known[KNOWN_PLACES];
};

SCOPED(jws, cjose_jws_t *, cjose_jws_release)
SCOPED(header, cjose_header_t *, cjose_header_release)

/* --- the settings */

static bool algorithm_known(const char *name)
{
    return strcmp(name, "HS256") == 0 || strcmp(name, "RS256") == 0 || strcmp(name, "ES256") == 0;
}

static bool read_settings(struct jwt *j, struct err *e)
{
    const struct settings_jwt *s = j->settings;
    if (!s->algorithms.count)
        return fail(e, 400, "jwt-algorithms: must name one at least");
    for (size_t i = 0; i < s->algorithms.count; i++)
        if (!algorithm_known(s->algorithms.item[i]))
            return fail(e, 400, "jwt-algorithms: must be of HS256, RS256 and ES256");
    if (!role_read(s->role, &j->role))
        return fail(e, 400, "jwt-role: must be user or admin");
    for (size_t i = 0; i < s->scopes.count; i++) {
        unsigned scope = scope_read(bytes_of(s->scopes.item[i]));
        if (!scope)
            return fail(e, 400, "jwt-scopes: must be of read, write, tokens and metrics");
        j->scopes |= scope;
    }
    return *s->principal_claim || fail(e, 400, "jwt-principal-claim: must not be empty");
}

struct jwt *jwt_new(const struct settings_jwt *settings, struct err *e)
{
    struct jwt *j = xcalloc(1, sizeof *j);
    j->settings = settings;
    stat(settings->keys, &j->file); /* before it is read: what changes meanwhile is read again */
    if (read_settings(j, e) && jwt_keys_read(settings->keys, &j->keys, e))
        return j;
    jwt_free(j);
    return NULL;
}

struct jwt *jwt_new_own(const char *issuer, json_t *secrets, struct err *e)
{
    static char algorithm[] = "HS256", role[] = "admin", nothing[] = "";
    static char principal_claim[] = "sub", role_claim[] = "role", scope_claim[] = "scope";
    static char *algorithms[] = {algorithm, NULL};
    struct jwt *j = xcalloc(1, sizeof *j);
    json_t *secret;
    size_t i;
    j->own = (struct settings_jwt){
        .issuer = xstrdup(issuer),
        .audience = nothing,
        .algorithms = {algorithms, 1},
        .leeway_s = OWN_LEEWAY_S,
        .role = role,
        .principal_claim = principal_claim,
        .role_claim = role_claim,
        .scope_claim = scope_claim,
    };
    j->settings = &j->own;
    j->role = ROLE_ADMIN;
    j->scopes = SCOPES_ALL;
    json_array_foreach(secrets, i, secret)
    {
        struct bytes text = {json_string_value(secret), json_string_length(secret)};
        if (!jwt_keys_add_secret(&j->keys, text, e)) {
            jwt_free(j);
            return NULL;
        }
    }
    return j;
}

void jwt_free(struct jwt *j)
{
    if (!j)
        return;
    free(j->own.issuer);
    jwt_keys_clear(&j->keys);
    free(j);
}

void jwt_reload(struct jwt *j)
{
    struct jwt_keys fresh;
    struct err e = {0};
    if (stat(j->settings->keys, &j->file) != 0)
        j->file = (struct stat){0};
    if (!jwt_keys_read(j->settings->keys, &fresh, &e)) {
        log_error("the keys of JWTs stay as they were", F_STR("why", e.text));
        return;
    }
    jwt_keys_clear(&j->keys);
    j->keys = fresh;
    memset(j->known, 0, sizeof(j->known));
    log_info("the keys of JWTs were read", F_INT("keys", (int64_t)fresh.count));
}

void jwt_refresh(struct jwt *j)
{
    struct stat now = {0};
    stat(j->settings->keys, &now);
    if (now.st_ino != j->file.st_ino || now.st_dev != j->file.st_dev ||
        now.st_size != j->file.st_size || now.st_mode != j->file.st_mode ||
        now.st_ctim.tv_sec != j->file.st_ctim.tv_sec ||
        now.st_ctim.tv_nsec != j->file.st_ctim.tv_nsec)
        jwt_reload(j);
}

/* --- the shape and the header */

/* Three parts of base64url without padding, none of them empty. */
static bool split(struct bytes token, struct bytes part[PARTS])
{
    size_t count = 0, from = 0;
    for (size_t i = 0; i <= token.len; i++) {
        char c = i < token.len ? token.data[i] : '.';
        if (c == '.') {
            if (i == from || count == PARTS)
                return false;
            part[count++] = (struct bytes){token.data + from, i - from};
            from = i + 1;
        } else if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '_')) {
            return false;
        }
    }
    return count == PARTS;
}

static json_t *read_header(struct bytes part)
{
    uint8_t *text = NULL;
    size_t len = 0;
    struct err none;
    if (!cjose_base64url_decode(part.data, part.len, &text, &len, NULL))
        return NULL;
    json_t *header =
        json_parse_object((struct bytes){(char *)text, len}, "header", JWT_LIMIT_BYTES, &none);
    cjose_get_dealloc()(text);
    return header;
}

static bool check_header(json_t *header, struct err *why)
{
    static const char *const refused[] = {"jwk", "jku", "x5u", "x5c", "crit", "b64"};
    json_t *type = json_object_get(header, "typ"), *id = json_object_get(header, "kid");
    const char *word = json_string_value(type);
    for (size_t i = 0; i < countof(refused); i++)
        if (json_object_get(header, refused[i]))
            return fail(why, 401, "its header has %s", refused[i]);
    if (!json_is_string(json_object_get(header, "alg")))
        return fail(why, 401, "its header has no alg");
    if (id && !json_is_string(id))
        return fail(why, 401, "its kid is no text");
    return !type || (word && (strcasecmp(word, "JWT") == 0 || strcasecmp(word, "at+jwt") == 0)) ||
           fail(why, 401, "its typ is not JWT");
}

/* --- the signature */

static bool algorithm_allowed(const struct jwt *j, const char *algorithm)
{
    const struct string_list *list = &j->settings->algorithms;
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->item[i], algorithm) == 0)
            return true;
    return false;
}

/* May this key have signed what has this header? */
static bool key_fits(const struct jwt_key *key, json_t *header)
{
    const char *id = json_string_value(json_object_get(header, "kid"));
    return strcmp(key->algorithm, json_string_value(json_object_get(header, "alg"))) == 0 &&
           (!id || !key->id || strcmp(id, key->id) == 0);
}

/* The payload of what one of the keys signed, borrowed from jws; NULL data: none did. */
static struct bytes verified(const struct jwt *j, json_t *header, cjose_jws_t *jws,
                             uint64_t *number)
{
    for (size_t i = 0; i < j->keys.count; i++) {
        const struct jwt_key *key = &j->keys.key[i];
        uint8_t *plain = NULL;
        size_t len = 0;
        if (key_fits(key, header) && cjose_jws_verify(jws, key->jwk, NULL) &&
            cjose_jws_get_plaintext(jws, &plain, &len, NULL)) {
            *number = key->number;
            return (struct bytes){(char *)plain, len};
        }
    }
    return (struct bytes){0};
}

/* Its claims; given; NULL: why. */
static json_t *open_token(const struct jwt *j, struct bytes token, uint64_t *number,
                          struct err *why)
{
    struct bytes part[PARTS];
    struct err none;
    if (token.len > JWT_LIMIT_BYTES || !split(token, part)) {
        fail(why, 401, "it is not three parts of base64url, or too long");
        return NULL;
    }
    scoped(json) json_t *header = read_header(part[0]);
    if (!header) {
        fail(why, 401, "its header is no JSON object");
        return NULL;
    }
    if (!check_header(header, why))
        return NULL;
    if (!algorithm_allowed(j, json_string_value(json_object_get(header, "alg")))) {
        fail(why, 401, "its algorithm is not allowed");
        return NULL;
    }
    scoped(jws) cjose_jws_t *jws = cjose_jws_import(token.data, token.len, NULL);
    struct bytes payload = jws ? verified(j, header, jws, number) : (struct bytes){0};
    json_t *claims =
        payload.data ? json_parse_object(payload, "claims", JWT_LIMIT_BYTES, &none) : NULL;
    if (!claims)
        fail(why, 401, payload.data ? "its claims are no JSON object" : "no key of ours signed it");
    return claims;
}

/* --- the claims */

/* A time; absent: *out stays. */
static bool read_time(json_t *claims, const char *name, double *out, struct err *why)
{
    json_t *claim = json_object_get(claims, name);
    if (!claim)
        return true;
    *out = json_is_number(claim) ? json_number_value(claim) : NAN;
    return (*out >= 0 && *out <= TIME_MOST_S) || fail(why, 401, "its %s is no time", name);
}

static bool check_times(const struct jwt *j, json_t *claims, int64_t now_s, struct principal *out,
                        struct err *why)
{
    double now = (double)now_s, leeway = (double)j->settings->leeway_s;
    double expires = 0, not_before = 0, issued = 0;
    if (!json_object_get(claims, "exp"))
        return fail(why, 401, "it has no exp");
    if (!read_time(claims, "exp", &expires, why) || !read_time(claims, "nbf", &not_before, why) ||
        !read_time(claims, "iat", &issued, why))
        return false;
    out->expires_s = (int64_t)expires;
    if (out->expires_s < 1 || out->expires_s + j->settings->leeway_s <= now_s)
        return fail(why, 401, "it has expired");
    if (not_before > now + leeway || issued > now + leeway)
        return fail(why, 401, "it is not good yet");
    return true;
}

static bool holds(json_t *claim, const char *wanted)
{
    size_t i;
    json_t *one;
    if (json_is_string(claim))
        return strcmp(json_string_value(claim), wanted) == 0;
    json_array_foreach(claim, i, one)
    {
        if (json_is_string(one) && strcmp(json_string_value(one), wanted) == 0)
            return true;
    }
    return false;
}

static bool check_for_us(const struct jwt *j, json_t *claims, struct err *why)
{
    const struct settings_jwt *s = j->settings;
    json_t *issuer = json_object_get(claims, "iss");
    if (*s->issuer && !(json_is_string(issuer) && holds(issuer, s->issuer)))
        return fail(why, 401, "its iss is another");
    return !*s->audience || holds(json_object_get(claims, "aud"), s->audience) ||
           fail(why, 401, "its aud is another");
}

static unsigned scopes_in(json_t *claim)
{
    unsigned scopes = 0;
    size_t i;
    json_t *one;
    if (json_is_string(claim))
        return scopes_read(json_string_value(claim));
    json_array_foreach(claim, i, one)
    {
        if (json_is_string(one))
            scopes |= scope_read(bytes_of(json_string_value(one)));
    }
    return scopes;
}

/* The token that one of our own goes with, if it does with any. */
static bool read_by(json_t *by, struct principal *out)
{
    const char *id = json_string_value(by);
    if (id && strlen(id) == sizeof(out->token) - 1)
        memcpy(out->token, id, sizeof(out->token));
    return !by || *out->token;
}

/* It only names the token in the record: one that is too long for it is as none. */
static void read_jti(json_t *jti, struct principal *out)
{
    const char *text = json_string_value(jti);
    size_t len = json_string_length(jti);
    if (text && len < sizeof(out->jti) && strlen(text) == len)
        memcpy(out->jti, text, len + 1);
}

static bool read_who(const struct jwt *j, json_t *claims, struct principal *out, struct err *why)
{
    const struct settings_jwt *s = j->settings;
    json_t *name = json_object_get(claims, s->principal_claim);
    json_t *role = json_object_get(claims, s->role_claim);
    json_t *scopes = json_object_get(claims, s->scope_claim);
    const char *text = json_string_value(name);
    if (!text || strlen(text) != json_string_length(name) || !principal_name_good(text) ||
        strcmp(text, PRINCIPAL_OWNER) == 0)
        return fail(why, 401, "its %.40s names no principal", s->principal_claim);
    if (j->settings != &j->own && principal_is_open(text))
        return fail(why, 401,
                    "its %.40s begins with " PRINCIPAL_OPEN
                    ", as nobody's does but theirs who have an open token",
                    s->principal_claim);
    if (j->settings == &j->own && !read_by(json_object_get(claims, "by"), out))
        return fail(why, 401, "its by names no token");
    memcpy(out->name, text, strlen(text) + 1);
    read_jti(json_object_get(claims, "jti"), out);
    out->role = ROLE_USER;
    if (role && (!json_is_string(role) || !role_read(json_string_value(role), &out->role)))
        out->role = ROLE_USER; /* a word of somebody else's */
    if (out->role > j->role)
        out->role = j->role;
    out->scopes = (scopes ? scopes_in(scopes) : SCOPE_READ | SCOPE_WRITE) & j->scopes;
    return true;
}

/* --- who it is */

bool jwt_check(struct jwt *j, struct bytes token, int64_t now_s, struct principal *out,
               struct err *why)
{
    struct known fresh = {0};
    struct principal *who = &fresh.principal;
    SHA256((const unsigned char *)token.data, token.len, fresh.sha256);
    struct known *known = &j->known[fresh.sha256[0] % KNOWN_PLACES];
    if (*known->principal.name && memcmp(known->sha256, fresh.sha256, sizeof(fresh.sha256)) == 0 &&
        jwt_still(j, &known->principal, now_s)) {
        *out = known->principal;
        return true;
    }
    scoped(json) json_t *claims = open_token(j, token, &who->jwt_key, why);
    ERR_clear_error();
    if (!claims || !check_for_us(j, claims, why) || !check_times(j, claims, now_s, who, why) ||
        !read_who(j, claims, who, why))
        return false;
    *known = fresh;
    *out = *who;
    return true;
}

bool jwt_still(const struct jwt *j, const struct principal *who, int64_t now_s)
{
    for (size_t i = 0; i < j->keys.count; i++)
        if (j->keys.key[i].number == who->jwt_key)
            return who->expires_s + j->settings->leeway_s > now_s;
    return false;
}

/* --- signing */

char *jwt_sign(const struct jwt *j, json_t *claims, struct err *e)
{
    scoped(string) char *text = json_dumps(claims, JSON_COMPACT);
    scoped(header) cjose_header_t *header = cjose_header_new(NULL);
    scoped(jws) cjose_jws_t *jws = NULL;
    const char *token = NULL;
    if (text && header && j->keys.count &&
        cjose_header_set(header, CJOSE_HDR_ALG, CJOSE_HDR_ALG_HS256, NULL) &&
        cjose_header_set(header, "typ", "JWT", NULL))
        jws = cjose_jws_sign(j->keys.key[0].jwk, header, (const uint8_t *)text, strlen(text), NULL);
    if (jws && cjose_jws_export(jws, &token, NULL))
        return xstrdup(token);
    ERR_clear_error();
    fail(e, 500, "the token could not be signed");
    return NULL;
}
