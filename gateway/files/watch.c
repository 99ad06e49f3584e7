/* The folders that are watched are a tree of nodes, each with the number that the system gave it.
 * The tree follows what the system tells: new folders are watched and looked through, as what was
 * made in them before is not told; folders that move take their nodes along.
 *
 * Invariant: the parent of each node but the first is a node. */
#include "gateway/files/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "gateway/files/path.h"
#include "gateway/files/walk.h"
#include "protocol/bytes.h"
#include "protocol/ids.h"

#define READ_BYTES (64 * 1024)
#define MASK                                                                                       \
    (IN_CREATE | IN_MODIFY | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_ONLYDIR |    \
     IN_EXCL_UNLINK)
#define MASK_ROOT (MASK | IN_DELETE_SELF | IN_MOVE_SELF)

struct node {
    int number;
    struct node *parent; /* NULL: the folder that was asked for */
    char *name;          /* owned; of the first its path */
    bool gone;
};

struct watch {
    int fd;
    int root; /* of the call that is under way: no folder is held, or its end were not told */
    bool deep;
    bool ended;
    bool full;           /* a folder is not watched because there are too many; said once */
    struct node **nodes; /* owned; by number */
    size_t count, room;
    struct watch_events *out; /* of the call that is under way */
    size_t out_room;
    struct {
        uint32_t cookie; /* 0: none */
        struct node *parent;
        char *name, *path; /* owned */
        bool folder, hidden;
    } leaving; /* a name that was moved, where to is not known yet */
};

void watch_events_free(struct watch_events *events)
{
    for (size_t i = 0; i < events->count; i++) {
        free(events->event[i].path);
        free(events->event[i].from);
    }
    free(events->event);
    *events = (struct watch_events){0};
}

/* path and from: taken, and may be NULL; what has a path that is too long is told as overflow. */
static void tell(struct watch *w, enum watch_kind kind, char *path, char *from, bool folder)
{
    struct watch_events *out = w->out;
    if (!path && kind != WATCH_ENDED) {
        free(take(&from));
        kind = WATCH_OVERFLOW;
    }
    const struct watch_event *last = out && out->count ? &out->event[out->count - 1] : NULL;
    bool again = last && last->kind == kind && !from &&
                 (path && last->path ? strcmp(path, last->path) == 0 : path == last->path);
    if (!out || again) { /* a file that is written says so with each write */
        free(path);
        free(from);
        return;
    }
    if (out->count == w->out_room) {
        w->out_room = w->out_room ? 2 * w->out_room : 16;
        out->event = xrealloc(out->event, w->out_room * sizeof *out->event);
    }
    out->event[out->count++] = (struct watch_event){kind, path, from, folder};
}

/* --- nodes */

static size_t place_of(const struct watch *w, int number)
{
    size_t low = 0, high = w->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (w->nodes[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct node *node_of(const struct watch *w, int number)
{
    size_t at = place_of(w, number);
    return at < w->count && w->nodes[at]->number == number ? w->nodes[at] : NULL;
}

static struct node *child_of(const struct watch *w, const struct node *parent, const char *name)
{
    for (size_t i = 0; i < w->count; i++)
        if (w->nodes[i]->parent == parent && strcmp(w->nodes[i]->name, name) == 0)
            return w->nodes[i];
    return NULL;
}

/* NULL: it is longer than any path may be: folders were moved below each other. */
static char *path_in(const struct node *n, const char *name)
{
    size_t len = strlen(name);
    for (const struct node *at = n; at && len < PATH_MAX; at = at->parent)
        len += 1 + strlen(at->name);
    if (len >= PATH_MAX)
        return NULL;
    scoped(string) char *folder = n->parent ? path_in(n->parent, n->name) : xstrdup(n->name);
    return *folder ? xasprintf("%s/%s", folder, name) : xstrdup(name);
}

static bool is_below(const struct node *n, const struct node *above)
{
    while (n && n != above)
        n = n->parent;
    return n != NULL;
}

/* The node and all below it. */
static void drop(struct watch *w, const struct node *above)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->count; i++)
        w->nodes[i]->gone = is_below(w->nodes[i], above);
    for (size_t i = 0; i < w->count; i++) {
        struct node *n = w->nodes[i];
        if (!n->gone) {
            w->nodes[kept++] = n;
            continue;
        }
        inotify_rm_watch(w->fd, n->number); /* fails of one that the system has dropped */
        free(n->name);
        free(n);
    }
    w->count = kept;
}

/* fd: of the folder. NULL: it is not watched, for it may not be read, or has gone, or w is full. */
static struct node *add(struct watch *w, struct node *parent, const char *name, int fd)
{
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    int number = -1;
    if (w->count < WATCH_FOLDERS_MOST)
        number = inotify_add_watch(w->fd, self, parent ? MASK : MASK_ROOT);
    else
        errno = ENOSPC;
    if (number < 0) {
        w->full = w->full || errno == ENOSPC || errno == ENOMEM;
        return NULL;
    }
    struct node *n = node_of(w, number);
    if (n) { /* it was moved here before we looked */
        free(n->name);
    } else {
        size_t at = place_of(w, number);
        if (w->count == w->room) {
            w->room = w->room ? 2 * w->room : 16;
            w->nodes = xrealloc(w->nodes, w->room * sizeof *w->nodes);
        }
        memmove(w->nodes + at + 1, w->nodes + at, (w->count++ - at) * sizeof *w->nodes);
        n = w->nodes[at] = xcalloc(1, sizeof *n);
        n->number = number;
    }
    if (!parent || !is_below(parent, n))
        n->parent = parent;
    n->name = xstrdup(name);
    return n;
}

/* Watches what is below the folder of n, if that is asked for; report: and tells it, as what was
 * made before the folder was watched. */
static void look_through(struct watch *w, struct node *n, int fd, bool report)
{
    struct node *parents[WALK_DEPTH_MOST + 1] = {n};
    struct walk_entry entry;
    struct err e;
    size_t told = 0;
    struct walk *walk = w->deep ? walk_open(fd, &e) : NULL;
    while (walk && !w->full && walk_next(walk, &entry, &e)) {
        bool folder = entry.known && S_ISDIR(entry.st.st_mode);
        size_t depth = 0;
        for (const char *at = entry.path; *at; at++)
            depth += *at == '/';
        struct node *parent = parents[depth];
        if (report && told++ < WATCH_BATCH)
            tell(w, WATCH_CREATED, path_in(n, entry.path), NULL, folder);
        if (!folder)
            continue;
        int at = openat(entry.dir, entry.name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        parents[depth + 1] = at >= 0 ? add(w, parent, entry.name, at) : NULL;
        if (at >= 0)
            close(at);
        if (!parents[depth + 1])
            walk_skip(walk);
    }
    walk_free(walk);
    if (told > WATCH_BATCH)
        tell(w, WATCH_OVERFLOW, NULL, NULL, false);
}

/* False: e, 403, 404, 409; or w is full. */
static bool add_root(struct watch *w, const char *path, struct err *e)
{
    struct stat st;
    int fd = path_open(w->root, path, true, e);
    if (fd < 0)
        return false;
    struct node *n = NULL;
    if (fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode))
        fail(e, 409, "%.200s: this is not a folder", path);
    else if (!(n = add(w, NULL, path, fd)) && !w->full)
        fail(e, 403, "%.200s: the sandbox itself may not read this", path);
    if (n)
        look_through(w, n, fd, false);
    close(fd);
    return n && !w->full;
}

static void forget_leaving(struct watch *w)
{
    free(w->leaving.name);
    free(w->leaving.path);
    memset(&w->leaving, 0, sizeof w->leaving);
}

struct watch *watch_open(int root, const char *path, bool deep, struct err *e)
{
    struct watch *w = xcalloc(1, sizeof *w);
    w->deep = deep;
    w->root = root;
    w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (w->fd < 0)
        fail_errno(e, 503, "the system has no room for another watch");
    else if (add_root(w, path, e))
        return w;
    else if (w->full)
        fail(e, 403, "%.200s: more than %d folders are below this, or than the system can watch",
             path, WATCH_FOLDERS_MOST);
    watch_free(w);
    return NULL;
}

void watch_free(struct watch *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->count; i++) {
        free(w->nodes[i]->name);
        free(w->nodes[i]);
    }
    free(w->nodes);
    forget_leaving(w);
    if (w->fd >= 0)
        close(w->fd);
    free(w);
}

int watch_fd(const struct watch *w)
{
    return w->fd;
}

/* --- what the system tells */

/* Ours, before it is in its place. */
static bool is_hidden(const char *name)
{
    return strncmp(name, PATH_BESIDE, strlen(PATH_BESIDE)) == 0 &&
           strlen(name) == strlen(PATH_BESIDE) + UUID_TEXT - 1;
}

/* A file that was made without a name (O_TMPFILE) is told by one of the system's, "#123", when its
 * permissions change. */
static bool is_nameless(const struct watch *w, const struct node *n, const char *name)
{
    struct err e;
    if (*name != '#' || name[1 + strspn(name + 1, "0123456789")])
        return false;
    scoped(string) char *path = path_in(n, name);
    int fd = path ? path_open(w->root, path, false, &e) : -1;
    if (fd >= 0)
        close(fd);
    return path && fd < 0;
}

/* Where it went to is not watched. */
static void has_left(struct watch *w)
{
    if (!w->leaving.cookie)
        return;
    struct node *n = w->leaving.folder ? child_of(w, w->leaving.parent, w->leaving.name) : NULL;
    if (n)
        drop(w, n);
    if (!w->leaving.hidden)
        tell(w, WATCH_DELETED, take(&w->leaving.path), NULL, w->leaving.folder);
    forget_leaving(w);
}

/* to: taken, and may be NULL. */
static void tell_move(struct watch *w, char *to, bool folder)
{
    char *from = take(&w->leaving.path);
    if (!from)
        free(take(&to));
    tell(w, WATCH_MOVED, to, from, folder);
}

/* A folder that is new here, by that name in n's. */
static void follow(struct watch *w, struct node *n, const char *name)
{
    scoped(string) char *path = path_in(n, name);
    struct err e;
    int fd = path ? path_open(w->root, path, false, &e) : -1;
    struct node *added = fd >= 0 && w->deep ? add(w, n, name, fd) : NULL;
    if (added)
        look_through(w, added, fd, true);
    if (fd >= 0)
        close(fd);
    if (w->full)
        tell(w, WATCH_OVERFLOW, NULL, NULL, false);
}

static void arrived(struct watch *w, struct node *n, const struct inotify_event *event)
{
    bool folder = event->mask & IN_ISDIR;
    if (!w->leaving.cookie || is_hidden(event->name)) {
        if (!is_hidden(event->name)) {
            tell(w, WATCH_CREATED, path_in(n, event->name), NULL, folder);
            if (folder)
                follow(w, n, event->name);
        }
        has_left(w);
        return;
    }
    struct node *moved = folder ? child_of(w, w->leaving.parent, w->leaving.name) : NULL;
    if (moved && !is_below(n, moved)) {
        free(moved->name);
        moved->name = xstrdup(event->name);
        moved->parent = n;
    }
    if (w->leaving.hidden) /* a file that we put in the place of another */
        tell(w, WATCH_MODIFIED, path_in(n, event->name), NULL, folder);
    else
        tell_move(w, path_in(n, event->name), folder);
    forget_leaving(w);
}

static void leaves(struct watch *w, struct node *n, const struct inotify_event *event)
{
    w->leaving.cookie = event->cookie;
    w->leaving.parent = n;
    w->leaving.name = xstrdup(event->name);
    w->leaving.path = path_in(n, event->name);
    w->leaving.folder = event->mask & IN_ISDIR;
    w->leaving.hidden = is_hidden(event->name);
}

/* All is looked at anew: the folders that were made meanwhile are not known. */
static void overflow(struct watch *w)
{
    scoped(string) char *path = NULL;
    for (size_t i = 0; i < w->count; i++)
        if (!w->nodes[i]->parent)
            path = xstrdup(w->nodes[i]->name);
    forget_leaving(w);
    tell(w, WATCH_OVERFLOW, NULL, NULL, false);
    while (w->count)
        drop(w, w->nodes[0]);
    w->full = false;
    struct err e;
    w->ended = !path || !(add_root(w, path, &e) || w->full);
}

static void gone(struct watch *w, struct node *n)
{
    w->ended = w->ended || !n->parent;
    drop(w, n);
}

static void take_event(struct watch *w, const struct inotify_event *event)
{
    if (event->mask & IN_Q_OVERFLOW) {
        overflow(w);
        return;
    }
    /* before the node is looked for: it may be one of those that go with a folder that has left */
    if (!(event->mask & IN_MOVED_TO) || event->cookie != w->leaving.cookie)
        has_left(w);
    struct node *n = node_of(w, event->wd);
    if (!n)
        return;
    if (event->mask & (IN_IGNORED | IN_UNMOUNT | IN_DELETE_SELF | IN_MOVE_SELF)) {
        gone(w, n);
        return;
    }
    bool folder = event->mask & IN_ISDIR;
    if (!event->len || (event->mask & IN_MOVED_TO)) {
        if (event->len)
            arrived(w, n, event);
        return;
    }
    if (event->mask & IN_MOVED_FROM) {
        leaves(w, n, event);
        return;
    }
    if (is_hidden(event->name))
        return;
    enum watch_kind kind = event->mask & IN_CREATE   ? WATCH_CREATED
                           : event->mask & IN_DELETE ? WATCH_DELETED
                           : event->mask & IN_MODIFY ? WATCH_MODIFIED
                                                     : WATCH_ATTRIBUTES;
    if (kind == WATCH_ATTRIBUTES && is_nameless(w, n, event->name))
        return;
    tell(w, kind, path_in(n, event->name), NULL, folder);
    if (folder && kind == WATCH_CREATED)
        follow(w, n, event->name);
}

void watch_read(struct watch *w, int root, struct watch_events *out)
{
    *out = (struct watch_events){0};
    w->root = root;
    w->out = out;
    w->out_room = 0;
    _Alignas(struct inotify_event) char piece[READ_BYTES];
    ssize_t got = 0;
    while (!w->ended && out->count < WATCH_BATCH && (got = read(w->fd, piece, sizeof piece)) > 0)
        for (char *at = piece; at < piece + got && !w->ended;) {
            const struct inotify_event *event = (const struct inotify_event *)at;
            at += sizeof *event + event->len;
            take_event(w, event);
        }
    if (got < 0)
        has_left(w); /* both halves of a move are told one behind the other */
    if (w->ended)
        tell(w, WATCH_ENDED, NULL, NULL, false);
    w->out = NULL;
}
