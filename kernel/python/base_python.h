/* Whether the Python that this program is to be is the one whose libpython it embeds.
 *
 * The modules of another build, as ssl of a Python 3.11.7, are not made for the libpython of a
 * 3.11.2: some load, some do not, and that would be found out in the middle of a cell. */
#ifndef WARMCELL_KERNEL_PYTHON_BASE_PYTHON_H
#define WARMCELL_KERNEL_PYTHON_BASE_PYTHON_H

#include <stdbool.h>

#include "protocol/err.h"

/* executable: the path of an environment's python, or of a Python itself. True: its base is the
 * installation of our libpython, or another one of the same version, or nothing says which version
 * it is. 400: it is another version; the text names both, and what makes a fitting environment.
 * Python need not run yet. */
bool base_python_check(const char *executable, struct err *e);

#endif
