/* /openapi.json, and /docs, where people read it. The page holds the document itself: it asks
 * nobody for anything, its policy forbids it to, and it can be kept as one file. */
#include <string.h>

#include "gateway/dialect/openapi.h"
#include "gateway/net/server.h"
#include "gateway/web/pages.h"
#include "protocol/ids.h"
#include "protocol/json.h"
#include "protocol/memory.h"

static json_t *document_of(const struct exchange *x)
{
    size_t count = 0;
    const struct route_table *const *tables = exchange_route_tables(x, &count);
    return openapi_document(tables, count, exchange_base_url(x));
}

static void show_document(struct exchange *x, void *context)
{
    (void)context;
    exchange_reply_json(x, 200, document_of(x));
}

/* JSON inside a script element must not end it. */
static void add_document(struct buffer *out, const struct exchange *x)
{
    scoped(json) json_t *document = document_of(x);
    scoped(string) char *text = json_dumps(document, JSON_COMPACT);
    for (const char *at = text, *end; *at; at = end) {
        size_t len = strcspn(at, "<");
        buffer_add(out, at, len);
        end = at + len;
        if (*end == '<') {
            buffer_add_text(out, "\\u003c");
            end++;
        }
    }
}

/* The page with each of its marks replaced. */
static void write_page(struct buffer *out, const struct exchange *x, const char *nonce)
{
    static const char nonce_mark[] = "%NONCE%", document_mark[] = "%DOCUMENT%";
    const char *at = docs_page;
    for (const char *mark; (mark = strchr(at, '%')); at = mark) {
        buffer_add(out, at, (size_t)(mark - at));
        if (strncmp(mark, nonce_mark, sizeof(nonce_mark) - 1) == 0) {
            buffer_add_text(out, nonce);
            mark += sizeof(nonce_mark) - 1;
        } else if (strncmp(mark, document_mark, sizeof(document_mark) - 1) == 0) {
            add_document(out, x);
            mark += sizeof(document_mark) - 1;
        } else {
            buffer_add(out, mark++, 1);
        }
    }
    buffer_add_text(out, at);
}

static void show_page(struct exchange *x, void *context)
{
    (void)context;
    scoped(buffer) struct buffer text = {0};
    char nonce[UUID_TEXT];
    uuid_make(nonce);
    scoped(string) char *policy =
        xasprintf("default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-%s'; "
                  "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
                  nonce);
    write_page(&text, x, nonce);
    exchange_add_header(x, "Content-Security-Policy", policy);
    exchange_add_header(x, "Referrer-Policy", "no-referrer"); /* the URL may hold the token */
    exchange_reply(x, 200, "text/html; charset=utf-8", buffer_view(&text));
}

static const struct doc_schema document = {
    .name = "OpenAPI",
    .about = "An OpenAPI 3.1 document.",
    .json = "{\"type\": \"object\", \"required\": [\"openapi\", \"info\", \"paths\"]}",
};

static const struct doc document_doc = {
    .tag = "Service",
    .about = "Made from the routes that this gateway serves, so that it tells neither more nor "
             "less.",
    .replies = {REPLY(200, "The document.", .schema = &document)},
};

static const struct doc page_doc = {
    .tag = "Service",
    .about = "One page without any request to elsewhere. It can be saved and read without a "
             "gateway.",
    .replies = {REPLY(200, "The page.", .type = "text/html; charset=utf-8")},
};

static const struct route rows[] = {
    {
        .method = GET,
        .pattern = "/openapi.json",
        .handler = show_document,
        .summary = "This description, for programs",
        .access = ACCESS_OPEN,
        .error_form = ERRORS_PROBLEM,
        .doc = &document_doc,
    },
    {
        .method = GET,
        .pattern = "/docs",
        .handler = show_page,
        .summary = "This description, for people",
        .access = ACCESS_OPEN,
        .error_form = ERRORS_PROBLEM,
        .doc = &page_doc,
    },
};

const struct route_table docs_routes = {rows, countof(rows)};
