/* Bump allocation, named by lifetime: everything goes at once.
 *
 * `struct arena` is for one thread (a request, a query, a flush). `struct shared_arena` is for many
 * writers at once (a memtable): allocation is one atomic add in the common case. */
#ifndef PLINTH_BASE_ARENA_H
#define PLINTH_BASE_ARENA_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks; /* newest first */
    uint8_t *at;
    uint8_t *end;
    size_t used_bytes;  /* memory taken from malloc */
    size_t first_bytes; /* of the first chunk; 0: 16 KiB */
};

void arena_init(struct arena *arena);
/* For what lives long and whose size is about known: the first allocation takes so much at once. */
void arena_init_sized(struct arena *arena, size_t first_bytes);
void arena_deinit(struct arena *arena);
/* Frees everything but the first chunk, so that a request loop stops asking malloc. */
void arena_reset(struct arena *arena);
/* 8-byte aligned; null when memory is out. */
void *arena_alloc(struct arena *arena, size_t size);
/* A zero-filled arena_alloc. */
void *arena_zalloc(struct arena *arena, size_t size);
/* A copy of `bytes` with a zero byte behind it; null when memory is out. */
uint8_t *arena_copy(struct arena *arena, struct slice bytes);

struct shared_arena {
    _Atomic(struct arena_chunk *) current;
    atomic_size_t used_bytes; /* memory taken from malloc */
    size_t chunk_bytes;
    atomic_flag growing;
};

/* `chunk_bytes` is what is asked of malloc at a time; larger single allocations get their own chunk. */
void shared_arena_init(struct shared_arena *arena, size_t chunk_bytes);
void shared_arena_deinit(struct shared_arena *arena);
/* Thread-safe; 8-byte aligned; null when memory is out. */
void *shared_arena_alloc(struct shared_arena *arena, size_t size);

#endif
