/* A second fence behind the read-only mounts. Reading is not handled: the root holds nothing but
 * what may be read. Rights that this kernel does not know are left out. */
#include "sandbox/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "protocol/memory.h"
#include "sandbox/root.h"

/* of newer kernels than the headers that this may be built with */
#define ACCESS_REFER     (1ULL << 13) /* ABI 2 */
#define ACCESS_TRUNCATE  (1ULL << 14) /* ABI 3 */
#define ACCESS_IOCTL_DEV (1ULL << 15) /* ABI 5 */
#define SCOPE_ABSTRACT   (1ULL << 0)  /* ABI 6 */

struct ruleset {
    uint64_t handled_access_fs;
    uint64_t handled_access_net;
    uint64_t scoped;
};

#define CHANGE                                                                                     \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                               \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |  \
     LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM |   \
     ACCESS_REFER | ACCESS_TRUNCATE)
#define DEVICES (LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK)

static const struct {
    const char *path;
    uint64_t access;
} rules[] = {
    {ROOT_TMP, CHANGE},
    {ROOT_SHM, CHANGE},
    {ROOT_HOME, CHANGE},
    {"/dev", LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_TRUNCATE | ACCESS_IOCTL_DEV},
    {"/proc", LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_TRUNCATE},
};

int landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi < 0 ? 0 : (int)abi;
}

static int allow(int ruleset, const char *path, uint64_t access)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = fd};
    long result = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    int saved = errno;
    close(fd);
    errno = saved;
    return (int)result;
}

int landlock_restrict(const char *workspace)
{
    int abi = landlock_abi();
    uint64_t handled = CHANGE | DEVICES | ACCESS_IOCTL_DEV;
    if (abi < 2)
        handled &= ~ACCESS_REFER;
    if (abi < 3)
        handled &= ~ACCESS_TRUNCATE;
    if (abi < 5)
        handled &= ~ACCESS_IOCTL_DEV;
    struct ruleset attr = {.handled_access_fs = handled, .scoped = abi >= 6 ? SCOPE_ABSTRACT : 0};
    size_t size = abi >= 6   ? sizeof attr
                  : abi >= 4 ? offsetof(struct ruleset, scoped)
                             : offsetof(struct ruleset, handled_access_net);
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
    if (ruleset < 0)
        return -1;
    int result = allow(ruleset, workspace ? workspace : ROOT_WORKSPACE, CHANGE & handled);
    for (size_t i = 0; i < countof(rules) && result == 0; i++)
        result = allow(ruleset, rules[i].path, rules[i].access & handled);
    if (result == 0)
        result = (int)syscall(SYS_landlock_restrict_self, ruleset, 0);
    int saved = errno;
    close(ruleset);
    errno = saved;
    return result;
}
