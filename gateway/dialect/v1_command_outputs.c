/* What a command wrote, gathered for one answer. Called again in each turn of the loop until it is
 * there. */
#include "gateway/dialect/v1_commands.h"

#define PIECE_BYTES (256 * 1024)
#define TURN_BYTES  (1024 * 1024) /* of a log, read before others have their turn */

void v1_command_outputs_begin(struct v1_command_outputs *o, struct command_run *r)
{
    const struct run_log *log = command_run_log(r);
    *o = (struct v1_command_outputs){
        .run = r,
        .cursor = {.next = 1},
        .known = {run_log_bytes(log, RECORD_STDOUT), run_log_bytes(log, RECORD_STDERR)},
    };
}

static size_t room_for(const struct v1_command_outputs *o, bool second)
{
    uint64_t known = o->known[second];
    return (size_t)(known < V1_COMMAND_INLINE_BYTES ? known : V1_COMMAND_INLINE_BYTES) -
           o->text[second].len;
}

bool v1_command_outputs_read(struct v1_command_outputs *o)
{
    scoped(buffer) struct buffer records = {0};
    size_t left = TURN_BYTES;
    while (room_for(o, false) || room_for(o, true)) {
        struct record record;
        struct bytes text;
        if (!left)
            return false;
        buffer_clear(&records);
        if (!command_run_read(o->run, &o->cursor, &records, PIECE_BYTES))
            break;
        left -= records.len < left ? records.len : left;
        struct bytes rest = buffer_view(&records);
        while (run_log_next(&rest, &record, &text)) {
            bool second = record.kind == RECORD_STDERR;
            size_t room = room_for(o, second);
            if (second || record.kind == RECORD_STDOUT)
                buffer_add(&o->text[second], text.data, text.len < room ? text.len : room);
        }
    }
    return true;
}

bool v1_command_outputs_cut(const struct v1_command_outputs *o)
{
    return o->text[0].len < o->known[0] || o->text[1].len < o->known[1];
}

void v1_command_outputs_free(struct v1_command_outputs *o)
{
    buffer_free(&o->text[0]);
    buffer_free(&o->text[1]);
}
