/* Small files in one piece. A file is read on libuv's threads into a buffer that its size was
 * checked for first; what is written goes the way of every upload (file_upload.c), so that quotas
 * and the place at once hold here, too. */
#include "gateway/core/file_whole.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "gateway/core/file_job.h"
#include "gateway/files/path.h"

#define PIECE_BYTES (256 * 1024)

/* --- reading */

struct reading {
    struct file_job job; /* first */
    char *path;
    size_t limit;
    struct buffer content;
    void (*done)(void *user, struct bytes content, const struct err *e);
    void *user;
};

static bool too_long(struct reading *r)
{
    return fail(&r->job.why, 413, "%.200s: is longer than %zu bytes, the most that is given whole",
                r->path, r->limit);
}

/* One byte more than the limit is asked for: so a file that grew is noticed. */
static bool read_all(struct reading *r, int fd)
{
    for (;;) {
        size_t left = r->limit + 1 - r->content.len;
        size_t room = left < PIECE_BYTES ? left : PIECE_BYTES;
        ssize_t got = read(fd, buffer_reserve(&r->content, room), room);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return path_fail(&r->job.why, r->path);
        r->content.len += (size_t)got;
        if (r->content.len > r->limit)
            return too_long(r);
        if (got == 0)
            return true;
    }
}

static bool open_entry(struct reading *r, int at, int *fd)
{
    struct entry entry = {0};
    bool good = entry_read(at, r->path, &entry, &r->job.why);
    if (good && entry.kind != ENTRY_FILE)
        good = fail(&r->job.why, 409, "%.200s: this is not a file", r->path);
    else if (good && (uint64_t)entry.size_bytes > r->limit)
        good = too_long(r);
    else if (good && (*fd = path_reopen(at, O_RDONLY | O_NONBLOCK)) < 0)
        good = path_fail(&r->job.why, r->path);
    entry_free(&entry);
    return good;
}

static void read_it(struct file_job *job, int root)
{
    struct reading *r = (struct reading *)job;
    int fd = -1, at = path_open(root, r->path, true, &job->why);
    if (at < 0)
        return;
    if (open_entry(r, at, &fd))
        read_all(r, fd);
    if (fd >= 0)
        close(fd);
    close(at);
}

static void on_read(struct file_job *job)
{
    struct reading *r = (struct reading *)job;
    r->done(r->user, buffer_view(&r->content), job->why.status ? &job->why : NULL);
    buffer_free(&r->content);
    free(r->path);
    file_job_clear(job);
    free(r);
}

void file_whole_read(struct sandbox *s, const char *path, size_t limit_bytes,
                     void (*done)(void *user, struct bytes content, const struct err *e),
                     void *user)
{
    struct err e;
    scoped(string) char *clean = path_clean(path, &e);
    if (!clean) {
        done(user, (struct bytes){0}, &e);
        return;
    }
    struct reading *r = xcalloc(1, sizeof *r);
    r->path = take(&clean);
    r->limit = limit_bytes;
    r->done = done;
    r->user = user;
    file_job_set(&r->job, s);
    file_job_start(&r->job, read_it, on_read);
}

/* --- writing */

struct writing {
    struct file_upload *upload;
    struct bytes content;
    void (*done)(void *user, const struct err *e);
    void *user;
};

static void end_writing(struct writing *w, const struct err *e)
{
    w->done(w->user, e);
    free(w);
}

static void on_committed(void *user, const struct upload_result *result, const struct err *e)
{
    (void)result;
    end_writing(user, e);
}

static void on_written(void *user, const struct err *e)
{
    struct writing *w = user;
    struct err why = e ? *e : (struct err){0};
    if (!e) {
        file_upload_commit(w->upload, on_committed, w);
        return;
    }
    file_upload_abort(w->upload);
    end_writing(w, &why);
}

static void on_opened(void *user, struct file_upload *u, const struct err *e)
{
    struct writing *w = user;
    w->upload = u;
    if (e)
        end_writing(w, e);
    else if (w->content.len)
        file_upload_write(u, w->content, on_written, w);
    else
        file_upload_commit(u, on_committed, w);
}

void file_whole_write(struct sandbox *s, const char *path, struct bytes content,
                      void (*done)(void *user, const struct err *e), void *user)
{
    struct err e;
    struct upload_plan plan = {.mode = -1};
    int64_t limit = core_settings(s->core)->file_limit_bytes;
    if ((int64_t)content.len > limit) {
        fail(&e, 413, "the content is longer than %lld bytes (--file-limit)", (long long)limit);
        done(user, &e);
        return;
    }
    struct writing *w = xcalloc(1, sizeof *w);
    *w = (struct writing){.content = content, .done = done, .user = user};
    plan.path = xstrdup(path);
    file_upload_open(s, &plan, (int64_t)content.len, on_opened, w);
}
