/* A library that is loaded before libc (LD_PRELOAD) and writes down, in order, everything that
 * changes the folder POWER_CUT_FOLDER or brings it to the disk: tests/support/power_cut.py makes of
 * it what a disk may show after a power cut.
 *
 * The file POWER_CUT_TRACE gets records: a line "KIND TIME_NS INODE FOLDER OFFSET LENGTH NAME\n"
 * and LENGTH bytes. Every call is made and written down under one lock, across threads and
 * processes, so that the order in the file is the order of the calls. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))real(#name))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int trace = -1;
static char folder[PATH_MAX];

static void *real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("POWER_CUT_TRACE"), *of = getenv("POWER_CUT_FOLDER");
    if (!path || !of)
        return;
    snprintf(folder, sizeof folder, "%s", of);
    int fd = REAL(open)(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    trace = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 700); /* where no program looks for its own */
    if (fd >= 0)
        close(fd);
}

static void hold(void)
{
    pthread_mutex_lock(&lock);
    flock(trace, LOCK_EX);
}

static void let_go(void)
{
    int kept = errno;
    flock(trace, LOCK_UN);
    pthread_mutex_unlock(&lock);
    errno = kept;
}

static bool is_inside(const char *path)
{
    size_t len = strlen(folder);
    return trace >= 0 && len && strncmp(path, folder, len) == 0 &&
           (path[len] == '/' || path[len] == '\0');
}

/* "" when it is not to be known. */
static void path_of(int fd, char out[PATH_MAX])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, out, PATH_MAX - 1);
    out[len > 0 ? len : 0] = '\0';
}

static void full_path(int dir, const char *name, char out[PATH_MAX])
{
    char base[PATH_MAX] = "";
    if (name[0] != '/' && dir == AT_FDCWD && !getcwd(base, sizeof base))
        base[0] = '\0';
    else if (name[0] != '/' && dir != AT_FDCWD)
        path_of(dir, base);
    if (snprintf(out, PATH_MAX, "%s%s%s", base, name[0] == '/' ? "" : "/", name) >= PATH_MAX)
        out[0] = '\0';
}

static void note(char kind, uint64_t inode, uint64_t of, uint64_t offset, const char *name,
                 const struct iovec *data, int count)
{
    char head[PATH_MAX + 200];
    struct timespec now;
    size_t total = 0;
    int kept = errno;
    for (int i = 0; i < count; i++)
        total += data[i].iov_len;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int len = snprintf(
        head, sizeof head, "%c %llu %llu %llu %llu %zu %s\n", kind,
        (unsigned long long)now.tv_sec * 1000000000ull + (unsigned long long)now.tv_nsec,
        (unsigned long long)inode, (unsigned long long)of, (unsigned long long)offset, total, name);
    struct iovec all[66] = {{head, (size_t)len}};
    for (int i = 0; i < count; i++)
        all[i + 1] = data[i];
    ssize_t put = REAL(writev)(trace, all, count + 1);
    if (put != (ssize_t)(total + (size_t)len))
        abort(); /* a trace that lacks something proves nothing */
    errno = kept;
}

/* A name as a call gave it: a sandbox's identity may not go the way to it from the root. */
static uint64_t inode_of(int dir, const char *name)
{
    struct stat st;
    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : 0;
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static uint64_t folder_of(int dir, const char *name)
{
    char above[PATH_MAX];
    struct stat st;
    const char *slash = strrchr(name, '/');
    if (!slash)
        return (dir == AT_FDCWD ? stat(".", &st) : fstat(dir, &st)) == 0 ? st.st_ino : 0;
    snprintf(above, sizeof above, "%.*s", (int)(slash - name), name);
    return inode_of(dir, *above ? above : "/");
}

/* The name now stands for that inode, or 0: for nothing. */
static void note_name(char kind, int dir, const char *name, uint64_t inode)
{
    note(kind, inode, folder_of(dir, name), 0, name_of(name), NULL, 0);
}

/* --- opening */

static bool is_ours(int fd, struct stat *st)
{
    char path[PATH_MAX];
    if (trace < 0 || fd == trace || fstat(fd, st) != 0 ||
        (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode)))
        return false;
    path_of(fd, path);
    return is_inside(path); /* one without a name has one here: "FOLDER/#123 (deleted)" */
}

/* An inode's number is used again: that it is another file is told before its bytes are. */
static int open_nameless(int dir, const char *name, int flags, mode_t mode)
{
    struct stat st;
    hold();
    int fd = REAL(openat)(dir, name, flags, mode);
    if (fd >= 0 && is_ours(fd, &st))
        note('O', st.st_ino, 0, 0, "-", NULL, 0);
    let_go();
    return fd;
}

static int open_noted(int dir, const char *name, int flags, mode_t mode)
{
    char path[PATH_MAX];
    struct stat st;
    __typeof__(&openat) call = REAL(openat);
    if (trace >= 0 && (flags & O_TMPFILE) == O_TMPFILE)
        return open_nameless(dir, name, flags, mode);
    if (trace < 0 || !(flags & (O_CREAT | O_TRUNC)))
        return call(dir, name, flags, mode);
    full_path(dir, name, path);
    if (!is_inside(path))
        return call(dir, name, flags, mode);
    hold();
    uint64_t before = inode_of(dir, name);
    int fd = call(dir, name, flags, mode);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        if (!before)
            note_name('C', dir, name, st.st_ino);
        else if (flags & O_TRUNC)
            note('T', st.st_ino, 0, 0, name_of(path), NULL, 0);
    }
    let_go();
    return fd;
}

#define MODE_OF(flags, last)                                                                       \
    ({                                                                                             \
        mode_t mode_ = 0;                                                                          \
        if ((flags) & (O_CREAT | O_TMPFILE)) {                                                     \
            va_list args_;                                                                         \
            va_start(args_, last);                                                                 \
            mode_ = (mode_t)va_arg(args_, int);                                                    \
            va_end(args_);                                                                         \
        }                                                                                          \
        mode_;                                                                                     \
    })

int open(const char *name, int flags, ...)
{
    return open_noted(AT_FDCWD, name, flags, MODE_OF(flags, flags));
}

int open64(const char *name, int flags, ...)
{
    return open_noted(AT_FDCWD, name, flags, MODE_OF(flags, flags));
}

int openat(int dir, const char *name, int flags, ...)
{
    return open_noted(dir, name, flags, MODE_OF(flags, flags));
}

int openat64(int dir, const char *name, int flags, ...)
{
    return open_noted(dir, name, flags, MODE_OF(flags, flags));
}

/* --- writing */

static ssize_t note_written(int fd, const struct stat *st, int64_t offset, const struct iovec *data,
                            int count, ssize_t wrote)
{
    struct iovec part[64];
    size_t left = wrote > 0 ? (size_t)wrote : 0;
    int used = 0;
    (void)fd;
    for (; used < count && left; used++) {
        part[used] = data[used];
        if (part[used].iov_len > left)
            part[used].iov_len = left;
        left -= part[used].iov_len;
    }
    if (wrote > 0)
        note('W', st->st_ino, 0, (uint64_t)offset, "-", part, used);
    return wrote;
}

/* offset -1: where the file stands. */
static ssize_t write_noted(int fd, const struct iovec *data, int count, int64_t offset)
{
    struct stat st;
    ssize_t wrote;
    if (count > 64 || !is_ours(fd, &st))
        return offset < 0 ? REAL(writev)(fd, data, count) : REAL(pwritev)(fd, data, count, offset);
    hold();
    fstat(fd, &st);
    int64_t at = offset >= 0                     ? offset
                 : fcntl(fd, F_GETFL) & O_APPEND ? (int64_t)st.st_size
                                                 : (int64_t)lseek(fd, 0, SEEK_CUR);
    wrote = offset < 0 ? REAL(writev)(fd, data, count) : REAL(pwritev)(fd, data, count, offset);
    note_written(fd, &st, at, data, count, wrote);
    let_go();
    return wrote;
}

ssize_t write(int fd, const void *data, size_t len)
{
    return write_noted(fd, &(struct iovec){(void *)data, len}, 1, -1);
}

ssize_t writev(int fd, const struct iovec *data, int count)
{
    return write_noted(fd, data, count, -1);
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset)
{
    return write_noted(fd, &(struct iovec){(void *)data, len}, 1, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t offset)
{
    return write_noted(fd, &(struct iovec){(void *)data, len}, 1, offset);
}

static int truncate_noted(int fd, off_t size)
{
    struct stat st;
    if (!is_ours(fd, &st))
        return REAL(ftruncate)(fd, size);
    hold();
    int done = REAL(ftruncate)(fd, size);
    if (done == 0)
        note('T', st.st_ino, 0, (uint64_t)size, "-", NULL, 0);
    let_go();
    return done;
}

int ftruncate(int fd, off_t size)
{
    return truncate_noted(fd, size);
}

int ftruncate64(int fd, off64_t size)
{
    return truncate_noted(fd, size);
}

/* What came into a file from another one. */
static void note_copied(const struct stat *st, int64_t at, int from, int64_t from_at, ssize_t len)
{
    char *data = malloc((size_t)len);
    if (!data || REAL(pread)(from, data, (size_t)len, from_at) != len)
        abort(); /* as above */
    note('W', st->st_ino, 0, (uint64_t)at, "-", &(struct iovec){data, (size_t)len}, 1);
    free(data);
}

ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t len,
                        unsigned flags)
{
    struct stat st;
    if (!is_ours(to, &st))
        return REAL(copy_file_range)(from, from_at, to, to_at, len, flags);
    hold();
    int64_t at = to_at ? *to_at : lseek(to, 0, SEEK_CUR);
    int64_t begin = from_at ? *from_at : lseek(from, 0, SEEK_CUR);
    ssize_t copied = REAL(copy_file_range)(from, from_at, to, to_at, len, flags);
    if (copied > 0)
        note_copied(&st, at, from, begin, copied);
    let_go();
    return copied;
}

/* No two files share their bytes here: then they are copied. */
int ioctl(int fd, unsigned long request, ...)
{
    struct stat st;
    va_list args;
    va_start(args, request);
    void *argument = va_arg(args, void *);
    va_end(args);
    if (request != FICLONE || !is_ours(fd, &st))
        return REAL(ioctl)(fd, request, argument);
    errno = EOPNOTSUPP;
    return -1;
}

/* --- modes */

static int note_mode(int done, const struct stat *st, mode_t mode)
{
    if (done == 0)
        note('M', st->st_ino, 0, mode, "-", NULL, 0);
    let_go();
    return done;
}

int fchmod(int fd, mode_t mode)
{
    struct stat st;
    if (!is_ours(fd, &st))
        return REAL(fchmod)(fd, mode);
    hold();
    return note_mode(REAL(fchmod)(fd, mode), &st, mode);
}

/* An open one is named by its number: that of its inode is asked for before its mode may forbid. */
int chmod(const char *name, mode_t mode)
{
    char path[PATH_MAX];
    struct stat st;
    int fd = -1;
    if (sscanf(name, "/proc/self/fd/%d", &fd) == 1)
        path_of(fd, path);
    else
        full_path(AT_FDCWD, name, path);
    if (!is_inside(path) || stat(name, &st) != 0)
        return REAL(chmod)(name, mode);
    hold();
    return note_mode(REAL(chmod)(name, mode), &st, mode);
}

/* --- syncing */

static int sync_noted(char kind, int fd, int (*call)(int))
{
    struct stat st;
    if (!is_ours(fd, &st))
        return call(fd);
    hold();
    int done = call(fd);
    if (done == 0)
        note(kind, st.st_ino, 0, 0, "-", NULL, 0);
    let_go();
    return done;
}

int fsync(int fd)
{
    return sync_noted('S', fd, REAL(fsync));
}

int fdatasync(int fd)
{
    return sync_noted('s', fd, REAL(fdatasync));
}

int syncfs(int fd)
{
    return sync_noted('F', fd, REAL(syncfs));
}

/* --- names */

static int mkdir_noted(int dir, const char *name, mode_t mode)
{
    char path[PATH_MAX];
    __typeof__(&mkdirat) call = REAL(mkdirat);
    full_path(dir, name, path);
    if (!is_inside(path))
        return call(dir, name, mode);
    hold();
    int done = call(dir, name, mode);
    if (done == 0)
        note_name('D', dir, name, inode_of(dir, name));
    let_go();
    return done;
}

int mkdir(const char *name, mode_t mode)
{
    return mkdir_noted(AT_FDCWD, name, mode);
}

int mkdirat(int dir, const char *name, mode_t mode)
{
    return mkdir_noted(dir, name, mode);
}

static int remove_noted(int dir, const char *name, int flags)
{
    char path[PATH_MAX];
    __typeof__(&unlinkat) call = REAL(unlinkat);
    full_path(dir, name, path);
    if (!is_inside(path))
        return call(dir, name, flags);
    hold();
    int done = call(dir, name, flags);
    if (done == 0)
        note_name('U', dir, name, 0);
    let_go();
    return done;
}

int unlink(const char *name)
{
    return remove_noted(AT_FDCWD, name, 0);
}

int unlinkat(int dir, const char *name, int flags)
{
    return remove_noted(dir, name, flags);
}

int rmdir(const char *name)
{
    return remove_noted(AT_FDCWD, name, AT_REMOVEDIR);
}

static int rename_noted(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    char old[PATH_MAX], new[PATH_MAX];
    __typeof__(&renameat2) call = REAL(renameat2);
    full_path(from_dir, from, old);
    full_path(to_dir, to, new);
    if (!is_inside(old) && !is_inside(new))
        return call(from_dir, from, to_dir, to, flags);
    hold();
    uint64_t moved = inode_of(from_dir, from);
    uint64_t other = flags & RENAME_EXCHANGE ? inode_of(to_dir, to) : 0;
    int done = call(from_dir, from, to_dir, to, flags);
    if (done == 0) { /* two records that are one step */
        note_name('r', from_dir, from, other);
        note_name('R', to_dir, to, moved);
    }
    let_go();
    return done;
}

int rename(const char *from, const char *to)
{
    return rename_noted(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    return rename_noted(from_dir, from, to_dir, to, 0);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    return rename_noted(from_dir, from, to_dir, to, flags);
}

int symlinkat(const char *target, int dir, const char *name)
{
    char path[PATH_MAX];
    full_path(dir, name, path);
    if (!is_inside(path))
        return REAL(symlinkat)(target, dir, name);
    hold();
    int done = REAL(symlinkat)(target, dir, name);
    if (done == 0) {
        struct iovec text = {(void *)target, strlen(target)};
        note('Y', inode_of(dir, name), folder_of(dir, name), 0, name_of(name), &text, 1);
    }
    let_go();
    return done;
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    char path[PATH_MAX];
    full_path(to_dir, to, path);
    if (!is_inside(path))
        return REAL(linkat)(from_dir, from, to_dir, to, flags);
    hold();
    int done = REAL(linkat)(from_dir, from, to_dir, to, flags);
    if (done == 0)
        note_name('L', to_dir, to, inode_of(to_dir, to));
    let_go();
    return done;
}
