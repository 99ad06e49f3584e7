/* See plug.h. Both allocators give out what lies in holes before they begin a new page: so chunks
 * of each size are asked for until one comes from there. Invariant: nothing here is freed, but for
 * the one that told. */
#include "kernel/python/plug.h"

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK_MOST  (64u * 1024)
#define CHUNK_LEAST 24u
#define BLOCK_MOST  512u /* greater ones Python takes from libc */
#define BLOCK_STEP  16u
#define POOL_BYTES  (16u * 1024)
#define BLOCKS_MOST 100000u /* of each size: more holes than that are no holes */

/* Where the part of the heap begins that was never given out. */
static uintptr_t top_of_heap(void)
{
    return (uintptr_t)sbrk(0) - mallinfo2().keepcost;
}

static size_t plug_heap(void)
{
    uintptr_t top = top_of_heap();
    size_t taken = 0;
    for (size_t size = CHUNK_MOST; size >= CHUNK_LEAST; size -= size > 1024 ? size / 8 : 16) {
        for (size_t n = 0; n < BLOCKS_MOST; n++) {
            char *chunk = malloc(size);
            if (!chunk || (uintptr_t)chunk >= top) {
                free(chunk);
                break;
            }
            taken += size;
        }
    }
    return taken;
}

/* A pool is POOL_BYTES at a multiple of that, a head and blocks of one size. One whose blocks all
 * come to us, one behind the other, was empty: there is no hole left. */
static size_t plug_blocks(size_t size)
{
    size_t room = (POOL_BYTES - 48) / size, run = 0, taken = 0;
    uintptr_t last = 0;
    for (size_t n = 0; n < BLOCKS_MOST && run < room; n++) {
        uintptr_t at = (uintptr_t)PyObject_Malloc(size);
        if (!at)
            break;
        run = at / POOL_BYTES == last / POOL_BYTES && at == last + size ? run + 1 : 1;
        last = at;
        taken += size;
    }
    return taken;
}

size_t plug_holes(void)
{
    const char *allocator = _PyMem_GetCurrentAllocatorName();
    size_t taken = 0;
    if (!allocator || strcmp(allocator, "pymalloc") != 0)
        return plug_heap(); /* as PYTHONMALLOC says, or with the hooks of a debugger */
    for (size_t size = BLOCK_STEP; size <= BLOCK_MOST; size += BLOCK_STEP)
        taken += plug_blocks(size);
    return taken + plug_heap();
}
