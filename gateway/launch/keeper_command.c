/* The command line of warmcell-keeper, and behind its "--" that of the fork server. Everything that
 * decides what a template is stands here. */
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/launch/keeper.h"
#include "gateway/launch/language.h"
#include "gateway/place.h"
#include "protocol/bytes.h"

#define SANDBOXES_AHEAD 16 /* without an interpreter in them; some 0.5 MB each */
#define AHEAD_OF_OTHERS 2  /* of a principal who is not the owner, or with libraries of its own */
#define UIDS_FROM       786432 /* above the range that a keeper has by default */
#define UIDS_EACH       1024   /* sandboxes of one principal, paused ones too */
#define UIDS_PLACES     2048
#define WHOSE_BYTES     8 /* of a digest in a name */

/* The folder two above a file: /x of /x/bin/python. Given. */
static char *prefix_of(const char *file)
{
    char *prefix = xstrdup(file);
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(prefix, '/');
        if (slash && slash != prefix)
            *slash = '\0';
    }
    return prefix;
}

static bool is_below(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    return strncmp(path, folder, len) == 0 && (path[len] == '/' || !path[len]);
}

static bool is_of_system(const char *path)
{
    static const char *const roots[] = {"/usr", "/bin", "/lib", "/lib64", "/etc"};
    for (size_t i = 0; i < countof(roots); i++)
        if (is_below(path, roots[i]))
            return true;
    return false;
}

/* Are the sandboxes shown a folder that has this path in it, as an environment has what a wheel
 * put there? */
static bool is_shown(const struct words *w, const char *path)
{
    for (size_t i = 0; i + 1 < w->count; i++)
        if (strcmp(w->word[i], "--read-only") == 0 && is_below(path, w->word[i + 1]))
            return true;
    return false;
}

/* Shows a path inside the sandboxes, unless the root has it already. */
static void show(struct words *w, const char *path)
{
    if (!path || path[0] != '/' || !path[1] || is_of_system(path) || is_shown(w, path) ||
        access(path, R_OK) != 0)
        return;
    words_add(w, xstrdup("--read-only"));
    words_add(w, xstrdup(path));
}

/* The environment of the Python, the Python that a virtual environment was made of, and what of
 * ours runs in it. */
static void add_read_only(const struct settings_core *settings, const char *program,
                          struct words *w)
{
    if (*settings->python) {
        scoped(string) char *prefix = prefix_of(settings->python);
        scoped(string) char *real = realpath(settings->python, NULL);
        scoped(string) char *base = real ? prefix_of(real) : NULL;
        show(w, prefix);
        if (base && strcmp(base, prefix) != 0)
            show(w, base);
    }
    scoped(string) char *package = place_python_package();
    scoped(string) char *inner = package ? xasprintf("%s/warmcell_kernel", package) : NULL;
    scoped(string) char *sources = inner ? realpath(inner, NULL) : NULL; /* of a build tree */
    show(w, program);
    show(w, package);
    if (sources && strcmp(sources, inner) != 0)
        show(w, sources);
    __attribute__((cleanup(words_scoped))) struct words languages = {0};
    language_paths(&languages);
    for (size_t i = 0; i < languages.count; i++)
        show(w, languages.word[i]);
    show(w, settings->wheels);
    for (size_t i = 0; i < settings->sandbox_read_only.count; i++)
        show(w, settings->sandbox_read_only.item[i]);
}

static void add_number(struct words *w, const char *flag, int64_t number)
{
    words_add(w, xstrdup(flag));
    words_add(w, xasprintf("%lld", (long long)number));
}

/* The same for a principal each time; two that meet in one share uids, and nothing else. */
static void add_uids(const struct keeper_plan *plan, struct words *w)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    const char *principal = plan->principal ? plan->principal : "";
    scoped(string) char *whose =
        plan->preload ? xasprintf("%s,%s", principal, plan->preload) : xstrdup(principal);
    SHA256((const unsigned char *)whose, strlen(whose), digest);
    unsigned first = UIDS_FROM + (digest[0] << 8 | digest[1]) % UIDS_PLACES * UIDS_EACH;
    words_add(w, xstrdup("--uids"));
    words_add(w, xasprintf("%u-%u", first, first + UIDS_EACH - 1));
}

static void add_profile(const struct keeper_plan *plan, const char *program, struct words *w)
{
    const struct settings_core *settings = plan->settings;
    words_add(w, xstrdup("--profile"));
    words_add(w, xstrdup("sandbox"));
    words_add(w, xstrdup("--state-dir"));
    words_add(w, xasprintf("%s/sandboxes", settings->state_dir));
    words_add(w, xstrdup("--policy"));
    words_add(w, xstrdup(plan->best_effort ? "best-effort" : "required"));
    bool usual = !plan->principal && !plan->preload;
    add_number(w, "--stock", usual ? SANDBOXES_AHEAD : AHEAD_OF_OTHERS);
    words_add(w, xstrdup("--audit"));
    words_add(w, xasprintf("%s/network.log", settings->state_dir));
    if (!usual)
        add_uids(plan, w);
    if (*settings->cgroup) {
        words_add(w, xstrdup("--cgroup"));
        words_add(w, xstrdup(settings->cgroup));
    }
    add_read_only(settings, program, w);
}

static char *joined(const struct string_list *list)
{
    struct buffer text = {0};
    for (size_t i = 0; i < list->count; i++)
        buffer_printf(&text, "%s%s", i ? "," : "", list->item[i]);
    return buffer_take(&text, NULL);
}

static void add_fork_server(const struct keeper_plan *plan, char *program, struct words *w)
{
    const struct settings_core *settings = plan->settings;
    words_add(w, xstrdup("--"));
    words_add(w, program);
    if (*settings->python) {
        words_add(w, xstrdup("--python"));
        words_add(w, xstrdup(settings->python));
    }
    words_add(w, xstrdup("--preload"));
    words_add(w, plan->preload ? xstrdup(plan->preload) : joined(&settings->preload));
    if (*settings->warm_up) {
        words_add(w, xstrdup("--warm-up"));
        words_add(w, xstrdup(settings->warm_up));
    }
}

bool keeper_command(const struct keeper_plan *plan, const char *socket, const char *log,
                    struct words *out, struct err *e)
{
    const struct settings_core *settings = plan->settings;
    scoped(string) char *keeper = place_keeper();
    scoped(string) char *program = place_python();
    if (!keeper)
        return fail(e, 503,
                    "warmcell-keeper was not found next to this program; set WARMCELL_KEEPER");
    words_add(out, take(&keeper));
    words_add(out, xstrdup("--socket"));
    words_add(out, xstrdup(socket));
    words_add(out, xstrdup("--log"));
    words_add(out, xstrdup(log));
    add_number(out, "--idle", settings->lease_s > 0 ? settings->lease_s : 1);
    add_number(out, "--recycle-forks", settings->recycle_forks);
    add_number(out, "--recycle-age", settings->recycle_age_s);
    if (plan->profile == KEEPER_SANDBOX)
        add_profile(plan, program, out);
    if (settings->warm && program)
        add_fork_server(plan, take(&program), out);
    return true;
}

char *keeper_template(const struct keeper_plan *plan)
{
    struct words w = {0};
    uint32_t hash = 2166136261u; /* FNV-1a: names are told apart, nobody is kept out by it */
    struct err e;
    if (keeper_command(plan, "/", "/", &w, &e))
        for (size_t i = 0; i < w.count; i++)
            for (const char *at = w.word[i]; at == w.word[i] || at[-1]; at++)
                hash = (hash ^ (unsigned char)*at) * 16777619u;
    words_free(&w);
    char whose[WHOSE_BYTES * 2 + 2] = "";
    unsigned char digest[SHA256_DIGEST_LENGTH];
    if (plan->principal) {
        SHA256((const unsigned char *)plan->principal, strlen(plan->principal), digest);
        whose[0] = '-';
        for (size_t i = 0; i < WHOSE_BYTES; i++)
            snprintf(whose + 1 + 2 * i, 3, "%02x", digest[i]);
    }
    return xasprintf("%s%s-%08x%s", plan->profile == KEEPER_OWNER ? "owner" : "sandbox",
                     plan->best_effort ? "-be" : "", hash, whose);
}
