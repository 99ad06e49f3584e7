/* The installer is ours, but the names and contents here are those of wheels: nothing is followed,
 * and each step goes from an open folder to a name in it. */
#include "gateway/core/package_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/core/state.h"
#include "gateway/store/store.h"

#define DEPTH_MOST  64
#define FOLDER_MODE 0755
#define FILE_MODE   0644
#define RUN_MODE    0111

struct tree_job {
    uv_work_t work;
    struct core *core;
    struct sandbox *s; /* held */
    char *from, *to, *name;
    int64_t uid; /* -1: as it is */
    struct limits limits;
    struct err why;
    void (*done)(void *user, const struct err *e);
    void *user;
};

static bool take_folder(const struct tree_job *job, int fd, int depth, struct err *e);

static bool give(const struct tree_job *job, int fd, mode_t mode, struct err *e)
{
    if (job->uid >= 0 && fchown(fd, (uid_t)job->uid, (gid_t)job->uid) != 0)
        return fail_errno(e, 503, "the packages cannot be given to the sandbox");
    return fchmod(fd, mode) == 0 || fail_errno(e, 503, "the packages' modes cannot be set");
}

static bool take_entry(const struct tree_job *job, int folder, const char *name, int depth,
                       struct err *e)
{
    struct stat st;
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 ||
        !(S_ISDIR(st.st_mode) || (S_ISREG(st.st_mode) && st.st_nlink == 1))) {
        if (fd >= 0)
            close(fd);
        return fail(e, 422, "a wheel holds %.100s, which is neither a plain file nor a folder",
                    name);
    }
    if (S_ISDIR(st.st_mode))
        return take_folder(job, fd, depth + 1, e);
    bool good = give(job, fd, FILE_MODE | (st.st_mode & 0100 ? RUN_MODE : 0), e);
    close(fd);
    return good;
}

static bool take_folder(const struct tree_job *job, int fd, int depth,
                        struct err *e) /* fd: taken */
{
    struct dirent *entry;
    bool good = depth < DEPTH_MOST || fail(e, 422, "a wheel holds folders too deep in each other");
    good = good && give(job, fd, FOLDER_MODE, e);
    DIR *handle = good ? fdopendir(fd) : NULL;
    if (!handle)
        close(fd);
    while (good && handle && (entry = readdir(handle)))
        good = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
               take_entry(job, dirfd(handle), entry->d_name, depth, e);
    if (handle)
        closedir(handle);
    return good;
}

static bool fits(const struct tree_job *job, char *out, struct err *e)
{
    struct quota quota = {0};
    struct quota_count more = {.workspace = out}, there = {.workspace = job->to};
    quota_begin(&quota, &more);
    quota_walk(&more);
    quota_begin(&quota, &there);
    quota_walk(&there);
    quota_take(&quota, &there);
    return quota_fits(&quota, &job->limits, more.bytes, more.inodes, e);
}

static int open_folder(const char *path)
{
    return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static bool move(struct tree_job *job, struct err *e)
{
    scoped(string) char *out = xasprintf("%s/out", job->from);
    if (!fits(job, out, e))
        return false;
    int tree = open_folder(out);
    if (tree < 0)
        return fail_errno(e, 503, "what was installed cannot be opened");
    if (!take_folder(job, tree, 0, e))
        return false;
    int from = open_folder(job->from), to = open_folder(job->to);
    bool good =
        from >= 0 && to >= 0 && renameat2(from, "out", to, job->name, RENAME_NOREPLACE) == 0;
    if (!good)
        fail_errno(e, 503, "what was installed cannot be moved into the workspace");
    good = good && sync_settle_filesystem(store_sync(job->core->store), dup(to), e);
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    return good;
}

static void on_work(uv_work_t *work)
{
    struct tree_job *job = work->data;
    if (move(job, &job->why))
        job->why = (struct err){0};
}

static void on_done(uv_work_t *work, int status)
{
    struct tree_job *job = work->data;
    struct core *c = job->core;
    (void)status;
    job->done(job->user, job->why.status ? &job->why : NULL);
    sandbox_let_go(job->s);
    free(job->from);
    free(job->to);
    free(job->name);
    free(job);
    core_handle_closed(c);
}

void package_tree_move(struct sandbox *s, const char *from, const char *name,
                       void (*done)(void *user, const struct err *e), void *user)
{
    struct tree_job *job = xcalloc(1, sizeof *job);
    *job = (struct tree_job){.core = s->core,
                             .s = s,
                             .from = xasprintf("%s/%s/workspace", s->core->sandboxes_dir, from),
                             .to = sandbox_workspace(s),
                             .name = xstrdup(name),
                             .uid = sandbox_uid(s),
                             .limits = s->limits,
                             .done = done,
                             .user = user};
    job->work.data = job;
    sandbox_hold(s);
    s->core->open_handles++;
    uv_queue_work(s->core->loop, &job->work, on_work, on_done);
}
