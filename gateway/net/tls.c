/* OpenSSL between two memory BIOs. One error queue per thread: it is cleared before each call,
 * because SSL_get_error reads it. */
#include "gateway/net/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

struct tls {
    SSL_CTX *context;
};

struct tls_session {
    SSL *ssl;
    BIO *incoming; /* owned by ssl */
    BIO *outgoing; /* owned by ssl */
};

static const char *reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    return text ? text : "unknown error";
}

static bool load_files(SSL_CTX *context, const char *certfile, const char *keyfile,
                       const char *client_ca, struct err *e)
{
    if (SSL_CTX_use_certificate_chain_file(context, certfile) != 1)
        return fail(e, 400, "certfile: cannot use %s: %s", certfile, reason());
    if (SSL_CTX_use_PrivateKey_file(context, keyfile, SSL_FILETYPE_PEM) != 1)
        return fail(e, 400, "keyfile: cannot use %s: %s", keyfile, reason());
    if (SSL_CTX_check_private_key(context) != 1)
        return fail(e, 400, "keyfile: %s does not belong to %s", keyfile, certfile);
    if (!*client_ca)
        return true;
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(client_ca);
    if (!names || SSL_CTX_load_verify_locations(context, client_ca, NULL) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return fail(e, 400, "client_ca: cannot use %s: %s", client_ca, reason());
    }
    SSL_CTX_set_client_CA_list(context, names);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return true;
}

struct tls *tls_new(const char *certfile, const char *keyfile, const char *client_ca, struct err *e)
{
    ERR_clear_error();
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (!context) {
        fail(e, 500, "OpenSSL cannot be set up: %s", reason());
        return NULL;
    }
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                     SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    /* needed for resumption when client certificates are verified */
    SSL_CTX_set_session_id_context(context, (const unsigned char *)"warmcell", 8);
    if (!load_files(context, certfile, keyfile, client_ca, e)) {
        SSL_CTX_free(context);
        return NULL;
    }
    struct tls *t = xmalloc(sizeof *t);
    t->context = context;
    return t;
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->context);
    free(t);
}

struct tls_session *tls_session_new(struct tls *t)
{
    struct tls_session *s = xcalloc(1, sizeof *s);
    s->ssl = SSL_new(t->context);
    s->incoming = BIO_new(BIO_s_mem());
    s->outgoing = BIO_new(BIO_s_mem());
    if (!s->ssl || !s->incoming || !s->outgoing)
        abort(); /* out of memory */
    SSL_set_bio(s->ssl, s->incoming, s->outgoing);
    SSL_set_accept_state(s->ssl);
    return s;
}

void tls_session_free(struct tls_session *s)
{
    if (!s)
        return;
    SSL_free(s->ssl);
    free(s);
}

void tls_session_feed(struct tls_session *s, struct bytes cipher)
{
    if (cipher.len && BIO_write(s->incoming, cipher.data, (int)cipher.len) != (int)cipher.len)
        abort(); /* out of memory */
}

long tls_session_read(struct tls_session *s, char *out, size_t room)
{
    size_t got = 0;
    ERR_clear_error();
    if (SSL_read_ex(s->ssl, out, room, &got) == 1)
        return (long)got;
    switch (SSL_get_error(s->ssl, 0)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return 0;
    case SSL_ERROR_ZERO_RETURN:
        return -1;
    default:
        return -2;
    }
}

bool tls_session_write(struct tls_session *s, const char *data, size_t len)
{
    size_t written = 0;
    ERR_clear_error();
    return len == 0 || (SSL_write_ex(s->ssl, data, len, &written) == 1 && written == len);
}

void tls_session_end(struct tls_session *s)
{
    ERR_clear_error();
    if (SSL_is_init_finished(s->ssl))
        SSL_shutdown(s->ssl);
}

void tls_session_take(struct tls_session *s, struct buffer *out)
{
    size_t waiting;
    while ((waiting = BIO_ctrl_pending(s->outgoing)) > 0) {
        int got = BIO_read(s->outgoing, buffer_reserve(out, waiting), (int)waiting);
        if (got <= 0)
            return;
        out->len += (size_t)got;
    }
}
