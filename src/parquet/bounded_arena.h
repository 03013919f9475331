/* An arena with a limit, for what is decoded from untrusted bytes: a small file must not be able to ask for
 * unbounded memory. */
#ifndef PLINTH_PARQUET_BOUNDED_ARENA_H
#define PLINTH_PARQUET_BOUNDED_ARENA_H

#include <string.h>

#include "base/arena.h"

struct bounded_arena {
    struct arena *arena;
    uint64_t bytes_max; /* of arena->used_bytes */
};

static inline bool bounded_arena_fits(const struct bounded_arena *bounded, uint64_t bytes) {
    uint64_t used = bounded->arena->used_bytes;
    return used <= bounded->bytes_max && bytes <= bounded->bytes_max - used;
}

/* Room for `count` items of `size` bytes, of any content; null when that is over the limit or memory is out. */
static inline void *bounded_arena_alloc_any(struct bounded_arena *bounded, uint64_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow((size_t)count, size, &bytes) || !bounded_arena_fits(bounded, bytes)) return NULL;
    return arena_alloc(bounded->arena, bytes ? bytes : 1);
}

/* The same, zeroed. */
static inline void *bounded_arena_alloc(struct bounded_arena *bounded, uint64_t count, size_t size) {
    void *memory = bounded_arena_alloc_any(bounded, count, size);
    return memory ? memset(memory, 0, (size_t)count * size) : NULL;
}

#endif
