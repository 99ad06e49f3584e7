/* http_load: GETs one path over N keep-alive connections for a while and counts the answers.
 *
 * The benchmarks run it against every server, so that the client is the same and costs little. Each
 * connection has one request under way. An answer counts when its status is 200 and its body is as
 * long as its Content-Length; anything else ends the program with 1, for an error is no
 * measurement.
 *
 * usage: http_load PORT PATH TOKEN CONNECTIONS SECONDS; prints "REQUESTS SECONDS". */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_LIMIT  1024
#define ANSWER_LIMIT_BYTES 65536

struct connection {
    int fd;
    size_t len; /* bytes of the answer so far */
    char answer[ANSWER_LIMIT_BYTES + 1];
};

struct request {
    char text[1024];
    size_t len;
};

static void die(const char *what)
{
    fprintf(stderr, "http_load: %s (%s)\n", what, strerror(errno));
    exit(1);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int connect_to(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        die("cannot connect");
    return fd;
}

static void ask(const struct connection *c, const struct request *r)
{
    if (send(c->fd, r->text, r->len, MSG_NOSIGNAL) != (ssize_t)r->len)
        die("cannot send");
}

/* Whether the whole answer is in. */
static bool is_whole(struct connection *c)
{
    c->answer[c->len] = '\0';
    const char *end = strstr(c->answer, "\r\n\r\n");
    if (end == NULL)
        return false;
    if (strncmp(c->answer, "HTTP/1.1 200 ", 13) != 0)
        die("the status is not 200");
    const char *length = strcasestr(c->answer, "\r\ncontent-length:");
    if (length == NULL || length > end)
        die("the answer has no Content-Length");
    size_t whole = (size_t)(end + 4 - c->answer) + strtoul(length + 17, NULL, 10);
    if (c->len > whole)
        die("the answer is longer than its Content-Length");
    return c->len == whole;
}

/* Reads what is there; true when that completed an answer. */
static bool on_readable(struct connection *c)
{
    ssize_t n = recv(c->fd, c->answer + c->len, ANSWER_LIMIT_BYTES - c->len, 0);
    if (n <= 0)
        die("the server closed a connection, or answered too much");
    c->len += (size_t)n;
    if (!is_whole(c))
        return false;
    c->len = 0;
    return true;
}

static void run(struct connection *all, int count, const struct request *r, double seconds)
{
    int loop = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < count; i++) {
        struct epoll_event on = {.events = EPOLLIN, .data.ptr = &all[i]};
        if (epoll_ctl(loop, EPOLL_CTL_ADD, all[i].fd, &on) != 0)
            die("epoll_ctl");
        ask(&all[i], r);
    }
    unsigned long answers = 0;
    double began = now_s(), took;
    while ((took = now_s() - began) < seconds) {
        struct epoll_event events[64];
        int n = epoll_wait(loop, events, 64, 5000);
        if (n == 0)
            die("the server answered nothing for 5 s");
        for (int i = 0; i < n; i++) {
            if (on_readable(events[i].data.ptr)) {
                answers++;
                ask(events[i].data.ptr, r);
            }
        }
    }
    printf("%lu %.6f\n", answers, took);
}

int main(int argc, char **argv)
{
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
        die("the request is too long");
    r.len = (size_t)len;
    struct connection *all = calloc((size_t)count, sizeof *all);
    if (all == NULL)
        die("no memory");
    for (int i = 0; i < count; i++)
        all[i].fd = connect_to(atoi(argv[1]));
    run(all, count, &r, atof(argv[5]));
    free(all);
    return 0;
}
