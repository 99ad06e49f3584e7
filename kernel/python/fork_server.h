/* The C half of the fork server: the module _warmcell_forks, which warmcell-python alone has. */
#ifndef WARMCELL_KERNEL_PYTHON_FORK_SERVER_H
#define WARMCELL_KERNEL_PYTHON_FORK_SERVER_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define FORK_SERVER_FD 3 /* the socket to the keeper */

PyMODINIT_FUNC PyInit__warmcell_forks(void);

#endif
