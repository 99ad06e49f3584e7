/* The module _warmcell_forks: the fork server's socket to its keeper, and the fork. Used by
 * warmcell_kernel.fork_server, which decides what happens before and after. Invariant: the message
 * that was received last is kept, with its descriptors, until the next is received; in a child
 * nothing of it is left. */
#include "kernel/python/fork_server.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kernel/python/blas.h"
#include "kernel/python/core.h"
#include "kernel/python/orphan.h"
#include "kernel/python/plug.h"
#include "kernel/python/settle.h"
#include "protocol/json.h"
#include "sandbox/wire.h"

#define ENVIRONMENT_BYTES_MOST (8 * 1024 * 1024)

static struct wire_message order;
static int held[SETTLE_HELD_MOST];
static size_t held_count;

static PyObject *raise_err(const struct err *e)
{
    return PyErr_Format(e->status == 400 ? PyExc_ValueError : PyExc_OSError, "%s", e->text);
}

/* The whole of the file behind fd, which is at most ENVIRONMENT_BYTES_MOST long. */
static PyObject *read_environment(int fd)
{
    struct stat about;
    if (fstat(fd, &about) < 0 || about.st_size > ENVIRONMENT_BYTES_MOST)
        return PyErr_Format(PyExc_ValueError, "the environment cannot be read or is too long");
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)about.st_size);
    for (off_t at = 0; bytes && at < about.st_size;) {
        ssize_t got = pread(fd, PyBytes_AS_STRING(bytes) + at, (size_t)(about.st_size - at), at);
        if (got <= 0 && errno != EINTR) {
            Py_CLEAR(bytes);
            PyErr_SetString(PyExc_ValueError, "the environment cannot be read");
        }
        at += got > 0 ? got : 0;
    }
    return bytes;
}

/* receive() -> (kind, number, body) | None when the keeper has gone */
static PyObject *py_receive(PyObject *module, PyObject *none)
{
    (void)module, (void)none;
    struct err e = {0};
    int got;
    wire_message_free(&order);
    do {
        Py_BEGIN_ALLOW_THREADS got = wire_receive(FORK_SERVER_FD, &order, &e);
        Py_END_ALLOW_THREADS
    } while (got == 0);
    if (got < 0)
        return e.status ? raise_err(&e) : Py_NewRef(Py_None);
    char *text = json_dumps(order.body, JSON_COMPACT);
    PyObject *result = Py_BuildValue("(IIy)", order.kind, order.number, text);
    free(text);
    return result;
}

/* send(kind, number, body) */
static PyObject *py_send(PyObject *module, PyObject *args)
{
    (void)module;
    unsigned int kind, number;
    const char *text;
    Py_ssize_t len;
    struct err e;
    if (!PyArg_ParseTuple(args, "IIy#", &kind, &number, &text, &len))
        return NULL;
    json_t *body =
        json_parse_object((struct bytes){text, (size_t)len}, "body", WIRE_LIMIT_BYTES, &e);
    if (!body || !wire_send(FORK_SERVER_FD, kind, number, body, NULL, 0, &e))
        return raise_err(&e);
    Py_RETURN_NONE;
}

/* environment() -> bytes: that of the FORK which was received last */
static PyObject *py_environment(PyObject *module, PyObject *none)
{
    (void)module, (void)none;
    if (order.fd_count < START_FDS)
        return PyErr_Format(PyExc_ValueError, "FORK: %d descriptors are required", START_FDS);
    return read_environment(order.fds[START_ENV]);
}

static bool read_plan(struct settle *out, struct err *e)
{
    json_t *confine = NULL;
    int64_t umask = WIRE_UMASK;
    *out = (struct settle){
        .link_fd = order.fds[START_LINK],
        .stdout_fd = order.fds[START_STDOUT],
        .stderr_fd = order.fds[START_STDERR],
        .pipes_fd = order.fds[START_PIPES],
        .held = held,
        .held_count = held_count,
    };
    if (!field_str(order.body, "cwd", OPTIONAL, &out->cwd, e) ||
        !field_int(order.body, "umask", OPTIONAL, 0, 0777, &umask, e) ||
        !field_object(order.body, "confine", OPTIONAL, &confine, e))
        return false;
    out->umask = (mode_t)umask;
    out->confined = confine != NULL;
    if (confine && !settle_read_confine(confine, &out->confine, e))
        return false;
    size_t least = START_FDS + (confine ? WIRE_NAMESPACES : 0);
    size_t most = confine ? least + WIRE_DOORS_MOST : least;
    return (order.fd_count >= least && order.fd_count <= most) ||
           fail(e, 400, "FORK: %zu descriptors came, not %zu to %zu", order.fd_count, least, most);
}

__attribute__((noreturn)) static void give_up(const char *step)
{
    dprintf(STDERR_FILENO, "warmcell-python: cannot start: %s: %s\n", step, strerror(errno));
    _exit(126);
}

/* fork() -> pid, 0 in the child: does what the FORK that was received last says */
static PyObject *py_fork(PyObject *module, PyObject *none)
{
    (void)module, (void)none;
    struct settle plan;
    struct err e;
    if (!read_plan(&plan, &e))
        return raise_err(&e);
    PyOS_BeforeFork();
    size_t namespaces = plan.confined ? WIRE_NAMESPACES : 0;
    const int *doors = order.fds + START_FDS + namespaces;
    pid_t pid = orphan_fork(order.fds + START_FDS, namespaces, doors,
                            order.fd_count - START_FDS - namespaces);
    if (pid == 0) {
        const char *failed = settle_self(&plan);
        if (failed)
            give_up(failed);
        order.fd_count = 0; /* they are closed */
        PyOS_AfterFork_Child();
        wire_message_free(&order);
        return PyLong_FromLong(0);
    }
    int cause = errno;
    PyOS_AfterFork_Parent();
    errno = cause;
    return pid < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyLong_FromLong(pid);
}

/* threads() -> how many this process has */
static PyObject *py_threads(PyObject *module, PyObject *none)
{
    (void)module, (void)none;
    DIR *tasks = opendir("/proc/self/task");
    if (!tasks)
        return PyErr_SetFromErrno(PyExc_OSError);
    long count = 0;
    for (struct dirent *entry; (entry = readdir(tasks));)
        count += entry->d_name[0] != '.';
    closedir(tasks);
    return PyLong_FromLong(count);
}

/* hold_descriptors() -> [path, ...]: remembers the descriptors that are open now beside those that
 * a fork has anyway */
static PyObject *py_hold_descriptors(PyObject *module, PyObject *none)
{
    (void)module, (void)none;
    DIR *open_ones = opendir("/proc/self/fd");
    PyObject *paths = PyList_New(0);
    held_count = 0;
    for (struct dirent *entry; open_ones && paths && (entry = readdir(open_ones));) {
        char path[PATH_MAX] = "";
        int fd = atoi(entry->d_name);
        if (fd <= SETTLE_PIPES_FD || fd == dirfd(open_ones) || held_count == SETTLE_HELD_MOST)
            continue;
        held[held_count++] = fd;
        ssize_t len = readlinkat(dirfd(open_ones), entry->d_name, path, sizeof path - 1);
        PyObject *text = PyUnicode_DecodeFSDefaultAndSize(path, len < 0 ? 0 : len);
        if (!text || PyList_Append(paths, text) < 0)
            Py_CLEAR(paths);
        Py_XDECREF(text);
    }
    if (open_ones)
        closedir(open_ones);
    return paths;
}

/* reserve_descriptors(): keeps the numbers of a fork from those who open something here */
static PyObject *py_reserve_descriptors(PyObject *module, PyObject *none)
{
    (void)module, (void)none;
    for (int fd = 0; fd <= SETTLE_PIPES_FD; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
            return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static PyObject *py_find_blas(PyObject *module, PyObject *none)
{
    (void)module, (void)none;
    return PyLong_FromSize_t(blas_find());
}

static PyObject *py_set_blas_threads(PyObject *module, PyObject *count)
{
    (void)module;
    long threads = PyLong_AsLong(count);
    if (threads == -1 && PyErr_Occurred())
        return NULL;
    blas_set_threads(threads < 1 ? 1 : threads > 1024 ? 1024 : (int)threads);
    Py_RETURN_NONE;
}

static PyObject *py_plug_holes(PyObject *module, PyObject *none)
{
    (void)module, (void)none;
    return PyLong_FromSize_t(plug_holes());
}

static PyMethodDef methods[] = {
    {"receive", py_receive, METH_NOARGS, "receive() -> (kind, number, body) | None at the end"},
    {"send", py_send, METH_VARARGS, "send(kind, number, body): to the keeper"},
    {"environment", py_environment, METH_NOARGS, "environment() -> bytes, of the last FORK"},
    {"fork", py_fork, METH_NOARGS, "fork() -> pid, or 0 in the child: as the last FORK says"},
    {"branch", core_py_branch, METH_O,
     "branch(go) -> (link_fd, pipes_fd) in the child, None here: as the last BRANCH says"},
    {"threads", py_threads, METH_NOARGS, "threads() -> how many this process has"},
    {"reserve_descriptors", py_reserve_descriptors, METH_NOARGS,
     "reserve_descriptors(): before anything is opened"},
    {"hold_descriptors", py_hold_descriptors, METH_NOARGS,
     "hold_descriptors() -> what is open and will be /dev/null in a fork"},
    {"plug_holes", py_plug_holes, METH_NOARGS,
     "plug_holes() -> bytes: so that forks allocate from pages of their own"},
    {"find_blas", py_find_blas, METH_NOARGS, "find_blas() -> how many functions were found"},
    {"set_blas_threads", py_set_blas_threads, METH_O, "set_blas_threads(count)"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_warmcell_forks",
    .m_doc = "Forking ready interpreters for a warmcell-keeper.",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__warmcell_forks(void)
{
    return PyModule_Create(&definition);
}
