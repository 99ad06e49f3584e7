/* The big files of the vault. One that has its name is whole and synced. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "gateway/store/vault_folder.h"
#include "protocol/ids.h"

#define PIECE_BYTES (1024 * 1024)
#define BEGUN_BYTES (8 * 1024 * 1024) /* so much at a time is on its way to the disk early */
#define FRESH       "new-"

struct vault_file {
    char *folder, *path;
    int fd;
    off_t written, begun;
    EVP_MD_CTX *digest;
};

static EVP_MD_CTX *digest_new(void)
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    EVP_DigestInit_ex(digest, EVP_blake2b512(), NULL);
    return digest;
}

static void digest_text(EVP_MD_CTX *digest, char out[VAULT_HASH_TEXT])
{
    unsigned char raw[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    EVP_DigestFinal_ex(digest, raw, &len);
    for (unsigned i = 0; i < (VAULT_HASH_TEXT - 1) / 2; i++)
        snprintf(out + 2 * i, 3, "%02x", raw[i]);
}

struct vault_file *vault_file_new(const struct vault *v, const char *sandbox, struct err *e)
{
    char random[33];
    random_hex(random, 16);
    if (!vault_make_folder(v, sandbox, e))
        return NULL;
    struct vault_file *f = xcalloc(1, sizeof *f);
    scoped(string) char *name = xasprintf(FRESH "%s", random);
    f->folder = vault_path(v, sandbox, NULL);
    f->path = vault_path(v, sandbox, name);
    f->digest = digest_new();
    f->fd = open(f->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (f->fd >= 0)
        return f;
    fail_errno(e, 503, "the file %.150s cannot be made", f->path);
    vault_file_abandon(f);
    return NULL;
}

bool vault_file_add(struct vault_file *f, struct bytes data, struct err *e)
{
    EVP_DigestUpdate(f->digest, data.data, data.len);
    if (!vault_write(f->fd, data, e))
        return false;
    f->written += (off_t)data.len;
    if (f->written - f->begun >= BEGUN_BYTES) { /* the sync at the end then waits for little */
        sync_file_range(f->fd, f->begun, f->written - f->begun, SYNC_FILE_RANGE_WRITE);
        f->begun = f->written;
    }
    return true;
}

void vault_file_abandon(struct vault_file *f)
{
    if (!f)
        return;
    if (f->fd >= 0) {
        close(f->fd);
        unlink(f->path);
    }
    EVP_MD_CTX_free(f->digest);
    free(f->folder);
    free(f->path);
    free(f);
}

bool vault_file_finish(struct vault_file *f, char hash[VAULT_HASH_TEXT], struct err *e)
{
    digest_text(f->digest, hash);
    scoped(string) char *path = xasprintf("%s/%s", f->folder, hash);
    bool good = access(path, F_OK) == 0; /* kept already; the new one goes */
    if (!good)
        good = (fdatasync(f->fd) == 0 || fail_errno(e, 503, "a snapshot cannot be synced")) &&
               (rename(f->path, path) == 0 ||
                fail_errno(e, 503, "a snapshot cannot be given its name"));
    vault_file_abandon(f);
    return good;
}

bool vault_file_read(const struct vault *v, const char *sandbox, const char *hash,
                     bool (*pass)(void *user, struct bytes piece, struct err *e), void *user,
                     struct err *e)
{
    scoped(string) char *path = vault_path(v, sandbox, hash);
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(e, 503, "a part of the snapshot cannot be read");
    char found[VAULT_HASH_TEXT];
    EVP_MD_CTX *digest = digest_new();
    scoped(string) char *piece = xmalloc(PIECE_BYTES);
    ssize_t got;
    bool good = true;
    while (good && ((got = read(fd, piece, PIECE_BYTES)) > 0 || (got < 0 && errno == EINTR))) {
        struct bytes part = {piece, got > 0 ? (size_t)got : 0};
        EVP_DigestUpdate(digest, part.data, part.len);
        good = pass(user, part, e);
    }
    digest_text(digest, found);
    EVP_MD_CTX_free(digest);
    close(fd);
    return good && (strcmp(found, hash) == 0 ||
                    fail(e, 503, "a part of the snapshot is not what was saved"));
}

static bool is_kept(const json_t *kept, const char *name)
{
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)kept, i, one)
    {
        if (json_is_string(one) && strcmp(json_string_value(one), name) == 0)
            return true;
    }
    return false;
}

static bool is_big(const char *name)
{
    return strlen(name) == VAULT_HASH_TEXT - 1 || strncmp(name, FRESH, strlen(FRESH)) == 0;
}

/* kept NULL: everything goes. */
static void clear(const char *path, const json_t *kept)
{
    DIR *handle = opendir(path);
    struct dirent *entry;
    while (handle && (entry = readdir(handle)))
        if (entry->d_name[0] != '.' &&
            (!kept || (is_big(entry->d_name) && !is_kept(kept, entry->d_name))))
            unlinkat(dirfd(handle), entry->d_name, 0);
    if (handle)
        closedir(handle);
}

void vault_sweep(const struct vault *v, const char *sandbox, const json_t *kept)
{
    scoped(string) char *path = vault_path(v, sandbox, NULL);
    clear(path, kept);
}

void vault_remove(const struct vault *v, const char *sandbox)
{
    scoped(string) char *path = vault_path(v, sandbox, NULL);
    clear(path, NULL);
    rmdir(path);
}
