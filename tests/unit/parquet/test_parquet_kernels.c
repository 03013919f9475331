/* What vector instructions do against the scalar twins: every width, every tail, any bytes. Inputs end where no page
 * is, so that a byte read behind them stops the test; outputs too, but for the room that a kernel may use. */
#include <stdlib.h>

#include "parquet/bits.h"
#include "parquet/encoding_delta_sums.h"
#include "parquet/encoding_split.h"
#include "parquet/gather.h"
#include "parquet/nulls.h"
#include "support/guard_page.h"
#include "support/test_support.h"

enum { VALUES_MAX = 300, WIDTH_MAX = 16, BYTES_MAX = 8192 };

static struct guard_page in_guard, fast_guard, slow_guard;

static uint64_t ones(unsigned width) { return width == 64 ? UINT64_MAX : (UINT64_C(1) << width) - 1; }

/* Few sizes are far from a multiple of a vector. */
static size_t size_below(struct test_random *random, size_t limit) {
    size_t size = (size_t)test_random_below(random, limit);
    return test_random_below(random, 3) ? size : size / 8 * 8;
}

/* Random bytes that hold `count` values of `width` bits and `extra` bytes more. */
static const uint8_t *make_packed(struct test_random *random, size_t count, unsigned width, size_t extra) {
    uint8_t bytes[BYTES_MAX];
    size_t size = (size_t)bits_bytes(count, width) + extra;
    test_random_bytes(random, bytes, size);
    return guard_page_copy(&in_guard, bytes, size);
}

static void bits_are_unpacked_as_by_the_scalar_code(void **state) {
    struct test_random random = test_random_of(1);
    (void)state;
    for (int round = 0; round < 40000; round++) {
        unsigned width = (unsigned)(round % 65);
        size_t count = size_below(&random, VALUES_MAX), extra = (size_t)test_random_below(&random, 40);
        if (round % 2) extra = 0;
        size_t in_bytes = (size_t)bits_bytes(count, width) + extra;
        const uint8_t *in = make_packed(&random, count, width, extra);
        uint64_t *fast = (uint64_t *)(void *)guard_page_last(&fast_guard, count * 8);
        uint64_t *slow = (uint64_t *)(void *)guard_page_last(&slow_guard, count * 8);
        bits_unpack_u64(in, in_bytes, width, count, fast);
        bits_unpack_u64_scalar(in, in_bytes, width, count, slow);
        assert_memory_equal(fast, slow, count * 8);
        for (size_t i = 0; i < count; i++) assert_true(slow[i] <= ones(width));
        if (width > 32) continue;
        uint32_t *fast_32 = (uint32_t *)(void *)guard_page_last(&fast_guard, count * 4);
        bits_unpack_u32(in, in_bytes, width, count, fast_32);
        for (size_t i = 0; i < count; i++) assert_int_equal(fast_32[i], slow[i]);
        uint32_t *slow_32 = (uint32_t *)(void *)guard_page_last(&slow_guard, count * 4);
        bits_unpack_u32_scalar(in, in_bytes, width, count, slow_32);
        assert_memory_equal(fast_32, slow_32, count * 4);
    }
}

static void bits_are_packed_as_by_the_scalar_code(void **state) {
    struct test_random random = test_random_of(2);
    uint64_t values[VALUES_MAX];
    uint32_t values_32[VALUES_MAX];
    (void)state;
    for (int round = 0; round < 40000; round++) {
        unsigned width = (unsigned)(round % 65);
        size_t count = size_below(&random, VALUES_MAX), bytes = (size_t)bits_bytes(count, width);
        for (size_t i = 0; i < count; i++) {
            values[i] = test_random_u64(&random) & ones(width);
            if (round % 5 == 0) values[i] = i % 2 ? ones(width) : 0;
            values_32[i] = (uint32_t)values[i];
        }
        const uint64_t *in = (const uint64_t *)(void *)guard_page_copy(&in_guard, values, count * 8);
        uint8_t *fast = guard_page_last(&fast_guard, bytes + BITS_PACK_SLACK);
        uint8_t *slow = guard_page_last(&slow_guard, bytes + BITS_PACK_SLACK);
        bits_pack_u64(in, count, width, fast);
        bits_pack_u64_scalar(in, count, width, slow);
        assert_memory_equal(fast, slow, bytes);
        if (width > 32) continue;
        const uint32_t *in_32 = (const uint32_t *)(void *)guard_page_copy(&in_guard, values_32, count * 4);
        memset(fast, 0xee, bytes);
        bits_pack_u32(in_32, count, width, fast);
        assert_memory_equal(fast, slow, bytes);
        memset(slow, 0xee, bytes);
        bits_pack_u32_scalar(in_32, count, width, slow);
        assert_memory_equal(fast, slow, bytes);
    }
}

static void deltas_are_added_up_as_by_the_scalar_code(void **state) {
    struct test_random random = test_random_of(3);
    (void)state;
    for (int round = 0; round < 40000; round++) {
        size_t count = size_below(&random, VALUES_MAX), extra = (size_t)test_random_below(&random, 40);
        struct delta_packed packed = {.width = (unsigned)(round % 65), .count = count};
        if (round % 2) extra = 0;
        packed.in = make_packed(&random, count, packed.width, extra);
        packed.in_bytes = (size_t)bits_bytes(count, packed.width) + extra;
        packed.least = test_random_u64(&random) >> test_random_below(&random, 64);
        if (round % 3 == 0) packed.least = 0 - packed.least;
        uint64_t first = test_random_u64(&random) >> test_random_below(&random, 64);
        uint64_t fast_last, slow_last;
        void *fast = guard_page_last(&fast_guard, count * 8), *slow = guard_page_last(&slow_guard, count * 8);
        fast_last = delta_sums_i64(&packed, first, fast);
        slow_last = delta_sums_i64_scalar(&packed, first, slow);
        assert_memory_equal(fast, slow, count * 8);
        assert_true(fast_last == slow_last);
        assert_true(slow_last == (count ? ((uint64_t *)slow)[count - 1] : first));
        fast = guard_page_last(&fast_guard, count * 4);
        slow = guard_page_last(&slow_guard, count * 4);
        fast_last = delta_sums_i32(&packed, first, fast);
        slow_last = delta_sums_i32_scalar(&packed, first, slow);
        assert_memory_equal(fast, slow, count * 4);
        assert_int_equal((uint32_t)fast_last, (uint32_t)slow_last);
    }
}

static void differences_are_taken_as_by_the_scalar_code(void **state) {
    struct test_random random = test_random_of(12);
    int64_t values[DELTA_BLOCK + 1];
    int32_t values_32[DELTA_BLOCK + 1];
    struct delta_block fast, slow;
    (void)state;
    for (int round = 0; round < 20000; round++) {
        size_t count = round % 4 ? DELTA_BLOCK : 1 + (size_t)test_random_below(&random, DELTA_BLOCK);
        unsigned shift = (unsigned)test_random_below(&random, 64);
        for (size_t i = 0; i <= count; i++) {
            values[i] = (int64_t)test_random_u64(&random) >> shift;
            if (round % 7 == 0) values[i] = test_random_below(&random, 2) ? INT64_MIN : INT64_MAX;
            values_32[i] = round % 7 == 0 ? (values[i] < 0 ? INT32_MIN : INT32_MAX) : (int32_t)values[i];
        }
        void *in = guard_page_copy(&in_guard, values, (count + 1) * sizeof values[0]);
        memset(&fast, 0xee, sizeof fast);
        delta_block_i64((const int64_t *)in + 1, count, &fast);
        delta_block_i64_scalar((const int64_t *)in + 1, count, &slow);
        assert_memory_equal(&fast, &slow, sizeof fast);
        in = guard_page_copy(&in_guard, values_32, (count + 1) * sizeof values_32[0]);
        delta_block_i32((const int32_t *)in + 1, count, &fast);
        delta_block_i32_scalar((const int32_t *)in + 1, count, &slow);
        assert_int_equal(fast.least, slow.least);
        assert_memory_equal(fast.used_bits, slow.used_bits, sizeof fast.used_bits);
        assert_memory_equal(fast.deltas, slow.deltas, DELTA_BLOCK * sizeof(uint32_t));
    }
}

static void the_highest_is_found_wherever_it_is(void **state) {
    struct test_random random = test_random_of(4);
    uint32_t values[VALUES_MAX];
    (void)state;
    for (size_t count = 0; count < 70; count++) {
        for (size_t at = 0; at < count; at++) {
            for (size_t i = 0; i < count; i++) values[i] = (uint32_t)test_random_below(&random, 1u << 31);
            values[at] |= 1u << 31;
            const uint32_t *in = (const uint32_t *)(void *)guard_page_copy(&in_guard, values, count * 4);
            assert_int_equal(bits_max_u32(in, count), values[at]);
            assert_int_equal(bits_max_u32_scalar(in, count), values[at]);
        }
    }
    assert_int_equal(bits_max_u32(values, 0), 0);
}

static void values_are_added_up_as_by_the_scalar_code(void **state) {
    struct test_random random = test_random_of(11);
    uint32_t values[VALUES_MAX];
    (void)state;
    for (int round = 0; round < 5000; round++) {
        size_t count = size_below(&random, VALUES_MAX);
        test_random_bytes(&random, values, sizeof values);
        uint32_t *fast = (uint32_t *)(void *)guard_page_copy(&fast_guard, values, count * 4), sum = 0;
        uint32_t *slow = (uint32_t *)(void *)guard_page_copy(&slow_guard, values, count * 4);
        uint32_t last = bits_sums_u32(fast, count);
        assert_int_equal(last, bits_sums_u32_scalar(slow, count));
        if (count) assert_memory_equal(fast, slow, count * 4);
        for (size_t i = 0; i < count; i++) assert_int_equal(slow[i], sum += values[i]);
        assert_int_equal(last, sum);
    }
}

static void equal_bytes_become_bits_as_by_the_scalar_code(void **state) {
    struct test_random random = test_random_of(5);
    uint8_t levels[VALUES_MAX];
    (void)state;
    for (int round = 0; round < 20000; round++) {
        size_t count = size_below(&random, VALUES_MAX), bytes = (count + 7) / 8;
        for (size_t i = 0; i < count; i++)
            levels[i] = (uint8_t)(round % 2 ? test_random_below(&random, 4) : test_random_u64(&random));
        uint8_t value = round % 2 ? 3 : count ? levels[count / 2] : 0;
        const uint8_t *in = guard_page_copy(&in_guard, levels, count);
        uint8_t *fast = guard_page_last(&fast_guard, bytes), *slow = guard_page_last(&slow_guard, bytes);
        bits_equal_u8(in, count, value, fast);
        bits_equal_u8_scalar(in, count, value, slow);
        if (count) assert_memory_equal(fast, slow, bytes);
        for (size_t i = 0; i < bytes * 8; i++) assert_int_equal(bitmap_get(slow, i), i < count && levels[i] == value);
    }
}

static void streams_are_split_and_joined_as_by_the_scalar_code(void **state) {
    struct test_random random = test_random_of(6);
    uint8_t values[BYTES_MAX];
    (void)state;
    for (int round = 0; round < 10000; round++) {
        uint32_t width = 1 + (uint32_t)test_random_below(&random, round % 10 ? WIDTH_MAX : 33);
        size_t count = (size_t)test_random_below(&random, 200), more = (size_t)test_random_below(&random, 3);
        size_t bytes = count * width;
        test_random_bytes(&random, values, (count + more) * width);
        uint8_t *in = guard_page_copy(&in_guard, values, bytes);
        uint8_t *fast = guard_page_last(&fast_guard, bytes), *slow = guard_page_last(&slow_guard, bytes);
        split_encode(in, count, width, fast);
        split_encode_scalar(in, count, width, slow);
        if (bytes) assert_memory_equal(fast, slow, bytes);
        split_decode(slow, count, count, width, fast);
        if (bytes) assert_memory_equal(fast, values, bytes);
        in = guard_page_copy(&in_guard, values, (count + more) * width); /* more values than are wanted */
        split_decode(in, count + more, count, width, fast);
        split_decode_scalar(in, count + more, count, width, slow);
        if (bytes) assert_memory_equal(fast, slow, bytes);
    }
}

static void make_validity(struct test_random *random, uint8_t *validity, size_t bytes) {
    uint64_t kind = test_random_below(random, 5);
    test_random_bytes(random, validity, bytes);
    for (size_t i = 0; i < bytes; i++) {
        if (kind == 0) validity[i] = 0xff;
        if (kind == 1) validity[i] = 0;
        if (kind == 2) validity[i] |= (uint8_t)test_random_u64(random) | (uint8_t)test_random_u64(random);
    }
}

static void values_are_spread_to_their_slots_and_gathered_from_them(void **state) {
    struct test_random random = test_random_of(7);
    static const size_t widths[] = {1, 2, 4, 5, 8, 12, 16};
    enum { SLOTS_MAX = 200 };
    uint8_t validity[SLOTS_MAX / 8 + 3], values[SLOTS_MAX * WIDTH_MAX], wanted[SLOTS_MAX * WIDTH_MAX];
    (void)state;
    for (int round = 0; round < 20000; round++) {
        size_t width = widths[test_random_below(&random, sizeof widths / sizeof widths[0])];
        uint64_t slots = size_below(&random, SLOTS_MAX), begin = test_random_below(&random, 16), at = 0;
        make_validity(&random, validity, sizeof validity);
        test_random_bytes(&random, values, sizeof values);
        uint64_t count = bits_count(validity, begin, slots);
        uint8_t *dense[2] = {guard_page_last(&fast_guard, slots * width + NULLS_SLACK),
                             guard_page_last(&slow_guard, slots * width + NULLS_SLACK)};
        const uint8_t *from = guard_page_copy(&in_guard, values, slots * width);
        uint8_t *bits = malloc((begin + slots + 7) / 8 + 1);
        assert_non_null(bits);
        memcpy(bits, validity, (begin + slots + 7) / 8);
        assert_int_equal(nulls_gather(from, slots, width, bits, begin, dense[0]), count);
        assert_int_equal(nulls_gather_scalar(from, slots, width, bits, begin, dense[1]), count);
        free(bits);
        memset(wanted, 0, sizeof wanted);
        uint8_t aligned[SLOTS_MAX / 8 + 1] = {0};
        bits_copy(aligned, 0, validity, begin, slots);
        for (uint64_t i = 0; i < slots; i++) {
            if (!bitmap_get(validity, begin + i)) continue;
            for (int k = 0; k < 2; k++) assert_memory_equal(dense[k] + at * width, values + i * width, width);
            memcpy(wanted + i * width, values + i * width, width);
            at++;
        }
        const uint8_t *there = guard_page_copy(&in_guard, aligned, (slots + 7) / 8);
        nulls_spread(dense[0], slots, count, width, there);
        nulls_spread_scalar(dense[1], slots, count, width, there);
        for (int k = 0; k < 2 && slots; k++) assert_memory_equal(dense[k], wanted, slots * width);
    }
}

static void offsets_are_spread_to_their_slots(void **state) {
    struct test_random random = test_random_of(8);
    uint8_t validity[VALUES_MAX / 8 + 1];
    (void)state;
    for (int round = 0; round < 20000; round++) {
        uint64_t slots = size_below(&random, VALUES_MAX);
        make_validity(&random, validity, sizeof validity);
        if (slots % 8) validity[slots / 8] &= (uint8_t)((1u << slots % 8) - 1);
        uint64_t count = bits_count(validity, 0, slots);
        uint32_t *fast = (uint32_t *)(void *)guard_page_last(&fast_guard, (slots + 1) * 4 + NULLS_SLACK);
        uint32_t *slow = (uint32_t *)(void *)guard_page_last(&slow_guard, (slots + 1) * 4 + NULLS_SLACK);
        uint32_t dense[VALUES_MAX + 1], offset = 0;
        for (uint64_t i = 0; i <= count; i++) {
            fast[i] = slow[i] = dense[i] = offset;
            offset += (uint32_t)test_random_below(&random, 100);
        }
        const uint8_t *there = guard_page_copy(&in_guard, validity, (slots + 7) / 8);
        nulls_spread_offsets(fast, slots, count, there);
        nulls_spread_offsets_scalar(slow, slots, count, there);
        for (uint64_t i = 0; i <= slots; i++) {
            uint32_t wanted = dense[bits_count(validity, 0, i)];
            assert_int_equal(fast[i], wanted);
            assert_int_equal(slow[i], wanted);
        }
    }
}

static void bits_are_spread_to_their_slots(void **state) {
    struct test_random random = test_random_of(9);
    uint8_t validity[VALUES_MAX / 8 + 1], bits[VALUES_MAX / 8 + 1];
    (void)state;
    for (int round = 0; round < 20000; round++) {
        uint64_t slots = size_below(&random, VALUES_MAX);
        if (round % 4 == 0) slots = slots / 64 * 64;
        size_t bytes = (size_t)(slots + 7) / 8;
        make_validity(&random, validity, sizeof validity);
        test_random_bytes(&random, bits, sizeof bits);
        if (slots % 8) validity[slots / 8] &= (uint8_t)((1u << slots % 8) - 1);
        uint64_t count = bits_count(validity, 0, slots), from = 0;
        const uint8_t *dense = guard_page_copy(&in_guard, bits, (size_t)(count + 7) / 8);
        uint8_t *fast = guard_page_last(&fast_guard, bytes), *slow = guard_page_last(&slow_guard, bytes);
        nulls_spread_bits(dense, slots, validity, fast);
        nulls_spread_bits_scalar(dense, slots, validity, slow);
        if (bytes) assert_memory_equal(fast, slow, bytes);
        for (uint64_t i = 0; i < slots; i++)
            assert_int_equal(bitmap_get(slow, i), bitmap_get(validity, i) && bitmap_get(bits, from++));
    }
}

static void entries_are_gathered_by_their_indices(void **state) {
    struct test_random random = test_random_of(10);
    static const size_t widths[] = {1, 4, 5, 8, 12, 16};
    uint8_t entries[50 * WIDTH_MAX];
    uint32_t indices[VALUES_MAX], begins[51];
    (void)state;
    for (int round = 0; round < 10000; round++) {
        size_t width = widths[test_random_below(&random, sizeof widths / sizeof widths[0])];
        size_t count = (size_t)test_random_below(&random, 100), many = 1 + (size_t)test_random_below(&random, 50);
        test_random_bytes(&random, entries, many * width);
        begins[0] = 0;
        for (size_t i = 0; i < many; i++) begins[i + 1] = begins[i] + (uint32_t)test_random_below(&random, 90);
        for (size_t i = 0; i < count; i++) indices[i] = (uint32_t)test_random_below(&random, many);
        const uint8_t *from = guard_page_copy(&in_guard, entries, many * width);
        uint8_t *out = guard_page_last(&fast_guard, count * width);
        gather_fixed(from, indices, count, width, out);
        for (size_t i = 0; i < count; i++) assert_memory_equal(out + i * width, entries + indices[i] * width, width);
        const uint32_t *at = (const uint32_t *)(void *)guard_page_copy(&in_guard, begins, (many + 1) * 4);
        uint32_t *offsets = (uint32_t *)(void *)guard_page_last(&fast_guard, (count + 1) * 4);
        uint64_t sum = gather_offsets(at, indices, count, offsets), wanted = 0;
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(offsets[i], wanted);
            wanted += begins[indices[i] + 1] - begins[indices[i]];
        }
        assert_int_equal(offsets[count], wanted);
        assert_int_equal(sum, wanted);
    }
}

/* Entries of 3 GiB each, of which there are no bytes here. */
static void sizes_of_entries_add_up_beyond_32_bits(void **state) {
    static const uint32_t begins[] = {0, 0xc0000000};
    uint32_t indices[20] = {0}, offsets[21];
    (void)state;
    assert_true(gather_offsets(begins, indices, 20, offsets) == 20 * UINT64_C(0xc0000000));
}

static int set_up(void **state) {
    (void)state;
    guard_page_init(&in_guard, BYTES_MAX);
    guard_page_init(&fast_guard, BYTES_MAX);
    guard_page_init(&slow_guard, BYTES_MAX);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    guard_page_deinit(&in_guard);
    guard_page_deinit(&fast_guard);
    guard_page_deinit(&slow_guard);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_are_unpacked_as_by_the_scalar_code),
        cmocka_unit_test(bits_are_packed_as_by_the_scalar_code),
        cmocka_unit_test(deltas_are_added_up_as_by_the_scalar_code),
        cmocka_unit_test(differences_are_taken_as_by_the_scalar_code),
        cmocka_unit_test(the_highest_is_found_wherever_it_is),
        cmocka_unit_test(values_are_added_up_as_by_the_scalar_code),
        cmocka_unit_test(equal_bytes_become_bits_as_by_the_scalar_code),
        cmocka_unit_test(streams_are_split_and_joined_as_by_the_scalar_code),
        cmocka_unit_test(values_are_spread_to_their_slots_and_gathered_from_them),
        cmocka_unit_test(offsets_are_spread_to_their_slots),
        cmocka_unit_test(bits_are_spread_to_their_slots),
        cmocka_unit_test(entries_are_gathered_by_their_indices),
        cmocka_unit_test(sizes_of_entries_add_up_beyond_32_bits),
    };
    return cmocka_run_group_tests_name("parquet_kernels", tests, set_up, tear_down);
}
