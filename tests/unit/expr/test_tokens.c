#include "support/test_support.h"

#include "expr/tokens.h"

static void assert_words(const char *text, size_t size, const char *const *wanted) {
    struct token_reader reader = {slice_of(text, size), 0};
    uint8_t word[TOKEN_BYTES_MAX];
    size_t length;
    for (; *wanted; wanted++) {
        assert_true(token_next(&reader, word, &length));
        assert_int_equal(length, strlen(*wanted));
        assert_memory_equal(word, *wanted, length);
    }
    assert_false(token_next(&reader, word, &length));
    assert_false(token_next(&reader, word, &length));
}

static void words_are_runs_of_letters_and_digits_lowered(void **state) {
    (void)state;
    const char text[] = "  The quick-brown FOX2, it's  42!";
    assert_words(text, strlen(text), (const char *[]){"the", "quick", "brown", "fox2", "it", "s", "42", NULL});
    assert_words("", 0, (const char *[]){NULL});
    assert_words(" .,;", 4, (const char *[]){NULL});
    assert_words("a\0b", 3, (const char *[]){"a", "b", NULL});
}

static void bytes_above_ascii_belong_to_words_and_keep_their_case(void **state) {
    (void)state;
    const char text[] = "Élan vital \xc3\x84rger";
    assert_words(text, strlen(text), (const char *[]){"\xc3\x89lan", "vital", "\xc3\x84rger", NULL});
}

static void a_long_word_is_cut_and_its_rest_is_no_word(void **state) {
    (void)state;
    char text[200], cut[TOKEN_BYTES_MAX + 1];
    memset(text, 'x', sizeof text);
    text[150] = ' ';
    memset(cut, 'x', TOKEN_BYTES_MAX);
    cut[TOKEN_BYTES_MAX] = 0;
    const char *rest = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"; /* 49 behind the space */
    assert_words(text, sizeof text, (const char *[]){cut, rest, NULL});
}

static void a_text_contains_words_in_any_order_and_case(void **state) {
    (void)state;
    struct slice text = slice_of_string("Late departure: crew, weather");
    assert_true(tokens_contain(text, slice_of_string("WEATHER late")));
    assert_true(tokens_contain(text, slice_of_string("")));
    assert_true(tokens_contain(text, slice_of_string(" --- ")));
    assert_false(tokens_contain(text, slice_of_string("weather early")));
    assert_false(tokens_contain(text, slice_of_string("wea")));
    assert_false(tokens_contain(slice_of_string(""), slice_of_string("a")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_runs_of_letters_and_digits_lowered),
        cmocka_unit_test(bytes_above_ascii_belong_to_words_and_keep_their_case),
        cmocka_unit_test(a_long_word_is_cut_and_its_rest_is_no_word),
        cmocka_unit_test(a_text_contains_words_in_any_order_and_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
