/* UTF-8 with vector instructions against the scalar code, at the end of a page. The scalar code's own cases are in
 * test_batch.c. */
#include "column/utf8.h"
#include "support/guard_page.h"
#include "support/test_support.h"

enum { TEXT_MAX = 400 };

static struct guard_page guard;

static void check(const uint8_t *text, size_t size) {
    struct slice copy = slice_of(guard_page_copy(&guard, text, size), size);
    size_t wanted = utf8_find_invalid_scalar(copy), got = utf8_find_invalid(copy);
    if (got != wanted) print_error("%zu bytes: %zu, not %zu\n", size, got, wanted);
    assert_true(got == wanted);
}

/* Appends one character of 1 to 4 bytes; most are of as many bytes as `mostly`. */
static size_t append_character(struct test_random *random, uint8_t *at, unsigned mostly) {
    unsigned size = test_random_below(random, 4) ? mostly : 1 + (unsigned)test_random_below(random, 4);
    uint32_t point;
    switch (size) {
    case 1: at[0] = (uint8_t)test_random_below(random, 0x80); return 1;
    case 2:
        point = 0x80 + (uint32_t)test_random_below(random, 0x800 - 0x80);
        at[0] = (uint8_t)(0xC0 | point >> 6);
        break;
    case 3:
        point = 0x800 + (uint32_t)test_random_below(random, 0x10000 - 0x800);
        if (point >= 0xD800 && point < 0xE000) point -= 0x800;
        at[0] = (uint8_t)(0xE0 | point >> 12);
        break;
    default:
        point = 0x10000 + (uint32_t)test_random_below(random, 0x100000);
        at[0] = (uint8_t)(0xF0 | point >> 18);
        break;
    }
    for (unsigned i = 1; i < size; i++) at[i] = (uint8_t)(0x80 | (point >> 6 * (size - 1 - i) & 0x3f));
    return size;
}

static void valid_and_damaged_texts_are_told_apart_as_by_the_scalar_code(void **state) {
    struct test_random random = test_random_of(1);
    uint8_t text[TEXT_MAX + 8];
    (void)state;
    for (int round = 0; round < 40000; round++) {
        size_t wanted = (size_t)test_random_below(&random, TEXT_MAX), size = 0;
        unsigned mostly = 1 + (unsigned)test_random_below(&random, 4);
        while (size < wanted) size += append_character(&random, text + size, mostly);
        struct slice whole = slice_of(guard_page_copy(&guard, text, size), size);
        assert_true(utf8_find_invalid(whole) == SIZE_MAX);
        check(text, (size_t)test_random_below(&random, size + 1)); /* cut anywhere */
        for (int damage = 0; damage < 3 && size > 0; damage++) {
            text[test_random_below(&random, size)] = (uint8_t)test_random_u64(&random);
            check(text, size);
        }
    }
}

/* At every place against the ends of vectors, alone between ASCII and behind another character. */
static void every_three_bytes_are_told_apart_as_by_the_scalar_code(void **state) {
    uint8_t text[96];
    (void)state;
    for (unsigned first = 0x7f; first < 0x100; first++) {
        for (unsigned second = 0x7f; second < 0x100; second++) {
            for (unsigned third = 0x7f; third < 0x100; third += third % 0x10 == 0xf ? 1 : 0xf) {
                size_t at = 28 + (first + second) % 8;
                memset(text, 'x', sizeof text);
                memcpy(text + at - 2, "\xC3\xA9", 2);
                text[at] = (uint8_t)first;
                text[at + 1] = (uint8_t)second;
                text[at + 2] = (uint8_t)third;
                check(text, sizeof text);
                text[at + 3] = 0x80;
                check(text, sizeof text);
                check(text, at + 3);
            }
        }
    }
}

static void any_bytes_are_told_apart_as_by_the_scalar_code(void **state) {
    struct test_random random = test_random_of(2);
    uint8_t text[TEXT_MAX];
    (void)state;
    for (int round = 0; round < 20000; round++) {
        size_t size = (size_t)test_random_below(&random, TEXT_MAX);
        test_random_bytes(&random, text, size);
        if (round % 2) /* few bytes that are not ASCII */
            for (size_t i = 0; i < size; i++) text[i] &= test_random_below(&random, 60) ? 0x7f : 0xff;
        check(text, size);
    }
}

static int set_up(void **state) {
    (void)state;
    guard_page_init(&guard, TEXT_MAX + 8);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    guard_page_deinit(&guard);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_and_damaged_texts_are_told_apart_as_by_the_scalar_code),
        cmocka_unit_test(every_three_bytes_are_told_apart_as_by_the_scalar_code),
        cmocka_unit_test(any_bytes_are_told_apart_as_by_the_scalar_code),
    };
    return cmocka_run_group_tests_name("utf8", tests, set_up, tear_down);
}
