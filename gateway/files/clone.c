/* Depth first, a folder's own permissions last: what is in a folder that nobody may write to could
 * not be made otherwise.
 *
 * Invariant: the folders of the copy are open from its top on, so that no name of a link that was
 * copied is ever gone through. */
#include "gateway/files/clone.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/fs.h>

#include "gateway/files/path.h"
#include "protocol/bytes.h"
#include "protocol/memory.h"

#define BLOCK_BYTES 4096
#define PIECE_BYTES (128 * 1024) /* where the system does not copy by itself */
#define PART_BYTES  (INT64_C(4) * 1024 * 1024)

struct clone {
    int64_t uid;
    struct room *room;
    struct clone_result *out;
    struct buffer path; /* of what is looked at */
    char *piece;        /* owned; NULL: not needed yet */
};

static void note(struct clone *c, struct clone_notes *notes, const char *reason)
{
    if (notes->count == CLONE_NOTES_MOST)
        notes->more++;
    else
        notes->list[notes->count++] = (struct clone_note){xstrdup(buffer_text(&c->path)), reason};
}

static void notes_clear(struct clone_notes *notes)
{
    for (size_t i = 0; i < notes->count; i++)
        free(notes->list[i].path);
    *notes = (struct clone_notes){0};
}

void clone_result_clear(struct clone_result *r)
{
    notes_clear(&r->changed);
    notes_clear(&r->not_copied);
}

/* Of what cannot be read the copy does without; what cannot be written ends it. */
static bool leave_out(struct clone *c, const char *reason)
{
    note(c, &c->out->not_copied, reason);
    return true;
}

static bool not_read(struct clone *c, struct err *e)
{
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) /* it is us who cannot */
        return fail_errno(e, 503, "%.200s cannot be read", buffer_text(&c->path));
    return leave_out(c, errno == ENOENT || errno == ENOTDIR || errno == ELOOP
                            ? "it went away as it was copied"
                            : "it cannot be read");
}

static bool not_written(struct clone *c, struct err *e)
{
    if (errno == ENOSPC || errno == EDQUOT)
        return fail(e, 507, "no space is left on the disk");
    return fail_errno(e, 503, "%.200s cannot be copied", buffer_text(&c->path));
}

static bool give_to(struct clone *c, int fd, const struct stat *st, struct err *e)
{
    const struct timespec times[] = {{.tv_nsec = UTIME_OMIT}, st->st_mtim};
    return ((c->uid < 0 || fchown(fd, (uid_t)c->uid, (gid_t)c->uid) == 0) &&
            fchmod(fd, st->st_mode & 07777) == 0 && futimens(fd, times) == 0) ||
           not_written(c, e);
}

/* --- bytes */

/* The next of at most `most` bytes at *at, by ourselves. 0: there are no more. */
static ssize_t copy_by_hand(struct clone *c, int from, int to, off_t *at, int64_t most)
{
    if (!c->piece)
        c->piece = xmalloc(PIECE_BYTES);
    size_t want = most < PIECE_BYTES ? (size_t)most : PIECE_BYTES;
    ssize_t got = pread(from, c->piece, want, *at);
    for (ssize_t put = 0, now; put < got; put += now)
        if ((now = pwrite(to, c->piece + put, (size_t)(got - put), *at + put)) <= 0)
            return -1;
    *at += got > 0 ? got : 0;
    return got;
}

static ssize_t copy_part(struct clone *c, int from, int to, off_t *at, int64_t most)
{
    off_t to_at = *at;
    ssize_t got = copy_file_range(from, at, to, &to_at, (size_t)most, 0);
    if (got >= 0 || errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
        return got;
    return copy_by_hand(c, from, to, at, most);
}

/* From at to end there is no hole. */
static bool copy_stretch(struct clone *c, int from, int to, off_t at, off_t end, struct err *e)
{
    while (at < end) {
        int64_t most = end - at < PART_BYTES ? end - at : PART_BYTES;
        int64_t blocks = (most + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
        if (!room_take(c->room, blocks, 0, e))
            return false;
        for (off_t until = at + most; at < until;) {
            ssize_t got = copy_part(c, from, to, &at, until - at);
            if (got < 0 && errno == EINTR)
                continue;
            if (got < 0)
                return not_written(c, e);
            if (got == 0)
                return true; /* it has become shorter */
        }
    }
    return true;
}

static bool copy_bytes(struct clone *c, int from, int to, const struct stat *st, struct err *e)
{
    if (ftruncate(to, 0) != 0 || ftruncate(to, st->st_size) != 0)
        return not_written(c, e);
    for (off_t at = 0; at < st->st_size;) {
        off_t data = lseek(from, at, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            return true; /* nothing but a hole is left */
        off_t hole = data < 0 ? -1 : lseek(from, data, SEEK_HOLE);
        if (data < 0 || hole < 0) { /* a file system that knows of no holes */
            data = at;
            hole = st->st_size;
        }
        at = hole < st->st_size ? hole : st->st_size;
        if (data < at && !copy_stretch(c, from, to, data, at, e))
            return false;
    }
    return true;
}

static bool is_as_it_was(int fd, const struct stat *st)
{
    struct stat now;
    return fstat(fd, &now) == 0 && now.st_size == st->st_size &&
           now.st_mtim.tv_sec == st->st_mtim.tv_sec && now.st_mtim.tv_nsec == st->st_mtim.tv_nsec &&
           now.st_ctim.tv_sec == st->st_ctim.tv_sec && now.st_ctim.tv_nsec == st->st_ctim.tv_nsec;
}

/* A file system that can share blocks does so in one moment: the copy is as the file was then,
 * which may be longer than it was as it was opened. */
static bool share_bytes(struct clone *c, int from, int to, struct stat *st, bool *shared,
                        struct err *e)
{
    struct stat copy;
    *shared = ioctl(to, FICLONE, from) == 0;
    if (!*shared)
        return true;
    if (fstat(to, &copy) != 0)
        return not_written(c, e);
    st->st_size = copy.st_size;
    return room_take(c->room, (int64_t)copy.st_blocks * 512, 0, e);
}

static bool fill(struct clone *c, int from, int to, struct stat *st, struct err *e)
{
    bool shared;
    if (!share_bytes(c, from, to, st, &shared, e))
        return false;
    for (int tries = 1; !shared; tries++) {
        int64_t before = c->room->used_bytes;
        if (!copy_bytes(c, from, to, st, e))
            return false;
        if (is_as_it_was(from, st))
            break;
        if (tries == CLONE_TRIES_MOST) {
            note(c, &c->out->changed, NULL);
            break;
        }
        c->room->bytes += c->room->used_bytes - before; /* it is written once more */
        c->room->used_bytes = before;
        if (fstat(from, st) != 0)
            return not_written(c, e);
    }
    c->out->bytes += st->st_size;
    return give_to(c, to, st, e);
}

/* --- one name */

static bool clone_file(struct clone *c, int from_dir, int to_dir, const char *name, struct err *e)
{
    struct stat st;
    int from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (from < 0)
        return not_read(c, e);
    bool same = fstat(from, &st) == 0 && S_ISREG(st.st_mode);
    int to =
        same ? openat(to_dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600) : -1;
    bool good = !same    ? leave_out(c, "it went away as it was copied")
                : to < 0 ? not_written(c, e)
                         : fill(c, from, to, &st, e);
    c->out->files += to >= 0;
    close(from);
    if (to >= 0)
        close(to);
    return good;
}

static bool clone_link(struct clone *c, int from_dir, int to_dir, const char *name,
                       const struct stat *st, struct err *e)
{
    char target[PATH_MAX];
    const struct timespec times[] = {{.tv_nsec = UTIME_OMIT}, st->st_mtim};
    ssize_t len = readlinkat(from_dir, name, target, sizeof target - 1);
    if (len < 0)
        return not_read(c, e);
    target[len] = '\0';
    c->out->links++;
    return (symlinkat(target, to_dir, name) == 0 &&
            (c->uid < 0 ||
             fchownat(to_dir, name, (uid_t)c->uid, (gid_t)c->uid, AT_SYMLINK_NOFOLLOW) == 0) &&
            utimensat(to_dir, name, times, AT_SYMLINK_NOFOLLOW) == 0) ||
           not_written(c, e);
}

static bool clone_names(struct clone *c, int from, int to, int depth, struct err *e);

static bool clone_folder(struct clone *c, int from_dir, int to_dir, const char *name, int depth,
                         struct err *e)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    struct stat st;
    if (depth == CLONE_DEPTH_MOST)
        return leave_out(c, "it lies too deep");
    int from = openat(from_dir, name, flags);
    if (from < 0)
        return not_read(c, e);
    int to = fstat(from, &st) == 0 && mkdirat(to_dir, name, 0700) == 0 ? openat(to_dir, name, flags)
                                                                       : -1;
    size_t len = c->path.len;
    bool good = to >= 0 ? clone_names(c, from, to, depth + 1, e) : not_written(c, e);
    c->path.len = len;
    good = good && give_to(c, to, &st, e);
    c->out->folders++;
    close(from);
    if (to >= 0)
        close(to);
    return good;
}

static bool clone_one(struct clone *c, int from, int to, const char *name, int depth, struct err *e)
{
    struct stat st;
    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return not_read(c, e);
    if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode) && !S_ISDIR(st.st_mode))
        return leave_out(c, "it is neither a file, a folder nor a link");
    if (!room_take(c->room, 0, 1, e))
        return false;
    return S_ISREG(st.st_mode)   ? clone_file(c, from, to, name, e)
           : S_ISLNK(st.st_mode) ? clone_link(c, from, to, name, &st, e)
                                 : clone_folder(c, from, to, name, depth, e);
}

/* What an upload that is under way has not put in its place yet is nobody's. */
static bool is_to_copy(const char *name)
{
    return strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
           strncmp(name, PATH_BESIDE, strlen(PATH_BESIDE)) != 0;
}

static bool clone_names(struct clone *c, int from, int to, int depth, struct err *e)
{
    int fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    size_t len = c->path.len;
    const struct dirent *entry;
    bool good = true;
    if (!folder) {
        if (fd >= 0)
            close(fd);
        return not_read(c, e);
    }
    while (good && (errno = 0, entry = readdir(folder))) {
        if (!is_to_copy(entry->d_name))
            continue;
        c->path.len = len;
        if (len)
            buffer_add_text(&c->path, "/");
        buffer_add_text(&c->path, entry->d_name);
        good = clone_one(c, from, to, entry->d_name, depth, e);
    }
    int why = good && !entry ? errno : 0; /* the end, or no more can be read */
    closedir(folder);
    c->path.len = len;
    errno = why;
    return good && (!why || not_read(c, e));
}

bool clone_workspace(int from, int to, int64_t uid, struct room *room, struct clone_result *out,
                     struct err *e)
{
    struct clone c = {.uid = uid, .room = room, .out = out};
    struct stat st;
    bool good = fstat(from, &st) == 0 && clone_names(&c, from, to, 0, e);
    if (good) {
        int top = openat(to, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        good = top >= 0 ? give_to(&c, top, &st, e) : not_written(&c, e);
        if (good && syncfs(top) != 0)
            good = fail_errno(e, 503, "the copy of the workspace cannot be synced");
        if (top >= 0)
            close(top);
    }
    buffer_free(&c.path);
    free(c.piece);
    return good;
}
