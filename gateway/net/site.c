/* Names of the origins of sandboxes' ports. Called by exchange.c for the Host of each request, and
 * for each Origin: a page of such an origin may call itself and nobody else here. */
#include "gateway/net/site.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "gateway/net/connection.h"

#define ID_BYTES (UUID_TEXT - 1)

/* The bytes of "8000-" in front of an id; 0: no port stands there. */
static size_t read_port(const char *label, struct site *out)
{
    size_t digits = strspn(label, "0123456789");
    if (!digits || digits >= SITE_PORT_TEXT || label[0] == '0' || label[digits] != '-')
        return 0;
    memcpy(out->port_text, label, digits);
    out->port_text[digits] = '\0';
    out->port = atoi(out->port_text);
    return out->port <= 65535 ? digits + 1 : 0;
}

static bool read_id(const char *label, struct site *out)
{
    for (size_t i = 0; i < ID_BYTES; i++) {
        out->sandbox[i] = (char)tolower((unsigned char)label[i]);
        if (!isxdigit((unsigned char)label[i]) && label[i] != '-')
            return false;
    }
    out->sandbox[ID_BYTES] = '\0';
    return true;
}

bool site_of_host(const char *host, const char *domain, struct site *out)
{
    size_t len = strcspn(host, ":"), tail = strlen(domain);
    const char *port = host + len;
    size_t skipped = read_port(host, out);
    if (!tail || !skipped || len != skipped + ID_BYTES + 1 + tail)
        return false;
    if (*port && (!port[1] || strspn(port + 1, "0123456789") != strlen(port + 1)))
        return false;
    const char *dot = host + skipped + ID_BYTES;
    return read_id(host + skipped, out) && *dot == '.' && strncasecmp(dot + 1, domain, tail) == 0;
}

void server_sites(struct server *s, const struct sites *sites)
{
    s->sites = *sites;
}

const struct site *exchange_site(const struct exchange *x)
{
    return x->site;
}

bool exchange_site_url(const struct exchange *x, const char *sandbox, int port, struct buffer *out)
{
    const struct server *s = x->connection->server;
    const char *host = exchange_header(x, "host");
    if (!*s->sites_domain || !s->sites.route || stream_is_unix(x->connection->stream) || !host)
        return false;
    const char *end = strrchr(host, ']');
    const char *own = strchr(end ? end : host, ':');
    buffer_printf(out, "%s://%d-%s.%s%s", stream_is_tls(x->connection->stream) ? "https" : "http",
                  port, sandbox, s->sites_domain, own ? own : "");
    return true;
}
