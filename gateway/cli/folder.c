/* The same code packs and unpacks as in the gateway, here with the user's own rights. */
#include "gateway/cli/folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/cli/cli.h"
#include "gateway/cli/progress.h"
#include "gateway/files/pack.h"
#include "gateway/files/unpack.h"

#define PIECE_BYTES (256 * 1024)

/* O_PATH, as pack and unpack take it. */
static int open_folder(const char *local, struct err *e)
{
    int fd = open(local, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        fail_errno(e, CLI_FAILED, "%.200s cannot be opened", local);
    return fd;
}

/* What went wrong here, not at the gateway: its status is none of HTTP's. */
static bool failed_here(struct err *e)
{
    e->status = CLI_FAILED;
    return false;
}

static bool left_out(size_t count, struct err *e)
{
    return count == 0 || fail(e, CLI_FAILED,
                              "%zu of all were left out: they cannot be read, or are neither "
                              "files, folders nor links",
                              count);
}

/* Ends early when the gateway takes no more. */
static bool send_pack(struct call *c, struct pack *p, struct err *e)
{
    struct progress progress = {0};
    scoped(buffer) struct buffer piece = {0};
    int64_t sent = 0;
    bool last = false, ok = true;
    while (ok && !last) {
        buffer_clear(&piece);
        if (!pack_read(p, &piece, PIECE_BYTES, &last, e))
            return failed_here(e);
        e->status = 0;
        ok = call_write(c, buffer_view(&piece), e);
        sent += (int64_t)piece.len;
        progress_show(&progress, sent);
    }
    progress_end(&progress);
    return ok ? call_finish(c, e) : e->status == 0;
}

/* {"files", "folders", "symlinks", "bytes"} */
static bool take_answer(struct call *c, int64_t *bytes, struct err *e)
{
    scoped(buffer) struct buffer text = {0};
    struct bytes piece;
    do {
        if (!call_next(c, &piece, e))
            return false;
        buffer_add_bytes(&text, piece);
    } while (piece.len && text.len < PIECE_BYTES);
    json_t *answer = json_loadb(text.data ? text.data : "", text.len, JSON_REJECT_DUPLICATES, NULL);
    *bytes = json_integer_value(json_object_get(answer, "bytes"));
    json_decref(answer);
    return true;
}

bool folder_up(const struct target *t, const char *local, const char *path, int64_t *bytes,
               struct err *e)
{
    scoped(string) char *query = xasprintf("%s?tar=1", path);
    const struct call_request request = {
        .method = "PUT",
        .path = query,
        .content_type = "application/x-tar",
        .body_follows = true,
        .length_bytes = CALL_BODY_FOLLOWS_CHUNKED,
    };
    int folder = open_folder(local, e);
    if (folder < 0)
        return false;
    struct pack *p = pack_open(folder, "", false, e);
    close(folder);
    if (!p)
        return failed_here(e);
    scoped(call) struct call *c = call_send(t, &request, e);
    bool ok = c && send_pack(c, p, e) && call_accepted(c, e) && take_answer(c, bytes, e) &&
              left_out(pack_left_out(p), e);
    pack_free(p);
    return ok;
}

static bool unpack_piece(struct unpack *u, struct bytes piece, struct err *e)
{
    bool again = true;
    while (again) {
        struct room room = {.bytes = INT64_MAX, .names = INT64_MAX};
        if (!unpack_step(u, &piece, &room, &again, e))
            return failed_here(e);
    }
    return true;
}

static bool receive_pack(struct call *c, struct unpack *u, int64_t *bytes, struct err *e)
{
    struct progress progress = {0};
    struct unpack_result result;
    struct bytes piece;
    int64_t got = 0;
    do {
        if (!call_next(c, &piece, e) || !unpack_piece(u, piece, e))
            return false;
        got += (int64_t)piece.len;
        progress_show(&progress, got);
    } while (piece.len);
    progress_end(&progress);
    if (!unpack_finish(u, &result, e))
        return failed_here(e);
    *bytes = result.bytes;
    return left_out((size_t)result.left_out, e);
}

bool folder_down(const struct target *t, const char *path, const char *local, int64_t *bytes,
                 struct err *e)
{
    scoped(string) char *query = xasprintf("%s?tar=1", path);
    const struct call_request request = {.method = "GET", .path = query};
    struct room room = {.bytes = INT64_MAX, .names = INT64_MAX};
    scoped(call) struct call *c = call_send(t, &request, e);
    if (!c || !call_accepted(c, e))
        return false;
    mkdir(local, 0777); /* else it is there, or open says why not */
    int folder = open_folder(local, e);
    if (folder < 0)
        return false;
    struct unpack *u = unpack_open(folder, "", INT64_MAX, &room, NULL, e);
    close(folder);
    bool ok = u ? receive_pack(c, u, bytes, e) : failed_here(e);
    unpack_free(u);
    return ok;
}
