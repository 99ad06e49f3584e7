/* A tar from outside: whatever comes, and in whatever pieces, what is told lies below the place
 * where it is unpacked, has a size that was allowed, and does not depend on the pieces. */
#include "tests/fuzz/fuzz.h"

#include <limits.h>

#include "gateway/files/tar.h"

#define LIMIT (INT64_C(1) << 20)

static void check_path(const char *path)
{
    REQUIRE(*path && *path != '/' && strlen(path) < PATH_MAX);
    for (const char *at = path; *at;) {
        struct bytes part = {at, strcspn(at, "/")};
        REQUIRE(part.len && part.len <= NAME_MAX);
        REQUIRE(!bytes_is(part, ".") && !bytes_is(part, ".."));
        at += part.len + (at[part.len] == '/');
        REQUIRE(*at || at[-1] != '/');
    }
}

static void check_entry(const struct tar_entry *entry)
{
    check_path(entry->path);
    REQUIRE((entry->kind == TAR_SYMLINK) == (entry->target != NULL));
    REQUIRE(entry->kind == TAR_FILE || entry->size_bytes == 0);
    REQUIRE(entry->size_bytes >= 0 && entry->size_bytes <= LIMIT);
    REQUIRE(entry->mode <= 0777 && entry->modified.tv_sec >= 0);
    if (entry->target)
        REQUIRE(*entry->target && *entry->target != '/' && strlen(entry->target) < PATH_MAX);
}

/* Everything that is told, as text; in pieces of `size`. */
static bool read_all(struct bytes input, size_t size, struct buffer *told, struct err *e)
{
    struct tar_reader *r = tar_reader_new(LIMIT);
    struct tar_entry entry = {0};
    struct bytes data;
    int64_t left = 0, all = 0;
    enum tar_step step = TAR_NEEDS;
    while (input.len && step != TAR_REFUSED) {
        struct bytes piece = {input.data, size < input.len ? size : input.len};
        input.data += piece.len;
        input.len -= piece.len;
        while ((step = tar_reader_next(r, &piece, &entry, &data, e)) != TAR_NEEDS &&
               step != TAR_REFUSED) {
            if (step == TAR_ENTRY) {
                REQUIRE(left == 0);
                check_entry(&entry);
                left = entry.size_bytes;
                all += left;
                buffer_printf(told, "%d %s %s %o %lld %lld\n", entry.kind, entry.path,
                              entry.target ? entry.target : "", entry.mode,
                              (long long)entry.modified.tv_sec, (long long)left);
            } else if (step == TAR_DATA) {
                left -= (int64_t)data.len;
                REQUIRE(left >= 0 && data.len);
                buffer_add_bytes(told, data);
            } else {
                REQUIRE(step == TAR_COMPLETE && left == 0 && entry.kind == TAR_FILE);
                buffer_add_text(told, "\n");
            }
        }
        REQUIRE(step == TAR_REFUSED || piece.len == 0);
    }
    REQUIRE(all <= LIMIT);
    bool ok = step != TAR_REFUSED && tar_reader_finish(r, e);
    tar_reader_free(r);
    return ok;
}

bool fuzz_one(struct bytes input)
{
    static const size_t sizes[] = {1, 7, 512, 1000};
    scoped(buffer) struct buffer whole = {0};
    struct err e = {0};
    bool ok = read_all(input, input.len ? input.len : 1, &whole, &e);
    for (size_t i = input.len > 8192 ? 2 : 0; i < sizeof sizes / sizeof *sizes; i++) {
        scoped(buffer) struct buffer pieces = {0};
        struct err why = {0};
        REQUIRE(read_all(input, sizes[i], &pieces, &why) == ok);
        REQUIRE(bytes_equal(buffer_view(&whole), buffer_view(&pieces)));
        REQUIRE(strcmp(e.text, why.text) == 0);
    }
    return ok || refused(&e);
}
