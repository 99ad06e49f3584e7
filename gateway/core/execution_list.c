/* Lists of executions: rows of the store, in which those that are open stand as memory has them. */
#include <string.h>

#include "gateway/core/execution.h"
#include "gateway/core/execution_state.h"
#include "gateway/core/state.h"

#define PAGE_LIMIT_BYTES (4 * 1024 * 1024) /* behind so many comes no other record */

struct listing {
    struct core *core;
    int64_t limit;
    void (*done)(void *user, struct execution *const *list, size_t count, bool more,
                 const struct err *e);
    void *user;
};

static bool is_of_open(const char *status)
{
    return status && (strcmp(status, "queued") == 0 || strcmp(status, "running") == 0);
}

static bool fits(const struct execution *x, const struct sandbox *s,
                 const struct execution_filter *filter)
{
    return strcmp(x->row.sandbox_id, s->id) == 0 && x->row.position > filter->after &&
           strcmp(x->row.status, filter->status) == 0 &&
           (!filter->context || strcmp(filter->context, x->row.kernel_id) == 0);
}

static int by_position(const void *a, const void *b)
{
    const struct execution *x = *(struct execution *const *)a, *y = *(struct execution *const *)b;
    return (x->row.position > y->row.position) - (x->row.position < y->row.position);
}

static void list_open(struct sandbox *s, const struct execution_filter *filter,
                      void (*done)(void *user, struct execution *const *list, size_t count,
                                   bool more, const struct err *e),
                      void *user)
{
    struct execution **list = NULL;
    size_t count = 0;
    for (struct kernel *k = s->kernel; k; k = k->sibling)
        for (struct execution *x = k->executions; x; x = x->next)
            if (fits(x, s, filter)) {
                list = xrealloc(list, (count + 1) * sizeof(*list));
                list[count++] = x;
            }
    if (count)
        qsort(list, count, sizeof(*list), by_position);
    size_t shown = 0, bytes = 0;
    while (shown < count && shown < (size_t)filter->limit && bytes < PAGE_LIMIT_BYTES) {
        const char *asked = list[shown++]->row.asked;
        bytes += execution_asked_head(asked, strlen(asked));
    }
    done(user, list, shown, count > shown, NULL);
    free(list);
}

static void on_listed(void *user, const struct execution_row *rows, size_t count,
                      const struct err *e)
{
    struct listing *l = user;
    size_t shown = 0, bytes = 0;
    while (shown < count && shown < (size_t)l->limit && bytes < PAGE_LIMIT_BYTES)
        bytes += execution_row_bytes(&rows[shown++]);
    struct execution **list = xcalloc(shown ? shown : 1, sizeof(*list));
    for (size_t i = 0; i < shown; i++) {
        struct execution *open = execution_open_find(l->core, rows[i].id);
        list[i] = open ? execution_keep(open) : execution_new(l->core, &rows[i]);
    }
    l->done(l->user, list, shown, count > shown, e);
    for (size_t i = 0; i < shown; i++)
        execution_release(list[i]);
    free(list);
    free(l);
}

void executions_list(struct sandbox *s, const struct execution_filter *filter,
                     void (*done)(void *user, struct execution *const *list, size_t count,
                                  bool more, const struct err *e),
                     void *user)
{
    if (is_of_open(filter->status)) {
        list_open(s, filter, done, user);
        return;
    }
    struct listing *l = xmalloc(sizeof(*l));
    *l = (struct listing){s->core, filter->limit, done, user};
    const struct execution_query query = {.sandbox_id = s->id,
                                          .kernel_id = filter->context,
                                          .status = filter->status,
                                          .after = filter->after,
                                          .limit = filter->limit + 1,
                                          .limit_bytes = PAGE_LIMIT_BYTES};
    execution_table_list(s->core->store, &query, on_listed, l);
}
