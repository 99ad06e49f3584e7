/* The keeper's own place. One clone with all flags makes it PID 1 of a PID namespace with mounts of
 * its own; as an ordinary user, in a user namespace where it is root. It leaves the host's file
 * system for a small one that holds the template's root, /proc and the folders of the sandboxes,
 * and nothing else. Called once by the keeper's program, before it has threads. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/memory.h"
#include "sandbox/boundary.h"
#include "sandbox/confine.h"
#include "sandbox/filter.h"
#include "sandbox/mounting.h"
#include "sandbox/root.h"
#include "sandbox/world.h"

#define KEEPER_ROOT_BYTES  (1024 * 1024)
#define FORK_SERVER_TMP    (256LL * 1024 * 1024)
#define FORK_SERVER_INODES 20000
#define HOST               "/host" /* the host's root, until the template is built */

/* glibc remembers the thread's id at this address, which the kernel tells where it can. */
pid_t world_clone(unsigned long flags)
{
    int *tid = NULL;
    if (prctl(PR_GET_TID_ADDRESS, &tid, 0, 0, 0) == 0 && tid)
        flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
#ifdef __x86_64__
    return (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0, NULL, tid, 0);
#else
    return (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0, NULL, 0, tid);
#endif
}

static bool set_text(pid_t pid, const char *file, const char *text)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0)
        close(fd);
    return written;
}

/* Root in there is who we are here; nobody else exists. */
static bool write_maps(pid_t pid, struct err *e)
{
    char uid_map[32], gid_map[32];
    snprintf(uid_map, sizeof uid_map, "0 %u 1", (unsigned)geteuid());
    snprintf(gid_map, sizeof gid_map, "0 %u 1", (unsigned)getegid());
    return (set_text(pid, "setgroups", "deny") && set_text(pid, "uid_map", uid_map) &&
            set_text(pid, "gid_map", gid_map)) ||
           fail_errno(e, 501, "cannot map this user into a user namespace (see warmcell doctor)");
}

static bool become_root(const struct world *w, struct err *e)
{
    if (w->privileged)
        return setgroups(0, NULL) == 0 || fail_errno(e, 503, "cannot leave groups");
    return (setresgid(0, 0, 0) == 0 && setresuid(0, 0, 0) == 0) ||
           fail_errno(e, 503, "cannot become root of a user namespace");
}

/* A root of our own, with the host's below HOST: a tmpfs on a folder that every system has; once it
 * is the root it covers nothing any more. */
static bool leave_host_root(struct err *e)
{
    static const char *const folders[] = {HOST, WORLD_TEMPLATE, WORLD_NEXT, WORLD_STATE, "/proc"};
    const char *at = access("/tmp", F_OK) == 0 ? "/tmp" : "/mnt";
    umask(022);
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mounting_tmpfs(at, "0755", KEEPER_ROOT_BYTES, 0) < 0 || chdir(at) < 0)
        return fail_errno(e, 501, "cannot mount a root for the keeper");
    for (size_t i = 0; i < countof(folders); i++)
        if (mkdir(folders[i] + 1, 0755) < 0)
            return fail_errno(e, 503, "cannot make a folder in the keeper's root");
    if (syscall(SYS_pivot_root, ".", &HOST[1]) < 0 || chdir("/") < 0)
        return fail_errno(e, 501, "cannot change the root of the keeper");
    return true;
}

static bool show_state(const struct world_plan *plan, struct err *e)
{
    scoped(string) char *source = xasprintf("%s%s", HOST, plan->state_dir);
    return mounting_bind(source, WORLD_STATE, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV) == 0 ||
           fail_errno(e, 503, "cannot mount the state folder %s", plan->state_dir);
}

static bool mount_proc(struct err *e)
{
    const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    return mount("proc", "/proc", "proc", flags, NULL) == 0 ||
           fail_errno(e, 501, "cannot mount a /proc for the keeper (see warmcell doctor)");
}

static bool settle(struct world *w, const struct world_plan *plan, struct err *e)
{
    if (!become_root(w, e) || !leave_host_root(e))
        return false;
    int host = open(HOST, O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool built = host >= 0 && mount_proc(e) &&
                 root_build(WORLD_TEMPLATE, host, plan->read_only, &w->hidden, e) &&
                 show_state(plan, e);
    if (host >= 0)
        close(host);
    if (!built)
        return false;
    struct mount_attr final = {.attr_set = MOUNT_ATTR_RDONLY};
    if (umount2(HOST, MNT_DETACH) < 0 || mount_setattr(AT_FDCWD, "/", 0, &final, sizeof final) < 0)
        return fail_errno(e, 503, "cannot leave the host's file system");
    w->confined = true;
    w->state_dir = xstrdup(WORLD_STATE);
    return true;
}

struct handshake {
    int go[2], done[2];
};

/* In the keeper: waits for its maps, settles, and says how it went. */
static bool arrive(const struct handshake *h, struct world *w, const struct world_plan *plan)
{
    char go = 0;
    struct err report = {0};
    close(h->go[1]);
    close(h->done[0]);
    bool settled = read(h->go[0], &go, 1) == 1 && settle(w, plan, &report);
    if (!settled && !report.status)
        fail(&report, 503, "the keeper could not find its place");
    ssize_t sent = write(h->done[1], &report, sizeof report);
    close(h->go[0]);
    close(h->done[1]);
    return settled && sent == (ssize_t)sizeof report;
}

/* In the caller: lets the keeper go on, and hears how it went. */
static bool send_off(const struct handshake *h, const struct world *w, pid_t keeper, struct err *e)
{
    struct err report = {0};
    close(h->go[0]);
    close(h->done[1]);
    bool good = w->privileged || write_maps(keeper, e);
    if (good && write(h->go[1], "g", 1) != 1)
        good = fail_errno(e, 503, "the keeper ended at once");
    close(h->go[1]);
    ssize_t got = 0;
    while (good && (got = read(h->done[0], &report, sizeof report)) < 0 && errno == EINTR)
        ;
    close(h->done[0]);
    if (good && got != (ssize_t)sizeof report)
        good = fail(e, 503, "the keeper ended before it had found its place");
    else if (good && report.status)
        good = fail(e, report.status, "%s", report.text);
    if (!good) {
        kill(keeper, SIGKILL);
        while (waitpid(keeper, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    return good;
}

void world_free(struct world *w)
{
    if (!w)
        return;
    for (char **path = w->hidden; path && *path; path++)
        free(*path);
    free(w->hidden);
    free(w->state_dir);
    free(w);
}
SCOPED(world, struct world *, world_free)

static bool check(const struct world_plan *plan, const struct world *w, struct err *e)
{
    char text[sizeof e->text - 80];
    if (plan->state_dir[0] != '/')
        return fail(e, 400, "the state folder must be an absolute path");
    if (probe_holds(&w->probe) || !plan->required)
        return true;
    probe_sentence(&w->probe, text, sizeof text);
    return fail(e, 501, "sandboxes cannot be had here: %s", text);
}

/* Whether what world_enter does is possible at all. */
static bool can_enter(const struct probe *p)
{
    return p->findings[PROBE_USER_NAMESPACES].ok && p->findings[PROBE_NAMESPACES].ok &&
           p->findings[PROBE_MOUNTS].ok && p->findings[PROBE_PROC].ok &&
           p->findings[PROBE_TMPFS].ok;
}

/* Best-effort, on a machine that cannot: the keeper is a child like any other. */
static bool stay(struct world *w, const struct world_plan *plan, pid_t *keeper, struct world **out,
                 struct err *e)
{
    *keeper = fork();
    if (*keeper < 0)
        return fail_errno(e, 503, "cannot fork the keeper");
    if (*keeper > 0)
        return true;
    w->state_dir = xstrdup(plan->state_dir);
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    *out = w;
    return true;
}

bool world_enter(const struct world_plan *plan, pid_t *keeper, struct world **out, struct err *e)
{
    scoped(world) struct world *w = xcalloc(1, sizeof *w);
    struct handshake h;
    probe_machine(&w->probe);
    w->privileged = w->probe.privileged;
    w->owner = w->privileged ? plan->first_uid : 0;
    w->owner_gid = (gid_t)w->owner;
    if (!check(plan, w, e))
        return false;
    if (!can_enter(&w->probe)) {
        bool stayed = stay(w, plan, keeper, out, e);
        if (stayed && *keeper == 0)
            (void)take(&w);
        return stayed;
    }
    if (pipe2(h.go, O_CLOEXEC) < 0)
        return fail_errno(e, 503, "cannot make a pipe");
    if (pipe2(h.done, O_CLOEXEC) < 0) {
        fail_errno(e, 503, "cannot make a pipe");
        close(h.go[0]);
        close(h.go[1]);
        return false;
    }
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* its maps are written through /proc */
    *keeper = world_clone(CLONE_NEWPID | CLONE_NEWNS | (w->privileged ? 0 : CLONE_NEWUSER));
    if (*keeper == 0) {
        if (!arrive(&h, w, plan))
            _exit(1);
        *out = take(&w);
        return true;
    }
    if (*keeper < 0) {
        fail_errno(e, 501, "cannot make the keeper's namespaces (see warmcell doctor)");
        close(h.go[0]);
        close(h.go[1]);
        close(h.done[0]);
        close(h.done[1]);
        return false;
    }
    return send_off(&h, w, *keeper, e);
}

bool world_has_uids(const struct world *w)
{
    return w->privileged;
}

char *world_workspace(const struct world *w, const char *id)
{
    return xasprintf("%s/%s/workspace", w->state_dir, id);
}

const char *world_state(const struct world *w)
{
    return w->state_dir;
}

json_t *world_report(const struct world *w)
{
    return json_pack("{s:s, s:b, s:b, s:i, s:o}", "profile", "sandbox", "user_namespaces",
                     w->confined, "seccomp", w->probe.findings[PROBE_SECCOMP].ok, "landlock",
                     w->probe.landlock_abi, "missing", probe_missing(&w->probe));
}

static const char *fork_server_root(struct world *w)
{
    const struct root_sizes sizes = {FORK_SERVER_TMP, FORK_SERVER_TMP, FORK_SERVER_TMP,
                                     FORK_SERVER_INODES};
    const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    if (mount(WORLD_TEMPLATE, WORLD_NEXT, NULL, MS_BIND | MS_REC, NULL) < 0)
        return "root";
    const char *failed = root_private(WORLD_TEMPLATE, WORLD_NEXT, &sizes, w->hidden);
    if (failed)
        return failed;
    if (chown(WORLD_NEXT ROOT_HOME, w->owner, w->owner_gid) < 0)
        return ROOT_HOME;
    /* of others' processes it sees none, where the kernel can hide them per mount (5.8) */
    if (mount("proc", WORLD_NEXT "/proc", "proc", flags, "hidepid=invisible") < 0 &&
        mount("proc", WORLD_NEXT "/proc", "proc", flags, NULL) < 0)
        return "/proc";
    return mounting_pivot(WORLD_NEXT) < 0 ? "pivot_root" : NULL;
}

static const char *confine_fork_server(struct world *w)
{
    if (w->confined) {
        if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
            return "namespaces";
        const char *failed = fork_server_root(w);
        if (failed)
            return failed;
    }
    uid_t uid = w->privileged || w->confined ? w->owner : getuid();
    gid_t gid = w->privileged || w->confined ? w->owner_gid : getgid();
    const char *failed = confine_rights(uid, gid);
    if (failed)
        return failed;
    struct rlimit core = {1, 1}; /* as in sandboxes: see filter.c */
    if (setrlimit(RLIMIT_CORE, &core) < 0)
        return "core limit";
    if (!w->probe.findings[PROBE_SECCOMP].ok)
        return NULL;
    return filter_install(FILTER_FORK_SERVER) < 0 ? "seccomp" : NULL;
}

int world_confine_fork_server(struct world *w, const char **step)
{
    *step = confine_fork_server(w);
    return *step ? -1 : 0;
}
