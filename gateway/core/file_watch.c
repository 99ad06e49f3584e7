/* Watches of files: the loop waits for the system to have something to tell, a thread of libuv's
 * reads it as the sandbox, since new folders are looked through then.
 *
 * Invariant: the job or the poll is under way, or neither; and a watch is in its sandbox's list
 * until it is closed. */
#include "gateway/core/file_watch.h"

#include <string.h>

#include "gateway/core/file_job.h"
#include "gateway/files/path.h"

struct file_watch {
    struct file_job job;     /* first */
    struct sandbox *sandbox; /* NULL: not in its list */
    struct file_watch *next;
    char *owner, *path;
    bool deep;
    struct watch *watch; /* NULL: not open */
    struct watch_events events;
    uv_poll_t poll;
    bool polled; /* poll is a handle */
    bool busy;   /* the job is under way */
    bool closed; /* its owner hears nothing more */
    const struct file_watch_events *told;
    void *user;
    void (*done)(void *user, struct file_watch *w, const struct err *e);
};

static void leave_list(struct file_watch *w)
{
    struct file_watch **at = w->sandbox ? &w->sandbox->watches : NULL;
    while (at && *at && *at != w)
        at = &(*at)->next;
    if (at && *at)
        *at = w->next;
    w->sandbox = NULL;
}

static void release(struct file_watch *w)
{
    struct core *c = w->job.core;
    watch_free(w->watch);
    watch_events_free(&w->events);
    file_job_clear(&w->job);
    free(w->owner);
    free(w->path);
    free(w);
    core_handle_closed(c);
}

static void on_poll_closed(uv_handle_t *handle)
{
    release(handle->data);
}

/* Frees it as soon as nothing is under way. */
static void let_go(struct file_watch *w)
{
    if (w->busy)
        return;
    if (w->polled)
        uv_close((uv_handle_t *)&w->poll, on_poll_closed);
    else
        release(w);
}

void file_watch_close(struct file_watch *w)
{
    leave_list(w);
    w->closed = true;
    let_go(w);
}

static void end(struct file_watch *w, const char *reason)
{
    const struct file_watch_events *told = w->told;
    void *user = w->user;
    bool open = w->watch && !w->done;
    if (!open) { /* it is being opened: on_open says so */
        leave_list(w);
        w->closed = true;
        return;
    }
    file_watch_close(w);
    told->on_end(user, reason);
}

void file_watches_end(struct sandbox *s, const char *reason)
{
    while (s->watches)
        end(s->watches, reason);
}

static void read_it(struct file_job *job, int root)
{
    struct file_watch *w = (struct file_watch *)job;
    watch_read(w->watch, root, &w->events);
}

static void on_read(struct file_job *job)
{
    struct file_watch *w = (struct file_watch *)job;
    struct watch_events events = w->events;
    w->events = (struct watch_events){0};
    w->busy = false;
    size_t count = events.count;
    bool ended = job->why.status || (count && events.event[count - 1].kind == WATCH_ENDED);
    events.count -= count && ended && !job->why.status;
    if (w->closed) {
        let_go(w);
    } else if (ended) {
        if (events.count)
            w->told->on_events(w->user, &events);
        if (!w->closed)
            end(w, job->why.status ? "its sandbox has ended" : "the folder has gone");
    } else if (events.count) {
        w->told->on_events(w->user, &events);
    } else {
        file_watch_next(w);
    }
    events.count = count;
    watch_events_free(&events);
}

static void on_readable(uv_poll_t *poll, int status, int what)
{
    struct file_watch *w = poll->data;
    (void)status;
    (void)what;
    uv_poll_stop(poll);
    w->busy = true;
    file_job_start(&w->job, read_it, on_read);
}

void file_watch_next(struct file_watch *w)
{
    uv_poll_start(&w->poll, UV_READABLE, on_readable);
}

static void open_it(struct file_job *job, int root)
{
    struct file_watch *w = (struct file_watch *)job;
    w->watch = watch_open(root, w->path, w->deep, &job->why);
}

static void on_open(struct file_job *job)
{
    struct file_watch *w = (struct file_watch *)job;
    void (*done)(void *user, struct file_watch *w, const struct err *e) = w->done;
    w->done = NULL;
    w->busy = false;
    if (w->closed && !job->why.status)
        fail(&job->why, 404, "the sandbox has ended meanwhile");
    if (job->why.status) {
        done(w->user, NULL, &job->why);
        file_watch_close(w);
        return;
    }
    uv_poll_init(job->core->loop, &w->poll, watch_fd(w->watch));
    w->poll.data = w;
    w->polled = true;
    done(w->user, w, NULL);
}

static bool may_open(const struct core *c, const char *owner, struct err *e)
{
    size_t all = 0, own = 0;
    for (size_t i = 0; i < c->sandbox_count; i++)
        for (const struct file_watch *w = c->sandboxes[i]->watches; w; w = w->next) {
            all++;
            own += strcmp(w->owner, owner) == 0;
        }
    if (own >= FILE_WATCHES_MOST)
        return fail(e, 403, "%d watches of yours are open already", FILE_WATCHES_MOST);
    return all < FILE_WATCHES_ALL_MOST ||
           fail(e, 503, "%d watches are open already", FILE_WATCHES_ALL_MOST);
}

void file_watch_open(struct sandbox *s, const struct principal *who, const char *path, bool deep,
                     const struct file_watch_events *events, void *user,
                     void (*done)(void *user, struct file_watch *w, const struct err *e))
{
    struct err e;
    scoped(string) char *clean = path_clean(path, &e);
    if (!clean || !may_open(s->core, who->name, &e)) {
        done(user, NULL, &e);
        return;
    }
    struct file_watch *w = xcalloc(1, sizeof *w);
    w->sandbox = s;
    w->next = s->watches;
    s->watches = w;
    w->owner = xstrdup(who->name);
    w->path = take(&clean);
    w->deep = deep;
    w->told = events;
    w->user = user;
    w->done = done;
    w->busy = true;
    file_job_set(&w->job, s);
    sandbox_use_free(take(&w->job.use)); /* who looks on does not use it */
    s->core->open_handles++;             /* until it is released */
    file_job_start(&w->job, open_it, on_open);
}
