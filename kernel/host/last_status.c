/* ioctl PIDFD_GET_INFO with PIDFD_INFO_EXIT; the struct is the kernel's, which older headers lack.
 */
#include "kernel/host/last_status.h"

#include <stdint.h>
#include <sys/ioctl.h>

#define INFO_EXIT 8 /* PIDFD_INFO_EXIT */

struct info {
    uint64_t mask; /* wanted, then given */
    uint64_t cgroup;
    uint32_t ids[11];
    int32_t exit_code;
};

#define GET_INFO _IOWR(0xFF, 11, struct info) /* PIDFD_GET_INFO */

bool last_status_of(int pidfd, int *wait_status)
{
    struct info info = {.mask = INFO_EXIT};
    if (ioctl(pidfd, GET_INFO, &info) != 0 || !(info.mask & INFO_EXIT))
        return false;
    *wait_status = info.exit_code;
    return true;
}
