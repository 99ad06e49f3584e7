/* See settle.h. Called by fork_server.c in the child, between fork and Python. Invariant: no
 * descriptor of the parent is open when the confinement begins. */
#include "kernel/python/settle.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/json.h"
#include "protocol/memory.h"

#define FD_ROOM  64 /* above what the child uses for itself */
#define ID_MOST  0xfffffffeLL
#define RES_MOST 63

static bool read_limit(json_t *item, struct confine *out)
{
    long long resource, soft, hard;
    if (out->rlimit_count == CONFINE_RLIMITS_MOST ||
        json_unpack(item, "[III!]", &resource, &soft, &hard) != 0 || resource < 0 ||
        resource > RES_MOST || soft < -1 || hard < -1)
        return false;
    out->rlimits[out->rlimit_count].resource = (int)resource;
    out->rlimits[out->rlimit_count++].limit = (struct rlimit){
        .rlim_cur = soft < 0 ? RLIM_INFINITY : (rlim_t)soft,
        .rlim_max = hard < 0 ? RLIM_INFINITY : (rlim_t)hard,
    };
    return true;
}

bool settle_read_confine(json_t *object, struct confine *out, struct err *e)
{
    int64_t uid = 0, gid = 0;
    *out = (struct confine){0};
    if (!field_int(object, "uid", REQUIRED, 0, ID_MOST, &uid, e) ||
        !field_int(object, "gid", REQUIRED, 0, ID_MOST, &gid, e) ||
        !field_bool(object, "landlock", REQUIRED, &out->landlock, e) ||
        !field_bool(object, "seccomp", REQUIRED, &out->seccomp, e))
        return false;
    out->uid = (uid_t)uid;
    out->gid = (gid_t)gid;
    json_t *limits = json_object_get(object, "rlimits"), *item;
    size_t at;
    if (limits && !json_is_array(limits))
        return fail(e, 400, "rlimits: must be a list");
    json_array_foreach(limits, at, item) if (!read_limit(item, out)) return fail(
        e, 400, "rlimits: must be at most %d lists of resource, soft and hard limit",
        CONFINE_RLIMITS_MOST);
    return true;
}

/* Moves fd away from the numbers that are given out, so that dup2 hits none still needed. */
static int aside(int fd)
{
    return fd < 0 ? fd : fcntl(fd, F_DUPFD, FD_ROOM);
}

static bool place_descriptors(const struct settle *plan)
{
    int places[] = {
        aside(open("/dev/null", O_RDONLY)),
        aside(plan->stdout_fd),
        aside(plan->stderr_fd),
        aside(plan->link_fd),
        aside(plan->pipes_fd),
    };
    for (size_t i = 0; i < countof(places); i++)
        if (places[i] < 0 || dup2(places[i], (int)i) < 0)
            return false;
    if (close_range(countof(places), ~0u, 0) != 0)
        return false;
    for (size_t i = 0; i < plan->held_count; i++)
        if (plan->held[i] >= (int)countof(places) && dup3(0, plan->held[i], O_CLOEXEC) < 0)
            return false;
    return true;
}

const char *settle_self(const struct settle *plan)
{
    if (setsid() < 0)
        return "setsid";
    umask(plan->umask);
    if (!place_descriptors(plan))
        return "descriptors";
    const char *step = plan->confined ? confine_self(&plan->confine) : NULL;
    if (step)
        return step;
    return plan->cwd && chdir(plan->cwd) != 0 ? "chdir" : NULL;
}
