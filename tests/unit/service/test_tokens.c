/* Positions and page tokens: what was written is read back, and nothing else is taken. */
#include "service/page_token.h"
#include "service/position.h"
#include "support/test_support.h"

static const struct plinth_position samples[] = {
    {1, 1}, {1, 127}, {1, 128}, {3, 1u << 21}, {UINT64_MAX, UINT64_MAX}, {0, 5}, {7, 0},
};

static void a_position_is_read_back(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        uint8_t token[POSITION_TOKEN_BYTES_MAX];
        size_t size = position_encode(samples[i], token);
        struct plinth_position read;
        struct plinth_error error;
        assert_true(size <= sizeof token);
        assert_ok(position_decode(slice_of(token, size), "at", &read, &error), &error);
        assert_int_equal(read.epoch, samples[i].epoch);
        assert_int_equal(read.lsn, samples[i].lsn);
    }
}

static void an_empty_token_means_none(void **state) {
    (void)state;
    struct plinth_position read = {9, 9};
    struct plinth_error error;
    assert_ok(position_decode(slice_of(NULL, 0), "at", &read, &error), &error);
    assert_false(position_given(read));
}

static void every_changed_byte_of_a_position_is_refused(void **state) {
    (void)state;
    uint8_t token[POSITION_TOKEN_BYTES_MAX];
    struct plinth_position read;
    struct plinth_error error;
    size_t size = position_encode((struct plinth_position){300, 70000}, token);
    for (size_t i = 0; i < size; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            token[i] ^= (uint8_t)(1u << bit);
            assert_status(position_decode(slice_of(token, size), "read.snapshot", &read, &error),
                          PLINTH_INVALID_ARGUMENT, &error);
            assert_error_names(&error, "read.snapshot");
            assert_false(position_given(read));
            token[i] ^= (uint8_t)(1u << bit);
        }
    }
    for (size_t cut = 1; cut < size; cut++)
        assert_status(position_decode(slice_of(token, cut), "at", &read, &error), PLINTH_INVALID_ARGUMENT, &error);
}

static void bytes_behind_a_position_are_refused(void **state) {
    (void)state;
    uint8_t token[POSITION_TOKEN_BYTES_MAX + 1] = {0};
    struct plinth_position read;
    struct plinth_error error;
    size_t size = position_encode(samples[2], token);
    assert_status(position_decode(slice_of(token, size + 1), "at", &read, &error), PLINTH_INVALID_ARGUMENT, &error);
}

/* ---- page tokens ---- */

static const struct plinth_space space = {0, 1, 2};

static struct plinth_index_scan_options index_options(void) {
    return (struct plinth_index_scan_options){.index = plinth_text("rhyme"), .value = plinth_text("AE T")};
}

static void a_page_token_is_read_back_by_the_same_request_only(void **state) {
    (void)state;
    struct plinth_index_scan_options options = index_options();
    struct plinth_position none = {0};
    uint64_t hash = page_request_hash(space, &options, none);
    struct buffer token = BUFFER_INIT;
    struct page_token read;
    struct plinth_error error;
    assert_true(page_token_append(&token, hash, (struct page_token){slice_of_string("AE T"), slice_of_string("cat")}));
    assert_ok(page_token_parse(buffer_slice(&token), hash, &read, &error), &error);
    assert_true(slice_equal(read.key, slice_of_string("cat")));
    assert_true(slice_equal(read.index_value, slice_of_string("AE T")));

    struct plinth_index_scan_options other = options;
    other.reverse = true;
    uint64_t others[] = {
        page_request_hash(space, &other, none),
        page_request_hash((struct plinth_space){0, 1, 3}, &options, none),
        page_request_hash(space, &options, (struct plinth_position){1, 4}),
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_status(page_token_parse(buffer_slice(&token), others[i], &read, &error), PLINTH_INVALID_ARGUMENT,
                      &error);
        assert_error_names(&error, "another request");
    }
    buffer_deinit(&token);
}

static void every_field_of_a_request_changes_its_hash(void **state) {
    (void)state;
    struct plinth_index_scan_options options = index_options(), variants[7];
    struct plinth_position none = {0};
    for (size_t i = 0; i < 7; i++) variants[i] = options;
    variants[0].index = plinth_text("rhymes");
    variants[1].match = PLINTH_INDEX_PREFIX;
    variants[2].value = plinth_text("AE");
    variants[3].lower = plinth_text("a");
    variants[4].upper = plinth_text("a");
    variants[5].with_values = true;
    variants[6].index = plinth_text("rhymeA"); /* bytes moved from one field to the next */
    variants[6].value = plinth_text("E T");
    uint64_t hash = page_request_hash(space, &options, none);
    for (size_t i = 0; i < 7; i++) assert_int_not_equal(page_request_hash(space, &variants[i], none), hash);
}

static void a_damaged_page_token_is_refused(void **state) {
    (void)state;
    struct buffer token = BUFFER_INIT;
    struct page_token read;
    struct plinth_error error;
    assert_true(page_token_append(&token, 42, (struct page_token){slice_of_string(""), slice_of_string("k")}));
    assert_ok(page_token_parse(buffer_slice(&token), 42, &read, &error), &error);
    for (size_t i = 0; i < token.size; i++) {
        token.data[i] ^= 0x10;
        assert_status(page_token_parse(buffer_slice(&token), 42, &read, &error), PLINTH_INVALID_ARGUMENT, &error);
        token.data[i] ^= 0x10;
    }
    for (size_t cut = 0; cut < token.size; cut++)
        assert_status(page_token_parse(slice_of(token.data, cut), 42, &read, &error), PLINTH_INVALID_ARGUMENT, &error);
    buffer_deinit(&token);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_position_is_read_back),
        cmocka_unit_test(an_empty_token_means_none),
        cmocka_unit_test(every_changed_byte_of_a_position_is_refused),
        cmocka_unit_test(bytes_behind_a_position_are_refused),
        cmocka_unit_test(a_page_token_is_read_back_by_the_same_request_only),
        cmocka_unit_test(every_field_of_a_request_changes_its_hash),
        cmocka_unit_test(a_damaged_page_token_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
