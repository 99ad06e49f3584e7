/* See late.h. Invariant: a pointer is set only when all of the library's are found. */
#include "kernel/host/late.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/host/report.h"

void late_load(const char *library, const struct late_call *calls, size_t count)
{
    void *loaded = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!loaded) {
        report("%s", dlerror());
        exit(1);
    }
    for (size_t i = 0; i < count; i++) {
        void *found = dlsym(loaded, calls[i].name);
        if (!found) {
            report("%s is too old: it has no %s", library, calls[i].name);
            exit(1);
        }
        memcpy(calls[i].place, &found, sizeof found);
    }
}
