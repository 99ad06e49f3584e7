/* Pages of a walk. */
#include "gateway/files/tree.h"

#include "gateway/files/walk.h"
#include "protocol/memory.h"

#define LOOK_COST 2048 /* of a usual look (glob_cost), and more than that */

struct page {
    struct listing *out;
    size_t limit, room, looks;
    char *last; /* the path of what was looked at last */
};

static void add(struct page *p, const struct walk_entry *entry)
{
    struct listing *l = p->out;
    if (l->count == p->room) {
        p->room = p->room ? 2 * p->room : 16;
        l->entries = xrealloc(l->entries, p->room * sizeof *l->entries);
    }
    entry_fill(&l->entries[l->count++], entry->dir, entry->name, entry->path,
               entry->known ? &entry->st : NULL);
}

static bool read_page(struct walk *w, const struct glob *glob, struct page *p, struct err *e)
{
    struct walk_entry entry;
    while (walk_next(w, &entry, e)) {
        struct glob_answer answer = {true, true};
        if (p->out->count == p->limit || p->looks > TREE_LOOKS_MOST) {
            p->out->next = take(&p->last);
            return true;
        }
        p->looks += 1 + (glob ? glob_cost(glob, entry.path) / LOOK_COST : 0);
        if (glob)
            answer = glob_look(glob, entry.path);
        if (answer.matches)
            add(p, &entry);
        free(p->last);
        p->last = xstrdup(entry.path);
        if (!answer.below)
            walk_skip(w);
        else if (entry.closed && entry.too_deep)
            return fail(e, 409, "%.200s: folders are more than %d deep", entry.path,
                        WALK_DEPTH_MOST);
    }
    return e->status == 0;
}

bool tree_read(int fd, const struct glob *glob, const char *after, size_t limit,
               struct listing *out, struct err *e)
{
    *out = (struct listing){.entries = xcalloc(1, sizeof *out->entries)};
    struct page p = {.out = out, .limit = limit, .room = 1};
    struct walk *w = walk_open(fd, e);
    if (w)
        walk_seek(w, after);
    bool read = w && read_page(w, glob, &p, e);
    if (!read)
        listing_free(out);
    free(p.last);
    walk_free(w);
    return read;
}
