/* The marks of buffers, as a gateway makes them (gateway/store/mark.h): a snapshot does not hold
 * again what has one that is known. libcrypto is loaded with the first: most interpreters never
 * make one. Where it is not there, nothing is the same, and all is sent. */
#include "kernel/python/core.h"

#include <dlfcn.h>
#include <string.h>

#include <openssl/evp.h>

#include "kernel/python/interrupt.h"

#define LIBRARY    "libcrypto.so.3"
#define KEY_BYTES  32
#define TAG_BYTES  16
#define STEP_BYTES (16 * 1024 * 1024) /* between two looks for an interrupt */

/* Of libcrypto: X(result, name, parameters) */
#define CALLS(X)                                                                                   \
    X(EVP_CIPHER_CTX *, EVP_CIPHER_CTX_new, (void))                                                \
    X(void, EVP_CIPHER_CTX_free, (EVP_CIPHER_CTX *))                                               \
    X(const EVP_CIPHER *, EVP_aes_256_gcm, (void))                                                 \
    X(int, EVP_EncryptInit_ex,                                                                     \
      (EVP_CIPHER_CTX *, const EVP_CIPHER *, ENGINE *, const unsigned char *,                      \
       const unsigned char *))                                                                     \
    X(int, EVP_EncryptUpdate,                                                                      \
      (EVP_CIPHER_CTX *, unsigned char *, int *, const unsigned char *, int))                      \
    X(int, EVP_EncryptFinal_ex, (EVP_CIPHER_CTX *, unsigned char *, int *))                        \
    X(int, EVP_CIPHER_CTX_ctrl, (EVP_CIPHER_CTX *, int, int, void *))

#define POINTER(result, name, parameters) result(*name) parameters;
#define ROW(result, name, parameters)     {#name, &crypto.name},

static struct {
    CALLS(POINTER)
} crypto;

static bool load(void)
{
    static const struct {
        const char *name;
        void *place;
    } calls[] = {CALLS(ROW)};
    static bool loaded;
    void *library = loaded ? NULL : dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return loaded;
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        void *found = dlsym(library, calls[i].name);
        if (!found)
            return false;
        memcpy(calls[i].place, &found, sizeof found);
    }
    return loaded = true;
}

/* False: an interrupt came, its exception is set. */
static bool add(EVP_CIPHER_CTX *cipher, const Py_buffer *data)
{
    const unsigned char *at = data->buf;
    for (Py_ssize_t left = data->len; left > 0;) {
        int now = left < STEP_BYTES ? (int)left : STEP_BYTES, unused;
        Py_BEGIN_ALLOW_THREADS crypto.EVP_EncryptUpdate(cipher, NULL, &unused, at, now);
        Py_END_ALLOW_THREADS at += now;
        left -= now;
        interrupt_drain();
        if (PyErr_CheckSignals() < 0)
            return false;
    }
    return true;
}

PyObject *core_py_mark(PyObject *module, PyObject *args)
{
    static const unsigned char nonce[12];
    Py_buffer key = {0}, data = {0};
    PyObject *tag = NULL;
    int unused;
    (void)module;
    if (!PyArg_ParseTuple(args, "y*y*", &key, &data))
        return NULL;
    EVP_CIPHER_CTX *cipher = load() ? crypto.EVP_CIPHER_CTX_new() : NULL;
    if (key.len != KEY_BYTES) {
        PyErr_Format(PyExc_ValueError, "a key has %d bytes", KEY_BYTES);
    } else if (!cipher) {
        PyErr_SetString(PyExc_OSError, LIBRARY " is not there");
    } else {
        crypto.EVP_EncryptInit_ex(cipher, crypto.EVP_aes_256_gcm(), NULL, key.buf, nonce);
        if (add(cipher, &data) && (tag = PyBytes_FromStringAndSize(NULL, TAG_BYTES))) {
            crypto.EVP_EncryptFinal_ex(cipher, (unsigned char *)PyBytes_AS_STRING(tag), &unused);
            crypto.EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES,
                                       PyBytes_AS_STRING(tag));
        }
    }
    if (cipher)
        crypto.EVP_CIPHER_CTX_free(cipher);
    PyBuffer_Release(&key);
    PyBuffer_Release(&data);
    return tag;
}
