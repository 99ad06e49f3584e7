/* The supervisor inherits one end of a pair of sockets, so that it can be spoken to from its first
 * moment; where it listens is for gateways that come back. */
#include "gateway/launch/command.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/launch/process.h"
#include "gateway/launch/spawn.h"
#include "gateway/place.h"
#include "protocol/memory.h"

extern char **environ;

static void add(struct words *w, const char *flag, const char *value)
{
    words_add(w, xstrdup(flag));
    words_add(w, xstrdup(value));
}

static bool start(const struct command_launch *launch, int theirs, pid_t *pid, struct err *e)
{
    __attribute__((cleanup(words_scoped))) struct words w = {0};
    char *program = place_command();
    if (!program)
        return fail(e, 503,
                    "warmcell-command was not found next to this program; set WARMCELL_COMMAND");
    words_add(&w, program);
    add(&w, "--plan", launch->plan);
    add(&w, "--log", launch->log);
    add(&w, "--socket", launch->socket);
    if (launch->input)
        add(&w, "--stdin", launch->input);
    add(&w, "--gate-fd", "3");
    const struct spawn_plan plan = {w.word, environ, "/", launch->words, theirs};
    return spawn_session(&plan, pid, e);
}

bool command_launch(const struct command_launch *launch, int *pidfd, int *gate_fd, struct err *e)
{
    int pair[2];
    pid_t pid;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
        return fail_errno(e, 503, "the command cannot be started");
    bool good = start(launch, pair[1], &pid, e);
    close(pair[1]);
    *pidfd = good ? process_watch(pid, 0) : -1;
    if (*pidfd >= 0) {
        *gate_fd = pair[0];
        return true;
    }
    close(pair[0]);
    if (good)
        kill(pid, SIGKILL);
    return good ? fail_errno(e, 503, "the started command cannot be watched") : false;
}

int command_find(const char *socket_path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(socket_path) >= sizeof address.sun_path)
        return -1;
    strcpy(address.sun_path, socket_path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}
