#include "support/test_support.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/arena.h"

static void allocations_are_aligned_and_apart(void **state) {
    (void)state;
    struct arena arena;
    arena_init(&arena);
    uint8_t *before = NULL;
    size_t before_size = 0;
    for (size_t size = 0; size < 3000; size += 7) {
        uint8_t *at = arena_alloc(&arena, size);
        assert_non_null(at);
        assert_int_equal((uintptr_t)at % 8, 0);
        memset(at, 0xab, size);
        if (before) assert_true(at >= before + before_size || at + size <= before);
        before = at;
        before_size = size;
    }
    arena_deinit(&arena);
}

static void reset_keeps_one_chunk_and_gives_its_memory_again(void **state) {
    (void)state;
    struct arena arena;
    arena_init(&arena);
    void *first = arena_alloc(&arena, 100);
    size_t one_chunk = arena.used_bytes;
    for (int i = 0; i < 100; i++) assert_non_null(arena_alloc(&arena, 5000));
    assert_true(arena.used_bytes > one_chunk);
    arena_reset(&arena);
    assert_int_equal(arena.used_bytes, one_chunk);
    assert_ptr_equal(arena_alloc(&arena, 100), first);
    arena_deinit(&arena);
    assert_int_equal(arena.used_bytes, 0);
}

static void copies_end_with_a_zero_and_zalloc_is_zero(void **state) {
    (void)state;
    struct arena arena;
    arena_init(&arena);
    uint8_t *copy = arena_copy(&arena, slice_of_string("plinth"));
    assert_string_equal((char *)copy, "plinth");
    assert_int_equal(arena_copy(&arena, slice_of(NULL, 0))[0], 0);
    memset(arena_alloc(&arena, 1000), 0xff, 1000);
    arena_reset(&arena);
    uint8_t *zeros = arena_zalloc(&arena, 1000);
    for (int i = 0; i < 1000; i++) assert_int_equal(zeros[i], 0);
    arena_deinit(&arena);
}

static void impossible_sizes_give_null(void **state) {
    (void)state;
    struct arena arena;
    struct shared_arena shared;
    arena_init(&arena);
    shared_arena_init(&shared, 4096);
    assert_null(arena_alloc(&arena, SIZE_MAX - 3));
    assert_null(shared_arena_alloc(&shared, SIZE_MAX - 3));
    assert_non_null(arena_alloc(&arena, 10));
    assert_non_null(shared_arena_alloc(&shared, 10));
    arena_deinit(&arena);
    shared_arena_deinit(&shared);
}

enum { THREADS = 8, ALLOCATIONS = 20000 };

struct writer {
    struct shared_arena *arena;
    pthread_t thread;
    uint8_t mark;
    uint8_t *got[ALLOCATIONS];
    size_t sizes[ALLOCATIONS];
};

static void *writer_run(void *argument) {
    struct writer *writer = argument;
    struct test_random random = test_random_of(writer->mark);
    for (int i = 0; i < ALLOCATIONS; i++) {
        size_t size = 1 + test_random_below(&random, i % 100 == 0 ? 20000 : 200);
        writer->sizes[i] = size;
        writer->got[i] = shared_arena_alloc(writer->arena, size);
        if (writer->got[i]) memset(writer->got[i], writer->mark, size);
    }
    return NULL;
}

static void threads_never_share_bytes(void **state) {
    (void)state;
    struct shared_arena arena;
    shared_arena_init(&arena, 16 * 1024);
    struct writer *writers = calloc(THREADS, sizeof *writers);
    size_t asked = 0;
    for (int i = 0; i < THREADS; i++) {
        writers[i].arena = &arena;
        writers[i].mark = (uint8_t)(i + 1);
        assert_int_equal(pthread_create(&writers[i].thread, NULL, writer_run, &writers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(writers[i].thread, NULL);
    for (int i = 0; i < THREADS; i++) {
        for (int j = 0; j < ALLOCATIONS; j++) {
            const uint8_t *at = writers[i].got[j];
            assert_non_null(at);
            assert_int_equal((uintptr_t)at % 8, 0);
            for (size_t k = 0; k < writers[i].sizes[j]; k++) {
                if (at[k] != writers[i].mark) fail_msg("byte of thread %d overwritten by %u", i, at[k]);
            }
            asked += writers[i].sizes[j];
        }
    }
    size_t used = atomic_load(&arena.used_bytes);
    assert_true(used >= asked);
    assert_true(used < asked * 2);
    shared_arena_deinit(&arena);
    free(writers);
}

static void the_first_chunk_has_the_size_asked_for(void **state) {
    (void)state;
    struct arena arena;
    arena_init_sized(&arena, 200);
    assert_non_null(arena_alloc(&arena, 100));
    assert_non_null(arena_alloc(&arena, 90));
    size_t first = arena.used_bytes;
    assert_true(first >= 200 && first < 400);
    assert_non_null(arena_alloc(&arena, 90)); /* the guess was low: another chunk, larger */
    assert_true(arena.used_bytes > first && arena.used_bytes < 1024);
    arena_deinit(&arena);
    arena_init_sized(&arena, 3 << 20);
    for (int i = 0; i < 3; i++) memset(arena_alloc(&arena, 1 << 20), i, 1 << 20);
    assert_true(arena.used_bytes < (3 << 20) + 100);
    arena_deinit(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_are_aligned_and_apart),
        cmocka_unit_test(reset_keeps_one_chunk_and_gives_its_memory_again),
        cmocka_unit_test(copies_end_with_a_zero_and_zalloc_is_zero),
        cmocka_unit_test(impossible_sizes_give_null),
        cmocka_unit_test(threads_never_share_bytes),
        cmocka_unit_test(the_first_chunk_has_the_size_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
