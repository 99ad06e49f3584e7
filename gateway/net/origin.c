/* Host, Origin and CORS in one place. Called by exchange.c before anything else of a request is
 * believed. Names are compared without regard to case. */
#include "gateway/net/origin.h"

#include <arpa/inet.h>
#include <regex.h>
#include <strings.h>

#define HOST_LIMIT_BYTES 256

struct origin_policy {
    const struct settings_net *net;
    bool loopback;
    bool any;
    bool has_pattern;
    regex_t pattern;
    struct buffer headers; /* the CORS lines that are the same for every reply */
};

static bool has_line_break(const char *text)
{
    return strpbrk(text, "\r\n") != NULL;
}

/* The header lines of 2.2, in the order the options are listed. */
static bool add_configured(struct origin_policy *p, struct err *e)
{
    const struct settings_net *n = p->net;
    const struct {
        const char *header, *value, *option;
    } lines[] = {
        {"Access-Control-Allow-Credentials", n->allow_credentials, "allow_credentials"},
        {"Access-Control-Allow-Headers", n->allow_headers, "allow_headers"},
        {"Access-Control-Allow-Methods", n->allow_methods, "allow_methods"},
        {"Access-Control-Expose-Headers", n->expose_headers, "expose_headers"},
        {"Access-Control-Max-Age", n->max_age, "max_age"},
        {"Access-Control-Allow-Origin", n->allow_origin, "allow_origin"},
    };
    for (size_t i = 0; i < countof(lines); i++) {
        if (!lines[i].value || !*lines[i].value)
            continue;
        if (has_line_break(lines[i].value))
            return fail(e, 400, "%s: must not hold a line break", lines[i].option);
        buffer_printf(&p->headers, "%s: %s\r\n", lines[i].header, lines[i].value);
    }
    return true;
}

static bool compile(struct origin_policy *p, struct err *e)
{
    const char *text = p->net->allow_origin_pat;
    if (!text || !*text)
        return true;
    char why[200];
    int status = regcomp(&p->pattern, text, REG_EXTENDED);
    if (status != 0) {
        regerror(status, &p->pattern, why, sizeof why);
        return fail(e, 400, "allow_origin_pat: %s", why);
    }
    p->has_pattern = true;
    return true;
}

struct origin_policy *origin_policy_new(const struct settings_net *net, bool loopback,
                                        struct err *e)
{
    struct origin_policy *p = xcalloc(1, sizeof *p);
    p->net = net;
    p->loopback = loopback;
    p->any = net->allow_origin && strcmp(net->allow_origin, "*") == 0;
    if (add_configured(p, e) && compile(p, e))
        return p;
    origin_policy_free(p);
    return NULL;
}

void origin_policy_free(struct origin_policy *p)
{
    if (!p)
        return;
    if (p->has_pattern)
        regfree(&p->pattern);
    buffer_free(&p->headers);
    free(p);
}

/* "[::1]:80" -> "::1", "name:80" -> "name". False: not of that form. */
static bool host_name(const char *host, char out[HOST_LIMIT_BYTES])
{
    size_t len = host[0] == '[' ? strcspn(host, "]") : strcspn(host, ":");
    const char *rest = host + len;
    if (host[0] == '[') {
        if (*rest != ']')
            return false;
        rest++;
        host++;
        len--;
    }
    if (!len || len >= HOST_LIMIT_BYTES || (*rest && *rest != ':'))
        return false;
    if (*rest && strspn(rest + 1, "0123456789") != strlen(rest + 1))
        return false;
    memcpy(out, host, len);
    out[len] = '\0';
    return true;
}

bool origin_is_loopback(const char *name)
{
    struct in_addr four;
    struct in6_addr six;
    size_t len = strlen(name);
    if (inet_pton(AF_INET, name, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, name, &six) == 1)
        return IN6_IS_ADDR_LOOPBACK(&six);
    return strcasecmp(name, "localhost") == 0 ||
           (len > 10 && strcasecmp(name + len - 10, ".localhost") == 0);
}

static bool listed(const struct string_list *hosts, const char *name)
{
    for (size_t i = 0; i < hosts->count; i++)
        if (strcasecmp(hosts->item[i], name) == 0 || strcmp(hosts->item[i], "*") == 0)
            return true;
    return false;
}

bool origin_host_allowed(const struct origin_policy *p, const char *host)
{
    char name[HOST_LIMIT_BYTES];
    if (!host_name(host, name))
        return false;
    if (listed(&p->net->allowed_hosts, name) || origin_is_loopback(name) ||
        strcasecmp(name, p->net->ip) == 0)
        return true;
    return !p->loopback && p->net->allowed_hosts.count == 0;
}

static bool pattern_matches(const struct origin_policy *p, const char *origin)
{
    regmatch_t match;
    return p->has_pattern && regexec(&p->pattern, origin, 1, &match, 0) == 0 && match.rm_so == 0;
}

bool origin_allowed(const struct origin_policy *p, const char *origin, const char *host)
{
    if (p->any)
        return true;
    if (strcmp(origin, "null") == 0)
        return false;
    const char *authority = strstr(origin, "://");
    if (authority && host && strcasecmp(authority + 3, host) == 0)
        return true;
    if (p->net->allow_origin && *p->net->allow_origin &&
        strcasecmp(origin, p->net->allow_origin) == 0)
        return true;
    return pattern_matches(p, origin);
}

void origin_add_headers(const struct origin_policy *p, const char *origin, struct buffer *out)
{
    buffer_add(out, p->headers.data, p->headers.len);
    if (!p->has_pattern || (p->net->allow_origin && *p->net->allow_origin))
        return;
    buffer_add_text(out, "Vary: Origin\r\n");
    if (origin && !has_line_break(origin) && pattern_matches(p, origin))
        buffer_printf(out, "Access-Control-Allow-Origin: %s\r\n", origin);
}
