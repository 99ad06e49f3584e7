/* One byte stream of a client: TCP or a Unix socket, bare or under TLS. http.c and websocket.c read
 * and write through it and do not know which it is. */
#ifndef WARMCELL_GATEWAY_NET_STREAM_H
#define WARMCELL_GATEWAY_NET_STREAM_H

#include <uv.h>

#include "gateway/net/limits.h"
#include "gateway/net/tls.h"
#include "protocol/bytes.h"

struct stream;

struct stream_events {
    void (*on_read)(void *user, struct bytes data); /* data is borrowed for the call */
    /* The peer ended its side (it may still read), or is gone (broken): the second may follow the
     * first. */
    void (*on_end)(void *user, bool broken);
    void (*on_written)(void *user); /* the write that was pending is done */
    void (*on_closed)(void *user);  /* exactly once, after stream_close; the stream is gone */
};

/* Accepts the waiting connection of a listener. tls may be NULL (borrowed). NULL: accept failed.
 * The stream belongs to its user until stream_close. */
struct stream *stream_accept(uv_stream_t *listener, struct tls *tls,
                             const struct stream_events *events, void *user);

/* The same of a socket that is connected and does not block; fd is taken. NULL: it cannot be
 * watched. */
struct stream *stream_adopt(uv_loop_t *loop, int fd, const struct stream_events *events,
                            void *user);

/* Hands the stream to another reader. */
void stream_hand_over(struct stream *s, const struct stream_events *events, void *user);

void stream_read_start(struct stream *s);
void stream_read_stop(struct stream *s);

/* Reads what has come already, up to STREAM_REST_BYTES: of a plain stream that was told broken,
 * whose peer may have said something before. No on_end comes of it. */
#define STREAM_REST_BYTES (256 * 1024)
void stream_read_rest(struct stream *s);

/* Writes as much as the socket takes now and returns how many bytes that were. When it is less than
 * the whole, the rest is pending: the memory behind bufs must stay until on_written, and nothing
 * else may be written before. At most WEBSOCKET_BUFFERS buffers. Errors come as on_end(broken). */
size_t stream_write(struct stream *s, const uv_buf_t *bufs, unsigned count);
bool stream_pending(const struct stream *s);
/* Changes as the peer's side takes what was written, be it ever so slowly: all that was ever given
 * to the operating system, without what it still holds. */
int64_t stream_taken_bytes(const struct stream *s);

/* Is the peer's machine gone? For limit_ms nothing has come from it, no acknowledgement either,
 * though something is on its way to it. One that reads nothing, or next to nothing, is there: its
 * system answers. To be asked now and then: what two questions that far apart have not seen does
 * not count. Never true of a Unix socket. */
bool stream_is_lost(struct stream *s, int64_t now_ms, int64_t limit_ms);

/* How many bytes the operating system will surely take in one write now; 0 when that is not known.
 */
size_t stream_room(const struct stream *s);

/* Ends our side; nothing may be written afterwards. Not while a write is pending. */
void stream_shutdown(struct stream *s);

/* Closes at once; a pending write is abandoned, but its memory is in use until on_closed. */
void stream_close(struct stream *s);

/* The user at the other end of a Unix socket; false on TCP. */
bool stream_peer_uid(const struct stream *s, uid_t *uid);
#define STREAM_PEER_TEXT 64
/* Its address without the port, or "uid 1000". */
void stream_peer_text(const struct stream *s, char out[STREAM_PEER_TEXT]);
bool stream_is_unix(const struct stream *s);
bool stream_is_tls(const struct stream *s);

#endif
