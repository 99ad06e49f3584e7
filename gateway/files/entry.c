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

#include "gateway/files/names.h"
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

void entry_fill(struct entry *out, int dir, const char *name, const char *path,
                const struct stat *st)
{
    *out = (struct entry){.name = xstrdup(path), .kind = ENTRY_OTHER};
    if (st)
        fill(out, st, dir, name);
}

void listing_free(struct listing *l)
{
    for (size_t i = 0; i < l->count; i++)
        entry_free(&l->entries[i]);
    free(l->entries);
    free(l->next);
    *l = (struct listing){0};
}

/* One that has gone meanwhile is left out. */
static void look_up(int dir, const struct names *n, struct listing *out)
{
    out->entries = xcalloc(n->count + 1, sizeof *out->entries);
    out->next = n->more ? xstrdup(n->name[n->count - 1]) : NULL;
    for (size_t i = 0; i < n->count; i++) {
        struct stat st;
        bool known = fstatat(dir, n->name[i], &st, AT_SYMLINK_NOFOLLOW) == 0;
        if (known || errno != ENOENT)
            entry_fill(&out->entries[out->count++], dir, n->name[i], n->name[i],
                       known ? &st : NULL);
    }
}

bool listing_read(int fd, const char *after, size_t limit, struct listing *out, struct err *e)
{
    int dir = path_reopen(fd, O_RDONLY | O_DIRECTORY); /* as "." of it would be a look-up in it */
    DIR *handle = dir < 0 ? NULL : fdopendir(dir);
    struct names names;
    *out = (struct listing){0};
    if (!handle) {
        path_fail(e, "");
        if (dir >= 0)
            close(dir);
        return false;
    }
    bool read = names_read(handle, after, limit, &names);
    if (read)
        look_up(dirfd(handle), &names, out);
    else
        path_fail(e, "");
    names_free(&names);
    closedir(handle);
    return read;
}
