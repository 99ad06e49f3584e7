/* A program in a build tree finds its siblings there (build/NAME/gateway/warmcell,
 * build/NAME/kernel/host/...), one of a wheel below the share/warmcell of the environment that it
 * is in (the same folders as in a build tree), another installed one in the libexec folder that was
 * fixed when it was configured. */
#include "gateway/place.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/memory.h"

/* /x of /x/FOLDER/warmcell, when that is this program; or NULL. */
static char *above(const char *folder)
{
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len <= 0)
        return NULL;
    self[len] = '\0';
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(self, '/');
        if (!slash || (up == 1 && strcmp(slash + 1, folder) != 0))
            return NULL;
        *slash = '\0';
    }
    return xstrdup(self);
}

/* The environment /x of /x/bin/warmcell, when a wheel has put this program there; or NULL. */
static char *environment(void)
{
    scoped(string) char *prefix = above("bin");
    scoped(string) char *host =
        prefix ? xasprintf("%s/share/warmcell/kernel/host/warmcell-kernel", prefix) : NULL;
    return host && access(host, X_OK) == 0 ? take(&prefix) : NULL;
}

/* What has our siblings below it: /x/build/NAME of /x/build/NAME/gateway/warmcell, or a folder
 * of the environment; or NULL. */
static char *build_root(void)
{
    scoped(string) char *prefix = environment();
    return prefix ? xasprintf("%s/share/warmcell", prefix) : above("gateway");
}

char *place_environment_python(void)
{
    scoped(string) char *prefix = environment();
    scoped(string) char *python = prefix ? xasprintf("%s/bin/python", prefix) : NULL;
    return python && access(python, X_OK) == 0 ? take(&python) : NULL;
}

char *place_source_root(void)
{
    scoped(string) char *build = build_root();
    for (int up = 0; build && up < 2; up++) {
        char *slash = strrchr(build, '/');
        if (!slash)
            return NULL;
        *slash = '\0';
    }
    scoped(string) char *mark = build ? xasprintf("%s/meson.build", build) : NULL;
    return mark && access(mark, R_OK) == 0 ? take(&build) : NULL;
}

static bool is_program(const char *path)
{
    struct stat found;
    return access(path, X_OK) == 0 && stat(path, &found) == 0 && S_ISREG(found.st_mode);
}

char *place_in(const char *path, const char *name)
{
    while (*path) {
        size_t len = strcspn(path, ":");
        scoped(string) char *candidate = xasprintf("%.*s/%s", (int)len, path, name);
        if (len && path[0] == '/' && is_program(candidate))
            return take(&candidate);
        path += len + (path[len] == ':');
    }
    return xstrdup("");
}

char *place_on_path(const char *name)
{
    const char *path = getenv("PATH");
    return place_in(path ? path : "/usr/local/bin:/usr/bin:/bin", name);
}

/* Where a variable says, in the build tree, or installed. */
static char *sibling(const char *variable, const char *in_build, const char *installed, int mode)
{
    const char *told = variable ? getenv(variable) : NULL;
    if (told && *told)
        return access(told, mode) == 0 ? realpath(told, NULL) : NULL;
    scoped(string) char *build = build_root();
    scoped(string) char *path = build ? xasprintf("%s/%s", build, in_build) : NULL;
    if (path && access(path, mode) == 0)
        return take(&path);
    return access(installed, mode) == 0 ? xstrdup(installed) : NULL;
}

char *place_kernel_host(void)
{
    return sibling("WARMCELL_KERNEL", "kernel/host/warmcell-kernel",
                   WARMCELL_LIBEXECDIR "/warmcell-kernel", X_OK);
}

char *place_keeper(void)
{
    return sibling("WARMCELL_KEEPER", "sandbox/warmcell-keeper",
                   WARMCELL_LIBEXECDIR "/warmcell-keeper", X_OK);
}

char *place_command(void)
{
    return sibling("WARMCELL_COMMAND", "sandbox/warmcell-command",
                   WARMCELL_LIBEXECDIR "/warmcell-command", X_OK);
}

char *place_python(void)
{
    return sibling("WARMCELL_PYTHON", "kernel/python/warmcell-python",
                   WARMCELL_LIBEXECDIR "/warmcell-python", X_OK);
}

char *place_python_package(void)
{
    return sibling("WARMCELL_PYTHONPATH", "kernel/python", WARMCELL_DATADIR "/warmcell/python",
                   R_OK);
}

char *place_driver(const char *name)
{
    const char *folder = getenv("WARMCELL_DRIVERS");
    scoped(string) char *in_build = xasprintf("kernel/%s", name);
    scoped(string) char *installed = xasprintf(WARMCELL_DATADIR "/warmcell/%s", name);
    scoped(string) char *told = folder && *folder ? xasprintf("%s/%s", folder, name) : NULL;
    if (told)
        return access(told, R_OK) == 0 ? realpath(told, NULL) : NULL;
    return sibling(NULL, in_build, installed, R_OK);
}
