/* Message headers, read and made. A header is read by slices, not parsed: every message passes
 * here, and names with lone surrogates must not stop one. */
#include "protocol/message.h"

#include <ctype.h>
#include <stdatomic.h>
#include <unistd.h>

#include "protocol/json.h"

#define VERSION "5.5"

/* The members that we use, and where their text goes. */
static const struct {
    const char *name;
    size_t offset;
    enum presence presence;
} members[] = {
    {"msg_id", offsetof(struct header, msg_id), REQUIRED},
    {"msg_type", offsetof(struct header, msg_type), REQUIRED},
    {"session", offsetof(struct header, session), OPTIONAL},
    {"username", offsetof(struct header, username), OPTIONAL},
    {"date", offsetof(struct header, date), OPTIONAL},
    {"version", offsetof(struct header, version), OPTIONAL},
    {"subshell_id", offsetof(struct header, subshell_id), OPTIONAL},
};

static char **place(struct header *h, size_t i)
{
    return (char **)((char *)h + members[i].offset);
}

static bool read_member(struct header *h, size_t i, struct bytes raw, struct err *e)
{
    const char *name = members[i].name;
    if (!raw.data || bytes_is(raw, "null")) {
        if (members[i].presence == REQUIRED)
            return fail(e, 400, "header: %s: is required", name);
        if (place(h, i) != &h->subshell_id)
            *place(h, i) = xstrdup("");
        return true;
    }
    /* jupyter_server's client of a gateway sends the date as seconds since 1970. */
    if (place(h, i) == &h->date && (isdigit((unsigned char)raw.data[0]) || raw.data[0] == '-')) {
        *place(h, i) = xstrndup(raw.data, raw.len);
        return true;
    }
    size_t len = 0;
    scoped(string) char *text = json_slice_string(raw, &len);
    if (!text)
        return fail(e, 400, "header: %s: must be a string", name);
    if (strlen(text) != len)
        return fail(e, 400, "header: %s: must not contain the NUL character", name);
    *place(h, i) = take(&text);
    return true;
}

bool header_parse(struct bytes text, struct header *out, struct err *e)
{
    *out = (struct header){0};
    if (text.len > HEADER_LIMIT_BYTES)
        return fail(e, 413, "header: larger than %d bytes", HEADER_LIMIT_BYTES);
    struct slice slices[countof(members)];
    for (size_t i = 0; i < countof(members); i++)
        slices[i].name = members[i].name;
    struct err why;
    if (!json_slices(text, slices, countof(slices), &why))
        return fail(e, why.status, "header: %s", why.text);
    scoped(header) struct header h = {0};
    for (size_t i = 0; i < countof(members); i++)
        if (!read_member(&h, i, slices[i].value, e))
            return false;
    *out = h;
    h = (struct header){0};
    return true;
}

void header_free(struct header *h)
{
    for (size_t i = 0; i < countof(members); i++)
        free(*place(h, i));
    *h = (struct header){0};
}

/* "session_pid_number", unique among all processes that share a session. The pid is asked for once:
 * what builds headers does not fork. */
static void make_id(struct buffer *out, const char *session)
{
    static atomic_ullong built;
    static atomic_long own_pid;
    long pid = atomic_load_explicit(&own_pid, memory_order_relaxed);
    if (pid == 0) {
        pid = getpid();
        atomic_store_explicit(&own_pid, pid, memory_order_relaxed);
    }
    buffer_add_text(out, session);
    buffer_add_text(out, "_");
    buffer_add_number(out, (uint64_t)pid);
    buffer_add_text(out, "_");
    buffer_add_number(out, atomic_fetch_add_explicit(&built, 1, memory_order_relaxed));
}

static void add_member(struct buffer *out, const char *name, const char *text)
{
    buffer_add_text(out, name);
    json_quote(out, bytes_of(text));
}

void header_build(struct buffer *out, const char *msg_type, const char *session,
                  const char *username)
{
    char date[TIME_TEXT];
    time_now_text(date);
    scoped(buffer) struct buffer id = {0};
    make_id(&id, session);
    add_member(out, "{\"msg_id\":", buffer_text(&id));
    add_member(out, ",\"msg_type\":", msg_type);
    add_member(out, ",\"username\":", username);
    add_member(out, ",\"session\":", session);
    add_member(out, ",\"date\":", date);
    add_member(out, ",\"version\":", VERSION);
    buffer_add_text(out, "}");
}
