/* warmcell-python: an interpreter behind the link. It embeds libpython, presents itself as the
 * Python executable that --python names (so a virtual environment's packages are found and
 * sys.executable is that environment's python), and runs the package warmcell_kernel. Started by
 * warmcell-kernel. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel/python/base_python.h"
#include "kernel/python/core.h"
#include "kernel/python/fork_server.h"
#include "protocol/memory.h"

#define USAGE                                                                                      \
    "usage: warmcell-python [--python EXE] --link-fd N [--pipes-fd N]\n"                           \
    "       warmcell-python [--python EXE] --fork-server [--preload A,B] [--warm-up FILE]\n"       \
    "       warmcell-python [--python EXE] --check\n"                                              \
    "Runs Python behind the link of a warmcell-kernel, which starts it; or, started by a\n"        \
    "warmcell-keeper with a socket as descriptor 3, forks ready interpreters when asked.\n"        \
    "  --python EXE  the Python executable to be (default: " WARMCELL_DEFAULT_PYTHON ")\n"         \
    "  --link-fd N   the descriptor of the link, a connected Unix socket\n"                        \
    "  --pipes-fd N  the descriptor of the memory that tells how far the host read the pipes\n"    \
    "  --check       only print whether it can be that Python: ok, or why not and what to do\n"    \
    "  --preload A,B modules to import ahead (default: numpy, pandas and matplotlib.pyplot,\n"     \
    "                those that are installed)\n"                                                  \
    "  --warm-up FILE  a cell to run ahead, without its output; none: nothing (default: a short\n" \
    "                one and a plot)\n"

struct options {
    const char *python;
    int link_fd;
    int pipes_fd;
    bool fork_server;
    bool check;
    const char *preload; /* NULL: the usual ones */
    const char *warm_up; /* NULL: the usual one */
};

/* One sentence on stderr; gives the exit status. */
__attribute__((format(printf, 1, 2))) static int complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("warmcell-python: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return 1;
}

static bool read_descriptor(const char *text, int *out)
{
    char *end;
    long fd = strtol(text, &end, 10);
    if (*end || end == text || fd < 3 || fd > INT_MAX)
        return false;
    *out = (int)fd;
    return true;
}

/* -1: go on; otherwise the exit status */
static int read_options(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (strcmp(argv[i], "--help") == 0) {
            fputs(USAGE, stdout);
            return 0;
        } else if (strcmp(argv[i], "--version") == 0) {
            puts("warmcell-python " WARMCELL_VERSION ", Python " PY_VERSION);
            return 0;
        } else if (strcmp(argv[i], "--python") == 0 && more) {
            o->python = argv[++i];
        } else if (strcmp(argv[i], "--link-fd") == 0 && more) {
            if (!read_descriptor(argv[++i], &o->link_fd))
                return complain("--link-fd: must be a descriptor above 2, not '%s'", argv[i]);
        } else if (strcmp(argv[i], "--pipes-fd") == 0 && more) {
            if (!read_descriptor(argv[++i], &o->pipes_fd))
                return complain("--pipes-fd: must be a descriptor above 2, not '%s'", argv[i]);
        } else if (strcmp(argv[i], "--fork-server") == 0) {
            o->fork_server = true;
            o->link_fd = FORK_SERVER_FD;
        } else if (strcmp(argv[i], "--check") == 0) {
            o->check = true;
        } else if (strcmp(argv[i], "--preload") == 0 && more) {
            o->preload = argv[++i];
        } else if (strcmp(argv[i], "--warm-up") == 0 && more) {
            o->warm_up = argv[++i];
        } else {
            return complain("'%s' is not an option, or needs a value; see --help", argv[i]);
        }
    }
    if (o->link_fd < 0 && !o->check)
        return complain("%s is required; see --help", "--link-fd N");
    return -1;
}

/* The absolute path of an executable, looked up in PATH as a shell does. The caller owns it; NULL:
 * none. */
static char *find_executable(const char *name)
{
    if (strchr(name, '/'))
        return access(name, X_OK) == 0 ? xstrdup(name) : NULL;
    const char *path = getenv("PATH");
    for (const char *at = path ? path : "/usr/bin:/bin"; *at;) {
        size_t len = strcspn(at, ":");
        char *file = xasprintf("%.*s/%s", (int)len, at, name);
        if (access(file, X_OK) == 0)
            return file;
        free(file);
        at += len + (at[len] == ':');
    }
    return NULL;
}

/* Where the package is: told, next to this program in the build tree, or installed. */
static char *package_path(void)
{
    const char *told = getenv("WARMCELL_PYTHONPATH");
    if (told && *told)
        return xstrdup(told);
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    char *end = len > 0 ? memrchr(self, '/', (size_t)len) : NULL;
    scoped(string) char *beside =
        end ? xasprintf("%.*s", (int)(end - self), self) : xstrdup(WARMCELL_PACKAGE_DIR);
    scoped(string) char *package = xasprintf("%s/warmcell_kernel", beside);
    return xstrdup(access(package, R_OK) == 0 ? beside : WARMCELL_PACKAGE_DIR);
}

static bool start_python(const char *executable)
{
    PyConfig config;
    PyConfig_InitPythonConfig(&config);
    config.parse_argv = 0;
    char *argv[] = {(char *)""};
    PyStatus status = PyConfig_SetBytesArgv(&config, 1, argv);
    if (!PyStatus_Exception(status))
        status = PyConfig_SetBytesString(&config, &config.program_name, executable);
    if (!PyStatus_Exception(status))
        status = PyConfig_SetBytesString(&config, &config.executable, executable);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    if (!PyStatus_Exception(status))
        return true;
    fprintf(stderr, "warmcell-python: cannot be %s: %s (it must be a CPython %d.%d)\n", executable,
            status.err_msg ? status.err_msg : "the start failed", PY_MAJOR_VERSION,
            PY_MINOR_VERSION);
    return false;
}

/* The package is imported from its own place, which does not stay in the user's sys.path. */
static int run_package(const char *path, const struct options *o)
{
    PyObject *sys_path = PySys_GetObject("path");
    PyObject *place = PyUnicode_DecodeFSDefault(path);
    if (!sys_path || !place || PyList_Insert(sys_path, 0, place) < 0)
        return 1;
    PyObject *main = PyImport_ImportModule(o->fork_server ? "warmcell_kernel.fork_server"
                                                          : "warmcell_kernel.main");
    Py_ssize_t at = main ? PySequence_Index(sys_path, place) : -1;
    if (at >= 0)
        PySequence_DelItem(sys_path, at);
    Py_DECREF(place);
    PyObject *here = PyUnicode_FromString(""); /* as in an interactive Python: the working folder */
    if (!here || PyList_Insert(sys_path, 0, here) < 0)
        Py_CLEAR(main);
    Py_XDECREF(here);
    PyObject *result = NULL;
    if (main && o->fork_server)
        result = PyObject_CallMethod(main, "run", "zz", o->preload, o->warm_up);
    else if (main)
        result = PyObject_CallMethod(main, "run", "ii", o->link_fd, o->pipes_fd);
    Py_XDECREF(main);
    if (!result) {
        PyErr_Print(); /* SystemExit ends the process here, as it should */
        return 1;
    }
    long status = PyLong_AsLong(result);
    Py_DECREF(result);
    return (int)status;
}

int main(int argc, char **argv)
{
    struct options options = {.python = WARMCELL_DEFAULT_PYTHON, .link_fd = -1, .pipes_fd = -1};
    int status = read_options(argc, argv, &options);
    if (status >= 0)
        return status;
    int type;
    socklen_t len = sizeof type;
    if (!options.check && getsockopt(options.link_fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
        return complain("%s: the descriptor is not a socket (%s)",
                        options.fork_server ? "--fork-server" : "--link-fd", strerror(errno));
    scoped(string) char *executable = find_executable(options.python);
    if (!executable)
        return complain("%s is not an executable file; give --python another", options.python);
    struct err e = {0};
    bool fits = base_python_check(executable, &e);
    if (options.check)
        return puts(fits ? "ok" : e.text) < 0 || !fits;
    if (!fits)
        return complain("%s", e.text);
    PyImport_AppendInittab("_warmcell", PyInit__warmcell);
    PyImport_AppendInittab("_warmcell_forks", PyInit__warmcell_forks);
    if (!start_python(executable))
        return 1;
    scoped(string) char *path = package_path();
    status = run_package(path, &options);
    int finished = Py_FinalizeEx();
    return status ? status : finished < 0 ? 120 : 0;
}
