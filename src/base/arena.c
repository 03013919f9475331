#include "base/arena.h"

#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>

/* One piece of malloc memory; the bytes follow the header. */
struct arena_chunk {
    struct arena_chunk *next; /* the one before it */
    size_t capacity;
    atomic_size_t used; /* shared arenas only; may run past `capacity` by the attempts that did not fit */
    uint8_t bytes[] __attribute__((aligned(16)));
};

enum {
    ARENA_FIRST_CHUNK_BYTES = 16 * 1024,
    ARENA_CHUNK_BYTES_MAX = 1024 * 1024,
    HUGE_PAGE_BYTES = 2 * 1024 * 1024,
    HUGE_PAGE_WASTE_BYTES_MAX = 1024,
};

/* Chunks that fill huge pages lie in huge pages, where the system gives them: what is walked at random (a memtable's
 * skip list) otherwise misses the TLB at nearly every step. */
static void *chunk_memory(size_t size) {
    size_t rounded = (size + HUGE_PAGE_BYTES - 1) & ~(size_t)(HUGE_PAGE_BYTES - 1);
    if (rounded - size > HUGE_PAGE_WASTE_BYTES_MAX) return malloc(size);
    void *memory = aligned_alloc(HUGE_PAGE_BYTES, rounded);
    if (memory) (void)madvise(memory, rounded, MADV_HUGEPAGE); /* only a wish */
    return memory;
}

static struct arena_chunk *chunk_create(size_t capacity) {
    if (capacity > SIZE_MAX / 2) return NULL;
    struct arena_chunk *chunk = chunk_memory(sizeof *chunk + capacity);
    if (!chunk) return NULL;
    chunk->next = NULL;
    chunk->capacity = capacity;
    atomic_init(&chunk->used, 0);
    return chunk;
}

static void chunks_destroy(struct arena_chunk *chunk) {
    while (chunk) {
        struct arena_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
}

static size_t round_up_8(size_t size) { return (size + 7) & ~(size_t)7; }

/* ---- one thread ---- */

void arena_init(struct arena *arena) { *arena = (struct arena){0}; }

void arena_init_sized(struct arena *arena, size_t first_bytes) { *arena = (struct arena){.first_bytes = first_bytes}; }

void arena_deinit(struct arena *arena) {
    chunks_destroy(arena->chunks);
    *arena = (struct arena){0};
}

void arena_reset(struct arena *arena) {
    struct arena_chunk *chunk = arena->chunks;
    if (!chunk) return;
    while (chunk->next) {
        struct arena_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
    arena->chunks = chunk;
    arena->at = chunk->bytes;
    arena->end = chunk->bytes + chunk->capacity;
    arena->used_bytes = sizeof *chunk + chunk->capacity;
}

/* Chunks double up to a megabyte. What is larger than a quarter of the next chunk gets its own, put behind
 * the current one so that the rest of the current one is not lost. */
static void *arena_grow(struct arena *arena, size_t size) {
    size_t first = arena->first_bytes ? arena->first_bytes : ARENA_FIRST_CHUNK_BYTES;
    size_t capacity = arena->chunks ? arena->chunks->capacity * 2 : first;
    if (arena->chunks && capacity > ARENA_CHUNK_BYTES_MAX) capacity = ARENA_CHUNK_BYTES_MAX;
    bool own = size > capacity / 4 && arena->chunks;
    if (own || size > capacity) capacity = size;
    struct arena_chunk *chunk = chunk_create(capacity);
    if (!chunk) return NULL;
    arena->used_bytes += sizeof *chunk + capacity;
    if (own) {
        chunk->next = arena->chunks->next;
        arena->chunks->next = chunk;
        return chunk->bytes;
    }
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    arena->at = chunk->bytes + size;
    arena->end = chunk->bytes + capacity;
    return chunk->bytes;
}

void *arena_alloc(struct arena *arena, size_t size) {
    if (size > SIZE_MAX / 2) return NULL;
    size = round_up_8(size ? size : 1);
    if ((size_t)(arena->end - arena->at) < size) return arena_grow(arena, size);
    void *at = arena->at;
    arena->at += size;
    return at;
}

void *arena_zalloc(struct arena *arena, size_t size) {
    void *at = arena_alloc(arena, size);
    if (at) memset(at, 0, size);
    return at;
}

uint8_t *arena_copy(struct arena *arena, struct slice bytes) {
    if (bytes.size == SIZE_MAX) return NULL;
    uint8_t *at = arena_alloc(arena, bytes.size + 1);
    if (!at) return NULL;
    if (bytes.size) memcpy(at, bytes.data, bytes.size);
    at[bytes.size] = 0;
    return at;
}

/* ---- many threads ----
 *
 * Allocation adds to the current chunk's `used`. Whoever does not fit takes the `growing` flag, and if the
 * chunk is still the one it saw, puts a new one in front. The release store of `current` pairs with the
 * acquire load in shared_arena_alloc: a chunk's header is visible before the chunk is. */

void shared_arena_init(struct shared_arena *arena, size_t chunk_bytes) {
    atomic_init(&arena->current, NULL);
    atomic_init(&arena->used_bytes, 0);
    arena->chunk_bytes = round_up_8(chunk_bytes < 1024 ? 1024 : chunk_bytes);
    atomic_flag_clear(&arena->growing);
}

void shared_arena_deinit(struct shared_arena *arena) {
    chunks_destroy(atomic_load_explicit(&arena->current, memory_order_acquire));
    atomic_store_explicit(&arena->current, NULL, memory_order_relaxed);
    atomic_store_explicit(&arena->used_bytes, 0, memory_order_relaxed);
}

static void growing_lock(struct shared_arena *arena) {
    while (atomic_flag_test_and_set_explicit(&arena->growing, memory_order_acquire)) sched_yield();
}

static void growing_unlock(struct shared_arena *arena) {
    atomic_flag_clear_explicit(&arena->growing, memory_order_release);
}

/* With the growing flag held: `own` chunks hide behind the current one. */
static void *shared_arena_add(struct shared_arena *arena, size_t capacity, size_t size, bool own) {
    struct arena_chunk *chunk = chunk_create(capacity);
    if (!chunk) return NULL;
    atomic_store_explicit(&chunk->used, size, memory_order_relaxed);
    atomic_fetch_add_explicit(&arena->used_bytes, sizeof *chunk + capacity, memory_order_relaxed);
    struct arena_chunk *current = atomic_load_explicit(&arena->current, memory_order_relaxed);
    if (own && current) {
        chunk->next = current->next;
        current->next = chunk;
    } else {
        chunk->next = current;
        atomic_store_explicit(&arena->current, chunk, memory_order_release);
    }
    return chunk->bytes;
}

static void *shared_arena_large(struct shared_arena *arena, size_t size) {
    growing_lock(arena);
    void *at = shared_arena_add(arena, size, size, true);
    growing_unlock(arena);
    return at;
}

void *shared_arena_alloc(struct shared_arena *arena, size_t size) {
    if (size > SIZE_MAX / 2) return NULL;
    size = round_up_8(size ? size : 1);
    if (size > arena->chunk_bytes / 4) return shared_arena_large(arena, size);
    for (;;) {
        struct arena_chunk *chunk = atomic_load_explicit(&arena->current, memory_order_acquire);
        if (chunk) {
            size_t at = atomic_fetch_add_explicit(&chunk->used, size, memory_order_relaxed);
            if (at + size <= chunk->capacity) return chunk->bytes + at;
        }
        growing_lock(arena);
        void *at = NULL;
        bool changed = atomic_load_explicit(&arena->current, memory_order_relaxed) != chunk;
        /* The first is small: a memtable that only takes blocks needs no more, and huge pages are resident whole. */
        bool is_small = !chunk && size <= ARENA_FIRST_CHUNK_BYTES / 4 && arena->chunk_bytes > ARENA_FIRST_CHUNK_BYTES;
        size_t capacity = is_small ? ARENA_FIRST_CHUNK_BYTES : arena->chunk_bytes;
        if (!changed) at = shared_arena_add(arena, capacity, size, false);
        growing_unlock(arena);
        if (!changed) return at;
    }
}
