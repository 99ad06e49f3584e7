/* Filling in the error value. The text may be made from an older text of the same err, so it is put
 * together aside and copied. */
#include "protocol/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "protocol/utf8.h"

#define ELLIPSIS "..."

/* Cuts text (of `room` bytes, not terminated within them) so that the ellipsis fits after a whole
 * character. */
static void shorten(char *text, size_t room)
{
    size_t end = room - sizeof(ELLIPSIS);
    while (end > 0 && ((unsigned char)text[end] & 0xC0) == 0x80)
        end--;
    memcpy(text + end, ELLIPSIS, sizeof(ELLIPSIS));
}

static void fill(struct err *e, int status, const char *text, size_t wanted)
{
    e->status = status;
    e->quota = (struct err_quota){0};
    memcpy(e->text, text, sizeof(e->text));
    if (wanted >= sizeof(e->text))
        shorten(e->text, sizeof(e->text));
    for (char *p = e->text; *p;) {
        size_t len = utf8_character(bytes_of(p));
        if (len <= 1 && (!len || (unsigned char)*p < ' '))
            *p = len ? ' ' : '?';
        p += len ? len : 1;
    }
}

__attribute__((format(printf, 3, 0))) static size_t print(char *text, size_t room,
                                                          const char *format, va_list args)
{
    int len = vsnprintf(text, room, format, args);
    return len < 0 ? 0 : (size_t)len;
}

bool fail(struct err *e, int status, const char *format, ...)
{
    if (!e)
        return false;
    char text[sizeof(e->text)] = "";
    va_list args;
    va_start(args, format);
    size_t wanted = print(text, sizeof(text), format, args);
    va_end(args);
    fill(e, status, text, wanted);
    return false;
}

bool fail_quota(struct err *e, int status, const struct err_quota *quota, const char *format, ...)
{
    if (!e)
        return false;
    char text[sizeof(e->text)] = "";
    va_list args;
    va_start(args, format);
    size_t wanted = print(text, sizeof(text), format, args);
    va_end(args);
    fill(e, status, text, wanted);
    e->quota = *quota;
    return false;
}

bool fail_errno(struct err *e, int status, const char *format, ...)
{
    int number = errno;
    if (!e)
        return false;
    char text[sizeof(e->text)] = "";
    char room[128];
    va_list args;
    va_start(args, format);
    size_t wanted = print(text, sizeof(text), format, args);
    va_end(args);
    if (wanted < sizeof(text))
        wanted += (size_t)snprintf(text + wanted, sizeof(text) - wanted, ": %s",
                                   strerror_r(number, room, sizeof(room)));
    fill(e, status, text, wanted);
    errno = number;
    return false;
}
