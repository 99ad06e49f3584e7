/* The loop of the load programs: cheap, so that it is not the client that is measured. */
#include "tests/bench/load.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#define QUIET_MS 30000

void load_die(const char *what)
{
    fprintf(stderr, "%s: %s (%s)\n", program_invocation_short_name, what, strerror(errno));
    exit(1);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void load_send(const struct load_connection *c, const char *text, size_t len)
{
    if (send(c->fd, text, len, MSG_NOSIGNAL) != (ssize_t)len)
        load_die("cannot send");
}

/* Whether the whole answer is in. */
static bool is_whole(const struct load *load, struct load_connection *c)
{
    c->answer[c->len] = '\0';
    const char *end = strstr(c->answer, "\r\n\r\n");
    if (end == NULL)
        return false;
    if (strncmp(c->answer, "HTTP/1.1 200 ", 13) != 0)
        load_die("the status is not 200");
    const char *length = strcasestr(c->answer, "\r\ncontent-length:");
    if (length == NULL || length > end)
        load_die("the answer has no Content-Length");
    size_t whole = (size_t)(end + 4 - c->answer) + strtoul(length + 17, NULL, 10);
    if (c->len > whole)
        load_die("the answer is longer than its Content-Length");
    if (c->len == whole && load->check != NULL)
        load->check(end + 4);
    return c->len == whole;
}

/* Reads what is there; true when that completed an answer. */
static bool on_readable(const struct load *load, struct load_connection *c)
{
    ssize_t n = recv(c->fd, c->answer + c->len, LOAD_ANSWER_LIMIT_BYTES - c->len, 0);
    if (n <= 0)
        load_die("the server closed a connection, or answered too much");
    c->len += (size_t)n;
    if (!is_whole(load, c))
        return false;
    c->len = 0;
    return true;
}

unsigned long load_run(const struct load *load, struct load_connection *all, int count,
                       double seconds, double *took)
{
    int loop = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < count; i++) {
        struct epoll_event on = {.events = EPOLLIN, .data.ptr = &all[i]};
        if (epoll_ctl(loop, EPOLL_CTL_ADD, all[i].fd, &on) != 0)
            load_die("epoll_ctl");
        load->ask(&all[i]);
    }
    unsigned long answers = 0;
    double began = now_s();
    while ((*took = now_s() - began) < seconds) {
        struct epoll_event events[64];
        int n = epoll_wait(loop, events, 64, QUIET_MS);
        if (n == 0)
            load_die("the server answered nothing for 30 s");
        for (int i = 0; i < n; i++) {
            if (on_readable(load, events[i].data.ptr)) {
                answers++;
                load->ask(events[i].data.ptr);
            }
        }
    }
    return answers;
}
