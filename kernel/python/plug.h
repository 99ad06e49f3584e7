/* Fills the holes in the memory of a process that is about to fork. What a fork allocates then
 * comes from pages that nobody shares, one after another, and not from holes between what is
 * shared: each hole that is used costs the copy of a page. */
#ifndef WARMCELL_KERNEL_PYTHON_PLUG_H
#define WARMCELL_KERNEL_PYTHON_PLUG_H

#include <stddef.h>

/* Of libc's heap and of Python's own allocator; what fills them is never freed. The bytes that this
 * took. The caller holds Python's lock. */
size_t plug_holes(void);

#endif
