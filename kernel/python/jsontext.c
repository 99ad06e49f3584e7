/* See jsontext.h. Called for every message that the interpreter publishes; a 20 MB image is one
 * scan and one copy. Invariant: what is appended is valid JSON, whatever the value. */
#include "kernel/python/jsontext.h"

#include <math.h>

#define ONES  0x0101010101010101ULL
#define HIGHS 0x8080808080808080ULL

/* 0: stays as it is; 'u': \u00XX; otherwise the letter after the backslash */
static const char escapes[256] = {
    ['"'] = '"',  ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r',
    ['\t'] = 't', [0] = 'u',     [1] = 'u',    [2] = 'u',    [3] = 'u',    [4] = 'u',
    [5] = 'u',    [6] = 'u',     [7] = 'u',    [11] = 'u',   [14] = 'u',   [15] = 'u',
    [16] = 'u',   [17] = 'u',    [18] = 'u',   [19] = 'u',   [20] = 'u',   [21] = 'u',
    [22] = 'u',   [23] = 'u',    [24] = 'u',   [25] = 'u',   [26] = 'u',   [27] = 'u',
    [28] = 'u',   [29] = 'u',    [30] = 'u',   [31] = 'u',
};

/* A surrogate is ED A0..BF xx in Python's "surrogatepass" form, as long as the replacement
 * character. */
static void replace_surrogates(char *data, size_t len)
{
    for (size_t i = 0; i + 2 < len; i++)
        if ((unsigned char)data[i] == 0xED && (unsigned char)data[i + 1] >= 0xA0)
            memcpy(data + i, "\xEF\xBF\xBD", 3);
}

struct bytes jsontext_utf8(PyObject *text, PyObject **keep)
{
    *keep = NULL;
#if PY_VERSION_HEX < 0x030C0000
    if (PyUnicode_READY(text) < 0)
        return (struct bytes){NULL, 0};
#endif
    if (PyUnicode_IS_COMPACT_ASCII(text))
        return (struct bytes){(const char *)PyUnicode_1BYTE_DATA(text),
                              (size_t)PyUnicode_GET_LENGTH(text)};
    *keep = PyUnicode_AsUTF8String(text);
    if (!*keep && PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        PyErr_Clear();
        *keep = PyUnicode_AsEncodedString(text, "utf-8", "surrogatepass");
        if (*keep)
            replace_surrogates(PyBytes_AS_STRING(*keep), (size_t)PyBytes_GET_SIZE(*keep));
    }
    if (!*keep)
        return (struct bytes){NULL, 0};
    return (struct bytes){PyBytes_AS_STRING(*keep), (size_t)PyBytes_GET_SIZE(*keep)};
}

/* Length of the start of text that needs no escape: eight bytes at a time. */
static size_t plain_run(const char *text, size_t len)
{
    size_t at = 0;
    for (; at + 8 <= len; at += 8) {
        uint64_t w;
        memcpy(&w, text + at, 8);
        uint64_t quote = w ^ (ONES * '"'), slash = w ^ (ONES * '\\');
        uint64_t hit =
            ((w - ONES * 0x20) & ~w) | ((quote - ONES) & ~quote) | ((slash - ONES) & ~slash);
        if (hit & HIGHS)
            break;
    }
    while (at < len && !escapes[(unsigned char)text[at]])
        at++;
    return at;
}

static void add_quoted(struct buffer *out, struct bytes text)
{
    buffer_reserve(out, text.len + 2);
    buffer_add(out, "\"", 1);
    while (text.len > 0) {
        size_t n = plain_run(text.data, text.len);
        buffer_add(out, text.data, n);
        text.data += n;
        text.len -= n;
        if (text.len == 0)
            break;
        unsigned char c = (unsigned char)*text.data;
        if (escapes[c] == 'u')
            buffer_printf(out, "\\u%04x", c);
        else
            buffer_add(out, (char[]){'\\', escapes[c]}, 2);
        text.data++;
        text.len--;
    }
    buffer_add(out, "\"", 1);
}

static bool add_text(struct buffer *out, PyObject *value)
{
    PyObject *keep;
    struct bytes text = jsontext_utf8(value, &keep);
    if (!text.data)
        return false;
    add_quoted(out, text);
    Py_XDECREF(keep);
    return true;
}

static void add_base64(struct buffer *out, struct bytes raw)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *in = (const unsigned char *)raw.data;
    char *at = buffer_reserve(out, (raw.len + 2) / 3 * 4 + 2);
    char *start = at;
    *at++ = '"';
    size_t left = raw.len;
    for (; left >= 3; left -= 3, in += 3) {
        *at++ = letters[in[0] >> 2];
        *at++ = letters[(in[0] & 3) << 4 | in[1] >> 4];
        *at++ = letters[(in[1] & 15) << 2 | in[2] >> 6];
        *at++ = letters[in[2] & 63];
    }
    if (left > 0) {
        unsigned second = left == 2 ? in[1] : 0;
        *at++ = letters[in[0] >> 2];
        *at++ = letters[(in[0] & 3) << 4 | second >> 4];
        *at++ = left == 2 ? letters[(second & 15) << 2] : '=';
        *at++ = '=';
    }
    *at++ = '"';
    out->len += (size_t)(at - start);
}

/* The text of an int or a finite float is what their base type's repr gives, whatever a subclass
 * prints. */
static bool add_repr(struct buffer *out, PyObject *value, reprfunc repr)
{
    PyObject *text = repr(value);
    PyObject *keep = NULL;
    struct bytes view = text ? jsontext_utf8(text, &keep) : (struct bytes){NULL, 0};
    if (view.data)
        buffer_add_bytes(out, view);
    Py_XDECREF(keep);
    Py_XDECREF(text);
    return view.data != NULL;
}

static bool add_float(struct buffer *out, PyObject *value)
{
    double number = PyFloat_AS_DOUBLE(value);
    if (isfinite(number))
        return add_repr(out, value, PyFloat_Type.tp_repr);
    buffer_add_text(out, isnan(number) ? "\"nan\"" : number > 0 ? "\"inf\"" : "\"-inf\"");
    return true;
}

static bool add_int(struct buffer *out, PyObject *value)
{
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow)
        return add_repr(out, value, PyLong_Type.tp_repr);
    buffer_printf(out, "%lld", number);
    return true;
}

static bool add_list(struct buffer *out, PyObject *value, PyObject *fallback)
{
    buffer_add(out, "[", 1);
    /* the size is read again each time: fallback may run code that changes the list */
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(value); i++) {
        if (i > 0)
            buffer_add(out, ",", 1);
        PyObject *item = Py_NewRef(PySequence_Fast_GET_ITEM(value, i));
        bool ok = jsontext_add(out, item, fallback);
        Py_DECREF(item);
        if (!ok)
            return false;
    }
    buffer_add(out, "]", 1);
    return true;
}

static bool add_key(struct buffer *out, PyObject *key)
{
    if (PyUnicode_Check(key))
        return add_text(out, key);
    if (PyFloat_Check(key) && !isfinite(PyFloat_AS_DOUBLE(key)))
        return add_float(out, key);
    if (key != Py_None && !PyBool_Check(key) && !PyLong_Check(key) && !PyFloat_Check(key)) {
        PyErr_Format(PyExc_TypeError, "keys must be str, int, float, bool or None, not %.100s",
                     Py_TYPE(key)->tp_name);
        return false;
    }
    buffer_add(out, "\"", 1);
    if (!jsontext_add(out, key, NULL))
        return false;
    buffer_add(out, "\"", 1);
    return true;
}

static bool add_dict(struct buffer *out, PyObject *value, PyObject *fallback)
{
    PyObject *items = PyMapping_Items(value);
    if (!items)
        return false;
    bool ok = true;
    buffer_add(out, "{", 1);
    for (Py_ssize_t i = 0; ok && i < PyList_GET_SIZE(items); i++) {
        PyObject *item = PyList_GET_ITEM(items, i);
        if (i > 0)
            buffer_add(out, ",", 1);
        ok = add_key(out, PyTuple_GET_ITEM(item, 0));
        buffer_add(out, ":", 1);
        ok = ok && jsontext_add(out, PyTuple_GET_ITEM(item, 1), fallback);
    }
    buffer_add(out, "}", 1);
    Py_DECREF(items);
    return ok;
}

static bool add_other(struct buffer *out, PyObject *value, PyObject *fallback)
{
    if (!fallback) {
        PyErr_Format(PyExc_TypeError, "%.100s is not JSON serializable", Py_TYPE(value)->tp_name);
        return false;
    }
    PyObject *replaced = PyObject_CallOneArg(fallback, value);
    if (!replaced)
        return false;
    bool ok = jsontext_add(out, replaced, fallback);
    Py_DECREF(replaced);
    return ok;
}

static bool add_nested(struct buffer *out, PyObject *value, PyObject *fallback)
{
    if (Py_EnterRecursiveCall(" while a message is written as JSON"))
        return false;
    bool ok;
    if (PyDict_Check(value))
        ok = add_dict(out, value, fallback);
    else if (PyList_Check(value) || PyTuple_Check(value))
        ok = add_list(out, value, fallback);
    else
        ok = add_other(out, value, fallback);
    Py_LeaveRecursiveCall();
    return ok;
}

bool jsontext_add(struct buffer *out, PyObject *value, PyObject *fallback)
{
    if (PyUnicode_Check(value))
        return add_text(out, value);
    if (value == Py_None || value == Py_True || value == Py_False) {
        buffer_add_text(out, value == Py_None ? "null" : value == Py_True ? "true" : "false");
        return true;
    }
    if (PyLong_Check(value))
        return add_int(out, value);
    if (PyFloat_Check(value))
        return add_float(out, value);
    if (PyBytes_Check(value)) {
        add_base64(out, (struct bytes){PyBytes_AS_STRING(value), (size_t)PyBytes_GET_SIZE(value)});
        return true;
    }
    return add_nested(out, value, fallback);
}
