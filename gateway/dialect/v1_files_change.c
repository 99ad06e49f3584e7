/* Changes to what lies in a workspace, but for bodies, which v1_uploads.c has. */
#include <string.h>

#include "gateway/dialect/v1.h"
#include "gateway/dialect/v1_files.h"
#include "protocol/json.h"
#include "protocol/memory.h"

void v1_files_reply_changed(struct exchange *x, bool created, const char *path, const char *etag)
{
    if (etag && *etag)
        exchange_add_header(x, "ETag", etag);
    if (created) {
        scoped(string) char *url = v1_files_url(x, path);
        exchange_add_header(x, "Location", url);
    }
    exchange_reply_empty(x, created ? 201 : 204);
}

static void on_folder(void *user, bool created, const struct err *e)
{
    struct exchange *x = user;
    if (e)
        exchange_fail(x, e);
    else
        v1_files_reply_changed(x, created, exchange_param(x, "path"), NULL);
}

static bool check_no_body(const struct exchange *x, struct err *e)
{
    return exchange_body_length(x) == 0 || fail(e, 400, "this request takes no body");
}

static void make_folder(struct exchange *x, struct core *c)
{
    struct err e = {0};
    struct file_change change = {.what = CHANGE_MAKE_FOLDER, .path = exchange_param(x, "path")};
    struct sandbox *s = v1_files_sandbox(x, c);
    if (!s)
        return;
    if (!check_no_body(x, &e) || !v1_files_condition(x, &change.condition, &e))
        exchange_fail(x, &e);
    else
        file_change(s, &change, on_folder, x);
}

/* A tar into the workspace itself, which is nothing else to be put. */
void v1_files_put_root(struct exchange *x, void *core)
{
    struct err e = {0};
    bool tar;
    if (!v1_files_sandbox(x, core))
        return;
    if (!v1_files_flag(x, "tar", &tar, &e) ||
        (!tar && !fail(&e, 400, "the workspace itself takes ?tar=1 alone")))
        exchange_fail(x, &e);
    else
        v1_files_unpack(x, core);
}

void v1_files_put(struct exchange *x, void *core)
{
    struct err e = {0};
    bool folder, tar;
    if (!v1_files_flag(x, "folder", &folder, &e) || !v1_files_flag(x, "tar", &tar, &e))
        exchange_fail(x, &e);
    else if (folder && tar && !fail(&e, 400, "folder and tar do not go together"))
        exchange_fail(x, &e);
    else if (folder)
        make_folder(x, core);
    else if (tar)
        v1_files_unpack(x, core);
    else
        v1_files_receive(x, core, false);
}

static void on_placed(void *user, bool created, const struct err *e)
{
    struct exchange *x = user;
    const char *to = exchange_query(x, "move_to");
    if (e)
        exchange_fail(x, e);
    else
        v1_files_reply_changed(x, created, to ? to : exchange_query(x, "copy_to"), NULL);
}

/* Moves, or copies where `to` is that of copy_to. */
static void place(struct exchange *x, struct core *c, const char *to, bool copy)
{
    struct err e = {0};
    struct file_change change = {.what = CHANGE_MOVE, .path = exchange_param(x, "path"), .to = to};
    struct sandbox *s = v1_files_sandbox(x, c);
    if (!s)
        return;
    if (!check_no_body(x, &e) || !v1_files_flag(x, "overwrite", &change.overwrite, &e))
        exchange_fail(x, &e);
    else if (copy)
        file_copy(s, change.path, to, change.overwrite, on_placed, x);
    else
        file_change(s, &change, on_placed, x);
}

void v1_files_post(struct exchange *x, void *core)
{
    struct err e = {0};
    bool append;
    const char *move_to = exchange_query(x, "move_to"), *copy_to = exchange_query(x, "copy_to");
    if (!v1_files_flag(x, "append", &append, &e) ||
        (append + (move_to != NULL) + (copy_to != NULL) != 1 &&
         !fail(&e, 400,
               "one of append=1, move_to=PATH and copy_to=PATH is needed, to say what shall be "
               "done")))
        exchange_fail(x, &e);
    else if (append)
        v1_files_receive(x, core, true);
    else
        place(x, core, move_to ? move_to : copy_to, copy_to != NULL);
}

bool v1_files_mode(const char *text, int *mode, struct err *e)
{
    size_t len = strlen(text);
    if (len < 1 || len > 4 || strspn(text, "01234567") != len || strtol(text, NULL, 8) > 0777)
        return fail(e, 400, "mode: must be permissions in octal (0 to 777)");
    *mode = (int)strtol(text, NULL, 8);
    return true;
}

static void on_changed(void *user, bool created, const struct err *e)
{
    struct exchange *x = user;
    (void)created;
    if (e)
        exchange_fail(x, e);
    else
        exchange_reply_empty(x, 204);
}

void v1_files_patch(struct exchange *x, void *core)
{
    struct err e = {0};
    const char *text = NULL;
    int mode = 0;
    struct file_change change = {.what = CHANGE_MODE, .path = exchange_param(x, "path")};
    struct sandbox *s = v1_files_sandbox(x, core);
    scoped(json) json_t *body = s ? v1_body(x) : NULL;
    if (!body)
        return;
    if (!field_str(body, "mode", REQUIRED, &text, &e) || !v1_files_mode(text, &mode, &e) ||
        !v1_files_condition(x, &change.condition, &e)) {
        exchange_fail(x, &e);
        return;
    }
    change.mode = (unsigned)mode;
    file_change(s, &change, on_changed, x);
}

void v1_files_delete(struct exchange *x, void *core)
{
    struct err e = {0};
    struct file_change change = {.what = CHANGE_REMOVE, .path = exchange_param(x, "path")};
    struct sandbox *s = v1_files_sandbox(x, core);
    if (!s)
        return;
    if (!v1_files_flag(x, "recursive", &change.recursive, &e) ||
        !v1_files_condition(x, &change.condition, &e))
        exchange_fail(x, &e);
    else
        file_change(s, &change, on_changed, x);
}
