/* Makes sandboxes' boundaries. The keeper clones an init into new namespaces, with the euid of the
 * fork server: the owner of a user namespace may join it, and so what the fork server forks can.
 * The init does the work (init.c); the keeper writes the uid map and takes the namespaces'
 * descriptors. */
#include "sandbox/boundary.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/memory.h"
#include "sandbox/init.h"
#include "sandbox/mounting.h"
#include "sandbox/world.h"

#define READY_MOST_MS 10000
#define ID_MOST       64

static bool id_is_good(const char *id)
{
    size_t len = strlen(id);
    if (len == 0 || len > ID_MOST || id[0] == '.')
        return false;
    return strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

bool boundary_check_id(const char *id, struct err *e)
{
    return id_is_good(id) ||
           fail(e, 400, "a sandbox's id is 1 to %d letters, digits, \".\", \"_\" or \"-\"",
                ID_MOST);
}

/* Makes and owns state_dir/ID/workspace, and returns an O_PATH descriptor of it, or -1. What a
 * sandbox could have put there is not followed: only the last folder is its own. */
static int open_workspace(const struct world *w, const struct boundary_plan *plan, struct err *e)
{
    scoped(string) char *folder = xasprintf("%s/%s", w->state_dir, plan->id);
    scoped(string) char *path = xasprintf("%s/workspace", folder);
    mode_t mode = w->confined ? 0700 : 0711; /* without mounts the sandbox comes this way itself */
    if ((mkdir(folder, mode) < 0 && errno != EEXIST) ||
        (mkdir(path, 0700) < 0 && errno != EEXIST)) {
        fail_errno(e, 503, "cannot make the workspace of sandbox %s", plan->id);
        return -1;
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || (w->privileged && plan->uid && fchown(fd, plan->uid, plan->uid) < 0)) {
        fail_errno(e, 503, "cannot open the workspace of sandbox %s", plan->id);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

static int copy_workspace(const struct world *w, const struct boundary_plan *plan, struct err *e)
{
    int fd = open_workspace(w, plan, e);
    if (fd < 0 || !w->confined)
        return fd;
    int tree = mounting_copy(fd, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    if (tree < 0)
        fail_errno(e, 503, "cannot copy the mount of the workspace of sandbox %s", plan->id);
    close(fd);
    return tree;
}

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return written;
}

static bool write_maps(pid_t pid, uid_t uid, struct err *e)
{
    static const char *const files[] = {"setgroups", "uid_map", "gid_map"};
    char path[64], map[64];
    snprintf(map, sizeof map, "%d %u 1", BOUNDARY_UID, (unsigned)uid);
    for (size_t i = 0; i < countof(files); i++) {
        snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, files[i]);
        if (!write_text(path, i == 0 ? "deny" : map))
            return fail_errno(e, 503, "cannot write %s of a sandbox", files[i]);
    }
    return true;
}

/* A child in new namespaces whose user namespace belongs to w->owner. */
static pid_t clone_init(const struct world *w, const struct init_plan *plan)
{
    if (!w->confined) {
        pid_t child = fork();
        if (child == 0)
            init_stand_in(plan);
        return child;
    }
    if (w->privileged && (syscall(SYS_setresgid, -1, w->owner_gid, -1) < 0 ||
                          syscall(SYS_setresuid, -1, w->owner, -1) < 0))
        return -1;
    pid_t pid = world_clone(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
                            CLONE_NEWIPC | CLONE_NEWUTS);
    if (pid == 0)
        init_main(plan);
    int saved = errno;
    if (w->privileged &&
        (syscall(SYS_setresuid, -1, 0, -1) < 0 || syscall(SYS_setresgid, -1, 0, -1) < 0))
        abort(); /* a keeper that cannot become itself again may not go on */
    errno = saved;
    return pid;
}

static bool take_namespaces(struct msghdr *message, int *out)
{
    struct cmsghdr *head = CMSG_FIRSTHDR(message);
    if (!head || head->cmsg_type != SCM_RIGHTS ||
        head->cmsg_len != CMSG_LEN(sizeof(int) * WIRE_NAMESPACES))
        return false;
    memcpy(out, CMSG_DATA(head), sizeof(int) * WIRE_NAMESPACES);
    return true;
}

static bool receive_report(const struct world *w, int socket_fd, struct boundary *out,
                           struct err *e)
{
    struct init_report text;
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int) * WIRE_NAMESPACES)];
    } control;
    struct iovec part = {&text, sizeof text};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    struct pollfd ready = {socket_fd, POLLIN, 0};
    int count;
    while ((count = poll(&ready, 1, READY_MOST_MS)) < 0 && errno == EINTR)
        ;
    ssize_t got = count > 0 ? recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC) : -1;
    if (got != (ssize_t)sizeof text)
        return fail(e, 503, "the init of a sandbox ended before it was ready");
    text.step[sizeof text.step - 1] = '\0';
    if (!w->confined)
        return true;
    if (text.step[0]) {
        errno = text.error;
        int status = text.error == EPERM || text.error == ENOSYS ? 501 : 503;
        return fail_errno(e, status, "cannot make a sandbox's %s", text.step);
    }
    return take_namespaces(&message, out->namespaces) ||
           fail(e, 500, "the init of a sandbox sent no namespaces");
}

/* Starts the init and brings it to the point where it sleeps. */
static bool start(struct world *w, const struct boundary_plan *plan, struct init_plan *init,
                  struct boundary *out, struct err *e)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return fail_errno(e, 503, "cannot make a socket for the init of a sandbox");
    init->socket_fd = ends[1];
    const char go = INIT_GO;
    out->init = clone_init(w, init);
    int clone_error = errno;
    close(ends[1]);
    bool made = false;
    if (out->init < 0) {
        errno = clone_error;
        fail_errno(e, clone_error == ENOSPC || clone_error == EPERM ? 501 : 503,
                   "cannot make the namespaces of a sandbox (see warmcell doctor)");
    } else if ((out->init_pidfd = (int)syscall(SYS_pidfd_open, out->init, 0)) < 0) {
        fail_errno(e, 503, "cannot watch the init of a sandbox");
    } else {
        made = (!w->confined || write_maps(out->init, plan->uid ? plan->uid : w->owner, e)) &&
               (send(ends[0], &go, 1, MSG_NOSIGNAL) == 1 ||
                fail_errno(e, 503, "the init of a sandbox does not listen")) &&
               receive_report(w, ends[0], out, e);
    }
    close(ends[0]);
    return made;
}

bool boundary_make(struct world *w, const struct boundary_plan *plan, struct boundary *out,
                   struct err *e)
{
    *out = (struct boundary){.init = -1, .init_pidfd = -1};
    for (size_t i = 0; i < WIRE_NAMESPACES; i++)
        out->namespaces[i] = -1;
    if (!boundary_check_id(plan->id, e))
        return false;
    int workspace = copy_workspace(w, plan, e);
    if (workspace < 0)
        return false;
    struct init_plan init = {.workspace = workspace,
                             .sizes = {.tmp_bytes = plan->tmp_bytes,
                                       .home_bytes = plan->home_bytes,
                                       .shm_bytes = plan->shm_bytes,
                                       .inodes = plan->tmp_inodes},
                             .hidden = w->hidden,
                             .doors = plan->doors,
                             .door_count = plan->door_count};
    bool made = start(w, plan, &init, out, e);
    close(workspace);
    if (!made && out->init > 0) {
        kill(out->init, SIGKILL);
        while (waitpid(out->init, NULL, 0) < 0 && errno == EINTR)
            ;
        out->init = -1;
        if (out->init_pidfd >= 0)
            close(out->init_pidfd);
        out->init_pidfd = -1;
    }
    if (made) {
        out->uid = w->confined ? BOUNDARY_UID : plan->uid ? plan->uid : geteuid();
        out->folder = w->confined ? xstrdup(ROOT_WORKSPACE)
                                  : xasprintf("%s/%s/workspace", w->state_dir, plan->id);
    }
    return made;
}

bool boundary_rename(const struct world *w, const char *from, const char *to)
{
    scoped(string) char *before = xasprintf("%s/%s", w->state_dir, from);
    scoped(string) char *after = xasprintf("%s/%s", w->state_dir, to);
    return id_is_good(to) && w->confined &&
           renameat2(AT_FDCWD, before, AT_FDCWD, after, RENAME_NOREPLACE) == 0;
}

void boundary_forget(const struct world *w, const char *id)
{
    scoped(string) char *folder = xasprintf("%s/%s", w->state_dir, id);
    scoped(string) char *path = xasprintf("%s/workspace", folder);
    rmdir(path);
    rmdir(folder);
}

void boundary_end(struct boundary *b)
{
    if (b->init_pidfd >= 0) {
        syscall(SYS_pidfd_send_signal, b->init_pidfd, SIGKILL, NULL, 0);
        close(b->init_pidfd);
    }
    b->init_pidfd = -1;
    free(b->folder);
    b->folder = NULL;
    for (size_t i = 0; i < WIRE_NAMESPACES; i++) {
        if (b->namespaces[i] >= 0)
            close(b->namespaces[i]);
        b->namespaces[i] = -1;
    }
}

void boundary_confine(const struct world *w, const struct boundary *b, struct confine *out)
{
    out->uid = b->uid;
    out->gid = b->uid == geteuid() ? getegid() : b->uid;
    out->workspace = b->folder;
    out->landlock = w->probe.landlock_abi > 0;
    out->seccomp = w->probe.findings[PROBE_SECCOMP].ok;
}
