/* Records of the vault, big files, rows of templates, and what a gateway that comes back reads of
 * kernels that live. Called by the command line alone, which may wait.
 *
 * Invariant: a key is dropped only when everything was read with the keys that there are and is
 * under the first of them, on the disk. */
#include "gateway/core/reseal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/core/json_file.h"
#include "gateway/core/state.h"
#include "gateway/store/template_table.h"
#include "gateway/store/vault.h"
#include "protocol/ids.h"
#include "protocol/json.h"

struct resealing {
    struct vault *vault;
    const char *state_dir;
    struct reseal_report *report;
};

/* One that cannot be listed is not an empty one. pardoned: an errno that is none; 0: no errno. */
static bool can_be_listed(const char *path, int pardoned, struct err *e)
{
    DIR *handle = opendir(path);
    if (!handle)
        return errno == pardoned || fail_errno(e, 503, "the folder %.200s cannot be read", path);
    closedir(handle);
    return true;
}

/* What is gone through is listed first: a folder that is being read is not changed. */
static void add_name(void *user, const char *name)
{
    json_array_append_new(user, json_string(name));
}

/* A member that vault_hide made; what is not there, or is no text, stays. */
static bool renew_hidden(const struct resealing *r, json_t *object, const char *context,
                         struct err *e)
{
    json_t *hidden = json_object_get(object, "env");
    if (!json_is_string(hidden))
        return true;
    scoped(json) json_t *plain = vault_reveal(r->vault, context, hidden, e);
    if (plain)
        json_object_set_new(object, "env", vault_hide(r->vault, context, plain));
    return plain != NULL;
}

static bool renew_sandbox(const struct resealing *r, json_t *record, struct err *e)
{
    json_t *saved = json_object_get(record, "sandbox");
    const char *id = json_string_value(json_object_get(saved, "id"));
    scoped(string) char *context = xasprintf(SANDBOX_ENV_CONTEXT, id ? id : "");
    return renew_hidden(r, saved, context, e);
}

static bool renew_record(struct resealing *r, const char *folder, const char *name, struct err *e)
{
    scoped(json) json_t *record = vault_get(r->vault, folder, name, e);
    r->report->records++;
    return record && renew_sandbox(r, record, e) && vault_put(r->vault, folder, name, record, e);
}

static bool renew_file(struct resealing *r, const char *folder, const char *name, struct err *e)
{
    bool sealed = false;
    bool good = vault_file_renew(r->vault, folder, name, &sealed, e);
    r->report->files += sealed;
    return good;
}

static bool renew_folder(struct resealing *r, const char *folder, struct err *e)
{
    scoped(json) json_t *records = json_array(), *files = json_array();
    scoped(string) char *path = xasprintf("%s/snapshots/%s", r->state_dir, folder);
    json_t *name;
    size_t i;
    if (!can_be_listed(path, ENOTDIR, e)) /* what is no folder is nobody's */
        return false;
    vault_records(r->vault, folder, add_name, records);
    vault_files(r->vault, folder, add_name, files);
    json_array_foreach(files, i, name)
    {
        if (!renew_file(r, folder, json_string_value(name), e))
            return false;
    }
    json_array_foreach(records, i, name)
    {
        if (!renew_record(r, folder, json_string_value(name), e))
            return false;
    }
    return true;
}

static bool renew_vault(struct resealing *r, struct err *e)
{
    scoped(json) json_t *folders = json_array();
    scoped(string) char *path = xasprintf("%s/snapshots", r->state_dir);
    json_t *name;
    size_t i;
    if (!can_be_listed(path, 0, e))
        return false;
    vault_each(r->vault, add_name, folders);
    json_array_foreach(folders, i, name)
    {
        if (!renew_folder(r, json_string_value(name), e))
            return false;
    }
    return true;
}

/* What is no text in JSON is not sealed: a template without files has an empty list there. */
static char *renew_template(void *user, const char *id, const char *text, struct err *e)
{
    const struct resealing *r = user;
    scoped(string) char *context = xasprintf(TEMPLATE_CONTEXT, id);
    scoped(json) json_t *sealed = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    if (!json_is_string(sealed))
        return NULL;
    scoped(json) json_t *plain = vault_reveal(r->vault, context, sealed, e);
    scoped(json) json_t *fresh = plain ? vault_hide(r->vault, context, plain) : NULL;
    return fresh ? json_dumps(fresh, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
}

static bool renew_kernel(struct resealing *r, const char *dir, const char *id, struct err *e)
{
    scoped(string) char *path = xasprintf("%s/%s/kernel.json", dir, id);
    scoped(string) char *context = xasprintf(KERNEL_ENV_CONTEXT, id);
    if (access(path, F_OK) != 0)
        return errno == ENOENT || errno == ENOTDIR ||
               fail_errno(e, 503, "%.200s cannot be read", path);
    scoped(json) json_t *saved =
        json_load_file(path, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    r->report->kernels++;
    if (!json_is_object(saved))
        return fail(e, 503, "%.200s cannot be read", path);
    return renew_hidden(r, saved, context, e) && renew_sandbox(r, saved, e) &&
           json_file_replace(path, saved, e);
}

static bool renew_kernels(struct resealing *r, const char *runtime_dir, struct err *e)
{
    scoped(string) char *dir = xasprintf("%s/kernels", runtime_dir);
    scoped(json) json_t *ids = json_array();
    if (!can_be_listed(dir, ENOENT, e))
        return false;
    DIR *handle = opendir(dir);
    struct dirent *entry;
    json_t *id;
    size_t i;
    while (handle && (entry = readdir(handle)))
        if (id_valid(entry->d_name))
            add_name(ids, entry->d_name);
    if (handle)
        closedir(handle);
    json_array_foreach(ids, i, id)
    {
        if (!renew_kernel(r, dir, json_string_value(id), e))
            return false;
    }
    return true;
}

/* What is written anew is its writer's, and the gateway has to read it. */
static bool is_ours(const char *state_dir, struct err *e)
{
    struct stat st;
    if (stat(state_dir, &st) != 0)
        return fail_errno(e, 404, "%.200s is no state folder", state_dir);
    return st.st_uid == geteuid() ||
           fail(e, 403, "%.200s belongs to uid %u: who seals it anew has to be that user",
                state_dir, (unsigned)st.st_uid);
}

bool reseal_state(const char *state_dir, const char *runtime_dir, struct reseal_report *out,
                  struct err *e)
{
    struct resealing r = {.state_dir = state_dir, .report = out};
    *out = (struct reseal_report){0};
    int lock = is_ours(state_dir, e) ? vault_lock(state_dir, e) : -1;
    if (lock < 0)
        return false;
    r.vault = vault_open(state_dir, e);
    bool good = r.vault && renew_vault(&r, e) &&
                template_table_renew(state_dir, renew_template, &r, &out->templates, e) &&
                renew_kernels(&r, runtime_dir, e) &&
                vault_drop_keys(r.vault, state_dir, &out->keys, e);
    vault_close(r.vault);
    close(lock);
    return good;
}
