/* Input goes through zlib, if it is gzip, and the reader of tars; each file of it is an upload
 * (upload.h) in the folder that it belongs to, which is held open while its neighbours come.
 *
 * Invariant: `plain` is empty before more of the input is inflated. */
#include "gateway/files/unpack.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "gateway/files/change.h"
#include "gateway/files/path.h"
#include "gateway/files/tar.h"
#include "gateway/files/upload.h"
#include "protocol/memory.h"

#define PLAIN_BYTES (256 * 1024)
#define STEP_PLAIN  (64 * 1024 * 1024) /* inflated in one step */
#define BLOCK       4096               /* of a file on the disk */

struct unpack {
    int folder;              /* -1: nothing is put there */
    struct touched *touched; /* borrowed; NULL: nobody asks */
    struct tar_reader *reader;
    struct tar_entry entry;
    struct unpack_result result;
    /* where neighbours go */
    int parent;        /* -1: none */
    char *parent_path; /* owned */
    /* the file that comes */
    struct upload *upload; /* NULL: none */
    struct upload_plan plan;
    /* gzip */
    enum { UNDECIDED, PLAIN, GZIP, GZIP_ENDED } form;
    z_stream zip;
    char *buffer; /* PLAIN_BYTES */
    struct bytes plain;
    char head[2]; /* the first bytes, until the form is known */
    size_t head_len;
};

struct unpack *unpack_open(int root, const char *path, int64_t file_limit_bytes, struct room *room,
                           struct touched *t, struct err *e)
{
    const char *name;
    size_t made = 0;
    scoped(string) char *inside = xasprintf("%s/.", path); /* its parent is the folder itself */
    int fd = path_open_parent(root, *path ? inside : ".", true, &name, &made, e);
    if (fd < 0)
        return NULL;
    struct unpack *u = xcalloc(1, sizeof *u);
    u->folder = fd;
    u->touched = t;
    u->parent = -1;
    u->reader = tar_reader_new(file_limit_bytes);
    if (made)
        touched_folder(t, root, path, made);
    if (room_take(room, 0, (int64_t)made, e))
        return u;
    unpack_free(u);
    return NULL;
}

struct unpack *unpack_look(int64_t file_limit_bytes)
{
    struct unpack *u = xcalloc(1, sizeof *u);
    u->folder = u->parent = -1;
    u->reader = tar_reader_new(file_limit_bytes);
    return u;
}

void unpack_skip_links(struct unpack *u,
                       void (*skip)(void *user, const char *path, const char *target), void *user)
{
    tar_reader_skip_links(u->reader, skip, user);
}

static void end_file(struct unpack *u)
{
    upload_free(u->upload);
    u->upload = NULL;
    upload_plan_free(&u->plan);
}

static void leave_parent(struct unpack *u)
{
    if (u->parent >= 0)
        close(u->parent);
    u->parent = -1;
    free(u->parent_path);
    u->parent_path = NULL;
}

void unpack_free(struct unpack *u)
{
    if (!u)
        return;
    end_file(u);
    leave_parent(u);
    tar_reader_free(u->reader);
    if (u->form >= GZIP)
        inflateEnd(&u->zip);
    free(u->buffer);
    if (u->folder >= 0)
        close(u->folder);
    free(u);
}

/* --- entries */

/* Opens the folder that the entry lies in; *name is the last part of its path. */
static bool enter_parent(struct unpack *u, const char *path, const char **name, struct room *room,
                         struct err *e)
{
    const char *slash = strrchr(path, '/');
    scoped(string) char *parent = xstrndup(path, slash ? (size_t)(slash - path) : 0);
    size_t made;
    *name = slash ? slash + 1 : path;
    if (u->parent >= 0 && strcmp(parent, u->parent_path) == 0)
        return true;
    leave_parent(u);
    u->parent = path_make_plain(u->folder, parent, &made, e);
    if (u->parent >= 0 && made)
        touched_folder(u->touched, u->folder, parent, made);
    u->parent_path = take(&parent);
    return u->parent >= 0 && room_take(room, 0, (int64_t)made, e);
}

static bool begin_file(struct unpack *u, struct room *room, struct err *e)
{
    const char *name;
    size_t made;
    if (!enter_parent(u, u->entry.path, &name, room, e) || !room_take(room, 0, 1, e))
        return false;
    u->plan = (struct upload_plan){
        .path = xstrdup(name),
        .mode = (int)u->entry.mode,
        .dated = true,
        .modified = u->entry.modified,
    };
    u->upload = upload_open(u->parent, &u->plan, &made, e);
    return u->upload != NULL;
}

static bool complete_file(struct unpack *u, struct room *room, struct err *e)
{
    struct upload_result result;
    bool ok = room_take(room, -u->entry.size_bytes & (BLOCK - 1), 0, e) &&
              (u->folder < 0 || upload_commit(u->upload, &result, e));
    if (ok && u->folder >= 0)
        upload_touched(u->upload, u->parent, 0, u->touched);
    end_file(u);
    u->result.files += ok;
    u->result.bytes += ok ? u->entry.size_bytes : 0;
    return ok;
}

/* Its owner can always go on writing in it. */
static bool make_folder(struct unpack *u, struct room *room, struct err *e)
{
    size_t made;
    leave_parent(u); /* it may be this one's, which nothing keeps from being moved */
    int fd = path_make_plain(u->folder, u->entry.path, &made, e);
    if (fd < 0)
        return false;
    if (made)
        fchmod(fd, u->entry.mode | S_IRWXU);
    close(fd);
    if (made)
        touched_folder(u->touched, u->folder, u->entry.path, made);
    u->result.folders++;
    return room_take(room, 0, (int64_t)made, e);
}

static bool make_link(struct unpack *u, struct room *room, struct err *e)
{
    const char *name;
    size_t made;
    if (!enter_parent(u, u->entry.path, &name, room, e) || !room_take(room, 0, 1, e) ||
        !change_make_link(u->parent, name, u->entry.target, true, &made, e))
        return false;
    touched_at(u->touched, u->parent);
    u->result.symlinks++;
    return true;
}

static bool look_at(struct unpack *u, struct room *room, struct err *e)
{
    u->result.folders += u->entry.kind == TAR_FOLDER;
    u->result.symlinks += u->entry.kind == TAR_SYMLINK;
    return room_take(room, 0, 1, e);
}

static bool put_entry(struct unpack *u, struct room *room, struct err *e)
{
    if (u->folder < 0)
        return look_at(u, room, e);
    switch (u->entry.kind) {
    case TAR_FILE:
        return begin_file(u, room, e);
    case TAR_FOLDER:
        return make_folder(u, room, e);
    case TAR_SYMLINK:
        return make_link(u, room, e);
    }
    return false;
}

static bool put_data(struct unpack *u, struct bytes data, struct room *room, struct err *e)
{
    return room_take(room, (int64_t)data.len, 0, e) &&
           (u->folder < 0 || upload_write(u->upload, data, e));
}

/* Says of what failed which entry it was, unless it does already. */
static bool name_entry(const struct unpack *u, bool ok, struct err *e)
{
    if (ok)
        return true;
    struct err why = *e;
    return fail(e, why.status, "tar: %.150s: %s", u->entry.path, why.text);
}

/* Goes through tar bytes; false: refused. Stops with bytes left where the room is used. */
static bool read_tar(struct unpack *u, struct bytes *tar, struct room *room, struct err *e)
{
    struct bytes data;
    while (!room_is_used(room)) {
        switch (tar_reader_next(u->reader, tar, &u->entry, &data, e)) {
        case TAR_NEEDS:
            return true;
        case TAR_ENTRY:
            if (!name_entry(u, put_entry(u, room, e), e))
                return false;
            break;
        case TAR_DATA:
            if (!name_entry(u, put_data(u, data, room, e), e))
                return false;
            break;
        case TAR_COMPLETE:
            if (!name_entry(u, complete_file(u, room, e), e))
                return false;
            break;
        case TAR_REFUSED:
            return false;
        }
    }
    return true;
}

/* --- gzip */

static bool decide(struct unpack *u, struct bytes *input)
{
    while (input->len && u->head_len < sizeof u->head) {
        u->head[u->head_len++] = *input->data++;
        input->len--;
    }
    if (u->head_len < sizeof u->head)
        return false;
    u->form = memcmp(u->head, "\x1f\x8b", 2) == 0 ? GZIP : PLAIN;
    u->buffer = xmalloc(PLAIN_BYTES);
    if (u->form == GZIP)
        inflateInit2(&u->zip, 16 + MAX_WBITS); /* 16: gzip alone */
    return true;
}

/* Fills plain from input. False: e, or nothing came of it. */
static bool inflate_more(struct unpack *u, struct bytes *input, struct err *e)
{
    if (u->form == GZIP_ENDED && input->len && *input->data == '\x1f') { /* one behind the other */
        inflateReset(&u->zip);
        u->form = GZIP;
    }
    if (u->form == GZIP_ENDED) {
        input->len = 0; /* tapes' blocks are filled */
        return false;
    }
    u->zip.next_in = (Bytef *)input->data;
    u->zip.avail_in = (uInt)input->len;
    u->zip.next_out = (Bytef *)u->buffer;
    u->zip.avail_out = PLAIN_BYTES;
    int status = inflate(&u->zip, Z_NO_FLUSH);
    input->data += input->len - u->zip.avail_in;
    input->len = u->zip.avail_in;
    u->plain = (struct bytes){u->buffer, PLAIN_BYTES - u->zip.avail_out};
    if (status == Z_STREAM_END)
        u->form = GZIP_ENDED;
    else if (status != Z_OK && status != Z_BUF_ERROR)
        return fail(e, 400, "tar: %.200s%sthe gzip is broken", u->entry.path ? "behind " : "",
                    u->entry.path ? "what came last, " : "");
    return u->plain.len > 0 || status == Z_STREAM_END;
}

/* The bytes that decided the form come first. */
static bool give_head(struct unpack *u, struct room *room, struct err *e)
{
    struct bytes head = {u->head, u->head_len};
    u->head_len = 0;
    if (u->form == PLAIN)
        return read_tar(u, &head, room, e);
    inflate_more(u, &head, e); /* no more than a header's first bytes */
    return e->status == 0;
}

bool unpack_step(struct unpack *u, struct bytes *input, struct room *room, bool *again,
                 struct err *e)
{
    size_t inflated = 0;
    *again = false;
    if (u->form == UNDECIDED && decide(u, input) && !give_head(u, room, e))
        return false;
    if (u->form == UNDECIDED)
        return true;
    if (u->form == PLAIN) {
        bool ok = read_tar(u, input, room, e);
        *again = room_is_used(room);
        return ok;
    }
    for (;;) {
        if (!read_tar(u, &u->plain, room, e))
            return false;
        *again = room_is_used(room) || inflated > STEP_PLAIN;
        if (*again || !inflate_more(u, input, e))
            return e->status == 0;
        inflated += u->plain.len;
    }
}

bool unpack_finish(struct unpack *u, struct unpack_result *out, struct err *e)
{
    *out = u->result;
    out->left_out = tar_reader_left_out(u->reader);
    out->gzip = u->form >= GZIP;
    if (u->form == GZIP)
        return fail(e, 400, "tar: the gzip breaks off");
    return tar_reader_finish(u->reader, e);
}
