/* Headers as GNU tar writes them: names of any bytes, long ones in entries of their own before. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gateway/files/tar.h"
#include "gateway/files/tar_header.h"
#include "protocol/utf8.h"

static void add_zeros(struct buffer *out, size_t len)
{
    memset(buffer_reserve(out, len), 0, len);
    out->len += len;
}

void tar_add_padding(struct buffer *out, int64_t size_bytes)
{
    add_zeros(out, (size_t)(-size_bytes & (TAR_BLOCK - 1)));
}

void tar_add_end(struct buffer *out)
{
    add_zeros(out, 2 * (size_t)TAR_BLOCK);
}

/* Octal with a NUL; what does not fit, as base 256. */
static void put_number(char *field, size_t len, int64_t value)
{
    int64_t most = (INT64_C(1) << 3 * (len - 1)) - 1;
    value = value < 0 ? 0 : value;
    if (value <= most) {
        snprintf(field, len, "%0*" PRIo64, (int)len - 1, (uint64_t)value);
        return;
    }
    for (size_t i = len; i-- > 1; value >>= 8)
        field[i] = (char)(value & 0xff);
    field[0] = (char)0x80;
}

static void put_text(char *field, size_t len, const char *text)
{
    size_t have = strlen(text);
    memcpy(field, text, have < len ? have : len);
}

/* entry: whose its mode, owner and time are. */
static void add_block(struct buffer *out, char type, const char *path, const char *target,
                      int64_t size, const struct tar_entry *entry)
{
    struct tar_header h = {.type = type, .magic = "ustar ", .version = " "};
    put_text(h.path, sizeof h.path, path);
    put_text(h.target, sizeof h.target, target);
    put_number(h.mode, sizeof h.mode, entry->mode);
    put_number(h.uid, sizeof h.uid, entry->uid);
    put_number(h.gid, sizeof h.gid, entry->gid);
    put_number(h.size, sizeof h.size, size);
    put_number(h.modified, sizeof h.modified, entry->modified.tv_sec);
    char checksum[sizeof h.checksum + 1];
    snprintf(checksum, sizeof checksum, "%06" PRIo64, tar_header_sum(&h));
    memcpy(h.checksum, checksum, 7);
    h.checksum[7] = ' ';
    buffer_add(out, &h, sizeof h);
}

static void add_meta(struct buffer *out, char type, const char *name, struct bytes text)
{
    static const struct tar_entry plain = {.mode = 0644};
    add_block(out, type, name, "", (int64_t)text.len, &plain);
    buffer_add_bytes(out, text);
    tar_add_padding(out, (int64_t)text.len);
}

static void add_long(struct buffer *out, char type, const char *text)
{
    add_meta(out, type, "././@LongLink", (struct bytes){text, strlen(text) + 1});
}

void tar_add_header(struct buffer *out, const struct tar_entry *entry)
{
    static const char types[] = {[TAR_FILE] = '0', [TAR_FOLDER] = '5', [TAR_SYMLINK] = '2'};
    const char *target = entry->target ? entry->target : "";
    scoped(string) char *path =
        xasprintf("%s%s", entry->path, entry->kind == TAR_FOLDER ? "/" : "");
    if (strlen(target) > TAR_NAME)
        add_long(out, 'K', target);
    if (strlen(path) > TAR_NAME)
        add_long(out, 'L', path);
    add_block(out, types[entry->kind], path, target, entry->size_bytes, entry);
}

/* One of an extended header: its length, which counts its own digits, too, its name and value. */
static void add_record(struct buffer *out, const char *name, const char *value)
{
    size_t rest = strlen(" =\n") + strlen(name) + strlen(value), len = rest + 1;
    while (len != rest + (size_t)snprintf(NULL, 0, "%zu", len))
        len++;
    buffer_printf(out, "%zu %s=%s\n", len, name, value);
}

int64_t tar_add_sparse(struct buffer *out, const struct tar_entry *entry,
                       const struct tar_piece *pieces, size_t count)
{
    scoped(buffer) struct buffer records = {0}, map = {0};
    scoped(string) char *size = xasprintf("%" PRId64, entry->size_bytes);
    int64_t bytes = 0;
    buffer_printf(&map, "%zu\n", count + 1);
    for (size_t i = 0; i < count; bytes += pieces[i++].bytes)
        buffer_printf(&map, "%" PRId64 "\n%" PRId64 "\n", pieces[i].at, pieces[i].bytes);
    buffer_printf(&map, "%" PRId64 "\n0\n", entry->size_bytes); /* a hole at the end has an end */
    tar_add_padding(&map, (int64_t)map.len);
    add_record(&records, "GNU.sparse.major", "1");
    add_record(&records, "GNU.sparse.minor", "0");
    add_record(&records, "GNU.sparse.name", entry->path);
    add_record(&records, "GNU.sparse.realsize", size);
    add_meta(out, 'x', "pax_header", buffer_view(&records));
    add_block(out, '0', "GNUSparseFile.0/file", "", (int64_t)map.len + bytes, entry);
    buffer_add_bytes(out, buffer_view(&map));
    return bytes;
}

void tar_add_comment(struct buffer *out, const char *text)
{
    scoped(buffer) struct buffer clean = {0}, record = {0};
    utf8_clean(&clean, bytes_of(text));
    for (size_t i = 0; i < clean.len; i++)
        if (clean.data[i] == '\n')
            clean.data[i] = ' ';
    add_record(&record, "comment", buffer_text(&clean));
    add_meta(out, 'g', "pax_global_header", buffer_view(&record));
}
