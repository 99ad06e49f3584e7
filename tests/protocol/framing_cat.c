/* Turns a message from one form into another, for the tests that compare ours with Jupyter's own.
 *
 *     framing_cat v1 json|wire [SECRET]    framing_cat json|binary|wire v1 [SECRET]
 *
 * reads a message from the standard input and writes it in the other form: "v1" and "json" are the
 * WebSocket framings ("binary": the JSON framing of a message with buffers), "wire" is the frames
 * of a ZeroMQ message, each behind its length (little-endian u32), signed with SECRET. Exit status
 * 1: the message was refused; the reason is on the standard error. */
#include <stdio.h>

#include "protocol/byte_order.h"
#include "protocol/framing.h"

#define FRAMES_LIMIT 64

struct job {
    struct key *key;
    struct buffer in, out;
    struct framed framed;
    struct bytes frames[FRAMES_LIMIT];
};

static bool read_v1(struct job *job, struct err *e)
{
    return framing_v1_decode(buffer_view(&job->in), &job->framed, e);
}

static bool read_json(struct job *job, struct err *e)
{
    return framing_json_decode(buffer_view(&job->in), false, &job->framed, e);
}

static bool read_binary(struct job *job, struct err *e)
{
    return framing_json_decode(buffer_view(&job->in), true, &job->framed, e);
}

static bool read_wire(struct job *job, struct err *e)
{
    struct bytes left = buffer_view(&job->in);
    size_t count = 0;
    while (left.len >= 4 && count < FRAMES_LIMIT) {
        size_t len = load_u32le(left.data);
        if (len > left.len - 4)
            return fail(e, 400, "the frames are cut");
        job->frames[count++] = (struct bytes){left.data + 4, len};
        left = (struct bytes){left.data + 4 + len, left.len - 4 - len};
    }
    return message_split(job->frames, count, job->key, &job->framed.message, e);
}

static bool write_v1(struct job *job, struct err *e)
{
    (void)e;
    framing_v1_encode(&job->framed.message, &job->out);
    return true;
}

static bool write_json(struct job *job, struct err *e)
{
    bool binary;
    return framing_json_encode(&job->framed.message, &job->out, &binary, e);
}

static bool write_wire(struct job *job, struct err *e)
{
    char signature[SIGNATURE_TEXT];
    size_t count =
        message_parts(&job->framed.message, job->key, signature, job->frames, FRAMES_LIMIT);
    if (count == 0)
        return fail(e, 400, "more than %d frames", FRAMES_LIMIT);
    for (size_t i = 0; i < count; i++) {
        store_u32le(buffer_reserve(&job->out, 4), (uint32_t)job->frames[i].len);
        job->out.len += 4;
        buffer_add_bytes(&job->out, job->frames[i]);
    }
    return true;
}

static const struct {
    const char *from, *to;
    bool (*read)(struct job *job, struct err *e);
    bool (*write)(struct job *job, struct err *e);
} conversions[] = {
    {"v1", "json", read_v1, write_json}, {"v1", "wire", read_v1, write_wire},
    {"json", "v1", read_json, write_v1}, {"binary", "v1", read_binary, write_v1},
    {"wire", "v1", read_wire, write_v1},
};

static bool convert(struct job *job, const char *from, const char *to, struct err *e)
{
    for (size_t i = 0; i < countof(conversions); i++)
        if (!strcmp(from, conversions[i].from) && !strcmp(to, conversions[i].to))
            return conversions[i].read(job, e) && conversions[i].write(job, e);
    return fail(e, 400, "there is no way from %s to %s", from, to);
}

static void read_all(struct buffer *in)
{
    size_t got;
    do {
        got = fread(buffer_reserve(in, 65536), 1, 65536, stdin);
        in->len += got;
    } while (got > 0);
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct job job = {0};
    const char *secret = argc > 3 ? argv[3] : "";
    job.key = key_new("hmac-sha256", bytes_of(secret), NULL);
    read_all(&job.in);
    bool good = argc > 2 && convert(&job, argv[1], argv[2], &e);
    if (good)
        good = fwrite(job.out.data, 1, job.out.len, stdout) == job.out.len;
    else
        fprintf(stderr, "%d %s\n", e.status, e.text);
    key_free(job.key);
    framed_free(&job.framed);
    buffer_free(&job.in);
    buffer_free(&job.out);
    return good ? 0 : 1;
}
