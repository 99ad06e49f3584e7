/* warmcell-keeper: reads the command line, takes the socket, leaves its starter, and keeps.
 *
 * Order: a clean environment first (children that are forked and never exec'd show it in
 * /proc/PID/environ), then the socket, then the detaching, so that whoever started this knows
 * whether it listens. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/memory.h"
#include "sandbox/door.h"
#include "sandbox/keeper.h"
#include "sandbox/log.h"
#include "sandbox/options.h"

extern char **environ;

/* What a Python needs to find its libraries, caches and tongue; a name that ends in * is a
 * beginning. Nothing here is a place for a secret. */
static const char *const kept[] = {
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "PYTHONPATH",
    "PYTHONHOME",
    "LD_LIBRARY_PATH",
    "IPYTHONDIR",
    "MPLCONFIGDIR",
    "MPLBACKEND",
    "WARMCELL_*",
    "ASAN_OPTIONS",
    "UBSAN_OPTIONS",
};

static bool is_kept(const char *variable)
{
    /* the gateway's own settings may be secrets */
    if (strncmp(variable, "WARMCELL_TOKEN", 14) == 0)
        return false;
    for (size_t n = 0; n < countof(kept); n++) {
        size_t len = strlen(kept[n]);
        bool beginning = kept[n][len - 1] == '*';
        if (strncmp(variable, kept[n], len - beginning) == 0 && (beginning || variable[len] == '='))
            return true;
    }
    return false;
}

/* The memory that the environment came in is the process's for good: only exec replaces it. */
static void clean_environment(char **argv)
{
    size_t count = 0, used = 0;
    while (environ[count])
        count++;
    char **env = xcalloc(count + 1, sizeof *env);
    for (size_t n = 0; n < count; n++)
        if (is_kept(environ[n]))
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

static int serve(const struct keeper_options *options, struct door *door)
{
    detach(options->log || options->foreground);
    keeper_log("listens on %s", options->socket);
    int status = keeper_run(options, door->fd);
    door_close(door);
    return status;
}

/* The one that stays is a grandchild, nobody's but the system's. */
static int leave_it_running(const struct keeper_options *options, struct door *door)
{
    pid_t pid = fork();
    if (pid < 0) {
        perror("warmcell-keeper: fork");
        door_close(door);
        return 1;
    }
    if (pid > 0)
        return 0;
    _exit(serve(options, door));
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
    return options->foreground ? serve(options, &door) : leave_it_running(options, &door);
}

int main(int argc, char **argv)
{
    struct keeper_options options;
    struct err e;
    clean_environment(argv);
    close_range(STDERR_FILENO + 1, ~0u, 0);
    if (!keeper_options_parse(argc, argv, &options, &e)) {
        fprintf(stderr, "warmcell-keeper: %s\n", e.text);
        return 2;
    }
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
