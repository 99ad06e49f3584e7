/* Discovery of kernelspecs. What was read is kept until a folder or a kernel.json has another time
 * of change; a look is then a stat for each. A spec that cannot be used is logged once and left
 * out. */
#include "gateway/launch/kernelspec.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/log.h"
#include "gateway/place.h"
#include "protocol/bytes.h"
#include "protocol/json.h"

/* A path whose change makes the cache stale. */
struct stamp {
    char *path;
    struct timespec changed; /* {0}: it was not there */
};

struct kernelspecs {
    const struct settings_core *settings;
    char **dirs;
    size_t dir_count;
    struct stamp *stamps;
    size_t stamp_count;
    struct kernelspec **specs;
    size_t spec_count;
    uint64_t languages; /* that were installed when it was read */
};

static void add_dir(struct kernelspecs *s, char *dir) /* taken */
{
    s->dirs = xrealloc(s->dirs, (s->dir_count + 2) * sizeof(*s->dirs));
    s->dirs[s->dir_count++] = dir;
    s->dirs[s->dir_count] = NULL;
}

static void add_jupyter_path(struct kernelspecs *s)
{
    const char *path = getenv("JUPYTER_PATH");
    while (path && *path) {
        size_t len = strcspn(path, ":");
        if (len)
            add_dir(s, xasprintf("%.*s/kernels", (int)len, path));
        path += len + (path[len] == ':');
    }
}

/* share/jupyter of the environment whose bin/ holds the configured Python. */
static void add_python_env(struct kernelspecs *s)
{
    const char *python = s->settings->python;
    const char *slash = python ? strrchr(python, '/') : NULL;
    while (slash && slash > python && slash[-1] != '/')
        slash--;
    if (slash && slash > python)
        add_dir(s, xasprintf("%.*s/share/jupyter/kernels", (int)(slash - python - 1), python));
}

static void add_user_dir(struct kernelspecs *s)
{
    const char *data = getenv("JUPYTER_DATA_DIR"), *xdg = getenv("XDG_DATA_HOME"),
               *home = getenv("HOME");
    if (data && *data)
        add_dir(s, xasprintf("%s/kernels", data));
    else if (xdg && *xdg)
        add_dir(s, xasprintf("%s/jupyter/kernels", xdg));
    else if (home && *home)
        add_dir(s, xasprintf("%s/.local/share/jupyter/kernels", home));
}

struct kernelspecs *kernelspecs_new(const struct settings_core *settings)
{
    struct kernelspecs *s = xcalloc(1, sizeof(*s));
    s->settings = settings;
    for (size_t i = 0; i < settings->kernel_dirs.count; i++)
        add_dir(s, xstrdup(settings->kernel_dirs.item[i]));
    add_jupyter_path(s);
    add_python_env(s);
    add_user_dir(s);
    add_dir(s, xstrdup("/usr/local/share/jupyter/kernels"));
    add_dir(s, xstrdup("/usr/share/jupyter/kernels"));
    return s;
}

static void spec_free(struct kernelspec *spec)
{
    free(spec->name);
    free(spec->dir);
    json_decref(spec->spec);
    json_decref(spec->resources);
    free(spec);
}

static void forget(struct kernelspecs *s)
{
    for (size_t i = 0; i < s->spec_count; i++)
        spec_free(s->specs[i]);
    for (size_t i = 0; i < s->stamp_count; i++)
        free(s->stamps[i].path);
    s->spec_count = s->stamp_count = 0;
}

void kernelspecs_free(struct kernelspecs *s)
{
    if (!s)
        return;
    forget(s);
    for (size_t i = 0; i < s->dir_count; i++)
        free(s->dirs[i]);
    free(s->dirs);
    free(s->stamps);
    free(s->specs);
    free(s);
}

bool kernelspec_name_valid(const char *name)
{
    size_t len = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    return len > 0 && len <= 100 && name[len] == '\0' && name[0] != '.';
}

static bool check_argv(json_t *argv, struct err *e)
{
    if (!json_is_array(argv) || json_array_size(argv) == 0 || json_array_size(argv) > 1000)
        return fail(e, 400, "kernel.json: argv: must be a list of 1 to 1000 strings");
    size_t i;
    json_t *word;
    json_array_foreach(
        argv, i,
        word) if (!json_is_string(word) ||
                  strlen(json_string_value(word)) !=
                      json_string_length(
                          word)) return fail(e, 400,
                                             "kernel.json: argv: must be a list of strings");
    return true;
}

static void copy_member(json_t *from, json_t *to, const char *name, json_t *fallback)
{
    json_t *value = json_object_get(from, name);
    if (value && !json_is_null(value))
        json_object_set(to, name, value);
    else if (fallback)
        json_object_set(to, name, fallback);
    json_decref(fallback);
}

static bool check_members(json_t *read, struct err *e)
{
    const char *text = NULL;
    json_t *object = NULL;
    const char *interrupt_mode = "signal";
    if (!check_argv(json_object_get(read, "argv"), e) ||
        !field_str(read, "display_name", OPTIONAL, &text, e) ||
        !field_str(read, "language", OPTIONAL, &text, e) ||
        !field_str(read, "interrupt_mode", OPTIONAL, &interrupt_mode, e) ||
        !field_object(read, "env", OPTIONAL, &object, e) ||
        !field_object(read, "metadata", OPTIONAL, &object, e))
        return false;
    return strcmp(interrupt_mode, "signal") == 0 || strcmp(interrupt_mode, "message") == 0 ||
           fail(e, 400, "kernel.json: interrupt_mode: must be signal or message");
}

json_t *kernelspec_parse(const char *text, size_t len, struct err *e)
{
    scoped(json) json_t *read =
        json_parse_object((struct bytes){text, len}, "kernel.json", KERNELSPEC_LIMIT_BYTES, e);
    if (!read || !check_members(read, e))
        return NULL;
    json_t *spec = json_object();
    copy_member(read, spec, "argv", NULL);
    copy_member(read, spec, "env", json_object());
    copy_member(read, spec, "display_name", json_string(""));
    copy_member(read, spec, "language", json_string(""));
    copy_member(read, spec, "interrupt_mode", json_string("signal"));
    copy_member(read, spec, "metadata", json_object());
    copy_member(read, spec, "kernel_protocol_version", NULL);
    return spec;
}

static struct timespec changed_at(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_ctim : (struct timespec){0};
}

static void add_stamp(struct kernelspecs *s, const char *path)
{
    s->stamps = xrealloc(s->stamps, (s->stamp_count + 1) * sizeof(*s->stamps));
    s->stamps[s->stamp_count++] = (struct stamp){xstrdup(path), changed_at(path)};
}

static bool stale(const struct kernelspecs *s)
{
    for (size_t i = 0; i < s->stamp_count; i++) {
        struct timespec now = changed_at(s->stamps[i].path);
        if (now.tv_sec != s->stamps[i].changed.tv_sec ||
            now.tv_nsec != s->stamps[i].changed.tv_nsec)
            return true;
    }
    return s->stamp_count == 0;
}

/* Regular files alone: a FIFO or a device would hold up the loop. */
static FILE *open_regular(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    FILE *file = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? fdopen(fd, "r") : NULL;
    if (!file && fd >= 0)
        close(fd);
    return file;
}

static bool read_file(const char *path, struct buffer *out)
{
    FILE *file = open_regular(path);
    if (!file)
        return false;
    char *space = buffer_reserve(out, KERNELSPEC_LIMIT_BYTES + 1);
    out->len += fread(space, 1, KERNELSPEC_LIMIT_BYTES + 1, file);
    bool whole = !ferror(file);
    fclose(file);
    return whole;
}

/* kernel.js, kernel.css and logo-*: what jupyter_server lists. */
static json_t *list_resources(const char *dir)
{
    json_t *resources = json_object();
    DIR *handle = opendir(dir);
    if (!handle)
        return resources;
    struct dirent *entry;
    while ((entry = readdir(handle))) {
        const char *file = entry->d_name;
        if (strcmp(file, "kernel.js") == 0 || strcmp(file, "kernel.css") == 0) {
            json_object_set_new(resources, file, json_string(file));
        } else if (strncmp(file, "logo-", 5) == 0) {
            const char *dot = strrchr(file, '.');
            size_t len = dot ? (size_t)(dot - file) : strlen(file);
            scoped(string) char *name = xstrndup(file, len);
            json_object_set_new(resources, name, json_string(file));
        }
    }
    closedir(handle);
    return resources;
}

static bool have(const struct kernelspecs *s, const char *name)
{
    for (size_t i = 0; i < s->spec_count; i++)
        if (strcmp(s->specs[i]->name, name) == 0)
            return true;
    return false;
}

static void add_spec(struct kernelspecs *s, const char *name, const char *dir, json_t *spec)
{
    struct kernelspec *found = xcalloc(1, sizeof(*found));
    found->name = xstrdup(name);
    found->dir = dir ? xstrdup(dir) : NULL;
    found->spec = spec;
    found->resources = dir ? list_resources(dir) : json_object();
    s->specs = xrealloc(s->specs, (s->spec_count + 1) * sizeof(struct kernelspec *));
    s->specs[s->spec_count++] = found;
}

static void load_spec(struct kernelspecs *s, const char *dir, const char *entry)
{
    scoped(string) char *spec_dir = xasprintf("%s/%s", dir, entry);
    scoped(string) char *path = xasprintf("%s/kernel.json", spec_dir);
    scoped(buffer) struct buffer text = {0};
    add_stamp(s, path); /* one that cannot be read yet may come later, in a folder that is there */
    if (!read_file(path, &text))
        return;
    scoped(string) char *name = xstrdup(entry);
    for (char *c = name; *c; c++) /* names are told apart without case, as jupyter_client does */
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    if (have(s, name))
        return;
    struct err e = {0};
    json_t *spec = kernelspec_parse(text.data, text.len, &e);
    if (spec)
        add_spec(s, name, spec_dir, spec);
    else
        log_warn("kernelspec left out", F_STR("path", path), F_STR("why", e.text));
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void load_dir(struct kernelspecs *s, const char *dir)
{
    add_stamp(s, dir);
    struct dirent **entries = NULL;
    int count = scandir(dir, &entries, NULL, by_name);
    for (int i = 0; i < count; i++) {
        if (kernelspec_name_valid(entries[i]->d_name))
            load_spec(s, dir, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
}

/* What the host is told of its interpreter. False: 422. */
static bool add_interpreter(json_t *argv, const struct settings_core *settings,
                            const struct language *l, struct err *e)
{
    if (l->driver) {
        scoped(json) json_t *words = language_command(l, NULL, e);
        if (!words)
            return false;
        json_array_append_new(argv, json_string("--driver"));
        json_array_append_new(argv, json_string("--"));
        json_array_extend(argv, words);
    } else if (settings->python && *settings->python) {
        json_array_append_new(argv, json_string("--python"));
        json_array_append_new(argv, json_string(settings->python));
    }
    return true;
}

json_t *kernelspec_of_language(const struct settings_core *settings, const struct language *l,
                               const char *option, const char *value, struct err *e)
{
    scoped(string) char *program = place_kernel_host();
    if (!program) {
        fail(e, 503, "warmcell-kernel was not found next to this program; set WARMCELL_KERNEL");
        return NULL;
    }
    scoped(json) json_t *argv = json_pack("[sss]", program, option, value);
    if (!add_interpreter(argv, settings, l, e))
        return NULL;
    return json_pack("{s:O, s:{}, s:s, s:s, s:s, s:{s:{s:b}}}", "argv", argv, "env", "display_name",
                     l->display_name, "language", l->name, "interrupt_mode", "message", "metadata",
                     "warmcell", "uplink", 1);
}

/* Each language that is installed. */
static void add_built_in(struct kernelspecs *s)
{
    const struct language *l;
    for (size_t i = 0; (l = language_at(i)); i++) {
        struct err why;
        json_t *spec = have(s, l->kernelspec) ? NULL
                                              : kernelspec_of_language(s->settings, l, "-f",
                                                                       "{connection_file}", &why);
        if (spec)
            add_spec(s, l->kernelspec, NULL, spec);
    }
}

/* A bit for each row of the table that can be run now. */
static uint64_t installed_languages(void)
{
    uint64_t found = 0;
    const struct language *l;
    for (size_t i = 0; (l = language_at(i)); i++)
        found |= (uint64_t)language_check(l, NULL) << i;
    return found;
}

static void refresh(struct kernelspecs *s)
{
    uint64_t languages = installed_languages();
    if (!stale(s) && languages == s->languages)
        return;
    forget(s);
    s->languages = languages;
    for (size_t i = 0; i < s->dir_count; i++)
        load_dir(s, s->dirs[i]);
    add_built_in(s);
}

const struct kernelspec *kernelspecs_find(struct kernelspecs *s, const char *name, struct err *e)
{
    refresh(s);
    for (size_t i = 0; i < s->spec_count; i++)
        if (strcasecmp(s->specs[i]->name, name) == 0)
            return s->specs[i];
    fail(e, 404, "no such kernel: %.100s; GET /api/kernelspecs lists what is installed", name);
    return NULL;
}

const struct kernelspec *const *kernelspecs_all(struct kernelspecs *s, size_t *count)
{
    refresh(s);
    *count = s->spec_count;
    return (const struct kernelspec *const *)s->specs;
}

const char *kernelspecs_default(struct kernelspecs *s)
{
    const char *name = s->settings->default_kernel_name;
    return name && *name && kernelspecs_find(s, name, NULL) ? name : KERNELSPEC_BUILT_IN;
}

char *kernelspec_file(const struct kernelspec *spec, const char *file, struct err *e)
{
    struct stat st;
    if (spec->dir && *file && file[0] != '.' && !strchr(file, '/')) {
        scoped(string) char *path = xasprintf("%s/%s", spec->dir, file);
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode))
            return take(&path);
    }
    fail(e, 404, "kernelspec %s has no file %.100s", spec->name, file);
    return NULL;
}

bool kernelspec_has_uplink(json_t *spec)
{
    json_t *ours = json_object_get(json_object_get(spec, "metadata"), "warmcell");
    return json_is_true(json_object_get(ours, "uplink"));
}

bool kernelspec_can_fork(json_t *spec)
{
    size_t i;
    json_t *word;
    if (!kernelspec_has_uplink(spec))
        return false;
    json_array_foreach(json_object_get(spec, "argv"), i, word)
    {
        if (json_is_string(word) && strcmp(json_string_value(word), "--driver") == 0)
            return false;
    }
    return true;
}
