#include "gateway/launch/toolchain.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/place.h"
#include "protocol/memory.h"

/* Of the PATH inside (core/context.c) what is the machine's. */
#define SANDBOX_PATH "/usr/local/bin:/usr/bin:/bin"

static const struct toolchain rows[] = {
    {"cpp", "C++", "g++", "g++", "text/x-c++src", ".cpp"},
    {"go", "Go", "go", "golang-go", "text/x-go", ".go"},
    {"java", "Java", "javac", "default-jdk-headless", "text/x-java", ".java"},
    {"ruby", "Ruby", "ruby", "ruby", "text/x-ruby", ".rb"},
};

const struct toolchain *toolchain_at(size_t index)
{
    return index < countof(rows) ? &rows[index] : NULL;
}

const struct toolchain *toolchain_find(const char *name)
{
    for (size_t i = 0; i < countof(rows); i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

bool toolchain_is_there(const struct toolchain *t)
{
    scoped(string) char *found = place_in(SANDBOX_PATH, t->program);
    return *found != '\0';
}
