/* Postings: lists of rows by term, in both versions of the format. */
#include <roaring/roaring.h>
#include <stdlib.h>

#include "column/column_builder.h"
#include "support/test_support.h"
#include "table/postings.h"

enum { ROWS = 20000, TERMS = 400 };

/* values[i] of row i, or -1 for null: some terms in long runs, some everywhere, some once. */
static void fill(struct test_random *random, int32_t values[ROWS]) {
    for (int32_t row = 0; row < ROWS;) {
        uint64_t kind = test_random_below(random, 3);
        int32_t count = kind == 0 ? 1 + (int32_t)test_random_below(random, 900) : 1;
        int32_t value = kind == 1 ? (int32_t)test_random_below(random, 5) : (int32_t)test_random_below(random, TERMS);
        if (test_random_below(random, 20) == 0) value = -1;
        while (count-- && row < ROWS) values[row++] = value;
    }
}

static struct postings_builder *build(const int32_t values[ROWS]) {
    struct postings_builder *builder = postings_builder_create(INDEX_BITMAP);
    struct column_builder rows;
    assert_non_null(builder);
    assert_true(column_builder_init(&rows, column_type_of(COLUMN_INT32)));
    for (uint32_t row = 0; row < ROWS; row++)
        assert_true(values[row] < 0 ? column_builder_null(&rows) : column_builder_integer(&rows, values[row]));
    struct column column = column_builder_view(&rows);
    assert_true(postings_builder_add(builder, &column, ROWS, 0));
    column_builder_deinit(&rows);
    return builder;
}

static void append_term(struct buffer *into, int32_t value) {
    struct column one = {.type = column_type_of(COLUMN_INT32), .values = &value};
    assert_true(postings_append_term(into, &one, 0));
}

/* Version 1, as former versions wrote it. */
static void write_bitmaps(const int32_t values[ROWS], struct buffer *into) {
    struct buffer ends = BUFFER_INIT, starts = BUFFER_INIT, terms = BUFFER_INIT, bitmaps = BUFFER_INIT;
    uint32_t count = 0;
    for (int32_t value = 0; value < TERMS; value++) {
        roaring_bitmap_t *rows = roaring_bitmap_create();
        for (uint32_t row = 0; row < ROWS; row++)
            if (values[row] == value) roaring_bitmap_add(rows, row);
        if (!roaring_bitmap_is_empty(rows)) {
            roaring_bitmap_run_optimize(rows);
            assert_true(buffer_append_u32(&ends, (uint32_t)terms.size) && buffer_append_u64(&starts, bitmaps.size));
            append_term(&terms, value);
            assert_true(buffer_reserve(&bitmaps, roaring_bitmap_portable_size_in_bytes(rows)));
            bitmaps.size += roaring_bitmap_portable_serialize(rows, (char *)bitmaps.data + bitmaps.size);
            count++;
        }
        roaring_bitmap_free(rows);
    }
    assert_true(buffer_append_u32(&ends, (uint32_t)terms.size) && buffer_append_u64(&starts, bitmaps.size));
    assert_true(buffer_append_u32(into, 1) && buffer_append_u32(into, count));
    struct buffer *parts[] = {&ends, &starts, &terms, &bitmaps};
    for (int i = 0; i < 4; i++) {
        assert_true(buffer_append(into, parts[i]->data, parts[i]->size));
        buffer_deinit(parts[i]);
    }
}

static void check_view(const struct postings_view *view, const int32_t values[ROWS]) {
    for (int32_t value = 0; value < TERMS + 2; value++) {
        struct buffer term = BUFFER_INIT;
        struct plinth_error error;
        roaring_bitmap_t *found, *wanted = roaring_bitmap_create();
        for (uint32_t row = 0; row < ROWS; row++)
            if (values[row] == value) roaring_bitmap_add(wanted, row);
        append_term(&term, value);
        assert_ok(postings_view_find(view, buffer_slice(&term), ROWS, &found, &error), &error);
        assert_true(roaring_bitmap_equals(found, wanted));
        roaring_bitmap_free(found);
        if (!roaring_bitmap_is_empty(wanted)) { /* rows that the file does not have */
            uint32_t last = roaring_bitmap_maximum(wanted);
            assert_status(postings_view_find(view, buffer_slice(&term), last, &found, &error), PLINTH_CORRUPT, &error);
        }
        roaring_bitmap_free(wanted);
        buffer_deinit(&term);
    }
}

static void every_list_is_read_as_it_was_written(void **state) {
    (void)state;
    static int32_t values[ROWS];
    static const int levels[] = {0, 1, 6, 16};
    for (uint64_t seed = 0; seed < 4; seed++) {
        struct test_random random = test_random_of(seed);
        struct plinth_error error;
        struct postings_view *view;
        struct buffer bytes = BUFFER_INIT;
        fill(&random, values);
        struct postings_builder *builder = build(values);
        assert_true(postings_builder_finish(builder, levels[seed], &bytes));
        assert_ok(postings_view_create(buffer_slice(&bytes), &bytes, &view, &error), &error);
        check_view(view, values);
        postings_view_destroy(view);
        postings_builder_destroy(builder);
    }
}

static void bitmaps_of_former_versions_are_read(void **state) {
    (void)state;
    static int32_t values[ROWS];
    struct test_random random = test_random_of(7);
    struct plinth_error error;
    struct postings_view *view;
    struct buffer bytes = BUFFER_INIT;
    fill(&random, values);
    write_bitmaps(values, &bytes);
    assert_ok(postings_view_create(buffer_slice(&bytes), &bytes, &view, &error), &error);
    check_view(view, values);
    postings_view_destroy(view);
}

static void damage_never_crashes(void **state) {
    (void)state;
    static int32_t values[ROWS];
    struct test_random random = test_random_of(8);
    struct buffer whole = BUFFER_INIT;
    fill(&random, values);
    struct postings_builder *builder = build(values);
    assert_true(postings_builder_finish(builder, 1, &whole));
    for (int round = 0; round < 3000; round++) {
        struct plinth_error error;
        struct postings_view *view;
        struct buffer none = BUFFER_INIT;
        uint8_t *bytes = malloc(whole.size); /* of its own, so that every read past the end is seen */
        size_t size = round % 3 ? whole.size : test_random_below(&random, whole.size);
        assert_non_null(bytes);
        memcpy(bytes, whole.data, whole.size);
        if (round % 3) {
            size_t at = round % 3 == 1 ? test_random_below(&random, 64) : test_random_below(&random, size);
            bytes[at] ^= (uint8_t)(1 + test_random_below(&random, 255));
        }
        uint8_t *cut = realloc(bytes, size + 1);
        if (!postings_view_create(slice_of(cut, size), &none, &view, &error)) {
            for (uint32_t i = 0; i < view->terms; i++) {
                roaring_bitmap_t *rows;
                if (!postings_view_rows(view, i, ROWS, &rows, &error)) roaring_bitmap_free(rows);
            }
            postings_view_destroy(view);
        }
        free(cut);
    }
    postings_builder_destroy(builder);
    buffer_deinit(&whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_list_is_read_as_it_was_written),
        cmocka_unit_test(bitmaps_of_former_versions_are_read),
        cmocka_unit_test(damage_never_crashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
