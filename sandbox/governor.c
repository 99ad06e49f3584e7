/* The control groups that this machine lends a keeper: finds our own cgroup in each hierarchy,
 * makes warmcell/NAME below it and holds it by descriptor and lock, so that everything goes on
 * working in another mount namespace and two keepers never share a folder.
 *
 * What keepers left that were killed, whatever their name, is killed and removed here: their locks
 * are gone. */
#include "sandbox/governor.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "protocol/ids.h"
#include "protocol/memory.h"

#define NAMES_MOST      8 /* keepers of one name at once */
#define LEFTOVER_MS     2000
#define MOUNTINFO_BYTES (4u * 1024 * 1024)

bool governor_name_valid(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > GOVERNOR_NAME_MOST || name[0] == '.')
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("-_.", name[i]))
            return false;
    return true;
}

__attribute__((format(printf, 2, 3))) static void lacks(struct governor *g, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_array_append_new(g->missing, json_string(text));
}

/* --- groups that go */

/* Those with the pids controller first: there a fork can be forbidden before the killing. */
static void kill_group(struct governor *g, const char *id)
{
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < g->count; i++) {
            struct hierarchy *h = &g->hierarchies[i];
            if (((h->controllers & CGROUP_PIDS) != 0) != (pass == 0))
                continue;
            int group = openat(h->base, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
            if (group < 0)
                continue;
            h->kind->kill(group);
            close(group);
        }
    }
}

static bool remove_group(struct governor *g, const char *id)
{
    bool gone = true;
    for (size_t i = 0; i < g->count; i++)
        if (unlinkat(g->hierarchies[i].base, id, AT_REMOVEDIR) != 0 && errno != ENOENT)
            gone = false;
    return gone;
}

void governor_remove(struct governor *g, const char *id)
{
    if (remove_group(g, id))
        return;
    kill_group(g, id);
    if (remove_group(g, id))
        return;
    struct leaving *l = xcalloc(1, sizeof *l);
    snprintf(l->id, sizeof l->id, "%s", id);
    l->next = g->leaving;
    g->leaving = l;
}

void governor_sweep(struct governor *g)
{
    for (struct leaving **at = &g->leaving; *at;) {
        struct leaving *l = *at;
        if (remove_group(g, l->id)) {
            *at = l->next;
            free(l);
        } else {
            kill_group(g, l->id);
            at = &l->next;
        }
    }
}

bool governor_remove_now(struct governor *g, const char *id, int wait_ms)
{
    int64_t until = monotonic_ms() + wait_ms;
    while (!remove_group(g, id)) {
        if (monotonic_ms() >= until)
            return false;
        kill_group(g, id);
        /* version 1 tells nobody when a group is empty */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return true;
}

/* Empties a folder of groups, and says what cannot be removed. */
static void empty_base(struct governor *g, const struct hierarchy *h, int base)
{
    int again = openat(base, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = again < 0 ? NULL : fdopendir(again);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        int64_t until = monotonic_ms() + LEFTOVER_MS;
        if (entry->d_type != DT_DIR || !governor_name_valid(entry->d_name))
            continue;
        while (unlinkat(base, entry->d_name, AT_REMOVEDIR) != 0 && errno == EBUSY &&
               monotonic_ms() < until) {
            int group = openat(base, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            if (group >= 0) {
                h->kind->kill(group);
                close(group);
            }
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        }
        if (faccessat(base, entry->d_name, F_OK, 0) == 0)
            lacks(g, "the control group %s of an earlier keeper cannot be removed", entry->d_name);
    }
    if (dir)
        closedir(dir);
}

/* What keepers that were killed have left: every folder beside ours that nobody holds locked, and
 * what is in ours from before. */
static void remove_leftovers(struct governor *g, const struct hierarchy *h)
{
    int folder = openat(h->own, GOVERNOR_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = folder < 0 ? NULL : fdopendir(folder);
    struct dirent *entry;
    empty_base(g, h, h->base);
    while (dir && (entry = readdir(dir))) {
        if (entry->d_type != DT_DIR || !governor_name_valid(entry->d_name) ||
            strcmp(entry->d_name, g->name) == 0)
            continue;
        int base = openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (base >= 0 && flock(base, LOCK_EX | LOCK_NB) == 0) {
            empty_base(g, h, base);
            unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
        }
        if (base >= 0)
            close(base);
    }
    if (dir)
        closedir(dir);
}

/* --- opening */

static int make_folder(int parent, const char *name)
{
    if (mkdirat(parent, name, 0755) != 0 && errno != EEXIST)
        return -1;
    return openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

/* Opened and locked, and still the folder of that name: another keeper takes one that nobody holds
 * for a leftover, and removes it. */
static int lock_folder(int parent, const char *name)
{
    struct stat held, named;
    int base = make_folder(parent, name);
    if (base >= 0 && flock(base, LOCK_EX | LOCK_NB) == 0 && fstat(base, &held) == 0 &&
        fstatat(parent, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && held.st_ino == named.st_ino)
        return base;
    if (base >= 0)
        close(base);
    return -1;
}

/* warmcell/NAME in folder, locked; a name that another keeper holds becomes NAME.2 and so on: the
 * first hierarchy decides for all. */
static int make_locked(struct governor *g, int folder)
{
    size_t len = strlen(g->name);
    int base = -1;
    for (int n = 2; n <= NAMES_MOST + 1 && base < 0; n++) {
        base = lock_folder(folder, g->name);
        if (base < 0 && g->count == 0)
            snprintf(g->name + len, sizeof g->name - len, ".%d", n);
        else if (base < 0)
            nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    return base;
}

static int make_base(struct governor *g, const struct hierarchy *h, struct err *e)
{
    int base = -1;
    /* again when another keeper, the last of its kind, removes the folder in between */
    for (int attempt = 0; base < 0 && attempt < 4; attempt++) {
        int folder = make_folder(h->own, GOVERNOR_FOLDER);
        if (folder < 0)
            continue;
        if (h->kind->pass_on(folder, h->controllers, e))
            base = make_locked(g, folder);
        close(folder);
    }
    if (base < 0 && !e->status)
        fail_errno(e, 503, "no control group can be made below our own");
    return base;
}

/* A group of our own for a try: which controllers its files show, and it goes again. */
static unsigned probe(const struct hierarchy *h)
{
    static const char name[] = "probe";
    int group = make_folder(h->base, name);
    if (group < 0)
        return 0;
    unsigned set = h->kind->has(group, h->controllers);
    close(group);
    unlinkat(h->base, name, AT_REMOVEDIR);
    return set;
}

/* Our own cgroup; in version 2 the folder above the leaf into which an earlier keeper moved us. */
static int open_own(const struct cgroup_place *place)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", place->path);
    size_t len = strlen(path), leaf = strlen("/" GOVERNOR_LEAF);
    if (place->version == 2 && len > leaf && strcmp(path + len - leaf, "/" GOVERNOR_LEAF) == 0)
        path[len - leaf] = '\0';
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void add(struct governor *g, const struct cgroup_place *place)
{
    struct err e = {0};
    struct hierarchy h = {.kind = place->version == 2 ? &cgroup_v2 : &cgroup_v1, .base = -1};
    unsigned wanted = place->version == 2 ? CGROUP_ALL : place->controllers;
    wanted &= ~g->controllers;
    h.own = wanted ? open_own(place) : -1;
    if (h.own < 0)
        return;
    h.controllers = h.kind->lend(h.own, wanted, &e);
    if (h.controllers && (h.base = make_base(g, &h, &e)) >= 0 &&
        h.kind->pass_on(h.base, h.controllers, &e) && (h.controllers = probe(&h))) {
        g->controllers |= h.controllers;
        g->hierarchies[g->count++] = h;
        return;
    }
    if (e.status)
        lacks(g, "%s (%s)", e.text, place->path);
    if (h.base >= 0)
        close(h.base);
    close(h.own);
}

static void say_missing(struct governor *g)
{
    static const struct {
        unsigned bit;
        const char *text;
    } rows[] = {
        {CGROUP_MEMORY, "memory: no control group; counted by the keeper instead"},
        {CGROUP_CPU, "cpus: no control group; CPU time is not limited"},
        {CGROUP_PIDS, "processes: no control group; limited by RLIMIT_NPROC instead"},
    };
    size_t before = json_array_size(g->missing);
    for (size_t i = 0; i < countof(rows); i++)
        if (!(g->controllers & rows[i].bit))
            lacks(g, "%s", rows[i].text);
    if (json_array_size(g->missing) > before)
        lacks(g, "for control groups start warmcell as the systemd unit warmcell.service, or with "
                 "systemd-run --user --scope -p Delegate=yes");
}

struct governor *governor_open_from(const char *name, const char *delegated,
                                    const char *self_cgroup, const char *mountinfo)
{
    struct governor *g = xcalloc(1, sizeof *g);
    g->missing = json_array();
    struct cgroup_place places[CGROUP_PLACES_MOST];
    size_t count = cgroup_find(self_cgroup, mountinfo, places);
    if (!governor_name_valid(name)) {
        lacks(g, "\"%.80s\" cannot be the name of a control group", name);
        return g;
    }
    snprintf(g->name, sizeof g->name, "%s", name);
    if (delegated) {
        struct cgroup_place given = {.version = 2};
        snprintf(given.path, sizeof given.path, "%s", delegated);
        add(g, &given);
    }
    /* version 2 first: what it has, version 1 cannot have */
    for (int version = 2; version >= 1; version--)
        for (size_t i = 0; i < count; i++)
            if (places[i].version == version && g->count < CGROUP_PLACES_MOST &&
                !(delegated && version == 2))
                add(g, &places[i]);
    for (size_t i = 0; i < g->count; i++)
        remove_leftovers(g, &g->hierarchies[i]);
    say_missing(g);
    return g;
}

/* The whole of a file of /proc; given. */
static char *text_of(const char *path, size_t most)
{
    char *text = xmalloc(most + 1);
    int fd = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    text[0] = '\0';
    if (fd >= 0) {
        cgroup_read(fd, path, text, most);
        close(fd);
    }
    return text;
}

struct governor *governor_open(const char *name, const char *delegated)
{
    scoped(string) char *self_cgroup = text_of("cgroup", 64 * 1024);
    scoped(string) char *mountinfo = text_of("mountinfo", MOUNTINFO_BYTES);
    return governor_open_from(name, delegated, self_cgroup, mountinfo);
}

json_t *governor_prospect(void)
{
    struct cgroup_place places[CGROUP_PLACES_MOST];
    scoped(string) char *self_cgroup = text_of("cgroup", 64 * 1024);
    scoped(string) char *mountinfo = text_of("mountinfo", MOUNTINFO_BYTES);
    size_t count = cgroup_find(self_cgroup, mountinfo, places);
    unsigned set = 0;
    for (size_t i = 0; i < count; i++) {
        bool second = places[i].version == 2;
        int own = open_own(&places[i]);
        if (own < 0)
            continue;
        set |= (second ? &cgroup_v2 : &cgroup_v1)
                   ->offers(own, second ? CGROUP_ALL : places[i].controllers);
        close(own);
    }
    return json_pack("{s:b, s:b, s:b}", "memory", (set & CGROUP_MEMORY) != 0, "cpus",
                     (set & CGROUP_CPU) != 0, "processes", (set & CGROUP_PIDS) != 0);
}

void governor_free(struct governor *g)
{
    if (!g)
        return;
    while (g->leaving) {
        struct leaving *l = g->leaving;
        g->leaving = l->next;
        governor_remove_now(g, l->id, LEFTOVER_MS);
        free(l);
    }
    for (size_t i = 0; i < g->count; i++) {
        struct hierarchy *h = &g->hierarchies[i];
        int folder = openat(h->own, GOVERNOR_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (folder >= 0) {
            unlinkat(folder, g->name, AT_REMOVEDIR);
            close(folder);
        }
        unlinkat(h->own, GOVERNOR_FOLDER, AT_REMOVEDIR); /* stays while others use it */
        close(h->base);
        close(h->own);
    }
    json_decref(g->missing);
    free(g);
}

json_t *governor_report(const struct governor *g)
{
    bool v1 = false, v2 = false;
    for (size_t i = 0; i < g->count; i++)
        *(g->hierarchies[i].kind == &cgroup_v2 ? &v2 : &v1) = true;
    return json_pack("{s:s, s:O}", "cgroup",
                     v1 && v2 ? "v1+v2"
                     : v2     ? "v2"
                     : v1     ? "v1"
                              : "none",
                     "missing", g->missing);
}
