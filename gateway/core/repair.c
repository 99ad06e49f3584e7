/* STATE/boot holds the id of the machine's boot in which the folder was last used. While it is the
 * same, what was written is there, synced or not; otherwise what the disk shows may be older than
 * the last moment, each file for itself.
 *
 * Order: logs first, because what is in them says which executions are whole. */
#include "gateway/core/repair.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/core/backup.h"
#include "gateway/core/execution_event.h"
#include "gateway/core/execution_state.h"
#include "gateway/core/run_log.h"
#include "gateway/core/state.h"
#include "gateway/log.h"
#include "gateway/store/repair_table.h"
#include "protocol/ids.h"

#define BOOT_TEXT   64
#define PIECE_BYTES (1024 * 1024)

struct repaired {
    struct core *core;
    int64_t logs, log_bytes, executions, artifacts;
    int64_t commands, command_bytes; /* whose logs were cut */
    struct err problem;              /* status 0: none */
};

/* "" where there is none. */
static void read_line(const char *path, char out[BOOT_TEXT])
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, out, BOOT_TEXT - 1) : 0;
    out[got > 0 ? got : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
    if (fd >= 0)
        close(fd);
}

static bool write_boot(const char *state_dir, const char *path, const char *id, struct err *e)
{
    scoped(string) char *fresh = xasprintf("%s.new", path);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool good = fd >= 0 && write(fd, id, strlen(id)) == (ssize_t)strlen(id) && fdatasync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return (good && rename(fresh, path) == 0)
               ? sync_file(state_dir, e)
               : fail_errno(e, 503, "%.150s cannot be written", path);
}

/* Counts the events of an execution that its journal holds. */
static uint64_t count_events(struct journal *j, const struct execution_row *row)
{
    struct journal_cursor cursor = {.next = row->first_sequence};
    struct journal_record record;
    struct shared *piece;
    uint64_t events = 0;
    if (cursor.next < journal_first(j))
        cursor.next = journal_first(j);
    while ((piece = journal_read(j, &cursor, PIECE_BYTES, NULL))) {
        struct bytes rest = shared_view(piece);
        while (journal_next(&rest, &record)) {
            scoped(framed) struct framed framed = {0};
            if (bytes_is(record.identity, JOURNAL_MARK)) {
                uint64_t before = execution_marked(record.frame, row->id);
                events = before ? before : events;
            } else if (framing_v1_decode(record.frame, &framed, NULL) &&
                       execution_is_parent(framed.message.parent, row->id)) {
                events += execution_part_of(record.msg_type, &framed.message) == PART_EVENT;
            }
        }
        shared_free(piece);
    }
    return events;
}

static void on_ended(void *user, const struct err *e)
{
    (void)user;
    if (e)
        log_error("an execution could not be repaired", F_STR("why", e->text));
}

static bool end_lost(struct core *c, struct journal *j, struct execution_row *row, struct err *e)
{
    row->events = count_events(j, row) + 1;
    if (!execution_append_end(j, row, e))
        return false;
    row->last_sequence = journal_last(j);
    snprintf(row->status, sizeof(row->status), "lost");
    if (!row->ended[0])
        time_now_text(row->ended);
    free(row->outcome);
    row->outcome = xstrdup("{\"state_retained\":false,\"cause\":\"power\",\"reason\":\"the machine "
                           "ended before its end was on the disk\"}");
    execution_table_end(c->store, row, on_ended, NULL);
    return true;
}

static void repair_log(struct repaired *r, const char *id)
{
    struct core *c = r->core;
    scoped(string) char *dir = xasprintf("%s/%s", c->logs_dir, id);
    scoped(string) char *places = xasprintf("%s/places", dir);
    struct execution_row *rows = NULL;
    size_t count = 0;
    uint64_t cut = journal_verify(dir);
    r->logs += cut > 0;
    r->log_bytes += (int64_t)cut;
    unlink(places); /* it may be ahead of the log */
    struct journal *j = journal_open(dir, (uint64_t)c->settings->core.log_bytes, &r->problem);
    if (!j)
        return;
    journal_set_sync(j, store_sync(c->store));
    bool good = repair_table_executions(c->store, id, journal_last(j), &rows, &count, &r->problem);
    for (size_t i = 0; good && i < count; i++)
        good = end_lost(c, j, &rows[i], &r->problem);
    r->executions += (int64_t)count;
    execution_rows_free(rows, count);
    journal_close(j);
}

static void repair_commands(struct repaired *r, const char *sandbox)
{
    scoped(string) char *dir = xasprintf("%s/%s/commands", r->core->sandboxes_dir, sandbox);
    DIR *handle = opendir(dir);
    struct dirent *entry;
    while (handle && (entry = readdir(handle))) {
        if (!id_valid(entry->d_name))
            continue;
        scoped(string) char *log = xasprintf("%s/%s/log", dir, entry->d_name);
        uint64_t cut = run_log_verify(log);
        r->commands += cut > 0;
        r->command_bytes += (int64_t)cut;
    }
    if (handle)
        closedir(handle);
}

static void each_folder(struct repaired *r, const char *dir,
                        void (*repair)(struct repaired *r, const char *id))
{
    DIR *handle = opendir(dir);
    struct dirent *entry;
    while (handle && (entry = readdir(handle)))
        if (id_valid(entry->d_name))
            repair(r, entry->d_name);
    if (handle)
        closedir(handle);
}

static void repair_all(struct repaired *r)
{
    each_folder(r, r->core->logs_dir, repair_log);
    each_folder(r, r->core->sandboxes_dir, repair_commands);
    if (!r->problem.status)
        repair_table_artifacts(r->core->store, &r->artifacts, &r->problem);
}

static void tell(const struct repaired *r, bool restarted)
{
    bool lost = r->logs || r->executions || r->artifacts || r->commands;
    if (lost)
        log_warn("the machine was started anew: what it had not kept was repaired",
                 F_INT("logs_cut", r->logs), F_INT("log_bytes_cut", r->log_bytes),
                 F_INT("executions_lost", r->executions), F_INT("artifacts_lost", r->artifacts),
                 F_INT("command_logs_cut", r->commands),
                 F_INT("command_log_bytes_cut", r->command_bytes),
                 F_INT("temporary_files", (int64_t)r->core->left_files));
    else if (restarted || r->core->left_files)
        log_info("what was stored is whole",
                 F_INT("temporary_files_removed", (int64_t)r->core->left_files));
}

bool repair_state(struct core *c, struct err *e)
{
    char now[BOOT_TEXT], then[BOOT_TEXT];
    struct repaired r = {.core = c};
    const char *state_dir = store_dir(c->store);
    scoped(string) char *path = xasprintf("%s/boot", state_dir);
    read_line("/proc/sys/kernel/random/boot_id", now);
    read_line(path, then);
    backup_clear(state_dir);
    bool restarted = strcmp(now, then) != 0 || !now[0];
    c->machine_restarted = restarted && then[0];
    if (restarted)
        repair_all(&r);
    if (r.problem.status)
        return fail(e, 503, "%s", r.problem.text);
    tell(&r, restarted && then[0]);
    return !restarted || write_boot(state_dir, path, now, e);
}
