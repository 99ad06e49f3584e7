/* libR at run time. */
#include "kernel/r/api.h"

#include <dlfcn.h>
#include <string.h>

#include "protocol/memory.h"

struct place {
    const char *name;
    size_t offset;
};

#define R_FUNCTION(result, name, arguments) {#name, offsetof(struct r_api, name)},
#define R_VARIABLE(type, name)              {#name, offsetof(struct r_api, name)},
static const struct place places[] = {R_FUNCTIONS(R_FUNCTION) R_VARIABLES(R_VARIABLE)};

bool r_load(struct r_api *api, struct err *e)
{
    const char *home = getenv("R_HOME");
    scoped(string) char *path = xasprintf("%s/lib/libR.so", home ? home : "");
    void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (!library)
        return fail(e, 503, "R cannot be loaded as a library: %s; Debian's r-base-core has it",
                    dlerror());
    for (size_t i = 0; i < countof(places); i++) {
        void *found = dlsym(library, places[i].name);
        if (!found)
            return fail(e, 503, "%s has no %s: R 4 or newer is needed", path, places[i].name);
        memcpy((char *)api + places[i].offset, &found, sizeof found);
    }
    return true;
}
