/* The rows come from the store in pages, the bytes from their files on libuv's threads: memory is
 * bounded by one page of rows and one piece.
 *
 * Invariant: at most one step (a page, or a piece) is under way, busy; freed only when none is. */
#include "gateway/core/artifact_tar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/core/media_type.h"
#include "gateway/core/state.h"
#include "gateway/files/tar.h"
#include "protocol/json.h"
#include "protocol/utf8.h"

#define PAGE      100
#define NAME_MOST 120 /* bytes of a name, behind its number */

struct entry {
    char *name, *file; /* owned: what it is called, without its number; where its bytes are */
    time_t made;
};

struct artifact_tar {
    uv_work_t work;
    struct core *core;
    struct principal who;
    struct artifact_query query; /* its texts are owned */
    struct entry page[PAGE];
    size_t at, count;
    bool more;     /* there is a page behind it */
    size_t number; /* of those that are in */
    int fd;        /* of the one that is being read; -1: none */
    int64_t size, left;
    struct buffer piece;
    bool busy, freed, last;
    struct err why;
    void (*done)(void *user, struct bytes piece, bool last, const struct err *e);
    void *user;
};

static void own_texts(struct artifact_query *q, bool own)
{
    const char **texts[] = {&q->id,         &q->kernel_id, &q->sandbox_id, &q->execution_id,
                            &q->command_id, &q->mime_type, &q->principal};
    for (size_t i = 0; i < countof(texts); i++)
        if (own)
            *texts[i] = *texts[i] ? xstrdup(*texts[i]) : NULL;
        else
            free((char *)*texts[i]);
}

struct artifact_tar *artifact_tar_open(struct core *c, const struct principal *who,
                                       const struct artifact_query *query)
{
    struct artifact_tar *t = xcalloc(1, sizeof(*t));
    t->core = c;
    t->who = *who;
    t->query = *query;
    own_texts(&t->query, true);
    t->query.after = 0;
    t->query.limit = PAGE;
    t->more = true;
    t->fd = -1;
    return t;
}

static void clear_page(struct artifact_tar *t)
{
    for (size_t i = 0; i < t->count; i++) {
        free(t->page[i].name);
        free(t->page[i].file);
    }
    t->at = t->count = 0;
}

void artifact_tar_free(struct artifact_tar *t)
{
    t->freed = true;
    if (t->busy)
        return;
    clear_page(t);
    own_texts(&t->query, false);
    buffer_free(&t->piece);
    if (t->fd >= 0)
        close(t->fd);
    free(t);
}

/* --- names */

/* The last part of its path with nothing in it that a shell or a terminal would take amiss. */
static char *name_of(const struct artifact *a)
{
    scoped(buffer) struct buffer name = {0};
    const char *slash = a->path ? strrchr(a->path, '/') : NULL;
    if (a->path)
        utf8_clean(&name, bytes_of(slash ? slash + 1 : a->path));
    else
        buffer_printf(&name, "display%s", media_type_ending(a->mime_type));
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.data[i] < ' ' || strchr("\\/\"'`$*?<>|:\177", name.data[i]))
            name.data[i] = '_';
    size_t len = name.len < NAME_MOST ? name.len : NAME_MOST;
    while (len && len < name.len && ((unsigned char)name.data[len] & 0xc0) == 0x80)
        len--; /* not in the middle of a character */
    return xstrndup(name.data, len);
}

/* --- the steps */

static void tell(struct artifact_tar *t)
{
    t->busy = false;
    if (t->freed) {
        artifact_tar_free(t);
        return;
    }
    t->done(t->user, buffer_view(&t->piece), t->last, t->why.status ? &t->why : NULL);
}

static bool begin_entry(struct artifact_tar *t, const struct entry *entry)
{
    struct stat st;
    int fd = open(entry->file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return true; /* it was forgotten meanwhile */
    if (fd < 0 || fstat(fd, &st) != 0) {
        if (fd >= 0)
            close(fd);
        return fail_errno(&t->why, 503, "an artifact cannot be read");
    }
    scoped(string) char *path = xasprintf("%06zu-%s", ++t->number, entry->name);
    const struct tar_entry head = {.kind = TAR_FILE,
                                   .path = path,
                                   .mode = 0644,
                                   .modified = {.tv_sec = entry->made},
                                   .size_bytes = st.st_size};
    tar_add_header(&t->piece, &head);
    t->fd = fd;
    t->size = t->left = st.st_size;
    return true;
}

static bool read_more(struct artifact_tar *t)
{
    size_t room = ARTIFACT_TAR_BYTES - t->piece.len;
    size_t want = (int64_t)room < t->left ? room : (size_t)t->left;
    ssize_t got = want ? read(t->fd, buffer_reserve(&t->piece, want), want) : 0;
    if (got < 0 && errno == EINTR)
        return true;
    if (got < 0 || (want && got == 0))
        return fail(&t->why, 503, "an artifact cannot be read");
    t->piece.len += (size_t)got;
    t->left -= got;
    if (t->left == 0) {
        tar_add_padding(&t->piece, t->size);
        close(t->fd);
        t->fd = -1;
    }
    return true;
}

static void on_work(uv_work_t *work)
{
    struct artifact_tar *t = work->data;
    bool ok = true;
    while (ok && t->piece.len < ARTIFACT_TAR_BYTES && (t->fd >= 0 || t->at < t->count))
        ok = t->fd >= 0 ? read_more(t) : begin_entry(t, &t->page[t->at++]);
    if (ok && t->fd < 0 && t->at == t->count && !t->more) {
        tar_add_end(&t->piece);
        t->last = true;
    }
}

static void on_worked(uv_work_t *work, int status)
{
    struct artifact_tar *t = work->data;
    struct core *c = t->core;
    (void)status;
    tell(t); /* may free it */
    core_handle_closed(c);
}

static void work_on(struct artifact_tar *t)
{
    t->work.data = t;
    t->core->open_handles++;
    uv_queue_work(t->core->loop, &t->work, on_work, on_worked);
}

static void on_page(void *user, const struct artifact *list, size_t count, const struct err *e)
{
    struct artifact_tar *t = user;
    if (e || t->freed) {
        t->why = e ? *e : t->why;
        tell(t);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        t->query.after = list[i].position;
        if (!list[i].sha256[0])
            continue;
        scoped(json) json_t *created = json_string(list[i].created);
        t->page[t->count++] = (struct entry){name_of(&list[i]), artifact_path(t->core, &list[i]),
                                             core_time_of(created).tv_sec};
    }
    t->more = count == PAGE;
    work_on(t);
}

void artifact_tar_next(struct artifact_tar *t,
                       void (*done)(void *user, struct bytes piece, bool last, const struct err *e),
                       void *user)
{
    t->done = done;
    t->user = user;
    t->busy = true;
    buffer_clear(&t->piece);
    if (t->fd < 0 && t->at == t->count && t->more) {
        clear_page(t);
        artifacts_list(t->core, &t->who, &t->query, on_page, t);
    } else {
        work_on(t);
    }
}
