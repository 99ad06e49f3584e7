/* The same code packs and unpacks as in the gateway, here with the user's own rights. */
#include "gateway/cli/folder.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/cli/call.h"
#include "gateway/cli/model.h"
#include "gateway/cli/progress.h"
#include "gateway/files/pack.h"
#include "gateway/files/unpack.h"
#include "protocol/json.h"

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

/* The links that are not copied, since no side takes them. */
struct skipped {
    bool json;
    size_t count;
};

static void on_skipped(void *user, const char *path, const char *target)
{
    struct skipped *s = user;
    s->count++;
    if (s->json) {
        scoped(json) json_t *line = json_pack("{s:s*, s:s*}", "skipped", path, "target", target);
        if (!line || json_dumpf(line, stderr, JSON_COMPACT) < 0) /* no UTF-8 */
            fputs("{\"skipped\":null}", stderr);
        fputc('\n', stderr);
        return;
    }
    scoped(string) char *shown = xasprintf("%s -> %s", path, target);
    fprintf(stderr, "skipped: %s leads out of the folder\n", model_visible(shown));
}

/* What makes a copy that is done otherwise a failure. */
static bool is_whole(size_t left_out, const struct skipped *s, struct err *e)
{
    scoped(buffer) struct buffer why = {0};
    if (left_out)
        buffer_printf(&why,
                      "%zu of all were left out: they cannot be read, or are neither files, "
                      "folders nor links",
                      left_out);
    if (s->count)
        buffer_printf(&why, "%s%zu %s skipped: what leads out of the folder is not copied",
                      left_out ? "; " : "", s->count, s->count == 1 ? "link was" : "links were");
    return !why.len || fail(e, CLI_FAILED, "%s", buffer_text(&why));
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

bool folder_up(const struct cli *cli, const char *local, const char *path, int64_t *bytes,
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
    struct skipped skipped = {.json = cli->json};
    pack_skip_links(p, on_skipped, &skipped);
    scoped(call) struct call *c = call_send(cli->target, &request, e);
    bool ok = c && send_pack(c, p, e) && call_accepted(c, e) && take_answer(c, bytes, e) &&
              is_whole(pack_left_out(p), &skipped, e);
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

static bool receive_pack(struct call *c, struct unpack *u, const struct skipped *skipped,
                         int64_t *bytes, struct err *e)
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
    return is_whole((size_t)result.left_out, skipped, e);
}

bool folder_down(const struct cli *cli, const char *path, const char *local, int64_t *bytes,
                 struct err *e)
{
    scoped(string) char *query = xasprintf("%s?tar=1", path);
    const struct call_request request = {.method = "GET", .path = query};
    struct room room = {.bytes = INT64_MAX, .names = INT64_MAX};
    scoped(call) struct call *c = call_send(cli->target, &request, e);
    if (!c || !call_accepted(c, e))
        return false;
    mkdir(local, 0777); /* else it is there, or open says why not */
    int folder = open_folder(local, e);
    if (folder < 0)
        return false;
    struct unpack *u = unpack_open(folder, "", INT64_MAX, &room, NULL, e);
    close(folder);
    if (!u)
        return failed_here(e);
    struct skipped skipped = {.json = cli->json};
    unpack_skip_links(u, on_skipped, &skipped);
    bool ok = receive_pack(c, u, &skipped, bytes, e);
    unpack_free(u);
    return ok;
}
