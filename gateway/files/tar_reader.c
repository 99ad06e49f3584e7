/* Reads a tar from whatever pieces it comes in. It is written by somebody whom we do not trust:
 * everything is refused that is not understood, or that would lie elsewhere than it says. */
#include "gateway/files/tar.h"

#include <limits.h>
#include <string.h>

#include "gateway/files/tar_header.h"
#include "protocol/memory.h"

struct tar_reader {
    enum {
        AT_HEADER,
        AT_META, /* a long name or an extended header */
        AT_DATA,
        AT_PADDING,
        AT_END /* nothing that comes means anything */
    } at;
    int64_t limit_bytes; /* that files may still have */
    struct tar_header header;
    size_t header_len; /* of what is there of it */
    char meta_type;    /* of AT_META */
    struct buffer meta;
    int64_t left;    /* of meta or data */
    int64_t padding; /* behind it */
    int64_t entries, rest, left_out;
    bool zero_block; /* the last header was one */
    /* said by what stood before an entry */
    char *path, *target;           /* owned; NULL: its header says it */
    int64_t size;                  /* -1: its header says it */
    int64_t modified;              /* -1: its header says it */
    char *last_path, *last_target; /* owned: of the entry that was told last */
    /* NULL: links that lead out are refused */
    void (*skip)(void *user, const char *path, const char *target);
    void *skip_user;
};

struct tar_reader *tar_reader_new(int64_t file_limit_bytes)
{
    struct tar_reader *r = xcalloc(1, sizeof *r);
    r->limit_bytes = file_limit_bytes;
    r->size = r->modified = -1;
    return r;
}

void tar_reader_skip_links(struct tar_reader *r,
                           void (*skip)(void *user, const char *path, const char *target),
                           void *user)
{
    r->skip = skip;
    r->skip_user = user;
}

void tar_reader_free(struct tar_reader *r)
{
    if (!r)
        return;
    buffer_free(&r->meta);
    free(r->path);
    free(r->target);
    free(r->last_path);
    free(r->last_target);
    free(r);
}

/* What is wrong with the tar itself, not with an entry. */
static enum tar_step broken(const struct tar_reader *r, const char *why, struct err *e)
{
    if (r->last_path)
        fail(e, 400, "tar: behind %.200s: %s", r->last_path, why);
    else
        fail(e, 400, "tar: %s", why);
    return TAR_REFUSED;
}

static enum tar_step refuse(int status, const char *path, const char *why, struct err *e)
{
    fail(e, status, "tar: %.250s: %s", path, why);
    return TAR_REFUSED;
}

/* Octal digits between blanks and NULs, or GNU's base 256. -1: neither, negative, or too large. */
static int64_t number_of(const char *field, size_t len)
{
    uint64_t value = 0;
    size_t i = 0;
    if ((unsigned char)field[0] == 0x80) {
        for (i = 1; i < len; i++) {
            if (value >> 55)
                return -1;
            value = value << 8 | (unsigned char)field[i];
        }
        return (int64_t)value;
    }
    while (i < len && field[i] == ' ')
        i++;
    for (; i < len && field[i] >= '0' && field[i] <= '7'; i++)
        value = value << 3 | (uint64_t)(field[i] - '0');
    for (; i < len; i++)
        if (field[i] != ' ' && field[i] != '\0')
            return -1;
    return (int64_t)value;
}

static char *text_of(const char *field, size_t len)
{
    return xstrndup(field, strnlen(field, len));
}

static char *header_path(const struct tar_header *h)
{
    char *path = text_of(h->path, sizeof h->path);
    if (memcmp(h->magic, "ustar", 6) != 0 || !h->prefix[0])
        return path;
    scoped(string) char *name = path;
    return xasprintf("%.*s/%s", (int)sizeof h->prefix, h->prefix, name);
}

/* Without "./" before it, doubled slashes and one at the end. NULL with e: it leads out, or is too
 * long. "": the place itself. */
static char *clean(const char *path, struct err *e)
{
    scoped(buffer) struct buffer out = {0};
    if (*path == '/') {
        refuse(400, path, "its path is absolute", e);
        return NULL;
    }
    for (const char *at = path; *at;) {
        struct bytes part = {at, strcspn(at, "/")};
        if (bytes_is(part, "..") || part.len > NAME_MAX) {
            refuse(400, path, part.len > NAME_MAX ? "a name is too long" : "its path has a ..", e);
            return NULL;
        }
        if (part.len && !bytes_is(part, ".")) {
            if (out.len)
                buffer_add_text(&out, "/");
            buffer_add_bytes(&out, part);
        }
        at += part.len + (at[part.len] == '/');
    }
    if (out.len >= PATH_MAX) {
        refuse(400, path, "its path is too long", e);
        return NULL;
    }
    return xstrdup(buffer_text(&out));
}

bool tar_leads_out(const char *path, const char *target)
{
    int depth = 0;
    for (; *path; path++)
        depth += *path == '/';
    if (*target == '/')
        return true;
    while (*target) {
        struct bytes part = {target, strcspn(target, "/")};
        if (bytes_is(part, ".."))
            depth--;
        else if (part.len && !bytes_is(part, "."))
            depth++;
        if (depth < 0)
            return true;
        target += part.len + (target[part.len] == '/');
    }
    return false;
}

/* --- what stands before an entry */

static bool take_number(struct bytes text, int64_t *out)
{
    uint64_t value = 0;
    size_t i = 0;
    for (; i < text.len && text.data[i] >= '0' && text.data[i] <= '9'; i++) {
        if (value > INT64_MAX / 10 - 1)
            return false;
        value = value * 10 + (uint64_t)(text.data[i] - '0');
    }
    *out = (int64_t)value;
    return i > 0 &&
           (i == text.len || text.data[i] == '.'); /* the rest of a second is passed over */
}

static bool take_text(struct bytes text, char **out)
{
    if (!text.len || memchr(text.data, '\0', text.len))
        return false;
    free(*out);
    *out = xstrndup(text.data, text.len);
    return true;
}

static bool take_record(struct tar_reader *r, struct bytes key, struct bytes value)
{
    if (bytes_is(key, "path"))
        return take_text(value, &r->path);
    if (bytes_is(key, "linkpath"))
        return take_text(value, &r->target);
    if (bytes_is(key, "size"))
        return take_number(value, &r->size) && !memchr(value.data, '.', value.len);
    if (bytes_is(key, "mtime") && value.len && *value.data != '-')
        return take_number(value, &r->modified);
    return true;
}

/* "<length> <key>=<value>\n", the length being that of all of it. */
static const char *take_records(struct tar_reader *r)
{
    struct bytes rest = buffer_view(&r->meta);
    while (rest.len) {
        int64_t len = 0;
        const char *blank = memchr(rest.data, ' ', rest.len);
        struct bytes digits = {rest.data, blank ? (size_t)(blank - rest.data) : 0};
        if (!blank || memchr(digits.data, '.', digits.len) || !take_number(digits, &len) ||
            len > (int64_t)rest.len || len < (int64_t)digits.len + 4 || rest.data[len - 1] != '\n')
            return "an extended header is broken";
        const char *end = rest.data + len - 1, *equals = memchr(blank, '=', (size_t)(end - blank));
        if (!equals)
            return "an extended header is broken";
        struct bytes key = {blank + 1, (size_t)(equals - blank - 1)};
        if (key.len > 10 && memcmp(key.data, "GNU.sparse", 10) == 0)
            return "a sparse file, which is not taken";
        if (!take_record(r, key, (struct bytes){equals + 1, (size_t)(end - equals - 1)}))
            return "an extended header says what cannot be";
        rest.data += len;
        rest.len -= (size_t)len;
    }
    return NULL;
}

static enum tar_step end_meta(struct tar_reader *r, struct err *e)
{
    const char *why = NULL;
    size_t len = strnlen(r->meta.data ? r->meta.data : "", r->meta.len);
    if (r->meta_type == 'g')
        r->left_out += r->meta.len && strstr(buffer_text(&r->meta), " comment=left out: ") != NULL;
    else if (r->meta_type == 'x')
        why = take_records(r);
    else if (r->meta_type != 'g' && !take_text((struct bytes){r->meta.data, len},
                                               r->meta_type == 'L' ? &r->path : &r->target))
        why = "a long name is empty";
    r->at = AT_PADDING;
    return why ? broken(r, why, e) : TAR_NEEDS;
}

static enum tar_step begin_meta(struct tar_reader *r, int64_t size, struct err *e)
{
    if (size > TAR_META_MOST)
        return broken(r, "a long name or an extended header is longer than 64 KiB", e);
    buffer_clear(&r->meta);
    r->meta_type = r->header.type;
    r->left = size;
    r->padding = -size & (TAR_BLOCK - 1);
    r->at = AT_META;
    return TAR_NEEDS;
}

/* --- headers */

static void forget_said(struct tar_reader *r)
{
    free(r->path);
    free(r->target);
    r->path = r->target = NULL;
    r->size = r->modified = -1;
}

static enum tar_step begin_file(struct tar_reader *r, int64_t size, struct tar_entry *entry,
                                struct err *e)
{
    if (size > r->limit_bytes)
        return refuse(413, entry->path, "with it the files are longer than --file-limit", e);
    r->limit_bytes -= size;
    entry->size_bytes = size;
    r->left = size;
    r->padding = -size & (TAR_BLOCK - 1);
    r->at = AT_DATA;
    return TAR_ENTRY;
}

static const char *not_taken(char type)
{
    switch (type) {
    case '1':
        return "a hard link, which is not taken";
    case '3':
    case '4':
        return "a device, which is not taken";
    case '6':
        return "a FIFO, which is not taken";
    case 'S':
        return "a sparse file, which is not taken";
    default:
        return "an entry of a kind that is not known";
    }
}

/* An entry that is told: its path, kind and size are known. */
static enum tar_step tell(struct tar_reader *r, struct tar_entry *entry, int64_t size, bool slash,
                          struct err *e)
{
    char type = r->header.type;
    int64_t mode = number_of(r->header.mode, sizeof r->header.mode);
    int64_t modified = number_of(r->header.modified, sizeof r->header.modified);
    *entry = (struct tar_entry){
        .path = r->last_path,
        .mode = mode < 0 ? 0644 : (unsigned)(mode & 0777),
        .modified.tv_sec = r->modified >= 0 ? r->modified
                           : modified < 0   ? 0
                                            : modified,
    };
    if (type == '2') {
        free(r->last_target);
        r->last_target =
            r->target ? take(&r->target) : text_of(r->header.target, sizeof r->header.target);
        if (!*r->last_target || strlen(r->last_target) >= PATH_MAX)
            return refuse(400, entry->path, "a link to nothing, or too long", e);
        bool out = tar_leads_out(entry->path, r->last_target);
        if (out && !r->skip)
            return refuse(400, entry->path, "a link that leads out", e);
        if (out) {
            r->skip(r->skip_user, entry->path, r->last_target);
            return TAR_NEEDS;
        }
        entry->kind = TAR_SYMLINK;
        entry->target = r->last_target;
        return TAR_ENTRY;
    }
    if (type == '5' || (slash && (type == '0' || type == '\0'))) { /* the second before POSIX */
        entry->kind = TAR_FOLDER;
        return TAR_ENTRY;
    }
    if (type != '0' && type != '\0' && type != '7')
        return refuse(400, entry->path, not_taken(type), e);
    return begin_file(r, r->size >= 0 ? r->size : size, entry, e);
}

static enum tar_step begin_entry(struct tar_reader *r, int64_t size, struct tar_entry *entry,
                                 struct err *e)
{
    scoped(string) char *raw = r->path ? take(&r->path) : header_path(&r->header);
    char *path = clean(raw, e);
    if (!path)
        return TAR_REFUSED;
    bool slash = *raw && raw[strlen(raw) - 1] == '/';
    bool folder = r->header.type == '5' || slash;
    if (!*path && folder) { /* "./": where it is unpacked */
        free(path);
        forget_said(r);
        return TAR_NEEDS;
    }
    free(r->last_path);
    r->last_path = path;
    if (!*path)
        return broken(r, "an entry has no name", e);
    enum tar_step step = tell(r, entry, size, slash, e);
    forget_said(r);
    return step;
}

static bool is_zero(const struct tar_header *h)
{
    static const struct tar_header zero;
    return memcmp(h, &zero, sizeof zero) == 0;
}

static enum tar_step take_header(struct tar_reader *r, struct tar_entry *entry, struct err *e)
{
    const struct tar_header *h = &r->header;
    r->header_len = 0;
    if (is_zero(h)) {
        r->at = r->zero_block ? AT_END : AT_HEADER;
        r->zero_block = true;
        return TAR_NEEDS;
    }
    if (r->zero_block)
        return broken(r, "a block of zeros stands in the middle", e);
    if (number_of(h->checksum, sizeof h->checksum) != tar_header_sum(h))
        return broken(r, "this is no tar, or it is broken: a header's checksum is wrong", e);
    int64_t size = number_of(h->size, sizeof h->size);
    if (size < 0)
        return broken(r, "a header says no proper size", e);
    if (++r->entries > TAR_ENTRIES_MOST) {
        fail(e, 413, "tar: behind %.200s: more than %d entries", r->last_path ? r->last_path : "",
             TAR_ENTRIES_MOST);
        return TAR_REFUSED;
    }
    return h->type && strchr("xgLK", h->type) ? begin_meta(r, size, e)
                                              : begin_entry(r, size, entry, e);
}

/* --- steps */

static struct bytes take_bytes(struct bytes *input, int64_t most)
{
    struct bytes out = {input->data, (int64_t)input->len < most ? input->len : (size_t)most};
    input->data += out.len;
    input->len -= out.len;
    return out;
}

static enum tar_step step(struct tar_reader *r, struct bytes *input, struct tar_entry *entry,
                          struct bytes *data, struct err *e)
{
    struct bytes got;
    switch (r->at) {
    case AT_HEADER:
        got = take_bytes(input, TAR_BLOCK - (int64_t)r->header_len);
        memcpy((char *)&r->header + r->header_len, got.data, got.len);
        r->header_len += got.len;
        return r->header_len == TAR_BLOCK ? take_header(r, entry, e) : TAR_NEEDS;
    case AT_META:
        got = take_bytes(input, r->left);
        buffer_add_bytes(&r->meta, got);
        r->left -= (int64_t)got.len;
        return r->left ? TAR_NEEDS : end_meta(r, e);
    case AT_DATA:
        *data = take_bytes(input, r->left);
        r->left -= (int64_t)data->len;
        return TAR_DATA;
    case AT_PADDING:
        r->padding -= (int64_t)take_bytes(input, r->padding).len;
        r->at = r->padding ? AT_PADDING : AT_HEADER;
        return TAR_NEEDS;
    case AT_END:
        r->rest += (int64_t)input->len;
        take_bytes(input, INT64_MAX);
        return r->rest > TAR_REST_MOST ? broken(r, "too much follows its end", e) : TAR_NEEDS;
    }
    return TAR_NEEDS;
}

enum tar_step tar_reader_next(struct tar_reader *r, struct bytes *input, struct tar_entry *entry,
                              struct bytes *data, struct err *e)
{
    for (;;) {
        if (r->at == AT_DATA && !r->left) {
            r->at = AT_PADDING;
            return TAR_COMPLETE;
        }
        if (r->at == AT_META && !r->left) {
            enum tar_step ended = end_meta(r, e);
            if (ended != TAR_NEEDS)
                return ended;
        }
        if (!input->len)
            return TAR_NEEDS;
        enum tar_step told = step(r, input, entry, data, e);
        if (told != TAR_NEEDS)
            return told;
    }
}

int64_t tar_reader_left_out(const struct tar_reader *r)
{
    return r->left_out;
}

bool tar_reader_finish(const struct tar_reader *r, struct err *e)
{
    bool between = r->at == AT_HEADER && !r->header_len && (r->entries || r->zero_block);
    bool said = r->path || r->target || r->size >= 0;
    if (r->at == AT_END || (between && !said) || (r->at == AT_PADDING && !r->padding && !said))
        return true;
    if (r->at == AT_DATA || r->at == AT_PADDING)
        return fail(e, 400, "tar: %.250s: breaks off in it", r->last_path ? r->last_path : "");
    broken(r, "it breaks off, or is empty", e);
    return false;
}
