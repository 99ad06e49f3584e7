/* One look at a few characters; a text of a later version is taken as far as ours goes, as the
 * specification asks. */
#include "gateway/net/trace.h"

#include <stdbool.h>
#include <string.h>

#define HEX         "0123456789abcdef"
#define TRACE_AT    3
#define TRACE_LEN   32
#define PARENT_AT   36
#define PARENT_LEN  16
#define FLAGS_AT    53
#define WHOLE_LEN   55
#define LONGEST_LEN 512 /* of a later version */

static bool is_hex(const char *text, size_t len)
{
    return strspn(text, HEX) >= len;
}

const char *trace_parent(const char *text)
{
    size_t len = text ? strlen(text) : 0;
    if (len < WHOLE_LEN || len > LONGEST_LEN)
        return NULL;
    bool ours = strncmp(text, "00", 2) == 0;
    bool good = is_hex(text, 2) && strncmp(text, "ff", 2) != 0 && text[TRACE_AT - 1] == '-' &&
                is_hex(text + TRACE_AT, TRACE_LEN) && text[PARENT_AT - 1] == '-' &&
                is_hex(text + PARENT_AT, PARENT_LEN) && text[FLAGS_AT - 1] == '-' &&
                is_hex(text + FLAGS_AT, 2) && (ours ? len == WHOLE_LEN : true) &&
                (len == WHOLE_LEN || text[WHOLE_LEN] == '-');
    bool zero = good && (strspn(text + TRACE_AT, "0") >= TRACE_LEN ||
                         strspn(text + PARENT_AT, "0") >= PARENT_LEN);
    return good && !zero ? text : NULL;
}

void trace_id(const char *parent, char out[TRACE_TEXT])
{
    memcpy(out, parent + TRACE_AT, TRACE_LEN);
    out[TRACE_LEN] = '\0';
}
