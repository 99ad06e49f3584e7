/* What /proc and pidfds tell about processes. Called when kernels start, are adopted and end. A pid
 * alone is never trusted: it is one with the start time, because pids come again. */
#include "gateway/launch/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/memory.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

struct stat_line {
    char state;
    pid_t session;
    uint64_t start;
};

/* Reads /proc/PID/stat (proc(5)); the command may hold anything, so fields are counted from its
 * last ')'. */
static bool read_stat(pid_t pid, struct stat_line *out)
{
    char path[40], text[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t len = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (len <= 0)
        return false;
    text[len] = '\0';
    char *rest = strrchr(text, ')');
    int session = 0;
    unsigned long long start = 0;
    if (!rest || sscanf(rest + 1,
                        " %c %*d %*d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
                        "%*d %llu",
                        &out->state, &session, &start) != 3)
        return false;
    out->session = session;
    out->start = start;
    return true;
}

uint64_t process_start(pid_t pid)
{
    struct stat_line line;
    if (pid <= 0 || !read_stat(pid, &line) || line.state == 'Z' || line.state == 'X')
        return 0;
    return line.start;
}

int process_watch(pid_t pid, uint64_t start_ticks)
{
    if (pid <= 0)
        return -1;
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return -1;
    /* the descriptor pins the process; only now is its start time its own */
    struct stat_line line;
    if (start_ticks && (!read_stat(pid, &line) || line.start != start_ticks)) {
        close(fd);
        return -1;
    }
    return fd;
}

bool process_status(int pidfd, int *exit_status, int *signal_number)
{
    siginfo_t info = {0};
    if (waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0)
        return false;
    *exit_status = info.si_code == CLD_EXITED ? info.si_status : -1;
    *signal_number = info.si_code == CLD_EXITED ? 0 : info.si_status;
    return true;
}

static bool is_other_leader(pid_t leader, uint64_t start_ticks)
{
    struct stat_line line;
    return read_stat(leader, &line) && line.start != start_ticks;
}

static size_t kill_members(pid_t leader, uint64_t start_ticks)
{
    DIR *proc = opendir("/proc");
    if (!proc)
        return 0;
    size_t killed = 0;
    struct dirent *entry;
    while ((entry = readdir(proc))) {
        pid_t pid = (pid_t)atoi(entry->d_name);
        struct stat_line line;
        if (pid <= 1 || !read_stat(pid, &line) || line.session != leader || line.state == 'Z' ||
            line.start < start_ticks)
            continue;
        if (kill(pid, SIGKILL) == 0)
            killed++;
    }
    closedir(proc);
    return killed;
}

void process_kill_session(pid_t leader, uint64_t start_ticks)
{
    if (leader <= 1 || start_ticks == 0 || is_other_leader(leader, start_ticks))
        return;
    for (int pass = 0; pass < 5 && kill_members(leader, start_ticks) > 0; pass++)
        ; /* again, for what was forked meanwhile */
}
