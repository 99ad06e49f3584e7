/* A pass is "KIND~ENDS~ROLE~SCOPES~EXPIRES~KEY~TOKEN~NAME~NONCE~MAC": the principal in plain words,
 * what tells two passes of one second apart, and an HMAC-SHA256 over them and the place. Called by
 * dialect/v1_ports.c. */
#include "gateway/core/port_pass.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/ids.h"

#define KEY_BYTES   32
#define MAC_BYTES   32
#define NONCE_BYTES 8
#define MAC_TEXT    (2 * MAC_BYTES)
#define FIELDS      9
#define USED_MOST   1024 /* tickets of a minute; beyond that the oldest could be used again */

struct used {
    unsigned char mac[MAC_BYTES];
    int64_t until_s;
};

struct port_passes {
    unsigned char key[KEY_BYTES];
    struct used used[USED_MOST];
    size_t next;
};

static const struct {
    const char *name;
    int64_t lives_s;
} kinds[] = {[PORT_TICKET] = {"t", PORT_TICKET_S}, [PORT_COOKIE] = {"c", PORT_COOKIE_S}};

struct port_passes *port_passes_new(void)
{
    struct port_passes *p = xcalloc(1, sizeof *p);
    if (RAND_bytes(p->key, sizeof p->key) != 1)
        abort();
    return p;
}

void port_passes_free(struct port_passes *p)
{
    if (!p)
        return;
    OPENSSL_cleanse(p->key, sizeof p->key);
    free(p);
}

static void sign(const struct port_passes *p, const struct port_place *place, struct bytes fields,
                 unsigned char out[MAC_BYTES])
{
    scoped(buffer) struct buffer text = {0};
    buffer_printf(&text, "warmcell port~%s~%d~", place->sandbox, place->port);
    buffer_add_bytes(&text, fields);
    HMAC(EVP_sha256(), p->key, sizeof p->key, (const unsigned char *)text.data, text.len, out,
         NULL);
}

void port_pass_make(const struct port_passes *p, enum port_pass kind,
                    const struct port_place *place, const struct principal *who, int64_t now_s,
                    struct buffer *out)
{
    unsigned char mac[MAC_BYTES];
    int64_t ends_s = now_s + kinds[kind].lives_s;
    if (who->expires_s && who->expires_s < ends_s)
        ends_s = who->expires_s;
    char nonce[2 * NONCE_BYTES + 1];
    random_hex(nonce, NONCE_BYTES);
    scoped(buffer) struct buffer fields = {0};
    buffer_printf(&fields, "%s~%" PRId64 "~%d~%u~%" PRId64 "~%" PRIu64 "~%s~%s~%s",
                  kinds[kind].name, ends_s, (int)who->role, who->scopes, who->expires_s,
                  who->jwt_key, who->token, who->name, nonce);
    sign(p, place, buffer_view(&fields), mac);
    buffer_add_bytes(out, buffer_view(&fields));
    buffer_add_text(out, "~");
    for (size_t i = 0; i < sizeof mac; i++)
        buffer_printf(out, "%02x", mac[i]);
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The last field. False: it is no MAC. */
static bool read_mac(struct bytes text, unsigned char out[MAC_BYTES])
{
    if (text.len < MAC_TEXT + 1 || text.len > PORT_PASS_LIMIT_BYTES ||
        text.data[text.len - MAC_TEXT - 1] != '~')
        return false;
    const char *at = text.data + text.len - MAC_TEXT;
    for (size_t i = 0; i < MAC_BYTES; i++, at += 2) {
        int high = digit(at[0]), low = digit(at[1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

/* Of what we have signed: the fields are as we write them. */
static bool read_fields(char *text, enum port_pass kind, int64_t *ends_s, struct principal *who)
{
    char *field[FIELDS];
    for (size_t i = 0; i < FIELDS; i++) {
        field[i] = strsep(&text, "~");
        if (!field[i])
            return false;
    }
    if (text || strcmp(field[0], kinds[kind].name) != 0)
        return false;
    *ends_s = strtoll(field[1], NULL, 10);
    *who = (struct principal){.role = atoi(field[2]) == ROLE_ADMIN ? ROLE_ADMIN : ROLE_USER,
                              .scopes = (unsigned)strtoul(field[3], NULL, 10),
                              .expires_s = strtoll(field[4], NULL, 10),
                              .jwt_key = strtoull(field[5], NULL, 10)};
    snprintf(who->token, sizeof who->token, "%s", field[6]);
    snprintf(who->name, sizeof who->name, "%s", field[7]);
    return true;
}

bool port_pass_read(const struct port_passes *p, enum port_pass kind,
                    const struct port_place *place, struct bytes text, int64_t now_s,
                    struct principal *who, int64_t *left_s)
{
    unsigned char shown[MAC_BYTES], right[MAC_BYTES];
    int64_t ends_s;
    if (!read_mac(text, shown))
        return false;
    struct bytes fields = {text.data, text.len - MAC_TEXT - 1};
    sign(p, place, fields, right);
    if (CRYPTO_memcmp(shown, right, sizeof right) != 0)
        return false;
    scoped(string) char *copy = xstrndup(fields.data, fields.len);
    struct principal found;
    if (!read_fields(copy, kind, &ends_s, &found) || now_s >= ends_s)
        return false;
    *who = found;
    *left_s = ends_s - now_s;
    return true;
}

bool port_pass_use(struct port_passes *p, struct bytes text, int64_t now_s)
{
    struct used *next = &p->used[p->next];
    unsigned char mac[MAC_BYTES];
    if (!read_mac(text, mac))
        return false;
    for (size_t i = 0; i < USED_MOST; i++)
        if (p->used[i].until_s >= now_s && memcmp(p->used[i].mac, mac, sizeof mac) == 0)
            return false;
    memcpy(next->mac, mac, sizeof mac);
    next->until_s = now_s + PORT_TICKET_S;
    p->next = (p->next + 1) % USED_MOST;
    return true;
}
