/* The functions of libcrypto that the host calls: to sign ZeroMQ's messages, and to find the warm
 * keeper of JupyterLab's kernels. Called by the loop's thread alone. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "kernel/host/late.h"

#define CALLS(X)                                                                                   \
    X(int, CRYPTO_memcmp, (const void *a, const void *b, size_t len), (a, b, len))                 \
    X(int, EVP_Digest,                                                                             \
      (const void *data, size_t count, unsigned char *md, unsigned int *size, const EVP_MD *type,  \
       ENGINE *impl),                                                                              \
      (data, count, md, size, type, impl))                                                         \
    X(const EVP_MD *, EVP_sha256, (void), ())                                                      \
    X(EVP_MAC *, EVP_MAC_fetch,                                                                    \
      (OSSL_LIB_CTX * context, const char *algorithm, const char *properties),                     \
      (context, algorithm, properties))                                                            \
    X(void, EVP_MAC_free, (EVP_MAC * mac), (mac))                                                  \
    X(EVP_MAC_CTX *, EVP_MAC_CTX_new, (EVP_MAC * mac), (mac))                                      \
    X(void, EVP_MAC_CTX_free, (EVP_MAC_CTX * mac), (mac))                                          \
    X(size_t, EVP_MAC_CTX_get_mac_size, (EVP_MAC_CTX * mac), (mac))                                \
    X(int, EVP_MAC_init,                                                                           \
      (EVP_MAC_CTX * mac, const unsigned char *key, size_t len, const OSSL_PARAM params[]),        \
      (mac, key, len, params))                                                                     \
    X(int, EVP_MAC_update, (EVP_MAC_CTX * mac, const unsigned char *data, size_t len),             \
      (mac, data, len))                                                                            \
    X(int, EVP_MAC_final, (EVP_MAC_CTX * mac, unsigned char *out, size_t *len, size_t size),       \
      (mac, out, len, size))                                                                       \
    X(OSSL_PARAM, OSSL_PARAM_construct_utf8_string, (const char *key, char *text, size_t size),    \
      (key, text, size))                                                                           \
    X(OSSL_PARAM, OSSL_PARAM_construct_end, (void), ())

LATE_CALLS("libcrypto.so.3")
