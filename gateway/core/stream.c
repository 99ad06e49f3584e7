/* What a host says, and where it goes: into the kernel's batch, from there to the journal, the
 * readers and the scan, and last the acknowledgement. Called by uplink.c, a turn of the loop at a
 * time.
 *
 * Invariant: a message is shown to readers after write(2) took it, and acknowledged after that too.
 */
#include <string.h>

#include "gateway/core/artifact.h"
#include "gateway/core/execution_state.h"
#include "gateway/core/seed.h"
#include "gateway/core/state.h"
#include "gateway/launch/process.h"
#include "gateway/log.h"
#include "protocol/framing.h"
#include "protocol/json.h"

#define BATCH_LIMIT_BYTES (1024 * 1024)
#define STATE_LIMIT_BYTES (64 * 1024)
#define ACK_BYTES         (256 * 1024) /* this much without an acknowledgement is too much */
#define ACK_DELAY_MS      20
#define REASON_BYTES      300
#define CAUSE_BYTES       40

/* Requests that tell nothing of somebody working with the kernel.
 * Source: jupyter_server services/kernels/kernelmanager.py, untracked_message_types. */
static const char *const untracked[] = {
    "kernel_info_request", "comm_info_request", "shutdown_request", "interrupt_request",
    "debug_request",       "usage_request",     "connect_request",
};

static const struct {
    const char *text;
    enum kernel_state state;
} states[] = {
    {"starting", KERNEL_STARTING},     {"idle", KERNEL_IDLE}, {"busy", KERNEL_BUSY},
    {"restarting", KERNEL_RESTARTING}, {"dead", KERNEL_DEAD},
};

void kernel_touch(struct kernel *k)
{
    clock_gettime(CLOCK_REALTIME, &k->last_activity);
    k->core->last_activity = k->last_activity;
    if (k->sandbox)
        sandbox_touch(k->sandbox);
}

const char *kernel_state_name(enum kernel_state state)
{
    return states[state].text;
}

const char *kernel_state_text(const struct kernel *k)
{
    return states[k->state].text;
}

static bool slice_is(struct bytes raw, const char *text)
{
    size_t len = strlen(text);
    return raw.len == len + 2 && memcmp(raw.data + 1, text, len) == 0;
}

static bool tracked(struct bytes parent)
{
    struct slice type = {.name = "msg_type"};
    if (!json_slices(parent, &type, 1, NULL) || !type.value.data)
        return false;
    for (size_t i = 0; i < countof(untracked); i++)
        if (slice_is(type.value, untracked[i]))
            return false;
    return true;
}

/* What it is asked for may not have begun when its sandbox is looked at. */
void kernel_note_client(struct kernel *k, struct bytes header)
{
    if (k->sandbox && tracked(header))
        sandbox_touch(k->sandbox);
}

/* It begins empty. */
static void next_interpreter(struct kernel *k)
{
    free(take(&k->restored_from));
    k->code_cache = (struct code_cache){0};
}

/* Why there is another interpreter is told of ends that nobody wanted. */
static void forget_asked(struct kernel *k)
{
    bool works = k->state == KERNEL_IDLE || k->state == KERNEL_BUSY;
    if (works && k->cause && strcmp(k->cause, "asked") == 0 && !k->ending && !k->gone)
        kernel_set_reason(k, NULL, NULL);
}

static void set_state(struct kernel *k, struct bytes text, bool by_user)
{
    for (size_t i = 0; i < countof(states); i++) {
        if (!slice_is(text, states[i].text) || states[i].state == KERNEL_DEAD)
            continue;
        bool first = k->state == KERNEL_STARTING || k->state == KERNEL_RESTARTING;
        if (first && k->sandbox)
            sandbox_touch(k->sandbox); /* it is idle from when it can be used */
        if (states[i].state == KERNEL_STARTING || states[i].state == KERNEL_RESTARTING)
            next_interpreter(k);
        if (by_user || states[i].state == KERNEL_RESTARTING)
            k->state = states[i].state;
        else if (first && states[i].state != KERNEL_STARTING)
            k->state = KERNEL_IDLE;
    }
}

/* Why there is another interpreter: {"warmcell": {"cause": "oom", "reason": "..."}}. */
static void take_reason(struct kernel *k, struct bytes metadata)
{
    struct slice warmcell = {.name = "warmcell"};
    struct slice words[] = {{.name = "cause"}, {.name = "reason"}};
    if (!json_slices(metadata, &warmcell, 1, NULL) || !warmcell.value.data ||
        !json_slices(warmcell.value, words, countof(words), NULL))
        return;
    size_t len;
    scoped(string) char *cause =
        words[0].value.data ? json_slice_string(words[0].value, &len) : NULL;
    scoped(string) char *reason =
        words[1].value.data ? json_slice_string(words[1].value, &len) : NULL;
    if (reason)
        kernel_set_reason(k, cause, reason);
}

/* Which interpreter begins: the next host counts on from it. */
static void take_generation(struct kernel *k, struct bytes metadata)
{
    struct slice warmcell = {.name = "warmcell"}, number = {.name = "generation"};
    char digits[20] = {0};
    if (!k->sandbox || !json_slices(metadata, &warmcell, 1, NULL) || !warmcell.value.data ||
        !json_slices(warmcell.value, &number, 1, NULL) || !number.value.data ||
        number.value.len >= sizeof digits)
        return;
    memcpy(digits, number.value.data, number.value.len);
    int64_t generation = strtoll(digits, NULL, 10);
    if (generation <= k->generation)
        return;
    k->generation = generation;
    if (generation > 1) /* of a kernel that has a host, one is known */
        kernel_save(k);
}

static void take_status(struct kernel *k, struct bytes frame)
{
    scoped(framed) struct framed f = {0};
    struct slice state = {.name = "execution_state"};
    if (!framing_v1_decode(frame, &f, NULL) || !json_slices(f.message.content, &state, 1, NULL) ||
        !state.value.data)
        return;
    if (slice_is(state.value, "restarting"))
        take_reason(k, f.message.metadata);
    if (slice_is(state.value, "starting"))
        take_generation(k, f.message.metadata);
    bool by_user = tracked(f.message.parent);
    set_state(k, state.value, by_user);
    forget_asked(k);
    if (k->restoring && k->state == KERNEL_IDLE)
        resuming_ready(k);
    if (by_user)
        kernel_touch(k);
}

static bool ends_with_reply(struct bytes type)
{
    return type.len > 6 && memcmp(type.data + type.len - 6, "_reply", 6) == 0;
}

static void take_reply(struct kernel *k, struct bytes frame, bool executed)
{
    scoped(framed) struct framed f = {0};
    if (!framing_v1_decode(frame, &f, NULL))
        return;
    requests_answered(&k->requests, f.message.parent);
    if (executed)
        code_cache_read(&k->code_cache, f.message.metadata);
}

static void put(struct kernel *k, struct bytes identity, struct bytes type, struct bytes frame,
                uint64_t source);

/* What stands at the start of a segment, so that older ones can go: how many events each open
 * execution has had. */
static void put_mark(struct kernel *k)
{
    scoped(buffer) struct buffer mark = {0};
    if (k->batch.len == 0 && journal_begins(k->journal) && executions_mark(k, &mark))
        put(k, bytes_of(JOURNAL_MARK), bytes_of("mark"), buffer_view(&mark), 0);
}

static void put(struct kernel *k, struct bytes identity, struct bytes type, struct bytes frame,
                uint64_t source)
{
    if (k->executions && !bytes_is(identity, JOURNAL_MARK))
        put_mark(k);
    const struct journal_record record = {
        .sequence = k->next_sequence++,
        .source = source,
        .epoch = k->epoch,
        .identity = identity,
        .msg_type = type,
        .frame = frame,
    };
    journal_encode(&k->batch, &record);
    if (artifact_may_hold(type))
        k->batch_displays = true;
    if (k->executions)
        executions_take(k, &record);
}

void kernel_publish(struct kernel *k, const char *identity, const char *msg_type,
                    const struct buffer *frame)
{
    put(k, bytes_of(identity), bytes_of(msg_type), buffer_view(frame), 0);
}

static void take_message(struct kernel *k, const struct link_frame *frame)
{
    if (frame->part_count != 3 || frame->number <= k->source || frame->parts[0].len > UINT16_MAX ||
        frame->parts[1].len > UINT16_MAX)
        return; /* stored already, or of no shape that we know */
    if (frame->number > k->source + 1 && k->source)
        log_warn("messages of a kernel are missing", F_STR("kernel", k->id),
                 F_INT("count", (int64_t)(frame->number - k->source - 1)));
    k->source = frame->number;
    k->core->counters.messages_out++;
    k->core->counters.message_bytes_out += frame->parts[2].len;
    struct bytes identity = frame->parts[0], type = frame->parts[1], v1 = frame->parts[2];
    if (bytes_is(type, "status"))
        take_status(k, v1);
    else if (k->state == KERNEL_BUSY && k->batch.len == 0)
        kernel_touch(k);
    if (bytes_is(identity, GATEWAY_IDENTITY)) {
        if (bytes_is(type, "execute_reply"))
            seed_take_reply(k, v1);
        return;
    }
    if (bytes_is(identity, PACKAGES_IDENTITY)) {
        if (bytes_is(type, "execute_reply"))
            package_take_reply(k, v1);
        return;
    }
    if (identity.len && ends_with_reply(type))
        take_reply(k, v1, bytes_is(type, "execute_reply"));
    put(k, identity, type, v1, frame->number);
    if (k->batch.len >= BATCH_LIMIT_BYTES)
        kernel_flush(k);
}

static void on_ack_timer(uv_timer_t *timer)
{
    struct core *c = timer->data;
    for (size_t i = 0; i < c->kernel_count; i++)
        kernel_acknowledge(c->kernels[i]);
}

void kernel_acknowledge(struct kernel *k)
{
    if (k->acked == k->source || !uplink_attached(k->uplink))
        return;
    k->acked = k->source;
    uplink_send(k->uplink, &(struct link_frame){.kind = LINK_ACK, .number = k->source}, NULL);
}

static void release_read(struct kernel *k)
{
    if (journal_bytes(k->journal) < k->release_at_bytes)
        return;
    uint64_t needed = places_lowest(k->places) + 1;
    if (k->executions_from && k->executions_from < needed)
        needed = k->executions_from; /* their events are read from here, later too */
    journal_release(k->journal, needed);
    k->release_at_bytes = journal_bytes(k->journal) + JOURNAL_SEGMENT_BYTES;
}

void kernel_flush(struct kernel *k)
{
    if (k->batch.len == 0)
        return;
    size_t len = 0;
    char *data = buffer_take(&k->batch, &len);
    struct shared *batch = shared_new(data, len);
    bool displays = k->batch_displays;
    k->batch_displays = false;
    struct err e = {0};
    if (!journal_append(k->journal, shared_view(batch), &e))
        log_warn("a kernel's log was lost", F_STR("kernel", k->id), F_STR("why", e.text));
    executions_batch_stored(k);
    readers_deliver(k, batch);
    scan_add(k->core->scan, k, displays ? batch : NULL, k->next_sequence - 1);
    shared_free(batch);
    release_read(k);
    if (len >= ACK_BYTES)
        kernel_acknowledge(k);
    else if (!uv_is_active((uv_handle_t *)&k->core->ack_timer) && !k->core->draining)
        uv_timer_start(&k->core->ack_timer, on_ack_timer, ACK_DELAY_MS, 0);
}

void kernel_ask(struct kernel *k, const char *msg_type, const struct buffer *content)
{
    kernel_ask_as(k, GATEWAY_IDENTITY, msg_type, content);
}

void kernel_ask_as(struct kernel *k, const char *identity, const char *msg_type,
                   const struct buffer *content)
{
    scoped(buffer) struct buffer header = {0}, frame = {0};
    header_build(&header, msg_type, identity, "warmcell");
    const struct message m = {.channel = CHANNEL_SHELL,
                              .header = buffer_view(&header),
                              .parent = bytes_of("{}"),
                              .metadata = bytes_of("{}"),
                              .content = buffer_view(content)};
    framing_v1_encode(&m, &frame);
    const struct bytes parts[] = {bytes_of(identity), buffer_view(&frame)};
    uplink_send(k->uplink,
                &(struct link_frame){.kind = LINK_CLIENT_MESSAGE, .parts = parts, .part_count = 2},
                NULL);
}

/* Behind a relay a new kernel says "idle" only after it was asked something: ask, as every Jupyter
 * client does. Our own says it when its interpreter is ready. */
static void nudge(struct kernel *k)
{
    scoped(buffer) struct buffer content = {0};
    buffer_add_text(&content, "{}");
    kernel_ask(k, "kernel_info_request", &content);
}

static void set_reason(struct kernel *k, const char *reason, const char *cause)
{
    scoped(string) char *sentence = xstrndup(reason, strnlen(reason, REASON_BYTES));
    scoped(string) char *word = cause ? xstrndup(cause, strnlen(cause, CAUSE_BYTES)) : NULL;
    kernel_set_reason(k, word, sentence);
}

static void take_state(struct kernel *k, const struct link_frame *frame)
{
    scoped(json) json_t *state =
        frame->part_count ? json_parse_object(frame->parts[0], "STATE", STATE_LIMIT_BYTES, NULL)
                          : NULL;
    const char *text = json_string_value(json_object_get(state, "execution_state"));
    const char *reason = json_string_value(json_object_get(state, "reason"));
    const char *cause = json_string_value(json_object_get(state, "cause"));
    k->interpreter_session =
        (pid_t)json_integer_value(json_object_get(state, "interpreter_session"));
    k->interpreter_ticks = process_start(k->interpreter_session);
    if (!k->was_attached) {
        k->was_attached = true;
        uv_timer_stop(&k->timer);
        log_info("kernel attached", F_STR("kernel", k->id), F_INT("pid", k->host.pid));
    }
    if (reason) /* it happened while nobody was there */
        set_reason(k, reason, cause);
    for (size_t i = 0; text && i < countof(states); i++)
        if (strcmp(text, states[i].text) == 0 && states[i].state != KERNEL_DEAD)
            k->state = states[i].state;
    forget_asked(k);
    if (k->sandbox)
        sandbox_touch(k->sandbox);
    if (k->state == KERNEL_STARTING && !kernelspec_has_uplink(k->spec))
        nudge(k);
    executions_known(k, state, frame->number);
    if (k->branching)
        branching_attached(k); /* may end k */
    else if (k->restoring && k->state == KERNEL_IDLE)
        resuming_ready(k);
}

static void take_death(struct kernel *k, const struct link_frame *frame)
{
    scoped(json) json_t *death =
        frame->part_count ? json_parse_object(frame->parts[0], "DEATH", STATE_LIMIT_BYTES, NULL)
                          : NULL;
    const char *reason = json_string_value(json_object_get(death, "reason"));
    const char *cause = json_string_value(json_object_get(death, "cause"));
    free(k->death_reason);
    free(k->death_cause);
    k->death_reason = reason ? xstrndup(reason, strnlen(reason, REASON_BYTES)) : NULL;
    k->death_cause = cause ? xstrndup(cause, strnlen(cause, CAUSE_BYTES)) : NULL;
}

static uint64_t stored(void *user)
{
    struct kernel *k = user;
    k->acked = k->source;
    return k->source;
}

static void on_frame(void *user, const struct link_frame *frame)
{
    struct kernel *k = user;
    switch (frame->kind) {
    case LINK_KERNEL_MESSAGE:
        take_message(k, frame);
        break;
    case LINK_STATE:
        take_state(k, frame);
        break;
    case LINK_RESULT:
        kernel_flush(k); /* what came before the result is seen before it */
        kernel_result(k, frame);
        break;
    case LINK_DEATH:
        take_death(k, frame);
        break;
    default:
        break; /* of a newer host */
    }
}

static void on_batch(void *user)
{
    struct kernel *k = user;
    if (k->gone)
        return;
    executions_caught_up(k);
    kernel_flush(k);
}

static void on_lost(void *user, const char *why)
{
    struct kernel *k = user;
    log_debug("the connection to a kernel ended", F_STR("kernel", k->id), F_STR("why", why));
    kernel_host_ended(k);
}

const struct uplink_events kernel_uplink_events = {stored, on_frame, on_batch, on_lost};
