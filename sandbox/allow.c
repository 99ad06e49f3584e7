/* The allow-list of a sandbox's network. Read by the keeper (to refuse early) and by the proxy (to
 * decide). Invariant: whatever is not listed is not allowed, and a name that leads to a place which
 * only this machine or its network can reach is no way around that. */
#include "sandbox/allow.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/memory.h"

/* --- addresses */

static const struct range {
    const char *kind;
    uint8_t prefix[16];
    unsigned bits;
} ranges[] = {
#define V4(a, b, c, d)                                                                             \
    {                                                                                              \
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d                                       \
    }
    {"unspecified", V4(0, 0, 0, 0), 96 + 8},
    {"private", V4(10, 0, 0, 0), 96 + 8},
    {"shared", V4(100, 64, 0, 0), 96 + 10},
    {"loopback", V4(127, 0, 0, 0), 96 + 8},
    {"link-local", V4(169, 254, 0, 0), 96 + 16}, /* 169.254.169.254 tells a cloud's secrets */
    {"private", V4(172, 16, 0, 0), 96 + 12},
    {"reserved", V4(192, 0, 0, 0), 96 + 24},
    {"private", V4(192, 168, 0, 0), 96 + 16},
    {"reserved", V4(198, 18, 0, 0), 96 + 15},
    {"multicast", V4(224, 0, 0, 0), 96 + 4},
    {"reserved", V4(240, 0, 0, 0), 96 + 4},
#undef V4
    {"loopback", {[15] = 1}, 128},
    {"unspecified", {0}, 128},
    {"reserved", {0}, 96}, /* ::a.b.c.d, long out of use */
    {"private", {0xfc}, 7},
    {"link-local", {0xfe, 0x80}, 10},
    {"private", {0xfe, 0xc0}, 10}, /* site-local, out of use */
    {"multicast", {0xff}, 8},
};

/* Prefixes behind which an IPv4 address stands that a gateway would reach for us. */
static const struct {
    uint8_t prefix[16];
    unsigned bits, at; /* where the four bytes are */
} embeddings[] = {
    {{0x00, 0x64, 0xff, 0x9b}, 96, 12}, /* NAT64 */
    {{0x20, 0x02}, 16, 2},              /* 6to4 */
};

static bool within(const uint8_t *address, const uint8_t *prefix, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(address, prefix, whole) != 0)
        return false;
    return rest == 0 || ((address[whole] ^ prefix[whole]) >> (8 - rest)) == 0;
}

static struct in6_addr mapped(const uint8_t *four)
{
    struct in6_addr out = {.s6_addr = {[10] = 0xff, [11] = 0xff}};
    memcpy(out.s6_addr + 12, four, 4);
    return out;
}

static bool unify(const struct sockaddr *address, struct in6_addr *out)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
        *out = mapped((const uint8_t *)&in->sin_addr);
        return true;
    }
    if (address->sa_family != AF_INET6)
        return false;
    *out = ((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    return true;
}

/* NULL: an address of the public Internet. */
static const char *kind_of(const struct in6_addr *address)
{
    const uint8_t *bytes = address->s6_addr;
    for (size_t i = 0; i < countof(embeddings); i++)
        if (within(bytes, embeddings[i].prefix, embeddings[i].bits)) {
            struct in6_addr inner = mapped(bytes + embeddings[i].at);
            return kind_of(&inner);
        }
    for (size_t i = 0; i < countof(ranges); i++)
        if (within(bytes, ranges[i].prefix, ranges[i].bits))
            return ranges[i].kind;
    return NULL;
}

static bool port_fits(const struct allow_rule *rule, uint16_t port)
{
    return rule->port ? rule->port == port : port == 80 || port == 443;
}

static bool listed(const struct allow *a, const struct in6_addr *address, uint16_t port)
{
    for (size_t i = 0; i < a->count; i++)
        if (a->rules[i].literal && port_fits(&a->rules[i], port) &&
            memcmp(&a->rules[i].address, address, sizeof *address) == 0)
            return true;
    return false;
}

bool allow_listed(const struct allow *a, const struct sockaddr *address)
{
    struct in6_addr unified;
    uint16_t port = address->sa_family == AF_INET
                        ? ((const struct sockaddr_in *)(const void *)address)->sin_port
                        : ((const struct sockaddr_in6 *)(const void *)address)->sin6_port;
    return unify(address, &unified) && listed(a, &unified, ntohs(port));
}

bool allow_address(const struct allow *a, const struct sockaddr *address, const char **kind)
{
    struct in6_addr unified;
    *kind = "unknown";
    if (!unify(address, &unified))
        return false;
    *kind = kind_of(&unified);
    return !*kind || allow_listed(a, address);
}

/* --- names */

bool allow_normalize(const char *host, char out[ALLOW_HOST_MOST + 1])
{
    size_t len = strlen(host);
    if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
        host++;
        len -= 2;
    } else if (len > 1 && host[len - 1] == '.') {
        len--;
    }
    if (len == 0 || len > ALLOW_HOST_MOST || host[len - 1] == '.')
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = (char)tolower((unsigned char)host[i]);
        bool dots = c == '.' && (i == 0 || host[i - 1] == '.');
        if ((!isalnum((unsigned char)c) && !strchr("-_.:", c)) || c == '\0' || dots)
            return false;
        out[i] = c;
    }
    out[len] = '\0';
    return true;
}

static bool literal_of(const char *host, struct in6_addr *out)
{
    uint8_t four[4];
    if (inet_pton(AF_INET, host, four) == 1) {
        *out = mapped(four);
        return true;
    }
    return inet_pton(AF_INET6, host, out) == 1;
}

bool allow_host(const struct allow *a, const char *host, uint16_t port)
{
    struct in6_addr address;
    if (literal_of(host, &address))
        return listed(a, &address, port);
    size_t len = strlen(host);
    for (size_t i = 0; i < a->count; i++) {
        const struct allow_rule *rule = &a->rules[i];
        size_t part = strlen(rule->host);
        if (rule->literal || !port_fits(rule, port) || part > len)
            continue;
        if (rule->suffix ? len > part && strcmp(host + len - part, rule->host) == 0
                         : strcmp(host, rule->host) == 0)
            return true;
    }
    return false;
}

/* Cuts ":8443" off; true: the rest is a host, *port is 0 where none was. */
static bool cut_port(char *text, uint16_t *port)
{
    char *colon = strrchr(text, ':'), *end;
    *port = 0;
    /* the colons of an address are inside of brackets, or it has no port */
    if (!colon || strchr(colon, ']') || (text[0] != '[' && strchr(text, ':') != colon))
        return true;
    long number = strtol(colon + 1, &end, 10);
    if (end == colon + 1 || *end || !isdigit((unsigned char)colon[1]) || number < 1 ||
        number > 65535)
        return false;
    *colon = '\0';
    *port = (uint16_t)number;
    return true;
}

static bool read_rule(const char *text, struct allow_rule *out)
{
    char host[ALLOW_HOST_MOST + 1];
    scoped(string) char *copy = xstrdup(text);
    *out = (struct allow_rule){.suffix = strncmp(text, "*.", 2) == 0};
    if (!cut_port(copy, &out->port) || !allow_normalize(copy + (out->suffix ? 2 : 0), host))
        return false;
    out->literal = literal_of(host, &out->address);
    if ((out->literal && out->suffix) || (!out->literal && strchr(host, ':')))
        return false;
    out->host = xasprintf("%s%s", out->suffix ? "." : "", host);
    return true;
}

bool allow_read(json_t *list, struct allow *out, struct err *e)
{
    *out = (struct allow){0};
    if (!json_is_array(list))
        return fail(e, 400, "allow: must be a list of hosts");
    if (json_array_size(list) > ALLOW_RULES_MOST)
        return fail(e, 400, "allow: has more than %d entries", ALLOW_RULES_MOST);
    size_t i;
    json_t *entry;
    json_array_foreach(list, i, entry)
    {
        const char *text = json_string_value(entry);
        bool whole = text && strlen(text) == json_string_length(entry);
        if (!whole || !read_rule(text, &out->rules[out->count])) {
            allow_free(out);
            return fail(e, 400,
                        "allow: \"%.80s\" is not a host, like \"pypi.org\", \"*.example.com:8443\" "
                        "or \"192.0.2.7\"",
                        text ? text : "");
        }
        out->count++;
    }
    return true;
}

void allow_free(struct allow *a)
{
    for (size_t i = 0; i < a->count; i++)
        free(a->rules[i].host);
    a->count = 0;
}
