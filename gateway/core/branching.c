/* fork(context): has a live interpreter forked into a host that was started for that. The second
 * host is launched, waits (--await-branch) and attaches; then the first one is told where; its
 * answer says that there is a second interpreter, or why not.
 *
 * Invariant: a branching is freed when its maker was told, which happens once, whichever of the two
 * kernels ends first. */
#include <stdio.h>

#include "gateway/core/state.h"
#include "gateway/log.h"
#include "gateway/store/kernel_table.h"
#include "protocol/json.h"
#include "protocol/memory.h"

#define BRANCH_LIMIT_MS (20 * 1000) /* the hosts give up after ten seconds */

struct branching {
    struct core *core;
    struct kernel *to; /* NULL: it has ended */
    char *from;        /* an id */
    bool force, asked;
    void (*done)(void *user, struct kernel *k, const struct err *e);
    void *user;
};

struct branching *branching_new(struct kernel *from, bool force,
                                void (*done)(void *user, struct kernel *k, const struct err *e),
                                void *user)
{
    struct branching *b = xcalloc(1, sizeof(*b));
    *b = (struct branching){
        .core = from->core, .from = xstrdup(from->id), .force = force, .done = done, .user = user};
    return b;
}

void branching_free(struct branching *b)
{
    if (b)
        free(b->from);
    free(b);
}

void branching_expects(struct branching *b, struct kernel *to)
{
    b->to = to;
    to->branching = b;
    to->handing = true;
    to->forked_from = xstrdup(b->from);
}

static void tell(struct branching *b, const struct err *e)
{
    struct kernel *to = b->to;
    if (to)
        to->branching = NULL;
    if (to && e) {
        kernel_stop(to, e->text, NULL, NULL);
        kernel_kill_host(to);
    } else if (to) {
        to->handing = false;
        kernel_touch(to);
        kernel_save(to);
        kernel_table_started(b->core->store, to->id, to->name, to->started);
        log_info("context forked", F_STR("kernel", to->id), F_STR("from", b->from),
                 F_STR("sandbox", sandbox_id(to->sandbox)));
    }
    b->done(b->user, e ? NULL : to, e);
    branching_free(b);
}

static void on_branched(void *user, const struct err *e)
{
    struct branching *b = user;
    struct err why = e ? *e : (struct err){0};
    if (!e && !b->to)
        fail(&why, 502, "the branch of context %s ended as it was made", b->from);
    tell(b, why.status ? &why : NULL);
}

void branching_attached(struct kernel *to)
{
    struct branching *b = to->branching;
    struct err e;
    struct kernel *from = b->asked ? NULL : kernels_any(b->core, b->from);
    if (b->asked)
        return;
    if (!from || from->ending || !from->uplink) {
        fail(&e, 409, "context %s ended before it was forked", b->from);
        tell(b, &e);
        return;
    }
    scoped(string) char *path = kernel_branch_path(to);
    scoped(json) json_t *order = json_pack("{s:s, s:b}", "to", path, "force", (int)b->force);
    scoped(string) char *text = json_dumps(order, JSON_COMPACT);
    b->asked = true;
    kernel_command(from, LINK_BRANCH_KERNEL, bytes_of(text), BRANCH_LIMIT_MS, on_branched, b);
}

void branching_lost(struct kernel *to, const char *reason)
{
    struct branching *b = to->branching;
    struct err e;
    if (!b)
        return;
    to->branching = NULL;
    b->to = NULL;
    if (b->asked)
        return; /* the other host answers */
    fail(&e, 502, "the context could not be made: %s", reason);
    tell(b, &e);
}
