/* The backend for foreign kernels. */
#include "kernel/host/relay.h"

struct relay {
    struct backend backend;
};

struct relay *relay_open(struct loop *loop, const struct relay_plan *plan, struct err *e)
{
    (void)loop;
    fail(e, 503, "--relay: %s: this host cannot relay a kernel yet", plan->argv[0]);
    return NULL;
}

struct backend *relay_backend(struct relay *r)
{
    return &r->backend;
}
