/* warmcell-keeper: reads the command line, takes the socket, leaves its starter, and keeps.
 *
 * Order: a clean environment first (children that are forked and never exec'd show it in
 * /proc/PID/environ), then the socket, then the detaching, so that whoever started this knows
 * whether it listens. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/memory.h"
#include "sandbox/boundary.h"
#include "sandbox/door.h"
#include "sandbox/keeper.h"
#include "sandbox/limits.h"
#include "sandbox/log.h"
#include "sandbox/options.h"
#include "sandbox/pasta.h"
#include "sandbox/proxy.h"
#include "sandbox/wire.h"

extern char **environ;

/* What a Python needs to find its libraries, caches and tongue; a name that ends in * is a
 * beginning. Nothing here is a place for a secret. The first row is all that goes with sandboxes,
 * where code can read it. */
static const char *const kept_always[] = {
    "PATH",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "LD_LIBRARY_PATH",
    "WARMCELL_PYTHONPATH",
    "ASAN_OPTIONS",
    "UBSAN_OPTIONS",
};
static const char *const kept_for_owner[] = {
    "HOME",         "USER",    "LOGNAME",    "TMPDIR",       "XDG_*",      "VIRTUAL_ENV",
    "CONDA_PREFIX", "PYTHON*", "IPYTHONDIR", "MPLCONFIGDIR", "MPLBACKEND",
};

static bool is_among(const char *const *names, size_t count, const char *variable)
{
    for (size_t n = 0; n < count; n++) {
        size_t len = strlen(names[n]);
        bool beginning = names[n][len - 1] == '*';
        if (strncmp(variable, names[n], len - beginning) == 0 &&
            (beginning || variable[len] == '='))
            return true;
    }
    return false;
}

static bool is_kept(const char *variable, bool sandboxes)
{
    return is_among(kept_always, countof(kept_always), variable) ||
           (!sandboxes && is_among(kept_for_owner, countof(kept_for_owner), variable));
}

/* The memory that the environment came in is the process's for good: only exec replaces it. */
static void clean_environment(char **argv, bool sandboxes)
{
    size_t count = 0, used = 0;
    while (environ[count])
        count++;
    char **env = xcalloc(count + 1, sizeof *env);
    for (size_t n = 0; n < count; n++)
        if (is_kept(environ[n], sandboxes))
            env[used++] = environ[n];
    if (used != count) {
        execve("/proc/self/exe", argv, env);
        perror("warmcell-keeper: cannot begin with a clean environment");
        _exit(1);
    }
    free(env);
}

static bool open_log(const char *path, struct err *e)
{
    if (!path)
        return true;
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail_errno(e, 503, "cannot open %s", path);
    dup2(fd, STDERR_FILENO);
    close(fd);
    return true;
}

/* In the process that stays: a session of its own, no terminal, no descriptor and no folder of the
 * starter's. */
static void detach(bool keep_stderr)
{
    setsid();
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    if (!keep_stderr)
        dup2(null, STDERR_FILENO);
    close(null);
    if (chdir("/") != 0)
        keeper_log("cannot leave the folder it was started in");
    umask(077);
}

/* What the starter is told through a pipe (-1: nothing): READY, or why not. */
#define READY '+'

static void tell(int fd, const char *text)
{
    if (fd < 0)
        return;
    ssize_t written = write(fd, text, strlen(text));
    (void)written; /* it has gone: then nobody wants to know */
    close(fd);
}

static bool enter_world(const struct keeper_options *o, pid_t *keeper, struct world **world,
                        struct err *e)
{
    struct world_plan plan = {.state_dir = o->state_dir,
                              .read_only = o->read_only,
                              .required = !o->best_effort,
                              .first_uid = o->first_uid,
                              .last_uid = o->last_uid};
    *keeper = 0;
    return !o->sandboxes || world_enter(&plan, keeper, world, e);
}

/* What stays outside. A keeper goes on without: then no sandbox reaches anything. */
struct outsiders {
    struct outsider *proxy, *pasta;
};

static struct outsider *new_outsider(const struct keeper_options *o, const char *program,
                                     const char *variable)
{
    struct err e;
    struct outsider *made = o->sandboxes ? outsider_new(program, variable, &e) : NULL;
    if (o->sandboxes && !made)
        keeper_log("%s", e.text);
    return made;
}

/* Outside of the world, where the network is. As root the proxy has the last of our uids. */
static void start_outsiders(const struct keeper_options *o, struct outsiders *out)
{
    const char *const for_pasta[] = {"--keeper", o->socket, NULL};
    struct err e;
    if (out->proxy && !proxy_start(out->proxy, geteuid() == 0 ? o->last_uid : 0, o->audit, &e))
        keeper_log("%s", e.text);
    if (out->pasta && !outsider_start(out->pasta, for_pasta, &e))
        keeper_log("%s", e.text);
}

static void free_outsiders(struct outsiders *out)
{
    outsider_free(take(&out->proxy));
    outsider_free(take(&out->pasta));
}

static sigset_t passed_on(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    return set;
}

/* In the foreground: the starter's child stands for the keeper, which is one of a PID namespace.
 * What it passes on is blocked since before the keeper was there: it would die alone otherwise. */
static int stand_for(pid_t keeper)
{
    sigset_t set = passed_on();
    int number, status;
    while (waitpid(keeper, &status, WNOHANG) == 0)
        if (sigwait(&set, &number) == 0 && number != SIGCHLD)
            kill(keeper, SIGTERM);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* In the process that stays, which becomes the keeper or its parent. */
static int serve(const struct keeper_options *options, struct door *door, int told_fd)
{
    struct err e;
    struct world *world = NULL;
    pid_t keeper;
    detach(options->log || options->foreground);
    scoped(string) char *name = xasprintf("warmcell-%d", (int)getpid());
    struct governor *governor = options->sandboxes ? governor_open(name, options->cgroup) : NULL;
    struct outsiders outsiders = {
        .proxy = new_outsider(options, PROXY_PROGRAM, "WARMCELL_PROXY"),
        .pasta = new_outsider(options, PASTA_PROGRAM, "WARMCELL_PASTA"),
    };
    pid_t self = getpid();
    sigset_t blocked = passed_on(), before;
    sigprocmask(SIG_BLOCK, &blocked, &before);
    if (!enter_world(options, &keeper, &world, &e)) {
        tell(told_fd, e.text);
        keeper_log("%s", e.text);
        governor_free(governor);
        free_outsiders(&outsiders);
        door_close(door);
        return e.status == 501 ? KEEPER_EXIT_LACKS : 1;
    }
    if (keeper > 0 || getpid() == self)
        start_outsiders(options, &outsiders);
    if (keeper > 0) {
        free_outsiders(&outsiders); /* our copies: they are to end with the keeper */
        return options->foreground ? stand_for(keeper) : 0;
    }
    if (outsiders.proxy)
        outsider_keep(outsiders.proxy);
    if (outsiders.pasta)
        outsider_keep(outsiders.pasta);
    sigprocmask(SIG_SETMASK, &before, NULL);
    tell(told_fd, (char[]){READY, '\0'});
    keeper_log("listens on %s", options->socket);
    int status = keeper_run(options, door->fd, world, governor, outsiders.proxy, outsiders.pasta);
    world_free(world);
    door_close(door);
    return status;
}

/* Reads what the process that stays has to say; gives its exit status when it does not stay. */
static int hear(int fd, pid_t pid)
{
    int status = 0;
    char text[512];
    size_t len = 0;
    ssize_t got;
    while ((got = read(fd, text + len, sizeof text - 1 - len)) != 0)
        if (got > 0)
            len += (size_t)got;
        else if (errno != EINTR)
            break;
    text[len] = '\0';
    if (text[0] == READY)
        return 0;
    fprintf(stderr, "warmcell-keeper: %s\n", len ? text : "it ended before it listened");
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 1;
}

/* The one that stays is a grandchild, nobody's but the system's. */
static int leave_it_running(const struct keeper_options *options, struct door *door)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        perror("warmcell-keeper: pipe");
        door_close(door);
        return 1;
    }
    pid_t pid = fork();
    if (pid < 0) {
        perror("warmcell-keeper: fork");
        door_close(door);
        return 1;
    }
    if (pid == 0) {
        close(ends[0]);
        _exit(serve(options, door, ends[1]));
    }
    close(ends[1]);
    return hear(ends[0], pid);
}

static int run(const struct keeper_options *options)
{
    struct door door;
    struct err e;
    enum door_state state = door_open(options->socket, &door, &e);
    if (state == DOOR_TAKEN) {
        fprintf(stderr, "warmcell-keeper: another one listens on %s\n", options->socket);
        return 0;
    }
    if (state == DOOR_FAILED || !open_log(options->log, &e)) {
        fprintf(stderr, "warmcell-keeper: %s\n", e.text);
        if (state == DOOR_OPEN)
            door_close(&door);
        return 1;
    }
    return options->foreground ? serve(options, &door, -1) : leave_it_running(options, &door);
}

int main(int argc, char **argv)
{
    struct keeper_options options;
    struct err e;
    close_range(STDERR_FILENO + 1, ~0u, 0);
    if (!keeper_options_parse(argc, argv, &options, &e)) {
        fprintf(stderr, "warmcell-keeper: %s\n", e.text);
        return 2;
    }
    clean_environment(argv, options.sandboxes);
    if (options.help) {
        keeper_options_print_help();
        return 0;
    }
    if (options.version) {
        puts("warmcell-keeper " WARMCELL_VERSION);
        return 0;
    }
    return run(&options);
}
