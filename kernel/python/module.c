/* The C module _warmcell: the interpreter's end of the link as Python sees it. Compiled into
 * warmcell-python, and as an extension module for `python -m warmcell_kernel`. Every function runs
 * with the interpreter lock. Invariant: whatever waits for the host releases that lock. */
#include "kernel/python/core.h"

#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include "kernel/python/interrupt.h"
#include "kernel/python/jsontext.h"
#include "kernel/python/memory_peak.h"

#define WAIT_MS 250
#define PIECE_BYTES                                                                                \
    (1024u * 1024) /* a longer text is written in pieces, so that the queue stays bounded */

static struct lane *lane;
static PyObject *parent_var; /* ContextVar: (number, message) */
static PyObject *fallback;
static uint64_t last_number;
static _Thread_local bool rehearsing; /* what this thread sends is made and thrown away */

struct lane *core_lane(void)
{
    if (!lane)
        PyErr_SetString(PyExc_RuntimeError, "the link is not open");
    return lane;
}

void core_leave_lane(void)
{
    lane_abandon(lane);
    lane = NULL;
    last_number = 0;
}

uint64_t core_number(void)
{
    PyObject *parent = NULL;
    uint64_t number = last_number;
    if (PyContextVar_Get(parent_var, NULL, &parent) < 0)
        PyErr_Clear();
    if (parent && PyTuple_Check(parent) && PyTuple_GET_SIZE(parent) > 0) {
        number = PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(parent, 0));
        if (PyErr_Occurred())
            PyErr_Clear();
    }
    Py_XDECREF(parent);
    return number;
}

bool core_relieve(size_t queued)
{
    if (queued <= LANE_HIGH_WATER_BYTES)
        return true;
    while (queued > LANE_LOW_WATER_BYTES) {
        interrupt_drain();
        if (PyErr_CheckSignals() < 0)
            return false;
        Py_BEGIN_ALLOW_THREADS queued = lane_wait_writable(lane, interrupt_fd(), WAIT_MS);
        Py_END_ALLOW_THREADS
    }
    return true;
}

/* The views of a sequence of buffers, held until views_free. */
struct views {
    Py_buffer *items;
    size_t count;
};

static void views_free(struct views *v)
{
    for (size_t i = 0; i < v->count; i++)
        PyBuffer_Release(&v->items[i]);
    PyMem_Free(v->items);
}

static bool views_open(struct views *v, PyObject *buffers)
{
    *v = (struct views){NULL, 0};
    if (!buffers || buffers == Py_None)
        return true;
    PyObject *list = PySequence_Fast(buffers, "buffers must be a sequence");
    if (!list)
        return false;
    size_t count = (size_t)PySequence_Fast_GET_SIZE(list);
    bool ok = count <= LINK_PARTS_LIMIT - 8;
    if (!ok)
        PyErr_SetString(PyExc_ValueError, "a message can carry at most 1,092 buffers");
    v->items = PyMem_Calloc(count + 1, sizeof *v->items);
    while (ok && v->items && v->count < count) {
        PyObject *item = PySequence_Fast_GET_ITEM(list, (Py_ssize_t)v->count);
        ok = PyObject_GetBuffer(item, &v->items[v->count], PyBUF_SIMPLE) == 0;
        v->count += ok;
    }
    Py_DECREF(list);
    if (!ok || !v->items)
        views_free(v);
    return ok && (v->items || PyErr_NoMemory());
}

/* Appends the JSON of both values to out; where each stands is in places. */
static bool write_json(struct buffer *out, PyObject *const values[2], struct bytes places[2])
{
    size_t starts[3] = {0, 0, 0};
    for (int i = 0; i < 2; i++) {
        if (values[i] && PyBytes_Check(values[i]))
            buffer_add(out, PyBytes_AS_STRING(values[i]), (size_t)PyBytes_GET_SIZE(values[i]));
        else if (values[i] && !jsontext_add(out, values[i], fallback))
            return false;
        starts[i + 1] = out->len;
    }
    for (int i = 0; i < 2; i++)
        places[i] = (struct bytes){out->data + starts[i], starts[i + 1] - starts[i]};
    return true;
}

static bool send_parts(const struct core_message *m, struct buffer *json,
                       const struct bytes places[2], const struct views *v, size_t *queued)
{
    struct bytes *parts = xcalloc(3 + v->count, sizeof *parts);
    size_t count = 0, total = 0;
    if (m->text.data)
        parts[count++] = m->text;
    for (int i = 0; i < 2; i++)
        if (m->json[i])
            parts[count++] = places[i];
    for (size_t i = 0; i < v->count; i++)
        parts[count++] = (struct bytes){v->items[i].buf, (size_t)v->items[i].len};
    for (size_t i = 0; i < count; i++)
        total += parts[i].len;
    bool ok = total <= LINK_LIMIT_BYTES - 4 * LINK_PARTS_LIMIT;
    struct link_frame frame = {m->kind, m->flags, m->number, parts, count};
    if (ok)
        *queued = lane_send(lane, frame, json, m->urgency);
    else
        PyErr_SetString(PyExc_ValueError, "a message can be at most 1 GiB large");
    free(parts);
    return ok;
}

bool core_send(const struct core_message *m, size_t *queued)
{
    struct buffer json = {0};
    struct bytes places[2] = {{NULL, 0}, {NULL, 0}};
    struct views v;
    if ((!rehearsing && !core_lane()) || !views_open(&v, m->buffers))
        return false;
    *queued = 0;
    bool ok = write_json(&json, m->json, places) &&
              (rehearsing || send_parts(m, &json, places, &v, queued));
    views_free(&v);
    buffer_free(&json);
    return ok;
}

static PyObject *py_publish(PyObject *module, PyObject *args)
{
    (void)module;
    const char *type;
    Py_ssize_t type_len;
    struct core_message m = {.kind = LINK_PUBLISH};
    int may_wait = 0;
    if (!PyArg_ParseTuple(args, "s#OO|Op", &type, &type_len, &m.json[0], &m.json[1], &m.buffers,
                          &may_wait))
        return NULL;
    size_t queued;
    m.urgency = may_wait ? MAY_WAIT : AT_ONCE;
    m.text = (struct bytes){type, (size_t)type_len};
    m.number = core_number();
    if (!core_send(&m, &queued) || !core_relieve(queued))
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *py_reply(PyObject *module, PyObject *args)
{
    (void)module;
    unsigned long long number;
    int abort_queue;
    struct core_message m = {.kind = LINK_REPLY};
    if (!PyArg_ParseTuple(args, "KpOO|O", &number, &abort_queue, &m.json[0], &m.json[1],
                          &m.buffers))
        return NULL;
    size_t queued;
    m.number = number;
    m.flags = abort_queue ? LINK_FLAG_ABORT_QUEUE : 0;
    if (!core_send(&m, &queued))
        return NULL;
    Py_RETURN_NONE;
}

/* send(kind, number, *parts): parts are bytes */
static PyObject *py_send(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *head = PyTuple_GetSlice(args, 0, 2),
             *parts = PyTuple_GetSlice(args, 2, PY_SSIZE_T_MAX);
    unsigned char kind;
    unsigned long long number;
    struct core_message m = {.buffers = parts};
    size_t queued;
    bool ok = head && parts && PyArg_ParseTuple(head, "bK", &kind, &number);
    if (ok) {
        m.kind = kind;
        m.number = number;
        m.urgency = kind == LINK_HISTORY ? MAY_WAIT : AT_ONCE; /* the cell itself comes next */
        ok = core_send(&m, &queued);
    }
    Py_XDECREF(head);
    Py_XDECREF(parts);
    return ok ? Py_NewRef(Py_None) : NULL;
}

/* Before there is a link: to the descriptor itself. */
static bool write_early(enum lane_stream stream, struct bytes text)
{
    while (text.len > 0) {
        ssize_t n = write(stream == LANE_STDOUT ? 1 : 2, text.data, text.len);
        if (n < 0 && errno != EINTR)
            return PyErr_SetFromErrno(PyExc_OSError) != NULL;
        text.data += n > 0 ? n : 0;
        text.len -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

static bool write_pieces(enum lane_stream stream, uint64_t number, struct bytes text)
{
    while (text.len > 0) {
        size_t n = text.len < PIECE_BYTES ? text.len : PIECE_BYTES;
        while (n < text.len && ((unsigned char)text.data[n] & 0xC0) == 0x80)
            n--;
        if (!core_relieve(lane_write(lane, stream, number, (struct bytes){text.data, n})))
            return false;
        text.data += n;
        text.len -= n;
    }
    return true;
}

static PyObject *write_text(enum lane_stream stream, PyObject *text)
{
    if (!PyUnicode_Check(text))
        return PyErr_Format(PyExc_TypeError, "write() argument must be str, not %.100s",
                            Py_TYPE(text)->tp_name);
    PyObject *keep;
    struct bytes view = jsontext_utf8(text, &keep);
    if (!view.data)
        return NULL;
    bool ok = rehearsing ||
              (lane ? write_pieces(stream, core_number(), view) : write_early(stream, view));
    Py_XDECREF(keep);
    return ok ? PyLong_FromSsize_t(PyUnicode_GET_LENGTH(text)) : NULL;
}

static PyObject *py_write_stdout(PyObject *module, PyObject *text)
{
    (void)module;
    return write_text(LANE_STDOUT, text);
}

static PyObject *py_write_stderr(PyObject *module, PyObject *text)
{
    (void)module;
    return write_text(LANE_STDERR, text);
}

static PyObject *py_flush(PyObject *module, PyObject *none)
{
    (void)module, (void)none;
    if (lane)
        lane_flush(lane);
    Py_RETURN_NONE;
}

static PyObject *py_set_parent(PyObject *module, PyObject *parent)
{
    (void)module;
    if (!PyTuple_Check(parent) || PyTuple_GET_SIZE(parent) != 2)
        return PyErr_Format(PyExc_TypeError, "a parent is (number, message)");
    unsigned long long number = PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(parent, 0));
    if (PyErr_Occurred())
        return NULL;
    last_number = number;
    PyObject *token = PyContextVar_Set(parent_var, parent);
    Py_XDECREF(token);
    return token ? Py_NewRef(Py_None) : NULL;
}

static PyObject *py_json(PyObject *module, PyObject *value)
{
    (void)module;
    struct buffer out = {0};
    PyObject *text = NULL;
    if (jsontext_add(&out, value, fallback))
        text = PyBytes_FromStringAndSize(out.data, (Py_ssize_t)out.len);
    buffer_free(&out);
    return text;
}

/* Output of a child process must come after what this one has written. */
static int on_audit(const char *event, PyObject *args, void *data)
{
    static const char *const starts[] = {"subprocess.Popen", "os.system", "os.fork",  "os.forkpty",
                                         "os.posix_spawn",   "os.exec",   "pty.spawn"};
    (void)args, (void)data;
    if ((*event == 's' || *event == 'o' || *event == 'p') && lane)
        for (size_t i = 0; i < countof(starts); i++)
            if (strcmp(event, starts[i]) == 0)
                lane_flush(lane);
    return 0;
}

/* The last output at the end of the process: the interpreter has gone, the host has not. */
static void at_exit(void)
{
    if (lane)
        lane_drain(lane, 2000);
}

static PyObject *py_open(PyObject *module, PyObject *args)
{
    static bool hooked; /* by the process that this one was branched from, perhaps */
    (void)module;
    int fd, pipes_fd;
    PyObject *function;
    struct err e;
    if (!PyArg_ParseTuple(args, "iiO", &fd, &pipes_fd, &function))
        return NULL;
    if (lane || !interrupt_init())
        return PyErr_Format(PyExc_RuntimeError, lane ? "the link is open" : "no descriptors left");
    lane = lane_open(fd, pipes_fd, interrupt_main, &e);
    if (!lane)
        return PyErr_Format(PyExc_OSError, "%s", e.text);
    rehearsing = false;
    Py_XSETREF(fallback, Py_NewRef(function));
    if (!hooked) {
        pthread_atfork(NULL, NULL, interrupt_after_fork);
        if (PySys_AddAuditHook(on_audit, NULL) < 0)
            return NULL;
        Py_AtExit(at_exit);
    }
    hooked = true;
    crash_install();
    interrupt_install();
    Py_RETURN_NONE;
}

static PyObject *py_rehearse(PyObject *module, PyObject *function)
{
    (void)module;
    rehearsing = function != Py_None;
    Py_XSETREF(fallback, rehearsing ? Py_NewRef(function) : NULL);
    Py_RETURN_NONE;
}

static PyObject *py_hush(PyObject *module, PyObject *on)
{
    (void)module;
    rehearsing = PyObject_IsTrue(on) == 1;
    Py_RETURN_NONE;
}

static PyObject *py_wake_fd(PyObject *module, PyObject *none)
{
    (void)module, (void)none;
    return core_lane() ? PyLong_FromLong(lane_wake_fd(lane)) : NULL;
}

static PyObject *py_pending(PyObject *module, PyObject *none)
{
    (void)module, (void)none;
    return core_lane() ? PyBool_FromLong(lane_pending(lane)) : NULL;
}

static PyObject *py_forked(PyObject *module, PyObject *none)
{
    (void)module, (void)none;
    return PyBool_FromLong(lane && lane_forked(lane));
}

static PyObject *py_take_descriptor(PyObject *module, PyObject *none)
{
    (void)module, (void)none;
    int fds[LANE_DESCRIPTORS_MOST];
    if (!core_lane())
        return NULL;
    size_t count = lane_take_descriptors(lane, fds);
    for (size_t i = 1; i < count; i++)
        close(fds[i]);
    return count ? PyLong_FromLong(fds[0])
                 : PyErr_Format(PyExc_ValueError, "no descriptor came with the frame");
}

static PyObject *py_hear_interrupts(PyObject *module, PyObject *none)
{
    (void)module, (void)none;
    interrupt_install();
    Py_RETURN_NONE;
}

/* sys.unraisablehook. Python gives the exceptions of some calls to nobody: handlers of a fork,
 * __del__, callbacks of weak references. An interrupt that struck there is set off anew, for the
 * code that it was meant for. In C, so that it does not strike here. */
static PyObject *py_unraisable(PyObject *module, PyObject *what)
{
    (void)module;
    PyObject *type = PyObject_GetAttrString(what, "exc_type");
    if (!type)
        return NULL;
    bool interrupt = PyErr_GivenExceptionMatches(type, PyExc_KeyboardInterrupt);
    Py_DECREF(type);
    if (interrupt && interrupt_again())
        Py_RETURN_NONE;
    PyObject *usual = PySys_GetObject("__unraisablehook__");
    return usual ? PyObject_CallOneArg(usual, what) : Py_NewRef(Py_None);
}

/* MurmurHash2, by Austin Appleby (public domain): the name that debugger front ends give to a cell.
 */
static uint32_t murmur2(const unsigned char *data, size_t len, uint32_t seed)
{
    const uint32_t m = 0x5bd1e995;
    uint32_t h = seed ^ (uint32_t)len;
    for (; len >= 4; data += 4, len -= 4) {
        uint32_t k =
            data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24;
        k *= m;
        k ^= k >> 24;
        h = h * m ^ k * m;
    }
    if (len > 2)
        h ^= (uint32_t)data[2] << 16;
    if (len > 1)
        h ^= (uint32_t)data[1] << 8;
    if (len > 0)
        h = (h ^ data[0]) * m;
    h = (h ^ h >> 13) * m;
    return h ^ h >> 15;
}

static PyObject *py_murmur2(PyObject *module, PyObject *args)
{
    (void)module;
    Py_buffer data;
    unsigned int seed;
    if (!PyArg_ParseTuple(args, "y*I", &data, &seed))
        return NULL;
    uint32_t hash = murmur2(data.buf, (size_t)data.len, seed);
    PyBuffer_Release(&data);
    return PyLong_FromUnsignedLong(hash);
}

static PyObject *py_forget_memory_peak(PyObject *module, PyObject *none)
{
    (void)module, (void)none;
    memory_peak_forget();
    Py_RETURN_NONE;
}

static double processor_s(const struct rusage *used)
{
    return (double)(used->ru_utime.tv_sec + used->ru_stime.tv_sec) +
           (double)(used->ru_utime.tv_usec + used->ru_stime.tv_usec) / 1e6;
}

static PyObject *py_used(PyObject *module, PyObject *none)
{
    (void)module, (void)none;
    struct rusage own, children;
    getrusage(RUSAGE_SELF, &own);
    getrusage(RUSAGE_CHILDREN, &children);
    return Py_BuildValue("dLdL", processor_s(&own), (long long)own.ru_maxrss * 1024,
                         processor_s(&children), (long long)children.ru_maxrss * 1024);
}

static PyMethodDef methods[] = {
    {"open", py_open, METH_VARARGS, "open(fd, fallback): take over the link's socket"},
    {"rehearse", py_rehearse, METH_O,
     "rehearse(fallback | None): until open(), whether what is sent is made and thrown away"},
    {"hush", py_hush, METH_O, "hush(on): what this thread sends is made and thrown away"},
    {"wait", core_py_wait, METH_VARARGS, "wait(fds, timeout_ms) -> (kind, number, parts) | None"},
    {"wake_fd", py_wake_fd, METH_NOARGS, "a descriptor that is readable while a request waits"},
    {"pending", py_pending, METH_NOARGS, "whether a request waits"},
    {"forked", py_forked, METH_NOARGS,
     "whether this is a child of the process that opened the link"},
    {"publish", py_publish, METH_VARARGS,
     "publish(msg_type, metadata, content, buffers=None, may_wait=False)"},
    {"reply", py_reply, METH_VARARGS,
     "reply(number, abort_queue, metadata, content, buffers=None)"},
    {"send", py_send, METH_VARARGS, "send(kind, number, *parts)"},
    {"input", core_py_input, METH_O, "input(content) -> str: ask the front end"},
    {"interruptible", (PyCFunction)(void (*)(void))core_py_interruptible, METH_FASTCALL,
     "interruptible(function, *args): call it; SIGINT is heard meanwhile"},
    {"set_parent", py_set_parent, METH_O, "set_parent((number, message)): of this context"},
    {"write_stdout", py_write_stdout, METH_O, "write_stdout(text) -> its length"},
    {"write_stderr", py_write_stderr, METH_O, "write_stderr(text) -> its length"},
    {"flush", py_flush, METH_NOARGS, "send the text written so far"},
    {"take_descriptor", py_take_descriptor, METH_NOARGS,
     "take_descriptor() -> fd: that came with the last frame which had one"},
    {"hear_interrupts", py_hear_interrupts, METH_NOARGS,
     "put the C handler of SIGINT back after signal.signal() replaced it"},
    {"unraisable", py_unraisable, METH_O,
     "unraisable(what): for sys.unraisablehook; an interrupt is not lost"},
    {"forget_memory_peak", py_forget_memory_peak, METH_NOARGS,
     "count the most that this process has had in memory anew"},
    {"used", py_used, METH_NOARGS,
     "used() -> (processor_s, peak_bytes, processor_s, peak_bytes): by this process so far, and by "
     "its children that have ended"},
    {"murmur2", py_murmur2, METH_VARARGS, "murmur2(data, seed) -> int"},
    {"mark", core_py_mark, METH_VARARGS,
     "mark(key, data) -> bytes: the same for the same data and key, and for no other"},
    {"json", py_json, METH_O, "json(value) -> bytes, as messages have it"},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_warmcell",
    .m_doc = "The link between a Python interpreter and its warmcell-kernel.",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__warmcell(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (!module)
        return NULL;
    if (!parent_var)
        parent_var = PyContextVar_New("warmcell_parent", NULL);
    if (!parent_var || PyModule_AddObjectRef(module, "parent", parent_var) < 0 ||
        PyModule_AddStringConstant(module, "version", WARMCELL_VERSION) < 0)
        Py_CLEAR(module);
    return module;
}
