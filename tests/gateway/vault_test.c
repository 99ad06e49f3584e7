/* The vault: what is put is what is got, nothing is put that could not be got, and what is on the
 * disk tells nothing and cannot be changed. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/store/seal.h"
#include "gateway/store/vault.h"
#include "gateway/store/vault_stream.h"
#include "protocol/memory.h"
#include "tests/unit.h"

#define SANDBOX "3d22d057-3152-4963-b2cd-cbabab00ceb1"
#define OTHER   "3d22d057-3152-4963-b2cd-cbabab00ceb2"

static json_t *record_of(size_t len)
{
    scoped(string) char *text = xmalloc(len + 1);
    memset(text, 'x', len);
    text[len] = '\0';
    return json_pack("{s:s}", "text", text);
}

struct at {
    char folder[64];
    struct vault *vault;
};

static int set_up(void **state)
{
    struct at *at = xcalloc(1, sizeof(*at));
    struct err e = {0};
    strcpy(at->folder, "/tmp/vault_test-XXXXXX");
    *state = at;
    return mkdtemp(at->folder) && (at->vault = vault_open(at->folder, &e)) ? 0 : -1;
}

static int tear_down(void **state)
{
    struct at *at = *state;
    vault_remove(at->vault, SANDBOX);
    vault_remove(at->vault, OTHER);
    vault_close(at->vault);
    scoped(string) char *key = xasprintf("%s/snapshot.key", at->folder);
    scoped(string) char *snapshots = xasprintf("%s/snapshots", at->folder);
    unlink(key);
    rmdir(snapshots);
    int left = rmdir(at->folder);
    free(at);
    return left;
}

/* The file of a sandbox; given. */
static char *place(const struct at *at, const char *sandbox, const char *name)
{
    return xasprintf("%s/snapshots/%s/%s", at->folder, sandbox, name);
}

static void read_whole(const char *path, struct buffer *out)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    out->len += fread(buffer_reserve(out, 8 << 20), 1, 8 << 20, file);
    fclose(file);
}

static void write_whole(const char *path, struct bytes text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, text.data, text.len), text.len);
    close(fd);
}

static bool holds(const char *path, const char *text)
{
    scoped(buffer) struct buffer file = {0};
    read_whole(path, &file);
    return memmem(file.data, file.len, text, strlen(text)) != NULL;
}

static void test_what_cannot_be_got_is_not_put(void **state)
{
    struct at *at = *state;
    struct err e = {0};
    json_t *small = record_of(1000), *large = record_of(64u * 1024 * 1024);
    assert_true(vault_put(at->vault, SANDBOX, "a", small, &e));
    assert_false(vault_put(at->vault, SANDBOX, "a", large, &e));
    assert_int_equal(e.status, 413);
    json_t *found = vault_get(at->vault, SANDBOX, "a", &e);
    assert_true(json_equal(found, small)); /* it is as it was */
    json_decref(found);
    json_decref(small);
    json_decref(large);
}

static void test_a_record_tells_nothing_and_stays_in_its_place(void **state)
{
    struct at *at = *state;
    struct err e = {0};
    json_t *record = json_pack("{s:s}", "env", "planted-secret");
    scoped(string) char *path = place(at, SANDBOX, "a.sealed");
    scoped(string) char *other = place(at, SANDBOX, "b.sealed");
    scoped(string) char *foreign = place(at, OTHER, "a.sealed");
    scoped(buffer) struct buffer file = {0};
    assert_true(vault_put(at->vault, SANDBOX, "a", record, &e));
    assert_true(vault_put(at->vault, OTHER, "b", record, &e));
    assert_false(holds(path, "planted") || holds(path, "env"));
    read_whole(path, &file);
    write_whole(other, buffer_view(&file));
    write_whole(foreign, buffer_view(&file));
    assert_null(vault_get(at->vault, SANDBOX, "b", &e));
    assert_null(vault_get(at->vault, OTHER, "a", &e));
    for (size_t i = 0; i < file.len; i++) {
        file.data[i] ^= 1;
        write_whole(path, buffer_view(&file));
        if (vault_get(at->vault, SANDBOX, "a", &e) || e.status != 503)
            stop_test("byte %zu was changed", i);
        file.data[i] ^= 1;
    }
    for (size_t len = 0; len < file.len; len++) {
        write_whole(path, (struct bytes){file.data, len});
        if (vault_get(at->vault, SANDBOX, "a", &e))
            stop_test("it was cut to %zu bytes", len);
    }
    json_decref(record);
}

struct got {
    struct buffer all;
};

static bool take_piece(void *user, struct bytes piece, struct err *e)
{
    struct got *got = user;
    (void)e;
    buffer_add_bytes(&got->all, piece);
    return true;
}

static void test_big_files(void **state)
{
    static const size_t sizes[] = {
        0, 1, SEAL_PIECE_BYTES - 1, SEAL_PIECE_BYTES, SEAL_PIECE_BYTES + 1, 3 * SEAL_PIECE_BYTES};
    struct at *at = *state;
    for (size_t i = 0; i < countof(sizes); i++) {
        struct err e = {0};
        char hash[VAULT_NAME_TEXT];
        scoped(string) char *text = xmalloc(sizes[i] + 1);
        struct got got = {0};
        memset(text, 's', sizes[i]);
        struct vault_file *f = vault_file_new(at->vault, SANDBOX, (int64_t)sizes[i], &e);
        for (size_t from = 0, step = 700001; from < sizes[i]; from += step)
            assert_true(vault_file_add(
                f, (struct bytes){text + from, sizes[i] - from < step ? sizes[i] - from : step},
                &e));
        assert_true(vault_file_finish(f, hash, &e));
        assert_true(vault_file_read(at->vault, SANDBOX, hash, take_piece, &got, &e));
        assert_bytes(buffer_view(&got.all), ((struct bytes){text, sizes[i]}));
        scoped(string) char *path = place(at, SANDBOX, hash);
        assert_false(holds(path, "ssssssss"));
        assert_int_equal(truncate(path, SEAL_HEAD_BYTES + SEAL_TAG_BYTES + (off_t)sizes[i] / 2), 0);
        buffer_clear(&got.all);
        if (sizes[i] > 1)
            assert_false(vault_file_read(at->vault, SANDBOX, hash, take_piece, &got, &e));
        assert_true(sizes[i] <= 1 || got.all.len < sizes[i]);
        buffer_free(&got.all);
    }
}

/* Written as one piece; its name. */
static void keep_file(struct at *at, const char *sandbox, struct bytes text,
                      char name[VAULT_NAME_TEXT])
{
    struct err e;
    struct vault_file *f = vault_file_new(at->vault, sandbox, (int64_t)text.len, &e);
    assert_true(f && vault_file_add(f, text, &e) && vault_file_finish(f, name, &e));
}

static bool reads(struct at *at, const char *sandbox, const char *name, struct bytes text)
{
    struct err e;
    struct got got = {0};
    bool same = vault_file_read(at->vault, sandbox, name, take_piece, &got, &e) &&
                got.all.len == text.len && memcmp(got.all.data, text.data, text.len) == 0;
    buffer_free(&got.all);
    return same;
}

/* Below the bound the bytes name a file, from there on chance does: either way none stands for
 * another one, here or in another sandbox. */
static void test_a_big_file_stays_in_its_place(void **state)
{
    static const size_t sizes[] = {VAULT_LARGE_BYTES - 1, VAULT_LARGE_BYTES};
    struct at *at = *state;
    struct err e;
    for (size_t i = 0; i < countof(sizes); i++) {
        char a[VAULT_NAME_TEXT], b[VAULT_NAME_TEXT], again[VAULT_NAME_TEXT];
        scoped(string) char *text = xmalloc(sizes[i]);
        struct bytes bytes = {text, sizes[i]};
        memset(text, 'a', sizes[i]);
        keep_file(at, SANDBOX, bytes, a);
        keep_file(at, SANDBOX, bytes, again);
        assert_int_equal(strcmp(a, again) == 0, sizes[i] < VAULT_LARGE_BYTES);
        assert_true(vault_file_copy(at->vault, SANDBOX, OTHER, a, &e));
        assert_true(reads(at, OTHER, a, bytes));
        text[0] = 'b';
        keep_file(at, SANDBOX, bytes, b);
        assert_true(reads(at, SANDBOX, b, bytes));
        scoped(string) char *path_a = place(at, SANDBOX, a);
        scoped(string) char *path_b = place(at, SANDBOX, b);
        scoped(string) char *path_other = place(at, OTHER, a);
        scoped(buffer) struct buffer file = {0};
        read_whole(path_b, &file);
        write_whole(path_a, buffer_view(&file));
        write_whole(path_other, buffer_view(&file));
        assert_false(reads(at, SANDBOX, a, bytes));
        assert_false(reads(at, OTHER, a, bytes));
        file.data[file.len / 2] ^= 1;
        write_whole(path_b, buffer_view(&file));
        assert_false(reads(at, SANDBOX, b, bytes));
        json_t *kept = json_pack("[s]", a);
        vault_sweep(at->vault, SANDBOX, kept);
        assert_int_equal(access(path_a, F_OK), 0);
        assert_int_not_equal(access(path_b, F_OK), 0);
        json_decref(kept);
    }
}

/* Records of gateways before this one name files of every size by their hash. */
static void test_files_are_found_that_were_named_by_their_hash(void **state)
{
    struct at *at = *state;
    struct err e;
    char name[VAULT_NAME_TEXT];
    const size_t len = 2 * SEAL_PIECE_BYTES + 5;
    scoped(string) char *text = xmalloc(len);
    struct bytes bytes = {text, len};
    memset(text, 'o', len);
    struct vault_file *f = vault_file_new(at->vault, SANDBOX, 0, &e);
    assert_true(f && vault_file_add(f, bytes, &e) && vault_file_finish(f, name, &e));
    assert_int_equal(strlen(name), 128);
    json_t *old = json_pack("{s:I, s:s}", "bytes", (json_int_t)len, "blake2b", name);
    json_t *now = json_pack("{s:I, s:s}", "bytes", (json_int_t)len, "file", name);
    assert_string_equal(json_string_value(vault_buffer_file(old)), name);
    assert_string_equal(json_string_value(vault_buffer_file(now)), name);
    assert_true(reads(at, SANDBOX, name, bytes));
    assert_true(vault_file_copy(at->vault, SANDBOX, OTHER, name, &e));
    assert_true(reads(at, OTHER, name, bytes));
    json_decref(old);
    json_decref(now);
}

static void test_what_is_hidden_elsewhere(void **state)
{
    struct at *at = *state;
    struct err e = {0};
    json_t *value = json_pack("{s:s}", "A", "planted-secret"), *found;
    json_t *hidden = vault_hide(at->vault, "sandbox a", value);
    json_t *again = vault_hide(at->vault, "sandbox a", value);
    assert_false(json_equal(hidden, again));
    found = vault_reveal(at->vault, "sandbox a", hidden, &e);
    assert_true(json_equal(found, value));
    json_decref(found);
    assert_fails(vault_reveal(at->vault, "sandbox b", hidden, &e), e, 503,
                 "it is not what was sealed");
    static const char *const bad[] = {"", "A", "AAAA", "****", "====", "planted-secret"};
    for (size_t i = 0; i < countof(bad); i++) {
        json_t *text = json_string(bad[i]);
        assert_fails(vault_reveal(at->vault, "sandbox a", text, &e), e, 503, "it is not sealed");
        json_decref(text);
    }
    assert_null(vault_reveal(at->vault, "sandbox a", NULL, &e));
    assert_null(vault_reveal(at->vault, "sandbox a", value, &e));
    json_decref(hidden);
    json_decref(again);
    json_decref(value);
}

static void test_a_new_key_in_front(void **state)
{
    struct at *at = *state;
    struct err e = {0};
    json_t *record = record_of(10), *found;
    scoped(string) char *path = xasprintf("%s/snapshot.key", at->folder);
    scoped(buffer) struct buffer keys = {0};
    assert_true(vault_put(at->vault, SANDBOX, "old", record, &e));
    json_t *before = vault_digests(at->vault, "a", bytes_of("text"));
    assert_int_equal(json_array_size(before), 1);
    buffer_add_text(&keys, "0123456789abcdef0123456789abcdef");
    read_whole(path, &keys);
    buffer_text(&keys);
    assert_int_equal(keys.len, 2 * SEAL_KEY_BYTES);
    write_whole(path, buffer_view(&keys));
    vault_close(at->vault);
    at->vault = vault_open(at->folder, &e);
    assert_non_null(found = vault_get(at->vault, SANDBOX, "old", &e));
    json_decref(found);
    assert_true(vault_put(at->vault, SANDBOX, "new", record, &e));
    json_t *after = vault_digests(at->vault, "a", bytes_of("text"));
    json_t *others = vault_digests(at->vault, "b", bytes_of("text"));
    assert_int_equal(json_array_size(after), 2);
    assert_true(json_equal(json_array_get(after, 1), json_array_get(before, 0)));
    assert_false(json_equal(json_array_get(others, 1), json_array_get(before, 0)));
    json_decref(before);
    json_decref(after);
    json_decref(others);
    write_whole(path, (struct bytes){keys.data, SEAL_KEY_BYTES}); /* the old one goes */
    vault_close(at->vault);
    at->vault = vault_open(at->folder, &e);
    assert_non_null(found = vault_get(at->vault, SANDBOX, "new", &e));
    json_decref(found);
    assert_null(vault_get(at->vault, SANDBOX, "old", &e));
    assert_non_null(strstr(e.text, "it was sealed with a key that is not there"));
    json_decref(record);
}

static void count_file(void *user, const char *name)
{
    (void)name;
    ++*(int *)user;
}

/* One that its hash names and one of a name of chance: each in its place, under the first key. */
static void test_files_that_are_sealed_anew(void **state)
{
    static const size_t sizes[] = {3, 2 * SEAL_PIECE_BYTES + 1};
    struct at *at = *state;
    struct err e = {0};
    char names[countof(sizes)][VAULT_NAME_TEXT];
    size_t dropped = 0;
    int files = 0;
    scoped(string) char *path = xasprintf("%s/snapshot.key", at->folder);
    scoped(string) char *text = xmalloc(sizes[1]);
    scoped(buffer) struct buffer keys = {0};
    memset(text, 's', sizes[1]);
    for (size_t i = 0; i < countof(sizes); i++)
        keep_file(at, SANDBOX, (struct bytes){text, sizes[i]}, names[i]);
    buffer_add_text(&keys, "0123456789abcdef0123456789abcdef");
    read_whole(path, &keys);
    write_whole(path, buffer_view(&keys));
    vault_close(at->vault);
    at->vault = vault_open(at->folder, &e);
    for (size_t i = 0; i < countof(sizes); i++) {
        bool first = false, again = true;
        assert_true(vault_file_renew(at->vault, SANDBOX, names[i], &first, &e));
        assert_true(vault_file_renew(at->vault, SANDBOX, names[i], &again, &e));
        assert_true(first && !again);
    }
    assert_true(vault_drop_keys(at->vault, at->folder, &dropped, &e));
    assert_int_equal(dropped, 1);
    vault_close(at->vault);
    at->vault = vault_open(at->folder, &e);
    vault_files(at->vault, SANDBOX, count_file, &files);
    assert_int_equal(files, countof(sizes));
    for (size_t i = 0; i < countof(sizes); i++)
        assert_true(reads(at, SANDBOX, names[i], (struct bytes){text, sizes[i]}));
    assert_false(vault_file_renew(at->vault, OTHER, names[0], &(bool){false}, &e));
}

static void test_what_is_no_key(void **state)
{
    struct at *at = *state;
    struct err e = {0};
    scoped(string) char *path = xasprintf("%s/snapshot.key", at->folder);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(chmod(path, 0640), 0);
    assert_null(vault_open(at->folder, &e));
    assert_non_null(strstr(e.text, "chmod 600"));
    assert_int_equal(chmod(path, 0600), 0);
    static const size_t lengths[] = {0, 31, 33, (SEAL_KEYS_LIMIT + 1) * SEAL_KEY_BYTES};
    char keys[(SEAL_KEYS_LIMIT + 1) * SEAL_KEY_BYTES] = {0};
    for (size_t i = 0; i < countof(lengths); i++) {
        write_whole(path, (struct bytes){keys, lengths[i]});
        assert_null(vault_open(at->folder, &e));
        assert_non_null(strstr(e.text, "is not a key of ours"));
    }
}

#define WITH_VAULT(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_VAULT(test_what_cannot_be_got_is_not_put),
        WITH_VAULT(test_a_record_tells_nothing_and_stays_in_its_place),
        WITH_VAULT(test_big_files),
        WITH_VAULT(test_a_big_file_stays_in_its_place),
        WITH_VAULT(test_files_are_found_that_were_named_by_their_hash),
        WITH_VAULT(test_what_is_hidden_elsewhere),
        WITH_VAULT(test_a_new_key_in_front),
        WITH_VAULT(test_files_that_are_sealed_anew),
        WITH_VAULT(test_what_is_no_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
