/* Finds the interpreter: next to this program in the build tree or a wheel's, in the installed
 * place, or where the environment says. No Python is run to find out which version it is. */
#include "kernel/host/command.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char *own_directory(void)
{
    char path[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - 1);
    if (len < 0)
        return xstrdup(".");
    path[len] = '\0';
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = '\0';
    return xstrdup(path);
}

/* The first that exists of: the variable's value, a place relative to this program, the installed
 * place. Given; NULL: none. */
static char *sibling(const char *variable, const char *relative, const char *installed, int mode)
{
    const char *told = getenv(variable);
    if (told && *told)
        return xstrdup(told);
    scoped(string) char *directory = own_directory();
    char *path = xasprintf("%s/%s", directory, relative);
    char *real = access(path, mode) == 0 ? realpath(path, NULL) : NULL; /* without "..": inside a
                                                                         * sandbox less is seen */
    free(path);
    if (real)
        return real;
    return access(installed, mode) == 0 ? xstrdup(installed) : NULL;
}

static char *search_path(const char *name)
{
    const char *path = getenv("PATH");
    for (const char *at = path ? path : "/usr/local/bin:/usr/bin:/bin"; *at;) {
        size_t len = strcspn(at, ":");
        char *candidate = xasprintf("%.*s/%s", (int)len, at, name);
        if (len && access(candidate, X_OK) == 0)
            return candidate;
        free(candidate);
        at += len + (at[len] == ':');
    }
    return NULL;
}

/* /x/bin/python of /x/share/warmcell/kernel/host/warmcell-kernel, where a wheel has put this
 * program; or NULL. */
static char *environment_python(void)
{
    static const char inside[] = "/share/warmcell/kernel/host";
    scoped(string) char *path = own_directory();
    size_t len = strlen(path);
    if (len < sizeof inside || strcmp(path + len - (sizeof inside - 1), inside) != 0)
        return NULL;
    scoped(string) char *python =
        xasprintf("%.*s/bin/python", (int)(len - (sizeof inside - 1)), path);
    return access(python, X_OK) == 0 ? take(&python) : NULL;
}

static char *find_python(const char *given)
{
    if (given)
        return strchr(given, '/') ? xstrdup(given) : search_path(given);
    char *beside = environment_python();
    if (beside)
        return beside;
    const char *venv = getenv("VIRTUAL_ENV");
    if (venv && *venv) {
        char *path = xasprintf("%s/bin/python", venv);
        if (access(path, X_OK) == 0)
            return path;
        free(path);
    }
    return *WARMCELL_DEFAULT_PYTHON ? xstrdup(WARMCELL_DEFAULT_PYTHON) : search_path("python3");
}

/* The pyvenv.cfg above the executable's directory; NULL: it is no environment. */
static FILE *open_configuration(const char *python)
{
    scoped(string) char *path = xstrdup(python);
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(path, '/');
        if (!slash)
            return NULL;
        *slash = '\0';
    }
    scoped(string) char *file_name = xasprintf("%s/pyvenv.cfg", path);
    return fopen(file_name, "re");
}

/* Its "version = 3.11.7", and the folder "home = /usr/bin" of the Python that it is made with. */
static char *read_configuration(const char *python, char **home)
{
    FILE *file = open_configuration(python);
    char line[PATH_MAX + 32], version[32] = "", folder[PATH_MAX] = "";
    while (file && fgets(line, sizeof line, file)) {
        sscanf(line, "home = %4095[^\n]", folder);
        if (!*version && sscanf(line, "version = %31[0-9.]", version) != 1)
            sscanf(line, "version_info = %31[0-9.]", version);
    }
    if (file)
        fclose(file);
    *home = *folder ? xstrdup(folder) : NULL;
    return *version ? xstrdup(version) : NULL;
}

/* "3.11" from the name of the file that the executable is a link to, ".../python3.11". */
static char *name_version(const char *python)
{
    char real[PATH_MAX];
    if (!realpath(python, real))
        return NULL;
    const char *name = strrchr(real, '/');
    name = name ? name + 1 : real;
    return strncmp(name, "python", 6) == 0 && isdigit((unsigned char)name[6]) && strchr(name, '.')
               ? xstrdup(name + 6)
               : NULL;
}

/* Both begin with the same "3.N". */
static bool same_minor(const char *a, const char *b)
{
    int major[2], minor[2];
    return sscanf(a, "%d.%d", &major[0], &minor[0]) == 2 &&
           sscanf(b, "%d.%d", &major[1], &minor[1]) == 2 && major[0] == major[1] &&
           minor[0] == minor[1];
}

/* Is that the folder of the python whose libpython warmcell-python embeds? */
static bool is_own_home(const char *home)
{
    char theirs[PATH_MAX], ours[PATH_MAX];
    return realpath(home, theirs) && realpath(WARMCELL_PYTHON_PREFIX "/bin", ours) &&
           strcmp(theirs, ours) == 0;
}

/* Whether warmcell-python is to be that Python. One of the same minor version that is another
 * installation's serves itself, with its own modules; but in a sandbox it is for warmcell-python to
 * refuse it where it does not fit, because only that forks. */
static bool is_embedded(const struct options *options, const char *version, const char *home)
{
    if (version && !same_minor(version, WARMCELL_PYTHON_VERSION))
        return false;
    return options->sandbox || !home || is_own_home(home);
}

static char **make_argv(const char *const *words)
{
    size_t count = 0;
    while (words[count])
        count++;
    char **argv = xcalloc(count + 1, sizeof *argv);
    for (size_t i = 0; i < count; i++)
        argv[i] = xstrdup(words[i]);
    return argv;
}

/* `python -m warmcell_kernel` finds the package of the build tree or the installed one. */
static void set_module_path(void)
{
    scoped(string) char *path =
        sibling("WARMCELL_PYTHONPATH", "../python", WARMCELL_DATADIR "/warmcell/python", R_OK);
    if (!path)
        return;
    const char *old = getenv("PYTHONPATH");
    scoped(string) char *whole = old && *old ? xasprintf("%s:%s", path, old) : xstrdup(path);
    setenv("PYTHONPATH", whole, 1);
}

bool command_find(const struct options *options, struct command *out, struct err *e)
{
    *out = (struct command){0};
    if (options->driver) {
        out->argv = make_argv((const char *const *)options->argv);
        return true;
    }
    scoped(string) char *python = find_python(options->python);
    if (!python)
        return fail(e, 503, "no Python was found: name one with --python");
    scoped(string) char *home = NULL;
    out->python_version = read_configuration(python, &home);
    if (!out->python_version)
        out->python_version = name_version(python);
    scoped(string) char *program = sibling("WARMCELL_PYTHON", "../python/warmcell-python",
                                           WARMCELL_LIBEXECDIR "/warmcell-python", X_OK);
    if (program && is_embedded(options, out->python_version, home)) {
        out->argv = make_argv((const char *[]){program, "--python", python, NULL});
        out->embedded = xstrdup(python);
    } else {
        set_module_path();
        out->argv = make_argv((const char *[]){python, "-m", "warmcell_kernel", NULL});
    }
    if (!out->python_version)
        out->python_version = xstrdup(WARMCELL_PYTHON_VERSION);
    return true;
}

void command_free(struct command *command)
{
    for (char **word = command->argv; word && *word; word++)
        free(*word);
    free(command->argv);
    free(command->embedded);
    free(command->python_version);
    *command = (struct command){0};
}
