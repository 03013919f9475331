#include <stdio.h>

#include "engine/producers.h"
#include "support/test_support.h"

#define WHOLE ((struct producer_part){0})
static struct producer_part part(uint32_t chunk, uint32_t count) { return (struct producer_part){chunk, count, 77}; }

static void a_repeated_sequence_has_its_first_position(void **state) {
    (void)state;
    struct producers producers;
    producers_init(&producers);
    uint64_t lsn;
    assert_int_equal(producers_check(&producers, 9, 1, WHOLE, &lsn), PRODUCER_NEW);
    assert_ok(producers_add(&producers, 9, 1, WHOLE, 100, 0, NULL), NULL);
    assert_int_equal(producers_check(&producers, 9, 1, WHOLE, &lsn), PRODUCER_DUPLICATE);
    assert_int_equal(lsn, 100);
    assert_int_equal(producers_check(&producers, 8, 1, WHOLE, &lsn), PRODUCER_NEW);
    producers_deinit(&producers);
}

static void sequences_may_come_in_any_order_within_the_window(void **state) {
    (void)state;
    struct producers producers;
    producers_init(&producers);
    struct test_random random = test_random_of(7);
    bool given[5000] = {false};
    uint64_t lsn, highest = 0, lsns[5000];
    for (int i = 0; i < 20000; i++) {
        uint64_t low = highest > 900 ? highest - 900 : 1;
        uint64_t sequence = low + test_random_below(&random, 920);
        if (sequence >= 5000) break;
        enum producer_verdict verdict = producers_check(&producers, 1, sequence, WHOLE, &lsn);
        assert_int_equal(verdict, given[sequence] ? PRODUCER_DUPLICATE : PRODUCER_NEW);
        if (given[sequence]) {
            assert_int_equal(lsn, lsns[sequence]);
            continue;
        }
        lsns[sequence] = 1000 + (uint64_t)i;
        assert_ok(producers_add(&producers, 1, sequence, WHOLE, lsns[sequence], 0, NULL), NULL);
        given[sequence] = true;
        if (sequence > highest) highest = sequence;
    }
    assert_true(highest > 2000);
    assert_int_equal(producers_check(&producers, 1, highest - PRODUCER_WINDOW, WHOLE, &lsn), PRODUCER_TOO_OLD);
    producers_deinit(&producers);
}

static void the_table_is_bounded_and_the_oldest_goes_first(void **state) {
    (void)state;
    struct producers producers;
    producers_init(&producers);
    uint64_t lsn;
    for (uint64_t id = 1; id <= PRODUCERS_MAX + 10; id++)
        assert_ok(producers_add(&producers, id, 1, WHOLE, id, 0, NULL), NULL);
    assert_int_equal(producers.count, PRODUCERS_MAX);
    assert_int_equal(producers_check(&producers, 10, 1, WHOLE, &lsn), PRODUCER_NEW);
    assert_int_equal(producers_check(&producers, 11, 1, WHOLE, &lsn), PRODUCER_DUPLICATE);
    assert_int_equal(producers_check(&producers, PRODUCERS_MAX + 10, 1, WHOLE, &lsn), PRODUCER_DUPLICATE);
    assert_ok(producers_add(&producers, 1 << 20, 1, WHOLE, 1 << 20, PRODUCER_TTL_US + 1, NULL), NULL);
    assert_int_equal(producers.count, 1); /* all others were silent for too long */
    producers_deinit(&producers);
}

static void encoding_gives_the_same_table_and_the_same_bytes(void **state) {
    (void)state;
    struct producers producers, read;
    producers_init(&producers);
    struct test_random random = test_random_of(3);
    for (uint64_t lsn = 1; lsn < 3000; lsn++)
        assert_ok(producers_add(&producers, 1 + test_random_below(&random, 40), lsn, WHOLE, lsn, lsn * 1000, NULL),
                  NULL);
    struct buffer bytes = BUFFER_INIT, again = BUFFER_INIT;
    assert_true(producers_encode(&bytes, &producers));
    struct reader reader = reader_of(buffer_slice(&bytes));
    assert_ok(producers_decode(&reader, &read, NULL), NULL);
    assert_true(producers_encode(&again, &read));
    assert_true(slice_equal(buffer_slice(&bytes), buffer_slice(&again)));
    for (uint64_t id = 1; id <= 40; id++) {
        for (uint64_t sequence = 1; sequence < 3000; sequence += 7) {
            uint64_t a, b;
            assert_int_equal(producers_check(&producers, id, sequence, WHOLE, &a),
                             producers_check(&read, id, sequence, WHOLE, &b));
            assert_int_equal(a, b);
        }
    }
    producers_deinit(&read);
    for (size_t size = 0; size < bytes.size; size += 11) {
        struct plinth_error error;
        reader = reader_of(slice_of(bytes.data, size));
        assert_status(producers_decode(&reader, &read, &error), PLINTH_CORRUPT, &error);
    }
    buffer_deinit(&bytes);
    buffer_deinit(&again);
    producers_deinit(&producers);
}

static void the_highest_sequences_are_remembered_too(void **state) {
    (void)state;
    struct producers producers, decoded;
    producers_init(&producers);
    uint64_t lsn;
    for (uint64_t i = 0; i < 2000; i++)
        assert_ok(producers_add(&producers, 9, UINT64_MAX - 1999 + i, WHOLE, 100 + i, 0, NULL), NULL);
    struct buffer bytes = BUFFER_INIT;
    assert_true(producers_encode(&bytes, &producers));
    struct reader reader = reader_of(buffer_slice(&bytes));
    assert_ok(producers_decode(&reader, &decoded, NULL), NULL);
    for (int i = 0; i < 2; i++) {
        const struct producers *table = i ? &decoded : &producers;
        assert_int_equal(producers_check(table, 9, UINT64_MAX, WHOLE, &lsn), PRODUCER_DUPLICATE);
        assert_int_equal(lsn, 2099);
        assert_int_equal(producers_check(table, 9, UINT64_MAX - 1023, WHOLE, &lsn), PRODUCER_DUPLICATE);
        assert_int_equal(producers_check(table, 9, UINT64_MAX - 1024, WHOLE, &lsn), PRODUCER_TOO_OLD);
    }
    buffer_deinit(&bytes);
    producers_deinit(&decoded);
    producers_deinit(&producers);
}

static void check_chunks(const struct producers *producers) {
    uint64_t lsn;
    assert_int_equal(producers_check(producers, 5, 1, part(0, 3), &lsn), PRODUCER_NEW);
    assert_int_equal(producers_check(producers, 5, 1, part(1, 3), &lsn), PRODUCER_DUPLICATE);
    assert_int_equal(lsn, 12);
    assert_int_equal(producers_check(producers, 5, 1, part(2, 3), &lsn), PRODUCER_DUPLICATE);
    assert_int_equal(producers_check(producers, 5, 1, WHOLE, &lsn), PRODUCER_OTHER);
    assert_int_equal(producers_check(producers, 5, 1, part(0, 4), &lsn), PRODUCER_OTHER);
    struct producer_part other = {0, 3, 78}; /* cut elsewhere */
    assert_int_equal(producers_check(producers, 5, 1, other, &lsn), PRODUCER_OTHER);
    assert_int_equal(producers_check(producers, 5, 2, part(0, 9), &lsn),
                     PRODUCER_DUPLICATE); /* complete: whatever is asked */
    assert_int_equal(lsn, 15);
    assert_int_equal(producers_check(producers, 5, 3, part(PRODUCER_CHUNKS_MAX - 2, PRODUCER_CHUNKS_MAX), &lsn),
                     PRODUCER_NEW);
    assert_int_equal(producers_check(producers, 5, 3, part(PRODUCER_CHUNKS_MAX - 1, PRODUCER_CHUNKS_MAX), &lsn),
                     PRODUCER_DUPLICATE);
}

static void chunks_of_a_sequence_are_remembered_one_by_one(void **state) {
    (void)state;
    struct producers producers, read;
    producers_init(&producers);
    assert_ok(producers_add(&producers, 5, 1, part(2, 3), 10, 0, NULL), NULL);
    assert_ok(producers_add(&producers, 5, 1, part(1, 3), 12, 0, NULL), NULL);
    assert_ok(producers_add(&producers, 5, 2, part(0, 2), 15, 0, NULL), NULL);
    assert_ok(producers_add(&producers, 5, 2, part(1, 2), 13, 0, NULL), NULL);
    assert_ok(producers_add(&producers, 5, 3, part(PRODUCER_CHUNKS_MAX - 1, PRODUCER_CHUNKS_MAX), 16, 0, NULL), NULL);
    check_chunks(&producers);
    struct buffer bytes = BUFFER_INIT;
    assert_true(producers_encode(&bytes, &producers));
    struct reader reader = reader_of(buffer_slice(&bytes));
    assert_ok(producers_decode(&reader, &read, NULL), NULL);
    assert_int_equal(reader_left(&reader), 0);
    check_chunks(&read);
    producers_deinit(&read);
    /* a damaged table is refused or is another sound one, and never anything else */
    for (size_t i = 0; i < 8 * bytes.size; i++) {
        bytes.data[i / 8] ^= (uint8_t)(1 << i % 8);
        reader = reader_of(buffer_slice(&bytes));
        if (!producers_decode(&reader, &read, NULL)) producers_deinit(&read);
        bytes.data[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    /* the last chunk completes the sequence; later sequences push it out of the window, whatever state it is in */
    assert_ok(producers_add(&producers, 5, 1, part(0, 3), 20, 0, NULL), NULL);
    uint64_t lsn;
    assert_int_equal(producers_check(&producers, 5, 1, part(0, 3), &lsn), PRODUCER_DUPLICATE);
    assert_int_equal(lsn, 20);
    for (uint64_t s = 10; s < 5000; s++) assert_ok(producers_add(&producers, 5, s, part(0, 2), 100 + s, 0, NULL), NULL);
    assert_int_equal(producers_check(&producers, 5, 3, part(0, 2), &lsn), PRODUCER_TOO_OLD);
    buffer_deinit(&bytes);
    producers_deinit(&producers);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_repeated_sequence_has_its_first_position),
        cmocka_unit_test(sequences_may_come_in_any_order_within_the_window),
        cmocka_unit_test(the_table_is_bounded_and_the_oldest_goes_first),
        cmocka_unit_test(encoding_gives_the_same_table_and_the_same_bytes),
        cmocka_unit_test(the_highest_sequences_are_remembered_too),
        cmocka_unit_test(chunks_of_a_sequence_are_remembered_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
