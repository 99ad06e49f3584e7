/* The journal of a host. Locks tell the living from orphans: flock(2) goes with the process. */
#include "kernel/host/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "protocol/ids.h"

#define MAGIC     "WCHJ1\n"
#define ROW_MAGIC 0x574f5248u /* "HROW" */
#define SUFFIX    ".journal"

struct row_head {
    uint32_t magic;
    int64_t session;
    int64_t line;
    uint32_t source_len;
    uint32_t raw_len;
} __attribute__((packed));

struct journal {
    pthread_mutex_t mutex;
    int fd;
    char *path;
    off_t head_bytes;
    uint64_t appended, emptied;
};

char *journal_default_directory(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (state && *state)
        return xasprintf("%s/warmcell/history", state);
    return home && *home ? xasprintf("%s/.local/state/warmcell/history", home) : NULL;
}

static void make_directories(const char *path)
{
    scoped(string) char *part = xstrdup(path);
    for (char *at = part + 1; *at; at++) {
        if (*at != '/')
            continue;
        *at = '\0';
        mkdir(part, 0700);
        *at = '/';
    }
    mkdir(part, 0700);
}

static bool write_head(struct journal *j, const char *database)
{
    struct buffer head = {0};
    uint32_t len = (uint32_t)strlen(database);
    buffer_add_text(&head, MAGIC);
    buffer_add(&head, &len, sizeof len);
    buffer_add(&head, database, len);
    j->head_bytes = (off_t)head.len;
    bool good = write(j->fd, head.data, head.len) == (ssize_t)head.len;
    buffer_free(&head);
    return good;
}

struct journal *journal_open(const char *directory, const char *database, struct err *e)
{
    char unique[17];
    if (access(directory, W_OK) != 0)
        make_directories(directory);
    random_hex(unique, 8);
    struct journal *j = xcalloc(1, sizeof *j);
    pthread_mutex_init(&j->mutex, NULL);
    /* Written and locked under a name that no import looks at. */
    scoped(string) char *hidden = xasprintf("%s/%d-%s.new", directory, (int)getpid(), unique);
    j->path = xasprintf("%s/%d-%s" SUFFIX, directory, (int)getpid(), unique);
    j->fd = open(hidden, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    if (j->fd >= 0 && flock(j->fd, LOCK_EX | LOCK_NB) == 0 && write_head(j, database) &&
        rename(hidden, j->path) == 0)
        return j;
    fail_errno(e, 503, "cannot make a journal in %s", directory);
    unlink(hidden);
    if (j->fd >= 0)
        close(j->fd);
    pthread_mutex_destroy(&j->mutex);
    free(j->path);
    free(j);
    return NULL;
}

bool journal_append(struct journal *j, const struct history_row *row, struct err *e)
{
    struct row_head head = {ROW_MAGIC, row->session, row->line, (uint32_t)row->source.len,
                            (uint32_t)row->source_raw.len};
    struct iovec parts[] = {{&head, sizeof head},
                            {(char *)row->source.data, row->source.len},
                            {(char *)row->source_raw.data, row->source_raw.len}};
    ssize_t whole = (ssize_t)(sizeof head + row->source.len + row->source_raw.len);
    pthread_mutex_lock(&j->mutex);
    off_t before = lseek(j->fd, 0, SEEK_END);
    ssize_t wrote = writev(j->fd, parts, 3);
    bool good = wrote == whole;
    if (good)
        j->appended += (uint64_t)whole;
    else if (wrote >= 0 && ftruncate(j->fd, before) == 0)
        errno = ENOSPC;
    pthread_mutex_unlock(&j->mutex);
    return good || fail_errno(e, 503, "cannot write the history's journal");
}

uint64_t journal_bytes(struct journal *j)
{
    pthread_mutex_lock(&j->mutex);
    uint64_t bytes = j->appended;
    pthread_mutex_unlock(&j->mutex);
    return bytes;
}

void journal_emptied(struct journal *j, uint64_t bytes)
{
    pthread_mutex_lock(&j->mutex);
    if (bytes == j->appended && bytes != j->emptied && ftruncate(j->fd, j->head_bytes) == 0)
        j->emptied = bytes;
    pthread_mutex_unlock(&j->mutex);
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    if (j->emptied == j->appended)
        unlink(j->path);
    close(j->fd);
    pthread_mutex_destroy(&j->mutex);
    free(j->path);
    free(j);
}

static bool cut(struct bytes *text, void *out, size_t len)
{
    if (text->len < len)
        return false;
    memcpy(out, text->data, len);
    *text = (struct bytes){text->data + len, text->len - len};
    return true;
}

static bool cut_view(struct bytes *text, size_t len, struct bytes *out)
{
    if (text->len < len)
        return false;
    *out = (struct bytes){text->data, len};
    *text = (struct bytes){text->data + len, text->len - len};
    return true;
}

bool journal_parse(struct bytes text, const char *database,
                   void (*on_row)(void *data, const struct history_row *row), void *data)
{
    char magic[sizeof MAGIC - 1];
    uint32_t len;
    struct bytes name;
    if (!cut(&text, magic, sizeof magic) || memcmp(magic, MAGIC, sizeof magic) != 0 ||
        !cut(&text, &len, sizeof len) || !cut_view(&text, len, &name) || !bytes_is(name, database))
        return false;
    struct row_head head;
    while (cut(&text, &head, sizeof head) && head.magic == ROW_MAGIC) {
        struct history_row row = {.session = head.session, .line = head.line};
        if (!cut_view(&text, head.source_len, &row.source) ||
            !cut_view(&text, head.raw_len, &row.source_raw))
            break;
        on_row(data, &row);
    }
    return true;
}

static bool read_whole(int fd, struct buffer *out)
{
    struct stat about;
    if (fstat(fd, &about) != 0 || about.st_nlink == 0 || about.st_size > JOURNAL_LIMIT_BYTES)
        return false;
    char *space = buffer_reserve(out, (size_t)about.st_size + 1);
    ssize_t got = pread(fd, space, (size_t)about.st_size, 0);
    if (got < 0)
        return false;
    out->len = (size_t)got;
    return true;
}

static void import_file(const char *path, const char *database,
                        bool (*on_file)(void *data, struct bytes text), void *data)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    struct buffer text = {0};
    struct bytes name;
    uint32_t len;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && read_whole(fd, &text)) {
        struct bytes rest = buffer_view(&text);
        char magic[sizeof MAGIC - 1];
        bool ours = cut(&rest, magic, sizeof magic) && cut(&rest, &len, sizeof len) &&
                    cut_view(&rest, len, &name) && bytes_is(name, database);
        if (ours && on_file(data, buffer_view(&text)))
            unlink(path);
    }
    buffer_free(&text);
    close(fd);
}

/* The name of the next journal in a folder; NULL: there is none. Borrowed from entries. */
static const char *next_journal(DIR *entries)
{
    for (struct dirent *entry; (entry = readdir(entries));) {
        size_t len = strlen(entry->d_name), cut_len = strlen(SUFFIX);
        if (len > cut_len && strcmp(entry->d_name + len - cut_len, SUFFIX) == 0)
            return entry->d_name;
    }
    return NULL;
}

bool journal_any(const char *directory)
{
    DIR *entries = opendir(directory);
    bool any = entries && next_journal(entries);
    if (entries)
        closedir(entries);
    return any;
}

void journal_import(const char *directory, const char *database,
                    bool (*on_file)(void *data, struct bytes text), void *data)
{
    DIR *entries = opendir(directory);
    if (!entries)
        return;
    for (const char *name; (name = next_journal(entries));) {
        scoped(string) char *path = xasprintf("%s/%s", directory, name);
        import_file(path, database, on_file, data);
    }
    closedir(entries);
}
