/* Writes blobs: temporary file, sync, rename. A name therefore always stands for its whole bytes.
 */
#include "gateway/store/blob.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "gateway/store/sync.h"
#include "protocol/ids.h"

/* Between a look at a name and what is done to it. */
static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER;

struct blob {
    char *state_dir;
    char *path;
    int fd;
    EVP_MD_CTX *digest;
    int64_t size_bytes;
};

static bool make_dir(const char *path, struct err *e)
{
    return mkdir(path, 0700) == 0 || errno == EEXIST ||
           fail_errno(e, 503, "the folder %.150s cannot be made", path);
}

bool blob_prepare(const char *state_dir, size_t *left, struct err *e)
{
    scoped(string) char *blobs = xasprintf("%s/blobs", state_dir);
    scoped(string) char *fresh = xasprintf("%s/blobs/tmp", state_dir);
    if (!make_dir(blobs, e) || !make_dir(fresh, e))
        return false;
    DIR *handle = opendir(fresh);
    struct dirent *entry;
    while (handle && (entry = readdir(handle)))
        if (entry->d_name[0] != '.')
            *left += unlinkat(dirfd(handle), entry->d_name, 0) == 0;
    if (handle)
        closedir(handle);
    return true;
}

struct blob *blob_begin(const char *state_dir, struct err *e)
{
    char random[33];
    random_hex(random, 16);
    struct blob *b = xcalloc(1, sizeof(*b));
    b->state_dir = xstrdup(state_dir);
    b->path = xasprintf("%s/blobs/tmp/%s", state_dir, random);
    b->fd = open(b->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    b->digest = EVP_MD_CTX_new();
    EVP_DigestInit_ex(b->digest, EVP_sha256(), NULL);
    if (b->fd >= 0)
        return b;
    fail_errno(e, 503, "the file %.150s cannot be made", b->path);
    blob_abandon(b);
    return NULL;
}

bool blob_write(struct blob *b, struct bytes data, struct err *e)
{
    EVP_DigestUpdate(b->digest, data.data, data.len);
    b->size_bytes += (int64_t)data.len;
    while (data.len) {
        ssize_t written = write(b->fd, data.data, data.len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return fail_errno(e, 503, "what is to be kept cannot be written");
        data.data += written;
        data.len -= (size_t)written;
    }
    return true;
}

void blob_abandon(struct blob *b)
{
    if (!b)
        return;
    if (b->fd >= 0) {
        close(b->fd);
        unlink(b->path);
    }
    EVP_MD_CTX_free(b->digest);
    free(b->path);
    free(b->state_dir);
    free(b);
}

char *blob_path(const char *state_dir, const char *name)
{
    return xasprintf("%s/blobs/%.2s/%s", state_dir, name, name + 2);
}

/* A name that is told must be there after a power cut, in a folder that is. */
static bool sync_folders(const char *state_dir, const char *dir, bool made, struct err *e)
{
    scoped(string) char *blobs = xasprintf("%s/blobs", state_dir);
    return sync_file(dir, e) && (!made || sync_file(blobs, e));
}

/* Gives the written file its name; afterwards only the name is left. */
static bool settle(struct blob *b, const char *name, struct err *e)
{
    scoped(string) char *path = blob_path(b->state_dir, name);
    scoped(string) char *dir = xasprintf("%s/blobs/%.2s", b->state_dir, name);
    if (utimensat(AT_FDCWD, path, NULL, 0) == 0)         /* young again: blob_drop passes it over */
        return sync_folders(b->state_dir, dir, true, e); /* kept already; the new one goes */
    if (fdatasync(b->fd) != 0)
        return fail_errno(e, 503, "what is to be kept cannot be synced");
    bool made = mkdir(dir, 0700) == 0;
    return (made || make_dir(dir, e)) &&
           (rename(b->path, path) == 0 ||
            fail_errno(e, 503, "what is to be kept cannot be given its name")) &&
           sync_folders(b->state_dir, dir, made, e);
}

bool blob_finish(struct blob *b, char name[BLOB_NAME_TEXT], int64_t *size_bytes, struct err *e)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    EVP_DigestFinal_ex(b->digest, digest, &len);
    for (unsigned i = 0; i < 32; i++)
        snprintf(name + 2 * i, 3, "%02x", digest[i]);
    *size_bytes = b->size_bytes;
    pthread_mutex_lock(&names_lock);
    bool settled = settle(b, name, e);
    pthread_mutex_unlock(&names_lock);
    blob_abandon(b);
    return settled;
}

bool blob_drop(const char *state_dir, const char *name, int64_t young_s, bool dry_run,
               int64_t *size_bytes)
{
    struct stat st;
    scoped(string) char *path = blob_path(state_dir, name);
    pthread_mutex_lock(&names_lock);
    bool old = stat(path, &st) == 0 && time(NULL) - st.st_mtime >= young_s;
    bool gone = old && (dry_run || unlink(path) == 0);
    pthread_mutex_unlock(&names_lock);
    *size_bytes = gone ? st.st_size : 0;
    return gone;
}
