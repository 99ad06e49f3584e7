/* The jobs of a sandbox's packages, one at a time, each step by step:
 *   install: look (what there is), unpack (apart), move (into the workspace), commit, refresh
 *   remove:  commit, refresh
 *   list:    look
 * Steps that change something for good are single renames: move, and commit's last.
 *
 * Invariant: the first job of a sandbox's list is the one that runs. */
#include "gateway/core/package.h"

#include <stdio.h>
#include <string.h>

#include "gateway/core/package_program.h"
#include "gateway/core/package_refresh.h"
#include "gateway/core/package_source.h"
#include "gateway/core/package_tree.h"
#include "gateway/core/state.h"
#include "gateway/log.h"
#include "protocol/ids.h"
#include "protocol/json.h"

#define INCOMING ".packages-" /* as installer.py has it */

enum kind { INSTALL, REMOVE, LIST };
enum step { STEP_WAIT, STEP_LOOK, STEP_UNPACK, STEP_MOVE, STEP_COMMIT, STEP_REFRESH };

struct package_job {
    struct package_job *next;
    struct sandbox *s;
    enum kind kind;
    enum step step;
    bool restart, gone; /* gone: out of the list, and freed when what is under way has come back */
    json_t *wanted;     /* of an installation */
    char *name;         /* of a removal */
    int64_t deadline_s, ends_ms;
    json_t *found, *staged, *result; /* what its programs said last */
    struct package_program *program;
    char *incoming; /* a folder of the workspace */
    struct package_events events;
    void *user;
};

static void begin(struct package_job *job);

static void job_free(struct package_job *job)
{
    package_program_close(job->program);
    json_decref(job->wanted);
    json_decref(job->found);
    json_decref(job->staged);
    json_decref(job->result);
    free(job->name);
    free(job->incoming);
    free(job);
}

static void leave_list(struct package_job *job)
{
    struct package_job **at = &job->s->packages;
    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
}

/* --- the end */

static void tell(struct package_job *job, json_t *result, const struct err *e)
{
    if (job->events.on_done)
        job->events.on_done(job->user, result, e);
    job->events = (struct package_events){0};
}

static void emit(struct package_job *job, json_t *event) /* taken */
{
    if (job->events.on_event)
        job->events.on_event(job->user, event);
    json_decref(event);
}

static void tell_places(const struct sandbox *s)
{
    int place = 0;
    for (struct package_job *job = s->packages; job; job = job->next, place++)
        if (place > 0)
            emit(job, json_pack("{s:s, s:i}", "event", "queued", "position", place));
}

static void finish(struct package_job *job, json_t *result, const struct err *e)
{
    static const char *const names[] = {"install", "remove", "list"};
    struct sandbox *s = job->s;
    struct package_job *next = job->next;
    if (job->kind != LIST)
        log_info("packages", F_STR("sandbox", s->id), F_STR("what", names[job->kind]),
                 F_STR("outcome", e ? e->text : "done"));
    leave_list(job);
    sandbox_touch(s);
    tell(job, result, e);
    job_free(job);
    if (!next || s->packages != next)
        return;
    tell_places(s);
    begin(next);
}

void packages_leave(struct sandbox *s, const void *user)
{
    for (struct package_job *job = s->packages; job; job = job->next)
        if (job->user == user)
            job->events = (struct package_events){0};
}

void packages_let_go(struct sandbox *s)
{
    struct err e;
    bool ends = s->core->draining;
    fail(&e, ends ? 503 : 409,
         ends ? "the gateway is ending; nothing has changed" : "the sandbox has ended");
    package_refresh_cancel(s);
    while (s->packages) {
        struct package_job *job = s->packages;
        s->packages = job->next;
        tell(job, NULL, &e);
        package_program_close(take(&job->program));
        job->gone = true;
        if (job->step != STEP_MOVE)
            job_free(job);
    }
}

/* --- refresh */

static void on_restart(void *user, const char *context)
{
    emit(user, json_pack("{s:s, s:s}", "event", "restarting", "context", context));
}

static void on_refreshed(void *user, json_t *answer)
{
    struct package_job *job = user;
    json_object_update(job->result, answer);
    finish(job, job->result, NULL);
}

static void refresh(struct package_job *job, json_t *modules)
{
    int64_t left_ms = job->ends_ms - monotonic_ms();
    const struct package_refresh_plan plan = {.modules = modules,
                                              .restart = job->restart,
                                              .limit_ms = left_ms,
                                              .on_restart = on_restart,
                                              .done = on_refreshed,
                                              .user = job};
    job->step = STEP_REFRESH;
    package_refresh_start(job->s, &plan);
}

/* --- programs */

static void on_event(void *user, json_t *event)
{
    struct package_job *job = user;
    const char *kind = json_string_value(json_object_get(event, "event"));
    if (strcmp(kind, "progress") == 0) {
        emit(job, json_incref(event));
        return;
    }
    json_decref(job->found); /* the last one counts */
    job->found = json_incref(event);
}

static void on_end(void *user, const struct err *e);

static void run(struct package_job *job, enum step step, struct package_program_plan *plan)
{
    static const struct package_program_events events = {on_event, on_end};
    struct err e = {0};
    int64_t left_ms = job->ends_ms - monotonic_ms();
    job->step = step;
    plan->deadline_ms = left_ms;
    json_decref(take(&job->found));
    if (left_ms <= 0)
        fail(&e, 504, "the time for it is over; nothing has changed");
    else
        job->program = package_program_start(job->s, plan, &events, job, &e);
    if (!job->program)
        finish(job, NULL, &e);
}

static void look(struct package_job *job)
{
    run(job, STEP_LOOK,
        &(struct package_program_plan){
            .words = {job->kind == LIST ? "list" : "own", PACKAGES_FOLDER}});
}

static void commit(struct package_job *job)
{
    scoped(string) char *incoming = xasprintf("/workspace/%s", job->incoming ? job->incoming : "");
    struct package_program_plan plan = {.words = {"commit", PACKAGES_FOLDER, incoming}};
    if (job->kind == REMOVE)
        plan = (struct package_program_plan){.words = {"remove", PACKAGES_FOLDER, job->name}};
    run(job, STEP_COMMIT, &plan);
}

/* --- the steps of an installation */

static json_t *known_of(json_t *packages)
{
    json_t *known = json_array(), *package;
    size_t i;
    json_array_foreach(packages, i, package)
    {
        const char *location = json_string_value(json_object_get(package, "location"));
        if (location && strcmp(location, "sandbox") == 0)
            json_array_append(known, package);
    }
    return known;
}

static void unpack(struct package_job *job)
{
    struct package_source source;
    struct err e;
    if (!package_source_read(&job->s->core->settings->core, &source, &e)) {
        package_source_free(&source);
        finish(job, NULL, &e);
        return;
    }
    scoped(json) json_t *order =
        json_pack("{s:O, s:o, s:s?, s:s?, s:s?}", "requirements", job->wanted, "known",
                  known_of(json_object_get(job->found, "packages")), "index", source.index,
                  "trusted", source.trusted, "wheels", source.wheels);
    run(job, STEP_UNPACK,
        &(struct package_program_plan){
            .words = {"install"}, .input = order, .network = source.network});
    package_source_free(&source);
}

static void on_moved(void *user, const struct err *e)
{
    struct package_job *job = user;
    struct err why = e ? *e : (struct err){0};
    if (job->gone) {
        job_free(job);
        return;
    }
    package_program_close(take(&job->program));
    if (e)
        finish(job, NULL, &why);
    else
        commit(job);
}

static void move(struct package_job *job)
{
    json_t *installed = json_object_get(job->found, "installed");
    job->staged = json_incref(job->found);
    if (!json_array_size(installed)) {
        package_program_close(take(&job->program));
        job->result = json_pack("{s:[], s:O?, s:b, s:n, s:[]}", "installed", "already",
                                json_object_get(job->staged, "already"), "restarted", 0, "reason",
                                "contexts");
        finish(job, job->result, NULL);
        return;
    }
    char id[UUID_TEXT];
    uuid_make(id);
    job->incoming = xasprintf(INCOMING "%s", id);
    job->step = STEP_MOVE;
    package_tree_move(job->s, package_program_id(job->program), job->incoming, on_moved, job);
}

static void committed(struct package_job *job)
{
    json_t *modules = json_object_get(job->found, "modules");
    scoped(json) json_t *none = json_array();
    if (job->kind == REMOVE && !json_object_get(job->found, "name")) {
        struct err e;
        fail(&e, 404, "package %.100s was not installed into this sandbox", job->name);
        finish(job, NULL, &e);
        return;
    }
    if (job->kind == REMOVE)
        job->result =
            json_pack("{s:{s:O, s:O?}}", "removed", "name", json_object_get(job->found, "name"),
                      "version", json_object_get(job->found, "version"));
    else
        job->result =
            json_pack("{s:O?, s:O?}", "installed", json_object_get(job->found, "installed"),
                      "already", json_object_get(job->staged, "already"));
    refresh(job, json_is_array(modules) ? modules : none);
}

/* --- the list */

static bool has_any(json_t *names, json_t *of)
{
    size_t i, j;
    json_t *name, *other;
    json_array_foreach(names, i, name)
        json_array_foreach(of, j, other) if (json_equal(name, other)) return true;
    return false;
}

static void listed(struct package_job *job)
{
    json_t *packages = json_object_get(job->found, "packages"), *package;
    json_t *preloaded = package_preloaded(job->s);
    size_t i;
    json_array_foreach(packages, i, package)
    {
        const char *location = json_string_value(json_object_get(package, "location"));
        bool base = location && strcmp(location, "environment") == 0;
        json_object_del(package, "requires");
        json_object_set_new(
            package, "preloaded",
            json_boolean(base && has_any(json_object_get(package, "modules"), preloaded)));
    }
    job->result = json_pack("{s:O?}", "packages", packages);
    finish(job, job->result, NULL);
}

static void on_end(void *user, const struct err *e)
{
    struct package_job *job = user;
    static const char *const awaited[][3] = {
        [STEP_LOOK] = {"listed"},
        [STEP_UNPACK] = {"staged"},
        [STEP_COMMIT] = {"committed", "removed", "absent"},
    };
    const char *kind = json_string_value(json_object_get(job->found, "event"));
    struct err why = e ? *e : (struct err){0};
    bool good = false;
    for (size_t i = 0; kind && i < countof(awaited[0]); i++)
        good = good || (awaited[job->step][i] && strcmp(kind, awaited[job->step][i]) == 0);
    if (!why.status && !good)
        fail(&why, 502, "the installer did not say what it has done");
    if (why.status) {
        finish(job, NULL, &why);
        return;
    }
    if (job->step == STEP_UNPACK) {
        move(job); /* its folder is still needed */
        return;
    }
    package_program_close(take(&job->program));
    if (job->step == STEP_COMMIT)
        committed(job);
    else if (job->kind == INSTALL)
        unpack(job);
    else
        listed(job);
}

static void begin(struct package_job *job)
{
    job->ends_ms = monotonic_ms() + job->deadline_s * 1000;
    if (job->kind != LIST)
        emit(job, json_pack("{s:s}", "event", "started"));
    if (job->kind == REMOVE)
        commit(job);
    else
        look(job);
}

/* --- what callers ask */

static bool has_room(const struct sandbox *s, struct err *e)
{
    size_t count = 0;
    for (const struct package_job *job = s->packages; job; job = job->next)
        count++;
    return count < PACKAGE_JOBS_MOST ||
           fail(e, 429, "%zu changes of this sandbox's packages wait already", count);
}

static struct package_job *job_new(struct sandbox *s, enum kind kind,
                                   const struct package_request *request,
                                   const struct package_events *events, void *user, struct err *e)
{
    struct package_job **end = &s->packages;
    if (!has_room(s, e))
        return NULL;
    while (*end)
        end = &(*end)->next;
    struct package_job *job = *end = xcalloc(1, sizeof *job);
    *job = (struct package_job){.s = s,
                                .kind = kind,
                                .events = *events,
                                .user = user,
                                .restart = request->restart,
                                .deadline_s = request->deadline_s
                                                  ? request->deadline_s
                                                  : s->core->settings->core.package_deadline_s};
    return job;
}

/* The first one begins at once. */
static void add(struct package_job *job)
{
    if (job->s->packages == job)
        begin(job);
    else
        tell_places(job->s);
}

bool packages_allowed(const struct sandbox *s, const struct package_request *request, struct err *e)
{
    const struct settings_core *settings = &s->core->settings->core;
    if (!requirements_check(request->packages, e))
        return false;
    if (!*settings->package_index && !*settings->wheels)
        return fail(e, 403,
                    "packages cannot be installed here: the administrator has to start the gateway "
                    "with --package-index URL, or with --wheels DIR");
    return has_room(s, e);
}

bool packages_install(struct sandbox *s, const struct package_request *request,
                      const struct package_events *events, void *user, struct err *e)
{
    struct package_job *job =
        packages_allowed(s, request, e) ? job_new(s, INSTALL, request, events, user, e) : NULL;
    if (!job)
        return false;
    job->wanted = json_incref(request->packages);
    add(job);
    return true;
}

bool packages_remove(struct sandbox *s, const struct package_request *request,
                     const struct package_events *events, void *user, struct err *e)
{
    if (!requirement_check_name(request->name, e))
        return false;
    struct package_job *job = job_new(s, REMOVE, request, events, user, e);
    if (!job)
        return false;
    job->name = xstrdup(request->name);
    add(job);
    return true;
}

bool packages_list(struct sandbox *s, const struct package_request *request,
                   const struct package_events *events, void *user, struct err *e)
{
    struct package_job *job = job_new(s, LIST, request, events, user, e);
    if (job)
        add(job);
    return job != NULL;
}
