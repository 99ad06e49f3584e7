/* Read once, at the start. It comes from the gateway, which has checked what its clients said. */
#include "sandbox/command_plan.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/json.h"
#include "protocol/memory.h"

static bool read_file(const char *path, struct buffer *out, struct err *e)
{
    struct stat found;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool good = fd >= 0 && fstat(fd, &found) == 0 && found.st_size <= COMMAND_PLAN_LIMIT_BYTES;
    while (good && out->len < (size_t)found.st_size) {
        size_t left = (size_t)found.st_size - out->len;
        ssize_t got = read(fd, buffer_reserve(out, left), left);
        good = got > 0;
        out->len += got > 0 ? (size_t)got : 0;
    }
    if (fd >= 0)
        close(fd);
    return good || fail_errno(e, 503, "the plan %.200s cannot be read", path);
}

static bool read_strings(json_t *body, const char *name, char ***out, struct err *e)
{
    json_t *list = json_object_get(body, name);
    size_t count = json_array_size(list);
    char **strings = *out = xcalloc(count + 1, sizeof *strings);
    if (!json_is_array(list))
        return fail(e, 400, "%s: must be a list of strings", name);
    for (size_t n = 0; n < count; n++) {
        const char *text = json_string_value(json_array_get(list, n));
        if (!text)
            return fail(e, 400, "%s: must be a list of strings", name);
        strings[n] = (char *)text;
    }
    return true;
}

bool command_plan_read(const char *path, struct command_plan *out, struct err *e)
{
    scoped(buffer) struct buffer text = {0};
    *out = (struct command_plan){.cwd = "/"};
    if (!read_file(path, &text, e))
        return false;
    unlink(path);
    out->body = json_parse_object(buffer_view(&text), "plan", COMMAND_PLAN_LIMIT_BYTES, e);
    explicit_bzero(text.data, text.len);
    return out->body && field_str(out->body, "keeper", REQUIRED, &out->keeper, e) &&
           field_str(out->body, "sandbox", REQUIRED, &out->sandbox, e) &&
           field_object(out->body, "open", REQUIRED, &out->open, e) &&
           field_str(out->body, "cwd", OPTIONAL, &out->cwd, e) &&
           read_strings(out->body, "argv", &out->argv, e) &&
           read_strings(out->body, "env", &out->env, e) &&
           field_int(out->body, "output_bytes", OPTIONAL, 0, INT64_MAX, &out->output_bytes, e) &&
           field_int(out->body, "deadline_ms", OPTIONAL, 0, INT64_MAX, &out->deadline_ms, e) &&
           field_int(out->body, "lease_s", OPTIONAL, 0, INT64_MAX / 1000, &out->lease_s, e) &&
           field_bool(out->body, "stdin_open", OPTIONAL, &out->stdin_open, e) &&
           field_bool(out->body, "alone", OPTIONAL, &out->alone, e);
}

void command_plan_free(struct command_plan *p)
{
    free(p->argv);
    free(p->env);
    json_decref(p->body);
    *p = (struct command_plan){0};
}
