/* A thin command: finds the place that sandbox/warm_place.h fixes, starts warmcell-keeper there,
 * and speaks to it as any asker does. The keeper outlives the command. */
#include "gateway/warm.h"

#include <errno.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/place.h"
#include "gateway/python.h"
#include "protocol/json.h"
#include "sandbox/warm_place.h"
#include "sandbox/wire.h"

#define ANSWER_S   10
#define LOOK_MS    100
#define WARM_UP_MS 180000

extern char **environ;

/* Text is owned; NULL: not given. */
struct choice {
    char *python;
    char *preload;
    int64_t idle_s;
    bool status;
    bool stop;
};

static const struct option rows[] = {
    {"python", OPTION_TEXT, offsetof(struct choice, python), NULL,
     .help = "the Python that is kept warm (default: of the active virtual environment, else "
             "python3)",
     .flag_only = true},
    {"preload", OPTION_TEXT, offsetof(struct choice, preload), NULL,
     .help = "modules to import ahead, with commas (default: numpy, pandas and matplotlib.pyplot, "
             "where they are installed)",
     .flag_only = true},
    {"idle-s", OPTION_INT, offsetof(struct choice, idle_s), "86400", 0, 30 * 86400,
     .help = "end after so many seconds without a kernel; 0: never", .flag_only = true},
    {"status", OPTION_BOOL, offsetof(struct choice, status), NULL,
     .help = "print what runs, as JSON", .flag_only = true},
    {"stop", OPTION_BOOL, offsetof(struct choice, stop), NULL,
     .help = "no further kernel gets a fork; what runs goes on", .flag_only = true},
};

const struct option_table warm_options = {rows, countof(rows)};

/* --- asking */

/* -1: nobody listens. */
static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = ANSWER_S};
    if (strlen(path) >= sizeof address.sun_path)
        return -1;
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

/* The body of the answer, given; NULL: e. body: taken. */
static json_t *ask(int fd, uint32_t kind, json_t *body, struct err *e)
{
    struct wire_message m;
    if (!wire_send(fd, kind, 1, body, NULL, 0, e))
        return NULL;
    int got = wire_receive(fd, &m, e);
    if (got == 0)
        fail(e, 503, "the keeper does not answer");
    json_t *answer = got > 0 && m.kind == WIRE_OK ? json_incref(m.body) : NULL;
    if (got > 0 && !answer)
        fail(e, 503, "the keeper refuses");
    wire_message_free(&m);
    return answer;
}

static bool print_status(int fd, const char *path, struct err *e)
{
    scoped(json) json_t *status = ask(fd, WIRE_STATUS, NULL, e);
    if (!status)
        return false;
    json_object_set_new(status, "socket", json_string(path));
    char *text = json_dumps(status, JSON_INDENT(2));
    puts(text);
    free(text);
    return true;
}

static bool stop(int fd, struct err *e)
{
    scoped(json) json_t *answer = ask(fd, WIRE_END, json_pack("{s:b}", "drain", 1), e);
    return answer && puts("the keeper takes no more kernels, and ends with the last one") >= 0;
}

/* --- starting */

/* "/a/b/c": makes /a and /a/b where they are absent. */
static void make_folders(const char *path)
{
    scoped(string) char *copy = xstrdup(path);
    for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(copy, 0700); /* what is wrong with it, the keeper will say */
        *slash = '/';
    }
}

static bool run(char *const *argv, struct err *e)
{
    pid_t pid;
    int status;
    errno = posix_spawn(&pid, argv[0], NULL, NULL, argv, environ);
    if (errno != 0)
        return fail_errno(e, 503, "cannot start %s", argv[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return (WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
           fail(e, 503, "the keeper could not be started");
}

static bool start_keeper(const struct choice *choice, const char *python, const char *path,
                         struct err *e)
{
    scoped(string) char *keeper = place_keeper();
    scoped(string) char *program = place_python();
    if (!keeper || !program)
        return fail(e, 503, "warmcell-%s was not found next to this program; set WARMCELL_%s",
                    keeper ? "python" : "keeper", keeper ? "PYTHON" : "KEEPER");
    scoped(string) char *log = xasprintf("%.*s.log", (int)strlen(path) - 5, path);
    scoped(string) char *idle = xasprintf("%lld", (long long)choice->idle_s);
    const char *argv[16] = {keeper, "--socket", path, "--log", log};
    size_t count = 5;
    if (choice->idle_s > 0) {
        argv[count++] = "--idle";
        argv[count++] = idle;
    }
    argv[count++] = "--";
    argv[count++] = program;
    argv[count++] = "--python";
    argv[count++] = python;
    if (choice->preload) {
        argv[count++] = "--preload";
        argv[count++] = choice->preload;
    }
    make_folders(path);
    return run((char *const *)argv, e);
}

/* True: it can fork. False with e: it never will. */
static bool await_warmth(int fd, struct err *e)
{
    for (int waited_ms = 0; waited_ms < WARM_UP_MS; waited_ms += LOOK_MS) {
        const char *state = "failed", *why = "no reason was given";
        json_t *server = NULL;
        scoped(json) json_t *status = ask(fd, WIRE_STATUS, NULL, e);
        if (!status || !field_object(status, "fork_server", REQUIRED, &server, e) ||
            !field_str(server, "state", REQUIRED, &state, e) ||
            !field_str(server, "why", OPTIONAL, &why, e))
            return false;
        if (strcmp(state, "ready") == 0)
            return true;
        if (strcmp(state, "starting") != 0)
            return fail(e, 503, "the fork server does not start: %s", why);
        poll(NULL, 0, LOOK_MS);
    }
    return fail(e, 503, "the fork server did not warm up in %d seconds", WARM_UP_MS / 1000);
}

static bool start(const struct choice *choice, const char *python, const char *path, struct err *e)
{
    if (!start_keeper(choice, python, path, e))
        return false;
    int fd = connect_to(path);
    if (fd < 0)
        return fail(e, 503, "the keeper ended at once");
    bool warm = await_warmth(fd, e);
    if (!warm) /* it is of no use */
        json_decref(ask(fd, WIRE_END, json_pack("{s:b}", "drain", 1), &(struct err){0}));
    close(fd);
    return warm && printf("warm: %s, by %s\n", python, path) > 0;
}

static char *chosen_python(const struct choice *choice)
{
    const char *environment = getenv("VIRTUAL_ENV");
    if (choice->python)
        return xstrdup(choice->python);
    return environment && *environment ? xasprintf("%s/bin/python", environment)
                                       : xstrdup("python3");
}

static bool act(const struct choice *choice, struct err *e)
{
    scoped(python) struct python python = {0};
    scoped(string) char *name = chosen_python(choice);
    if (!python_probe(name, &python, e))
        return false;
    scoped(string) char *path = warm_place(python.executable, e);
    if (!path)
        return false;
    int fd = connect_to(path);
    if (!choice->status && !choice->stop) {
        if (fd >= 0)
            close(fd);
        return start(choice, python.executable, path, e);
    }
    if (fd < 0)
        return fail(e, 404, "no keeper runs for %s", python.executable);
    bool done = choice->status ? print_status(fd, path, e) : stop(fd, e);
    close(fd);
    return done;
}

int warm_main(char *const *args, size_t count)
{
    struct choice choice = {0};
    struct err e = {0};
    const struct option_sources nowhere_else = {0};
    size_t words;
    int status =
        option_parse(&warm_options, args, count, &nowhere_else, &choice, NULL, 0, &words, &e) ? 0
                                                                                              : 2;
    if (status == 0 && choice.status && choice.stop) {
        fail(&e, 400, "--status: does not go with --stop");
        status = 2;
    }
    if (status == 0 && !act(&choice, &e))
        status = 1;
    if (status)
        fprintf(stderr, "warmcell: %s\n", e.text);
    option_free(&warm_options, &choice);
    return status;
}
