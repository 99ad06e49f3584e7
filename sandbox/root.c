/* Builds the root of a template on a small tmpfs: folders of the host that everybody may read, a
 * few files of /etc (some copied, some of our own), the harmless devices, and the paths that the
 * template names. Called once in a keeper's life. What is not named here does not exist inside. */
#include "sandbox/root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "protocol/memory.h"
#include "sandbox/mounting.h"
#include "sandbox/way.h"

#define TEMPLATE_BYTES  (16 * 1024 * 1024)
#define COPY_MOST_BYTES (1024 * 1024)
#define READ_ONLY       (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)

/* Of the system, as the host has them: links or folders. */
static const char *const system_paths[] = {"/usr",   "/bin",   "/sbin",   "/lib",
                                           "/lib32", "/lib64", "/libx32", NULL};

/* Folders of /etc that programs read, without a secret in them. */
static const char *const etc_folders[] = {"/etc/alternatives",
                                          "/etc/fonts",
                                          "/etc/ld.so.conf.d",
                                          "/etc/ssl/certs",
                                          "/etc/terminfo",
                                          "/etc/python3.11",
                                          "/etc/python3.12",
                                          "/etc/python3.13",
                                          "/etc/python3",
                                          "/etc/java-11-openjdk",
                                          "/etc/java-17-openjdk",
                                          "/etc/java-21-openjdk",
                                          "/etc/java-25-openjdk",
                                          "/etc/R",
                                          NULL};

/* Files of /etc that are copied when they are there, are readable by all, and are small. */
static const char *const etc_files[] = {"/etc/ld.so.cache",
                                        "/etc/ld.so.conf",
                                        "/etc/localtime",
                                        "/etc/timezone",
                                        "/etc/mime.types",
                                        "/etc/magic",
                                        "/etc/magic.mime",
                                        "/etc/protocols",
                                        "/etc/services",
                                        "/etc/os-release",
                                        "/etc/debian_version",
                                        "/etc/matplotlibrc",
                                        "/etc/inputrc",
                                        "/etc/locale.alias",
                                        "/etc/ssl/openssl.cnf",
                                        "/etc/bash.bashrc",
                                        NULL};

static const struct {
    const char *path, *text;
} own_files[] = {
    {"/etc/passwd", "user:x:1000:1000:user:" ROOT_HOME ":/bin/bash\n"
                    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"},
    {"/etc/group", "user:x:1000:\nnogroup:x:65534:\n"},
    {"/etc/hosts", "127.0.0.1\tlocalhost sandbox\n::1\tlocalhost\n"},
    {"/etc/hostname", "sandbox\n"},
    {"/etc/host.conf", "multi on\n"},
    /* whether there is a way to them or not: without one an attempt fails at once */
    {"/etc/resolv.conf", "nameserver " WAY_RESOLVER "\nnameserver " WAY_RESOLVER6 "\n"},
    {"/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"
                           "services: files\nprotocols: files\n"},
    {"/etc/machine-id", ""},
    {"/etc/mtab", ""},
};

static const char *const devices[] = {"/dev/null",    "/dev/zero", "/dev/full", "/dev/random",
                                      "/dev/urandom", "/dev/tty",  NULL};

static const struct {
    const char *path, *target;
} own_links[] = {
    {"/dev/fd", "/proc/self/fd"},       {"/dev/stdin", "/proc/self/fd/0"},
    {"/dev/stdout", "/proc/self/fd/1"}, {"/dev/stderr", "/proc/self/fd/2"},
    {"/dev/ptmx", "pts/ptmx"},          {"/var/tmp", "../tmp"},
};

static const char *const own_folders[] = {"/etc",  "/dev", ROOT_PTS,       ROOT_SHM,   "/proc",
                                          "/var",  "/run", ROOT_TMP,       "/home",    ROOT_HOME,
                                          "/root", "/mnt", ROOT_WORKSPACE, "/etc/ssl", NULL};

struct building {
    const char *at;
    int host_fd;
    char **hidden;
    size_t hidden_count;
};

/* A host's path, with symbolic links, absolute ones too, read as the host reads them. */
static int host_open(const struct building *b, const char *path, uint64_t flags)
{
    struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
    return (int)syscall(SYS_openat2, b->host_fd, path, &how, sizeof how);
}

static char *inside(const struct building *b, const char *path)
{
    return xasprintf("%s%s", b->at, path);
}

static bool write_file(const struct building *b, const char *path, const char *data, size_t len,
                       struct err *e)
{
    scoped(string) char *target = inside(b, path);
    int fd = open(target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    bool written = fd >= 0 && write(fd, data, len) == (ssize_t)len;
    if (fd >= 0)
        close(fd);
    return written || fail_errno(e, 503, "cannot make %s of a sandbox's root", path);
}

/* What is absent, not for everybody's eyes or too long is passed over. */
static bool copy_file(const struct building *b, const char *path, struct err *e)
{
    struct stat about;
    int fd = host_open(b, path, O_RDONLY | O_NONBLOCK);
    if (fd < 0)
        return true;
    if (fstat(fd, &about) < 0 || !S_ISREG(about.st_mode) || !(about.st_mode & S_IROTH) ||
        about.st_size > COPY_MOST_BYTES) {
        close(fd);
        return true;
    }
    size_t size = (size_t)about.st_size, len = 0;
    scoped(string) char *data = xmalloc(size + 1);
    for (ssize_t got; len < size && (got = read(fd, data + len, size - len)) > 0;)
        len += (size_t)got;
    close(fd);
    return write_file(b, path, data, len, e);
}

static bool same_file(const struct stat *a, const char *path)
{
    struct stat there;
    return stat(path, &there) == 0 && there.st_dev == a->st_dev && there.st_ino == a->st_ino;
}

/* Shows the host's tree or file at fd under path. */
static bool show(const struct building *b, int fd, const char *path, uint64_t attributes,
                 struct err *e)
{
    struct stat about;
    scoped(string) char *target = inside(b, path);
    if (fstat(fd, &about) < 0)
        return fail_errno(e, 503, "cannot look at %s", path);
    if (same_file(&about, target))
        return true; /* it lies in a tree that is shown already */
    if (mounting_place(target, S_ISDIR(about.st_mode)) < 0)
        return fail_errno(e, 503, "cannot make a place for %s in a sandbox's root", path);
    int tree = mounting_copy(fd, attributes);
    if (tree < 0)
        return fail_errno(e, 503, "cannot copy the mount of %s", path);
    int result = mounting_attach(tree, target);
    int saved = errno;
    close(tree);
    errno = saved;
    return result == 0 || fail_errno(e, 503, "cannot mount %s in a sandbox's root", path);
}

static bool show_if_there(const struct building *b, const char *path, uint64_t attributes,
                          struct err *e)
{
    int fd = host_open(b, path, O_PATH);
    if (fd < 0)
        return true;
    bool shown = show(b, fd, path, attributes, e);
    close(fd);
    return shown;
}

/* /bin and its like: a link of the host's stays a link. */
static bool show_system(const struct building *b, const char *path, struct err *e)
{
    char link[PATH_MAX];
    ssize_t len = readlinkat(b->host_fd, path + 1, link, sizeof link - 1);
    if (len < 0)
        return show_if_there(b, path, READ_ONLY, e);
    link[len] = '\0';
    scoped(string) char *target = inside(b, path);
    return symlink(link, target) == 0 || fail_errno(e, 503, "cannot link %s", path);
}

static bool lies_in(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    return strncmp(path, folder, len) == 0 && path[len] == '/';
}

static void remember_if_hidden(struct building *b, const char *path)
{
    if (!lies_in(path, ROOT_TMP) && !lies_in(path, ROOT_SHM) && !lies_in(path, ROOT_HOME))
        return;
    b->hidden = xrealloc(b->hidden, (b->hidden_count + 2) * sizeof *b->hidden);
    b->hidden[b->hidden_count++] = xstrdup(path);
    b->hidden[b->hidden_count] = NULL;
}

/* The places that a named path may not cover: what it would hide is the sandbox's own. */
static bool may_be_shown(const char *path)
{
    static const char *const reserved[] = {"/",      "/etc",   "/dev",   "/proc",
                                           "/var",   "/home",  "/root",  ROOT_WORKSPACE,
                                           ROOT_TMP, ROOT_SHM, ROOT_PTS, ROOT_HOME};
    for (size_t i = 0; i < countof(reserved); i++)
        if (strcmp(path, reserved[i]) == 0)
            return false;
    return path[0] == '/' && !strstr(path, "/../") && !lies_in(path, ROOT_WORKSPACE) &&
           !lies_in(path, "/proc") && !lies_in(path, ROOT_PTS);
}

static bool show_one(struct building *b, int fd, const char *path, struct err *e)
{
    if (!may_be_shown(path))
        return fail(e, 400, "%s cannot be shown in a sandbox: choose another folder for it", path);
    if (!show(b, fd, path, READ_ONLY, e))
        return false;
    remember_if_hidden(b, path);
    return true;
}

/* Under the name given and, where that leads through links, under the real one. */
static bool show_named(struct building *b, const char *path, struct err *e)
{
    char name[32], real[PATH_MAX];
    int fd = host_open(b, path, O_PATH);
    if (fd < 0)
        return fail_errno(e, 400, "cannot show %s in a sandbox", path);
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(name, real, sizeof real - 1);
    real[len > 0 ? len : 0] = '\0';
    /* as the descriptor is seen from here: below the folder where the host's root is */
    char host[PATH_MAX];
    snprintf(name, sizeof name, "/proc/self/fd/%d", b->host_fd);
    ssize_t host_len = readlink(name, host, sizeof host - 1);
    host[host_len > 0 ? host_len : 0] = '\0';
    const char *real_path = host[1] && lies_in(real, host) ? real + host_len : real;
    bool shown = show_one(b, fd, path, e) && (strcmp(real_path, path) == 0 || real_path[0] != '/' ||
                                              show_one(b, fd, real_path, e));
    close(fd);
    return shown;
}

static bool make_own(const struct building *b, struct err *e)
{
    for (const char *const *path = own_folders; *path; path++) {
        scoped(string) char *target = inside(b, *path);
        if (mounting_place(target, true) < 0)
            return fail_errno(e, 503, "cannot make %s of a sandbox's root", *path);
    }
    for (size_t i = 0; i < countof(own_files); i++)
        if (!write_file(b, own_files[i].path, own_files[i].text, strlen(own_files[i].text), e))
            return false;
    for (size_t i = 0; i < countof(own_links); i++) {
        scoped(string) char *target = inside(b, own_links[i].path);
        if (symlink(own_links[i].target, target) < 0)
            return fail_errno(e, 503, "cannot link %s", own_links[i].path);
    }
    return true;
}

static bool fill(struct building *b, const char *const *read_only, struct err *e)
{
    if (!make_own(b, e))
        return false;
    for (const char *const *path = system_paths; *path; path++)
        if (!show_system(b, *path, e))
            return false;
    for (const char *const *path = etc_folders; *path; path++)
        if (!show_if_there(b, *path, READ_ONLY, e))
            return false;
    for (const char *const *path = etc_files; *path; path++)
        if (!copy_file(b, *path, e))
            return false;
    for (const char *const *path = devices; *path; path++)
        if (!show_if_there(b, *path, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, e))
            return false;
    for (const char *const *path = read_only; path && *path; path++)
        if (!show_named(b, *path, e))
            return false;
    return true;
}

bool root_build(const char *at, int host_fd, const char *const *read_only, char ***hidden,
                struct err *e)
{
    struct building b = {.at = at, .host_fd = host_fd};
    struct mount_attr final = {.attr_set = READ_ONLY};
    mode_t mask = umask(022);
    bool built = (mounting_tmpfs(at, "0755", TEMPLATE_BYTES, 0) == 0 ||
                  fail_errno(e, 503, "cannot mount a tmpfs for a sandbox's root")) &&
                 fill(&b, read_only, e) &&
                 (mount_setattr(AT_FDCWD, at, 0, &final, sizeof final) == 0 ||
                  fail_errno(e, 503, "cannot make a sandbox's root read-only"));
    umask(mask);
    if (!b.hidden)
        b.hidden = xcalloc(1, sizeof *b.hidden);
    *hidden = b.hidden;
    return built;
}

static const char *show_again(const char *template, const char *at, const char *path)
{
    char source[MOUNTING_PATH_BYTES], target[MOUNTING_PATH_BYTES];
    struct stat about;
    if (snprintf(source, sizeof source, "%s%s", template, path) >= (int)sizeof source ||
        snprintf(target, sizeof target, "%s%s", at, path) >= (int)sizeof target) {
        errno = ENAMETOOLONG;
        return "read-only paths";
    }
    if (stat(source, &about) < 0 || mounting_place(target, S_ISDIR(about.st_mode)) < 0 ||
        mount(source, target, NULL, MS_BIND | MS_REC, NULL) < 0)
        return "read-only paths";
    return NULL;
}

const char *root_private(const char *template, const char *at, const struct root_sizes *sizes,
                         char *const *hidden)
{
    const struct {
        const char *path, *mode;
        long long bytes;
    } places[] = {{ROOT_TMP, "1777", sizes->tmp_bytes},
                  {ROOT_SHM, "1777", sizes->shm_bytes},
                  {ROOT_HOME, "0700", sizes->home_bytes}};
    for (size_t i = 0; i < countof(places); i++) {
        char target[MOUNTING_PATH_BYTES];
        snprintf(target, sizeof target, "%s%s", at, places[i].path);
        if (mounting_tmpfs(target, places[i].mode, places[i].bytes, sizes->inodes) < 0)
            return places[i].path;
    }
    for (char *const *path = hidden; *path; path++) {
        const char *step = show_again(template, at, *path);
        if (step)
            return step;
    }
    return NULL;
}
