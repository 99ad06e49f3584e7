/* boundary-run --state DIR [OPTION]... -- PROGRAM ARG...: runs a program as the keeper would, in a
 * sandbox's boundary, confined, with /workspace as its folder. Ends with the program's status (128
 * + signal); 125 with {"status": n, "message": "..."} on stderr when no sandbox can be had.
 *
 *   --read-only PATH  is seen inside; may be given several times
 *   --uid N           host uid of the sandbox, as root
 *   --best-effort     the policy
 *   --fork-server     runs the program as the fork server is confined instead
 *   --times N         makes and ends so many boundaries, and prints the milliseconds of each as
 * JSON */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "protocol/memory.h"
#include "sandbox/boundary.h"

#define FAILED 125

struct asked {
    struct world_plan plan;
    const char *read_only[16];
    size_t read_only_count;
    bool fork_server;
    int times;
    uid_t uid;
    char **argv;
};

static int refuse(const struct err *e)
{
    json_t *body = json_pack("{s:i, s:s}", "status", e->status, "message", e->text);
    char *text = json_dumps(body, 0);
    fprintf(stderr, "%s\n", text);
    free(text);
    json_decref(body);
    return FAILED;
}

static int wait_for(pid_t pid)
{
    int status = 0;
    for (;;) {
        pid_t ended = waitpid(-1, &status, 0);
        if (ended == pid)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        if (ended < 0 && errno != EINTR)
            return FAILED;
    }
}

static char *const environment[] = {"PATH=/usr/local/bin:/usr/bin:/bin",
                                    "HOME=/home/user",
                                    "LANG=C.UTF-8",
                                    "USER=user",
                                    "TMPDIR=/tmp",
                                    NULL};

static _Noreturn void run(const struct asked *asked)
{
    close_range(3, ~0u, 0);
    execve(asked->argv[0], asked->argv, environment);
    fprintf(stderr, "exec %s: %s\n", asked->argv[0], strerror(errno));
    _exit(127);
}

/* Two forks, as a PID namespace is only entered by a child. */
static _Noreturn void join_and_run(const struct asked *asked, const struct world *w,
                                   const struct boundary *b)
{
    struct confine plan = {0};
    boundary_confine(w, b, &plan);
    if (!confine_join(b->namespaces, WIRE_NAMESPACES)) {
        perror("confine_join");
        _exit(FAILED);
    }
    pid_t child = fork();
    if (child != 0)
        _exit(child < 0 ? FAILED : wait_for(child));
    setsid();
    if (chdir(b->folder) < 0)
        perror(b->folder);
    close_range(3, ~0u, 0);
    const char *failed = confine_self(&plan);
    if (failed) {
        fprintf(stderr, "confine_self: %s: %s\n", failed, strerror(errno));
        _exit(FAILED);
    }
    run(asked);
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static struct boundary_plan plan_of(const struct asked *asked, const char *id)
{
    return (struct boundary_plan){.id = id,
                                  .uid = asked->uid,
                                  .tmp_bytes = 64 << 20,
                                  .home_bytes = 64 << 20,
                                  .shm_bytes = 64 << 20,
                                  .tmp_inodes = 10000};
}

static int measure(const struct asked *asked, struct world *w)
{
    struct err e = {0};
    for (int i = 0; i < asked->times; i++) {
        struct boundary b;
        struct boundary_plan plan = plan_of(asked, "measured");
        double began = now_ms();
        if (!boundary_make(w, &plan, &b, &e))
            return refuse(&e);
        printf("%s%.3f", i ? ", " : "[", now_ms() - began);
        pid_t init = b.init;
        boundary_end(&b);
        wait_for(init);
    }
    printf("]\n");
    return fflush(stdout) == 0 ? 0 : FAILED;
}

static int keep(const struct asked *asked, struct world *w)
{
    struct err e = {0};
    if (asked->times)
        return measure(asked, w);
    if (asked->fork_server) {
        pid_t child = fork();
        if (child == 0) {
            const char *step;
            if (world_confine_fork_server(w, &step) < 0) {
                fprintf(stderr, "world_confine_fork_server: %s: %s\n", step, strerror(errno));
                _exit(FAILED);
            }
            run(asked);
        }
        return wait_for(child);
    }
    struct boundary b;
    struct boundary_plan plan = plan_of(asked, "first");
    if (!boundary_make(w, &plan, &b, &e))
        return refuse(&e);
    pid_t child = fork();
    if (child == 0)
        join_and_run(asked, w, &b);
    int status = wait_for(child);
    boundary_end(&b);
    return status;
}

static bool read_arguments(int argc, char **argv, struct asked *out)
{
    out->plan = (struct world_plan){.required = true, .first_uid = 70000, .last_uid = 70100};
    int i = 1;
    for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
        bool value = i + 1 < argc;
        if (strcmp(argv[i], "--state") == 0 && value)
            out->plan.state_dir = argv[++i];
        else if (strcmp(argv[i], "--read-only") == 0 && value &&
                 out->read_only_count + 1 < countof(out->read_only))
            out->read_only[out->read_only_count++] = argv[++i];
        else if (strcmp(argv[i], "--times") == 0 && value)
            out->times = atoi(argv[++i]);
        else if (strcmp(argv[i], "--uid") == 0 && value)
            out->uid = (uid_t)atoi(argv[++i]);
        else if (strcmp(argv[i], "--best-effort") == 0)
            out->plan.required = false;
        else if (strcmp(argv[i], "--fork-server") == 0)
            out->fork_server = true;
        else
            return false;
    }
    out->plan.read_only = out->read_only;
    out->argv = i < argc ? argv + i + 1 : argv + argc;
    return out->plan.state_dir && (out->argv[0] || out->times);
}

int main(int argc, char **argv)
{
    struct asked asked = {0};
    struct err e = {0};
    struct world *w = NULL;
    pid_t keeper;
    if (!read_arguments(argc, argv, &asked)) {
        fprintf(stderr, "usage: boundary-run --state DIR [OPTION]... -- PROGRAM ARG...\n");
        return 2;
    }
    if (!world_enter(&asked.plan, &keeper, &w, &e))
        return refuse(&e);
    if (keeper == 0)
        exit(keep(&asked, w));
    return wait_for(keeper);
}
