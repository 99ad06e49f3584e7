/* Sends a regular file as a reply, piece by piece: the next piece is read only when the socket has
 * taken the last, so a slow client costs one piece of memory. Reads happen on libuv's threads. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "gateway/net/connection.h"

struct file_reply {
    struct connection *connection; /* NULL: the client has gone */
    uv_fs_t request;
    uv_file fd; /* -1: not open */
    bool busy;  /* request is under way */
    bool head_sent;
    uint64_t at;   /* next byte to read */
    uint64_t left; /* bytes still owed */
    char *content_type;
    char *etag; /* NULL: made from the file's identity */
    char *piece;
    void (*closed)(void *user); /* NULL: nobody waits for it */
    void *user;
};

static void release(struct file_reply *f)
{
    if (f->fd >= 0) {
        uv_fs_t request;
        uv_fs_close(NULL, &request, f->fd, NULL);
        uv_fs_req_cleanup(&request);
    }
    free(f->content_type);
    free(f->etag);
    free(f->piece);
    if (f->closed)
        f->closed(f->user);
    free(f);
}

/* Ends the exchange; cut: the bytes promised cannot be delivered, so the connection must not go on.
 */
static void finish(struct file_reply *f, bool cut)
{
    struct connection *c = f->connection;
    c->file = NULL;
    release(f);
    if (cut) {
        c->exchange.open = false;
        connection_close(c);
    } else {
        connection_reply_done(c);
    }
}

static void finish_failed(struct file_reply *f, int uv_status)
{
    struct connection *c = f->connection;
    struct err e = {0};
    bool absent = uv_status == UV_ENOENT || uv_status == UV_ENOTDIR;
    fail(&e, absent ? 404 : 500, absent ? "this file does not exist" : "the file cannot be read");
    c->file = NULL;
    release(f);
    exchange_fail(&c->exchange, &e);
}

void file_reply_abort(struct file_reply *f)
{
    struct connection *c = f->connection;
    c->file = NULL;
    c->exchange.open = false;
    f->connection = NULL;
    if (!f->busy)
        release(f);
}

/* The step that a uv_fs callback begins with: false when the client has gone, and f with it. */
static bool arrive(struct file_reply *f, ssize_t *result)
{
    *result = f->request.result;
    uv_fs_req_cleanup(&f->request);
    f->busy = false;
    if (f->connection)
        return true;
    release(f);
    return false;
}

static void on_piece(uv_fs_t *request)
{
    struct file_reply *f = request->data;
    ssize_t got;
    if (!arrive(f, &got))
        return;
    if (got <= 0) { /* the file has shrunk, or cannot be read any more */
        finish(f, true);
        return;
    }
    f->at += (uint64_t)got;
    f->left -= (uint64_t)got;
    buffer_add(&f->connection->out, f->piece, (size_t)got);
    connection_flush(f->connection);
}

void file_reply_continue(struct file_reply *f)
{
    if (f->busy || !f->head_sent)
        return;
    if (!f->left) {
        finish(f, false);
        return;
    }
    size_t len = f->left < FILE_PIECE_BYTES ? (size_t)f->left : FILE_PIECE_BYTES;
    if (!f->piece)
        f->piece = xmalloc(FILE_PIECE_BYTES);
    uv_buf_t buf = uv_buf_init(f->piece, (unsigned)len);
    f->busy = true;
    uv_fs_read(f->connection->server->loop, &f->request, f->fd, &buf, 1, (int64_t)f->at, on_piece);
}

/* One range "bytes=a-b", "bytes=a-" or "bytes=-n" of a file of `size` bytes. 0: no range, or a form
 * that may be passed over (RFC 9110 14.2); 1: *first and *last are set; -1: it cannot be satisfied.
 */
static int range_parse(const char *text, uint64_t size, uint64_t *first, uint64_t *last)
{
    char *end;
    if (!text || strncmp(text, "bytes=", 6) != 0 || strchr(text, ','))
        return 0;
    text += 6;
    bool suffix = *text == '-';
    const char *digits = suffix ? text + 1 : text;
    if (*digits < '0' || *digits > '9')
        return 0;
    errno = 0;
    uint64_t number = strtoull(digits, &end, 10);
    if (errno)
        return suffix ? 0 : -1;
    if (suffix) {
        if (*end)
            return 0;
        *first = number < size ? size - number : 0;
        *last = size - 1;
        return number && size ? 1 : -1;
    }
    if (*end++ != '-')
        return 0;
    *first = number;
    *last = size - 1;
    if (*end) {
        if (*end < '0' || *end > '9')
            return 0;
        uint64_t to = strtoull(end, &end, 10);
        if (*end || to < number)
            return 0;
        *last = to < *last ? to : *last;
    }
    return number < size ? 1 : -1;
}

/* If-None-Match is a list of tags, or *; weak and strong ones compare alike here. */
static bool tag_listed(const char *list, const char *etag)
{
    while (list && *list) {
        list += strspn(list, ", \t");
        size_t len = strcspn(list, ",");
        while (len && (list[len - 1] == ' ' || list[len - 1] == '\t'))
            len--;
        const char *tag = strncmp(list, "W/", 2) == 0 ? list + 2 : list;
        size_t tag_len = len - (size_t)(tag - list);
        if ((len == 1 && *list == '*') ||
            (tag_len == strlen(etag) && memcmp(tag, etag, tag_len) == 0))
            return true;
        list += strcspn(list, ",");
    }
    return false;
}

/* Chooses among 200, 206, 304 and 416 and writes the head. */
static void send_head(struct file_reply *f, uint64_t size)
{
    struct exchange *x = &f->connection->exchange;
    uint64_t first = 0, last = 0;
    const char *if_range = exchange_header(x, "if-range");
    int status = 200;
    f->left = size;
    exchange_add_header(x, "ETag", f->etag);
    exchange_add_header(x, "Accept-Ranges", "bytes");
    if (tag_listed(exchange_header(x, "if-none-match"), f->etag)) {
        status = 304;
        f->left = 0;
    } else if (!if_range || strcmp(if_range, f->etag) == 0) {
        int range = range_parse(exchange_header(x, "range"), size, &first, &last);
        if (range > 0) {
            status = 206;
            f->at = first;
            f->left = last - first + 1;
            buffer_printf(&x->extra_headers,
                          "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n", first,
                          last, size);
        } else if (range < 0) {
            status = 416;
            f->left = 0;
            buffer_printf(&x->extra_headers, "Content-Range: bytes */%" PRIu64 "\r\n", size);
        }
    }
    reply_head(x, status, status == 416 ? NULL : f->content_type,
               status == 304 ? -1 : (int64_t)f->left);
    if (x->head)
        f->left = 0;
    f->head_sent = true;
    connection_flush(f->connection);
}

static void on_stat(uv_fs_t *request)
{
    struct file_reply *f = request->data;
    uv_stat_t found = request->statbuf;
    ssize_t status;
    if (!arrive(f, &status))
        return;
    if (status < 0 || (found.st_mode & S_IFMT) != S_IFREG) {
        finish_failed(f, status < 0 ? (int)status : UV_ENOENT);
        return;
    }
    if (!f->etag)
        f->etag = xasprintf("\"%" PRIx64 "-%" PRIx64 "-%lx%08lx\"", found.st_ino, found.st_size,
                            found.st_mtim.tv_sec, found.st_mtim.tv_nsec);
    send_head(f, found.st_size);
}

static void on_open(uv_fs_t *request)
{
    struct file_reply *f = request->data;
    ssize_t fd;
    f->fd = request->result >= 0 ? (uv_file)request->result : -1;
    if (!arrive(f, &fd))
        return;
    if (fd < 0) {
        finish_failed(f, (int)fd);
        return;
    }
    f->busy = true;
    uv_fs_fstat(f->connection->server->loop, &f->request, f->fd, on_stat);
}

/* NULL: the client has gone, and the exchange is ended. */
static struct file_reply *begin(struct exchange *x, const char *content_type, const char *etag)
{
    struct connection *c = x->connection;
    assert(x->open);
    if (!c->stream || c->state == CONNECTION_CLOSED) {
        connection_reply_done(c);
        return NULL;
    }
    struct file_reply *f = xcalloc(1, sizeof *f);
    f->connection = c;
    f->fd = -1;
    f->content_type = xstrdup(content_type);
    f->etag = etag ? xstrdup(etag) : NULL;
    f->request.data = f;
    c->file = f;
    f->busy = true;
    return f;
}

void exchange_reply_file(struct exchange *x, const char *path, const char *content_type,
                         const char *etag)
{
    struct file_reply *f = begin(x, content_type, etag);
    if (f) /* O_NONBLOCK: opening a FIFO must not hang a thread */
        uv_fs_open(x->connection->server->loop, &f->request, path,
                   O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0, on_open);
}

void exchange_reply_descriptor(struct exchange *x, int fd, const char *content_type,
                               const char *etag, void (*closed)(void *user), void *user)
{
    struct file_reply *f = begin(x, content_type, etag);
    if (!f) {
        close(fd);
        closed(user);
        return;
    }
    f->fd = fd;
    f->closed = closed;
    f->user = user;
    uv_fs_fstat(x->connection->server->loop, &f->request, fd, on_stat);
}
