/* The steps, one behind the other: the copy is opened in its keeper, which gives it a uid; the
 * first is saved; a thread copies what was saved and the workspace, and writes the record that the
 * copy is paused with; then it is resumed as any other.
 *
 * Until the record of that resume is on the disk the copy's state in the vault is marked as
 * `making`: a gateway that comes back ends it, and nothing of it is left.
 *
 * Invariant: while a thread copies, from->moving is ours, so nothing that was saved is swept. */
#include "gateway/core/forking.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "gateway/core/keepsake.h"
#include "gateway/core/naming.h"
#include "gateway/core/settling.h"
#include "gateway/core/state.h"
#include "gateway/files/path.h"
#include "gateway/log.h"
#include "gateway/store/store.h"
#include "gateway/store/vault.h"
#include "protocol/ids.h"
#include "protocol/json.h"

struct forking {
    struct core *core;
    struct sandbox *from, *to; /* held */
    struct moving *moving;     /* of from; NULL: not any more */
    bool force;
    json_t *record; /* owned: of to; the thread's while it runs */
    json_t *answer; /* owned: of its resume */
    struct err why;
    /* the thread's: copies of its own */
    uv_thread_t thread;
    uv_async_t ended;
    char *from_id, *to_id, *from_folder, *to_folder, *cold_from, *cold_to;
    int64_t uid;
    json_t *files;
    struct room room;
    struct clone_result copied;
    void (*done)(void *user, struct sandbox *s, const struct fork_answer *answer,
                 const struct err *e);
    void *user;
};

static void on_moved(void *user, struct sandbox *s, json_t *answer, const struct err *e)
{
    (void)user; /* whoever ended it goes on by itself */
    (void)s;
    (void)answer;
    (void)e;
}

static void let_from_go(struct forking *f)
{
    if (f->moving)
        moving_end(f->moving, NULL, f->why.status ? &f->why : NULL);
    f->moving = NULL;
}

/* answer: NULL: for f->why nothing came of it. */
static void end_fork(struct forking *f, const struct fork_answer *answer)
{
    struct sandbox *from = f->from, *to = f->to;
    let_from_go(f);
    f->core->forks--;
    if (!answer && !to->ending)
        sandbox_remove(to, f->why.text, NULL, NULL);
    f->done(f->user, answer ? to : NULL, answer, answer ? NULL : &f->why);
    clone_result_clear(&f->copied);
    json_decref(f->record);
    json_decref(f->answer);
    json_decref(f->files);
    free(f->from_id);
    free(f->to_id);
    free(f->from_folder);
    free(f->to_folder);
    free(f->cold_from);
    free(f->cold_to);
    free(f);
    sandbox_let_go(from);
    sandbox_let_go(to);
}

static bool is_over(struct forking *f)
{
    if (f->core->draining)
        fail(&f->why, 503, "the gateway is ending");
    else if (f->from->ending || f->from->gone) /* whatever else that led to */
        fail(&f->why, 409, "sandbox %s was deleted meanwhile", f->from->id);
    else if (!f->why.status && f->to->ending)
        fail(&f->why, 503, "the copy ended as it was made");
    return f->why.status != 0;
}

/* --- what the thread does */

static bool copy_variables(struct forking *f)
{
    json_t *name;
    size_t i;
    json_array_foreach(f->files, i, name)
    {
        if (!vault_file_copy(f->core->vault, f->from_id, f->to_id, json_string_value(name),
                             &f->why))
            return false;
    }
    return true;
}

static bool copy_files(struct forking *f)
{
    int from = path_root(f->from_folder, &f->why);
    int to = from >= 0 ? path_root(f->to_folder, &f->why) : -1;
    bool good = to >= 0 && clone_workspace(from, to, f->uid, &f->room, &f->copied, &f->why);
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    return good;
}

static bool keep_files(struct forking *f)
{
    int fd = path_filesystem(f->to_folder);
    return sync_settle_filesystem(store_sync(f->core->store), fd, &f->why);
}

/* See sandbox_cold_mark. */
static bool copy_mark(struct forking *f)
{
    if (access(f->cold_from, F_OK) != 0)
        return true;
    int fd = open(f->cold_to, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail_errno(&f->why, 503, "the copy cannot be marked as cold");
    close(fd);
    return true;
}

static bool write_record(struct forking *f)
{
    const struct vault *v = f->core->vault;
    const char *id = json_string_value(json_object_get(f->record, "id"));
    scoped(json) json_t *state =
        json_pack("{s:b, s:s, s:b}", "paused", 1, "snapshot", id, "making", 1);
    return vault_put(v, f->to_id, id, f->record, &f->why) &&
           vault_put(v, f->to_id, "state", state, &f->why);
}

static void run(void *arg)
{
    struct forking *f = arg;
    f->why = (struct err){0};
    if (copy_variables(f) && copy_files(f) && copy_mark(f) && keep_files(f) && write_record(f))
        f->why = (struct err){0};
    uv_async_send(&f->ended);
}

/* --- the steps */

static void on_safe(void *user, const struct err *e)
{
    struct forking *f = user;
    const struct fork_answer good = {f->answer, &f->copied};
    if (e)
        f->why = *e;
    end_fork(f, e ? NULL : &good);
}

static void on_resumed(void *user, struct sandbox *s, json_t *answer, const struct err *e)
{
    struct forking *f = user;
    (void)s;
    if (e)
        f->why = *e;
    if (is_over(f)) {
        end_fork(f, NULL);
        return;
    }
    f->to->seeding = false;
    sandbox_save_all(f->to);
    log_info("sandbox forked", F_STR("sandbox", f->from->id), F_STR("copy", f->to->id));
    f->answer = json_incref(answer);
    keepsake_settle_fully(f->to, on_safe, f);
}

static void go_on(struct forking *f)
{
    struct sandbox *to = f->to;
    let_from_go(f);
    if (is_over(f)) {
        end_fork(f, NULL);
        return;
    }
    settling_note(f->core, to->id, "", ""); /* what is there was no run's */
    to->quota.added_bytes += f->room.used_bytes;
    to->quota.added_inodes += f->room.used_names;
    json_array_append_new(to->snapshots, snapshot_summary(f->record));
    to->paused = take(&f->record);
    snapshot_keep_short(to->paused);
    to->halted = true;
    sandbox_resume(to, f->force, on_resumed, f);
}

static void on_closed(uv_handle_t *handle)
{
    struct forking *f = handle->data;
    struct core *c = f->core;
    go_on(f);
    core_handle_closed(c);
}

static void on_thread_ended(uv_async_t *async)
{
    struct forking *f = async->data;
    uv_thread_join(&f->thread);
    uv_close((uv_handle_t *)async, on_closed);
}

/* The same contexts, with ids of their own; what is not known of `to` yet the record does not need.
 * Nothing in it is shared with others: it is for another thread. */
static json_t *record_of(const struct sandbox *to, json_t *contexts)
{
    char id[UUID_TEXT], created[TIME_TEXT];
    json_t *list = json_array(), *own = sandbox_save(to), *one;
    size_t i;
    time_now_text(created);
    json_array_foreach(contexts, i, one)
    {
        json_t *context = json_deep_copy(one);
        uuid_make(id);
        json_object_set(context, "forked_from", json_object_get(context, "id"));
        json_object_del(context, "generation"); /* it has had no interpreter */
        json_object_set_new(context, "id", json_string(id));
        json_object_set_new(context, "created", json_string(created));
        json_object_del(context, "once");
        json_array_append_new(list, context);
    }
    uuid_make(id);
    json_object_set_new(own, "seeding", json_false());
    scoped(json) json_t *record =
        json_pack("{s:i, s:s, s:s, s:s, s:n, s:o, s:o}", "version", 1, "id", id, "created", created,
                  "why", "fork", "reason", "sandbox", own, "contexts", list);
    return json_deep_copy(record);
}

static void start_copy(struct forking *f, json_t *contexts)
{
    struct sandbox *from = f->from, *to = f->to;
    struct core *c = f->core;
    f->record = record_of(to, contexts);
    scoped(json) json_t *summary = snapshot_summary(f->record);
    f->files = json_deep_copy(json_object_get(summary, "files"));
    f->from_id = xstrdup(from->id);
    f->to_id = xstrdup(to->id);
    f->from_folder = sandbox_workspace(from);
    f->to_folder = sandbox_workspace(to);
    f->cold_from = sandbox_cold_mark(c, from->id);
    f->cold_to = sandbox_cold_mark(c, to->id);
    f->uid = sandbox_uid(to);
    quota_left(&to->quota, &to->limits, &f->room.bytes, &f->room.names);
    uv_async_init(c->loop, &f->ended, on_thread_ended);
    f->ended.data = f;
    c->open_handles++;
    if (uv_thread_create(&f->thread, run, f) == 0)
        return;
    fail(&f->why, 503, "no thread can be had for the copy");
    uv_close((uv_handle_t *)&f->ended, on_closed);
}

static void on_saved(struct moving *m, const struct err *e)
{
    struct forking *f = moving_user(m);
    if (e)
        f->why = *e;
    if (is_over(f))
        end_fork(f, NULL);
    else
        start_copy(f, json_object_get(moving_record(m), "contexts"));
}

static void on_opened(void *user, json_t *answer, const struct err *e)
{
    struct forking *f = user;
    if (e)
        f->why = *e;
    else
        sandbox_take_opening(f->to, answer);
    if (is_over(f))
        end_fork(f, NULL);
    else if (f->from->paused)
        start_copy(f, sandbox_paused_contexts(f->from));
    else
        moving_save(f->moving, "fork", NULL, on_saved);
}

/* --- what is asked */

static size_t contexts_of(const struct sandbox *s)
{
    return s->paused ? json_array_size(sandbox_paused_contexts(s)) : contexts_count(s);
}

static bool check(const struct sandbox *from, const struct fork_request *r, struct err *e)
{
    struct core *c = from->core;
    struct allowance allowance;
    struct usage_payer payer = {.account = tokens_account(c, r->who, &allowance)};
    size_t contexts = contexts_of(from);
    struct usage more = {.sandboxes = 1, .kernels = (int64_t)contexts};
    payer.principal = from->bounded ? from->owner : NULL;
    usage_add_limits(&more, &from->limits, true);
    if (c->draining)
        return fail(e, 503, "the gateway is ending");
    if (r->name &&
        (!name_check(r->name, e) || !sandbox_name_free(c, from->owner, r->name, NULL, e)))
        return false;
    if ((r->labels && !labels_check(r->labels, false, e)) || !sandboxes_allowed(c, e) ||
        !kernels_allowed(c, contexts, e) || !usage_allows(c, payer, &more, e))
        return false;
    return c->forks < FORKS_MOST ||
           fail(e, 503, "%d sandboxes are being copied just now: ask again", FORKS_MOST);
}

static struct sandbox *make(const struct sandbox *from, const struct fork_request *r)
{
    char id[UUID_TEXT];
    uuid_make(id);
    struct sandbox *to = sandbox_new(from->core, id);
    sandbox_set_owner(to, from->owner);
    to->seeding = true;
    to->bounded = from->bounded;
    sandbox_set_account(to, r->who);
    to->limits = from->limits;
    to->cold = from->cold;
    to->language = from->language;
    to->best_effort = from->best_effort;
    to->shares_keeper = from->shares_keeper;
    to->name = r->name ? xstrdup(r->name) : NULL;
    to->forked_from = xstrdup(from->id);
    to->once = json_incref(r->once);
    json_object_update(to->labels, r->labels ? r->labels : from->labels);
    json_object_update(to->env, from->env);
    to->template = json_incref(from->template);
    to->preload = json_incref(from->preload);
    json_decref(to->network);
    to->network = json_incref(from->network);
    return to;
}

void sandbox_fork(struct sandbox *from, const struct fork_request *request,
                  void (*done)(void *user, struct sandbox *s, const struct fork_answer *answer,
                               const struct err *e),
                  void *user)
{
    static const struct fork_answer nothing_new = {0};
    struct err e = {0};
    struct sandbox *before = NULL;
    bool good = sandbox_made_before(from->core, request->once, &before, &e);
    if (!good || before) {
        done(user, before, before ? &nothing_new : NULL, before ? NULL : &e);
        return;
    }
    struct forking *f = xcalloc(1, sizeof(*f));
    *f = (struct forking){
        .core = from->core, .from = from, .force = request->force, .done = done, .user = user};
    if (!check(from, request, &e) ||
        !(f->moving = moving_begin(from, request->force, on_moved, f, &e))) {
        free(f);
        done(user, NULL, NULL, &e);
        return;
    }
    f->to = make(from, request);
    f->core->forks++;
    sandbox_hold(f->from);
    sandbox_hold(f->to);
    sandbox_open_again(f->to, on_opened, f);
}
