/* The folder, the keys, the sealed records and what is hidden in files of others. Big files are in
 * vault_file.c.
 *
 * Invariant: a record that vault_get gives is, byte for byte, one that vault_put took for the same
 * sandbox and name. */
#include "gateway/store/vault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "gateway/store/vault_folder.h"
#include "protocol/ids.h"
#include "protocol/json.h"

#define RECORD_LIMIT_BYTES (64u * 1024 * 1024)
#define RECORD_SUFFIX      ".sealed"

struct vault {
    char *folder;
    struct seal_keys keys;
};

const struct seal_keys *vault_keys(const struct vault *v)
{
    return &v->keys;
}

char *vault_path(const struct vault *v, const char *sandbox, const char *name)
{
    return name ? xasprintf("%s/%s/%s", v->folder, sandbox, name)
                : xasprintf("%s/%s", v->folder, sandbox);
}

bool vault_sync_folder(const char *path, struct err *e)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool synced = fd >= 0 && fsync(fd) == 0;
    if (!synced)
        fail_errno(e, 503, "the folder %.150s cannot be synced", path);
    if (fd >= 0)
        close(fd);
    return synced;
}

bool vault_make_folder(const struct vault *v, const char *sandbox, struct err *e)
{
    scoped(string) char *path = vault_path(v, sandbox, NULL);
    if (mkdir(path, 0700) == 0)
        return vault_sync_folder(v->folder, e);
    return errno == EEXIST || fail_errno(e, 503, "the folder %.150s cannot be made", path);
}

bool vault_write(int fd, struct bytes data, struct err *e)
{
    while (data.len) {
        ssize_t wrote = write(fd, data.data, data.len);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return fail_errno(e, 503, "a snapshot cannot be written");
        data.data += wrote;
        data.len -= (size_t)wrote;
    }
    return true;
}

/* A file in the place of another is its owner's: an administrator may put it there. */
static bool keep_owner(int fd, const char *path, struct err *e)
{
    struct stat old;
    return lstat(path, &old) != 0 || old.st_uid == geteuid() ||
           fchown(fd, old.st_uid, old.st_gid) == 0 ||
           fail_errno(e, 503, "the owner of the file %.150s cannot be kept", path);
}

/* Writes the whole of a new file at path by way of path + ".new", synced. */
static bool put_file(const char *path, struct bytes data, struct err *e)
{
    scoped(string) char *fresh = xasprintf("%s.new", path);
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = open(fresh, flags, 0600);
    if (fd < 0 && errno == EEXIST && unlink(fresh) == 0) /* what one that was killed left */
        fd = open(fresh, flags, 0600);
    if (fd < 0)
        return fail_errno(e, 503, "the file %.150s cannot be made", fresh);
    bool good = keep_owner(fd, path, e) && vault_write(fd, data, e) &&
                (fdatasync(fd) == 0 || fail_errno(e, 503, "a snapshot cannot be synced"));
    close(fd);
    return good &&
           (rename(fresh, path) == 0 || fail_errno(e, 503, "the file %.150s cannot be put", path));
}

/* The bytes of a file of at most limit; given. */
static char *read_file(const char *path, size_t limit, size_t *len, struct err *e)
{
    struct stat found;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        fail_errno(e, errno == ENOENT ? 404 : 503, "the file %.150s cannot be read", path);
        return NULL;
    }
    char *text = NULL;
    *len = 0;
    if (fstat(fd, &found) == 0 && S_ISREG(found.st_mode) && (size_t)found.st_size <= limit) {
        text = xmalloc((size_t)found.st_size);
        ssize_t got = 1;
        while (*len < (size_t)found.st_size && got > 0) {
            got = read(fd, text + *len, (size_t)found.st_size - *len);
            *len += got > 0 ? (size_t)got : 0;
        }
        if (*len < (size_t)found.st_size)
            free(take(&text));
    }
    close(fd);
    if (!text)
        fail(e, 503, "the file %.150s cannot be read", path);
    return text;
}

static bool find_keys(struct vault *v, const char *state_dir, struct err *e)
{
    scoped(string) char *path = xasprintf("%s/snapshot.key", state_dir);
    if (seal_keys_read(path, &v->keys, e))
        return true;
    if (e->status != 404)
        return false;
    *e = (struct err){0};
    v->keys.count = 1;
    if (getrandom(v->keys.key[0], SEAL_KEY_BYTES, 0) != SEAL_KEY_BYTES)
        return fail_errno(e, 503, "no random bytes");
    return put_file(path, (struct bytes){(char *)v->keys.key[0], SEAL_KEY_BYTES}, e) &&
           vault_sync_folder(state_dir, e);
}

static bool put_in_front(const char *path, bool drop_oldest, size_t *count, struct err *e)
{
    struct seal_keys keys = {0};
    char fresh[SEAL_KEYS_LIMIT][SEAL_KEY_BYTES];
    if (!seal_keys_read(path, &keys, e))
        return false;
    if (keys.count == SEAL_KEYS_LIMIT && !drop_oldest)
        return fail(e, 409,
                    "%.150s holds %d keys, the most that there may be: the oldest one has "
                    "to be dropped, and with it what it alone opens",
                    path, SEAL_KEYS_LIMIT);
    keys.count -= keys.count == SEAL_KEYS_LIMIT;
    *count = keys.count + 1;
    memcpy(fresh[1], keys.key, keys.count * SEAL_KEY_BYTES);
    bool good = (getrandom(fresh[0], SEAL_KEY_BYTES, 0) == SEAL_KEY_BYTES ||
                 fail_errno(e, 503, "no random bytes")) &&
                put_file(path, (struct bytes){fresh[0], *count * SEAL_KEY_BYTES}, e);
    OPENSSL_cleanse(&keys, sizeof(keys));
    OPENSSL_cleanse(fresh, sizeof(fresh));
    return good;
}

int vault_lock(const char *state_dir, struct err *e)
{
    scoped(string) char *path = xasprintf("%s/state.lock", state_dir);
    int lock = open(path, O_RDWR | O_CLOEXEC);
    if (lock < 0) {
        fail_errno(e, errno == ENOENT ? 404 : 503, "%.200s is no state folder", state_dir);
    } else if (flock(lock, LOCK_EX | LOCK_NB) != 0) {
        close(lock);
        lock = -1;
        fail(e, 409, "a gateway uses %.200s: end it first", state_dir);
    }
    return lock;
}

bool vault_rotate(const char *state_dir, bool drop_oldest, size_t *count, struct err *e)
{
    scoped(string) char *path = xasprintf("%s/snapshot.key", state_dir);
    int lock = vault_lock(state_dir, e);
    if (lock < 0)
        return false;
    bool good = put_in_front(path, drop_oldest, count, e) && vault_sync_folder(state_dir, e);
    close(lock);
    return good;
}

bool vault_drop_keys(struct vault *v, const char *state_dir, size_t *dropped, struct err *e)
{
    scoped(string) char *path = xasprintf("%s/snapshot.key", state_dir);
    const struct bytes first = {(char *)v->keys.key[0], SEAL_KEY_BYTES};
    *dropped = v->keys.count - 1;
    if (*dropped && !(put_file(path, first, e) && vault_sync_folder(state_dir, e)))
        return false;
    v->keys.count = 1;
    return true;
}

struct vault *vault_open(const char *state_dir, struct err *e)
{
    struct vault *v = xcalloc(1, sizeof *v);
    v->folder = xasprintf("%s/snapshots", state_dir);
    if ((mkdir(v->folder, 0700) == 0 || errno == EEXIST ||
         fail_errno(e, 503, "the folder %.150s cannot be made", v->folder)) &&
        find_keys(v, state_dir, e))
        return v;
    vault_close(v);
    return NULL;
}

void vault_close(struct vault *v)
{
    if (!v)
        return;
    OPENSSL_cleanse(&v->keys, sizeof(v->keys));
    free(v->folder);
    free(v);
}

/* Calls each with the names in a folder that fit; stem: without the suffix. */
static void each_name(const char *path, const char *suffix,
                      void (*each)(void *user, const char *name), void *user)
{
    DIR *handle = opendir(path);
    struct dirent *entry;
    while (handle && (entry = readdir(handle))) {
        size_t len = strlen(entry->d_name), tail = strlen(suffix);
        if (entry->d_name[0] == '.' || len <= tail ||
            strcmp(entry->d_name + len - tail, suffix) != 0)
            continue;
        scoped(string) char *stem = xstrndup(entry->d_name, len - tail);
        each(user, stem);
    }
    if (handle)
        closedir(handle);
}

void vault_each(const struct vault *v, void (*each)(void *user, const char *sandbox), void *user)
{
    each_name(v->folder, "", each, user);
}

bool vault_holds(const struct vault *v, const char *sandbox)
{
    scoped(string) char *path = vault_path(v, sandbox, NULL);
    return access(path, F_OK) == 0;
}

void vault_records(const struct vault *v, const char *sandbox,
                   void (*each)(void *user, const char *name), void *user)
{
    scoped(string) char *path = vault_path(v, sandbox, NULL);
    each_name(path, RECORD_SUFFIX, each, user);
}

struct passing {
    void (*each)(void *user, const char *name);
    void *user;
};

static void pass_file(void *user, const char *name)
{
    const struct passing *p = user;
    if (vault_is_file(name))
        p->each(p->user, name);
}

void vault_files(const struct vault *v, const char *sandbox,
                 void (*each)(void *user, const char *name), void *user)
{
    scoped(string) char *path = vault_path(v, sandbox, NULL);
    each_name(path, "", pass_file, &(struct passing){each, user});
}

static char *record_path(const struct vault *v, const char *sandbox, const char *name)
{
    scoped(string) char *file = xasprintf("%s" RECORD_SUFFIX, name);
    return vault_path(v, sandbox, file);
}

static char *record_context(const char *sandbox, const char *name)
{
    return xasprintf("record %s/%s", sandbox, name);
}

bool vault_put(const struct vault *v, const char *sandbox, const char *name, const json_t *record,
               struct err *e)
{
    scoped(string) char *text = json_dumps(record, JSON_COMPACT);
    scoped(string) char *path = record_path(v, sandbox, name);
    scoped(string) char *folder = vault_path(v, sandbox, NULL);
    scoped(string) char *context = record_context(sandbox, name);
    scoped(buffer) struct buffer file = {0};
    if (strlen(text) > RECORD_LIMIT_BYTES)
        return fail(e, 413, "the record of a snapshot would be larger than %u bytes",
                    RECORD_LIMIT_BYTES);
    seal_text(&v->keys, context, bytes_of(text), &file);
    return vault_make_folder(v, sandbox, e) && put_file(path, buffer_view(&file), e) &&
           vault_sync_folder(folder, e);
}

json_t *vault_get(const struct vault *v, const char *sandbox, const char *name, struct err *e)
{
    const size_t most = 2 * (size_t)RECORD_LIMIT_BYTES; /* with what sealing adds */
    size_t len;
    struct err why;
    scoped(string) char *path = record_path(v, sandbox, name);
    scoped(string) char *context = record_context(sandbox, name);
    scoped(string) char *file = read_file(path, most, &len, e);
    scoped(buffer) struct buffer text = {0};
    if (!file)
        return NULL;
    if (!unseal_text(&v->keys, context, (struct bytes){file, len}, &text, &why)) {
        fail(e, 503, "the record %.150s is not what was sealed: %s", path, why.text);
        return NULL;
    }
    return json_parse_object(buffer_view(&text), "a sealed record", RECORD_LIMIT_BYTES, e);
}

json_t *vault_hide(const struct vault *v, const char *context, const json_t *value)
{
    scoped(string) char *plain = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    scoped(buffer) struct buffer sealed = {0};
    seal_text(&v->keys, context, bytes_of(plain), &sealed);
    scoped(string) char *text = xmalloc(sealed.len / 3 * 4 + 8);
    EVP_EncodeBlock((unsigned char *)text, (unsigned char *)sealed.data, (int)sealed.len);
    OPENSSL_cleanse(plain, strlen(plain));
    return json_string(text);
}

json_t *vault_reveal(const struct vault *v, const char *context, const json_t *hidden,
                     struct err *e)
{
    const char *text = json_string_value(hidden);
    size_t len = json_string_length(hidden);
    scoped(buffer) struct buffer sealed = {0}, plain = {0};
    if (!text || !len || len % 4 || len > RECORD_LIMIT_BYTES ||
        EVP_DecodeBlock((unsigned char *)buffer_reserve(&sealed, len), (const unsigned char *)text,
                        (int)len) < 0) {
        fail(e, 503, "it is not sealed");
        return NULL;
    }
    sealed.len = len / 4 * 3 - (text[len - 1] == '=') - (text[len - 2] == '=');
    if (!unseal_text(&v->keys, context, buffer_view(&sealed), &plain, e))
        return NULL;
    json_t *value = json_loadb(plain.data, plain.len,
                               JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
    OPENSSL_cleanse(plain.data, plain.len);
    if (!value)
        fail(e, 503, "what was sealed is no JSON");
    return value;
}

json_t *vault_digests(const struct vault *v, const char *context, struct bytes text)
{
    json_t *all = json_array();
    char digest[SEAL_DIGEST_TEXT];
    for (size_t i = 0; i < v->keys.count; i++) {
        seal_digest(&v->keys, i, context, text, digest);
        json_array_append_new(all, json_string(digest));
    }
    return all;
}

void vault_drop(const struct vault *v, const char *sandbox, const char *name)
{
    scoped(string) char *path = record_path(v, sandbox, name);
    unlink(path);
}
