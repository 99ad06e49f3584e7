/* Compares strongly (RFC 9110 13.1): a weak tag is none of ours. A tag holds no quote but its own
 * two, so it is found in the list as a text. */
#include "gateway/files/condition.h"

#include <string.h>

#include "gateway/files/entry.h"

static bool is_listed(const char *list, const char *etag)
{
    for (const char *at = strstr(list, etag); at; at = strstr(at + 1, etag))
        if (at < list + 2 || strncmp(at - 2, "W/", 2) != 0)
            return true;
    return false;
}

bool condition_holds(const struct condition *c, const struct stat *st, struct err *e)
{
    char etag[ETAG_TEXT] = "";
    if (c->absent && st)
        return fail(e, 412, "If-None-Match: something is there already");
    if (!c->match)
        return true;
    if (!st)
        return fail(e, 412, "If-Match: nothing is there");
    if (strcmp(c->match, "*") == 0)
        return true;
    if (S_ISREG(st->st_mode))
        entry_etag(st, etag);
    return (*etag && is_listed(c->match, etag)) ||
           fail(e, 412, "If-Match: what is there now has another ETag");
}
