/* See blas.h. Libraries that Python packages bring along are loaded privately, so each loaded
 * object is asked by itself. Invariant: what was found stays loaded: Python never unloads an
 * extension module. */
#include "kernel/python/blas.h"

#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>

#include "protocol/bytes.h"

#define FOUND_MOST 16

typedef void set_threads(int);

static set_threads *found[FOUND_MOST];
static size_t found_count;

static const char *const names[] = {
    "openblas_set_num_threads",
    "openblas_set_num_threads64_",
    "scipy_openblas_set_num_threads",
    "scipy_openblas_set_num_threads64_",
    "MKL_Set_Num_Threads",
    "omp_set_num_threads",
};

static void remember(set_threads *function)
{
    for (size_t i = 0; i < found_count; i++)
        if (found[i] == function)
            return;
    if (found_count < FOUND_MOST)
        found[found_count++] = function;
}

static int look_into(struct dl_phdr_info *object, size_t size, void *unused)
{
    (void)size, (void)unused;
    if (!object->dlpi_name || !*object->dlpi_name)
        return 0;
    void *handle = dlopen(object->dlpi_name, RTLD_LAZY | RTLD_NOLOAD);
    if (!handle)
        return 0;
    for (size_t i = 0; i < countof(names); i++) {
        union {
            void *object;
            set_threads *function;
        } symbol = {.object = dlsym(handle, names[i])};
        if (symbol.object)
            remember(symbol.function);
    }
    dlclose(handle);
    return 0;
}

size_t blas_find(void)
{
    found_count = 0;
    dl_iterate_phdr(look_into, NULL);
    return found_count;
}

void blas_set_threads(int count)
{
    for (size_t i = 0; i < found_count; i++)
        found[i](count);
}
