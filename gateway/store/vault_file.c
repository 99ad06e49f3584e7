/* The big files of the vault. One that has its name is whole and synced.
 *
 * A file of VAULT_LARGE_BYTES or more has a name of chance, which is sealed with it: a hash would
 * cost more than all the rest. A smaller one is named by its BLAKE2b-512, so that what is the same
 * is kept once; so were all, once. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "gateway/store/vault_folder.h"
#include "protocol/ids.h"

#define BEGUN_BYTES (8 * 1024 * 1024) /* so much at a time is on its way to the disk early */
#define FRESH       "new-"
#define LARGE       "large-" /* and random_hex of NAME_BYTES */
#define NAME_BYTES  16

struct vault_file {
    char *folder, *path;
    int fd;
    off_t written, begun;
    char *name;         /* NULL: that of its hash */
    EVP_MD_CTX *digest; /* where it has no name */
    struct seal *seal;
    struct buffer piece; /* is sealed in its place when it is whole */
};

static bool is_large(const char *name)
{
    return strncmp(name, LARGE, strlen(LARGE)) == 0;
}

/* In whose folder it lies; which of its files, the hash says that is its name (name NULL). */
static char *file_context(const char *sandbox, const char *name)
{
    return name ? xasprintf("file %s of %s", name, sandbox) : xasprintf("file of %s", sandbox);
}

static EVP_MD_CTX *digest_new(void)
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    EVP_DigestInit_ex(digest, EVP_blake2b512(), NULL);
    return digest;
}

static void digest_text(EVP_MD_CTX *digest, char out[VAULT_NAME_TEXT])
{
    unsigned char raw[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    EVP_DigestFinal_ex(digest, raw, &len);
    for (unsigned i = 0; i < (VAULT_NAME_TEXT - 1) / 2; i++)
        snprintf(out + 2 * i, 3, "%02x", raw[i]);
}

/* name: NULL, or one of a large file. */
static struct vault_file *begin(const struct vault *v, const char *sandbox, const char *name,
                                struct err *e)
{
    char random[2 * NAME_BYTES + 1];
    unsigned char head[SEAL_HEAD_BYTES];
    random_hex(random, NAME_BYTES);
    if (!vault_make_folder(v, sandbox, e))
        return NULL;
    struct vault_file *f = xcalloc(1, sizeof *f);
    scoped(string) char *context = file_context(sandbox, name);
    scoped(string) char *fresh = xasprintf(FRESH "%s", random);
    f->folder = vault_path(v, sandbox, NULL);
    f->path = vault_path(v, sandbox, fresh);
    f->name = name ? xstrdup(name) : NULL;
    f->digest = name ? NULL : digest_new();
    f->fd = open(f->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    f->seal = seal_begin(vault_keys(v), context, head);
    f->written = SEAL_HEAD_BYTES;
    if (f->fd < 0)
        fail_errno(e, 503, "the file %.150s cannot be made", f->path);
    else if (vault_write(f->fd, (struct bytes){(char *)head, sizeof(head)}, e))
        return f;
    vault_file_abandon(f);
    return NULL;
}

struct vault_file *vault_file_new(const struct vault *v, const char *sandbox, int64_t bytes,
                                  struct err *e)
{
    char random[2 * NAME_BYTES + 1];
    random_hex(random, NAME_BYTES);
    scoped(string) char *name = bytes >= VAULT_LARGE_BYTES ? xasprintf(LARGE "%s", random) : NULL;
    return begin(v, sandbox, name, e);
}

static bool write_piece(struct vault_file *f, bool last, struct err *e)
{
    buffer_reserve(&f->piece, SEAL_TAG_BYTES);
    seal_piece(f->seal, buffer_view(&f->piece), last, f->piece.data);
    f->piece.len += SEAL_TAG_BYTES;
    if (!vault_write(f->fd, buffer_view(&f->piece), e))
        return false;
    f->written += (off_t)f->piece.len;
    buffer_clear(&f->piece);
    if (f->written - f->begun >= BEGUN_BYTES) { /* the sync at the end then waits for little */
        sync_file_range(f->fd, f->begun, f->written - f->begun, SYNC_FILE_RANGE_WRITE);
        f->begun = f->written;
    }
    return true;
}

/* A piece that is whole waits for more bytes: only then is it known not to be the last. */
bool vault_file_add(struct vault_file *f, struct bytes data, struct err *e)
{
    if (f->digest)
        EVP_DigestUpdate(f->digest, data.data, data.len);
    while (data.len) {
        if (f->piece.len == SEAL_PIECE_BYTES && !write_piece(f, false, e))
            return false;
        size_t room = SEAL_PIECE_BYTES - f->piece.len;
        size_t now = data.len < room ? data.len : room;
        buffer_add(&f->piece, data.data, now);
        data = (struct bytes){data.data + now, data.len - now};
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
    seal_free(f->seal);
    buffer_free(&f->piece);
    free(f->name);
    free(f->folder);
    free(f->path);
    free(f);
}

static bool finish(struct vault_file *f, char name[VAULT_NAME_TEXT], bool replaces, struct err *e)
{
    if (f->name)
        snprintf(name, VAULT_NAME_TEXT, "%s", f->name);
    else
        digest_text(f->digest, name);
    scoped(string) char *path = xasprintf("%s/%s", f->folder, name);
    /* kept already: the new one goes */
    bool good = !replaces && !f->name && access(path, F_OK) == 0;
    if (!good)
        good = write_piece(f, true, e) &&
               (fdatasync(f->fd) == 0 || fail_errno(e, 503, "a snapshot cannot be synced")) &&
               (rename(f->path, path) == 0 ||
                fail_errno(e, 503, "a snapshot cannot be given its name"));
    vault_file_abandon(f);
    return good;
}

bool vault_file_finish(struct vault_file *f, char name[VAULT_NAME_TEXT], struct err *e)
{
    return finish(f, name, false, e);
}

/* So many bytes of it; 503: there are fewer. */
static bool read_all(int fd, char *into, size_t count, struct err *e)
{
    while (count) {
        ssize_t got = read(fd, into, count);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return fail(e, 503, "a part of the snapshot cannot be read");
        into += got;
        count -= (size_t)got;
    }
    return true;
}

/* One file on its way out. */
struct reading {
    int fd;
    struct seal *seal;
    EVP_MD_CTX *digest;   /* NULL: its name is sealed with it */
    struct buffer sealed; /* a piece, which is opened in its place */
    bool (*pass)(void *user, struct bytes piece, struct err *e);
    void *user;
};

static bool read_piece(struct reading *r, size_t sealed, bool last, struct err *e)
{
    struct err why;
    char *at = buffer_reserve(&r->sealed, sealed);
    if (!read_all(r->fd, at, sealed, e))
        return false;
    if (!seal_open_piece(r->seal, (struct bytes){at, sealed}, last, at, &why))
        return fail(e, 503, "a part of the snapshot is not what was saved");
    struct bytes piece = {at, sealed - SEAL_TAG_BYTES};
    if (r->digest)
        EVP_DigestUpdate(r->digest, piece.data, piece.len);
    return !piece.len || r->pass(r->user, piece, e);
}

static bool read_pieces(struct reading *r, size_t left, struct err *e)
{
    const size_t whole = SEAL_PIECE_BYTES + SEAL_TAG_BYTES;
    for (bool last = false; !last; left -= whole) {
        last = left <= whole;
        if (!read_piece(r, last ? left : whole, last, e))
            return false;
    }
    return true;
}

static bool read_open(struct reading *r, const struct vault *v, const char *sandbox,
                      const char *name, struct err *e)
{
    unsigned char head[SEAL_HEAD_BYTES];
    char found[VAULT_NAME_TEXT];
    struct stat st;
    scoped(string) char *context = file_context(sandbox, r->digest ? NULL : name);
    if (fstat(r->fd, &st) != 0 || st.st_size < SEAL_HEAD_BYTES + SEAL_TAG_BYTES)
        return fail(e, 503, "a part of the snapshot is not what was saved");
    if (!read_all(r->fd, (char *)head, sizeof(head), e) ||
        !(r->seal = seal_open(vault_keys(v), context, head, e)) ||
        !read_pieces(r, (size_t)st.st_size - sizeof(head), e))
        return false;
    if (!r->digest)
        return true;
    digest_text(r->digest, found);
    return strcmp(found, name) == 0 || fail(e, 503, "a part of the snapshot is not what was saved");
}

bool vault_file_read(const struct vault *v, const char *sandbox, const char *name,
                     bool (*pass)(void *user, struct bytes piece, struct err *e), void *user,
                     struct err *e)
{
    scoped(string) char *path = vault_path(v, sandbox, name);
    struct reading r = {.fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC),
                        .digest = is_large(name) ? NULL : digest_new(),
                        .pass = pass,
                        .user = user};
    bool good = r.fd >= 0 ? read_open(&r, v, sandbox, name, e)
                          : fail_errno(e, 503, "a part of the snapshot cannot be read");
    if (r.fd >= 0)
        close(r.fd);
    EVP_MD_CTX_free(r.digest);
    seal_free(r.seal);
    buffer_free(&r.sealed);
    return good;
}

static bool add_piece(void *user, struct bytes piece, struct err *e)
{
    return vault_file_add(user, piece, e);
}

bool vault_file_copy(const struct vault *v, const char *from, const char *to, const char *name,
                     struct err *e)
{
    char found[VAULT_NAME_TEXT];
    struct vault_file *f = begin(v, to, is_large(name) ? name : NULL, e);
    if (f && vault_file_read(v, from, name, add_piece, f, e))
        return vault_file_finish(f, found, e);
    vault_file_abandon(f);
    return false;
}

static bool is_newest(const struct vault *v, const char *sandbox, const char *name)
{
    unsigned char head[SEAL_HEAD_BYTES];
    scoped(string) char *path = vault_path(v, sandbox, name);
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    bool newest = fd >= 0 && read(fd, head, sizeof(head)) == (ssize_t)sizeof(head) &&
                  seal_is_newest(vault_keys(v), head);
    if (fd >= 0)
        close(fd);
    return newest;
}

bool vault_file_renew(const struct vault *v, const char *sandbox, const char *name, bool *sealed,
                      struct err *e)
{
    char found[VAULT_NAME_TEXT];
    scoped(string) char *folder = vault_path(v, sandbox, NULL);
    *sealed = !is_newest(v, sandbox, name);
    if (!*sealed)
        return true;
    struct vault_file *f = begin(v, sandbox, is_large(name) ? name : NULL, e);
    if (f && vault_file_read(v, sandbox, name, add_piece, f, e))
        return finish(f, found, true, e) && vault_sync_folder(folder, e);
    vault_file_abandon(f);
    return false;
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

bool vault_is_file(const char *name)
{
    return strlen(name) == VAULT_NAME_TEXT - 1 || is_large(name);
}

static bool is_big(const char *name)
{
    return vault_is_file(name) || strncmp(name, FRESH, strlen(FRESH)) == 0;
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
