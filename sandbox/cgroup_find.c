/* Finds our own control group in each hierarchy that is mounted. Only texts are read here, so that
 * the layouts of many machines (systemd's v2, hybrid, containers with and without a cgroup
 * namespace) are rows of a test. */
#include "sandbox/cgroup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/bytes.h"

static const struct controller {
    const char *name;
    unsigned bit;
} controllers[] = {
    {"memory", CGROUP_MEMORY},
    {"cpu", CGROUP_CPU},
    {"cpuacct", CGROUP_CPUACCT},
    {"pids", CGROUP_PIDS},
};

/* Cuts the part up to `stop` off *text, which moves behind it. Empty at the end. */
static struct bytes cut(struct bytes *text, char stop)
{
    const char *at = text->len ? memchr(text->data, stop, text->len) : NULL;
    size_t len = at ? (size_t)(at - text->data) : text->len;
    struct bytes part = {text->data, len};
    size_t passed = at ? len + 1 : len;
    *text = (struct bytes){text->data ? text->data + passed : NULL, text->len - passed};
    return part;
}

/* "rw,cpu,cpuacct" as a set. */
static unsigned set_of(struct bytes list)
{
    unsigned set = 0;
    while (list.len) {
        struct bytes word = cut(&list, ',');
        for (size_t i = 0; i < countof(controllers); i++)
            if (bytes_is(word, controllers[i].name))
                set |= controllers[i].bit;
    }
    return set;
}

/* mountinfo writes blanks in paths as \040. */
static void unescape(struct bytes from, char *out, size_t size)
{
    size_t len = 0;
    for (size_t i = 0; i < from.len && len < size - 1; i++) {
        const char *at = from.data + i;
        if (at[0] == '\\' && i + 3 < from.len) {
            out[len++] = (char)((at[1] - '0') * 64 + (at[2] - '0') * 8 + (at[3] - '0'));
            i += 3;
        } else {
            out[len++] = at[0];
        }
    }
    out[len] = '\0';
}

/* Our path in the hierarchy of version 2 (wanted 0) or in the one of version 1 with one of wanted;
 * an empty view: none. */
static struct bytes own_path(const char *self_cgroup, unsigned wanted)
{
    struct bytes text = bytes_of(self_cgroup);
    while (text.len) {
        struct bytes line = cut(&text, '\n');
        struct bytes number = cut(&line, ':');
        struct bytes list = cut(&line, ':');
        bool fits = wanted ? (set_of(list) & wanted) != 0 : list.len == 0 && bytes_is(number, "0");
        if (fits)
            return line;
    }
    return (struct bytes){0};
}

/* One line of mountinfo: "31 23 0:28 ROOT POINT rw,relatime shared:1 - TYPE source OPTIONS". */
struct mount {
    int version; /* 0: no control groups */
    unsigned controllers;
    char root[PATH_MAX], point[PATH_MAX];
};

static void mount_read(struct bytes line, struct mount *out)
{
    *out = (struct mount){0};
    for (int i = 0; i < 3; i++)
        cut(&line, ' ');
    struct bytes root = cut(&line, ' '), point = cut(&line, ' ');
    while (line.len && !bytes_is(cut(&line, ' '), "-"))
        ;
    struct bytes type = cut(&line, ' ');
    cut(&line, ' ');
    if (bytes_is(type, "cgroup2")) {
        out->version = 2;
    } else if (bytes_is(type, "cgroup")) {
        out->controllers = set_of(line);
        out->version = out->controllers ? 1 : 0;
    }
    unescape(root, out->root, sizeof out->root);
    unescape(point, out->point, sizeof out->point);
}

/* Where path, which counts from the hierarchy's root, is below the mount. A path that leaves it
 * ("/../x": another cgroup namespace) is nowhere. */
static bool join(const struct mount *m, struct bytes path, char out[PATH_MAX])
{
    size_t skip = strcmp(m->root, "/") == 0 ? 0 : strlen(m->root);
    bool below = path.len >= skip && memcmp(path.data, m->root, skip) == 0 &&
                 (path.len == skip || path.data[skip] == '/');
    if (!below || memmem(path.data, path.len, "/..", 3))
        return false;
    path = (struct bytes){path.data + skip, path.len - skip};
    while (path.len && path.data[path.len - 1] == '/')
        path.len--;
    int n = snprintf(out, PATH_MAX, "%s%.*s", m->point, (int)path.len, path.data);
    return n > 0 && n < PATH_MAX;
}

size_t cgroup_find(const char *self_cgroup, const char *mountinfo,
                   struct cgroup_place out[CGROUP_PLACES_MOST])
{
    size_t count = 0;
    unsigned found = 0;
    bool unified = false;
    struct mount *m = xmalloc(sizeof *m);
    struct bytes text = bytes_of(mountinfo);
    while (text.len && count < CGROUP_PLACES_MOST) {
        mount_read(cut(&text, '\n'), m);
        unsigned fresh = m->controllers & ~found;
        if (m->version == 0 || (m->version == 1 ? fresh == 0 : unified))
            continue;
        struct bytes path = own_path(self_cgroup, fresh);
        struct cgroup_place *place = &out[count];
        if (path.len == 0 || !join(m, path, place->path))
            continue;
        place->version = m->version;
        place->controllers = fresh;
        found |= fresh;
        unified = unified || m->version == 2;
        count++;
    }
    free(m);
    return count;
}
