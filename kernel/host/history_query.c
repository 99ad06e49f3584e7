/* history_request out of IPython's tables. Called on the history's thread, but for the parsing. */
#include "kernel/host/history_query.h"

#include "protocol/json.h"

#define QUERY_LIMIT_BYTES (64 * 1024)
#define ROWS_LIMIT        1000000

bool history_query_parse(struct bytes content, struct history_query *out, struct err *e)
{
    static const char *const names[] = {
        [HISTORY_RANGE] = "range", [HISTORY_TAIL] = "tail", [HISTORY_SEARCH] = "search"};
    scoped(json) json_t *body = json_parse_object(content, "content", QUERY_LIMIT_BYTES, e);
    const char *access = "tail", *pattern = "*";
    *out = (struct history_query){.raw = true, .start = 1, .n = -1};
    if (!body || !field_str(body, "hist_access_type", OPTIONAL, &access, e) ||
        !field_bool(body, "output", OPTIONAL, &out->output, e) ||
        !field_bool(body, "raw", OPTIONAL, &out->raw, e) ||
        !field_bool(body, "unique", OPTIONAL, &out->unique, e) ||
        !field_int(body, "session", OPTIONAL, -ROWS_LIMIT, INT32_MAX, &out->session, e) ||
        !field_int(body, "start", OPTIONAL, -ROWS_LIMIT, INT32_MAX, &out->start, e) ||
        !field_int(body, "stop", OPTIONAL, -ROWS_LIMIT, INT32_MAX, &out->stop, e) ||
        !field_int(body, "n", OPTIONAL, 0, INT32_MAX, &out->n, e) ||
        !field_str(body, "pattern", OPTIONAL, &pattern, e))
        return false;
    for (size_t i = 0; i < countof(names); i++)
        if (strcmp(names[i], access) == 0) {
            out->access = (enum history_access)i;
            out->pattern = xstrdup(pattern);
            return true;
        }
    return fail(e, 400, "hist_access_type: must be range, tail or search");
}

void history_query_free(struct history_query *query)
{
    free(query->pattern);
    *query = (struct history_query){0};
}

/* One reply being made: rows are appended as they come, or collected to be turned round. */
struct answer {
    const struct history_query *query;
    struct buffer *out;
    int64_t shown_session; /* a row of this session is shown with number 0; -1: none */
    struct buffer *rows;   /* one text a row, when the order is to be reversed */
    size_t count, capacity;
};

static struct bytes column_text(sqlite3_stmt *s, int column)
{
    const char *text = (const char *)sqlite3_column_text(s, column);
    return (struct bytes){text, text ? (size_t)sqlite3_column_bytes(s, column) : 0};
}

/* [session, line, text] or [session, line, [text, output]] */
static void add_row(struct buffer *out, sqlite3_stmt *s, const struct answer *answer)
{
    int64_t session = sqlite3_column_int64(s, 0);
    if (session == answer->shown_session)
        session = 0;
    buffer_printf(out, "[%lld,%lld,", (long long)session, (long long)sqlite3_column_int64(s, 1));
    if (answer->query->output)
        buffer_add_text(out, "[");
    json_quote(out, column_text(s, 2));
    if (answer->query->output) {
        buffer_add_text(out, ",");
        if (sqlite3_column_type(s, 3) == SQLITE_NULL)
            buffer_add_text(out, "null");
        else
            json_quote(out, column_text(s, 3));
        buffer_add_text(out, "]");
    }
    buffer_add_text(out, "]");
}

static void keep_row(struct answer *answer, sqlite3_stmt *s)
{
    if (answer->count == answer->capacity) {
        answer->capacity = answer->capacity ? 2 * answer->capacity : 64;
        answer->rows = xrealloc(answer->rows, answer->capacity * sizeof *answer->rows);
    }
    answer->rows[answer->count] = (struct buffer){0};
    add_row(&answer->rows[answer->count++], s, answer);
}

static void finish_rows(struct answer *answer, bool reversed)
{
    for (size_t i = 0; i < answer->count; i++) {
        size_t at = reversed ? answer->count - 1 - i : i;
        if (i > 0)
            buffer_add_text(answer->out, ",");
        buffer_add_bytes(answer->out, buffer_view(&answer->rows[at]));
    }
    for (size_t i = 0; i < answer->count; i++)
        buffer_free(&answer->rows[i]);
    free(answer->rows);
}

/* Runs "SELECT ... FROM history <rest>" with up to four bound values. */
struct bound {
    const char *text; /* NULL: the number */
    int64_t number;
};

static bool select_rows(sqlite3 *db, struct answer *answer, const char *rest,
                        const struct bound *values, int count, struct err *e)
{
    const struct history_query *query = answer->query;
    scoped(string) char *sql = xasprintf(
        "SELECT history.session, history.line, history.%s%s FROM history %s %s",
        query->raw ? "source_raw" : "source", query->output ? ", output_history.output" : "",
        query->output ? "LEFT JOIN output_history ON history.session = output_history.session AND "
                        "history.line = output_history.line"
                      : "",
        rest);
    sqlite3_stmt *s = NULL;
    int result = sqlite3_prepare_v2(db, sql, -1, &s, NULL);
    for (int i = 0; result == SQLITE_OK && i < count; i++)
        result = values[i].text ? sqlite3_bind_text(s, i + 1, values[i].text, -1, SQLITE_STATIC)
                                : sqlite3_bind_int64(s, i + 1, values[i].number);
    if (result == SQLITE_OK)
        while ((result = sqlite3_step(s)) == SQLITE_ROW && answer->count < ROWS_LIMIT)
            keep_row(answer, s);
    sqlite3_finalize(s);
    return result == SQLITE_DONE || result == SQLITE_ROW ||
           fail(e, 503, "the history file cannot be read: %s", sqlite3_errmsg(db));
}

/* The last n, those of the present session before those of others, oldest first. */
static bool tail(sqlite3 *db, struct answer *answer, int64_t present, struct err *e)
{
    int64_t n = answer->query->n < 0 ? ROWS_LIMIT : answer->query->n;
    const struct bound mine[] = {{NULL, present}, {NULL, n}};
    if (!select_rows(db, answer, "WHERE history.session = ? ORDER BY history.line DESC LIMIT ?",
                     mine, 2, e))
        return false;
    const struct bound others[] = {{NULL, present}, {NULL, n - (int64_t)answer->count}};
    return select_rows(db, answer,
                       "WHERE history.session != ? ORDER BY history.session DESC, "
                       "history.line DESC LIMIT ?",
                       others, 2, e);
}

static bool search(sqlite3 *db, struct answer *answer, struct err *e)
{
    const struct history_query *query = answer->query;
    const char *column = query->raw ? "history.source_raw" : "history.source";
    bool limited = query->n >= 0;
    scoped(string) char *group = query->unique ? xasprintf(" GROUP BY %s", column) : xstrdup("");
    scoped(string) char *rest =
        xasprintf("WHERE %s GLOB ?%s ORDER BY history.session %s, history.line %s LIMIT ?", column,
                  group, limited ? "DESC" : "", limited ? "DESC" : "");
    const struct bound values[] = {{query->pattern, 0}, {NULL, limited ? query->n : ROWS_LIMIT}};
    return select_rows(db, answer, rest, values, 2, e);
}

static int64_t lines_of(sqlite3 *db, int64_t session)
{
    sqlite3_stmt *s = NULL;
    int64_t lines = 0;
    if (sqlite3_prepare_v2(db, "SELECT max(line) FROM history WHERE session = ?", -1, &s, NULL) ==
            SQLITE_OK &&
        sqlite3_bind_int64(s, 1, session) == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW)
        lines = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return lines;
}

/* Negative places count from the end in the present session, as IPython has it. */
static bool range(sqlite3 *db, struct answer *answer, int64_t present, struct err *e)
{
    const struct history_query *query = answer->query;
    int64_t session = query->session <= 0 ? query->session + present : query->session;
    int64_t start = query->start, stop = query->stop;
    if (session == present) {
        int64_t end = lines_of(db, session) + 1;
        /* asked by its number it is shown with it, as jupyter_kernel_test wants; IPython differs */
        if (query->session <= 0)
            answer->shown_session = session;
        start += start < 0 ? end : 0;
        stop += stop < 0 ? end : 0;
    }
    if (stop == 0)
        stop = INT64_MAX;
    const struct bound values[] = {
        {NULL, session}, {NULL, start}, {NULL, stop}, {NULL, ROWS_LIMIT}};
    return select_rows(db, answer,
                       "WHERE history.session = ? AND history.line >= ? AND history.line < ? "
                       "ORDER BY history.line LIMIT ?",
                       values, 4, e);
}

bool history_query_answer(sqlite3 *db, const struct history_query *query, int64_t present,
                          struct buffer *out, struct err *e)
{
    struct answer answer = {.query = query, .out = out, .shown_session = -1};
    bool reversed = false, good = false;
    switch (query->access) {
    case HISTORY_TAIL:
        good = tail(db, &answer, present, e);
        reversed = true;
        break;
    case HISTORY_SEARCH:
        good = search(db, &answer, e);
        reversed = query->n >= 0;
        break;
    case HISTORY_RANGE:
        good = range(db, &answer, present, e);
        break;
    }
    size_t before = out->len;
    buffer_add_text(out, "{\"status\":\"ok\",\"history\":[");
    finish_rows(&answer, reversed);
    buffer_add_text(out, "]}");
    if (!good)
        out->len = before;
    return good;
}
