/* The audit of the proxy. The files are opened once, as the user who started the proxy; later it
 * has no right to open any. */
#include "sandbox/proxy_audit.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/ids.h"
#include "protocol/memory.h"

static int current = -1, older = -1;

bool audit_open(const char *path, struct err *e)
{
    scoped(string) char *second = xasprintf("%s.1", path);
    int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
    current = open(path, flags | O_APPEND, 0600);
    older = open(second, flags, 0600);
    return (current >= 0 && older >= 0) || fail_errno(e, 503, "cannot open %s", path);
}

static void turn_over(void)
{
    struct stat st;
    off_t from = 0, to = 0;
    if (fstat(current, &st) != 0 || st.st_size < AUDIT_BYTES || ftruncate(older, 0) != 0)
        return;
    while (from < st.st_size) {
        ssize_t n = copy_file_range(current, &from, older, &to, (size_t)(st.st_size - from), 0);
        if (n <= 0)
            break;
    }
    if (ftruncate(current, 0) != 0)
        return;
}

void audit_write(const struct audit_line *line)
{
    char now[TIME_TEXT];
    if (current < 0)
        return;
    turn_over();
    time_now_text(now);
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:I, s:I}", "time", now, "sandbox", line->sandbox,
                  "method", line->method, "host", line->host, "port", line->port, "verdict",
                  line->verdict, "sent_bytes", (json_int_t)line->sent_bytes, "received_bytes",
                  (json_int_t)line->received_bytes);
    scoped(string) char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    scoped(string) char *whole = xasprintf("%s\n", text ? text : "");
    /* one write, so that lines of several proxies never mix */
    ssize_t n;
    do {
        n = write(current, whole, strlen(whole));
    } while (n < 0 && errno == EINTR);
}
