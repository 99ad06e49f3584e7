/* A walk (walk.h), one open file of it, and zlib behind them. */
#include "gateway/files/pack.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "gateway/files/path.h"
#include "gateway/files/tar.h"
#include "gateway/files/walk.h"
#include "protocol/memory.h"

#define PIECE_BYTES   (256 * 1024)
#define REMARKS_BYTES (64 * 1024) /* kept until an entry comes */
#define ZIP_LEVEL     1           /* the disk and the socket are faster than any */

struct pack {
    struct walk *walk;                                   /* NULL: of one file */
    const char *(*choose)(void *user, const char *path); /* NULL: all, as they are */
    void *choose_user;
    void (*skip)(void *user, const char *path, const char *target); /* NULL: no link is */
    void *skip_user;
    int fd;                    /* the file that is being packed; -1: none */
    char *path;                /* of it; owned */
    int64_t size_bytes, left;  /* of it in the tar */
    struct tar_piece *pieces;  /* owned; NULL: it is one piece */
    size_t piece, piece_count; /* which one is read */
    int64_t piece_left;        /* of that */
    bool keeps;                /* owners and holes */
    bool shorter;              /* it has become so, and zeros stand for the rest */
    struct buffer remarks;
    size_t left_out;
    bool ended; /* the tar's end is written */
    bool gzip;
    z_stream zip;
    struct buffer plain; /* what is to be compressed */
};

static void leave_out(struct pack *p, const char *path, const char *why)
{
    scoped(string) char *text = xasprintf("left out: %s: %s", path, why);
    tar_add_comment(&p->remarks, text);
    p->left_out++;
}

/* Remarks stand before an entry: some readers fail on those that the tar ends with. */
static void add_header(struct pack *p, struct buffer *out, const struct tar_entry *entry)
{
    buffer_add_bytes(out, buffer_view(&p->remarks));
    buffer_clear(&p->remarks);
    tar_add_header(out, entry);
}

/* Where no entry follows soon, that of the folder itself, "./". */
static void add_remarks(struct pack *p, struct buffer *out)
{
    const struct tar_entry itself = {.kind = TAR_FOLDER, .path = ".", .mode = 0755};
    add_header(p, out, &itself);
}

static const char *why_not(void)
{
    return errno == EACCES || errno == EPERM ? "the sandbox itself may not read it"
           : errno == ENOENT                 ? "it has gone meanwhile"
                                             : "it cannot be read";
}

/* The parts of a file that are no holes; false: there are too many. Where they cannot be told from
 * holes it is one. */
static bool find_pieces(int fd, int64_t size_bytes, struct tar_piece **out, size_t *count)
{
    struct tar_piece *pieces = NULL;
    size_t room = 0, found = 0;
    for (off_t at = 0, end; at < size_bytes; at = end) {
        off_t data = lseek(fd, at, SEEK_DATA);
        if (data >= 0)
            at = data;
        else if (errno == ENXIO) /* nothing but a hole is left */
            break;               /* else all is taken for data: what cannot be read is told then */
        if (at >= size_bytes || found == PACK_PIECES_MOST)
            break;
        end = data < 0 ? -1 : lseek(fd, at, SEEK_HOLE);
        end = end < at || end > size_bytes ? size_bytes : end;
        if (found == room) {
            room = room ? 2 * room : 16;
            pieces = xrealloc(pieces, room * sizeof(*pieces));
        }
        pieces[found++] = (struct tar_piece){at, end - at};
    }
    *out = pieces;
    *count = found;
    return found < PACK_PIECES_MOST;
}

static void begin_sparse(struct pack *p, struct buffer *out, int fd, const struct tar_entry *entry)
{
    p->piece = 0;
    p->piece_left = 0;
    if (!find_pieces(fd, entry->size_bytes, &p->pieces, &p->piece_count)) {
        leave_out(p, entry->path, "it has too many holes");
        free(take(&p->pieces));
        close(fd);
        return;
    }
    buffer_add_bytes(out, buffer_view(&p->remarks));
    buffer_clear(&p->remarks);
    p->fd = fd;
    p->size_bytes = p->left = tar_add_sparse(out, entry, p->pieces, p->piece_count);
}

static void set_owner(const struct pack *p, struct tar_entry *entry, const struct stat *st)
{
    entry->uid = p->keeps ? (int64_t)st->st_uid : 0;
    entry->gid = p->keeps ? (int64_t)st->st_gid : 0;
}

/* fd: taken; -1: errno says why. */
static void begin_file(struct pack *p, struct buffer *out, int fd, const char *path)
{
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        leave_out(p, path, fd < 0 ? why_not() : "it is no file any more");
        if (fd >= 0)
            close(fd);
        return;
    }
    struct tar_entry entry = {
        .kind = TAR_FILE,
        .path = path,
        .mode = st.st_mode & 0777,
        .modified = st.st_mtim,
        .size_bytes = st.st_size,
    };
    set_owner(p, &entry, &st);
    p->shorter = false;
    free(p->path);
    p->path = xstrdup(path);
    if (p->keeps && (int64_t)st.st_blocks * 512 < st.st_size) {
        begin_sparse(p, out, fd, &entry);
        return;
    }
    add_header(p, out, &entry);
    p->fd = fd;
    p->size_bytes = p->left = st.st_size;
}

static void add_link(struct pack *p, struct buffer *out, const struct walk_entry *found,
                     struct tar_entry *entry)
{
    char target[PATH_MAX];
    ssize_t len = readlinkat(found->dir, found->name, target, sizeof target - 1);
    if (len < 0) {
        leave_out(p, found->path, why_not());
        return;
    }
    target[len] = '\0';
    if (p->skip && tar_leads_out(entry->path, target)) {
        p->skip(p->skip_user, entry->path, target);
        return;
    }
    entry->kind = TAR_SYMLINK;
    entry->target = target;
    add_header(p, out, entry);
}

static void add_entry(struct pack *p, struct buffer *out, const struct walk_entry *found)
{
    const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    struct tar_entry entry = {
        .kind = TAR_FOLDER,
        .path = found->path,
        .mode = found->st.st_mode & 0777,
        .modified = found->st.st_mtim,
    };
    set_owner(p, &entry, &found->st);
    if (!found->known) {
        leave_out(p, found->path, "the sandbox itself may not read it");
    } else if (S_ISREG(found->st.st_mode)) {
        begin_file(p, out, openat(found->dir, found->name, flags), found->path);
    } else if (S_ISLNK(found->st.st_mode)) {
        add_link(p, out, found, &entry);
    } else if (S_ISDIR(found->st.st_mode)) {
        add_header(p, out, &entry);
        if (found->closed)
            leave_out(p, found->path, found->closed);
    } else {
        leave_out(p, found->path, "it is neither a file, a folder nor a link");
    }
}

static void end_file(struct pack *p, struct buffer *out)
{
    tar_add_padding(out, p->size_bytes);
    if (p->shorter)
        leave_out(p, p->path, "its end: it became shorter, and zeros stand there");
    close(p->fd);
    p->fd = -1;
    free(take(&p->pieces));
}

/* How much may be read at once; what is read is where the file's descriptor stands. */
static size_t next_bytes(struct pack *p)
{
    int64_t left = p->left;
    if (p->pieces) {
        while (p->left && !p->piece_left) {
            const struct tar_piece *piece = &p->pieces[p->piece++];
            p->piece_left = piece->bytes;
            lseek(p->fd, piece->at, SEEK_SET);
        }
        left = p->piece_left;
    }
    return left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
}

/* As many bytes as its header said, whatever became of it. */
static void add_bytes(struct pack *p, struct buffer *out)
{
    size_t want = next_bytes(p);
    char *to = buffer_reserve(out, want);
    ssize_t got = want ? read(p->fd, to, want) : 0;
    if (got < 0 && errno == EINTR)
        return;
    if (want && got <= 0) {
        p->shorter = true;
        memset(to, 0, want);
        got = (ssize_t)want;
    }
    out->len += (size_t)got;
    p->left -= got;
    p->piece_left -= p->pieces ? got : 0;
    if (!p->left)
        end_file(p, out);
}

void pack_keep(struct pack *p)
{
    p->keeps = true;
}

void pack_choose(struct pack *p, const char *(*choose)(void *user, const char *path), void *user)
{
    p->choose = choose;
    p->choose_user = user;
}

void pack_skip_links(struct pack *p, void (*skip)(void *user, const char *path, const char *target),
                     void *user)
{
    p->skip = skip;
    p->skip_user = user;
}

static bool is_chosen(const struct pack *p, struct walk_entry *found)
{
    if (p->choose)
        found->path = p->choose(p->choose_user, found->path);
    return found->path != NULL;
}

/* The next of the tar; false: e. */
static bool add_next(struct pack *p, struct buffer *out, struct err *e)
{
    struct walk_entry found;
    if (p->fd >= 0) {
        add_bytes(p, out);
    } else if (p->walk && walk_next(p->walk, &found, e)) {
        if (!is_chosen(p, &found)) {
            if (found.known && S_ISDIR(found.st.st_mode))
                walk_skip(p->walk);
            return true;
        }
        add_entry(p, out, &found);
        if (p->fd < 0 && p->remarks.len >= REMARKS_BYTES)
            add_remarks(p, out);
    } else if (e->status) {
        return false;
    } else {
        if (p->remarks.len)
            add_remarks(p, out);
        tar_add_end(out);
        p->ended = true;
    }
    return true;
}

/* What is in plain, compressed; the end of it when the tar has ended. */
static void compress_plain(struct pack *p, struct buffer *out)
{
    p->zip.next_in = (Bytef *)p->plain.data;
    p->zip.avail_in = (uInt)p->plain.len;
    do {
        p->zip.next_out = (Bytef *)buffer_reserve(out, PIECE_BYTES);
        p->zip.avail_out = PIECE_BYTES;
        deflate(&p->zip, p->ended ? Z_FINISH : Z_NO_FLUSH);
        out->len += PIECE_BYTES - p->zip.avail_out;
    } while (p->zip.avail_out == 0);
    buffer_clear(&p->plain);
}

bool pack_read(struct pack *p, struct buffer *out, size_t least, bool *last, struct err *e)
{
    size_t until = out->len + least, plain = 0;
    *e = (struct err){0};
    if (!p->gzip && p->plain.len) { /* the header of a single file */
        buffer_add_bytes(out, buffer_view(&p->plain));
        buffer_free(&p->plain);
    }
    while (!p->ended && out->len < until && plain < PACK_PLAIN_BYTES) {
        struct buffer *to = p->gzip ? &p->plain : out;
        size_t before = to->len;
        if (!add_next(p, to, e))
            return false;
        plain += to->len - before;
        if (p->gzip && (p->ended || to->len >= PIECE_BYTES))
            compress_plain(p, out);
    }
    *last = p->ended;
    return true;
}

static bool open_file(struct pack *p, int at, const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/');
    int fd = path_reopen(at, O_RDONLY | O_NONBLOCK);
    if (fd < 0)
        return path_fail(e, path);
    begin_file(p, &p->plain, fd, slash ? slash + 1 : path);
    return true;
}

static bool open_at(struct pack *p, int at, const char *path, struct err *e)
{
    struct stat st;
    if (fstat(at, &st) < 0)
        return path_fail(e, path);
    if (S_ISDIR(st.st_mode))
        return (p->walk = walk_open(at, e)) != NULL;
    return S_ISREG(st.st_mode) ? open_file(p, at, path, e)
                               : fail(e, 409, "%.200s: this is neither a file nor a folder", path);
}

struct pack *pack_open(int root, const char *path, bool gzip, struct err *e)
{
    int at = path_open(root, path, true, e);
    if (at < 0)
        return NULL;
    struct pack *p = xcalloc(1, sizeof *p);
    p->fd = -1;
    p->gzip = gzip;
    if (gzip)
        deflateInit2(&p->zip, ZIP_LEVEL, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
    bool opened = open_at(p, at, path, e);
    close(at);
    if (opened)
        return p;
    pack_free(p);
    return NULL;
}

size_t pack_left_out(const struct pack *p)
{
    return p->left_out;
}

void pack_free(struct pack *p)
{
    if (!p)
        return;
    walk_free(p->walk);
    if (p->fd >= 0)
        close(p->fd);
    if (p->gzip)
        deflateEnd(&p->zip);
    buffer_free(&p->plain);
    buffer_free(&p->remarks);
    free(p->pieces);
    free(p->path);
    free(p);
}
