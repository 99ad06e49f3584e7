/* Reads pyvenv.cfg as CPython's getpath does: beside the executable or one folder above. Called
 * before Python begins. Invariant: nothing is run to find out a version. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "kernel/python/base_python.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "protocol/memory.h"

#define VERSION_CHARS 32

/* What is known of a base; "": nothing. */
struct base {
    char bin[PATH_MAX]; /* the folder of its python */
    char version[VERSION_CHARS];
};

/* Cuts the last part off a path; false: there is none. */
static bool to_parent(char *path)
{
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = '\0';
    return slash;
}

static FILE *open_configuration(const char *executable)
{
    scoped(string) char *folder = xstrdup(executable);
    for (int up = 0; up < 2 && to_parent(folder); up++) {
        scoped(string) char *name = xasprintf("%s/pyvenv.cfg", folder);
        FILE *file = fopen(name, "re");
        if (file)
            return file;
    }
    return NULL;
}

/* The folder of the python in an environment's home, which may be a link to another folder's. */
static void follow_home(const char *home, char bin[PATH_MAX])
{
    scoped(string) char *versioned =
        xasprintf("%s/python%d.%d", home, PY_MAJOR_VERSION, PY_MINOR_VERSION);
    scoped(string) char *major = xasprintf("%s/python%d", home, PY_MAJOR_VERSION);
    scoped(string) char *plain = xasprintf("%s/python", home);
    if (realpath(versioned, bin) || realpath(major, bin) || realpath(plain, bin))
        to_parent(bin);
    else if (!realpath(home, bin))
        snprintf(bin, PATH_MAX, "%s", home);
}

/* "home = /usr/bin", and "version = 3.11.2" (venv) or "version_info = 3.11.2.final.0". */
static void read_configuration(FILE *file, struct base *out)
{
    char line[PATH_MAX + 32];
    while (fgets(line, sizeof line, file)) {
        char home[PATH_MAX];
        if (sscanf(line, " home = %4095[^\r\n]", home) == 1)
            follow_home(home, out->bin);
        if (sscanf(line, " version = %31[0-9.]", out->version) != 1)
            sscanf(line, " version_info = %31[0-9.]", out->version);
    }
    size_t len = strlen(out->version); /* of "3.11.2.final.0" the dot behind was taken, too */
    if (len && out->version[len - 1] == '.')
        out->version[len - 1] = '\0';
}

/* Of a Python that is no environment: its header for those who compile, where it has one. */
static void read_header(struct base *out)
{
    scoped(string) char *name = xasprintf("%s/../include/python%d.%d/patchlevel.h", out->bin,
                                          PY_MAJOR_VERSION, PY_MINOR_VERSION);
    char line[256];
    FILE *file = fopen(name, "re");
    while (file && fgets(line, sizeof line, file))
        sscanf(line, "#define PY_VERSION \"%31[0-9.]", out->version);
    if (file)
        fclose(file);
}

static void find_base(const char *executable, struct base *out)
{
    *out = (struct base){0};
    FILE *file = open_configuration(executable);
    if (file) {
        read_configuration(file, out);
        fclose(file);
    } else if (realpath(executable, out->bin)) {
        to_parent(out->bin);
        read_header(out);
    }
}

/* The prefix of the installation that our libpython is of: /usr of /usr/lib/…/libpython3.11.so.
 * Given to the caller; NULL: it is linked in, or somewhere else. */
static char *own_prefix(void)
{
    Dl_info about;
    char path[PATH_MAX];
    void *inside = dlsym(RTLD_DEFAULT, "Py_GetVersion");
    if (!inside || !dladdr(inside, &about) || !realpath(about.dli_fname, path))
        return NULL;
    char *lib = strstr(path, "/lib/");
    return lib && strstr(lib, "libpython") ? xstrndup(path, (size_t)(lib - path)) : NULL;
}

/* "3.11.2" of "3.11.2+" and "3.11.2 (main, …)", and "3.11.2.final.0" is the same. */
static bool same_version(const char *a, const char *b)
{
    int left[3] = {0}, right[3] = {0};
    sscanf(a, "%d.%d.%d", &left[0], &left[1], &left[2]);
    sscanf(b, "%d.%d.%d", &right[0], &right[1], &right[2]);
    return memcmp(left, right, sizeof left) == 0;
}

bool base_python_check(const char *executable, struct err *e)
{
    struct base base;
    find_base(executable, &base);
    scoped(string) char *prefix = own_prefix();
    scoped(string) char *own_bin = prefix ? xasprintf("%s/bin", prefix) : NULL;
    const char *own = Py_GetVersion();
    /* what it says of its version may be older than an update of the installation is */
    if (!*base.version || (own_bin && strcmp(base.bin, own_bin) == 0) ||
        same_version(base.version, own))
        return true;
    return fail(e, 400,
                "%s is Python %s, and this program embeds Python %.*s, which does not load the "
                "modules of another version; make the environment with %s%spython%d.%d -m venv",
                executable, base.version, (int)strcspn(own, " +"), own, own_bin ? own_bin : "",
                own_bin ? "/" : "", PY_MAJOR_VERSION, PY_MINOR_VERSION);
}
