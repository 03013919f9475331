/* An arena with a limit, for what is decoded from untrusted bytes: a small file must not be able to ask for
 * unbounded memory. */
#ifndef PLINTH_PARQUET_BOUNDED_ARENA_H
#define PLINTH_PARQUET_BOUNDED_ARENA_H

#include "base/arena.h"

struct bounded_arena {
    struct arena *arena;
    uint64_t bytes_max; /* of arena->used_bytes */
};

/* Room for `count` items of `size` bytes, zeroed; null when that is over the limit or memory is out. */
static inline void *bounded_arena_alloc(struct bounded_arena *bounded, uint64_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow((size_t)count, size, &bytes) || bounded->arena->used_bytes > bounded->bytes_max ||
        bytes > bounded->bytes_max - bounded->arena->used_bytes)
        return NULL;
    return arena_zalloc(bounded->arena, bytes ? bytes : 1);
}

#endif
