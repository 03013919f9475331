#include "support/test_support.h"

#include <pthread.h>
#include <stdlib.h>

#include "table/page_cache.h"

struct item {
    struct page_cache_entry entry;
    uint64_t check; /* what the key says it must be */
};

static atomic_int live_items;

static void item_destroy(struct page_cache_entry *entry) {
    struct item *item = (struct item *)entry;
    item->check = 0;
    free(item);
    atomic_fetch_sub(&live_items, 1);
}

static uint64_t check_of(struct page_cache_key key) { return key.segment * 1000003 + key.stripe + 1; }

static struct page_cache_entry *item_create(uint64_t segment, uint64_t stripe, uint64_t bytes) {
    struct item *item = calloc(1, sizeof *item);
    item->entry.key = (struct page_cache_key){segment, stripe};
    item->entry.bytes = bytes;
    item->entry.destroy = item_destroy;
    item->check = check_of(item->entry.key);
    atomic_fetch_add(&live_items, 1);
    return &item->entry;
}

static struct page_cache *create(uint64_t bytes_max) {
    struct plinth_error error;
    struct page_cache *cache;
    assert_ok(page_cache_create(bytes_max, &cache, &error), &error);
    return cache;
}

static void add(struct page_cache *cache, uint64_t segment, uint64_t stripe, uint64_t bytes) {
    page_cache_unref(page_cache_insert(cache, item_create(segment, stripe, bytes)));
}

static bool has(struct page_cache *cache, uint64_t segment, uint64_t stripe) {
    struct page_cache_key key = {segment, stripe};
    struct page_cache_entry *entry = page_cache_find(cache, key);
    bool found = entry != NULL;
    if (entry) assert_true(((struct item *)entry)->check == check_of(key));
    page_cache_unref(entry);
    return found;
}

static void entries_are_found_until_forgotten(void **state) {
    (void)state;
    struct page_cache *cache = create(1 << 20);
    for (uint64_t i = 0; i < 5000; i++) add(cache, i % 3, i, 100);
    for (uint64_t i = 0; i < 5000; i++) assert_true(has(cache, i % 3, i));
    assert_false(has(cache, 7, 0));
    page_cache_forget(cache, 1);
    struct page_cache_stats stats;
    page_cache_stats(cache, &stats);
    assert_int_equal(stats.entries, 3333);
    assert_int_equal(stats.bytes, 333300);
    assert_int_equal(stats.hits, 5000);
    assert_int_equal(stats.misses, 1);
    assert_int_equal(stats.evictions, 0);
    for (uint64_t i = 0; i < 5000; i++) assert_int_equal(has(cache, i % 3, i), i % 3 != 1);
    page_cache_destroy(cache);
    assert_int_equal(live_items, 0);
}

static void bytes_stay_within_the_bound(void **state) {
    (void)state;
    struct page_cache *cache = create(100000);
    struct test_random random = test_random_of(1);
    for (uint64_t i = 0; i < 20000; i++) {
        add(cache, 1, i, 1 + test_random_below(&random, 5000));
        struct page_cache_stats stats;
        page_cache_stats(cache, &stats);
        assert_in_range(stats.bytes, 1, 100000);
        assert_int_equal(stats.entries, live_items);
        assert_true(has(cache, 1, i)); /* the newest one stays */
    }
    page_cache_destroy(cache);
    assert_int_equal(live_items, 0);
}

static void what_is_used_again_outlives_what_is_not(void **state) {
    (void)state;
    struct page_cache *cache = create(100 * 1000);
    for (uint64_t i = 0; i < 10; i++) add(cache, 1, i, 1000);
    unsigned kept = 0;
    for (uint64_t i = 0; i < 2000; i++) {
        add(cache, 2, i, 1000);
        for (uint64_t hot = 0; hot < 10; hot++) (void)has(cache, 1, hot);
    }
    for (uint64_t hot = 0; hot < 10; hot++) kept += has(cache, 1, hot);
    assert_in_range(kept, 8, 10);
    page_cache_destroy(cache);
}

static void an_evicted_entry_lives_as_long_as_its_reader(void **state) {
    (void)state;
    struct page_cache *cache = create(1000);
    struct page_cache_entry *held = page_cache_insert(cache, item_create(1, 1, 600));
    for (uint64_t i = 0; i < 10; i++) add(cache, 2, i, 600);
    assert_false(has(cache, 1, 1));
    assert_true(((struct item *)held)->check == check_of(held->key));
    page_cache_unref(held);
    page_cache_destroy(cache);
    assert_int_equal(live_items, 0);
}

static void an_entry_larger_than_the_cache_is_not_kept(void **state) {
    (void)state;
    struct page_cache *cache = create(1000);
    add(cache, 1, 1, 500);
    struct page_cache_entry *large = page_cache_insert(cache, item_create(1, 2, 1001));
    assert_true(has(cache, 1, 1));
    assert_false(has(cache, 1, 2));
    page_cache_unref(large);
    assert_int_equal(live_items, 1);
    page_cache_destroy(cache);
}

static void columns_of_one_stripe_are_found_together(void **state) {
    (void)state;
    enum { COLUMNS = 20, STRIPE = 7 };
    struct page_cache *cache = create(1 << 20);
    struct page_cache_key keys[COLUMNS];
    struct page_cache_entry *entries[COLUMNS];
    for (uint64_t i = 0; i < COLUMNS; i++) {
        keys[i] = (struct page_cache_key){3, i << 32 | STRIPE};
        if (i % 3) add(cache, 3, keys[i].stripe, 100);
    }
    page_cache_find_all(cache, keys, COLUMNS, entries);
    for (uint64_t i = 0; i < COLUMNS; i++) {
        assert_int_equal(entries[i] != NULL, i % 3 != 0);
        if (entries[i]) assert_true(((struct item *)entries[i])->check == check_of(keys[i]));
        page_cache_unref(entries[i]);
    }
    struct page_cache_stats stats;
    page_cache_stats(cache, &stats);
    assert_int_equal(stats.hits, 13);
    assert_int_equal(stats.misses, 7);
    page_cache_destroy(cache);
    assert_int_equal(live_items, 0);
}

static void the_slower_of_two_inserts_gets_the_entry_of_the_faster(void **state) {
    (void)state;
    struct page_cache *cache = create(1000);
    struct page_cache_entry *first = page_cache_insert(cache, item_create(1, 1, 10));
    struct page_cache_entry *second = page_cache_insert(cache, item_create(1, 1, 10));
    assert_ptr_equal(first, second);
    assert_int_equal(live_items, 1);
    page_cache_unref(first);
    page_cache_unref(second);
    page_cache_destroy(cache);
    assert_int_equal(live_items, 0);
}

enum { THREADS = 4, OPERATIONS = 30000, SEGMENTS = 4, STRIPES = 300 };

struct work {
    struct page_cache *cache;
    uint64_t seed;
    bool ok;
};

static void *use_cache(void *argument) {
    struct work *work = argument;
    struct test_random random = test_random_of(work->seed);
    work->ok = true;
    for (int i = 0; i < OPERATIONS; i++) {
        struct page_cache_key key = {test_random_below(&random, SEGMENTS), test_random_below(&random, STRIPES)};
        if (test_random_below(&random, 2000) == 0) page_cache_forget(work->cache, key.segment);
        struct page_cache_entry *entry = page_cache_find(work->cache, key);
        if (!entry) entry = page_cache_insert(work->cache, item_create(key.segment, key.stripe, 50 + key.stripe));
        if (((struct item *)entry)->check != check_of(key)) work->ok = false;
        page_cache_unref(entry);
    }
    return NULL;
}

static void threads_find_what_belongs_to_their_key_and_accounts_close(void **state) {
    (void)state;
    struct page_cache *cache = create(60000);
    pthread_t threads[THREADS];
    struct work work[THREADS];
    for (uint64_t i = 0; i < THREADS; i++) {
        work[i] = (struct work){cache, i + 1, false};
        assert_int_equal(pthread_create(&threads[i], NULL, use_cache, &work[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (size_t i = 0; i < THREADS; i++) assert_true(work[i].ok);
    struct page_cache_stats stats;
    page_cache_stats(cache, &stats);
    assert_in_range(stats.bytes, 1, 60000);
    assert_int_equal(stats.entries, live_items);
    assert_int_equal(stats.hits + stats.misses, THREADS * OPERATIONS);
    uint64_t bytes = 0;
    for (uint64_t segment = 0; segment < SEGMENTS; segment++)
        for (uint64_t stripe = 0; stripe < STRIPES; stripe++)
            if (has(cache, segment, stripe)) bytes += 50 + stripe;
    assert_int_equal(bytes, stats.bytes);
    page_cache_destroy(cache);
    assert_int_equal(live_items, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_found_until_forgotten),
        cmocka_unit_test(bytes_stay_within_the_bound),
        cmocka_unit_test(what_is_used_again_outlives_what_is_not),
        cmocka_unit_test(an_evicted_entry_lives_as_long_as_its_reader),
        cmocka_unit_test(an_entry_larger_than_the_cache_is_not_kept),
        cmocka_unit_test(columns_of_one_stripe_are_found_together),
        cmocka_unit_test(the_slower_of_two_inserts_gets_the_entry_of_the_faster),
        cmocka_unit_test(threads_find_what_belongs_to_their_key_and_accounts_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
