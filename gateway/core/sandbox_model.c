/* What is known of a sandbox: for its model, and for a gateway that comes back. Life is in
 * sandbox.c. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/core/state.h"
#include "protocol/ids.h"

const char *sandbox_id(const struct sandbox *s)
{
    return s->id;
}

const char *sandbox_state_text(const struct sandbox *s)
{
    if (!s->kernel || s->kernel->state == KERNEL_STARTING || s->kernel->state == KERNEL_RESTARTING)
        return "starting";
    return s->kernel->state == KERNEL_DEAD ? "failed" : "running";
}

const char *sandbox_reason(const struct sandbox *s)
{
    return s->kernel ? s->kernel->reason : NULL;
}

struct timespec sandbox_created(const struct sandbox *s)
{
    return s->created;
}

int64_t sandbox_uid(const struct sandbox *s)
{
    return geteuid() == 0 ? s->uid : -1;
}

const struct limits *sandbox_limits(const struct sandbox *s)
{
    return &s->limits;
}

/* Time and output are the host's to watch; everything else is the keeper's. */
const char *sandbox_enforcer(const struct sandbox *s, const char *limit)
{
    static const char *const of_host[] = {"output_bytes", "execution_s", "idle_s", "life_s"};
    for (size_t i = 0; i < countof(of_host); i++)
        if (strcmp(of_host[i], limit) == 0)
            return "host";
    const char *by = json_string_value(json_object_get(s->enforced, limit));
    return by ? by : "none";
}

json_t *sandbox_network(const struct sandbox *s)
{
    return s->network;
}

const char *sandbox_policy(const struct sandbox *s)
{
    return s->best_effort ? "best-effort" : "required";
}

bool sandbox_is_cold(const struct sandbox *s)
{
    return s->cold;
}

json_t *sandbox_missing(const struct sandbox *s)
{
    return s->missing;
}

json_t *sandbox_confinement(const struct sandbox *s)
{
    return json_object_get(core_keeper_status(s->core, sandbox_keeper(s)), "confinement");
}

json_t *sandbox_last_usage(const struct sandbox *s)
{
    return s->usage;
}

struct kernel *sandbox_kernel(const struct sandbox *s)
{
    return s->kernel;
}

struct sandbox *kernel_sandbox(const struct kernel *k)
{
    return k->sandbox;
}

enum keepers sandbox_keeper(const struct sandbox *s)
{
    return s->best_effort ? KEEPERS_BEST_EFFORT : KEEPERS_REQUIRED;
}

static void replace(json_t **place, json_t *with)
{
    json_decref(*place);
    *place = json_incref(with);
}

void sandbox_take_opening(struct sandbox *s, json_t *answer)
{
    json_t *uid = json_object_get(answer, "uid");
    s->uid = json_is_integer(uid) ? json_integer_value(uid) : -1;
    replace(&s->enforced, json_object_get(answer, "enforced"));
    replace(&s->missing, json_object_get(answer, "missing"));
    free(s->keeper);
    s->keeper = xstrdup(keeper_name(core_keeper(s->core, sandbox_keeper(s))));
}

json_t *sandbox_save(const struct sandbox *s)
{
    char created[TIME_TEXT];
    time_text(s->created, created);
    json_t *saved =
        json_pack("{s:s, s:s, s:o, s:O, s:O, s:b, s:b, s:I}", "id", s->id, "created", created,
                  "limits", limits_json(&s->limits), "env", s->env, "network", s->network, "cold",
                  (int)s->cold, "best_effort", (int)s->best_effort, "uid", (json_int_t)s->uid);
    if (s->keeper)
        json_object_set_new(saved, "keeper", json_string(s->keeper));
    if (s->enforced)
        json_object_set(saved, "enforced", s->enforced);
    if (s->missing)
        json_object_set(saved, "missing", s->missing);
    return saved;
}

void sandbox_restore(struct kernel *k, json_t *saved)
{
    const char *id = json_string_value(json_object_get(saved, "id"));
    const char *keeper = json_string_value(json_object_get(saved, "keeper"));
    if (!id || !id_valid(id))
        return;
    struct sandbox *s = sandbox_new(k->core, id);
    struct err e;
    s->kernel = k;
    k->sandbox = s;
    limits_read(json_object_get(saved, "limits"), &s->limits, &e);
    if (json_is_object(json_object_get(saved, "env")))
        replace(&s->env, json_object_get(saved, "env"));
    if (json_object_get(saved, "network"))
        replace(&s->network, json_object_get(saved, "network"));
    s->cold = json_is_true(json_object_get(saved, "cold"));
    s->best_effort = json_is_true(json_object_get(saved, "best_effort"));
    s->uid = json_integer_value(json_object_get(saved, "uid"));
    s->keeper = keeper ? xstrdup(keeper) : NULL;
    s->created = core_time_of(json_object_get(saved, "created"));
    replace(&s->enforced, json_object_get(saved, "enforced"));
    replace(&s->missing, json_object_get(saved, "missing"));
    core_keeper(k->core, sandbox_keeper(s)); /* joins it when it is up */
}
