/* followers: hundreds of readers of one execution, on one thread, who check every byte.
 *
 * Quick ones read what there is. Slow ones have small buffers, which they leave full, and take a
 * sip now and then until all others are done. Returning ones leave after a random number of bytes,
 * in the middle of an event too, and come back behind the last one that they have whole. The forms
 * of an answer are mixed. Anything that is missing, doubled or out of order ends the program with 1
 * and a sentence.
 *
 * usage: followers PORT TOKEN SANDBOX EXECUTION LINES QUICK SLOW RETURNING SEED
 * prints {"returns", "torn": of them in the middle of an event, "sips", "dry": of them without
 * anything to read, "bytes": that came, "cpu_ms": of this program}. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/soak/answer.h"

#define FOLLOWERS_LIMIT   4096
#define READ_BYTES        (128 * 1024)
#define SLOW_BUFFER_BYTES (16 * 1024)
#define SIP_BYTES         4096
#define SIP_MS            2000
#define STAY_BITS         23 /* at most so many bytes are read before one leaves */
#define PAUSE_MS          50 /* at most, until it is back */
#define TURN_MS           20
#define SILENCE_MS        (300 * 1000)

enum pace { QUICK, SLOW, RETURNING };

struct follower {
    int number;
    enum pace pace;
    int fd;          /* -1: it is away, or done */
    int64_t wake_ms; /* when it sips, or comes back; 0: it reads whatever comes */
    uint64_t stay_bytes;
    struct answer answer;
    struct printed_place place;
    bool done;
};

struct crowd {
    int port, loop;
    const char *token, *sandbox, *execution;
    uint64_t lines, random;
    struct follower *all;
    size_t count, left, slow_left;
    bool hurried; /* the slow ones read as the others do */
    uint64_t returns, torn, sips, dry, bytes;
};

static void die(const char *what)
{
    fprintf(stderr, "followers: %s (%s)\n", what, strerror(errno));
    exit(1);
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* xorshift64: the same seed repeats who leaves when. */
static uint64_t chance(struct crowd *c, uint64_t below)
{
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return c->random % below;
}

/* --- connections */

static int connect_to(const struct crowd *c, bool slow)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)c->port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1, small = SLOW_BUFFER_BYTES;
    if (fd < 0 || (slow && setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small) != 0) ||
        connect(fd, (struct sockaddr *)&to, sizeof to) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        die("cannot connect");
    return fd;
}

/* The client's frames are masked, with zeros. */
static void add_frame(struct buffer *out, const char *text)
{
    size_t len = strlen(text);
    const unsigned char head[] = {
        0x81, 0x80 | 126, (unsigned char)(len >> 8), (unsigned char)len, 0, 0, 0, 0};
    buffer_add(out, head, sizeof head);
    buffer_add_text(out, text);
}

static void add_request(const struct crowd *c, const struct follower *f, struct buffer *out)
{
    static const char *const paths[ANSWER_FORMS] = {
        [ANSWER_LINES] = "events", [ANSWER_EVENTS] = "events", [ANSWER_TEXT] = "output"};
    static const char *const accepts[ANSWER_FORMS] = {[ANSWER_LINES] = "application/x-ndjson",
                                                      [ANSWER_EVENTS] = "text/event-stream",
                                                      [ANSWER_TEXT] = "*/*"};
    enum answer_form form = f->answer.form;
    if (form == ANSWER_STREAM)
        buffer_printf(
            out, "GET /v1/stream HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                 "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: Zm9sbG93ZXJzZm9sbG93ZQ==\r\n");
    else
        buffer_printf(out, "GET /v1/sandboxes/%s/executions/%s/%s?after=%" PRIu64 " HTTP/1.1\r\n",
                      c->sandbox, c->execution, paths[form], f->place.events);
    if (form != ANSWER_STREAM)
        buffer_printf(out, "Accept: %s\r\n", accepts[form]);
    buffer_printf(out, "Host: 127.0.0.1:%d\r\nAuthorization: token %s\r\n\r\n", c->port, c->token);
    if (form != ANSWER_STREAM)
        return;
    scoped(buffer) struct buffer call = {0};
    buffer_printf(&call,
                  "{\"id\":\"1\",\"op\":\"subscribe\",\"sandbox\":\"%s\",\"execution\":\"%s\","
                  "\"after\":%" PRIu64 "}",
                  c->sandbox, c->execution, f->place.events);
    add_frame(out, buffer_text(&call));
}

static void watch(const struct crowd *c, struct follower *f)
{
    struct epoll_event on = {.events = EPOLLIN, .data.ptr = f};
    if (epoll_ctl(c->loop, EPOLL_CTL_ADD, f->fd, &on) != 0)
        die("epoll_ctl");
    f->wake_ms = 0;
}

static void come(struct crowd *c, struct follower *f)
{
    scoped(buffer) struct buffer request = {0};
    bool sips = f->pace == SLOW && !c->hurried;
    answer_free(&f->answer);
    f->answer = (struct answer){.form = f->answer.form};
    f->fd = connect_to(c, f->pace == SLOW);
    add_request(c, f, &request);
    if (send(f->fd, request.data, request.len, MSG_NOSIGNAL) != (ssize_t)request.len)
        die("cannot send");
    if (f->pace == RETURNING)
        f->stay_bytes = chance(c, UINT64_C(1) << (1 + chance(c, STAY_BITS)));
    if (sips)
        f->wake_ms = now_ms() + (int64_t)chance(c, SIP_MS);
    else
        watch(c, f);
}

/* Half of them end the connection with what they have not read: it is reset. */
static void leave(struct crowd *c, struct follower *f)
{
    struct linger at_once = {.l_onoff = 1};
    if (chance(c, 2))
        setsockopt(f->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(f->fd);
    f->fd = -1;
    f->wake_ms = now_ms() + (int64_t)chance(c, PAUSE_MS);
    c->returns++;
    c->torn += f->answer.part.len || f->answer.pieces.len;
}

/* --- reading */

__attribute__((noreturn)) static void lose(const struct follower *f, const char *why)
{
    static const char *const forms[ANSWER_FORMS] = {"NDJSON", "SSE", "the stream", "text"};
    static const char *const paces[] = {"quick", "slow", "returning"};
    fprintf(stderr,
            "followers: number %d (%s, %s) has %" PRIu64 " events and %" PRIu64 " characters: %s\n",
            f->number, paces[f->pace], forms[f->answer.form], f->place.events, f->place.at, why);
    exit(1);
}

/* Whether it has all; that must then be the whole. */
static bool has_all(const struct crowd *c, const struct follower *f)
{
    bool text = f->answer.form == ANSWER_TEXT, over = f->answer.state == STATE_OVER;
    if (text ? !over : !f->place.ended && !over)
        return false;
    if (!text && !f->place.ended)
        lose(f, "the answer is over without the last event");
    if (f->place.at != printed_length(c->lines, text ? PRINTED_RAW : PRINTED_JSON))
        lose(f, "that is all, and it is not what was printed");
    return true;
}

static void finish(struct crowd *c, struct follower *f)
{
    close(f->fd);
    f->fd = -1;
    f->done = true;
    f->wake_ms = 0;
    answer_free(&f->answer);
    c->left--;
    c->slow_left -= f->pace == SLOW;
}

/* False: there was nothing to read. */
static bool take_in(struct crowd *c, struct follower *f, size_t most)
{
    static char data[READ_BYTES];
    struct err e = {0};
    if (f->pace == RETURNING && f->stay_bytes < most)
        most = (size_t)f->stay_bytes;
    if (most == 0) {
        leave(c, f);
        return true;
    }
    ssize_t got = recv(f->fd, data, most, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (got <= 0)
        lose(f, got < 0 ? strerror(errno) : "the gateway closed the connection");
    c->bytes += (uint64_t)got;
    f->stay_bytes -= f->pace == RETURNING ? (uint64_t)got : 0;
    if (!answer_take(&f->answer, &f->place, (struct bytes){data, (size_t)got}, &e))
        lose(f, e.text);
    if (has_all(c, f))
        finish(c, f);
    return true;
}

static void sip(struct crowd *c, struct follower *f)
{
    c->sips++;
    c->dry += !take_in(c, f, SIP_BYTES);
    if (!f->done)
        f->wake_ms = now_ms() + SIP_MS / 2 + (int64_t)chance(c, SIP_MS);
}

/* Those whose time has come; and the slow ones, when nobody else is there any more. */
static void wake(struct crowd *c)
{
    bool hurry = !c->hurried && c->left == c->slow_left;
    int64_t now = now_ms();
    c->hurried = c->hurried || hurry;
    for (size_t i = 0; i < c->count; i++) {
        struct follower *f = &c->all[i];
        if (f->done)
            continue;
        if (hurry && f->pace == SLOW)
            watch(c, f);
        else if (f->wake_ms && f->wake_ms <= now && f->fd < 0)
            come(c, f);
        else if (f->wake_ms && f->wake_ms <= now)
            sip(c, f);
    }
}

static void run(struct crowd *c)
{
    int64_t heard_ms = now_ms(), woken_ms = 0;
    while (c->left) {
        struct epoll_event events[64];
        int n = epoll_wait(c->loop, events, 64, TURN_MS);
        int64_t now = now_ms();
        for (int i = 0; i < n; i++)
            take_in(c, events[i].data.ptr, READ_BYTES);
        if (n > 0)
            heard_ms = now;
        if (now - heard_ms > SILENCE_MS)
            die("nobody was sent anything for long");
        if (now - woken_ms >= TURN_MS) {
            wake(c);
            woken_ms = now;
        }
    }
}

static void gather(struct crowd *c, const size_t counts[3])
{
    for (int pace = QUICK; pace <= RETURNING; pace++)
        for (size_t i = 0; i < counts[pace]; i++) {
            struct follower *f = &c->all[c->count];
            f->number = (int)c->count++;
            f->pace = (enum pace)pace;
            f->answer.form = i % (pace == RETURNING ? ANSWER_TEXT : ANSWER_FORMS);
            come(c, f);
        }
    c->left = c->count;
    c->slow_left = counts[SLOW];
}

static int64_t cpu_ms(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000 +
           (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000;
}

int main(int argc, char **argv)
{
    if (argc != 10) {
        fprintf(stderr, "usage: followers PORT TOKEN SANDBOX EXECUTION LINES QUICK SLOW RETURNING "
                        "SEED\n");
        return 2;
    }
    size_t counts[] = {strtoul(argv[6], NULL, 10), strtoul(argv[7], NULL, 10),
                       strtoul(argv[8], NULL, 10)};
    struct crowd c = {.port = atoi(argv[1]),
                      .token = argv[2],
                      .sandbox = argv[3],
                      .execution = argv[4],
                      .lines = strtoull(argv[5], NULL, 10),
                      .random = strtoull(argv[9], NULL, 10) | 1};
    size_t all = counts[QUICK] + counts[SLOW] + counts[RETURNING];
    if (all == 0 || all > FOLLOWERS_LIMIT) {
        fprintf(stderr, "followers: 1 to %d of them\n", FOLLOWERS_LIMIT);
        return 2;
    }
    c.loop = epoll_create1(EPOLL_CLOEXEC);
    c.all = xcalloc(all, sizeof *c.all);
    gather(&c, counts);
    run(&c);
    printf("{\"returns\": %" PRIu64 ", \"torn\": %" PRIu64 ", \"sips\": %" PRIu64
           ", \"dry\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"cpu_ms\": %" PRId64 "}\n",
           c.returns, c.torn, c.sips, c.dry, c.bytes, cpu_ms());
    free(c.all);
    close(c.loop);
    return 0;
}
