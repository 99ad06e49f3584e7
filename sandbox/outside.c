/* What the machine has: default routes, addresses of its own, name servers. Its own addresses are
 * the routes of type "local", so that what is routed to it without an address is seen, too. */
#include "sandbox/outside.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <unistd.h>

#include "protocol/memory.h"

#define RESOLV_CONF       "/etc/resolv.conf"
#define RESOLV_CONF_BYTES 16384
#define TRIES             5

struct look {
    struct outside *out;
    bool address6; /* one that is neither loopback nor link-local */
    bool too_many;
};

static bool is_same(const struct prefix *a, const struct prefix *b)
{
    return a->family == b->family && a->len == b->len &&
           memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static bool has(const struct outside *o, const struct prefix *p)
{
    for (size_t i = 0; i < o->own_count; i++)
        if (is_same(&o->own[i], p))
            return true;
    return false;
}

static void add_own(struct look *l, const struct prefix *p)
{
    struct outside *o = l->out;
    if (has(o, p))
        return;
    if (o->own_count == OUTSIDE_OWN_MOST) {
        l->too_many = true;
        return;
    }
    o->own = xrealloc(o->own, (o->own_count + 1) * sizeof *o->own);
    o->own[o->own_count++] = *p;
}

static void on_route(void *data, const struct route *route)
{
    struct look *l = data;
    const uint8_t *address = route->to.bytes;
    bool v6 = route->to.family == AF_INET6;
    if (route->type == RTN_UNICAST && route->to.len == 0) {
        l->out->v4 |= !v6;
        l->out->v6 |= v6;
    }
    if (route->type != RTN_LOCAL && route->type != RTN_ANYCAST)
        return;
    add_own(l, &route->to);
    bool link_local = address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
    l->address6 |= v6 && route->type == RTN_LOCAL && address[0] != 0 && !link_local;
}

static int look(struct look *l)
{
    int fd = netlink_open(0);
    if (fd < 0)
        return -1;
    int result = netlink_routes(fd, on_route, l);
    int saved = errno;
    close(fd);
    errno = saved;
    return result;
}

static void keep_resolver(const char *word, size_t len, struct outside *out)
{
    char text[INET6_ADDRSTRLEN];
    struct prefix address;
    if (len >= sizeof text)
        return;
    memcpy(text, word, len);
    text[len] = '\0';
    if (strchr(text, '/') || !prefix_read(text, &address))
        return;
    char *place = address.family == AF_INET ? out->resolver4 : out->resolver6;
    size_t room = address.family == AF_INET ? sizeof out->resolver4 : sizeof out->resolver6;
    if (!*place)
        inet_ntop(address.family, address.bytes, place, (socklen_t)room);
}

void outside_read_resolvers(const char *text, struct outside *out)
{
    static const char keyword[] = "nameserver";
    out->resolver4[0] = out->resolver6[0] = '\0';
    while (*text) {
        size_t line = strcspn(text, "\n");
        if (strncmp(text, keyword, sizeof keyword - 1) == 0) {
            const char *word = text + sizeof keyword - 1;
            size_t gap = strspn(word, " \t");
            if (gap > 0)
                keep_resolver(word + gap, strcspn(word + gap, " \t\r\n#;"), out);
        }
        text += line + (text[line] == '\n');
    }
}

static void read_resolvers(struct outside *out)
{
    char text[RESOLV_CONF_BYTES];
    int fd = open(RESOLV_CONF, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t len = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[len > 0 ? len : 0] = '\0';
    outside_read_resolvers(text, out);
}

bool outside_read(struct outside *out, struct err *e)
{
    struct look l;
    int result = -1;
    *out = (struct outside){0};
    /* what changes during the look is looked at again */
    for (int tries = 0; tries < TRIES && result != 0; tries++) {
        outside_free(out);
        l = (struct look){.out = out};
        result = look(&l);
        if (result != 0 && errno != EAGAIN)
            break;
    }
    bool good = result == 0 || fail_errno(e, 503, "network: cannot read this machine's routes");
    if (good && l.too_many)
        good = fail(e, 503, "network: this machine has more than %d addresses", OUTSIDE_OWN_MOST);
    if (!good) {
        outside_free(out);
        return false;
    }
    out->v6 = out->v6 && l.address6;
    read_resolvers(out);
    return true;
}

void outside_free(struct outside *o)
{
    free(o->own);
    *o = (struct outside){0};
}

bool outside_same_way(const struct outside *a, const struct outside *b)
{
    return a->v4 == b->v4 && a->v6 == b->v6 && strcmp(a->resolver4, b->resolver4) == 0 &&
           strcmp(a->resolver6, b->resolver6) == 0;
}

bool outside_has_own(const struct outside *a, const struct outside *b)
{
    for (size_t i = 0; i < b->own_count; i++)
        if (!has(a, &b->own[i]))
            return false;
    return true;
}
