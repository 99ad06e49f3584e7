/* The init of a sandbox. While it still has every capability in the sandbox's own user namespace it
 * makes the root: a copy of the template's mounts, the sandbox's places, its /proc with what speaks
 * of the host covered. Then it hands the namespaces to the keeper, gives up everything, and sleeps.
 * As PID 1 its end is the end of everything inside; children that lost their parents are reaped by
 * the kernel, since SIGCHLD is ignored. It executes nothing and holds no descriptor. */
#include "sandbox/init.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "protocol/memory.h"
#include "sandbox/boundary.h"
#include "sandbox/confine.h"
#include "sandbox/limits.h"
#include "sandbox/mounting.h"
#include "sandbox/priority.h"
#include "sandbox/world.h"

#define AT(path) WORLD_NEXT path

/* Of /proc: what may be read but not written, and what says things about the host. */
static const char *const proc_read_only[] = {"/proc/sys", "/proc/irq", "/proc/bus", "/proc/fs",
                                             "/proc/sysrq-trigger"};
static const char *const proc_covered[] = {
    "/proc/kcore",    "/proc/keys",        "/proc/key-users",     "/proc/timer_list",
    "/proc/cmdline",  "/proc/sched_debug", "/proc/latency_stats", "/proc/interrupts",
    "/proc/kallsyms", "/proc/modules",     "/proc/config.gz"};
static const char *const proc_covered_folders[] = {"/proc/acpi", "/proc/asound", "/proc/scsi",
                                                   "/proc/driver"};

/* mount(2) by paths: fewer calls than by descriptors. Absent things are passed over. */
static int bind_over(const char *source, const char *target, bool read_only)
{
    if (mount(source, target, NULL, MS_BIND, NULL) < 0)
        return errno == ENOENT ? 0 : -1;
    if (!read_only)
        return 0;
    return mount(NULL, target, NULL,
                 MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

static const char *make_proc(void)
{
    char target[64];
    if (mount("proc", AT("/proc"), "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
        return "/proc";
    for (size_t i = 0; i < countof(proc_read_only); i++) {
        snprintf(target, sizeof target, "%s%s", WORLD_NEXT, proc_read_only[i]);
        if (bind_over(target, target, true) < 0)
            return proc_read_only[i];
    }
    for (size_t i = 0; i < countof(proc_covered); i++) {
        snprintf(target, sizeof target, "%s%s", WORLD_NEXT, proc_covered[i]);
        if (bind_over(WORLD_TEMPLATE "/dev/null", target, false) < 0)
            return proc_covered[i];
    }
    for (size_t i = 0; i < countof(proc_covered_folders); i++) {
        snprintf(target, sizeof target, "%s%s", WORLD_NEXT, proc_covered_folders[i]);
        if (bind_over(WORLD_TEMPLATE "/mnt", target, false) < 0)
            return proc_covered_folders[i];
    }
    return NULL;
}

static const char *make_root(const struct init_plan *plan)
{
    if (mount(WORLD_TEMPLATE, WORLD_NEXT, NULL, MS_BIND | MS_REC, NULL) < 0)
        return "root";
    const char *failed = root_private(WORLD_TEMPLATE, WORLD_NEXT, &plan->sizes, plan->hidden);
    if (failed)
        return failed;
    if (mounting_attach(plan->workspace, AT(ROOT_WORKSPACE)) < 0)
        return ROOT_WORKSPACE;
    if (mount("devpts", AT(ROOT_PTS), "devpts", MS_NOSUID | MS_NOEXEC,
              "newinstance,ptmxmode=0666,mode=0620") < 0)
        return ROOT_PTS;
    failed = make_proc();
    if (failed)
        return failed;
    return mounting_pivot(WORLD_NEXT) < 0 ? "pivot_root" : NULL;
}

static const char *loopback_up(void)
{
    struct ifreq request = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return NULL; /* a kernel without IPv4 has no loopback to bring up */
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    int result = ioctl(fd, SIOCSIFFLAGS, &request);
    close(fd);
    return result < 0 ? "loopback" : NULL;
}

static const char *make_everything(const struct init_plan *plan)
{
    static const char hostname[] = "sandbox";
    if (syscall(SYS_setresgid, BOUNDARY_UID, BOUNDARY_UID, BOUNDARY_UID) < 0 ||
        syscall(SYS_setresuid, BOUNDARY_UID, BOUNDARY_UID, BOUNDARY_UID) < 0)
        return "uid";
    umask(022);
    const char *failed = make_root(plan);
    if (!failed && (sethostname(hostname, sizeof hostname - 1) < 0 || setdomainname("", 0) < 0))
        failed = "hostname";
    return failed ? failed : loopback_up();
}

/* All but the socket, which the report still needs. */
static void close_others(int keep)
{
    if (keep > 0)
        close_range(0, (unsigned)keep - 1, 0);
    close_range((unsigned)keep + 1, ~0u, 0);
}

static const char *open_namespaces(int *fds)
{
    static const char *const names[WIRE_NAMESPACES] = {"/proc/self/ns/user", "/proc/self/ns/mnt",
                                                       "/proc/self/ns/pid",  "/proc/self/ns/net",
                                                       "/proc/self/ns/ipc",  "/proc/self/ns/uts"};
    for (size_t i = 0; i < WIRE_NAMESPACES; i++)
        if ((fds[i] = open(names[i], O_RDONLY | O_CLOEXEC)) < 0)
            return names[i];
    return NULL;
}

static void report(int socket_fd, const char *step, int error, const int *fds)
{
    struct init_report text = {.error = error};
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int) * WIRE_NAMESPACES)];
    } control = {{0}};
    struct iovec part = {&text, sizeof text};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    snprintf(text.step, sizeof text.step, "%s", step ? step : "");
    if (!step) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int) * WIRE_NAMESPACES);
        memcpy(CMSG_DATA(head), fds, sizeof(int) * WIRE_NAMESPACES);
    }
    /* a keeper that is gone takes this process with it, being PID 1 above */
    (void)!sendmsg(socket_fd, &message, MSG_NOSIGNAL);
}

static void forget_signals(void)
{
    sigset_t none;
    for (int number = 1; number < NSIG; number++)
        signal(number, number == SIGCHLD ? SIG_IGN : SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

_Noreturn void init_main(const struct init_plan *plan)
{
    int fds[WIRE_NAMESPACES];
    char go = 0;
    forget_signals();
    setsid();
    prctl(PR_SET_NAME, "sandbox-init", 0, 0, 0);
    if (recv(plan->socket_fd, &go, 1, 0) != 1 || go != INIT_GO)
        _exit(1);
    int socket_fd = plan->socket_fd;
    const char *failed =
        share_enter(plan->doors, plan->door_count) ? make_everything(plan) : "control group";
    int error = errno;
    if (!failed) {
        close_others(socket_fd);
        failed = open_namespaces(fds);
        error = errno;
    }
    if (!failed) {
        /* before anything can look at it from inside: the keeper has the namespaces by then */
        failed = confine_identity(BOUNDARY_UID, BOUNDARY_UID);
        error = errno;
    }
    if (!failed && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        failed = "dumpable", error = errno;
    priority_restore();
    report(socket_fd, failed, error, fds);
    if (failed)
        _exit(1);
    close_range(0, ~0u, 0);
    for (;;)
        pause();
}

_Noreturn void init_stand_in(const struct init_plan *plan)
{
    char go = 0;
    forget_signals();
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (recv(plan->socket_fd, &go, 1, 0) != 1 || go != INIT_GO)
        _exit(1);
    report(plan->socket_fd, "none", 0, NULL);
    close_range(0, ~0u, 0);
    for (;;)
        pause();
}
