/* The count of what an execution puts out. Used by deliver.c. */
#include "kernel/host/allowance.h"

#include "protocol/utf8.h"

size_t allowance_text(struct allowance *a, uint64_t limit_bytes, struct bytes text)
{
    struct bytes passed = text;
    if (limit_bytes) {
        uint64_t left = a->withheld || a->delivered >= limit_bytes ? 0 : limit_bytes - a->delivered;
        if (left < text.len) {
            passed.len = (size_t)left;
            passed.len -= utf8_tail(passed);
        }
    }
    a->delivered += passed.len;
    a->withheld += text.len - passed.len;
    return passed.len;
}

/* Sets *once; true when it was not set. */
static bool first_time(bool *once)
{
    bool before = *once;
    *once = true;
    return !before;
}

bool allowance_message(struct allowance *a, uint64_t limit_bytes, const char *msg_type,
                       size_t bytes)
{
    if (strcmp(msg_type, "execute_input") == 0 && first_time(&a->input_passed))
        return true;
    bool fits = limit_bytes == 0 || (!a->withheld && a->delivered + bytes <= limit_bytes);
    if (!fits && strcmp(msg_type, "error") == 0 && bytes <= ALLOWANCE_ERROR_BYTES)
        fits = first_time(&a->error_passed);
    *(fits ? &a->delivered : &a->withheld) += bytes;
    return fits;
}

bool allowance_must_tell(struct allowance *a)
{
    if (a->withheld == 0 || a->withheld < 2 * a->told)
        return false;
    a->told = a->withheld;
    return true;
}
