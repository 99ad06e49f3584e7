/* Docs of /v1/stream. */
#include <stddef.h>

#include "gateway/dialect/v1_docs.h"

const struct doc v1_stream_doc = {
    .tag = "Stream",
    .about = "JSON both ways, one object in each text message: frames with an `id` of the "
             "client's and an `op` (`run`, `command`, `subscribe`, `unsubscribe`, `input`, "
             "`cancel`, `interrupt`, `stdin`, `signal`, `ping`), answered by frames with that "
             "`id`, the last of which is `done`. docs/stream.md has them all.",
    .replies = {REPLY(101, "It is a WebSocket now; the first frame is `hello`.")},
};
