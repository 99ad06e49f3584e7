/* How much one execution puts out, and how much it may.
 *
 * What counts is what clients get: the bytes of text (UTF-8, with U+FFFD for what is none) of its
 * streams and of descriptors 1 and 2, and the content and buffers of what it publishes. The first
 * execute_input is free, and so is one `error` of at most ALLOWANCE_ERROR_BYTES: why a run failed
 * is told in any case. From the first byte that does not fit nothing passes any more, and every
 * byte is counted. */
#ifndef WARMCELL_KERNEL_HOST_ALLOWANCE_H
#define WARMCELL_KERNEL_HOST_ALLOWANCE_H

#include "protocol/bytes.h"

#define ALLOWANCE_ERROR_BYTES (64u * 1024)

/* {0} is one that nothing was taken from. */
struct allowance {
    uint64_t delivered;
    uint64_t withheld;
    uint64_t told; /* what of withheld the client was told last */
    bool input_passed, error_passed;
};

/* limit_bytes 0: none. Returns how many bytes of the text may go out, whole characters; the others
 * are withheld. */
size_t allowance_text(struct allowance *a, uint64_t limit_bytes, struct bytes text);

/* Whether a message may go out; it goes whole or not at all. bytes: of its content and buffers. */
bool allowance_message(struct allowance *a, uint64_t limit_bytes, const char *msg_type,
                       size_t bytes);

/* True when a client should be told (again) how much was withheld: the first time, and whenever it
 * has doubled. */
bool allowance_must_tell(struct allowance *a);

#endif
