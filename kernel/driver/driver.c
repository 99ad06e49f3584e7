/* The link of a driver: its options, what goes out, and the loop that takes what comes in. Used by
 * the programs of kernel/bash/ and kernel/r/. Invariant: an execute_request gets its reply before
 * anything else is taken. */
#include "kernel/driver/driver.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "kernel/driver/state.h"

#define WAIT_MS      1000
#define LAST_WAIT_MS 2000
#define ADOPT_BYTES  (4 * 1024 * 1024)
#define INTERRUPTED  "Interrupted"

static inline void frame_scoped(struct lane_frame **frame)
{
    free(*frame);
}

static bool read_descriptor(const char *text, int *out)
{
    char *end;
    long fd = strtol(text, &end, 10);
    if (*end || end == text || fd < 3 || fd > INT_MAX)
        return false;
    *out = (int)fd;
    return true;
}

bool driver_take_options(int *argc, char **argv, int *link_fd, int *pipes_fd, struct err *e)
{
    int kept = 1;
    *link_fd = *pipes_fd = -1;
    for (int i = 1; i < *argc; i++) {
        int *into = strcmp(argv[i], "--link-fd") == 0    ? link_fd
                    : strcmp(argv[i], "--pipes-fd") == 0 ? pipes_fd
                                                         : NULL;
        if (!into)
            argv[kept++] = argv[i];
        else if (++i >= *argc || !read_descriptor(argv[i], into))
            return fail(e, 400, "%s: must be the number of an open descriptor", argv[i - 1]);
    }
    argv[ *argc = kept] = NULL;
    return (*link_fd >= 0 && *pipes_fd >= 0) ||
           fail(e, 400, "--link-fd and --pipes-fd are required; warmcell-kernel gives them");
}

static void nothing_to_do(void)
{
}

struct driver *driver_new(int link_fd, int pipes_fd, const struct driver_language *language,
                          void *self, struct err *e)
{
    struct lane *lane = lane_open(link_fd, pipes_fd, nothing_to_do, e);
    if (!lane)
        return NULL;
    struct driver *d = xcalloc(1, sizeof *d);
    *d = (struct driver){.lane = lane, .language = language, .self = self};
    return d;
}

void driver_free(struct driver *d)
{
    if (!d)
        return;
    lane_drain(d->lane, LAST_WAIT_MS);
    lane_close(d->lane);
    free(d);
}

void driver_send(struct driver *d, struct link_frame frame)
{
    size_t queued = lane_send(d->lane, frame, NULL, AT_ONCE);
    while (queued > LANE_HIGH_WATER_BYTES)
        queued = lane_wait_writable(d->lane, -1, WAIT_MS);
}

void driver_say(struct driver *d, enum link_kind kind, json_t *content)
{
    scoped(json) json_t *kept = content;
    scoped(string) char *text = json_dumps(kept, JSON_COMPACT);
    struct bytes part = bytes_of(text);
    driver_send(d, (struct link_frame){.kind = (uint8_t)kind, .parts = &part, .part_count = 1});
}

void driver_publish(struct driver *d, const char *msg_type, json_t *content)
{
    scoped(json) json_t *kept = content;
    scoped(string) char *text = json_dumps(kept, JSON_COMPACT);
    struct bytes parts[] = {bytes_of(msg_type), bytes_of("{}"), bytes_of(text)};
    driver_send(d, (struct link_frame){.kind = LINK_PUBLISH,
                                       .number = d->number,
                                       .parts = parts,
                                       .part_count = countof(parts)});
}

void driver_reply(struct driver *d, const struct driver_reply *reply)
{
    scoped(string) char *metadata = json_dumps(reply->metadata, JSON_COMPACT);
    scoped(string) char *content = json_dumps(reply->content, JSON_COMPACT);
    struct bytes parts[] = {bytes_of(metadata ? metadata : "{}"), bytes_of(content)};
    driver_send(d, (struct link_frame){.kind = LINK_REPLY,
                                       .flags = reply->flags,
                                       .number = reply->number,
                                       .parts = parts,
                                       .part_count = countof(parts)});
    json_decref(reply->metadata);
    json_decref(reply->content);
}

void driver_stream(struct driver *d, const char *name, struct bytes text)
{
    scoped(buffer) struct buffer clean = {0};
    utf8_clean(&clean, text);
    enum lane_stream stream = strcmp(name, "stderr") == 0 ? LANE_STDERR : LANE_STDOUT;
    size_t queued = lane_write(d->lane, stream, d->number, buffer_view(&clean));
    while (queued > LANE_HIGH_WATER_BYTES)
        queued = lane_wait_writable(d->lane, -1, WAIT_MS);
}

void driver_ask(struct driver *d, const char *prompt, bool password)
{
    lane_forget_inputs(d->lane);
    scoped(json) json_t *content =
        json_pack("{s:o, s:b}", "prompt", driver_text(bytes_of(prompt)), "password", password);
    scoped(string) char *text = json_dumps(content, JSON_COMPACT);
    struct bytes part = bytes_of(text);
    driver_send(
        d, (struct link_frame){
               .kind = LINK_INPUT_REQUEST, .number = d->number, .parts = &part, .part_count = 1});
}

int driver_answer_fd(const struct driver *d)
{
    return lane_input_fd(d->lane);
}

char *driver_take_answer(struct driver *d, size_t *len)
{
    scoped(frame) struct lane_frame *frame = lane_take_input(d->lane);
    bool ours = frame && frame->number == d->number && frame->part_count > 0;
    char *answer = ours ? xstrndup(frame->parts[0].data, frame->parts[0].len) : NULL;
    if (answer)
        *len = strlen(answer);
    return answer;
}

uint64_t driver_interrupted(const struct driver *d)
{
    return lane_interrupted(d->lane);
}

void driver_exit(struct driver *d, int status)
{
    driver_say(d, LINK_EXIT, json_pack("{s:b}", "keepkernel", 0));
    d->status = status;
}

void driver_die(struct driver *d, int signal_number)
{
    static const struct rlimit no_core = {0, 0};
    lane_drain(d->lane, LAST_WAIT_MS);
    setrlimit(RLIMIT_CORE, &no_core);
    signal(signal_number, SIG_DFL);
    kill(getpid(), signal_number);
    _exit(128 + signal_number);
}

static struct bytes part(const struct lane_frame *frame, size_t index)
{
    return index < frame->part_count ? frame->parts[index] : bytes_of("{}");
}

/* {"env": {}, "cwd": ""} of an ADOPT, and of HELLO, whose env is not there. */
static void adopt(struct driver *d, struct bytes text)
{
    struct err e;
    struct driver_place place = {0};
    scoped(json) json_t *body = json_parse_object(text, "the place", ADOPT_BYTES, &e);
    if (!body || !field_object(body, "env", OPTIONAL, &place.env, &e) ||
        !field_str(body, "cwd", OPTIONAL, &place.cwd, &e) ||
        ((place.env || place.cwd) && !d->language->adopt(d->self, &place, &e)))
        driver_stream(d, "stderr", bytes_of(e.text));
}

/* READY goes out also to a host of another version: it says so and ends the link. */
static bool greet(struct driver *d, struct bytes text)
{
    scoped(json) json_t *hello = json_parse_object(text, "HELLO", ADOPT_BYTES, NULL);
    int64_t version = 0;
    bool known = hello && field_int(hello, "version", REQUIRED, 0, INT32_MAX, &version, NULL) &&
                 version == LINK_VERSION;
    adopt(d, text);
    driver_say(d, LINK_READY,
               json_pack("{s:i, s:o, s:s, s:b}", "version", LINK_VERSION, "kernel_info",
                         d->language->info(d->self), "interrupt_error", INTERRUPTED, "runs_apart",
                         d->language->runs_apart));
    return known;
}

static void take_frame(struct driver *d, const struct lane_frame *frame)
{
    d->ended = frame->kind == LINK_SHUTDOWN || d->ended;
    if (frame->kind == LINK_HELLO && !greet(d, part(frame, 0))) {
        d->ended = true;
        d->status = 1;
    }
    if (frame->kind == LINK_ADOPT)
        adopt(d, part(frame, 0));
    if (frame->kind == LINK_REQUEST)
        driver_answer(d, frame);
}

/* The host answers EXIT with SHUTDOWN. */
static void await_shutdown(struct driver *d)
{
    while (!d->ended) {
        scoped(frame) struct lane_frame *frame = lane_take(d->lane);
        struct pollfd wake = {lane_wake_fd(d->lane), POLLIN, 0};
        if (frame)
            d->ended = frame->kind == LINK_SHUTDOWN;
        else
            poll(&wake, 1, -1);
    }
}

int driver_serve(struct driver *d)
{
    while (!d->ended) {
        scoped(frame) struct lane_frame *frame = lane_take(d->lane);
        if (frame) {
            take_frame(d, frame);
            continue;
        }
        struct pollfd fds[1 + DRIVER_WATCHED_MOST] = {{lane_wake_fd(d->lane), POLLIN, 0}};
        size_t count = d->language->watch ? d->language->watch(d->self, fds + 1) : 0;
        int ready = poll(fds, 1 + count, -1);
        if (ready > (fds[0].revents != 0) && !d->language->attend(d->self))
            await_shutdown(d);
    }
    d->language->finish(d->self);
    return d->status;
}
