/* The history's two sides: the loop, which journals rows and asks, and the thread, which alone
 * touches SQLite.
 *
 * Tasks go to the thread in order through one list, answers come back through another and an
 * eventfd; both lists are under one mutex. Rows wait for WRITE_AFTER_MS so that a burst of cells is
 * one transaction; a question or the end makes the thread write at once. */
#include "kernel/host/history.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "kernel/host/history_store.h"
#include "kernel/host/journal.h"
#include "kernel/host/report.h"
#include "protocol/json.h"

#define WRITE_AFTER_MS 500
#define ROWS_A_WRITE   256

enum task_kind { BEGIN, ROW, ASK };

struct task {
    struct task *next;
    enum task_kind kind;
    uint64_t number;    /* ASK */
    uint64_t journaled; /* ROW: what the journal held with this row */
    struct history_row row;
    struct history_query query;
    struct buffer answer; /* of ASK, on its way back */
    int64_t session;      /* of BEGIN, on its way back */
    char data[];          /* the texts of the row */
};

struct list {
    struct task *first, *last;
};

struct history {
    char *file;
    struct history_events events;
    int event_fd;
    struct watch *watch;
    struct journal *journal;
    char *journal_directory;
    int64_t session;
    bool own, fresh; /* fresh: own, and no session has begun in it */

    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct list tasks, answers;
    size_t rows_waiting;
    bool urgent, ending;

    /* the thread's own */
    sqlite3 *db;
    int64_t open_session;
    bool promised; /* session 1 has begun, and its row is not there yet */
    bool complained;
};

static void list_add(struct list *list, struct task *task)
{
    task->next = NULL;
    *(list->last ? &list->last->next : &list->first) = task;
    list->last = task;
}

static struct task *list_take_all(struct list *list)
{
    struct task *first = list->first;
    *list = (struct list){0};
    return first;
}

static void task_free(struct task *task)
{
    history_query_free(&task->query);
    buffer_free(&task->answer);
    free(task);
}

static void complain(struct history *h, const struct err *e)
{
    if (!h->complained)
        report("history: %s", e->text);
    h->complained = true;
}

static void answer_back(struct history *h, struct task *task)
{
    pthread_mutex_lock(&h->mutex);
    list_add(&h->answers, task);
    pthread_mutex_unlock(&h->mutex);
    ssize_t written = write(h->event_fd, &(uint64_t){1}, sizeof(uint64_t));
    (void)written;
}

struct import {
    struct history_row *rows;
    size_t count, capacity;
};

static void collect(void *data, const struct history_row *row)
{
    struct import *import = data;
    if (import->count == import->capacity) {
        import->capacity = import->capacity ? 2 * import->capacity : 64;
        import->rows = xrealloc(import->rows, import->capacity * sizeof *import->rows);
    }
    import->rows[import->count++] = *row;
}

static bool store_orphan(void *data, struct bytes text)
{
    struct history *h = data;
    struct import import = {0};
    struct err e;
    bool stored = journal_parse(text, h->file, collect, &import) &&
                  history_store_rows(h->db, import.rows, import.count, &e) &&
                  history_store_sessions(h->db, &e);
    free(import.rows);
    return stored;
}

static bool open_store(struct history *h)
{
    struct err e;
    if (h->db)
        return true;
    h->db = history_store_open(h->file, !h->own, &e);
    if (!h->db) {
        complain(h, &e);
        return false;
    }
    if (h->promised && !history_store_begin(h->db, &h->open_session, &e))
        complain(h, &e);
    h->promised = false;
    if (h->journal_directory)
        journal_import(h->journal_directory, h->file, store_orphan, h);
    return true;
}

static void end_session(struct history *h)
{
    struct err e;
    if (h->db && h->open_session && !history_store_end(h->db, h->open_session, &e))
        complain(h, &e);
    h->open_session = 0;
}

static void do_begin(struct history *h, struct task *task)
{
    struct err e;
    if (h->promised)
        open_store(h);
    end_session(h);
    if (open_store(h) && !history_store_begin(h->db, &h->open_session, &e))
        complain(h, &e);
    task->session = h->open_session;
    answer_back(h, task);
}

static void do_ask(struct history *h, struct task *task)
{
    struct err e = {.status = 503, .text = "there is no history"};
    if (!open_store(h) ||
        !history_query_answer(h->db, &task->query, h->open_session, &task->answer, &e)) {
        buffer_clear(&task->answer);
        buffer_add_text(&task->answer, "{\"status\":\"error\",\"ename\":\"HistoryError\","
                                       "\"evalue\":");
        json_quote(&task->answer, bytes_of(e.text));
        buffer_add_text(&task->answer, ",\"traceback\":[],\"history\":[]}");
    }
    answer_back(h, task);
}

/* Stores the rows at the front of the list in one transaction; returns what follows them. When
 * SQLite says no they stay in the journal, for a later host. */
static struct task *do_rows(struct history *h, struct task *task)
{
    struct history_row rows[ROWS_A_WRITE];
    struct task *at = task;
    size_t count = 0;
    uint64_t journaled = 0;
    for (; at && at->kind == ROW && count < ROWS_A_WRITE; at = at->next) {
        rows[count++] = at->row;
        journaled = at->journaled;
    }
    struct err e;
    bool stored = open_store(h) && history_store_rows(h->db, rows, count, &e);
    if (stored && h->journal)
        journal_emptied(h->journal, journaled);
    else if (!stored && h->db)
        complain(h, &e);
    while (task != at) {
        struct task *next = task->next;
        task_free(task);
        task = next;
    }
    return at;
}

static void do_tasks(struct history *h, struct task *task)
{
    while (task) {
        struct task *next = task->next;
        if (task->kind == ROW)
            next = do_rows(h, task);
        else if (task->kind == BEGIN)
            do_begin(h, task);
        else
            do_ask(h, task);
        task = next;
    }
}

/* Waits for work; rows alone wait a little for others. Returns with the mutex held. */
static void wait_for_tasks(struct history *h)
{
    pthread_mutex_lock(&h->mutex);
    while (!h->tasks.first && !h->ending)
        pthread_cond_wait(&h->wake, &h->mutex);
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += WRITE_AFTER_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    while (!h->urgent && !h->ending && h->rows_waiting < ROWS_A_WRITE)
        if (pthread_cond_timedwait(&h->wake, &h->mutex, &until) == ETIMEDOUT)
            break;
}

static void *thread_main(void *data)
{
    struct history *h = data;
    for (bool ending = false; !ending;) {
        wait_for_tasks(h);
        struct task *tasks = list_take_all(&h->tasks);
        ending = h->ending;
        h->urgent = false;
        h->rows_waiting = 0;
        pthread_mutex_unlock(&h->mutex);
        do_tasks(h, tasks);
    }
    end_session(h);
    if (h->db)
        sqlite3_close(h->db);
    return NULL;
}

static void submit(struct history *h, struct task *task)
{
    pthread_mutex_lock(&h->mutex);
    /* A row alone wakes the thread only when nothing has woken it yet. */
    bool wake = !h->tasks.first || task->kind != ROW || h->rows_waiting + 1 >= ROWS_A_WRITE;
    list_add(&h->tasks, task);
    if (task->kind == ROW)
        h->rows_waiting++;
    else
        h->urgent = true;
    if (wake)
        pthread_cond_signal(&h->wake);
    pthread_mutex_unlock(&h->mutex);
}

static void on_answers(void *data, uint32_t events)
{
    struct history *h = data;
    uint64_t count;
    (void)events;
    while (read(h->event_fd, &count, sizeof count) > 0)
        ;
    pthread_mutex_lock(&h->mutex);
    struct task *task = list_take_all(&h->answers);
    pthread_mutex_unlock(&h->mutex);
    while (task) {
        struct task *next = task->next;
        if (task->kind == BEGIN) {
            h->session = task->session;
            h->events.on_session(h->events.data, task->session);
        } else {
            h->events.on_answer(h->events.data, task->number, buffer_view(&task->answer));
        }
        task_free(task);
        task = next;
    }
}

static void make_condition(struct history *h)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&h->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&h->mutex, NULL);
}

static char *folder_of(const char *file)
{
    const char *slash = strrchr(file, '/');
    return slash ? xstrndup(file, (size_t)(slash - file)) : xstrdup(".");
}

static void open_journal(struct history *h)
{
    struct err e;
    if (h->journal || !h->journal_directory)
        return;
    h->journal = journal_open(h->journal_directory, h->file, &e);
    if (!h->journal)
        report("history: %s; rows of a kernel that is killed may be lost", e.text);
}

struct history *history_open(struct loop *loop, const char *file, bool own,
                             const struct history_events *events)
{
    struct history *h = xcalloc(1, sizeof *h);
    h->file = xstrdup(file);
    h->events = *events;
    h->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    h->own = own;
    h->journal_directory = own ? folder_of(file) : journal_default_directory();
    h->fresh = own && access(file, F_OK) != 0 && !journal_any(h->journal_directory);
    if (!own)
        open_journal(h);
    make_condition(h);
    if (h->event_fd < 0 || pthread_create(&h->thread, NULL, thread_main, h) != 0) {
        perror("warmcell-kernel: history thread");
        abort();
    }
    h->watch = loop_watch(loop, h->event_fd, EPOLLIN, on_answers, h);
    return h;
}

void history_free(struct history *h)
{
    if (!h)
        return;
    pthread_mutex_lock(&h->mutex);
    h->ending = true;
    pthread_cond_signal(&h->wake);
    pthread_mutex_unlock(&h->mutex);
    pthread_join(h->thread, NULL);
    for (struct task *task = list_take_all(&h->answers); task;) {
        struct task *next = task->next;
        task_free(task);
        task = next;
    }
    watch_close(h->watch);
    close(h->event_fd);
    journal_close(h->journal);
    pthread_cond_destroy(&h->wake);
    pthread_mutex_destroy(&h->mutex);
    free(h->journal_directory);
    free(h->file);
    free(h);
}

void history_begin_session(struct history *h)
{
    if (h->own) /* not earlier: the interpreter is on its way by now */
        open_journal(h);
    if (h->fresh) {
        h->fresh = false;
        h->promised = true; /* the thread sees it with its first task */
        h->session = 1;
        h->events.on_session(h->events.data, h->session);
        return;
    }
    struct task *task = xcalloc(1, sizeof *task);
    task->kind = BEGIN;
    submit(h, task);
}

void history_add(struct history *h, int64_t line, struct bytes source, struct bytes source_raw)
{
    if (h->session == 0)
        return;
    struct task *task = xcalloc(1, sizeof *task + source.len + source_raw.len);
    char *raw = task->data + source.len;
    if (source.len)
        memcpy(task->data, source.data, source.len);
    if (source_raw.len)
        memcpy(raw, source_raw.data, source_raw.len);
    task->kind = ROW;
    task->row =
        (struct history_row){h->session, line, {task->data, source.len}, {raw, source_raw.len}};
    struct err e;
    if (h->journal && !journal_append(h->journal, &task->row, &e))
        report_dropped("history: %s", e.text);
    if (h->journal)
        task->journaled = journal_bytes(h->journal);
    submit(h, task);
}

void history_ask(struct history *h, uint64_t number, const struct history_query *query)
{
    struct task *task = xcalloc(1, sizeof *task);
    task->kind = ASK;
    task->number = number;
    task->query = *query;
    task->query.pattern = xstrdup(query->pattern);
    submit(h, task);
}

char *history_default_file(void)
{
    const char *directory = getenv("IPYTHONDIR"), *home = getenv("HOME");
    if (directory && *directory)
        return xasprintf("%s/profile_default/history.sqlite", directory);
    return home && *home ? xasprintf("%s/.ipython/profile_default/history.sqlite", home) : NULL;
}
