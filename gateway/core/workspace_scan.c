/* What a walk shows against what was known: whose each change is, and what is kept of it.
 *
 * Invariant: what belongs to a run that is still to end is left as it was known, so the scan of
 * that run finds it; everything else of the walk becomes known. */
#include "gateway/core/workspace_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "gateway/core/picture.h"
#include "gateway/core/workspace_walk.h"
#include "gateway/files/identity.h"
#include "gateway/core/media_type.h"
#include "gateway/files/path.h"

#define PIECE_BYTES (256 * 1024)
#define TRIES_MOST  3 /* of one file that is written to as it is read */
#define MIB         (INT64_C(1024) * 1024)
/* So much may a ctime be too early: file systems take the time of the last tick of the clock, and a
 * tick of a busy virtual machine may be late. */
#define SLACK_NS INT64_C(20000000)
#define LATER    SIZE_MAX /* it is of no run that is looked at now */

struct pass {
    struct workspace_scan *scan;
    struct settlement *out;
    struct workspace_files now;
    int64_t *run_bytes; /* read of each run, to be kept */
    int64_t look_bytes; /* read of what belongs to none */
    int64_t *run_changes;
    int64_t first_ns; /* when the first of the runs was asked for */
    bool is_first;    /* nothing was known: what was there before belongs to nobody */
    int root;
    char *piece;
};

int64_t workspace_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME_COARSE, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void workspace_scan_clear(struct workspace_scan *scan)
{
    for (size_t i = 0; i < scan->run_count; i++)
        free(scan->runs[i].kernel_id);
    for (size_t i = 0; i < scan->note_count; i++)
        free(scan->notes[i].path);
    workspace_files_free(&scan->known);
    settlement_free(scan->settlement);
    free(scan->runs);
    free(scan->others);
    free(scan->notes);
    free(scan->state_dir);
    free(scan->workspace);
    free(scan->sandbox_id);
    free(scan->principal);
    *scan = (struct workspace_scan){0};
}

/* --- whose it is */

static bool is_below(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    return len == 0 || (strncmp(path, folder, len) == 0 && (path[len] == '\0' || path[len] == '/'));
}

/* The files API did it. now: NULL: it is not there any more. */
static bool is_noted(const struct pass *p, const char *path, const struct workspace_file *now)
{
    char etag[ETAG_TEXT] = "";
    if (now) {
        struct stat st = {.st_ino = (ino_t)now->inode, .st_size = now->size_bytes};
        st.st_mtim.tv_sec = now->modified_ns / 1000000000;
        st.st_mtim.tv_nsec = now->modified_ns % 1000000000;
        entry_etag(&st, etag);
    }
    for (size_t i = 0; i < p->scan->note_count; i++) {
        const struct scan_note *note = &p->scan->notes[i];
        if (note->etag[0]
                ? now && strcmp(note->path, path) == 0 && strcmp(note->etag, etag) == 0
                : is_below(path, note->path) && (!now || now->changed_ns <= note->until_ns))
            return true;
    }
    return false;
}

static bool may_have(const struct scan_run *run, int64_t when_ns)
{
    return run->started_ns && when_ns + SLACK_NS >= run->started_ns && when_ns <= run->ended_ns;
}

/* How many runs may have done what was done then. */
static size_t count_running(const struct pass *p, int64_t when_ns)
{
    size_t count = 0;
    for (size_t i = 0; i < p->scan->run_count; i++)
        count += may_have(&p->scan->runs[i], when_ns);
    for (size_t i = 0; i < p->scan->other_count; i++)
        count += when_ns + SLACK_NS >= p->scan->others[i];
    return count;
}

/* The run that a change at that time is listed with: the first to end of those that ran then. Where
 * none of these is looked at now it is left to one that still runs; and where nothing ran, to the
 * first that ended after it. */
static size_t run_of(const struct pass *p, int64_t when_ns, int *flags)
{
    size_t running = count_running(p, when_ns);
    *flags = running > 1 ? WORKSPACE_CHANGE_SHARED : running ? 0 : WORKSPACE_CHANGE_OUTSIDE;
    for (size_t i = 0; i < p->scan->run_count; i++) {
        const struct scan_run *run = &p->scan->runs[i];
        if (running ? may_have(run, when_ns) : run->started_ns && when_ns <= run->ended_ns)
            return i;
    }
    return LATER;
}

/* Of what is gone nobody knows when. */
static size_t run_of_gone(const struct pass *p, int *flags)
{
    size_t found = LATER, count = p->scan->other_count;
    for (size_t i = p->scan->run_count; i-- > 0;)
        if (p->scan->runs[i].started_ns) {
            found = i;
            count++;
        }
    *flags = count > 1 ? WORKSPACE_CHANGE_SHARED : 0;
    return found;
}

/* --- bytes */

enum taken { TAKEN, NOT_TAKEN, WRITTEN_TO, VANISHED };

/* As root by the uid that the workspace belongs to, which is the sandbox's, also of one that is
 * paused. */
static bool enter(const struct pass *p, struct err *e)
{
    struct stat st;
    return (fstat(p->root, &st) == 0 || fail_errno(e, 503, "the workspace cannot be read")) &&
           identity_enter(st.st_uid, e);
}

/* A descriptor for reading of the file that was seen; -1: errno. */
static int open_seen(const struct pass *p, const struct workspace_file *file, struct err *e)
{
    struct stat st;
    int handle = path_open(p->root, file->path, false, e);
    int fd = -1;
    if (handle >= 0 && fstat(handle, &st) == 0 && S_ISREG(st.st_mode) &&
        (int64_t)st.st_ino == file->inode) {
        fd = path_reopen(handle, O_RDONLY | O_NONBLOCK);
        if (fd < 0)
            path_fail(e, file->path);
    } else {
        fail(e, 404, "it is not there any more");
    }
    if (handle >= 0)
        close(handle);
    return fd;
}

/* All bytes of fd into the blob (NULL: nowhere) and the digest; what may say how large a
 * picture is into head. */
static bool read_all(struct pass *p, int fd, int64_t limit_bytes, struct blob *blob,
                     EVP_MD_CTX *digest, struct picture_head *head, struct err *e)
{
    int64_t total = 0;
    for (;;) {
        ssize_t got = read(fd, p->piece, PIECE_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_errno(e, 503, "it cannot be read");
        if (got == 0)
            return true;
        total += got;
        if (total > limit_bytes)
            return fail(e, 413, "it grew beyond what is kept as it was read");
        picture_head_add(head, (struct bytes){p->piece, (size_t)got});
        EVP_DigestUpdate(digest, p->piece, (size_t)got);
        if (blob && !blob_write(blob, (struct bytes){p->piece, (size_t)got}, e))
            return false;
    }
}

static void finish_digest(EVP_MD_CTX *digest, char out[BLOB_NAME_TEXT])
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    EVP_DigestFinal_ex(digest, bytes, &len);
    for (unsigned i = 0; i < 32; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

/* Reads what the open file holds, into a blob if it is kept, which is begun and finished as the
 * gateway: only reading is the sandbox's. Then file is what was read, if nobody wrote meanwhile. */
static enum taken take_once(struct pass *p, int fd, struct workspace_file *file, bool keep,
                            struct picture_head *head, struct err *e)
{
    struct stat before, after;
    struct blob *blob = keep ? blob_begin(p->scan->state_dir, e) : NULL;
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    EVP_DigestInit_ex(digest, EVP_sha256(), NULL);
    buffer_clear(&head->bytes);
    head->pass = 0;
    bool ok = (blob || !keep) && fstat(fd, &before) == 0 && lseek(fd, 0, SEEK_SET) == 0 &&
              read_all(p, fd, WORKSPACE_FILE_MIB * MIB, blob, digest, head, e);
    finish_digest(digest, file->sha256);
    EVP_MD_CTX_free(digest);
    bool same = ok && fstat(fd, &after) == 0 && after.st_size == before.st_size &&
                after.st_mtim.tv_nsec == before.st_mtim.tv_nsec &&
                after.st_mtim.tv_sec == before.st_mtim.tv_sec;
    int64_t size = 0;
    if (same) {
        workspace_file_fill(file, &after);
        if (!blob || blob_finish(blob, file->sha256, &size, e))
            return TAKEN;
        blob = NULL;
    }
    blob_abandon(blob);
    file->sha256[0] = '\0';
    return ok && !same ? WRITTEN_TO : NOT_TAKEN;
}

static enum taken take_file(struct pass *p, struct workspace_file *file, bool keep,
                            struct picture_head *head, struct err *e)
{
    if (!enter(p, e))
        return NOT_TAKEN;
    int fd = open_seen(p, file, e);
    identity_leave();
    if (fd < 0)
        return e->status == 404 ? VANISHED : NOT_TAKEN;
    enum taken taken = WRITTEN_TO;
    for (int i = 0; i < TRIES_MOST && taken == WRITTEN_TO; i++)
        taken = take_once(p, fd, file, keep, head, e);
    close(fd);
    return taken;
}

/* --- what is written down */

static struct workspace_change *add_change(struct pass *p, size_t run, const char *what,
                                           const struct workspace_file *was,
                                           const struct workspace_file *now, int flags)
{
    struct settlement *out = p->out;
    if (p->run_changes[run]++ >= WORKSPACE_CHANGES_MOST) {
        out->runs[run].passed_over++;
        return NULL;
    }
    if ((out->change_count & (out->change_count + 1)) == 0)
        out->changes = xrealloc(out->changes, 2 * (out->change_count + 1) * sizeof(*out->changes));
    struct workspace_change *change = &out->changes[out->change_count++];
    *change =
        (struct workspace_change){.path = xstrdup(now ? now->path : was->path),
                                  .what = what,
                                  .before_bytes = was && was->kind == 'f' ? was->size_bytes : -1,
                                  .size_bytes = now && now->kind == 'f' ? now->size_bytes : -1,
                                  .flags = flags,
                                  .run = run};
    if (was)
        memcpy(change->before_sha256, was->sha256, sizeof(was->sha256));
    return change;
}

static struct artifact *artifact_of(const struct pass *p, size_t run,
                                    const struct workspace_file *file, struct bytes head)
{
    const struct scan_run *of = &p->scan->runs[run];
    struct artifact *a = xcalloc(1, sizeof(*a));
    struct picture picture = {0};
    const char *slash = strrchr(file->path, '/');
    const char *type = media_type_of(slash ? slash + 1 : file->path);
    bool is_picture = picture_look(head, &picture);
    bool says_nothing = strcmp(type, "application/octet-stream") == 0;
    uuid_make(a->id);
    time_now_text(a->created);
    memcpy(a->sha256, file->sha256, sizeof(a->sha256));
    a->mime_type = xstrdup(is_picture && says_nothing ? picture.mime_type : type);
    a->kernel_id = xstrdup(of->kernel_id);
    a->sandbox_id = xstrdup(p->scan->sandbox_id);
    a->principal = xstrdup(p->scan->principal);
    a->execution_id = xstrdup(of->is_command ? "" : of->id);
    a->command_id = xstrdup(of->is_command ? of->id : "");
    a->path = xstrdup(file->path);
    a->size_bytes = file->size_bytes;
    a->width = picture.width;
    a->height = picture.height;
    return a;
}

/* Why the bytes of a file are not even read; false: they are. */
static bool is_too_much(const struct pass *p, size_t run, const struct workspace_file *file,
                        struct err *e)
{
    int64_t size = file->size_bytes;
    if (size > WORKSPACE_FILE_MIB * MIB)
        return fail(e, 413, "%lld bytes, more than the %d MiB that are kept of one file",
                    (long long)size, WORKSPACE_FILE_MIB) ||
               true;
    if (p->run_bytes[run] + size > WORKSPACE_RUN_MIB * MIB)
        return fail(e, 413, "with it there were more than the %d MiB that are kept of one run",
                    WORKSPACE_RUN_MIB) ||
               true;
    if (p->scan->kept_bytes + size > WORKSPACE_SANDBOX_MIB * MIB)
        return fail(e, 413, "with it there were more than the %d MiB that are kept of one sandbox",
                    WORKSPACE_SANDBOX_MIB) ||
               true;
    return false;
}

/* A file that is new, or is not as it was: it becomes a change of the run. False: later. */
static bool record_file(struct pass *p, size_t run, const struct workspace_file *was,
                        struct workspace_file *file, int flags)
{
    struct err e = {0};
    scoped(picture_head) struct picture_head head = {0};
    const char *what = was && was->kind == 'f' ? "changed" : "added";
    if (p->run_changes[run] >= WORKSPACE_CHANGES_MOST) {
        p->out->runs[run].passed_over++;
        return true;
    }
    bool too_much = is_too_much(p, run, file, &e);
    p->run_bytes[run] += too_much ? 0 : file->size_bytes; /* also if it is as it was */
    enum taken taken = too_much ? NOT_TAKEN : take_file(p, file, true, &head, &e);
    if (taken == VANISHED || (taken == TAKEN && run_of(p, file->changed_ns, &flags) == LATER))
        return false;
    if (taken == TAKEN && was && was->kind == 'f' && strcmp(was->sha256, file->sha256) == 0)
        return true; /* touched, and the same */
    struct workspace_change *change = add_change(p, run, what, was, file, flags);
    if (taken == TAKEN) {
        memcpy(change->sha256, file->sha256, sizeof(file->sha256));
        change->artifact = artifact_of(p, run, file, buffer_view(&head.bytes));
        p->scan->kept_bytes += file->size_bytes;
    } else {
        change->problem = xstrdup(taken == WRITTEN_TO ? "it was still being written to" : e.text);
    }
    return true;
}

static void record_other(struct pass *p, size_t run, const struct workspace_file *was,
                         const struct workspace_file *now, int flags)
{
    struct workspace_change *change =
        add_change(p, run, was ? "changed" : "added", was, now, flags);
    if (change)
        change->problem = xstrdup(now->kind == 'l' ? "a symbolic link: it is not followed"
                                                   : "a FIFO, a socket or a device has no bytes "
                                                     "that could be kept");
}

/* The sha256 alone, of what belongs to nobody: it is what a later change changed. */
static void look_into(struct pass *p, struct workspace_file *file)
{
    struct err e;
    scoped(picture_head) struct picture_head head = {0};
    if (file->kind != 'f' || file->size_bytes > WORKSPACE_FILE_MIB * MIB ||
        p->look_bytes + file->size_bytes > WORKSPACE_LOOK_MIB * MIB)
        return;
    p->look_bytes += file->size_bytes;
    take_file(p, file, false, &head, &e);
}

/* --- the comparison */

static bool is_same(const struct workspace_file *a, const struct workspace_file *b)
{
    return a->kind == b->kind && a->inode == b->inode && a->size_bytes == b->size_bytes &&
           a->modified_ns == b->modified_ns && a->changed_ns == b->changed_ns;
}

/* was: NULL: it is new. False: it stays as it was known. */
static bool take_changed(struct pass *p, const struct workspace_file *was,
                         struct workspace_file *now)
{
    int flags = 0;
    bool nobodys = now->kind == 'w' || is_noted(p, now->path, now) ||
                   (p->is_first && now->changed_ns + SLACK_NS < p->first_ns);
    size_t run = nobodys ? 0 : run_of(p, now->changed_ns, &flags);
    if (run == LATER)
        return false;
    if (nobodys)
        look_into(p, now);
    else if (now->kind == 'f')
        return record_file(p, run, was, now, flags);
    else
        record_other(p, run, was, now, flags);
    return true;
}

static void take_gone(struct pass *p, const struct workspace_file *was)
{
    int flags = 0;
    size_t run = run_of_gone(p, &flags);
    if (was->kind == 'f' && run != LATER && !is_noted(p, was->path, NULL))
        add_change(p, run, "deleted", was, NULL, flags);
    struct settlement *out = p->out;
    out->gone = xrealloc(out->gone, (out->gone_count + 1) * sizeof(*out->gone));
    out->gone[out->gone_count++] = xstrdup(was->path);
}

static void note_seen(struct pass *p, const struct workspace_file *file)
{
    struct settlement *out = p->out;
    if ((out->seen_count & (out->seen_count + 1)) == 0)
        out->seen = xrealloc(out->seen, 2 * (out->seen_count + 1) * sizeof(*out->seen));
    out->seen[out->seen_count] = *file;
    out->seen[out->seen_count++].path = xstrdup(file->path);
}

/* Becomes known: the path is taken. */
static void know(struct workspace_files *known, struct workspace_file *file)
{
    struct workspace_file *at = workspace_files_add(known, NULL);
    *at = *file;
    file->path = NULL;
}

static void compare(struct pass *p)
{
    struct workspace_files *was = &p->scan->known, *now = &p->now, known = {0};
    size_t i = 0, j = 0;
    while (i < was->count || j < now->count) {
        int order = i == was->count   ? 1
                    : j == now->count ? -1
                                      : strcmp(was->list[i].path, now->list[j].path);
        struct workspace_file *old = order <= 0 ? &was->list[i++] : NULL;
        struct workspace_file *new = order >= 0 ? &now->list[j++] : NULL;
        if (!new) {
            take_gone(p, old);
        } else if (old && is_same(old, new)) {
            know(&known, old);
        } else if (take_changed(p, old, new)) {
            note_seen(p, new);
            know(&known, new);
        } else if (old) {
            know(&known, old);
        }
    }
    workspace_files_free(was);
    *was = known;
}

/* --- the whole */

static void begin_settlement(struct pass *p)
{
    struct workspace_scan *scan = p->scan;
    struct settlement *out = xcalloc(1, sizeof(*out));
    out->sandbox_id = xstrdup(scan->sandbox_id);
    out->run_count = scan->run_count;
    out->runs = xcalloc(scan->run_count, sizeof(*out->runs));
    p->first_ns = INT64_MAX;
    for (size_t i = 0; i < scan->run_count; i++) {
        memcpy(out->runs[i].id, scan->runs[i].id, UUID_TEXT);
        out->runs[i].is_command = scan->runs[i].is_command;
        if (scan->runs[i].started_ns && scan->runs[i].asked_ns < p->first_ns)
            p->first_ns = scan->runs[i].asked_ns;
    }
    for (size_t i = 0; i < scan->other_count; i++)
        if (scan->others[i] < p->first_ns)
            p->first_ns = scan->others[i];
    p->is_first = scan->known.count == 0;
    p->run_bytes = xcalloc(scan->run_count, sizeof(*p->run_bytes));
    p->run_changes = xcalloc(scan->run_count, sizeof(*p->run_changes));
    p->out = scan->settlement = out;
}

static bool look(struct pass *p, struct err *e)
{
    p->root = path_root(p->scan->workspace, e);
    if (p->root < 0 || !enter(p, e))
        return false;
    bool walked = workspace_walk(p->root, &p->now, e);
    identity_leave();
    return walked;
}

void workspace_scan_run(struct workspace_scan *scan)
{
    struct pass p = {.scan = scan, .root = -1};
    struct err e = {0};
    begin_settlement(&p);
    if (look(&p, &e)) {
        p.piece = xmalloc(PIECE_BYTES);
        compare(&p);
    } else {
        for (size_t i = 0; i < scan->run_count; i++)
            p.out->runs[i].problem = xstrdup(e.text);
    }
    if (p.root >= 0)
        close(p.root);
    workspace_files_free(&p.now);
    free(p.run_bytes);
    free(p.run_changes);
    free(p.piece);
}
