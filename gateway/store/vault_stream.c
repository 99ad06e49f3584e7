/* Waits, reads and writes with poll(2), so that every wait can be cancelled. What the peer says is
 * checked, and taken apart and put together again, before it is kept. */
#include "gateway/store/vault_stream.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/store/mark.h"
#include "protocol/byte_order.h"
#include "protocol/ids.h"
#include "protocol/json.h"

#define HEAD_LIMIT_BYTES (4 * 1024 * 1024)
#define PIECE_BYTES      (1024 * 1024)
#define BUFFERS_MOST     10000
#define TOLD_MOST        10000 /* variables that are named */
#define TOLD_BYTES       (512 * 1024)
#define FOLDER_BYTES     4096
#define BUFFER_BYTES     (4 * 1024 * 1024) /* of the socket */

struct peer {
    const struct vault_stream *stream;
    int fd;
};

/* Until fd is ready for what is asked. What is on its way is taken also after the end was said. */
static bool wait_for(const struct vault_stream *s, int fd, short events, struct err *e)
{
    for (;;) {
        struct pollfd fds[] = {{fd, events, 0}, {s->cancel_fd, POLLIN, 0}};
        int64_t left = s->deadline_ms - monotonic_ms();
        int ready = left > 0 ? poll(fds, 2, left > INT32_MAX ? INT32_MAX : (int)left) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return fail(e, 503, "the interpreter was not through in time");
        return fds[0].revents || fail(e, VAULT_PEER_GONE, "the interpreter gave it up");
    }
}

static bool meet(const struct vault_stream *s, struct peer *p, struct err *e)
{
    int size = BUFFER_BYTES;
    p->stream = s;
    p->fd = -1;
    if (!wait_for(s, s->listen_fd, POLLIN, e))
        return false;
    p->fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (p->fd < 0)
        return fail_errno(e, 503, "nobody came for the snapshot");
    setsockopt(p->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    return true;
}

/* Some bytes at least. */
static bool read_some(struct peer *p, char *to, size_t most, size_t *got, struct err *e)
{
    for (;;) {
        ssize_t n = recv(p->fd, to, most, 0);
        if (n > 0) {
            *got = (size_t)n;
            return true;
        }
        if (n == 0)
            return fail(e, VAULT_PEER_GONE, "the interpreter went away before it was through");
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return fail_errno(e, VAULT_PEER_GONE, "the interpreter went away");
        if (!wait_for(p->stream, p->fd, POLLIN, e))
            return false;
    }
}

static bool read_exactly(struct peer *p, char *to, size_t len, struct err *e)
{
    size_t got;
    for (; len > 0; to += got, len -= got)
        if (!read_some(p, to, len, &got, e))
            return false;
    return true;
}

static bool write_all(void *user, struct bytes data, struct err *e)
{
    struct peer *p = user;
    while (data.len) {
        ssize_t n = send(p->fd, data.data, data.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return fail_errno(e, VAULT_PEER_GONE, "the interpreter went away");
        if (n < 0 && !wait_for(p->stream, p->fd, POLLOUT, e))
            return false;
        data.data += n > 0 ? n : 0;
        data.len -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

static json_t *read_block(struct peer *p, struct err *e)
{
    char raw[8];
    if (!read_exactly(p, raw, sizeof raw, e))
        return NULL;
    uint64_t len = load_u64le(raw);
    if (len > HEAD_LIMIT_BYTES) {
        fail(e, 413, "the list of variables is larger than %d bytes", HEAD_LIMIT_BYTES);
        return NULL;
    }
    scoped(string) char *text = xmalloc(len);
    if (!read_exactly(p, text, len, e))
        return NULL;
    json_t *block = json_parse_object((struct bytes){text, len}, "snapshot", HEAD_LIMIT_BYTES, e);
    if (!block && e)
        e->status = 502;
    return block;
}

static bool write_block(struct peer *p, const json_t *block, struct err *e)
{
    char raw[8];
    scoped(string) char *text = json_dumps(block, JSON_COMPACT);
    store_u64le(raw, strlen(text));
    return write_all(p, (struct bytes){raw, sizeof raw}, e) && write_all(p, bytes_of(text), e);
}

json_t *vault_buffer_file(const json_t *buffer)
{
    json_t *file = json_object_get(buffer, "file");
    return file ? file : json_object_get(buffer, "blake2b"); /* as it was called once */
}

/* --- what a peer may say */

static bool bad(struct err *e, const char *what)
{
    return fail(e, 502, "the interpreter's snapshot is malformed: %s", what);
}

/* An array of objects with two texts each; given. *more: how many more there were than are told;
 * NULL: all are. */
static json_t *pairs_of(json_t *list, const char *first, const char *second, json_int_t *more,
                        struct err *e)
{
    json_t *out = json_array(), *one;
    size_t i, told = 0;
    json_array_foreach(list, i, one)
    {
        json_t *a = json_object_get(one, first), *b = json_object_get(one, second);
        if (!json_is_string(a) || !json_is_string(b)) {
            json_decref(out);
            bad(e, first);
            return NULL;
        }
        told += json_string_length(a) + json_string_length(b);
        if (more && (json_array_size(out) >= TOLD_MOST || told > TOLD_BYTES))
            (*more)++;
        else
            json_array_append_new(out, json_pack("{s:O, s:O}", first, a, second, b));
    }
    return out;
}

/* The buffer that is kept and has this mark; borrowed, or NULL. */
static json_t *known_as(const json_t *known, json_int_t size, const char *mark)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)known, i, one)
    {
        const char *own = json_string_value(json_object_get(one, "mark"));
        if (own && strcmp(own, mark) == 0 &&
            json_integer_value(json_object_get(one, "bytes")) == size)
            return one;
    }
    return NULL;
}

/* The sizes add up within the limit, and what is not sent is known. */
static json_t *buffers_of(json_t *head, const json_t *known, int64_t left, struct err *e)
{
    json_t *list = json_object_get(head, "buffers"), *out = json_array(), *one;
    size_t i;
    bool good = json_array_size(list) <= BUFFERS_MOST || bad(e, "buffers");
    json_array_foreach(list, i, one)
    {
        json_t *size = json_object_get(one, "bytes");
        json_int_t bytes = json_is_integer(size) ? json_integer_value(size) : -1;
        const char *mark = json_string_value(json_object_get(one, "same"));
        json_t *kept = mark ? known_as(known, bytes, mark) : NULL;
        if (good && (bytes < 0 || (mark && !kept)))
            good = bad(e, "buffers");
        if (good && bytes > left)
            good = fail(e, 413, "the variables are larger than --snapshot-limit allows");
        if (!good)
            break;
        left -= bytes;
        json_array_append_new(out, kept ? json_copy(kept) : json_pack("{s:I}", "bytes", bytes));
    }
    if (good)
        return out;
    json_decref(out);
    return NULL;
}

static json_t *text_or_null(json_t *value)
{
    return json_is_string(value) && json_string_length(value) <= FOLDER_BYTES ? json_incref(value)
                                                                              : json_null();
}

/* The head as it is kept; given. */
static json_t *head_of(json_t *said, const json_t *known, int64_t limit, struct err *e)
{
    json_int_t pickle = json_integer_value(json_object_get(said, "pickle_bytes"));
    json_int_t more = 0, not_saved_more = 0;
    if (pickle <= 0 || json_integer_value(json_object_get(said, "version")) != 1) {
        bad(e, "version or pickle_bytes");
        return NULL;
    }
    if (pickle > limit) {
        fail(e, 413, "the variables are larger than --snapshot-limit allows");
        return NULL;
    }
    scoped(json) json_t *variables =
        pairs_of(json_object_get(said, "variables"), "name", "type", &more, e);
    scoped(json) json_t *not_saved = variables ? pairs_of(json_object_get(said, "not_saved"),
                                                          "name", "reason", &not_saved_more, e)
                                               : NULL;
    scoped(json) json_t *buffers = not_saved ? buffers_of(said, known, limit - pickle, e) : NULL;
    if (!buffers)
        return NULL;
    return json_pack("{s:i, s:o, s:o, s:O, s:I, s:O, s:I, s:I, s:O}", "version", 1, "python",
                     text_or_null(json_object_get(said, "python")), "cwd",
                     text_or_null(json_object_get(said, "cwd")), "variables", variables,
                     "variables_more", more, "not_saved", not_saved, "not_saved_more",
                     not_saved_more, "pickle_bytes", pickle, "buffers", buffers);
}

/* --- saving */

/* As a file; mark: of what passes, or NULL. */
static bool take_bytes(struct peer *p, json_int_t len, struct mark *mark,
                       char name[VAULT_NAME_TEXT], struct err *e)
{
    const struct vault_stream *s = p->stream;
    struct vault_file *f = vault_file_new(s->vault, s->sandbox, len, e);
    scoped(string) char *piece = xmalloc(PIECE_BYTES);
    bool good = f != NULL;
    while (good && len > 0) {
        size_t got = 0, most = len < PIECE_BYTES ? (size_t)len : PIECE_BYTES;
        good = read_some(p, piece, most, &got, e);
        if (good && mark)
            mark_add(mark, (struct bytes){piece, got});
        good = good && vault_file_add(f, (struct bytes){piece, got}, e);
        len -= (json_int_t)got;
    }
    if (good)
        return vault_file_finish(f, name, e);
    vault_file_abandon(f);
    return false;
}

/* What makes its marks: the key of those that are known, so that one is made of each buffer. */
static void choose_key(const json_t *known, char key[MARK_KEY_TEXT])
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)known, i, one)
    {
        if (mark_key_of(json_string_value(json_object_get(one, "mark")), key))
            return;
    }
    mark_key_make(key);
}

/* One that is too small to be named when it is unchanged has no mark. */
static bool take_buffer(struct peer *p, json_t *buffer, const char key[MARK_KEY_TEXT],
                        struct err *e)
{
    char name[VAULT_NAME_TEXT], text[MARK_TEXT];
    json_int_t bytes = json_integer_value(json_object_get(buffer, "bytes"));
    struct mark *mark = bytes >= VAULT_LARGE_BYTES ? mark_new(key) : NULL;
    bool good = take_bytes(p, bytes, mark, name, e);
    if (good)
        json_object_set_new(buffer, "file", json_string(name));
    if (good && mark) {
        mark_end(mark, text);
        json_object_set_new(buffer, "mark", json_string(text));
    }
    mark_free(mark);
    return good;
}

static bool take_files(struct peer *p, json_t *head, const json_t *known, struct err *e)
{
    char name[VAULT_NAME_TEXT], key[MARK_KEY_TEXT];
    size_t i;
    json_t *one;
    if (!take_bytes(p, json_integer_value(json_object_get(head, "pickle_bytes")), NULL, name, e))
        return false;
    json_object_set_new(head, "pickle", json_string(name));
    choose_key(known, key);
    json_array_foreach(json_object_get(head, "buffers"), i, one)
    {
        if (!json_object_get(one, "file") && !take_buffer(p, one, key, e))
            return false;
    }
    return true;
}

static json_t *known_block(const json_t *known)
{
    json_t *list = json_array(), *one;
    size_t i;
    json_array_foreach((json_t *)known, i, one)
    {
        json_t *mark = json_object_get(one, "mark");
        if (mark)
            json_array_append_new(list, json_pack("[O, O]", json_object_get(one, "bytes"), mark));
    }
    return json_pack("{s:o}", "known", list);
}

bool vault_take(const struct vault_stream *s, const json_t *known, json_t **saved, struct err *e)
{
    struct peer p;
    if (!meet(s, &p, e))
        return false;
    scoped(json) json_t *block = known_block(known);
    scoped(json) json_t *said = write_block(&p, block, e) ? read_block(&p, e) : NULL;
    scoped(json) json_t *head = said ? head_of(said, known, s->limit_bytes, e) : NULL;
    bool good = head && take_files(&p, head, known, e);
    close(p.fd);
    if (good)
        *saved = take(&head);
    return good;
}

/* --- restoring */

static bool give_files(struct peer *p, json_t *saved, struct err *e)
{
    const struct vault_stream *s = p->stream;
    const char *pickle = json_string_value(json_object_get(saved, "pickle"));
    size_t i;
    json_t *one;
    if (!pickle || !vault_file_read(s->vault, s->sandbox, pickle, write_all, p, e))
        return false;
    json_array_foreach(json_object_get(saved, "buffers"), i, one)
    {
        const char *name = json_string_value(vault_buffer_file(one));
        if (!name || !vault_file_read(s->vault, s->sandbox, name, write_all, p, e))
            return false;
    }
    return true;
}

static json_t *answer_of(json_t *said, struct err *e)
{
    json_t *names = json_object_get(said, "restored"), *one;
    size_t i;
    json_array_foreach(names, i, one)
    {
        if (!json_is_string(one)) {
            bad(e, "restored");
            return NULL;
        }
    }
    json_t *others = pairs_of(json_object_get(said, "not_restored"), "name", "reason", NULL, e);
    return others ? json_pack("{s:o, s:o}", "restored",
                              json_is_array(names) ? json_incref(names) : json_array(),
                              "not_restored", others)
                  : NULL;
}

bool vault_give(const struct vault_stream *s, json_t *saved, json_t **answer, struct err *e)
{
    struct peer p;
    if (!meet(s, &p, e))
        return false;
    bool given = write_block(&p, saved, e) && give_files(&p, saved, e) &&
                 write_all(&p, (struct bytes){"\1", 1}, e);
    scoped(json) json_t *said = given ? read_block(&p, e) : NULL;
    *answer = said ? answer_of(said, e) : NULL;
    close(p.fd);
    return *answer != NULL;
}
