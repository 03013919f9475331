#include "support/test_support.h"

#include <stdlib.h>

#include "column/key_encoding.h"

static const uint64_t edges[] = {0,
                                 1,
                                 239,
                                 240,
                                 241,
                                 2286,
                                 2287,
                                 2288,
                                 67822,
                                 67823,
                                 67824,
                                 (1u << 24) - 1,
                                 1u << 24,
                                 UINT32_MAX,
                                 (uint64_t)UINT32_MAX + 1,
                                 (UINT64_C(1) << 40) - 1,
                                 UINT64_C(1) << 40,
                                 (UINT64_C(1) << 48) - 1,
                                 UINT64_C(1) << 48,
                                 (UINT64_C(1) << 56) - 1,
                                 UINT64_C(1) << 56,
                                 UINT64_MAX - 1,
                                 UINT64_MAX};

static int compare_u64(uint64_t a, uint64_t b) { return (a > b) - (a < b); }
static int sign(int value) { return (value > 0) - (value < 0); }

static void check_varint_pair(uint64_t a, uint64_t b) {
    uint8_t a_bytes[ORDERED_VARINT_BYTES_MAX], b_bytes[ORDERED_VARINT_BYTES_MAX];
    struct slice encoded_a = slice_of(a_bytes, ordered_varint_encode(a_bytes, a));
    struct slice encoded_b = slice_of(b_bytes, ordered_varint_encode(b_bytes, b));
    assert_int_equal(sign(slice_compare(encoded_a, encoded_b)), compare_u64(a, b));
    struct reader reader = reader_of(encoded_a);
    assert_true(ordered_varint_decode(&reader) == a);
    assert_false(reader.failed);
    assert_int_equal(reader_left(&reader), 0);
}

static void ordered_varints_sort_as_their_values(void **state) {
    (void)state;
    size_t count = sizeof edges / sizeof *edges;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++) check_varint_pair(edges[i], edges[j]);
    struct test_random random = test_random_of(1);
    for (int i = 0; i < 200000; i++) {
        uint64_t a = test_random_u64(&random) >> test_random_below(&random, 64);
        uint64_t b = test_random_below(&random, 4) ? test_random_u64(&random) >> test_random_below(&random, 64) : a + 1;
        check_varint_pair(a, b);
    }
}

static void ordered_varint_decode_refuses_cut_and_longer_forms(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
        uint8_t bytes[ORDERED_VARINT_BYTES_MAX];
        size_t size = ordered_varint_encode(bytes, edges[i]);
        for (size_t cut = 0; cut < size; cut++) {
            struct reader reader = reader_of(slice_of(bytes, cut));
            (void)ordered_varint_decode(&reader);
            assert_true(reader.failed);
        }
    }
    const uint8_t longer[][5] = {{241, 0}, {250, 0, 0, 1}, {250, 1, 8, 239}, {251, 0, 255, 255, 255}};
    for (size_t i = 0; i < 4; i++) {
        struct reader reader = reader_of(slice_of(longer[i], 5));
        (void)ordered_varint_decode(&reader);
        assert_true(reader.failed);
    }
}

static void table_prefixes_sort_by_tenant_database_table(void **state) {
    (void)state;
    struct test_random random = test_random_of(2);
    for (int i = 0; i < 100000; i++) {
        struct table_id ids[2];
        uint8_t bytes[2][TABLE_PREFIX_BYTES_MAX + 3];
        struct slice stored[2];
        for (int j = 0; j < 2; j++) {
            uint32_t *parts[] = {&ids[j].tenant, &ids[j].database, &ids[j].table};
            for (int k = 0; k < 3; k++)
                *parts[k] = test_random_below(&random, 2)
                                ? (uint32_t)test_random_u64(&random) >> test_random_below(&random, 32)
                                : (uint32_t)test_random_below(&random, 3);
            size_t size = table_prefix_encode(bytes[j], ids[j]);
            assert_in_range(size, 3, TABLE_PREFIX_BYTES_MAX);
            memcpy(bytes[j] + size, "key", 3);
            stored[j] = slice_of(bytes[j], size + 3);
            struct table_id decoded;
            struct slice key;
            assert_true(table_prefix_decode(stored[j], &decoded, &key));
            assert_int_equal(table_id_compare(decoded, ids[j]), 0);
            assert_true(slice_equal(key, slice_of_string("key")));
        }
        assert_int_equal(sign(slice_compare(stored[0], stored[1])), table_id_compare(ids[0], ids[1]));
    }
}

static void table_prefix_decode_refuses_ids_over_32_bits(void **state) {
    (void)state;
    struct table_id table;
    struct slice key;
    const uint8_t wide[] = {1, 252, 1, 0, 0, 0, 0, 1, 'k'};
    assert_false(table_prefix_decode(slice_of(wide, sizeof wide), &table, &key));
    assert_false(table_prefix_decode(slice_of(wide, 2), &table, &key));
    assert_false(table_prefix_decode(slice_of(NULL, 0), &table, &key));
}

/* Few distinct bytes, among them those the escaping uses, so that prefixes and zeros are common. */
static struct slice random_value(struct test_random *random, uint8_t *bytes, size_t size_max) {
    static const uint8_t alphabet[] = {0x00, 0x00, 0x01, 0x02, 'a', 0xFE, 0xFF, 0xFF};
    size_t size = test_random_below(random, size_max + 1);
    for (size_t i = 0; i < size; i++) bytes[i] = alphabet[test_random_below(random, sizeof alphabet)];
    return slice_of(bytes, size);
}

static void escaped_pairs_sort_by_first_then_second(void **state) {
    (void)state;
    struct test_random random = test_random_of(3);
    struct buffer encoded[2] = {BUFFER_INIT, BUFFER_INIT}, decoded = BUFFER_INIT;
    for (int i = 0; i < 200000; i++) {
        uint8_t bytes[4][6];
        struct slice value[2], tail[2];
        for (int j = 0; j < 2; j++) {
            value[j] = random_value(&random, bytes[2 * j], 6);
            tail[j] = random_value(&random, bytes[2 * j + 1], 6);
            buffer_clear(&encoded[j]);
            assert_true(escaped_append(&encoded[j], value[j]));
            assert_true(buffer_append(&encoded[j], tail[j].data, tail[j].size));
            struct reader reader = reader_of(buffer_slice(&encoded[j]));
            buffer_clear(&decoded);
            assert_true(escaped_decode(&reader, &decoded));
            assert_true(slice_equal(buffer_slice(&decoded), value[j]));
            assert_true(slice_equal(slice_of(reader.at, reader_left(&reader)), tail[j]));
        }
        int wanted = slice_compare(value[0], value[1]);
        if (!wanted) wanted = slice_compare(tail[0], tail[1]);
        assert_int_equal(sign(slice_compare(buffer_slice(&encoded[0]), buffer_slice(&encoded[1]))), sign(wanted));
    }
    buffer_deinit(&encoded[0]);
    buffer_deinit(&encoded[1]);
    buffer_deinit(&decoded);
}

static void escaped_prefix_bounds_exactly_the_values_that_start_with_it(void **state) {
    (void)state;
    struct test_random random = test_random_of(4);
    struct buffer encoded = BUFFER_INIT, low = BUFFER_INIT, high = BUFFER_INIT;
    for (int i = 0; i < 200000; i++) {
        uint8_t value_bytes[6], prefix_bytes[3];
        struct slice value = random_value(&random, value_bytes, 6);
        struct slice prefix = random_value(&random, prefix_bytes, 3);
        buffer_clear(&encoded);
        buffer_clear(&low);
        buffer_clear(&high);
        assert_true(escaped_append(&encoded, value));
        assert_true(escaped_append_prefix(&low, prefix));
        assert_true(prefix_successor(&high, buffer_slice(&low)));
        bool inside = slice_compare(buffer_slice(&encoded), buffer_slice(&low)) >= 0 &&
                      (high.size == 0 || slice_compare(buffer_slice(&encoded), buffer_slice(&high)) < 0);
        assert_int_equal(inside, slice_starts_with(value, prefix));
    }
    buffer_deinit(&encoded);
    buffer_deinit(&low);
    buffer_deinit(&high);
}

static void escaped_decode_refuses_malformed_bytes_and_keeps_the_buffer(void **state) {
    (void)state;
    static const struct {
        uint8_t bytes[4];
        size_t size;
    } bad[] = {{{0}, 0}, {{'a'}, 1}, {{'a', 0}, 2}, {{'a', 0, 2}, 3}, {{0, 0, 0, 1}, 4}, {{0, 0xFF}, 2}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct buffer value = BUFFER_INIT;
        assert_true(buffer_append(&value, "x", 1));
        struct reader reader = reader_of(slice_of(bad[i].bytes, bad[i].size));
        assert_false(escaped_decode(&reader, &value));
        assert_true(reader.failed);
        assert_int_equal(value.size, 1);
        buffer_deinit(&value);
    }
}

static void prefix_successor_of_nothing_or_all_ones_is_empty(void **state) {
    (void)state;
    struct buffer into = BUFFER_INIT;
    assert_true(prefix_successor(&into, slice_of(NULL, 0)));
    assert_true(prefix_successor(&into, slice_of("\xFF\xFF", 2)));
    assert_int_equal(into.size, 0);
    assert_true(prefix_successor(&into, slice_of("a\xFF", 2)));
    assert_true(slice_equal(buffer_slice(&into), slice_of_string("b")));
    buffer_deinit(&into);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ordered_varints_sort_as_their_values),
        cmocka_unit_test(ordered_varint_decode_refuses_cut_and_longer_forms),
        cmocka_unit_test(table_prefixes_sort_by_tenant_database_table),
        cmocka_unit_test(table_prefix_decode_refuses_ids_over_32_bits),
        cmocka_unit_test(escaped_pairs_sort_by_first_then_second),
        cmocka_unit_test(escaped_prefix_bounds_exactly_the_values_that_start_with_it),
        cmocka_unit_test(escaped_decode_refuses_malformed_bytes_and_keeps_the_buffer),
        cmocka_unit_test(prefix_successor_of_nothing_or_all_ones_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
