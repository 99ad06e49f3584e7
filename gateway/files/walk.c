/* A stack of open folders, each with the next of its names. A folder with many names is read again
 * for the next of them, twice as many each time. */
#include "gateway/files/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "gateway/files/names.h"
#include "gateway/files/path.h"
#include "protocol/bytes.h"

#define NAMES_LEAST 512
#define NAMES_MOST  (128 * 1024) /* of one folder, in memory */

struct level {
    DIR *folder;
    struct names names;
    size_t at;       /* the next of them */
    size_t limit;    /* how many are read at a time */
    char *after;     /* the name behind which the next reading begins; owned */
    size_t path_len; /* of the folder's own path */
};

struct walk {
    struct level levels[WALK_DEPTH_MOST];
    size_t depth; /* of them in use */
    struct buffer path;
    bool entered; /* the folder that was told last is the topmost level */
};

static bool push(struct walk *w, int fd) /* fd: taken */
{
    struct level *l = &w->levels[w->depth];
    *l = (struct level){.folder = fdopendir(fd), .limit = NAMES_LEAST, .path_len = w->path.len};
    if (!l->folder) {
        close(fd);
        return false;
    }
    l->after = xstrdup("");
    w->depth++;
    return true;
}

static void pop(struct walk *w)
{
    struct level *l = &w->levels[--w->depth];
    closedir(l->folder);
    names_free(&l->names);
    free(l->after);
    w->path.len = l->path_len;
}

struct walk *walk_open(int fd, struct err *e)
{
    int own = path_reopen(fd, O_RDONLY | O_DIRECTORY);
    struct walk *w = xcalloc(1, sizeof *w);
    if (own >= 0 && push(w, own))
        return w;
    path_fail(e, "");
    free(w);
    return NULL;
}

void walk_free(struct walk *w)
{
    if (!w)
        return;
    while (w->depth)
        pop(w);
    buffer_free(&w->path);
    free(w);
}

static void set_path(struct walk *w, const char *name)
{
    w->path.len = w->levels[w->depth - 1].path_len;
    if (w->path.len)
        buffer_add_text(&w->path, "/");
    buffer_add_text(&w->path, name);
}

/* Into the folder `name` of the topmost level, whose path is set. Why not; NULL: it is entered. */
static const char *enter(struct walk *w, const char *name)
{
    int dir = dirfd(w->levels[w->depth - 1].folder);
    if (w->depth == WALK_DEPTH_MOST)
        return "it lies too deep";
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && push(w, fd))
        return NULL;
    return errno == ENOENT || errno == ENOTDIR ? "it has gone meanwhile"
           : errno == EACCES || errno == EPERM ? "the sandbox itself may not read it"
                                               : "it cannot be read";
}

void walk_seek(struct walk *w, const char *after)
{
    while (*after) {
        size_t len = strcspn(after, "/");
        struct level *l = &w->levels[w->depth - 1];
        free(l->after);
        l->after = xstrndup(after, len);
        if (strcmp(l->after, ".") == 0 || strcmp(l->after, "..") == 0)
            break; /* a walk told neither, and would be led out of its folder */
        set_path(w, l->after);
        if (enter(w, l->after))
            break;
        after += len + (after[len] == '/');
    }
}

/* The next name of the topmost level; NULL: it has no more, or e is filled. */
static const char *next_name(struct level *l, struct err *e)
{
    if (l->at == l->names.count && (!l->names.name || l->names.more)) {
        if (l->names.count) {
            free(l->after);
            l->after = xstrdup(l->names.name[l->names.count - 1]);
            l->limit = 2 * l->limit < NAMES_MOST ? 2 * l->limit : NAMES_MOST;
        }
        names_free(&l->names);
        l->at = 0;
        if (!names_read(l->folder, l->after, l->limit, &l->names)) {
            path_fail(e, "");
            return NULL;
        }
    }
    return l->at < l->names.count ? l->names.name[l->at++] : NULL;
}

bool walk_next(struct walk *w, struct walk_entry *out, struct err *e)
{
    *e = (struct err){0};
    w->entered = false;
    while (w->depth) {
        struct level *l = &w->levels[w->depth - 1];
        const char *name = next_name(l, e);
        if (e->status)
            return false;
        if (!name) {
            pop(w);
            continue;
        }
        *out = (struct walk_entry){.dir = dirfd(l->folder)};
        out->known = fstatat(out->dir, name, &out->st, AT_SYMLINK_NOFOLLOW) == 0;
        if (!out->known && errno == ENOENT)
            continue;
        set_path(w, name);
        if (out->known && S_ISDIR(out->st.st_mode)) {
            out->closed = enter(w, name);
            w->entered = !out->closed;
            out->too_deep = out->closed && w->depth == WALK_DEPTH_MOST;
        }
        out->path = buffer_text(&w->path);
        out->name = out->path + (w->path.len - strlen(name));
        return true;
    }
    return false;
}

void walk_skip(struct walk *w)
{
    if (w->entered)
        pop(w);
    w->entered = false;
}
