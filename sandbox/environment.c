/* Sealing and reading of environments. The strings of one that was read lie in one block behind the
 * array, which is overwritten when it is released. */
#include "sandbox/environment.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/bytes.h"

#define SEALS (F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_WRITE)

static bool write_all(int fd, struct bytes text)
{
    while (text.len > 0) {
        ssize_t wrote = write(fd, text.data, text.len);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return false;
        text = (struct bytes){text.data + wrote, text.len - (size_t)wrote};
    }
    return true;
}

int environment_seal(char *const *strings, struct err *e)
{
    scoped(buffer) struct buffer text = {0};
    for (char *const *at = strings; *at; at++)
        buffer_add(&text, *at, strlen(*at) + 1);
    if (text.len > ENVIRONMENT_LIMIT_BYTES) {
        fail(e, 413, "environment: longer than %d bytes", ENVIRONMENT_LIMIT_BYTES);
        return -1;
    }
    int fd = memfd_create("warmcell environment", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    bool good = fd >= 0 && write_all(fd, buffer_view(&text)) && fcntl(fd, F_ADD_SEALS, SEALS) == 0;
    if (!good)
        fail_errno(e, 503, "environment: cannot be passed on");
    if (text.data)
        explicit_bzero(text.data, text.len);
    if (good)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool read_all(int fd, char *into, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t got = pread(fd, into + at, len - at, (off_t)at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += (size_t)got;
    }
    return true;
}

/* Counts the strings; -1: one has no NUL behind it, or is not NAME=VALUE where it must be. */
static long count_strings(struct bytes text, bool named)
{
    long count = 0;
    while (text.len > 0) {
        const char *end = memchr(text.data, '\0', text.len);
        const char *equals = end ? memchr(text.data, '=', (size_t)(end - text.data)) : NULL;
        if (!end || (named && (!equals || equals == text.data)) || ++count > ENVIRONMENT_NAMES_MOST)
            return -1;
        size_t used = (size_t)(end - text.data) + 1;
        text = (struct bytes){text.data + used, text.len - used};
    }
    return count;
}

/* One block: the array, then the strings. */
static char **split(struct bytes text, bool named, struct err *e)
{
    long count = count_strings(text, named);
    if (count < 0) {
        fail(e, 400, "%s with a NUL behind each, %d at most",
             named ? "environment: must be NAME=VALUE strings" : "words: must be strings",
             ENVIRONMENT_NAMES_MOST);
        return NULL;
    }
    size_t head = ((size_t)count + 1) * sizeof(char *);
    char **strings = xmalloc(head + text.len + 1);
    char *at = (char *)strings + head;
    memcpy(at, text.data, text.len);
    for (long n = 0; n < count; n++) {
        strings[n] = at;
        at += strlen(at) + 1;
    }
    strings[count] = NULL;
    return strings;
}

static char **open_sealed(int fd, bool named, struct err *e)
{
    struct stat found;
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &found) != 0) {
        fail(e, 400, "environment: must be a sealed memory");
        return NULL;
    }
    if (found.st_size > ENVIRONMENT_LIMIT_BYTES) {
        fail(e, 413, "environment: longer than %d bytes", ENVIRONMENT_LIMIT_BYTES);
        return NULL;
    }
    size_t len = (size_t)found.st_size;
    char *text = xmalloc(len + 1);
    char **strings = NULL;
    if (read_all(fd, text, len))
        strings = split((struct bytes){text, len}, named, e);
    else
        fail_errno(e, 400, "environment: cannot be read");
    explicit_bzero(text, len);
    free(text);
    return strings;
}

char **environment_open(int fd, struct err *e)
{
    return open_sealed(fd, true, e);
}

char **environment_open_words(int fd, struct err *e)
{
    return open_sealed(fd, false, e);
}

void environment_free(char **strings)
{
    if (!strings)
        return;
    for (char **at = strings; *at; at++)
        explicit_bzero(*at, strlen(*at));
    free(strings);
}

static bool has_name(char *const *strings, const char *added)
{
    size_t len = strcspn(added, "=") + 1;
    for (; *strings; strings++)
        if (strncmp(*strings, added, len) == 0)
            return true;
    return false;
}

bool environment_extend(int *fd, const char *const *added, struct err *e)
{
    char **before = environment_open(*fd, e);
    close(*fd);
    *fd = -1;
    if (!before)
        return false;
    size_t count = 0, more = 0;
    while (before[count])
        count++;
    while (added[more])
        more++;
    const char **all = xcalloc(count + more + 1, sizeof *all);
    memcpy(all, before, count * sizeof *all);
    for (size_t n = 0; n < more; n++)
        if (!has_name(before, added[n]))
            all[count++] = added[n];
    *fd = environment_seal((char *const *)all, e);
    free(all);
    environment_free(before);
    return *fd >= 0;
}
