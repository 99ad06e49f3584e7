/* llhttp with all its strictness, and what it does not judge: sizes, bytes in values, codings that
 * we could not take off, interim replies without end. Called by relay.c alone. */
#include "gateway/net/relay_reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "protocol/memory.h"

#define INTERIMS_MOST      16
#define REASON_LIMIT_BYTES 200

/* What on_headers_complete may say to llhttp. */
enum { WITHOUT_BODY = 1, UPGRADE = 2 };

__attribute__((format(printf, 2, 3))) static int refuse(struct relay_reply *r, const char *format,
                                                        ...)
{
    va_list args;
    va_start(args, format);
    r->wrong.status = 502;
    vsnprintf(r->wrong.text, sizeof r->wrong.text, format, args);
    va_end(args);
    return HPE_USER;
}

static int count(struct relay_reply *r, size_t len)
{
    r->head_bytes += len;
    if (r->head_bytes <= HEADER_BLOCK_LIMIT_BYTES)
        return 0;
    return refuse(r, "the server inside sent headers of more than %d bytes",
                  HEADER_BLOCK_LIMIT_BYTES);
}

static int on_message_begin(llhttp_t *parser)
{
    struct relay_reply *r = parser->data;
    buffer_clear(&r->reason);
    buffer_clear(&r->text);
    r->header_count = 0;
    r->headers[0].name = 0;
    return 0;
}

static int on_status(llhttp_t *parser, const char *at, size_t len)
{
    struct relay_reply *r = parser->data;
    int refused = count(r, len);
    if (!refused && r->reason.len + len <= REASON_LIMIT_BYTES)
        buffer_add(&r->reason, at, len);
    return refused;
}

static int on_field(llhttp_t *parser, const char *at, size_t len)
{
    struct relay_reply *r = parser->data;
    int refused = count(r, len);
    if (refused || r->has_head) /* trailers are passed over */
        return refused;
    if (r->header_count == HEADERS_LIMIT)
        return refuse(r, "the server inside sent more than %d headers", HEADERS_LIMIT);
    if (!r->headers[r->header_count].name)
        r->headers[r->header_count].name = (uint32_t)r->text.len + 1;
    buffer_add(&r->text, at, len);
    return 0;
}

static int on_field_complete(llhttp_t *parser)
{
    struct relay_reply *r = parser->data;
    if (r->has_head)
        return 0;
    uint32_t name = r->header_count < HEADERS_LIMIT ? r->headers[r->header_count].name : 0;
    if (!name || r->text.len == name - 1)
        return refuse(r, "the server inside sent a header without a name");
    buffer_add(&r->text, "", 1);
    r->headers[r->header_count].value = (uint32_t)r->text.len;
    return 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t len)
{
    struct relay_reply *r = parser->data;
    int refused = count(r, len);
    if (refused || r->has_head)
        return refused;
    for (size_t i = 0; i < len; i++)
        if (((unsigned char)at[i] < ' ' && at[i] != '\t') || at[i] == 0x7f)
            return refuse(r, "the server inside sent a header with control characters");
    buffer_add(&r->text, at, len);
    return 0;
}

static int on_value_complete(llhttp_t *parser)
{
    struct relay_reply *r = parser->data;
    if (r->has_head)
        return 0;
    size_t start = r->headers[r->header_count].value;
    while (r->text.len > start &&
           (r->text.data[r->text.len - 1] == ' ' || r->text.data[r->text.len - 1] == '\t'))
        r->text.len--;
    buffer_add(&r->text, "", 1);
    r->header_count++;
    if (r->header_count < HEADERS_LIMIT)
        r->headers[r->header_count].name = 0;
    return 0;
}

/* One Transfer-Encoding, "chunked" and nothing besides: another one could not be taken off. */
static bool codings_known(const struct relay_reply *r)
{
    const char *name, *value;
    size_t found = 0;
    for (size_t i = 0; relay_reply_header(r, i, &name, &value); i++)
        if (strcasecmp(name, "transfer-encoding") == 0 &&
            (strcasecmp(value, "chunked") != 0 || found++))
            return false;
    return true;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct relay_reply *r = parser->data;
    r->status = parser->status_code;
    if (parser->http_major != 1 || r->status < 100 || r->status > 599)
        return refuse(r, "the server inside does not speak HTTP/1");
    if (!codings_known(r))
        return refuse(r, "the server inside sent a Transfer-Encoding that is not known here");
    if (r->status == 101) {
        if (!r->may_upgrade || !parser->upgrade)
            return refuse(r, "the server inside switched protocols, which nobody asked for");
        r->upgraded = true;
    } else if (r->status < 200) {
        return ++r->interims > INTERIMS_MOST ? refuse(r, "the server inside never replies")
                                             : WITHOUT_BODY;
    }
    r->has_head = true;
    r->has_body = r->status != 204 && r->status != 304 && !r->upgraded;
    bool says = (parser->flags & F_CONTENT_LENGTH) && parser->content_length <= INT64_MAX;
    r->length = says && r->status != 204 && !r->upgraded ? (int64_t)parser->content_length : -1;
    /* what follows such a head is no body whatever length it says: passed on, it were the next
       reply to the client */
    return r->upgraded ? UPGRADE : r->head_only || !r->has_body ? WITHOUT_BODY : 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
    struct relay_reply *r = parser->data;
    buffer_add(&r->body, at, len);
    return 0;
}

static int on_message_complete(llhttp_t *parser)
{
    struct relay_reply *r = parser->data;
    if (!r->has_head)
        return 0;
    r->ended = true;
    return HPE_PAUSED;
}

static int on_extension(llhttp_t *parser, const char *at, size_t len)
{
    (void)at;
    return count(parser->data, len);
}

static const llhttp_settings_t callbacks = {
    .on_message_begin = on_message_begin,
    .on_status = on_status,
    .on_header_field = on_field,
    .on_header_field_complete = on_field_complete,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_chunk_extension_name = on_extension,
    .on_chunk_extension_value = on_extension,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

void relay_reply_init(struct relay_reply *r, bool head_only, bool may_upgrade)
{
    memset(r, 0, sizeof *r);
    llhttp_init(&r->parser, HTTP_RESPONSE, &callbacks);
    r->parser.data = r;
    r->head_only = head_only;
    r->may_upgrade = may_upgrade;
    r->length = -1;
}

void relay_reply_free(struct relay_reply *r)
{
    buffer_free(&r->reason);
    buffer_free(&r->text);
    buffer_free(&r->body);
}

bool relay_reply_feed(struct relay_reply *r, struct bytes data, size_t *used, struct err *e)
{
    *used = 0;
    if (r->ended || !data.len)
        return true;
    llhttp_errno_t code = llhttp_execute(&r->parser, data.data, data.len);
    *used = data.len;
    if (code == HPE_OK)
        return true;
    if (r->ended && !r->wrong.status) {
        *used = (size_t)(llhttp_get_error_pos(&r->parser) - data.data);
        return true;
    }
    const char *why = llhttp_get_error_reason(&r->parser);
    if (!r->wrong.status)
        fail(&r->wrong, 502, "the server inside sent no valid HTTP reply: %s",
             why && *why ? why : llhttp_errno_name(code));
    *e = r->wrong;
    return false;
}

bool relay_reply_close(struct relay_reply *r, struct err *e)
{
    if (!r->ended && r->has_head)
        llhttp_finish(&r->parser); /* calls on_message_complete where this may be the end */
    if (r->ended)
        return true;
    if (r->has_head)
        return fail(e, 502, "the server inside broke off its reply");
    return fail(e, 502, "the server inside closed the connection without a reply");
}

bool relay_reply_header(const struct relay_reply *r, size_t i, const char **name,
                        const char **value)
{
    if (i >= r->header_count)
        return false;
    *name = r->text.data + r->headers[i].name - 1;
    *value = r->text.data + r->headers[i].value;
    return true;
}
