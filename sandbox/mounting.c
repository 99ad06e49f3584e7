/* Wrappers of the mount calls that work on descriptors (Linux 5.2; mount_setattr: 5.12), so that a
 * tree is whole, with its final attributes, before anyone can see it. Used where roots are made: by
 * the keeper for the template, by the init of each sandbox. */
#include "sandbox/mounting.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int mounting_copy(int fd, uint64_t attributes)
{
    int tree =
        open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (tree < 0)
        return -1;
    struct mount_attr set = {.attr_set = attributes};
    if (attributes && mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &set, sizeof set) < 0) {
        int saved = errno;
        close(tree);
        errno = saved;
        return -1;
    }
    return tree;
}

int mounting_attach(int tree, const char *target)
{
    return move_mount(tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH);
}

int mounting_bind(const char *source, const char *target, uint64_t attributes)
{
    int fd = open(source, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int tree = mounting_copy(fd, attributes);
    int result = tree < 0 ? -1 : mounting_attach(tree, target);
    int saved = errno;
    if (tree >= 0)
        close(tree);
    close(fd);
    errno = saved;
    return result;
}

int mounting_tmpfs(const char *target, const char *mode, int64_t size_bytes, int64_t inodes)
{
    char options[96];
    int len = snprintf(options, sizeof options, "mode=%s", mode);
    if (size_bytes > 0)
        len += snprintf(options + len, sizeof options - (size_t)len, ",size=%lld",
                        (long long)size_bytes);
    if (inodes > 0)
        snprintf(options + len, sizeof options - (size_t)len, ",nr_inodes=%lld", (long long)inodes);
    return mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, options);
}

int mounting_parents(const char *path)
{
    char part[MOUNTING_PATH_BYTES];
    size_t len = strlen(path);
    if (len >= sizeof part) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(part, path, len + 1);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return -1;
        *slash = '/';
    }
    return 0;
}

int mounting_place(const char *path, bool folder)
{
    if (mounting_parents(path) < 0)
        return -1;
    if (folder)
        return mkdir(path, 0755) < 0 && errno != EEXIST ? -1 : 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0444);
    if (fd >= 0)
        close(fd);
    return fd < 0 ? -1 : 0;
}

int mounting_pivot(const char *root)
{
    /* the old root ends up on top of the new one, at the same place, and is then taken off */
    if (chdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0)
        return -1;
    return chdir("/");
}
