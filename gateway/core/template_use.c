/* A sandbox from a template: what both say is put together, it is made as any other, its seed and
 * its files are written into the workspace, as the sandbox, and its packages installed, before its
 * maker is told.
 *
 * Invariant: a sandbox is `seeding`, and there for nobody, until all of that is there; one
 * whose gateway is killed on the way is ended by the next. */
#include <string.h>
#include <unistd.h>

#include "gateway/core/file_job.h"
#include "gateway/core/keepsake.h"
#include "gateway/core/package.h"
#include "gateway/core/state.h"
#include "gateway/core/template_seed.h"
#include "gateway/core/template_state.h"
#include "gateway/files/upload.h"
#include "gateway/store/template_table.h"
#include "protocol/json.h"

struct making {
    struct file_job job; /* first */
    struct principal who;
    struct sandbox_request request; /* borrowed from the words */
    json_t *words;                  /* owned: what the request and the template say, by member */
    char *template_files;           /* owned: as the database has them; NULL: none */
    json_t *own_files;              /* owned: of the request; NULL: none */
    int seed_fd;                    /* owned; -1: it has none */
    int64_t bytes, names;           /* of all files, and how many they are */
    struct sandbox *s;              /* held */
    void (*done)(void *user, struct sandbox *s, const struct err *e);
    void *user;
};

static void end_making(struct making *m, struct sandbox *s, const struct err *e)
{
    m->done(m->user, e ? NULL : s, e);
    json_decref(m->words);
    json_decref(m->own_files);
    free(m->template_files);
    if (m->seed_fd >= 0)
        close(m->seed_fd);
    free(m);
}

/* --- files */

static bool write_file(int root, json_t *file, struct touched *t, struct err *e)
{
    scoped(buffer) struct buffer bytes = {0};
    size_t made = 0;
    struct upload_result result;
    struct upload_plan plan = {.path = (char *)json_string_value(json_object_get(file, "path")),
                               .mode = (int)json_integer_value(json_object_get(file, "mode"))};
    if (!plan.path || !template_file_bytes(file, &bytes))
        return fail(e, 500, "the files of the template cannot be read");
    struct upload *u = upload_open(root, &plan, &made, e);
    bool good = u && upload_write(u, buffer_view(&bytes), e) && upload_commit(u, &result, e);
    if (good)
        upload_touched(u, root, made, t);
    upload_free(u);
    return good;
}

static bool write_files(int root, json_t *files, struct touched *t, struct err *e)
{
    json_t *file;
    size_t i;
    json_array_foreach(files, i, file) if (!write_file(root, file, t, e)) return false;
    return true;
}

static void write_all_files(struct file_job *job, int root)
{
    struct making *m = (struct making *)job;
    scoped(json) json_t *files = NULL;
    if (m->template_files) {
        const char *id = json_string_value(json_object_get(m->request.made_from, "id"));
        if (!(files = template_reveal(job->core, id, m->template_files, &job->why)))
            return;
    }
    if (write_files(root, files, &job->touched, &job->why))
        write_files(root, m->own_files, &job->touched, &job->why);
}

/* --- the steps, one behind the other */

static void finish(struct making *m, const struct err *why)
{
    struct sandbox *s = m->s;
    struct err e = why ? *why : (struct err){0};
    bool lives = !s->ending && s->kernel;
    if (!e.status && !lives)
        fail(&e, 503, "the sandbox ended as it was made");
    if (e.status && lives)
        sandbox_remove(s, e.text, NULL, NULL);
    s->seeding = false;
    sandbox_touch(s);
    if (!e.status)
        sandbox_save_all(s);
    end_making(m, s, e.status ? &e : NULL);
    sandbox_let_go(s);
}

static void on_installed(void *user, json_t *result, const struct err *e)
{
    (void)result;
    finish(user, e);
}

static void install(struct making *m)
{
    static const struct package_events events = {.on_done = on_installed};
    struct package_request request = {.packages = json_object_get(m->words, "packages"),
                                      .restart = true};
    struct err e;
    if (json_array_size(request.packages) == 0)
        finish(m, NULL);
    else if (m->s->ending || !m->s->kernel || !packages_install(m->s, &request, &events, m, &e))
        finish(m, m->s->ending || !m->s->kernel ? NULL : &e);
}

static void on_files_written(struct file_job *job)
{
    struct making *m = (struct making *)job;
    file_job_clear(job);
    m->s->quota.added_bytes += m->bytes;
    m->s->quota.added_inodes += m->names;
    if (job->why.status)
        finish(m, &job->why);
    else
        install(m);
}

static void write_them(struct making *m)
{
    struct err why;
    if (!quota_fits(&m->s->quota, &m->s->limits, m->bytes, m->names, &why)) {
        finish(m, &why);
        return;
    }
    if (!m->names) {
        install(m);
        return;
    }
    file_job_set(&m->job, m->s);
    file_job_start(&m->job, write_all_files, on_files_written);
}

static void on_sown(void *user, const struct err *e)
{
    struct making *m = user;
    if (e)
        finish(m, e);
    else
        write_them(m);
}

static void on_made(void *user, struct sandbox *s, const struct err *e)
{
    struct making *m = user;
    if (e || !s->seeding) { /* or it was made before, with the same key */
        end_making(m, s, e);
        return;
    }
    m->s = s;
    sandbox_hold(s);
    if (m->seed_fd >= 0)
        template_seed_unpack(s, m->seed_fd, on_sown, m);
    else
        write_them(m);
}

static void on_files(void *user, const char *files, const struct err *e)
{
    struct making *m = user;
    if (e) {
        end_making(m, NULL, e);
        return;
    }
    m->template_files = xstrdup(files);
    sandboxes_create(m->job.core, &m->who, &m->request, on_made, m);
}

/* --- what both say */

/* What over names takes the place of what is below it. Given; NULL: neither says anything. */
static json_t *laid_over(json_t *below, json_t *over)
{
    json_t *all = below ? json_copy(below) : over ? json_object() : NULL;
    if (over)
        json_object_update(all, over);
    return all;
}

static void put(json_t *words, const char *name, json_t *value) /* value: taken */
{
    if (value)
        json_object_set_new(words, name, value);
}

static void count_files(struct making *m, json_t *spec)
{
    json_t *file;
    size_t i;
    json_array_foreach(json_object_get(spec, "files"), i, file)
    {
        m->bytes += quota_blocks(json_integer_value(json_object_get(file, "bytes")));
        m->names++;
    }
}

/* t: NULL: the request stands for itself. own: its spec. */
static void put_together(struct making *m, const struct template *t, json_t *own)
{
    struct sandbox_request *r = &m->request;
    json_t *spec = t ? t->spec : NULL;
    json_t *preload = json_object_get(own, "preload"), *packages = json_object_get(own, "packages");
    put(m->words, "limits", laid_over(json_object_get(spec, "limits"), r->limits));
    put(m->words, "env", laid_over(json_object_get(spec, "env"), r->env));
    put(m->words, "labels", json_incref(r->labels));
    put(m->words, "once", json_incref(r->once));
    put(m->words, "network",
        json_incref(r->network ? r->network : json_object_get(spec, "network")));
    put(m->words, "preload", json_incref(preload ? preload : json_object_get(spec, "preload")));
    put(m->words, "packages", json_incref(packages ? packages : json_object_get(spec, "packages")));
    json_t *language = json_object_get(own, "language");
    put(m->words, "language", json_incref(language ? language : json_object_get(spec, "language")));
    put(m->words, "policy", r->policy ? json_string(r->policy) : NULL);
    put(m->words, "name", r->name ? json_string(r->name) : NULL);
    put(m->words, "pool", json_incref(json_object_get(spec, "pool")));
    if (t)
        put(m->words, "template", json_pack("{s:s, s:s}", "id", t->id, "name", t->name));
    count_files(m, spec);
    count_files(m, own);
    *r = (struct sandbox_request){
        .limits = json_object_get(m->words, "limits"),
        .env = json_object_get(m->words, "env"),
        .labels = json_object_get(m->words, "labels"),
        .once = json_object_get(m->words, "once"),
        .network = json_object_get(m->words, "network"),
        .preload = json_object_get(m->words, "preload"),
        .made_from = json_object_get(m->words, "template"),
        .version = t ? t->version : 0,
        .pool = json_object_get(m->words, "pool"),
        .policy = json_string_value(json_object_get(m->words, "policy")),
        .name = json_string_value(json_object_get(m->words, "name")),
        .cold = r->cold,
        .language = language_of_spec(m->words),
        .shares_keeper = t && t->shared && !preload,
        .seeds = m->seed_fd >= 0 || m->names > 0 ||
                 json_array_size(json_object_get(m->words, "packages")) > 0,
    };
}

/* The members of a template that stand in the request itself; spec: empty. */
static bool read_own(const struct core *c, json_t *body, json_t *spec, json_t **files,
                     struct err *e)
{
    static const char *const names[] = {"language", "preload", "files", "packages"};
    scoped(json) json_t *own = json_object();
    for (size_t i = 0; i < countof(names); i++)
        if (json_object_get(body, names[i]))
            json_object_set(own, names[i], json_object_get(body, names[i]));
    return template_read_spec(c, own, spec, files, e);
}

/* Its maker is told when a power cut cannot take it. */
struct telling {
    struct sandbox *s;
    void (*done)(void *user, struct sandbox *s, const struct err *e);
    void *user;
};

static void on_safe(void *user, const struct err *e)
{
    struct telling *t = user;
    struct err why;
    if (e)
        fail(&why, e->status, "sandbox %s was made, but that is not written down: %.200s", t->s->id,
             e->text);
    t->done(t->user, e ? NULL : t->s, e ? &why : NULL);
    free(t);
}

static void tell(void *user, struct sandbox *s, const struct err *e)
{
    struct telling *t = user;
    t->s = s;
    if (!e) {
        keepsake_settle_fully(s, on_safe, t);
        return;
    }
    t->done(t->user, NULL, e);
    free(t);
}

static void make_it(struct core *c, const struct principal *who,
                    const struct sandbox_request *request,
                    void (*done)(void *user, struct sandbox *s, const struct err *e), void *user)
{
    struct err e = {0};
    struct sandbox *s = NULL;
    struct template *t = NULL;
    scoped(json) json_t *own = json_object(), *files = NULL;
    bool good = sandbox_made_before(c, request->once, &s, &e);
    if (good && !s && request->template && !(t = templates_find(c, who, request->template, &e)))
        good = fail(&e, 400, "template: there is no template %.100s", request->template);
    good = good && (s || read_own(c, request->body, own, &files, &e));
    if (!good || s) {
        done(user, good ? s : NULL, good ? NULL : &e);
        return;
    }
    if (!t && json_object_size(own) == 0) {
        sandboxes_create(c, who, request, done, user);
        return;
    }
    int seed_fd = t && template_seed(t) ? template_seed_open(c, t, &e) : -1;
    if (e.status) {
        done(user, NULL, &e);
        return;
    }
    struct making *m = xcalloc(1, sizeof(*m));
    *m = (struct making){.who = *who, .request = *request, .done = done, .user = user};
    m->job.core = c;
    m->seed_fd = seed_fd;
    m->words = json_object();
    m->own_files = take(&files);
    put_together(m, t, own);
    if (t && json_array_size(json_object_get(t->spec, "files")))
        template_table_files(c->store, t->id, on_files, m);
    else
        sandboxes_create(c, who, &m->request, on_made, m);
}

void sandboxes_make(struct core *c, const struct principal *who,
                    const struct sandbox_request *request,
                    void (*done)(void *user, struct sandbox *s, const struct err *e), void *user)
{
    struct telling *t = xmalloc(sizeof(*t));
    *t = (struct telling){.done = done, .user = user};
    make_it(c, who, request, tell, t);
}
