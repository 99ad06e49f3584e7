/* Counted bytes. The count is atomic because a scan on another thread may hold the last reference.
 */
#include <stdatomic.h>

#include "gateway/net/websocket.h"

struct shared {
    atomic_size_t references;
    char *data;
    size_t len;
};

struct shared *shared_new(char *data, size_t len)
{
    struct shared *s = xmalloc(sizeof *s);
    atomic_init(&s->references, 1);
    s->data = data;
    s->len = len;
    return s;
}

struct shared *shared_ref(struct shared *s)
{
    atomic_fetch_add_explicit(&s->references, 1, memory_order_relaxed);
    return s;
}

void shared_free(struct shared *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->references, 1, memory_order_acq_rel) != 1)
        return;
    free(s->data);
    free(s);
}

struct bytes shared_view(const struct shared *s)
{
    return (struct bytes){s->data, s->len};
}
