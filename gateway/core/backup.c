/* The copy of the database is taken first and stands first in the tar: whatever is added while the
 * rest is read, all that its rows name is there. Logs may end in the middle of a record; the
 * gateway that is started on the copy repairs them, as after a power cut: the copy has no "boot".
 */
#include "gateway/core/backup.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/core/state.h"
#include "gateway/files/pack.h"
#include "gateway/store/database.h"
#include "gateway/store/store.h"
#include "protocol/ids.h"

#define PIECE_BYTES (512 * 1024)
#define COPY_PREFIX "backup-"

struct backup {
    uv_work_t work;
    struct core *core;
    char *copy; /* the name of the copied database */
    struct pack *pack;
    struct buffer piece;
    struct err why;
    bool last;
    bool busy; /* a piece is being made */
    bool left; /* by its owner, meanwhile */
    union {
        void (*opened)(void *user, struct backup *b, const struct err *e);
        void (*next)(void *user, struct bytes piece, bool last, const struct err *e);
    } done;
    void *user;
};

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* What is of this gateway and this boot alone. */
static const char *choose(void *user, const char *path)
{
    static const char *const own[] = {"warmcell.db", "state.lock", "boot",
                                      COPY_PREFIX,   "blobs/tmp/", "lock"};
    const struct backup *b = user;
    const char *name = strrchr(path, '/');
    if (strcmp(path, b->copy) == 0)
        return "warmcell.db";
    for (size_t i = 0; i < countof(own); i++)
        if (begins(path, own[i]))
            return NULL;
    return begins(path, "logs/") && name && strcmp(name, "/places") == 0 ? NULL : path;
}

static char *copy_path(const struct backup *b)
{
    return xasprintf("%s/%s", store_dir(b->core->store), b->copy);
}

static void open_it(uv_work_t *work)
{
    struct backup *b = work->data;
    scoped(string) char *copy = copy_path(b);
    const char *state_dir = store_dir(b->core->store);
    int root = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        fail_errno(&b->why, 503, "the state folder cannot be read");
    else if (database_copy(state_dir, copy, &b->why))
        b->pack = pack_open(root, "", false, &b->why);
    if (b->pack) {
        pack_choose(b->pack, choose, b);
        pack_keep(b->pack);
    }
    if (root >= 0)
        close(root);
}

static void remove_it(struct backup *b)
{
    scoped(string) char *copy = copy_path(b);
    struct core *c = b->core;
    unlink(copy);
    pack_free(b->pack);
    buffer_free(&b->piece);
    free(b->copy);
    free(b);
    core_handle_closed(c);
}

void backup_free(struct backup *b)
{
    b->left = true;
    if (!b->busy)
        remove_it(b);
}

static void on_open(uv_work_t *work, int status)
{
    struct backup *b = work->data;
    (void)status;
    b->busy = false;
    if (b->pack) {
        b->done.opened(b->user, b, NULL); /* may free it */
        return;
    }
    b->done.opened(b->user, NULL, &b->why);
    remove_it(b);
}

void backup_open(struct core *c, void (*done)(void *user, struct backup *b, const struct err *e),
                 void *user)
{
    char id[UUID_TEXT];
    struct backup *b = xcalloc(1, sizeof *b);
    uuid_make(id);
    b->work.data = b;
    b->core = c;
    b->copy = xasprintf(COPY_PREFIX "%s.db", id);
    b->busy = true;
    b->done.opened = done;
    b->user = user;
    c->open_handles++;
    uv_queue_work(c->loop, &b->work, open_it, on_open);
}

static void read_it(uv_work_t *work)
{
    struct backup *b = work->data;
    buffer_clear(&b->piece);
    pack_read(b->pack, &b->piece, PIECE_BYTES, &b->last, &b->why);
}

static void on_read(uv_work_t *work, int status)
{
    struct backup *b = work->data;
    (void)status;
    b->busy = false;
    if (b->left)
        remove_it(b);
    else
        b->done.next(b->user, buffer_view(&b->piece), b->last, b->why.status ? &b->why : NULL);
}

void backup_next(struct backup *b,
                 void (*done)(void *user, struct bytes piece, bool last, const struct err *e),
                 void *user)
{
    b->busy = true;
    b->why = (struct err){0};
    b->done.next = done;
    b->user = user;
    uv_queue_work(b->core->loop, &b->work, read_it, on_read);
}

void backup_clear(const char *state_dir)
{
    DIR *handle = opendir(state_dir);
    struct dirent *entry;
    while (handle && (entry = readdir(handle)))
        if (begins(entry->d_name, COPY_PREFIX))
            unlinkat(dirfd(handle), entry->d_name, 0);
    if (handle)
        closedir(handle);
}
