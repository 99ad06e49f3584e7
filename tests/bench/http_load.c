/* http_load: GETs one path over N keep-alive connections for a while and counts the answers.
 *
 * The benchmarks run it against every server, so that the client is the same and costs little.
 *
 * usage: http_load PORT PATH TOKEN CONNECTIONS SECONDS; prints "REQUESTS SECONDS". */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "tests/bench/load.h"

#define CONNECTIONS_LIMIT 1024

struct request {
    char text[1024];
    size_t len;
};

static int connect_to(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        load_die("cannot connect");
    return fd;
}

static void ask(struct load_connection *c)
{
    const struct request *r = c->user;
    load_send(c, r->text, r->len);
}

int main(int argc, char **argv)
{
    static const struct load load = {.ask = ask};
    int count = argc == 6 ? atoi(argv[4]) : 0;
    if (count < 1 || count > CONNECTIONS_LIMIT) {
        fprintf(stderr, "usage: http_load PORT PATH TOKEN CONNECTIONS SECONDS\n");
        return 2;
    }
    struct request r;
    int len = snprintf(r.text, sizeof r.text,
                       "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nAuthorization: token %s\r\n\r\n",
                       argv[2], argv[1], argv[3]);
    if (len < 0 || (size_t)len >= sizeof r.text)
        load_die("the request is too long");
    r.len = (size_t)len;
    struct load_connection *all = calloc((size_t)count, sizeof *all);
    if (all == NULL)
        load_die("no memory");
    for (int i = 0; i < count; i++) {
        all[i].fd = connect_to(atoi(argv[1]));
        all[i].user = &r;
    }
    double took;
    unsigned long answers = load_run(&load, all, count, atof(argv[5]), &took);
    printf("%lu %.6f\n", answers, took);
    free(all);
    return 0;
}
