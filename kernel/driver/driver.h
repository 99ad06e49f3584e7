/* What drivers written in C have in common: the link as docs/link.md has it, and the rules of an
 * execution. A language gives a table of functions; it knows no frames.
 *
 * All functions here are for the main thread. JSON texts are UTF-8; bytes of the language's own
 * that are not are cleaned with driver_text(). */
#ifndef WARMCELL_KERNEL_DRIVER_DRIVER_H
#define WARMCELL_KERNEL_DRIVER_DRIVER_H

#include <poll.h>

#include "protocol/bytes.h"
#include "protocol/err.h"
#include "protocol/json.h"

struct driver;

/* Where something runs; borrowed. */
struct driver_place {
    json_t *env;     /* {name: text, or null to remove it}; NULL: as it is */
    const char *cwd; /* NULL: as it is */
};

/* One execution; borrowed. */
struct driver_run {
    uint64_t number;
    const char *code; /* UTF-8 */
    unsigned count;   /* In [count] */
    bool silent, may_ask;
};

enum driver_end {
    DRIVER_OK,
    DRIVER_ERROR, /* name, value and traceback say which */
    DRIVER_EXIT,  /* the code ends the kernel; what driver_serve() gives is status */
};

/* How an execution ended; the language fills it, the caller releases it. */
struct driver_outcome {
    enum driver_end end;
    char *name, *value; /* owned */
    json_t *traceback;  /* owned; an array of texts; NULL: "name: value" */
    int status;
    double cpu_s, children_cpu_s;                   /* of the run; of child processes so far */
    int64_t memory_peak_bytes, children_peak_bytes; /* the same: memory_peak.h */
};

/* A question about code at a place of it; borrowed. */
struct driver_question {
    const char *code;
    size_t cursor; /* in bytes */
    int detail;
};

struct driver_language {
    bool runs_apart; /* code runs in another process than this one */
    /* The members of kernel_info_reply; given. */
    json_t *(*info)(void *self);
    /* Takes a place on for good. 400: why not, after the member's name. */
    bool (*adopt)(void *self, const struct driver_place *place, struct err *e);
    /* The same for one execution, and back; after false nothing is to be undone. */
    bool (*enter)(void *self, const struct driver_place *place, struct err *e);
    void (*leave)(void *self);
    void (*run)(void *self, const struct driver_run *run, struct driver_outcome *out);
    /* The MIME bundle of an expression (given), or NULL with out's error filled. */
    json_t *(*evaluate)(void *self, const struct driver_run *run, struct driver_outcome *out);
    /* Contents of the replies, without status; given. complete: matches as an array, and *start
     * and *end of what they replace, in bytes. inspect: a MIME bundle, or NULL. */
    json_t *(*complete)(void *self, const struct driver_question *q, size_t *start, size_t *end);
    json_t *(*inspect)(void *self, const struct driver_question *q);
    /* {"status": "complete|incomplete|invalid", "indent": ""} */
    json_t *(*is_whole)(void *self, const char *code);
    /* The kernel ends: runs what the user has asked for at its end. */
    void (*finish)(void *self);
    /* What else is to be attended to between requests: fills at most DRIVER_WATCHED_MOST
     * descriptors, gives how many; attend is called when one of them is ready. false: the kernel
     * ends. Both may be NULL. */
    size_t (*watch)(void *self, struct pollfd *fds);
    bool (*attend)(void *self);
};
#define DRIVER_WATCHED_MOST 8

/* Takes "--link-fd N --pipes-fd N" off the words after argv[0], and NULL-terminates the rest. 400:
 * they are not there, or no descriptors. */
bool driver_take_options(int *argc, char **argv, int *link_fd, int *pipes_fd, struct err *e);

/* Takes over the descriptors. language and self are borrowed. NULL with e filled: 503. */
struct driver *driver_new(int link_fd, int pipes_fd, const struct driver_language *language,
                          void *self, struct err *e);
void driver_free(struct driver *d);

/* Answers requests until the kernel ends; gives the exit status. */
int driver_serve(struct driver *d);

/* A display_data or another message of the request that runs or ran last; content is taken. Waits
 * where the host does not take it. */
void driver_publish(struct driver *d, const char *msg_type, json_t *content);

/* Text of one of the language's own streams, "stdout" or "stderr". */
void driver_stream(struct driver *d, const char *name, struct bytes text);

/* Asks the client. The answer is awaited on driver_answer_fd() and taken (given) by
 * driver_take_answer(), which gives NULL while there is none. */
void driver_ask(struct driver *d, const char *prompt, bool password);
int driver_answer_fd(const struct driver *d);
char *driver_take_answer(struct driver *d, size_t *len);

/* The request that the host's latest SIGINT is for; 0: none. */
uint64_t driver_interrupted(const struct driver *d);

/* Tells the host that the kernel ends because the code wanted it, with that status. */
void driver_exit(struct driver *d, int status);

/* Ends this process as another was ended by a signal, after what was said has gone out. */
__attribute__((noreturn)) void driver_die(struct driver *d, int signal_number);

/* Errors: name and value are copied; traceback is left to be "name: value". */
__attribute__((format(printf, 3, 4))) void driver_fail(struct driver_outcome *out, const char *name,
                                                       const char *format, ...);
void driver_outcome_free(struct driver_outcome *out);
static inline void driver_outcome_scoped(struct driver_outcome *out)
{
    driver_outcome_free(out);
}

/* A JSON text of bytes that need not be UTF-8; given. */
json_t *driver_text(struct bytes text);

/* Bytes in base64, as a JSON text; given. */
json_t *driver_base64(struct bytes data);

/* {"text/plain": text}; given. */
json_t *driver_plain(struct bytes text);

/* Where code's character `points` begins, in bytes; and back. */
size_t driver_bytes_at(const char *code, int64_t points);
int64_t driver_points_at(const char *code, size_t at);

#endif
