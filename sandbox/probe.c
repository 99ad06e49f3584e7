/* Tries, in children that end at once, what the keeper and the inits of sandboxes will do: a user
 * namespace, the other namespaces in it, the mount calls, a /proc of its own, tmpfs, a seccomp
 * filter, landlock. The caller stays as it was. Used by world_enter and by `warmcell doctor`. */
#include "sandbox/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/memory.h"
#include "sandbox/landlock.h"
#include "sandbox/mounting.h"

static const struct {
    const char *name, *remedy;
    bool needed;
} parts[PROBE_PARTS] = {
    [PROBE_USER_NAMESPACES] =
        {"user namespaces",
         "set the sysctls user.max_user_namespaces to 10000, kernel.unprivileged_userns_clone to 1 "
         "and kernel.apparmor_restrict_unprivileged_userns to 0 where they exist; in a container, "
         "allow clone and unshare in its seccomp profile",
         true},
    [PROBE_NAMESPACES] =
        {"mount, pid, net, ipc and uts namespaces",
         "raise the sysctls user.max_{mnt,pid,net,ipc,uts}_namespaces, and build the kernel with "
         "CONFIG_PID_NS, CONFIG_NET_NS, CONFIG_IPC_NS and CONFIG_UTS_NS",
         true},
    [PROBE_MOUNTS] = {"mount calls",
                      "use Linux 5.12 or newer (open_tree, move_mount, mount_setattr); in a "
                      "container, allow mount, pivot_root and these in its seccomp profile",
                      true},
    [PROBE_PROC] = {"a /proc of its own",
                    "this is a container with a masked /proc: start it with it unmasked (docker "
                    "--security-opt systempaths=unconfined; kubernetes procMount: Unmasked)",
                    true},
    [PROBE_TMPFS] = {"tmpfs", "build the kernel with CONFIG_TMPFS", true},
    [PROBE_SECCOMP] = {"seccomp",
                       "build the kernel with CONFIG_SECCOMP_FILTER; in a container, allow seccomp "
                       "and prctl in its seccomp profile",
                       true},
    [PROBE_LANDLOCK] =
        {"landlock",
         "use Linux 5.13 or newer with CONFIG_SECURITY_LANDLOCK, and \"landlock\" in "
         "the boot parameter lsm=",
         false},
};

/* What a trying child says as its exit status: 0, or the part that failed (+1), the errno on a
 * pipe. */
struct attempt {
    int pipe_fd;
};

static _Noreturn void failed(const struct attempt *a, enum probe_part part)
{
    int saved = errno;
    if (write(a->pipe_fd, &saved, sizeof saved) != (ssize_t)sizeof saved)
        saved = 0;
    _exit((int)part + 1);
}

#define NAMESPACES (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)

static _Noreturn void try_inside(const struct attempt *a)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        failed(a, PROBE_MOUNTS);
    int root = open("/usr", O_PATH | O_CLOEXEC);
    int tree = root < 0 ? -1 : mounting_copy(root, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID);
    if (tree < 0)
        failed(a, PROBE_MOUNTS);
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        failed(a, PROBE_PROC);
    if (mounting_tmpfs("/tmp", "0755", 4096 * 16, 0) < 0)
        failed(a, PROBE_TMPFS);
    /* no folder can be made here: nobody is mapped yet */
    if (mounting_attach(tree, "/tmp") < 0 || mounting_pivot("/tmp") < 0)
        failed(a, PROBE_MOUNTS);
    _exit(0);
}

static pid_t clone_child(unsigned long flags)
{
    return (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
}

static _Noreturn void try_namespaces(const struct attempt *a, bool with_user)
{
    if (with_user && unshare(CLONE_NEWUSER) < 0)
        failed(a, PROBE_USER_NAMESPACES);
    pid_t child = clone_child(NAMESPACES);
    if (child == 0)
        try_inside(a);
    int status = 0;
    if (child < 0)
        failed(a, PROBE_NAMESPACES);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : PROBE_NAMESPACES + 1);
}

static _Noreturn void try_seccomp(const struct attempt *a)
{
    struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {countof(allow), allow};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
        failed(a, PROBE_SECCOMP);
    _exit(0);
}

enum experiment { IN_USER_NAMESPACE, AS_ROOT, FILTER };

/* Records in p what the child found. */
static void experiment(struct probe *p, enum experiment which)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return;
    struct attempt a = {ends[1]};
    pid_t child = fork();
    if (child == 0) {
        if (which == FILTER)
            try_seccomp(&a);
        try_namespaces(&a, which == IN_USER_NAMESPACE);
    }
    close(ends[1]);
    int status = 0, number = 0;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (read(ends[0], &number, sizeof number) != (ssize_t)sizeof number)
        number = 0;
    close(ends[0]);
    int part = child < 0 || !WIFEXITED(status) ? PROBE_NAMESPACES : WEXITSTATUS(status) - 1;
    if (part < 0 || part >= PROBE_PARTS)
        return;
    struct probe_finding *f = &p->findings[part];
    f->ok = false;
    snprintf(f->why, sizeof f->why, "%s", number ? strerror(number) : "it ended unexpectedly");
    /* the steps behind it were not tried; as root they are tried without a user namespace too */
    for (int later = part + 1; later <= PROBE_TMPFS && (!p->privileged || which == AS_ROOT);
         later++) {
        p->findings[later].ok = false;
        snprintf(p->findings[later].why, sizeof p->findings[later].why, "not tried without %s",
                 parts[part].name);
    }
}

/* Root as in a full system; root in a container without these is an ordinary user to us. */
static bool have_capabilities(void)
{
    static const int wanted[] = {CAP_SYS_ADMIN, CAP_SETUID,  CAP_SETGID,    CAP_CHOWN,
                                 CAP_KILL,      CAP_SETPCAP, CAP_SYS_CHROOT};
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[2] = {{0}};
    if (geteuid() != 0 || syscall(SYS_capget, &head, sets) < 0)
        return false;
    for (size_t i = 0; i < countof(wanted); i++)
        if (!(sets[CAP_TO_INDEX(wanted[i])].effective & CAP_TO_MASK(wanted[i])))
            return false;
    return true;
}

void probe_machine(struct probe *out)
{
    *out = (struct probe){.privileged = have_capabilities(), .landlock_abi = landlock_abi()};
    for (size_t i = 0; i < PROBE_PARTS; i++)
        out->findings[i] =
            (struct probe_finding){.name = parts[i].name, .ok = true, .needed = parts[i].needed};
    experiment(out, IN_USER_NAMESPACE);
    if (out->privileged)
        experiment(out, AS_ROOT);
    experiment(out, FILTER);
    if (out->landlock_abi == 0) {
        out->findings[PROBE_LANDLOCK].ok = false;
        snprintf(out->findings[PROBE_LANDLOCK].why, sizeof out->findings[PROBE_LANDLOCK].why,
                 "the kernel has none");
    }
    for (size_t i = 0; i < PROBE_PARTS; i++)
        if (!out->findings[i].ok)
            out->findings[i].remedy = parts[i].remedy;
}

bool probe_holds(const struct probe *p)
{
    for (size_t i = 0; i < PROBE_PARTS; i++)
        if (p->findings[i].needed && !p->findings[i].ok)
            return false;
    return true;
}

void probe_sentence(const struct probe *p, char *text, size_t len)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < PROBE_PARTS && used < len; i++) {
        const struct probe_finding *f = &p->findings[i];
        if (f->needed && !f->ok)
            used += (size_t)snprintf(text + used, len - used, "%s%s (%s): %s", used ? "; " : "",
                                     f->name, f->why, f->remedy);
    }
}

json_t *probe_missing(const struct probe *p)
{
    json_t *list = json_array();
    for (size_t i = 0; i < PROBE_PARTS; i++)
        if (!p->findings[i].ok)
            json_array_append_new(list, json_string(p->findings[i].name));
    return list;
}
