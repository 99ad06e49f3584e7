/* Looks at files and folders without following anything: each name is looked up in a folder that
 * is held open. */
#include "gateway/files/entry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/files/path.h"
#include "protocol/memory.h"

void entry_free(struct entry *entry)
{
    free(entry->name);
    free(entry->target);
    *entry = (struct entry){0};
}

void entry_etag(const struct stat *st, char out[ETAG_TEXT])
{
    snprintf(out, ETAG_TEXT, "\"%jx-%jx-%jx%08lx\"", (uintmax_t)st->st_ino, (uintmax_t)st->st_size,
             (uintmax_t)st->st_mtim.tv_sec, (unsigned long)st->st_mtim.tv_nsec);
}

static enum entry_kind kind_of(mode_t mode)
{
    return S_ISREG(mode)   ? ENTRY_FILE
           : S_ISDIR(mode) ? ENTRY_FOLDER
           : S_ISLNK(mode) ? ENTRY_SYMLINK
                           : ENTRY_OTHER;
}

static char *target_of(int dir, const char *name)
{
    char target[PATH_MAX];
    ssize_t len = readlinkat(dir, name, target, sizeof target);
    return len < 0 ? NULL : xstrndup(target, (size_t)len);
}

static void fill(struct entry *out, const struct stat *st, int dir, const char *name)
{
    out->kind = kind_of(st->st_mode);
    out->known = true;
    out->size_bytes = st->st_size;
    out->modified = st->st_mtim;
    out->mode = st->st_mode & 07777;
    if (out->kind == ENTRY_SYMLINK)
        out->target = target_of(dir, name);
    if (out->kind == ENTRY_FILE)
        entry_etag(st, out->etag);
}

bool entry_read(int fd, const char *name, struct entry *out, struct err *e)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return path_fail(e, name);
    const char *slash = strrchr(name, '/');
    *out = (struct entry){.name = xstrdup(slash ? slash + 1 : name)};
    fill(out, &st, fd, "");
    return true;
}

void listing_free(struct listing *l)
{
    for (size_t i = 0; i < l->count; i++)
        entry_free(&l->entries[i]);
    free(l->entries);
    *l = (struct listing){0};
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The smallest names so far: twice as many as are wanted at most. */
struct names {
    char **name;
    size_t count, wanted;
};

static void keep_smallest(struct names *n)
{
    qsort(n->name, n->count, sizeof *n->name, by_name);
    while (n->count > n->wanted)
        free(n->name[--n->count]);
}

static bool read_names(DIR *handle, const char *after, struct names *n)
{
    struct dirent *entry;
    while ((errno = 0, entry = readdir(handle))) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, after) <= 0)
            continue;
        n->name[n->count++] = xstrdup(name);
        if (n->count == 2 * n->wanted)
            keep_smallest(n);
    }
    bool read = errno == 0;
    keep_smallest(n);
    return read;
}

/* Takes the names over into out. One that has gone meanwhile is left out. */
static void look_up(int dir, struct names *n, size_t limit, struct listing *out)
{
    out->more = n->count > limit;
    out->entries = xcalloc(limit, sizeof *out->entries);
    for (size_t i = 0; i < n->count; i++) {
        struct stat st;
        int status = i < limit ? fstatat(dir, n->name[i], &st, AT_SYMLINK_NOFOLLOW) : -1;
        if (i >= limit || (status < 0 && errno == ENOENT)) {
            free(n->name[i]);
            continue;
        }
        struct entry *entry = &out->entries[out->count++];
        *entry = (struct entry){.name = n->name[i], .kind = ENTRY_OTHER};
        if (status == 0)
            fill(entry, &st, dir, entry->name);
    }
}

bool listing_read(int fd, const char *after, size_t limit, struct listing *out, struct err *e)
{
    int dir = path_reopen(fd, O_RDONLY | O_DIRECTORY); /* as "." of it would be a look-up in it */
    DIR *handle = dir < 0 ? NULL : fdopendir(dir);
    *out = (struct listing){0};
    if (!handle) {
        path_fail(e, "");
        if (dir >= 0)
            close(dir);
        return false;
    }
    struct names n = {.wanted = limit + 1};
    n.name = xcalloc(2 * n.wanted, sizeof *n.name);
    bool read = read_names(handle, after, &n);
    if (!read)
        path_fail(e, "");
    look_up(dirfd(handle), &n, limit, out);
    if (!read)
        listing_free(out);
    free(n.name);
    closedir(handle);
    return read;
}
