/* Keeps the smallest names while a folder is read, in whatever order the system tells them. */
#include "gateway/files/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/memory.h"

void names_free(struct names *n)
{
    for (size_t i = 0; i < n->count; i++)
        free(n->name[i]);
    free(n->name);
    *n = (struct names){0};
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void keep_smallest(struct names *n, size_t limit)
{
    qsort(n->name, n->count, sizeof *n->name, by_bytes);
    n->more = n->more || n->count > limit;
    while (n->count > limit)
        free(n->name[--n->count]);
}

bool names_read(DIR *folder, const char *after, size_t limit, struct names *out)
{
    struct dirent *entry;
    size_t room = 0;
    *out = (struct names){0};
    rewinddir(folder);
    while ((errno = 0, entry = readdir(folder))) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, after) <= 0)
            continue;
        if (out->count == room) {
            room = room ? 2 * room : 16;
            room = room < 2 * limit ? room : 2 * limit;
            out->name = xrealloc(out->name, room * sizeof *out->name);
        }
        out->name[out->count++] = xstrdup(name);
        if (out->count == 2 * limit)
            keep_smallest(out, limit);
    }
    int error = errno;
    if (out->count)
        keep_smallest(out, limit);
    errno = error;
    return error == 0;
}
