#include "support/test_support.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/path.h"
#include "base/status.h"

static void varints_come_back_at_every_size(void **state) {
    (void)state;
    for (unsigned bits = 0; bits <= 64; bits++) {
        for (int delta = -1; delta <= 1; delta++) {
            uint64_t value = (bits == 64 ? 0 : UINT64_C(1) << bits) + (uint64_t)delta;
            uint8_t bytes[VARINT_BYTES_MAX];
            size_t size = varint_encode(bytes, value);
            assert_int_equal(size, varint_size(value));
            struct reader reader = reader_of(slice_of(bytes, size));
            assert_true(reader_varint(&reader) == value);
            assert_false(reader.failed);
            assert_int_equal(reader_left(&reader), 0);
            reader = reader_of(slice_of(bytes, size - 1));
            (void)reader_varint(&reader);
            assert_true(reader.failed);
            assert_true(zigzag_decode(zigzag_encode((int64_t)value)) == (int64_t)value);
        }
    }
}

static void a_varint_of_more_than_64_bits_fails(void **state) {
    (void)state;
    const uint8_t bytes[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02};
    struct reader reader = reader_of(slice_of(bytes, sizeof bytes));
    (void)reader_varint(&reader);
    assert_true(reader.failed);
}

static void a_failed_reader_stays_failed(void **state) {
    (void)state;
    const uint8_t bytes[6] = {1, 2, 3, 4, 5, 6};
    struct reader reader = reader_of(slice_of(bytes, sizeof bytes));
    assert_int_equal(reader_u32(&reader), 0x04030201);
    assert_int_equal(reader_u64(&reader), 0);
    assert_true(reader.failed);
    assert_int_equal(reader_u8(&reader), 0);
    assert_int_equal(reader_bytes(&reader, 1).size, 0);
    reader = reader_of(slice_of(bytes, sizeof bytes));
    assert_int_equal(reader_bytes(&reader, UINT64_MAX).size, 0);
    assert_true(reader.failed);
}

static void buffers_grow_and_hold_what_was_appended(void **state) {
    (void)state;
    struct buffer buffer = BUFFER_INIT;
    for (unsigned i = 0; i < 1000; i++) {
        assert_true(buffer_append_u8(&buffer, (uint8_t)i));
        assert_true(buffer_append_u32(&buffer, i));
        assert_true(buffer_append_u64(&buffer, i));
        assert_true(buffer_append_varint(&buffer, i));
        assert_true(buffer_append_string(&buffer, slice_of_string("abc")));
        assert_true(buffer_append_zeros(&buffer, 3));
    }
    struct reader reader = reader_of(buffer_slice(&buffer));
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(reader_u8(&reader), (uint8_t)i);
        assert_int_equal(reader_u32(&reader), i);
        assert_int_equal(reader_u64(&reader), i);
        assert_int_equal(reader_varint(&reader), i);
        assert_true(slice_equal(reader_string(&reader), slice_of_string("abc")));
        assert_memory_equal(reader_bytes(&reader, 3).data, "\0\0\0", 3);
    }
    assert_false(reader.failed);
    assert_int_equal(reader_left(&reader), 0);
    assert_false(buffer_reserve(&buffer, SIZE_MAX));
    buffer_deinit(&buffer);
}

static void slices_order_as_bytes_then_by_length(void **state) {
    (void)state;
    assert_true(slice_compare(slice_of_string("a"), slice_of_string("ab")) < 0);
    assert_true(slice_compare(slice_of_string("b"), slice_of_string("ab")) > 0);
    assert_true(slice_compare(slice_of_string("\xff"), slice_of_string("a")) > 0);
    assert_int_equal(slice_compare(slice_of(NULL, 0), slice_of_string("")), 0);
    assert_true(slice_starts_with(slice_of_string("abc"), slice_of_string("ab")));
    assert_false(slice_starts_with(slice_of_string("a"), slice_of_string("ab")));
}

static void stable_hash_is_xxh64(void **state) {
    (void)state;
    assert_true(hash_stable("", 0) == UINT64_C(0xef46db3751d8e999)); /* from the xxHash specification */
    assert_true(hash_stable("a", 1) == UINT64_C(0xd24ec4f1a98c6e5b));
    assert_true(hash_fast("a", 1) != hash_fast("b", 1));
}

static void prefixes_and_long_texts_are_cut_not_overrun(void **state) {
    (void)state;
    struct plinth_error error = {0};
    char text[PLINTH_ERROR_TEXT_MAX * 2];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(error_set(&error, PLINTH_CORRUPT, "%s", text), PLINTH_CORRUPT);
    assert_int_equal(strlen(error.text), PLINTH_ERROR_TEXT_MAX - 1);
    assert_int_equal(error_prefix(&error, "file %d", 7), PLINTH_CORRUPT);
    assert_int_equal(strlen(error.text), PLINTH_ERROR_TEXT_MAX - 1);
    assert_memory_equal(error.text, "file 7: xxx", 11);
    assert_int_equal(error_prefix(&error, "%s", text), PLINTH_CORRUPT);
    assert_true(strlen(error.text) < PLINTH_ERROR_TEXT_MAX);
    error_set(&error, PLINTH_NOT_FOUND, "b");
    error_prefix(&error, "a");
    assert_string_equal(error.text, "a: b");
}

static void every_status_has_its_own_name(void **state) {
    (void)state;
    for (int i = 0; i < PLINTH_STATUS_COUNT; i++) {
        assert_non_null(plinth_status_name((enum plinth_status)i));
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(plinth_status_name((enum plinth_status)i),
                                    plinth_status_name((enum plinth_status)j));
        }
    }
    assert_string_equal(plinth_status_name((enum plinth_status)999), "unknown_status");
}

static void parent_is(const char *path, const char *wanted) {
    char *parent = path_parent(path);
    assert_string_equal(parent, wanted);
    free(parent);
}

static void parents_of_paths(void **state) {
    (void)state;
    parent_is("/a/b", "/a");
    parent_is("/a/b/", "/a");
    parent_is("/a", "/");
    parent_is("/", "/");
    parent_is("a", ".");
    parent_is("a//b", "a");
    char *joined = path_join("/a", "b");
    assert_string_equal(joined, "/a/b");
    free(joined);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(varints_come_back_at_every_size),
        cmocka_unit_test(a_varint_of_more_than_64_bits_fails),
        cmocka_unit_test(a_failed_reader_stays_failed),
        cmocka_unit_test(buffers_grow_and_hold_what_was_appended),
        cmocka_unit_test(slices_order_as_bytes_then_by_length),
        cmocka_unit_test(stable_hash_is_xxh64),
        cmocka_unit_test(prefixes_and_long_texts_are_cut_not_overrun),
        cmocka_unit_test(every_status_has_its_own_name),
        cmocka_unit_test(parents_of_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
