/* first_results: creates N kernels or sandboxes at once, runs a cell in each, and says when.
 *
 * One thread and one epoll, so that the client costs little and is the same for every server. Each
 * of the N has a connection of its own for the create; when its 201 is there it opens a WebSocket
 * to its kernel (v1 framing), executes the code and waits for result, reply and idle. Anything else
 * ends the program with 1, for an error is no measurement.
 *
 * usage: first_results PORT TOKEN N PATH BODY CODE
 * PATH is /api/kernels or /v1/sandboxes; CODE must give 2. Prints a line for each, in the order
 * asked: "ID CREATED_MS ANSWERED_MS", both from the moment before the first request left. */
#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "protocol/framing.h"

#define COUNT_LIMIT   1024
#define SILENCE_MS    60000
#define READ_BYTES    65536
#define LENGTH_HEADER "\r\ncontent-length:"

enum stage { CREATING, UPGRADING, RUNNING, DONE };

struct one {
    enum stage stage;
    int number;
    int fd;
    struct buffer in;
    char *id;     /* of what was created */
    char *kernel; /* to connect to */
    char msg_id[32];
    bool result, reply, idle;
    double created_ms, answered_ms;
};

struct job {
    int port;
    const char *token, *path, *body, *code;
    int loop;
    double began_ms;
    int left;
};

static void die(const char *what)
{
    fprintf(stderr, "first_results: %s (%s)\n", what, strerror(errno));
    exit(1);
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void connect_one(const struct job *job, struct one *o)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)job->port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = o};
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        epoll_ctl(job->loop, EPOLL_CTL_ADD, fd, &event) != 0)
        die("cannot connect");
    o->fd = fd;
}

static void send_all(const struct one *o, const struct buffer *text)
{
    if (send(o->fd, text->data, text->len, MSG_NOSIGNAL) != (ssize_t)text->len)
        die("cannot send");
}

static void ask_create(const struct job *job, const struct one *o)
{
    __attribute__((cleanup(buffer_scoped))) struct buffer text = {0};
    buffer_printf(&text,
                  "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: token %s\r\n"
                  "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                  job->path, job->port, job->token, strlen(job->body), job->body);
    send_all(o, &text);
}

static void ask_upgrade(const struct job *job, const struct one *o)
{
    __attribute__((cleanup(buffer_scoped))) struct buffer text = {0};
    buffer_printf(&text,
                  "GET /api/kernels/%s/channels?session_id=bench-%d HTTP/1.1\r\n"
                  "Host: 127.0.0.1:%d\r\nAuthorization: token %s\r\nConnection: Upgrade\r\n"
                  "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                  "Sec-WebSocket-Key: d2FybWNlbGwgYmVuY2ghIQ==\r\n"
                  "Sec-WebSocket-Protocol: " FRAMING_V1_NAME "\r\n\r\n",
                  o->kernel, o->number, job->port, job->token);
    send_all(o, &text);
}

static void ask_execute(const struct job *job, struct one *o)
{
    __attribute__((cleanup(buffer_scoped))) struct buffer frame = {0}, text = {0}, header = {0};
    snprintf(o->msg_id, sizeof o->msg_id, "first-result-%08d", o->number);
    buffer_printf(&header,
                  "{\"msg_id\":\"%s\",\"session\":\"bench-%d\",\"username\":\"bench\",\"date\":"
                  "\"2026-01-01T00:00:00.000000Z\",\"msg_type\":\"execute_request\","
                  "\"version\":\"5.4\"}",
                  o->msg_id, o->number);
    json_t *content =
        json_pack("{s:s, s:b, s:b, s:{}, s:b, s:b}", "code", job->code, "silent", 0,
                  "store_history", 1, "user_expressions", "allow_stdin", 0, "stop_on_error", 1);
    char *dumped = json_dumps(content, JSON_COMPACT);
    json_decref(content);
    struct message m = {
        .channel = CHANNEL_SHELL, .header = buffer_view(&header), .content = bytes_of(dumped)};
    m = message_completed(&m);
    framing_v1_encode(&m, &frame);
    free(dumped);
    /* masked with zeros: a legal key */
    unsigned char head[] = {
        0x82, 0x80 | 126, (unsigned char)(frame.len >> 8), (unsigned char)frame.len, 0, 0, 0, 0};
    if (frame.len < 126 || frame.len > 65535)
        die("the code is too long");
    buffer_add(&text, head, sizeof head);
    buffer_add_bytes(&text, buffer_view(&frame));
    send_all(o, &text);
}

/* The body of an answer of this status, when the whole of it is in; it is then taken off. */
static bool take_answer(struct one *o, const char *status, struct buffer *body)
{
    const char *text = buffer_text(&o->in), *end = strstr(text, "\r\n\r\n");
    if (!end)
        return false;
    if (strncmp(text + strlen("HTTP/1.1 "), status, 3) != 0) {
        fprintf(stderr, "first_results: not %s but: %.300s\n", status, text);
        exit(1);
    }
    const char *length = strcasestr(text, LENGTH_HEADER);
    size_t head = (size_t)(end + 4 - text);
    size_t size = length && length < end ? strtoul(length + strlen(LENGTH_HEADER), NULL, 10) : 0;
    if (o->in.len < head + size)
        return false;
    buffer_add(body, o->in.data + head, size);
    buffer_drop(&o->in, head + size);
    return true;
}

static void on_create(const struct job *job, struct one *o)
{
    __attribute__((cleanup(buffer_scoped))) struct buffer body = {0};
    if (!take_answer(o, "201", &body))
        return;
    o->created_ms = now_ms() - job->began_ms;
    json_t *model = json_loadb(body.data, body.len, 0, NULL);
    json_t *context = json_array_get(json_object_get(model, "contexts"), 0);
    const char *id = json_string_value(json_object_get(model, "id"));
    const char *kernel = context ? json_string_value(json_object_get(context, "id")) : id;
    if (!id || !kernel)
        die("the 201 has no id");
    o->id = xstrdup(id);
    o->kernel = xstrdup(kernel);
    json_decref(model);
    close(o->fd);
    buffer_clear(&o->in);
    connect_one(job, o);
    ask_upgrade(job, o);
    o->stage = UPGRADING;
}

static void on_upgrade(const struct job *job, struct one *o)
{
    __attribute__((cleanup(buffer_scoped))) struct buffer body = {0};
    if (!take_answer(o, "101", &body))
        return;
    ask_execute(job, o);
    o->stage = RUNNING;
}

static void on_message(struct job *job, struct one *o, struct bytes payload)
{
    __attribute__((cleanup(framed_scoped))) struct framed framed = {0};
    struct err e = {0};
    if (!framing_v1_decode(payload, &framed, &e))
        die(e.text);
    const struct message *m = &framed.message;
    if (!memmem(m->parent.data, m->parent.len, o->msg_id, strlen(o->msg_id)))
        return;
    if (memmem(m->header.data, m->header.len, "\"execute_result\"", 16))
        o->result = memmem(m->content.data, m->content.len, "\"2\"", 3) != NULL;
    else if (memmem(m->header.data, m->header.len, "\"execute_reply\"", 15))
        o->reply = memmem(m->content.data, m->content.len, "\"ok\"", 4) != NULL;
    else if (memmem(m->header.data, m->header.len, "\"error\"", 7))
        die("the code failed");
    else if (memmem(m->header.data, m->header.len, "\"status\"", 8))
        o->idle = memmem(m->content.data, m->content.len, "\"idle\"", 6) != NULL;
    if (o->result && o->reply && o->idle) {
        o->answered_ms = now_ms() - job->began_ms;
        o->stage = DONE;
        close(o->fd);
        job->left--;
    }
}

/* Takes one WebSocket frame off; false: it is not whole yet. */
static bool take_frame(struct job *job, struct one *o)
{
    const unsigned char *data = (const unsigned char *)o->in.data;
    size_t at = 2, size;
    if (o->in.len < 2)
        return false;
    size = data[1] & 127;
    if (size == 127)
        die("a frame is too long");
    if (size == 126) {
        if (o->in.len < 4)
            return false;
        size = (size_t)data[2] << 8 | data[3];
        at = 4;
    }
    if (o->in.len < at + size)
        return false;
    if (data[0] == 0x82)
        on_message(job, o, (struct bytes){o->in.data + at, size});
    else if ((data[0] & 15) == 8 || !(data[0] & 128))
        die("the server closed the WebSocket, or fragments messages");
    if (o->stage == RUNNING)
        buffer_drop(&o->in, at + size);
    return o->stage == RUNNING;
}

static void on_readable(struct job *job, struct one *o)
{
    ssize_t n = recv(o->fd, buffer_reserve(&o->in, READ_BYTES), READ_BYTES, 0);
    if (n <= 0)
        die("the server closed a connection");
    o->in.len += (size_t)n;
    int on = 1; /* a server that leaves Nagle's algorithm on shows its own speed, not 40 ms */
    setsockopt(o->fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
    if (o->stage == CREATING)
        on_create(job, o);
    else if (o->stage == UPGRADING)
        on_upgrade(job, o);
    if (o->stage == RUNNING)
        while (take_frame(job, o))
            ;
}

static void run(struct job *job, struct one *all, int count)
{
    job->loop = epoll_create1(EPOLL_CLOEXEC);
    job->left = count;
    for (int i = 0; i < count; i++) {
        all[i].number = i;
        connect_one(job, &all[i]);
    }
    job->began_ms = now_ms();
    for (int i = 0; i < count; i++)
        ask_create(job, &all[i]);
    while (job->left > 0) {
        struct epoll_event events[64];
        int n = epoll_wait(job->loop, events, 64, SILENCE_MS);
        if (n == 0)
            die("the server was silent for a minute");
        for (int i = 0; i < n; i++)
            on_readable(job, events[i].data.ptr);
    }
}

int main(int argc, char **argv)
{
    int count = argc == 7 ? atoi(argv[3]) : 0;
    if (count < 1 || count > COUNT_LIMIT) {
        fprintf(stderr, "usage: first_results PORT TOKEN N PATH BODY CODE\n");
        return 2;
    }
    struct job job = {
        .port = atoi(argv[1]), .token = argv[2], .path = argv[4], .body = argv[5], .code = argv[6]};
    struct one *all = xcalloc((size_t)count, sizeof *all);
    run(&job, all, count);
    for (int i = 0; i < count; i++)
        printf("%s %.3f %.3f\n", all[i].id, all[i].created_ms, all[i].answered_ms);
    return 0;
}
