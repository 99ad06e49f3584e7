/* Written by a gateway that listens, read by the command-line tool. All goes by descriptors of
 * folders that were found to be ours, because the usual place may lie in /tmp. */
#include "gateway/server_record.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/launch/process.h"
#include "protocol/json.h"

#define RECORD_LIMIT_BYTES (64 * 1024)
#define RECORDS_LIMIT      1000

/* A folder that this user owns; -1: it is none. */
static int open_own(int at, const char *name)
{
    struct stat about;
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (fstat(fd, &about) == 0 && about.st_uid == geteuid())
        return fd;
    close(fd);
    return -1;
}

/* -1: there is none, or it belongs to somebody else. */
static int open_servers(const char *dir, bool make)
{
    if (make)
        mkdir(dir, 0700);
    int base = open_own(AT_FDCWD, dir);
    if (base < 0)
        return -1;
    if (make)
        mkdirat(base, "servers", 0700);
    int fd = open_own(base, "servers");
    close(base);
    return fd;
}

static bool write_file(int folder, const char *name, const char *text)
{
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    size_t len = strlen(text);
    bool ok = write(fd, text, len) == (ssize_t)len;
    return close(fd) == 0 && ok;
}

bool server_record_write(const char *dir, const struct server_record *record, struct err *e)
{
    int folder = open_servers(dir, true);
    if (folder < 0)
        return fail(e, 503, "the folder %.150s/servers cannot be made, or is not ours", dir);
    char name[32], partial[40];
    snprintf(name, sizeof name, "%d.json", (int)getpid());
    snprintf(partial, sizeof partial, "%s.new", name);
    scoped(json) json_t *body =
        json_pack("{s:i, s:I, s:s, s:s, s:s}", "pid", (int)getpid(), "start",
                  (json_int_t)process_start(getpid()), "url", record->url, "base_url",
                  record->base_url, "token", record->token);
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    unlinkat(folder, partial, 0); /* of one that was killed and had our pid */
    bool ok =
        text && write_file(folder, partial, text) && renameat(folder, partial, folder, name) == 0;
    if (!ok)
        fail_errno(e, 503, "%.150s/servers/%s cannot be written", dir, name);
    free(text);
    close(folder);
    return ok;
}

void server_record_remove(const char *dir)
{
    char name[32];
    int folder = open_servers(dir, false);
    if (folder < 0)
        return;
    snprintf(name, sizeof name, "%d.json", (int)getpid());
    unlinkat(folder, name, 0);
    close(folder);
}

/* The whole of a file that this user alone may read; false: it is none. */
static bool read_file(int folder, const char *name, struct buffer *out)
{
    struct stat about;
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = fstat(fd, &about) == 0 && S_ISREG(about.st_mode) && about.st_uid == geteuid() &&
              (about.st_mode & 077) == 0 && about.st_size <= RECORD_LIMIT_BYTES;
    if (ok) {
        ssize_t got = read(fd, buffer_reserve(out, RECORD_LIMIT_BYTES), RECORD_LIMIT_BYTES);
        ok = got > 0;
        out->len = ok ? (size_t)got : 0;
    }
    close(fd);
    return ok;
}

static bool decode(struct bytes text, struct server_record *out)
{
    int64_t pid = 0, start = 0;
    const char *url = NULL, *base_url = NULL, *token = NULL;
    scoped(json) json_t *body = json_parse_object(text, "record", RECORD_LIMIT_BYTES, NULL);
    if (!body || !field_int(body, "pid", REQUIRED, 1, INT32_MAX, &pid, NULL) ||
        !field_int(body, "start", REQUIRED, 1, INT64_MAX, &start, NULL) ||
        !field_str(body, "url", REQUIRED, &url, NULL) ||
        !field_str(body, "base_url", REQUIRED, &base_url, NULL) ||
        !field_str(body, "token", REQUIRED, &token, NULL) ||
        process_start((pid_t)pid) != (uint64_t)start)
        return false;
    *out = (struct server_record){xstrdup(url), xstrdup(base_url), xstrdup(token)};
    return true;
}

size_t server_record_list(const char *dir, struct server_record **out)
{
    size_t count = 0;
    *out = NULL;
    int fd = open_servers(dir, false);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder)
        return 0;
    struct dirent *entry;
    while (count < RECORDS_LIMIT && (entry = readdir(folder))) {
        size_t len = strlen(entry->d_name);
        scoped(buffer) struct buffer text = {0};
        struct server_record found;
        if (len < 6 || strcmp(entry->d_name + len - 5, ".json") != 0 ||
            !read_file(fd, entry->d_name, &text) || !decode(buffer_view(&text), &found))
            continue;
        *out = xrealloc(*out, (count + 1) * sizeof **out);
        (*out)[count++] = found;
    }
    closedir(folder);
    return count;
}

void server_records_free(struct server_record *records, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(records[i].url);
        free(records[i].base_url);
        free(records[i].token);
    }
    free(records);
}
