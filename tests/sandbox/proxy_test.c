/* The keeper's side of the proxy, with the real program beside: a network namespace of the test's
 * own that has nothing but loopback reaches a listener of the test's own outside, through the proxy
 * alone. */
#include "tests/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/json.h"
#include "sandbox/proxy.h"

static void test_network_values(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int status; /* 0: taken */
        enum network network;
    } rows[] = {
        {"null", 0, NETWORK_NONE},
        {"\"none\"", 0, NETWORK_NONE},
        {"{\"allow\": [\"pypi.org\"]}", 0, NETWORK_ALLOW},
        {"{\"allow\": []}", 0, NETWORK_ALLOW},
        {"\"full\"", 0, NETWORK_FULL},
        {"\"host\"", 400, NETWORK_NONE},
        {"true", 400, NETWORK_NONE},
        {"[\"pypi.org\"]", 400, NETWORK_NONE},
        {"{}", 400, NETWORK_NONE},
        {"{\"allow\": [\"a b\"]}", 400, NETWORK_NONE},
        {"{\"allow\": [], \"deny\": []}", 400, NETWORK_NONE},
    };
    for (size_t i = 0; i < countof(rows); i++) {
        scoped(json) json_t *value = json_loads(rows[i].text, JSON_DECODE_ANY, NULL);
        enum network network = NETWORK_ALLOW;
        struct err e = {0};
        assert_int_equal(network_read(value, &network, &e), rows[i].status == 0);
        assert_int_equal(e.status, rows[i].status);
        if (rows[i].status == 0)
            assert_int_equal(network, rows[i].network);
    }
    enum network network;
    assert_true(network_read(NULL, &network, NULL));
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        _exit(90);
    close(fd);
}

/* A process in a user and a network namespace of its own; it does `act` there when told, and its
 * namespaces are given at the places of struct boundary. */
static pid_t sandbox(int namespaces[WIRE_NAMESPACES], int *go, void (*act)(void))
{
    int tell[2], ready[2];
    char path[64], word;
    assert_int_equal(pipe2(tell, O_CLOEXEC), 0);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    uid_t uid = geteuid();
    gid_t gid = getegid();
    pid_t pid = fork();
    if (pid == 0) {
        char map[64];
        close(tell[1]);
        if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
            _exit(91);
        write_file("/proc/self/setgroups", "deny");
        snprintf(map, sizeof map, "1000 %u 1", (unsigned)uid);
        write_file("/proc/self/uid_map", map);
        snprintf(map, sizeof map, "1000 %u 1", (unsigned)gid);
        write_file("/proc/self/gid_map", map);
        if (write(ready[1], "r", 1) == 1 && read(tell[0], &word, 1) == 1)
            act();
        _exit(0);
    }
    close(tell[0]);
    close(ready[1]);
    if (read(ready[0], &word, 1) != 1)
        stop_test("no user and network namespace can be had here");
    close(ready[0]);
    for (int i = 0; i < WIRE_NAMESPACES; i++)
        namespaces[i] = -1;
    snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
    namespaces[0] = open(path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof path, "/proc/%d/ns/net", pid);
    namespaces[3] = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(namespaces[0] >= 0 && namespaces[3] >= 0);
    *go = tell[1];
    return pid;
}

static uint16_t port; /* of the listener outside */

static int dial(uint16_t to)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(to), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

static void act_through_proxy(void)
{
    char request[64], answer[256] = "";
    if (dial(port) >= 0)
        _exit(2); /* this is not a namespace of its own */
    int fd = dial(PROXY_PORT);
    if (fd < 0)
        _exit(3);
    snprintf(request, sizeof request, "CONNECT 127.0.0.1:%u HTTP/1.1\r\n\r\n", port);
    if (write(fd, request, strlen(request)) < 0)
        _exit(4);
    for (size_t len = 0; len < sizeof answer - 1 && !strstr(answer, "hello from outside");) {
        ssize_t n = read(fd, answer + len, sizeof answer - 1 - len);
        if (n <= 0)
            _exit(5);
        len += (size_t)n;
    }
    _exit(strncmp(answer, "HTTP/1.1 200 ", 13) == 0 ? 0 : 6);
}

static void test_a_way_out(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), go, status = 0;
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 4), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    port = ntohs(address.sin_port);

    struct err e = {0};
    struct outsider *p = outsider_new(PROXY_PROGRAM, "WARMCELL_PROXY", &e);
    if (!p || !proxy_start(p, 0, NULL, &e))
        stop_test("%s", e.text);
    int namespaces[WIRE_NAMESPACES];
    pid_t inside = sandbox(namespaces, &go, act_through_proxy);
    scoped(json) json_t *network =
        json_pack("{s:[o]}", "allow", json_sprintf("127.0.0.1:%u", port));
    if (!proxy_open(p, "box", network, namespaces, &e))
        stop_test("%s", e.text);
    assert_int_equal(write(go, "g", 1), 1);
    int served = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_int_equal(write(served, "hello from outside", 18), 18);
    waitpid(inside, &status, 0);
    assert_int_equal(status, 0);
    close(served);

    /* one listener for a sandbox: a second way into the same namespace is refused */
    assert_false(proxy_open(p, "again", network, namespaces, &e));
    assert_int_equal(e.status, 503);
    proxy_close(p, "box");
    outsider_free(p);
    close(namespaces[0]);
    close(namespaces[3]);
    close(listener);
    close(go);
}

int main(int argc, char **argv)
{
    /* the program that was built beside this test */
    (void)argc;
    char *path = xstrdup(argv[0]), *at = strstr(path, "tests/sandbox/");
    if (at)
        *at = '\0';
    char *program = xasprintf("%ssandbox/warmcell-proxy", path);
    setenv("WARMCELL_PROXY", program, 0);
    free(program);
    free(path);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_network_values),
        cmocka_unit_test(test_a_way_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
