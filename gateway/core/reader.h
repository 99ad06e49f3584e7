/* One client's reading of a kernel's journal: replay from where its session was, then live, then
 * from disk again when it cannot keep up. Readers do not wait for each other. */
#ifndef WARMCELL_GATEWAY_CORE_READER_H
#define WARMCELL_GATEWAY_CORE_READER_H

#include "gateway/core/journal.h"
#include "gateway/core/kernel.h"
#include "gateway/net/websocket.h"

struct reader;

struct reader_events {
    /* A message for this reader; owner holds its bytes. False: no more until reader_resume (this
     * one was taken). */
    bool (*on_message)(void *user, struct shared *owner, const struct journal_record *record);
    /* The reading is over: the kernel was deleted or a newer connection has the session (1000, the
     * client shall not come back), or the gateway ends (1012). The reader is gone when this is
     * called. */
    void (*on_end)(void *user, int code, const char *reason);
    /* NULL, or: what there was for now has been given. The reader is not to be closed here. */
    void (*on_pause)(void *user);
    /* Of reader_open_at: what is before this sequence was dropped from the journal; not NULL then.
     * To be closed here, or it goes on from there. */
    void (*on_dropped)(void *user, uint64_t first);
};

/* Begins to read. session is 1..100 bytes; keep says whether it may come back and be replayed.
 * Messages that are there already come in a later turn of the loop. A reader of the same session is
 * ended first. */
struct reader *reader_open(struct kernel *k, const char *session, bool keep,
                           const struct reader_events *events, void *user);
/* The same of every message from a place on, whoever it is for. It has no session, cannot come
 * back, and does not count as a connection. */
struct reader *reader_open_at(struct kernel *k, const struct journal_cursor *from,
                              const struct reader_events *events, void *user);
void reader_close(struct reader *r); /* NULL is fine; no event comes after it */
struct kernel *reader_kernel(const struct reader *r);

/* The client takes messages again. */
void reader_resume(struct reader *r);

/* Everything up to this sequence was handed to the operating system. 0 (a gateway's notice) is
 * passed over. */
void reader_sent(struct reader *r, uint64_t sequence);
/* Everything up to it is handed over in the next system call; 0: it was not. */
void reader_sending(struct reader *r, uint64_t sequence);

#endif
