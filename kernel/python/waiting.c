/* The functions of _warmcell that wait: for a request, for input, and for user code that SIGINT may
 * end. Invariant: SIGINT is heard only inside interruptible(); none that comes later raises in the
 * caller. */
#include <errno.h>
#include <poll.h>

#include "kernel/python/core.h"
#include "kernel/python/interrupt.h"

#define FDS_LIMIT 16
#define SIGNAL_GAP_MS                                                                              \
    250 /* a signal that slips in between the check and poll() waits no longer                     \
         */

/* (kind, number, [part, ...]); frees the frame. */
static PyObject *frame_tuple(struct lane_frame *frame)
{
    PyObject *parts = PyList_New((Py_ssize_t)frame->part_count);
    for (size_t i = 0; parts && i < frame->part_count; i++) {
        PyObject *part =
            PyBytes_FromStringAndSize(frame->parts[i].data, (Py_ssize_t)frame->parts[i].len);
        if (!part)
            Py_CLEAR(parts);
        else
            PyList_SET_ITEM(parts, (Py_ssize_t)i, part);
    }
    PyObject *result =
        parts ? Py_BuildValue("(iKN)", frame->kind, (unsigned long long)frame->number, parts)
              : NULL;
    free(frame);
    return result;
}

static int poll_unlocked(struct pollfd *fds, size_t count, int timeout_ms)
{
    int n;
    Py_BEGIN_ALLOW_THREADS n = poll(fds, count, timeout_ms);
    Py_END_ALLOW_THREADS return n;
}

/* wait(fds, timeout_ms) -> frame | None: the next request, or None when one of the descriptors in
 * the tuple is readable or the time (-1: unlimited) is over. */
PyObject *core_py_wait(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *extra;
    int timeout_ms;
    if (!PyArg_ParseTuple(args, "O!i", &PyTuple_Type, &extra, &timeout_ms))
        return NULL;
    struct lane *l = core_lane();
    Py_ssize_t count = PyTuple_GET_SIZE(extra);
    if (!l || count > FDS_LIMIT)
        return l ? PyErr_Format(PyExc_ValueError, "at most %d descriptors", FDS_LIMIT) : NULL;
    struct pollfd fds[FDS_LIMIT + 1] = {{lane_wake_fd(l), POLLIN, 0}};
    for (Py_ssize_t i = 0; i < count; i++) {
        fds[i + 1] =
            (struct pollfd){PyObject_AsFileDescriptor(PyTuple_GET_ITEM(extra, i)), POLLIN, 0};
        if (fds[i + 1].fd < 0)
            return NULL;
    }
    for (;;) {
        struct lane_frame *frame = lane_take(l);
        if (frame)
            return frame_tuple(frame);
        interrupt_install();
        int n = poll_unlocked(fds, (size_t)count + 1, timeout_ms);
        if (PyErr_CheckSignals() < 0)
            return NULL;
        if (n == 0 || (n > 0 && !fds[0].revents))
            Py_RETURN_NONE;
    }
}

static PyObject *input_value(struct lane_frame *frame)
{
    struct bytes value = frame->part_count ? frame->parts[0] : (struct bytes){NULL, 0};
    PyObject *text = PyUnicode_DecodeUTF8(value.data, (Py_ssize_t)value.len, "replace");
    free(frame);
    return text;
}

/* input(content) -> str: sends an INPUT_REQUEST of the running request and waits for its answer. */
PyObject *core_py_input(PyObject *module, PyObject *content)
{
    (void)module;
    struct lane *l = core_lane();
    if (!l)
        return NULL;
    struct core_message m = {
        .kind = LINK_INPUT_REQUEST, .number = core_number(), .json = {content}};
    size_t queued;
    lane_forget_inputs(l);
    if (!core_send(&m, &queued))
        return NULL;
    struct pollfd fds[] = {{lane_input_fd(l), POLLIN, 0}, {interrupt_fd(), POLLIN, 0}};
    for (;;) {
        struct lane_frame *frame = lane_take_input(l);
        if (frame && frame->number == m.number)
            return input_value(frame);
        free(frame);
        if (!frame)
            poll_unlocked(fds, countof(fds), SIGNAL_GAP_MS);
        if (PyErr_CheckSignals() < 0)
            return NULL;
        if (fds[1].revents)
            interrupt_drain();
    }
}

/* One that the host sent for this very request, before its code ran. One for a request that comes
 * later is kept, others were for nothing that is still there. */
static void hear_early(void)
{
    struct lane *l = core_lane();
    if (!l) {
        PyErr_Clear();
        return;
    }
    uint64_t number = core_number(), wanted = lane_interrupted(l);
    if (wanted <= number && interrupt_take_early() && wanted == number && number != 0)
        interrupt_again();
}

/* interruptible(function, *args): calls it with SIGINT heard; a SIGINT that comes as it ends is
 * dropped. */
PyObject *core_py_interruptible(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    (void)module;
    if (count < 1)
        return PyErr_Format(PyExc_TypeError, "interruptible() needs a function");
    interrupt_install();
    bool before = interrupt_hear(true);
    if (!before)
        hear_early();
    PyObject *result = PyObject_Vectorcall(args[0], args + 1, (size_t)count - 1, NULL);
    interrupt_hear(before);
    interrupt_install();
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (!before && PyErr_CheckSignals() < 0) {
        if (!PyErr_ExceptionMatches(PyExc_KeyboardInterrupt))
            PyErr_WriteUnraisable(args[0]);
        PyErr_Clear();
    }
    PyErr_Restore(type, value, traceback);
    return result;
}
