/* How many threads the numerical libraries of this process use. */
#ifndef WARMCELL_KERNEL_PYTHON_BLAS_H
#define WARMCELL_KERNEL_PYTHON_BLAS_H

#include <stddef.h>

/* Looks through the libraries that are loaded now for those that can be told (OpenBLAS, MKL,
 * OpenMP), and remembers them. Returns how many functions there are. */
size_t blas_find(void);

/* Tells those that blas_find() found. count: at least 1. */
void blas_set_threads(int count);

#endif
