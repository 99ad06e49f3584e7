/* What is asked of a host and answered by RESULT: interrupt, restart, stop, adopt. */
#include <stdio.h>

#include "gateway/core/state.h"
#include "protocol/ids.h"
#include "protocol/json.h"

#define RESULT_LIMIT_BYTES (64 * 1024)
#define INTERRUPT_LIMIT_MS (10 * 1000)

static void finish(struct command *command, const struct err *e)
{
    if (command->done)
        command->done(command->user, e);
    free(command);
}

void kernel_command(struct kernel *k, enum link_kind kind, struct bytes json, int64_t limit_ms,
                    void (*done)(void *user, const struct err *e), void *user)
{
    struct command *command = xcalloc(1, sizeof(*command));
    command->number = ++k->next_command;
    command->deadline_ms = monotonic_ms() + limit_ms;
    command->is_restart = kind == LINK_RESTART;
    command->done = done;
    command->user = user;
    struct err e = {0};
    if (!uplink_send(k->uplink,
                     &(struct link_frame){.kind = (uint8_t)kind,
                                          .number = command->number,
                                          .parts = &json,
                                          .part_count = json.data ? 1 : 0},
                     &e)) {
        finish(command, &e);
        return;
    }
    struct command **end = &k->commands;
    while (*end)
        end = &(*end)->next;
    *end = command;
}

void kernel_result(struct kernel *k, const struct link_frame *frame)
{
    struct command **place = &k->commands;
    while (*place && (*place)->number != frame->number)
        place = &(*place)->next;
    struct command *command = *place;
    if (!command)
        return; /* its time was over */
    *place = command->next;
    struct err e = {0};
    scoped(json) json_t *result =
        frame->part_count ? json_parse_object(frame->parts[0], "RESULT", RESULT_LIMIT_BYTES, &e)
                          : NULL;
    bool ok = json_is_true(json_object_get(result, "ok"));
    if (result && !ok) {
        int64_t status = json_integer_value(json_object_get(result, "status"));
        const char *message = json_string_value(json_object_get(result, "message"));
        fail(&e, status >= 400 && status < 600 ? (int)status : 502, "%s",
             message ? message : "the kernel refused");
    }
    finish(command, ok ? NULL : &e);
}

void kernel_fail_commands(struct kernel *k, const struct err *e)
{
    struct command *command = k->commands;
    k->commands = NULL;
    while (command) {
        struct command *next = command->next;
        finish(command, e);
        command = next;
    }
}

void kernel_check_deadlines(struct kernel *k, int64_t now_ms)
{
    struct command **place = &k->commands, *late = NULL;
    while (*place) {
        struct command *command = *place;
        if (command->deadline_ms > now_ms) {
            place = &command->next;
            continue;
        }
        *place = command->next;
        command->next = late;
        late = command;
    }
    struct err e;
    fail(&e, 503, "the kernel gave no answer in time");
    while (late) {
        struct command *next = late->next;
        finish(late, &e);
        late = next;
    }
}

static bool can_be_asked(struct kernel *k, void (*done)(void *user, const struct err *e),
                         void *user)
{
    if (k->uplink && !k->ending)
        return true;
    struct err e;
    fail(&e, 409, "kernel %s is %s", k->id, k->ending ? "being deleted" : "dead");
    done(user, &e);
    return false;
}

void kernel_interrupt(struct kernel *k, void (*done)(void *user, const struct err *e), void *user)
{
    if (can_be_asked(k, done, user))
        kernel_command(k, LINK_INTERRUPT, (struct bytes){0}, INTERRUPT_LIMIT_MS, done, user);
}
