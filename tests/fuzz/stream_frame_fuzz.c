/* A frame of a client of /v1/stream: what is accepted has all that its op needs, and what is
 * refused says why, with the id if that could be read. */
#include "tests/fuzz/fuzz.h"

#include "gateway/dialect/v1_stream_frame.h"
#include "protocol/json.h"

static bool in_sandbox(enum v1_frame_op op)
{
    return op != FRAME_PING && op != FRAME_UNSUBSCRIBE;
}

bool fuzz_one(struct bytes input)
{
    struct v1_frame f;
    struct err e = {0};
    bool read = v1_frame_read(input, &f, &e);
    REQUIRE(strlen(f.id) <= V1_FRAME_ID_LIMIT && utf8_valid(bytes_of(f.id)));
    if (!read) {
        v1_frame_free(&f);
        return refused(&e);
    }
    REQUIRE(f.id[0] && f.op < FRAME_OPS && v1_frame_op_name(f.op));
    REQUIRE(!in_sandbox(f.op) || f.sandbox);
    REQUIRE(f.op != FRAME_SUBSCRIBE || !f.execution != !f.command);
    REQUIRE(f.op != FRAME_UNSUBSCRIBE || f.of);
    REQUIRE((f.op != FRAME_RUN && f.op != FRAME_COMMAND) || json_is_object(f.body));
    REQUIRE(lies_in(f.body_text, input));
    REQUIRE(!f.key || !f.body || json_slice_is_object(f.body_text));
    v1_frame_free(&f);
    return true;
}
