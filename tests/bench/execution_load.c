/* execution_load: runs 1+1 by POST in N sandboxes of one gateway, one at a time in each, for a
 * while, and counts those that gave 2.
 *
 * usage: execution_load same|new SOCKET TOKEN SECONDS SANDBOX...; prints "EXECUTIONS SECONDS".
 * same: the same code each time; new: one that is told from all others by its comment. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/bench/load.h"

#define SANDBOXES_LIMIT 256
#define MARK_DIGITS     8
#define BODY            "{\"code\": \"1+1  # 00000000\"}"

struct request {
    char text[1024];
    size_t len;
    char *mark; /* the digits in text; NULL: they stay */
    unsigned long sent;
};

static int connect_to(const char *path)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof to.sun_path)
        load_die("the path is too long");
    memcpy(to.sun_path, path, strlen(path));
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
        load_die("cannot connect");
    return fd;
}

static void ask(struct load_connection *c)
{
    struct request *r = c->user;
    char digits[24];
    if (r->mark) {
        snprintf(digits, sizeof digits, "%0*lu", MARK_DIGITS, ++r->sent);
        memcpy(r->mark, digits, MARK_DIGITS);
    }
    load_send(c, r->text, r->len);
}

static void check(const char *body)
{
    if (!strstr(body, "\"status\":\"ok\"") || !strstr(body, "\"text\":\"2\""))
        load_die(body);
}

static void fill(struct request *r, const char *token, const char *sandbox, bool is_new)
{
    int len = snprintf(r->text, sizeof r->text,
                       "POST /v1/sandboxes/%s/executions HTTP/1.1\r\nHost: localhost\r\n"
                       "Authorization: token %s\r\nContent-Length: %zu\r\n\r\n" BODY,
                       sandbox, token, strlen(BODY));
    if (len < 0 || (size_t)len >= sizeof r->text)
        load_die("the request is too long");
    r->len = (size_t)len;
    r->mark = is_new ? strstr(r->text, "# 0") + 2 : NULL;
}

int main(int argc, char **argv)
{
    static const struct load load = {.ask = ask, .check = check};
    int count = argc - 5;
    if (count < 1 || count > SANDBOXES_LIMIT) {
        fprintf(stderr, "usage: execution_load same|new SOCKET TOKEN SECONDS SANDBOX...\n");
        return 2;
    }
    struct request *requests = calloc((size_t)count, sizeof *requests);
    struct load_connection *all = calloc((size_t)count, sizeof *all);
    if (requests == NULL || all == NULL)
        load_die("no memory");
    for (int i = 0; i < count; i++) {
        fill(&requests[i], argv[3], argv[5 + i], strcmp(argv[1], "new") == 0);
        all[i].user = &requests[i];
        all[i].fd = connect_to(argv[2]);
    }
    double took;
    unsigned long done = load_run(&load, all, count, atof(argv[4]), &took);
    printf("%lu %.6f\n", done, took);
    free(all);
    free(requests);
    return 0;
}
