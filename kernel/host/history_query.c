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
