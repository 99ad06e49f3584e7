/* Python values as JSON text, made once and in C: what goes into content and metadata of a message.
 */
#ifndef WARMCELL_KERNEL_PYTHON_JSONTEXT_H
#define WARMCELL_KERNEL_PYTHON_JSONTEXT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "protocol/bytes.h"

/* The UTF-8 of a str with every lone surrogate as U+FFFD. *keep owns the memory where the str
 * itself does not (or is NULL). data == NULL: a Python exception is set. */
struct bytes jsontext_utf8(PyObject *text, PyObject **keep);

/* Appends value as JSON: always valid UTF-8 and valid JSON. NaN and the infinities become the
 * strings "nan", "inf", "-inf" and bytes become Base64, as ipykernel's messages have them; keys
 * that are not strings become strings as json.dumps makes them. Any other type is given to
 * fallback(value), whose result is written instead. False: a Python exception is set, and out holds
 * rubbish. */
bool jsontext_add(struct buffer *out, PyObject *value, PyObject *fallback);

#endif
