/* Messages that the gateway itself makes, as v1 frames appended to out. parent is a raw header or
 * "{}". */
#ifndef WARMCELL_GATEWAY_CORE_NOTICE_H
#define WARMCELL_GATEWAY_CORE_NOTICE_H

#include "protocol/bytes.h"

/* session stands in the headers: a kernel's id will do. */
void notice_status(struct buffer *out, const char *session, struct bytes parent, const char *state);
/* A status "restarting" or "dead" of no request, with the metadata {"warmcell": {"cause": "signal",
 * "reason": "..."}}, as a host has it (docs/link.md). Either may be NULL. */
void notice_end(struct buffer *out, const char *session, const char *state, const char *cause,
                const char *reason);
void notice_stream(struct buffer *out, const char *session, struct bytes parent, const char *text);
void notice_error(struct buffer *out, const char *session, struct bytes parent, const char *name,
                  const char *value);

/* The reply that a lost request is owed: its type with _reply for _request, status error; that of
 * an execution says so in its metadata, as those of a host do. */
void notice_lost_reply(struct buffer *out, const char *session, struct bytes parent,
                       const char *reply_type, const char *channel, const char *name,
                       const char *value);

#endif
