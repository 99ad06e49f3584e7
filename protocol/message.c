/* A message and its frames on the wire. All views: what a message says stands in frames that the
 * caller holds. */
#include "protocol/message.h"

#define FRAMES_AFTER_DELIMITER 5 /* signature, header, parent, metadata, content */

static const char *const channel_names[CHANNEL_COUNT] = {
    [CHANNEL_SHELL] = "shell",
    [CHANNEL_CONTROL] = "control",
    [CHANNEL_STDIN] = "stdin",
    [CHANNEL_IOPUB] = "iopub",
};

const char *channel_name(enum channel channel)
{
    return channel_names[channel];
}

bool channel_parse(struct bytes name, enum channel *out)
{
    for (size_t i = 0; i < CHANNEL_COUNT; i++)
        if (bytes_is(name, channel_names[i])) {
            *out = (enum channel)i;
            return true;
        }
    return false;
}

static size_t delimiter_at(const struct bytes *parts, size_t count)
{
    size_t at = 0;
    while (at < count && !bytes_is(parts[at], MESSAGE_DELIMITER))
        at++;
    return at;
}

bool message_split(const struct bytes *parts, size_t count, struct key *key, struct message *out,
                   struct err *e)
{
    size_t delimiter = delimiter_at(parts, count);
    if (delimiter == count)
        return fail(e, 400, "message: no frame is the delimiter " MESSAGE_DELIMITER);
    size_t after = count - delimiter - 1;
    if (after < FRAMES_AFTER_DELIMITER)
        return fail(e, 400, "message: %zu frames after the delimiter, at least %d are expected",
                    after, FRAMES_AFTER_DELIMITER);
    const struct bytes *frames = parts + delimiter + 1;
    struct message m = {
        .channel = out->channel,
        .identities = parts,
        .identity_count = delimiter,
        .header = frames[1],
        .parent = frames[2],
        .metadata = frames[3],
        .content = frames[4],
        .buffers = frames + FRAMES_AFTER_DELIMITER,
        .buffer_count = after - FRAMES_AFTER_DELIMITER,
    };
    char signature[SIGNATURE_TEXT];
    key_sign(key, &m, signature);
    if (signature[0] && !bytes_equal_constant_time(bytes_of(signature), frames[0]))
        return fail(e, 401, "message: the signature is wrong");
    *out = m;
    return true;
}

size_t message_parts(const struct message *m, struct key *key, char signature[SIGNATURE_TEXT],
                     struct bytes *parts, size_t room)
{
    size_t count = m->identity_count + 1 + FRAMES_AFTER_DELIMITER + m->buffer_count;
    if (count > room)
        return 0;
    struct message whole = message_completed(m);
    key_sign(key, &whole, signature);
    if (m->identity_count)
        memcpy(parts, m->identities, m->identity_count * sizeof(*parts));
    const struct bytes frames[] = {
        bytes_of(MESSAGE_DELIMITER),
        bytes_of(signature),
        whole.header,
        whole.parent,
        whole.metadata,
        whole.content,
    };
    memcpy(parts + m->identity_count, frames, sizeof(frames));
    if (m->buffer_count)
        memcpy(parts + m->identity_count + countof(frames), m->buffers,
               m->buffer_count * sizeof(*parts));
    return count;
}

struct message message_completed(const struct message *m)
{
    struct message whole = *m;
    struct bytes *const parts[] = {&whole.parent, &whole.metadata, &whole.content};
    for (size_t i = 0; i < countof(parts); i++)
        if (parts[i]->len == 0)
            *parts[i] = bytes_of("{}");
    return whole;
}
