/* A file of history rows that are not in SQLite yet: written before a reply goes out, so that no
 * row is lost when a process is killed. One journal a host; one that nobody holds any more is an
 * orphan, imported by a later host.
 *
 * File: "WCHJ1\n", u32 length and the path of the SQLite file; then rows: u32 "HROW", i64 session,
 * i64 line, u32 and u32 lengths, source, source_raw. Little-endian as the machine is. What is cut
 * off at the end is ignored. */
#ifndef WARMCELL_KERNEL_HOST_JOURNAL_H
#define WARMCELL_KERNEL_HOST_JOURNAL_H

#include "protocol/bytes.h"
#include "protocol/err.h"

struct history_row {
    int64_t session;
    int64_t line;
    struct bytes source; /* borrowed */
    struct bytes source_raw;
};

#define JOURNAL_LIMIT_BYTES (256u * 1024 * 1024)

/* "$XDG_STATE_HOME/warmcell/history", or below ~/.local/state. Given to the caller; NULL: no home
 * directory. */
char *journal_default_directory(void);

struct journal;

/* A new journal in directory (made, mode 0700), locked for the life of the process. 503: it cannot
 * be made. */
struct journal *journal_open(const char *directory, const char *database, struct err *e);

/* Appends with one write(2). Thread-safe together with journal_emptied. 503: the disk is full. */
bool journal_append(struct journal *j, const struct history_row *row, struct err *e);

/* Every row up to `bytes` (of journal_bytes) is in SQLite: the file is cut to its head if that was
 * all. */
void journal_emptied(struct journal *j, uint64_t bytes);
uint64_t journal_bytes(struct journal *j); /* appended in the life of the journal */

/* Removes the file if it is empty: one that still holds rows is left for a later host. */
void journal_close(struct journal *j);

/* Calls on_row for each whole row of a journal's text. False: this is no journal, or of another
 * database. */
bool journal_parse(struct bytes text, const char *database,
                   void (*on_row)(void *data, const struct history_row *row), void *data);

/* Reads every orphan of that database in directory; a file is removed when on_file says that its
 * rows are stored. */
void journal_import(const char *directory, const char *database,
                    bool (*on_file)(void *data, struct bytes text), void *data);

/* Whether a journal lies in directory, of whatever database. */
bool journal_any(const char *directory);

#endif
