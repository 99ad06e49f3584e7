/* The reader of the link: however the bytes are cut, the same frames come out, they are the bytes
 * that went in, and the same end is met. */
#include "tests/fuzz/fuzz.h"

#include "protocol/link.h"

#define LIMIT_BYTES (256 * 1024)

/* What came out of one reading: the frames, encoded again, and how it ended (0 or an error's
 * status). */
struct outcome {
    struct buffer frames;
    int status;
    size_t count;
};

static int drain(struct link_reader *r, struct outcome *out)
{
    struct link_frame frame;
    struct err e;
    int result;
    while ((result = link_reader_next(r, &frame, &e)) == 1) {
        link_encode(&out->frames, &frame);
        out->count++;
    }
    if (result < 0) {
        refused(&e);
        out->status = e.status;
    }
    return result;
}

/* seed 0: as much at a time as the reader has room for; otherwise pieces of pseudo-random length.
 */
static void read_all(struct bytes input, uint32_t seed, struct outcome *out)
{
    scoped(link_reader) struct link_reader *r = link_reader_new(LIMIT_BYTES);
    while (input.len > 0) {
        size_t room = 0;
        char *space = link_reader_space(r, &room);
        REQUIRE(space && room >= 1 && room <= 2 * LIMIT_BYTES);
        size_t len = room < input.len ? room : input.len;
        if (seed) {
            seed = seed * 1664525u + 1013904223u;
            size_t piece = 1 + (seed >> 16) % (seed & 1 ? 7 : 400);
            len = len < piece ? len : piece;
        }
        memcpy(space, input.data, len);
        link_reader_filled(r, len);
        input = (struct bytes){input.data + len, input.len - len};
        if (drain(r, out) < 0)
            return;
    }
}

bool fuzz_one(struct bytes input)
{
    struct outcome whole = {0}, pieces = {0};
    uint32_t seed = 1;
    for (size_t i = 0; i < input.len; i++)
        seed = (seed ^ (unsigned char)input.data[i]) * 16777619u;
    read_all(input, 0, &whole);
    read_all(input, seed | 1, &pieces);
    REQUIRE(whole.status == pieces.status && whole.count == pieces.count);
    REQUIRE(bytes_equal(buffer_view(&whole.frames), buffer_view(&pieces.frames)));
    REQUIRE(whole.frames.len <= input.len);
    REQUIRE(whole.frames.len == 0 || memcmp(whole.frames.data, input.data, whole.frames.len) == 0);
    bool accepted = whole.status == 0 && whole.frames.len == input.len;
    buffer_free(&whole.frames);
    buffer_free(&pieces.frames);
    return accepted;
}
