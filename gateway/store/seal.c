/* Sealing. No two texts share a key but by chance of 32 random bytes, so the nonce of a piece is
 * its number, with a mark on the last. Called by vault.c and vault_file.c. */
#include "gateway/store/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define MAGIC       "wcs1"
#define MAGIC_BYTES 4
#define ID_BYTES    8
#define SALT_BYTES  32
#define NONCE_BYTES 12

_Static_assert(MAGIC_BYTES + ID_BYTES + SALT_BYTES == SEAL_HEAD_BYTES, "the parts of a head");

struct seal {
    EVP_CIPHER_CTX *cipher;
    uint64_t next; /* number of the next piece */
};

static void derive(const unsigned char *key, const char *purpose, struct bytes more,
                   unsigned char out[SEAL_KEY_BYTES])
{
    scoped(buffer) struct buffer text = {0};
    unsigned len = 0;
    buffer_add(&text, purpose, strlen(purpose) + 1);
    buffer_add_bytes(&text, more);
    HMAC(EVP_sha256(), key, SEAL_KEY_BYTES, (unsigned char *)text.data, text.len, out, &len);
}

static void id_of(const unsigned char *key, unsigned char out[ID_BYTES])
{
    unsigned char digest[SEAL_KEY_BYTES];
    derive(key, "warmcell seal: which key", (struct bytes){0}, digest);
    memcpy(out, digest, ID_BYTES);
}

bool seal_keys_read(const char *path, struct seal_keys *out, struct err *e)
{
    struct stat st = {0};
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(e, errno == ENOENT ? 404 : 503, "the key %.150s cannot be read", path);
    ssize_t got = fstat(fd, &st) == 0 ? read(fd, out->key, sizeof(out->key)) : -1;
    close(fd);
    if (!S_ISREG(st.st_mode) || got < SEAL_KEY_BYTES || got % SEAL_KEY_BYTES || got != st.st_size)
        return fail(e, 503, "%.150s is not a key of ours; without it no snapshot can be restored",
                    path);
    if (st.st_mode & (S_IRWXG | S_IRWXO))
        return fail(e, 503, "others may read the key %.150s; chmod 600", path);
    out->count = (size_t)got / SEAL_KEY_BYTES;
    return true;
}

static struct seal *start(const unsigned char *key, const char *context,
                          const unsigned char head[SEAL_HEAD_BYTES], bool sealing)
{
    unsigned char own[SEAL_KEY_BYTES];
    struct seal *s = xcalloc(1, sizeof *s);
    scoped(buffer) struct buffer text = {0};
    buffer_add(&text, (const char *)head, SEAL_HEAD_BYTES);
    buffer_add_text(&text, context);
    derive(key, "warmcell seal: a text", buffer_view(&text), own);
    s->cipher = EVP_CIPHER_CTX_new();
    EVP_CipherInit_ex(s->cipher, EVP_aes_256_gcm(), NULL, own, NULL, sealing);
    OPENSSL_cleanse(own, sizeof(own));
    return s;
}

struct seal *seal_begin(const struct seal_keys *keys, const char *context,
                        unsigned char head[SEAL_HEAD_BYTES])
{
    memcpy(head, MAGIC, MAGIC_BYTES);
    id_of(keys->key[0], head + MAGIC_BYTES);
    /* of so few bytes it never gives fewer */
    if (getrandom(head + MAGIC_BYTES + ID_BYTES, SALT_BYTES, 0) != SALT_BYTES)
        abort();
    return start(keys->key[0], context, head, true);
}

struct seal *seal_open(const struct seal_keys *keys, const char *context,
                       const unsigned char head[SEAL_HEAD_BYTES], struct err *e)
{
    unsigned char id[ID_BYTES];
    bool known = memcmp(head, MAGIC, MAGIC_BYTES) == 0;
    for (size_t i = 0; known && i < keys->count; i++) {
        id_of(keys->key[i], id);
        if (memcmp(id, head + MAGIC_BYTES, ID_BYTES) == 0)
            return start(keys->key[i], context, head, false);
    }
    fail(e, 503, known ? "it was sealed with a key that is not there" : "it is not sealed");
    return NULL;
}

bool seal_is_newest(const struct seal_keys *keys, const unsigned char head[SEAL_HEAD_BYTES])
{
    unsigned char id[ID_BYTES];
    id_of(keys->key[0], id);
    return memcmp(head, MAGIC, MAGIC_BYTES) == 0 && memcmp(head + MAGIC_BYTES, id, ID_BYTES) == 0;
}

void seal_free(struct seal *s)
{
    if (!s)
        return;
    EVP_CIPHER_CTX_free(s->cipher);
    free(s);
}

static void set_nonce(struct seal *s, bool last)
{
    unsigned char nonce[NONCE_BYTES] = {last};
    uint64_t number = s->next++;
    for (size_t i = 0; i < sizeof(number); i++)
        nonce[NONCE_BYTES - 1 - i] = (unsigned char)(number >> (8 * i));
    EVP_CipherInit_ex(s->cipher, NULL, NULL, NULL, nonce, -1);
}

void seal_piece(struct seal *s, struct bytes plain, bool last, char *out)
{
    int len = 0, rest = 0;
    set_nonce(s, last);
    if (plain.len)
        EVP_CipherUpdate(s->cipher, (unsigned char *)out, &len, (const unsigned char *)plain.data,
                         (int)plain.len);
    EVP_CipherFinal_ex(s->cipher, (unsigned char *)out + len, &rest);
    EVP_CIPHER_CTX_ctrl(s->cipher, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG_BYTES, out + plain.len);
}

bool seal_open_piece(struct seal *s, struct bytes sealed, bool last, char *out, struct err *e)
{
    int len = 0, rest = 0;
    if (sealed.len < SEAL_TAG_BYTES || sealed.len > SEAL_PIECE_BYTES + SEAL_TAG_BYTES)
        return fail(e, 503, "it is not what was sealed");
    size_t plain = sealed.len - SEAL_TAG_BYTES;
    set_nonce(s, last);
    if (plain)
        EVP_CipherUpdate(s->cipher, (unsigned char *)out, &len, (const unsigned char *)sealed.data,
                         (int)plain);
    EVP_CIPHER_CTX_ctrl(s->cipher, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG_BYTES,
                        (void *)(sealed.data + plain));
    return EVP_CipherFinal_ex(s->cipher, (unsigned char *)out + len, &rest) == 1 ||
           fail(e, 503, "it is not what was sealed");
}

void seal_digest(const struct seal_keys *keys, size_t number, const char *context,
                 struct bytes data, char out[SEAL_DIGEST_TEXT])
{
    unsigned char own[SEAL_KEY_BYTES], digest[SEAL_KEY_BYTES];
    unsigned len = 0;
    const char *from = data.data ? data.data : "";
    derive(keys->key[number], "warmcell seal: a digest", bytes_of(context), own);
    HMAC(EVP_sha256(), own, sizeof(own), (const unsigned char *)from, data.len, digest, &len);
    OPENSSL_cleanse(own, sizeof(own));
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

void seal_text(const struct seal_keys *keys, const char *context, struct bytes plain,
               struct buffer *out)
{
    unsigned char head[SEAL_HEAD_BYTES];
    struct seal *s = seal_begin(keys, context, head);
    buffer_add(out, (const char *)head, sizeof(head));
    for (bool last = false; !last;) {
        last = plain.len <= SEAL_PIECE_BYTES;
        struct bytes piece = {plain.data, last ? plain.len : SEAL_PIECE_BYTES};
        seal_piece(s, piece, last, buffer_reserve(out, piece.len + SEAL_TAG_BYTES));
        out->len += piece.len + SEAL_TAG_BYTES;
        plain = (struct bytes){plain.data + piece.len, plain.len - piece.len};
    }
    seal_free(s);
}

bool unseal_text(const struct seal_keys *keys, const char *context, struct bytes sealed,
                 struct buffer *out, struct err *e)
{
    const size_t most = SEAL_PIECE_BYTES + SEAL_TAG_BYTES;
    if (sealed.len < SEAL_HEAD_BYTES + SEAL_TAG_BYTES)
        return fail(e, 503, "it is not sealed");
    struct seal *s = seal_open(keys, context, (const unsigned char *)sealed.data, e);
    bool good = s != NULL, last = false;
    sealed = (struct bytes){sealed.data + SEAL_HEAD_BYTES, sealed.len - SEAL_HEAD_BYTES};
    while (good && !last) {
        last = sealed.len <= most;
        struct bytes piece = {sealed.data, last ? sealed.len : most};
        good = seal_open_piece(s, piece, last, buffer_reserve(out, piece.len), e);
        if (good)
            out->len += piece.len - SEAL_TAG_BYTES;
        sealed = (struct bytes){sealed.data + piece.len, sealed.len - piece.len};
    }
    seal_free(s);
    return good;
}
