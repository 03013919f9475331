/* Bytes as text and back. */
#include "cmd/byte_text.h"
#include "support/test_support.h"

static void check_text(bool (*append)(struct buffer *, struct slice), const char *bytes, size_t size,
                       const char *wanted) {
    struct buffer text = BUFFER_INIT;
    assert_true(append(&text, slice_of(bytes, size)));
    assert_true(buffer_append_u8(&text, 0));
    assert_string_equal((const char *)text.data, wanted);
    buffer_deinit(&text);
}

static void tables_show_every_byte_on_one_line(void **state) {
    (void)state;
    check_text(escaped_text_append, "plain", 5, "plain");
    check_text(escaped_text_append, "gr\xc3\xbc\xc3\x9f", 6, "gr\xc3\xbc\xc3\x9f");
    check_text(escaped_text_append, "a\nb\tc\rd\\e", 9, "a\\nb\\tc\\rd\\\\e");
    check_text(escaped_text_append, "\x00\x1b[31m\x7f", 7, "\\x00\\x1b[31m\\x7f");
    check_text(escaped_text_append, "\xff\xfe", 2, "\\xff\\xfe");
    check_text(escaped_text_append, "\xc3", 1, "\\xc3");
    check_text(escaped_text_append, "\xc2\x9b", 2, "\\xc2\\x9b");          /* a control character of ISO 6429 */
    check_text(escaped_text_append, "\xe2\x80\xae", 3, "\\xe2\\x80\\xae"); /* right-to-left override */
    check_text(escaped_text_append, "\xed\xa0\x80", 3, "\\xed\\xa0\\x80"); /* a surrogate */
    check_text(escaped_text_append, "\xc0\xaf", 2, "\\xc0\\xaf");          /* overlong */
}

static void json_strings_are_escaped(void **state) {
    (void)state;
    check_text(json_string_append, "say \"hi\"\\\n\x01", 11, "\"say \\\"hi\\\"\\\\\\n\\u0001\"");
    check_text(json_string_append, "\xf0\x9f\x98\x80", 4, "\"\xf0\x9f\x98\x80\"");
}

static void base64_has_the_padding_of_the_rfc(void **state) {
    (void)state;
    static const char *const samples[][2] = {{"", ""},
                                             {"f", "Zg=="},
                                             {"fo", "Zm8="},
                                             {"foo", "Zm9v"},
                                             {"foob", "Zm9vYg=="},
                                             {"fooba", "Zm9vYmE="},
                                             {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < 7; i++) check_text(base64_text_append, samples[i][0], strlen(samples[i][0]), samples[i][1]);
}

static void hex_and_base64_are_read_back(void **state) {
    (void)state;
    struct test_random random = test_random_of(3);
    for (size_t size = 0; size < 70; size++) {
        uint8_t bytes[70];
        struct buffer text = BUFFER_INIT, back = BUFFER_INIT;
        struct plinth_error error;
        test_random_bytes(&random, bytes, size);
        assert_true(hex_text_append(&text, slice_of(bytes, size)));
        assert_ok(bytes_from_hex(&back, buffer_slice(&text), &error), &error);
        assert_true(slice_equal(buffer_slice(&back), slice_of(bytes, size)));
        buffer_clear(&text);
        buffer_clear(&back);
        assert_true(base64_text_append(&text, slice_of(bytes, size)));
        assert_ok(bytes_from_base64(&back, buffer_slice(&text), &error), &error);
        assert_true(slice_equal(buffer_slice(&back), slice_of(bytes, size)));
        buffer_deinit(&text);
        buffer_deinit(&back);
    }
}

static void what_is_no_hex_or_base64_is_refused_and_changes_nothing(void **state) {
    (void)state;
    struct buffer back = BUFFER_INIT;
    struct plinth_error error;
    assert_true(buffer_append(&back, "kept", 4));
    static const char *const not_hex[] = {"0", "0g", "zz", "00 1"};
    static const char *const not_base64[] = {"Z", "Zg=", "Zm8==", "Zm9v=", "Z-_=", "Zg==Zg==", "===="};
    for (size_t i = 0; i < 4; i++)
        assert_status(bytes_from_hex(&back, slice_of_string(not_hex[i]), &error), PLINTH_INVALID_ARGUMENT, &error);
    for (size_t i = 0; i < 7; i++)
        assert_status(bytes_from_base64(&back, slice_of_string(not_base64[i]), &error), PLINTH_INVALID_ARGUMENT,
                      &error);
    assert_int_equal(back.size, 4);
    assert_memory_equal(back.data, "kept", 4);
    buffer_deinit(&back);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_show_every_byte_on_one_line),
        cmocka_unit_test(json_strings_are_escaped),
        cmocka_unit_test(base64_has_the_padding_of_the_rfc),
        cmocka_unit_test(hex_and_base64_are_read_back),
        cmocka_unit_test(what_is_no_hex_or_base64_is_refused_and_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
