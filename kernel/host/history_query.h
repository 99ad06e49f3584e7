/* What a history_request asks for, and its answer out of the SQLite file.
 * Source: jupyter-client "Messaging", history; IPython core/history.py get_tail, get_range, search.
 */
#ifndef WARMCELL_KERNEL_HOST_HISTORY_QUERY_H
#define WARMCELL_KERNEL_HOST_HISTORY_QUERY_H

#include <sqlite3.h>

#include "protocol/bytes.h"
#include "protocol/err.h"

enum history_access { HISTORY_RANGE, HISTORY_TAIL, HISTORY_SEARCH };

/* Owned; {0} is empty. */
struct history_query {
    enum history_access access;
    bool output;     /* rows are [input, output] */
    bool raw;        /* as typed; else after IPython's transformation */
    bool unique;     /* search: each text once */
    int64_t session; /* range: 0 the present one, negative: so many before it */
    int64_t start;
    int64_t stop;  /* range: 0: to the end; negative: from the end */
    int64_t n;     /* tail and search: -1: all */
    char *pattern; /* search: a glob */
};

/* {"hist_access_type": "range"|"tail"|"search", "output": bool, "raw": bool, "session": n, "start":
 * n, "stop": n, "n": n, "pattern": "glob", "unique": bool}; all but the first have defaults. 400
 * names the member. */
bool history_query_parse(struct bytes content, struct history_query *out, struct err *e);
void history_query_free(struct history_query *query);

/* Appends {"status":"ok","history":[[session, line, text or [text, output or null]], ...]}.
 * present: the number of the session that runs. 503: SQLite says no. */
bool history_query_answer(sqlite3 *db, const struct history_query *query, int64_t present,
                          struct buffer *out, struct err *e);

#endif
