/* `warmcell port`: a server inside a sandbox, at a port of this machine's loopback. Browsers and
 * programs ask there without a token; it is added on the way, and neither shown nor in any
 * argument.
 *
 * Whoever may use this machine's loopback may ask, too, as with any such port; pages of other
 * origins, and names that lead here from elsewhere, may not (port_head.c). */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/cli/cli.h"
#include "gateway/cli/follow.h"
#include "gateway/cli/model.h"
#include "gateway/cli/output.h"
#include "gateway/cli/port_link.h"
#include "gateway/cli/sandbox.h"
#include "protocol/json.h"

#define LINKS_LIMIT 128
#define LOOK_MS     1000 /* after a link, or for heads that are late */
#define PORT_MOST   65535

struct port_options {
    struct cli_options common;
    int64_t listen; /* 0: the same number, or else any */
};

static const struct option port_rows[] = {
    CLI_ROWS,
    {"listen", OPTION_INT, offsetof(struct port_options, listen), "0", .high = PORT_MOST,
     .help = "the port here; 0 is the same number where it is free, else another one",
     .flag_only = true},
};

struct forward {
    struct port_way way;
    const struct target *target;
    int listener, signals;
    bool full; /* no descriptor was left for a link: none is waited for until LOOK_MS are over */
    struct port_link *links[LINKS_LIMIT]; /* owned */
    size_t count;
};

static bool read_port(const char *word, int *port, struct err *e)
{
    char *end;
    long number = strtol(word, &end, 10);
    if (*word < '1' || *word > '9' || *end || number > PORT_MOST)
        return fail(e, CLI_USAGE, "%.40s is no port: 1 to %d", word, PORT_MOST);
    *port = (int)number;
    return true;
}

/* The socket of loopback, and the port that it got; -1 with errno. */
static int listen_at(int wanted, int *port)
{
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons((uint16_t)wanted)};
    socklen_t len = sizeof place;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        bind(fd, (struct sockaddr *)&place, sizeof place) == 0 && listen(fd, LINKS_LIMIT) == 0 &&
        getsockname(fd, (struct sockaddr *)&place, &len) == 0) {
        *port = ntohs(place.sin_port);
        return fd;
    }
    int why = errno;
    if (fd >= 0)
        close(fd);
    errno = why;
    return -1;
}

static bool listen_local(struct forward *f, int64_t wanted, int inside, struct err *e)
{
    f->listener = listen_at(wanted ? (int)wanted : inside, &f->way.local_port);
    if (f->listener < 0 && !wanted && (errno == EADDRINUSE || errno == EACCES))
        f->listener = listen_at(0, &f->way.local_port);
    return f->listener >= 0 ||
           fail_errno(e, CLI_FAILED, "port %d of 127.0.0.1 cannot be listened at",
                      wanted ? (int)wanted : inside);
}

static void accept_links(struct forward *f)
{
    int fd = 0;
    while (f->count < LINKS_LIMIT && (fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        f->links[f->count++] = port_link_new(fd, &f->way, f->target);
    f->full = fd < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED;
}

/* -1: nothing is late until something comes. */
static int patience_ms(const struct forward *f)
{
    bool late = f->full;
    for (size_t i = 0; i < f->count && !late; i++)
        late = port_link_in_head(f->links[i]);
    return late ? LOOK_MS : -1;
}

static void turn_links(struct forward *f, const struct pollfd *ready, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        struct err e = {0};
        struct port_link *l = f->links[i];
        bool goes_on = port_link_turn(l, &ready[2 * i], &e);
        if (e.status)
            output_note("%s", e.text);
        if (goes_on)
            f->links[kept++] = l;
        else
            port_link_free(l);
    }
    f->count = kept;
}

/* Until one of the signals comes. */
static bool serve(struct forward *f, struct err *e)
{
    enum { SIGNALS, LISTENER, LINKS };
    for (;;) {
        struct pollfd polled[LINKS + 2 * LINKS_LIMIT] = {
            [SIGNALS] = {.fd = f->signals, .events = POLLIN},
            [LISTENER] = {.fd = f->count < LINKS_LIMIT && !f->full ? f->listener : -1,
                          .events = POLLIN},
        };
        for (size_t i = 0; i < f->count; i++)
            port_link_wants(f->links[i], &polled[LINKS + 2 * i]);
        if (poll(polled, LINKS + 2 * f->count, patience_ms(f)) < 0 && errno != EINTR)
            return fail_errno(e, CLI_FAILED, "poll");
        if (polled[SIGNALS].revents)
            return true;
        turn_links(f, &polled[LINKS], f->count);
        accept_links(f);
    }
}

static void tell(const struct cli *c, const struct forward *f, const char *id, int inside)
{
    scoped(string) char *url = xasprintf("http://127.0.0.1:%d/", f->way.local_port);
    if (c->json) {
        scoped(json) json_t *said = json_pack("{s:s, s:i, s:i, s:s}", "sandbox", id, "port", inside,
                                              "listen", f->way.local_port, "url", url);
        model_print(said);
    } else {
        printf("%s\n", url);
    }
    fflush(stdout);
}

/* How the gateway is called for this port: by an origin of its own, where it has one and knows who
 * asks by a token; else by its path. Both are given. */
static bool find_way(const struct cli *c, const char *id, int inside, char **host, char **prefix,
                     struct err *e)
{
    const char *origin = NULL;
    scoped(string) char *path = xasprintf("/v1/sandboxes/%s/ports", id);
    scoped(json) json_t *body = json_pack("{s:i}", "port", inside);
    scoped(json) json_t *answer = call_json(c->target, "POST", path, body, e);
    if (!answer || !field_str(answer, "origin", OPTIONAL, &origin, e))
        return false;
    const char *authority = origin && *c->target->token ? strstr(origin, "://") : NULL;
    *host = xstrdup(authority ? authority + 3 : c->target->authority);
    *prefix = authority ? xstrdup("") : xasprintf("%s%s/%d", c->target->base_url, path, inside);
    return true;
}

static bool port_run(struct cli *c, struct err *e)
{
    const struct port_options *o = c->options;
    char id[SANDBOX_ID_TEXT];
    int inside = 0;
    scoped(string) char *host = NULL, *prefix = NULL;
    struct forward f = {.target = c->target, .listener = -1, .signals = -1};
    if (!read_port(c->words[1], &inside, e) || !cli_sandbox_find(c->target, c->words[0], id, e) ||
        !find_way(c, id, inside, &host, &prefix, e))
        return false;
    f.way.host = host;
    f.way.prefix = prefix;
    f.way.token = c->target->token;
    f.signals = follow_signals();
    bool good = listen_local(&f, o->listen, inside, e);
    if (good) {
        tell(c, &f, id, inside);
        good = serve(&f, e);
        close(f.listener);
    }
    for (size_t i = 0; i < f.count; i++)
        port_link_free(f.links[i]);
    close(f.signals);
    return good;
}

const struct verb cli_port = {
    .name = "port",
    .words = "SANDBOX PORT",
    .help = "have a port of 127.0.0.1 lead to a server that listens in a sandbox, print its URL, "
            "and go on until Ctrl-C; whoever is on this machine may use it meanwhile",
    .options = port_rows,
    .option_count = countof(port_rows),
    .options_size = sizeof(struct port_options),
    .min_words = 2,
    .max_words = 2,
    .run = port_run,
};
