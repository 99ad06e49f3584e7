/* The mapped file of places. Used by reader.c and the scan.
 *
 * Invariant: a slot with a name has its sequence already set, in program order, so that a process
 * killed between any two instructions leaves a sound file. */
#include "gateway/core/places.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "protocol/memory.h"

#define MAGIC 0x3143414c50435257u /* "WRCPLAC1" */

struct slot {
    char name[PLACES_NAME_LIMIT + 4]; /* "": free */
    uint64_t sequence;
    uint64_t marked_s; /* wall clock */
    uint64_t sending;  /* 0, or where the present system call brings the place */
};

struct file {
    uint64_t magic;
    uint64_t spare[15];
    struct slot slots[PLACES_LIMIT + 1];
};

struct places {
    struct file *file;
    bool held[PLACES_LIMIT + 1];
};

static bool prepare(int fd, struct err *e)
{
    struct stat st;
    uint64_t magic = 0;
    if (fstat(fd, &st) == 0 && st.st_size == (off_t)sizeof(struct file) &&
        pread(fd, &magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) && magic == MAGIC)
        return true;
    if (ftruncate(fd, 0) != 0)
        return fail_errno(e, 503, "the file of reader places cannot be cleared");
    /* reserved now: a store into a mapped hole would be a SIGBUS on a full disk */
    errno = posix_fallocate(fd, 0, (off_t)sizeof(struct file));
    if (errno != 0)
        return fail_errno(e, 503, "the file of reader places cannot be made");
    magic = MAGIC;
    return pwrite(fd, &magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) ||
           fail_errno(e, 503, "the file of reader places cannot be written");
}

struct places *places_open(const char *path, struct err *e)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        fail_errno(e, 503, "the file of reader places cannot be opened");
        return NULL;
    }
    void *map = MAP_FAILED;
    if (prepare(fd, e)) {
        map = mmap(NULL, sizeof(struct file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED)
            fail_errno(e, 503, "the file of reader places cannot be mapped");
    }
    close(fd);
    if (map == MAP_FAILED)
        return NULL;
    struct places *p = xcalloc(1, sizeof(*p));
    p->file = map;
    for (int i = 0; i <= PLACES_LIMIT; i++) /* whatever wrote it, a name ends */
        p->file->slots[i].name[sizeof(p->file->slots[i].name) - 1] = '\0';
    return p;
}

void places_close(struct places *p)
{
    if (!p)
        return;
    munmap(p->file, sizeof(*p->file));
    free(p);
}

int places_find(const struct places *p, const char *session)
{
    for (int i = 1; *session && i <= PLACES_LIMIT; i++)
        if (strcmp(p->file->slots[i].name, session) == 0)
            return i;
    return -1;
}

static int free_slot(const struct places *p)
{
    int oldest = -1;
    for (int i = 1; i <= PLACES_LIMIT; i++) {
        const struct slot *slot = &p->file->slots[i];
        if (slot->name[0] == '\0')
            return i;
        if (!p->held[i] && (oldest < 0 || slot->marked_s < p->file->slots[oldest].marked_s))
            oldest = i;
    }
    return oldest;
}

static void set(struct slot *slot, uint64_t sequence)
{
    __atomic_store_n(&slot->sequence, sequence, __ATOMIC_RELEASE);
}

int places_add(struct places *p, const char *session, uint64_t sequence)
{
    size_t len = strlen(session);
    assert(len > 0 && len <= PLACES_NAME_LIMIT);
    int i = free_slot(p);
    if (i < 0)
        return -1;
    struct slot *slot = &p->file->slots[i];
    __atomic_store_n(&slot->name[0], '\0', __ATOMIC_RELEASE);
    memcpy(slot->name + 1, session + 1, len); /* with its NUL */
    slot->marked_s = (uint64_t)time(NULL);
    slot->sending = 0;
    set(slot, sequence);
    __atomic_store_n(&slot->name[0], session[0], __ATOMIC_RELEASE);
    return i;
}

void places_hold(struct places *p, int slot, bool held)
{
    p->held[slot] = held;
    p->file->slots[slot].marked_s = (uint64_t)time(NULL);
}

uint64_t places_get(const struct places *p, int slot)
{
    const struct slot *s = &p->file->slots[slot];
    return s->sending > s->sequence ? s->sending : s->sequence;
}

void places_sending(struct places *p, int slot, uint64_t sequence)
{
    __atomic_store_n(&p->file->slots[slot].sending, sequence, __ATOMIC_RELEASE);
}

void places_mark(struct places *p, int slot, uint64_t sequence)
{
    struct slot *s = &p->file->slots[slot];
    if (sequence > s->sequence)
        set(s, sequence);
}

uint64_t places_lowest(const struct places *p)
{
    uint64_t lowest = p->file->slots[PLACES_SCAN].sequence;
    for (int i = 1; i <= PLACES_LIMIT; i++)
        if (p->file->slots[i].name[0] && p->file->slots[i].sequence < lowest)
            lowest = p->file->slots[i].sequence;
    return lowest;
}
