/* What the files of the C module _warmcell share: the one lane of the process, and whose output it
 * is. */
#ifndef WARMCELL_KERNEL_PYTHON_CORE_H
#define WARMCELL_KERNEL_PYTHON_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "kernel/python/lane.h"

/* The process's lane; NULL before open(), with a Python exception set. Borrowed. */
struct lane *core_lane(void);

/* In a child that was forked to serve another link: open() may be called again. */
void core_leave_lane(void);

/* The number of the request that the running thread or task belongs to: that of the context,
 * otherwise that of the last request of all. */
uint64_t core_number(void);

/* After a send left queued bytes waiting: waits, without the interpreter lock, until the queue is
 * short again. False: a signal handler raised (KeyboardInterrupt); nothing that was queued is lost.
 */
bool core_relieve(size_t queued);

/* Sends a frame whose JSON parts are made from Python values.
 * texts: the parts before the JSON (borrowed); json: values, each bytes (JSON already) or what
 * jsontext_add takes; buffers: None or a sequence of buffers. The number of bytes queued in
 * *queued. False: a Python exception is set and nothing was sent. */
struct core_message {
    uint8_t kind;
    uint8_t flags;
    enum urgency urgency;
    uint64_t number;
    struct bytes text; /* data == NULL: none */
    PyObject *json[2]; /* NULL: none */
    PyObject *buffers; /* NULL or None: none */
};
bool core_send(const struct core_message *message, size_t *queued);

/* waiting.c: the functions of the module that wait */
PyObject *core_py_wait(PyObject *module, PyObject *args);
PyObject *core_py_input(PyObject *module, PyObject *content);
PyObject *core_py_interruptible(PyObject *module, PyObject *const *args, Py_ssize_t count);

/* mark.c: mark(key, data) -> tag; OSError: libcrypto is not there */
PyObject *core_py_mark(PyObject *module, PyObject *args);

/* crash.c: sends what was written before a deadly signal takes its course. Call after faulthandler.
 */
void crash_install(void);

/* branch.c: branch(go) -> (link_fd, pipes_fd) in the child, None in this process */
PyObject *core_py_branch(PyObject *module, PyObject *go);

/* The module's init function, for PyImport_AppendInittab. */
PyMODINIT_FUNC PyInit__warmcell(void);

#endif
