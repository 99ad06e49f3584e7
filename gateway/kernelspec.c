/* The folder share/jupyter/kernels/NAME with its kernel.json and logos. Where it goes follows
 * `jupyter kernelspec`: --user, --sys-prefix, --prefix, or the whole machine. Only folders whose
 * kernel.json says that they are ours are ever removed. */
#include "gateway/kernelspec.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "gateway/kernelspec_logos.h"
#include "gateway/launch/language.h"
#include "gateway/options.h"
#include "gateway/place.h"
#include "gateway/program.h"
#include "gateway/python.h"
#include "protocol/json.h"

#define SYSTEM_PREFIX "/usr/local"

/* All text is owned; NULL: not given. */
struct choice {
    bool user;
    bool sys_prefix;
    char *prefix;
    char *python;
    char *program;
    char *language;
    char *name;         /* "": that of the language */
    char *display_name; /* likewise */
};

/* What runs a kernel of a language; owned. */
struct runner {
    char *program;
    char *version;
    json_t *command; /* of a driver, an array of words; NULL: the host knows how to start Python */
};

#define PLACE_ROWS                                                                                 \
    {"user",                                                                                       \
     OPTION_BOOL,                                                                                  \
     offsetof(struct choice, user),                                                                \
     NULL,                                                                                         \
     .help = "for this user alone",                                                                \
     .flag_only = true},                                                                           \
        {"sys-prefix",                                                                             \
         OPTION_BOOL,                                                                              \
         offsetof(struct choice, sys_prefix),                                                      \
         NULL,                                                                                     \
         .help = "in the environment of the Python that the kernel runs",                          \
         .flag_only = true},                                                                       \
        {"prefix",                                                                                 \
         OPTION_TEXT,                                                                              \
         offsetof(struct choice, prefix),                                                          \
         NULL,                                                                                     \
         .help = "under this folder (default: " SYSTEM_PREFIX ")",                                 \
         .flag_only = true},                                                                       \
    {                                                                                              \
        "python", OPTION_TEXT, offsetof(struct choice, python), NULL,                              \
            .help = "the Python that the kernel runs (default: of the active virtual "             \
                    "environment, else python3)",                                                  \
            .flag_only = true                                                                      \
    }

static const struct option install_rows[] = {
    PLACE_ROWS,
    {"language", OPTION_TEXT, offsetof(struct choice, language), "python",
     .help = "the language of the kernel, as python or javascript", .flag_only = true},
    {"program", OPTION_TEXT, offsetof(struct choice, program), NULL,
     .help = "what runs a kernel of another language than Python, as a Node (default: that on "
             "PATH)",
     .flag_only = true},
    {"name", OPTION_TEXT, offsetof(struct choice, name), NULL,
     .help = "the name of the kernelspec (default: warmcell, or warmcell- and the language)",
     .flag_only = true},
    {"display-name", OPTION_TEXT, offsetof(struct choice, display_name), NULL,
     .help = "what people see in a launcher (default: the language)", .flag_only = true},
};

static const struct option remove_rows[] = {PLACE_ROWS};

const struct option_table kernelspec_install_options = {install_rows, countof(install_rows)};
const struct option_table kernelspec_remove_options = {remove_rows, countof(remove_rows)};

static bool name_valid(const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t len = strlen(name);
    return len && len <= 100 && name[0] != '.' && strspn(name, allowed) == len;
}

/* Jupyter's data folder of this user. */
static char *user_data_dir(void)
{
    const char *own = getenv("JUPYTER_DATA_DIR"), *xdg = getenv("XDG_DATA_HOME");
    const char *home = getenv("HOME");
    if (own && *own)
        return xstrdup(own);
    if (xdg && *xdg)
        return xasprintf("%s/jupyter", xdg);
    return xasprintf("%s/.local/share/jupyter", home ? home : "");
}

/* The folder that holds kernelspecs, as chosen. sys_prefix is that of the Python. */
static char *kernels_dir(const struct choice *c, const char *sys_prefix)
{
    scoped(string) char *data = user_data_dir();
    if (c->user)
        return xasprintf("%s/kernels", data);
    return xasprintf("%s/share/jupyter/kernels", c->sys_prefix ? sys_prefix
                                                 : c->prefix   ? c->prefix
                                                               : SYSTEM_PREFIX);
}

static bool make_dirs(char *path, struct err *e)
{
    for (char *at = strchr(path + 1, '/');; at = strchr(at + 1, '/')) {
        if (at)
            *at = '\0';
        int status = mkdir(path, 0755);
        bool ok = status == 0 || errno == EEXIST;
        if (!ok)
            fail_errno(e, 400, "cannot make the folder %s", path);
        if (at)
            *at = '/';
        if (!ok || !at)
            return ok;
    }
}

/* Puts a file in place whole, or not at all. */
static bool write_file(const char *dir, const char *name, struct bytes content, struct err *e)
{
    scoped(string) char *path = xasprintf("%s/%s", dir, name);
    scoped(string) char *partial = xasprintf("%s.%d", path, (int)getpid());
    FILE *file = fopen(partial, "we");
    if (!file)
        return fail_errno(e, 400, "cannot write %s", path);
    bool ok = fwrite(content.data, 1, content.len, file) == content.len;
    ok = fclose(file) == 0 && ok;
    if (ok && rename(partial, path) == 0)
        return true;
    fail_errno(e, 400, "cannot write %s", path);
    unlink(partial);
    return false;
}

static json_t *make_argv(const struct runner *runner, const char *host)
{
    if (!runner->command)
        return json_pack("[s,s,s,s,s]", host, "-f", "{connection_file}", "--python",
                         runner->program);
    json_t *argv = json_pack("[s,s,s,s,s]", host, "-f", "{connection_file}", "--driver", "--");
    json_array_extend(argv, runner->command);
    return argv;
}

static json_t *make_spec(const struct choice *c, const struct language *language, const char *host,
                         const struct runner *runner)
{
    json_t *spec =
        json_pack("{s:o, s:s, s:s, s:s, s:s, s:{s:b, s:{s:b}}}", "argv", make_argv(runner, host),
                  "display_name", c->display_name ? c->display_name : language->display_name,
                  "language", language->name, "interrupt_mode", "signal", "kernel_protocol_version",
                  "5.5", "metadata", "debugger", 0, "warmcell", "uplink", 1);
    if (zmq_has("curve"))
        json_object_set_new(json_object_get(spec, "metadata"), "supported_encryption",
                            json_pack("[s]", "curve"));
    return spec;
}

static bool write_all(json_t *spec, char *dir, struct err *e)
{
    if (!spec)
        return fail(e, 400, "the display name and all paths must be UTF-8");
    scoped(string) char *text = json_dumps(spec, JSON_INDENT(1));
    if (!make_dirs(dir, e))
        return false;
    struct kernelspec_logo logo;
    for (size_t i = 0; kernelspec_logo(i, &logo); i++)
        if (!write_file(dir, logo.name, logo.content, e))
            return false;
    return write_file(dir, "kernel.json", bytes_of(text), e);
}

/* The Python that was named, or the usual one. */
static bool probe(const struct choice *c, struct python *out, struct err *e)
{
    scoped(string) char *usual = c->python ? NULL : options_find_python();
    const char *name = c->python ? c->python : usual;
    if (!*name)
        return fail(e, 400, "there is no python3 on PATH; name one with --python");
    return python_probe(name, out, e);
}

static bool find_python(const struct choice *c, struct runner *out, struct err *e)
{
    scoped(python) struct python python = {0};
    if (!probe(c, &python, e))
        return false;
    out->program = take(&python.executable);
    out->version = take(&python.version);
    return true;
}

static bool find_program(const struct choice *c, const struct language *l, struct runner *out,
                         struct err *e)
{
    scoped(program) struct program program = {0};
    if (!program_probe(l, c->program, &program, e) ||
        !(out->command = language_command(l, program.executable, e)))
        return false;
    out->program = take(&program.executable);
    out->version = take(&program.version);
    return true;
}

static void runner_scoped(struct runner *r)
{
    free(r->program);
    free(r->version);
    json_decref(r->command);
}

static bool check_place(const struct choice *c, struct err *e)
{
    if (c->user + c->sys_prefix + (c->prefix != NULL) > 1)
        return fail(e, 400, "only one of --user, --sys-prefix and --prefix can be given");
    if (c->prefix && c->prefix[0] != '/')
        return fail(e, 400, "--prefix: must be an absolute path");
    return true;
}

static bool install(const struct choice *c, struct err *e)
{
    scoped(python) struct python python = {0};
    scoped(runner) struct runner runner = {0};
    scoped(string) char *host = place_kernel_host();
    struct err why;
    const struct language *language = language_find(c->language, &why);
    if (!language)
        return fail(e, why.status, "--%s", why.text);
    const char *name = c->name ? c->name : language->kernelspec;
    if (!host)
        return fail(e, 400, "warmcell-kernel is neither beside this program nor installed");
    if (!name_valid(name))
        return fail(e, 400, "--name: %.80s holds more than letters, digits, '.', '_' and '-'",
                    name);
    if (!check_place(c, e) ||
        !(language->driver ? find_program(c, language, &runner, e) : find_python(c, &runner, e)) ||
        (c->sys_prefix && !probe(c, &python, e)))
        return false;
    scoped(string) char *kernels = kernels_dir(c, python.prefix);
    scoped(string) char *dir = xasprintf("%s/%s", kernels, name);
    scoped(json) json_t *spec = make_spec(c, language, host, &runner);
    if (!write_all(spec, dir, e))
        return false;
    printf("installed %s in %s (%s, %s %s)\n", name, dir, runner.program, language->title,
           runner.version);
    return true;
}

/* Is the kernelspec in this folder one of ours? */
static bool is_ours(const char *dir)
{
    scoped(string) char *path = xasprintf("%s/kernel.json", dir);
    scoped(json) json_t *spec = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    return json_is_object(json_object_get(json_object_get(spec, "metadata"), "warmcell"));
}

static bool remove_dir(const char *dir, struct err *e)
{
    scoped(string) char *spec = xasprintf("%s/kernel.json", dir);
    if (unlink(spec) != 0)
        return fail_errno(e, 400, "cannot remove %s", spec);
    struct kernelspec_logo logo;
    for (size_t i = 0; kernelspec_logo(i, &logo); i++) {
        scoped(string) char *path = xasprintf("%s/%s", dir, logo.name);
        if (unlink(path) != 0 && errno != ENOENT)
            return fail_errno(e, 400, "cannot remove %s", path);
    }
    if (rmdir(dir) != 0)
        return fail_errno(e, 400, "cannot remove %s", dir);
    printf("removed %s\n", dir);
    return true;
}

/* The folders that are looked through when no place was named; NULL-terminated, owned. */
struct places {
    char *dir[4];
};

static void places_find(const struct choice *c, struct places *out)
{
    scoped(python) struct python python = {0};
    size_t count = 0;
    bool named = c->user || c->sys_prefix || c->prefix;
    struct choice user = {.user = true}, env = {.sys_prefix = true}, machine = {0};
    *out = (struct places){0};
    bool known = (!named || c->sys_prefix) && probe(c, &python, NULL);
    if (named) {
        if (!c->sys_prefix || known)
            out->dir[0] = kernels_dir(c, python.prefix);
        return;
    }
    out->dir[count++] = kernels_dir(&user, NULL);
    if (known)
        out->dir[count++] = kernels_dir(&env, python.prefix);
    out->dir[count++] = kernels_dir(&machine, NULL);
}

static void places_free(struct places *p)
{
    for (size_t i = 0; p->dir[i]; i++)
        free(p->dir[i]);
}

static bool remove_spec(const struct choice *c, const char *name, struct err *e)
{
    struct places places;
    if (!name_valid(name) || !check_place(c, e))
        return fail(e, 400, "%.80s is not the name of a kernelspec", name);
    places_find(c, &places);
    bool found = false, ok = true;
    for (size_t i = 0; places.dir[i] && !found; i++) {
        scoped(string) char *dir = xasprintf("%s/%s", places.dir[i], name);
        found = is_ours(dir);
        if (found)
            ok = remove_dir(dir, e);
    }
    places_free(&places);
    return found ? ok : fail(e, 404, "no kernelspec %s of warmcell is installed there", name);
}

static void list_dir(const char *kernels)
{
    DIR *folder = opendir(kernels);
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder));) {
        scoped(string) char *spec = xasprintf("%s/%s/kernel.json", kernels, entry->d_name);
        scoped(string) char *dir = xasprintf("%s/%s", kernels, entry->d_name);
        if (access(spec, R_OK) == 0)
            printf("%-20s %s%s\n", entry->d_name, dir, is_ours(dir) ? "  (warmcell)" : "");
    }
    closedir(folder);
}

static bool list_specs(const struct choice *c, struct err *e)
{
    struct places places;
    if (!check_place(c, e))
        return false;
    places_find(c, &places);
    for (size_t i = 0; places.dir[i]; i++)
        list_dir(places.dir[i]);
    places_free(&places);
    return true;
}

/* Runs one verb on its parsed options; the words left over are the names of kernelspecs. */
static bool act(const char *verb, const struct choice *c, const char *name, struct err *e)
{
    if (strcmp(verb, "install") == 0)
        return install(c, e);
    if (strcmp(verb, "list") == 0)
        return list_specs(c, e);
    return remove_spec(c, name ? name : "warmcell", e);
}

int kernelspec_main(char *const *args, size_t count)
{
    static const char *const verbs[] = {"install", "remove", "list"};
    const char *verb = NULL, *name = NULL;
    struct choice choice = {0};
    struct err e = {0};
    size_t words;
    for (size_t i = 0; i < countof(verbs); i++)
        if (count && strcmp(args[0], verbs[i]) == 0)
            verb = verbs[i];
    if (!verb) {
        fprintf(stderr, "warmcell: kernelspec needs one of install, remove, list\n");
        return 2;
    }
    bool installs = verb == verbs[0];
    const struct option_table *table =
        installs ? &kernelspec_install_options : &kernelspec_remove_options;
    const struct option_sources nowhere_else = {0};
    int status = option_parse(table, args + 1, count - 1, &nowhere_else, &choice, &name,
                              verb == verbs[1], &words, &e)
                     ? 0
                     : 2;
    if (status == 0 && !act(verb, &choice, name, &e))
        status = 1;
    if (status)
        fprintf(stderr, "warmcell: %s\n", e.text);
    option_free(table, &choice);
    return status;
}
