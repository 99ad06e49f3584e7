/* How far the host has read the pipes of its interpreter, and what it last interrupted: one page of
 * memory that both see.
 *
 * The host writes it, the interpreter maps it read-only; with FIONREAD the interpreter knows from
 * it how many bytes were ever written to a pipe at some instant, and so which of them stand before
 * a frame. */
#ifndef WARMCELL_PROTOCOL_PIPE_PAGE_H
#define WARMCELL_PROTOCOL_PIPE_PAGE_H

#include <stdatomic.h>
#include <stdint.h>

/* turn is odd while the host reads a pipe: total then does not yet count what read(2) takes away.
 */
struct pipe_page {
    _Atomic uint64_t turn;
    _Atomic uint64_t total[2];    /* bytes read of descriptor 1 and of descriptor 2 */
    _Atomic uint64_t interrupted; /* the request that the latest SIGINT is for; 0: none */
};

#endif
