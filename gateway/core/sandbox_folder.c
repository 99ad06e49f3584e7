/* Removes what a sandbox wrote. Its code chose every name, link, mode and depth there, so nothing
 * is followed and no path is built: each step goes from an open folder to a name in it, and what
 * lies too deep is moved up first. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/core/keepsake.h"
#include "gateway/core/state.h"
#include "gateway/log.h"
#include "gateway/store/store.h"
#include "gateway/store/vault.h"
#include "protocol/ids.h"

#define DEPTH_MOST  64
#define PASSES_MOST 20000 /* each takes DEPTH_MOST levels, and what came since the last */

struct folder_job {
    uv_work_t work;
    struct core *core;
    char *parent, *id;
    int failure; /* errno; 0: all is gone */
    void (*done)(void *user);
    void *user;
};

static void remove_entry(int top, int dir, const char *name, int depth, int *failure);

static int open_folder(int dir, const char *name)
{
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = openat(dir, name, flags);
    if (fd >= 0 || errno != EACCES)
        return fd;
    fchmodat(dir, name, 0700, 0); /* of mode 0; nobody changes names here any more */
    return openat(dir, name, flags);
}

static void empty_folder(int top, int fd, int depth, int *failure) /* fd: taken */
{
    struct stat st;
    if (geteuid() != 0 && fstat(fd, &st) == 0 && (st.st_mode & 0700) != 0700)
        fchmod(fd, 0700);
    DIR *handle = fdopendir(fd);
    struct dirent *entry;
    while (handle && (entry = readdir(handle)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            remove_entry(top, dirfd(handle), entry->d_name, depth, failure);
    if (handle)
        closedir(handle);
    else
        close(fd);
}

static void remove_entry(int top, int dir, const char *name, int depth, int *failure)
{
    if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
        return;
    if (unlinkat(dir, name, AT_REMOVEDIR) == 0)
        return;
    if (depth >= DEPTH_MOST) {
        char fresh[UUID_TEXT]; /* the top is read again until nothing is left in it */
        uuid_make(fresh);
        if (renameat(dir, name, top, fresh) != 0)
            *failure = errno;
        return;
    }
    int fd = open_folder(dir, name);
    if (fd >= 0)
        empty_folder(top, fd, depth + 1, failure);
    /* what somebody put there since it was read is found when the top is read again */
    if (unlinkat(dir, name, AT_REMOVEDIR) != 0 && errno != ENOENT && (fd < 0 || errno != ENOTEMPTY))
        *failure = errno;
}

static void on_work(uv_work_t *work)
{
    struct folder_job *job = work->data;
    /* it is gone with the first step: the rest of a snapshot, and its keepsake, are nothing alone
     */
    vault_drop(job->core->vault, job->id, "state");
    vault_remove(job->core->vault, job->id);
    vault_drop(job->core->vault, KEEPSAKES, job->id);
    int parent = open(job->parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0) {
        job->failure = errno == ENOENT ? 0 : errno;
        return;
    }
    for (int pass = 0; pass < PASSES_MOST; pass++) {
        int top = open_folder(parent, job->id);
        job->failure = top < 0 && errno != ENOENT ? errno : 0;
        if (top < 0)
            break;
        empty_folder(top, dup(top), 1, &job->failure);
        close(top);
        if (unlinkat(parent, job->id, AT_REMOVEDIR) == 0 || job->failure)
            break;
        job->failure = errno; /* until a later pass, where only more is left */
        if (job->failure != ENOTEMPTY)
            break;
    }
    close(parent);
}

static void on_settled(void *user, const struct err *e)
{
    struct folder_job *job = user;
    struct core *c = job->core;
    if (e)
        log_warn("a folder that was removed may be there after a power cut", F_STR("name", job->id),
                 F_STR("why", e->text));
    if (job->done)
        job->done(job->user);
    free(job->parent);
    free(job->id);
    free(job);
    core_handle_closed(c);
}

static void on_done(uv_work_t *work, int status)
{
    struct folder_job *job = work->data;
    struct sync *sync = store_sync(job->core->store);
    scoped(string) char *snapshots = xasprintf("%s/snapshots", store_dir(job->core->store));
    scoped(string) char *keepsakes = xasprintf("%s/" KEEPSAKES, snapshots);
    (void)status;
    if (job->failure)
        log_warn("a folder could not be removed", F_STR("name", job->id),
                 F_STR("why", strerror(job->failure)));
    sync_path(sync, job->parent);
    sync_path(sync, snapshots); /* a sandbox has a folder there, too, */
    sync_path(sync, keepsakes); /* or a file */
    store_settle(job->core->store, on_settled, job);
}

void folder_remove(struct core *c, const char *parent, const char *name, void (*done)(void *user),
                   void *user)
{
    struct folder_job *job = xcalloc(1, sizeof(*job));
    job->work.data = job;
    job->core = c;
    job->parent = xstrdup(parent);
    job->id = xstrdup(name);
    job->done = done;
    job->user = user;
    c->open_handles++;
    uv_queue_work(c->loop, &job->work, on_work, on_done);
}

void sandbox_folder_remove(struct core *c, const char *id, void (*done)(void *user), void *user)
{
    folder_remove(c, c->sandboxes_dir, id, done, user);
}
