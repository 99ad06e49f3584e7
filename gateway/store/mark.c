/* Called by vault_stream.c, as bytes pass. Invariant: bytes are taken as they come, never kept. */
#include "gateway/store/mark.h"

#include <string.h>

#include <openssl/evp.h>

#include "protocol/ids.h"
#include "protocol/memory.h"

#define KEY_BYTES   (MARK_KEY_TEXT - 1)
#define NONCE_BYTES 12
#define TAG_BYTES   16
#define STEP_BYTES  (1 << 30) /* OpenSSL's lengths are int */

struct mark {
    char key[MARK_KEY_TEXT];
    EVP_CIPHER_CTX *cipher;
};

void mark_key_make(char key[MARK_KEY_TEXT])
{
    random_hex(key, KEY_BYTES / 2);
}

bool mark_key_of(const char *mark, char key[MARK_KEY_TEXT])
{
    if (!mark || strlen(mark) != MARK_TEXT - 1 || mark[KEY_BYTES] != ':')
        return false;
    memcpy(key, mark, KEY_BYTES);
    key[KEY_BYTES] = '\0';
    return true;
}

struct mark *mark_new(const char key[MARK_KEY_TEXT])
{
    static const unsigned char nonce[NONCE_BYTES];
    struct mark *m = xcalloc(1, sizeof *m);
    memcpy(m->key, key, MARK_KEY_TEXT);
    m->cipher = EVP_CIPHER_CTX_new();
    EVP_EncryptInit_ex(m->cipher, EVP_aes_256_gcm(), NULL, (const unsigned char *)key, nonce);
    return m;
}

void mark_free(struct mark *m)
{
    if (!m)
        return;
    EVP_CIPHER_CTX_free(m->cipher);
    free(m);
}

void mark_add(struct mark *m, struct bytes data)
{
    int unused;
    while (data.len) {
        size_t now = data.len < STEP_BYTES ? data.len : STEP_BYTES;
        EVP_EncryptUpdate(m->cipher, NULL, &unused, (const unsigned char *)data.data, (int)now);
        data = (struct bytes){data.data + now, data.len - now};
    }
}

void mark_end(struct mark *m, char text[MARK_TEXT])
{
    unsigned char tag[TAG_BYTES];
    int unused;
    EVP_EncryptFinal_ex(m->cipher, tag, &unused);
    EVP_CIPHER_CTX_ctrl(m->cipher, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, tag);
    memcpy(text, m->key, KEY_BYTES);
    text[KEY_BYTES] = ':';
    hex_text(text + KEY_BYTES + 1, tag, TAG_BYTES);
}
