/* What a server inside a sandbox replies, read as it comes. It is written by whom nobody trusts:
 * all of it is parsed, and only what was understood goes on. */
#ifndef WARMCELL_GATEWAY_NET_RELAY_REPLY_H
#define WARMCELL_GATEWAY_NET_RELAY_REPLY_H

#include <llhttp.h>

#include "gateway/net/limits.h"
#include "protocol/bytes.h"
#include "protocol/err.h"

struct relay_reply {
    llhttp_t parser;
    bool head_only;   /* a reply to HEAD: no body follows, whatever it says */
    bool may_upgrade; /* the request asked for another protocol */
    int status;
    bool has_head;  /* of the final reply: what is below is whole */
    bool ended;     /* all of it is in; with `upgraded`: its head */
    bool upgraded;  /* 101: what follows is another protocol */
    bool has_body;  /* there may be one */
    int64_t length; /* of the body; -1: it does not say */
    struct buffer reason;
    struct buffer text; /* names and values, each ended by NUL */
    struct {
        uint32_t name, value;
    } headers[HEADERS_LIMIT];
    size_t header_count;
    size_t head_bytes; /* of all heads: there may be interim ones */
    int interims;
    struct buffer body; /* what came of it; the caller takes it and clears it */
    struct err wrong;   /* status 0: nothing is */
};

void relay_reply_init(struct relay_reply *r, bool head_only, bool may_upgrade);
void relay_reply_free(struct relay_reply *r);

/* Reads on; *used: the bytes that belong to it, fewer than all when it has ended. 502: no HTTP/1
 * reply, or beyond a limit; nothing may be fed after that. */
bool relay_reply_feed(struct relay_reply *r, struct bytes data, size_t *used, struct err *e);

/* Nothing more comes: a body of no said length ends by that. 502: that was too early. */
bool relay_reply_close(struct relay_reply *r, struct err *e);

/* The headers in their order; false: there are no more. */
bool relay_reply_header(const struct relay_reply *r, size_t i, const char **name,
                        const char **value);

#endif
