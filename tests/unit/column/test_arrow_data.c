#include "column/arrow_data.h"

#include <stdlib.h>

#include "column_model.h"

enum { ROWS = 200 };

/* A batch with a column of each type; `first` > 0: a slice, so that offsets do not begin at 0. */
static struct batch *make_batch(struct test_random *random, uint32_t rows, unsigned null_in, uint32_t first) {
    struct column_builder builders[MODEL_TYPES];
    for (unsigned i = 0; i < MODEL_TYPES; i++)
        builders[i] = model_builder(random, model_type(i), rows + first, null_in);
    struct batch *whole = column_builders_finish(builders, MODEL_TYPES);
    assert_non_null(whole);
    for (unsigned i = 0; i < MODEL_TYPES; i++) column_builder_deinit(&builders[i]);
    struct batch *slice = batch_slice(whole, first, rows);
    assert_non_null(slice);
    batch_unref(whole);
    return slice;
}

static struct arrow_schema make_schema(struct arrow_field fields[MODEL_TYPES]) {
    for (unsigned i = 0; i < MODEL_TYPES; i++)
        fields[i] = (struct arrow_field){i % 2 ? "odd" : "e\xC3\xA4sy", model_type(i), i % 3 > 0};
    return (struct arrow_schema){fields, MODEL_TYPES};
}

static void schemas_survive_the_c_interface(void **state) {
    (void)state;
    struct arrow_field fields[MODEL_TYPES];
    struct arrow_schema schema = make_schema(fields), read;
    struct ArrowSchema exported;
    struct plinth_error error = {0};
    struct arena arena;
    arena_init(&arena);
    assert_ok(arrow_export_schema(&schema, &exported, &error), &error);
    assert_ok(arrow_import_schema(&exported, &arena, &read, &error), &error);
    exported.release(&exported);
    assert_null(exported.release);
    assert_int_equal(read.field_count, MODEL_TYPES);
    for (unsigned i = 0; i < MODEL_TYPES; i++) {
        assert_string_equal(read.fields[i].name, fields[i].name);
        assert_int_equal(read.fields[i].nullable, fields[i].nullable);
        assert_true(column_type_equal(read.fields[i].type, fields[i].type));
    }
    arena_deinit(&arena);
}

static void batches_survive_the_c_interface(void **state) {
    (void)state;
    struct test_random random = test_random_of(model_seed());
    struct arrow_field fields[MODEL_TYPES];
    struct arrow_schema schema = make_schema(fields);
    for (unsigned round = 0; round < 24; round++) {
        struct ArrowSchema exported_schema;
        struct ArrowArray array;
        struct batch *read;
        struct plinth_error error = {0};
        uint32_t rows = round % 8 == 7 ? 0 : ROWS;
        struct batch *batch = make_batch(&random, rows, round % 4, round % 8 == 7 ? 5 : round);
        assert_ok(arrow_export_schema(&schema, &exported_schema, &error), &error);
        assert_ok(arrow_export_batch(batch, &array, &error), &error);
        assert_ok(arrow_import_batch(&array, &exported_schema, &read, &error), &error);
        assert_null(array.release); /* moved */
        exported_schema.release(&exported_schema);
        struct batch *kept = batch_ref(batch);
        batch_unref(batch);
        assert_int_equal(read->rows, rows);
        for (unsigned i = 0; i < MODEL_TYPES; i++)
            model_assert_columns_equal(&read->columns[i], &kept->columns[i], rows);
        batch_unref(kept);
        batch_unref(read); /* the last holder of the first batch */
    }
}

/* The same rows seen through offsets of the arrays and of the struct around them. */
static void arrays_may_have_offsets(void **state) {
    (void)state;
    struct test_random random = test_random_of(model_seed() + 1);
    struct arrow_field fields[MODEL_TYPES];
    struct arrow_schema schema = make_schema(fields);
    for (unsigned round = 0; round < 40; round++) {
        struct ArrowSchema exported_schema;
        struct ArrowArray array;
        struct batch *read;
        struct plinth_error error = {0};
        struct batch *batch = make_batch(&random, ROWS, 4, 0);
        assert_ok(arrow_export_schema(&schema, &exported_schema, &error), &error);
        assert_ok(arrow_export_batch(batch, &array, &error), &error);
        uint32_t outer = (uint32_t)test_random_below(&random, 20), inner = (uint32_t)test_random_below(&random, 20);
        uint32_t rows = (uint32_t)test_random_below(&random, ROWS - 40);
        array.offset = outer;
        array.length = rows;
        for (unsigned i = 0; i < MODEL_TYPES; i++) {
            array.children[i]->offset = inner;
            array.children[i]->length = ROWS - inner;
            array.children[i]->null_count = -1;
        }
        assert_ok(arrow_import_batch(&array, &exported_schema, &read, &error), &error);
        assert_int_equal(read->rows, rows);
        for (unsigned i = 0; i < MODEL_TYPES; i++) {
            uint32_t nulls = 0;
            for (uint32_t row = 0; row < rows; row++) {
                model_assert_equal(&read->columns[i], row, &batch->columns[i], outer + inner + row);
                nulls += column_is_null(&read->columns[i], row);
            }
            assert_int_equal(read->columns[i].null_count, nulls);
        }
        exported_schema.release(&exported_schema);
        batch_unref(read);
        batch_unref(batch);
    }
}

/* ---- arrays made by hand ---- */

static int released;
static void release_array(struct ArrowArray *array) {
    array->release = NULL;
    released++;
}
static void release_schema(struct ArrowSchema *schema) { schema->release = NULL; }

/* One column as a batch. */
struct handmade {
    struct ArrowSchema schema, column_schema, *schema_children[1];
    struct ArrowArray array, column, *children[1];
    const void *no_buffers[1];
};

static void handmade_init(struct handmade *made, const char *format, int64_t rows, int64_t n_buffers,
                          const void **buffers) {
    *made = (struct handmade){0};
    made->column_schema = (struct ArrowSchema){.format = format, .name = "made", .release = release_schema};
    made->schema_children[0] = &made->column_schema;
    made->schema = (struct ArrowSchema){
        .format = "+s", .name = "", .n_children = 1, .children = made->schema_children, .release = release_schema};
    made->column = (struct ArrowArray){
        .length = rows, .null_count = -1, .n_buffers = n_buffers, .buffers = buffers, .release = release_array};
    made->children[0] = &made->column;
    made->array = (struct ArrowArray){.length = rows,
                                      .n_buffers = 1,
                                      .buffers = made->no_buffers,
                                      .n_children = 1,
                                      .children = made->children,
                                      .release = release_array};
}

/* Imports and compares with values given as text, null for null. */
static void check_values(struct handmade *made, const char *type, const char *const *wanted) {
    struct column_type parsed;
    struct plinth_error error = {0};
    struct batch *batch;
    released = 0;
    assert_ok(column_type_parse(slice_of_string(type), &parsed, &error), &error);
    assert_ok(arrow_import_batch(&made->array, &made->schema, &batch, &error), &error);
    assert_true(column_type_equal(batch->columns[0].type, parsed));
    struct column_builder builder;
    assert_true(column_builder_init(&builder, parsed));
    for (uint32_t i = 0; i < batch->rows; i++) {
        if (!wanted[i])
            assert_true(column_builder_null(&builder));
        else
            assert_ok(column_builder_text(&builder, slice_of_string(wanted[i]), &error), &error);
    }
    struct column column = column_builder_view(&builder);
    model_assert_columns_equal(&batch->columns[0], &column, batch->rows);
    column_builder_deinit(&builder);
    assert_int_equal(released, 0);
    batch_unref(batch);
    assert_int_equal(released, 1);
}

static void check_fails(struct handmade *made, enum plinth_status status, const char *why) {
    struct plinth_error error = {0};
    struct batch *batch;
    assert_status(arrow_import_batch(&made->array, &made->schema, &batch, &error), status, &error);
    assert_error_names(&error, why);
    assert_null(batch);
    assert_ptr_equal(made->array.release, release_array); /* still the caller's */
}

static void foreign_layouts_become_ours(void **state) {
    (void)state;
    struct handmade made;
    const uint8_t second_null = 0x05;
    const int64_t wide[] = {7, 8, 8, 10};
    const char text[] = "-------abc";
    handmade_init(&made, "U", 3, 3, (const void *[]){&second_null, wide, text});
    check_values(&made, "string", (const char *[]){"a", NULL, "bc"});
    handmade_init(&made, "Z", 2, 3, (const void *[]){NULL, wide, text});
    check_values(&made, "bytes", (const char *[]){"a", ""});
    handmade_init(&made, "w:3", 3, 2, (const void *[]){NULL, "abcdefghi"});
    check_values(&made, "bytes", (const char *[]){"abc", "def", "ghi"});
    handmade_init(&made, "w:16", 1, 2, (const void *[]){NULL, "0123456789abcdef"});
    check_values(&made, "bytes", (const char *[]){"0123456789abcdef"});
    const int64_t millis[] = {1000, -1};
    handmade_init(&made, "tdm", 2, 2, (const void *[]){NULL, millis});
    check_values(&made, "timestamp(ms)", (const char *[]){"1970-01-01T00:00:01", "1969-12-31T23:59:59.999"});
    handmade_init(&made, "tsm:Europe/Berlin", 2, 2, (const void *[]){NULL, millis});
    check_values(&made, "timestamp(ms, utc)", (const char *[]){"1970-01-01T00:00:01", "1969-12-31T23:59:59.999"});
    handmade_init(&made, "tDs", 2, 2, (const void *[]){NULL, millis});
    check_values(&made, "int64", (const char *[]){"1000", "-1"});
    handmade_init(&made, "n", 2, 0, NULL);
    check_values(&made, "string", (const char *[]){NULL, NULL});
    uint8_t shifted[25];
    memcpy(shifted + 1, millis, sizeof millis);
    handmade_init(&made, "l", 2, 2, (const void *[]){NULL, shifted + 1});
    check_values(&made, "int64", (const char *[]){"1000", "-1"});
    handmade_init(&made, "u", 0, 3, (const void *[]){NULL, NULL, NULL});
    check_values(&made, "string", NULL);
    const uint32_t empties[] = {0, 0};
    handmade_init(&made, "u", 1, 3, (const void *[]){NULL, empties, NULL});
    check_values(&made, "string", (const char *[]){""});
}

static void foreign_lists_become_ours(void **state) {
    (void)state;
    struct handmade made;
    const int16_t elements[] = {1, 2, 3, 4, 5, 6};
    const int64_t wide[] = {2, 3, 6};
    struct ArrowSchema child_schema = {.format = "s", .name = "item", .release = release_schema};
    struct ArrowSchema *schema_children[] = {&child_schema};
    struct ArrowArray child = {.length = 6, .n_buffers = 2, .buffers = (const void *[]){NULL, elements}};
    struct ArrowArray *children[] = {&child};
    const void *wide_buffers[] = {NULL, wide}, *no_buffers[] = {NULL};
    handmade_init(&made, "+L", 2, 2, wide_buffers);
    made.column_schema.n_children = made.column.n_children = 1;
    made.column_schema.children = schema_children;
    made.column.children = children;
    struct handmade fixed = made, shorter = made;
    check_values(&made, "list<int16>", (const char *[]){"{3}", "{4,5,6}"});
    shorter.children[0] = &shorter.column;
    shorter.schema_children[0] = &shorter.column_schema;
    shorter.array.children = shorter.children;
    shorter.schema.children = shorter.schema_children;
    child.length = 5;
    check_fails(&shorter, PLINTH_INVALID_ARGUMENT, "up to element 6 of 5");
    child.length = 6;
    handmade_init(&fixed, "+w:2", 2, 1, no_buffers);
    fixed.column_schema.n_children = fixed.column.n_children = 1;
    fixed.column_schema.children = schema_children;
    fixed.column.children = children;
    fixed.column.offset = 1;
    check_values(&fixed, "list<int16>", (const char *[]){"{3,4}", "{5,6}"});
}

static void dictionaries_are_decoded(void **state) {
    (void)state;
    struct handmade made;
    const uint32_t offsets[] = {0, 1, 3, 3};
    const uint8_t third_null = 0x0B, value_null = 0x03;
    struct ArrowSchema dictionary_schema = {.format = "u", .name = "", .release = release_schema};
    struct ArrowArray dictionary = {
        .length = 3, .null_count = -1, .n_buffers = 3, .buffers = (const void *[]){&value_null, offsets, "abb"}};
    int8_t indexes[] = {1, 0, 99, 2};
    handmade_init(&made, "c", 4, 2, (const void *[]){&third_null, indexes});
    made.column_schema.dictionary = &dictionary_schema;
    made.column.dictionary = &dictionary;
    check_values(&made, "string", (const char *[]){"bb", "a", NULL, NULL});
    handmade_init(&made, "c", 4, 2, (const void *[]){NULL, indexes});
    made.column_schema.dictionary = &dictionary_schema;
    made.column.dictionary = &dictionary;
    check_fails(&made, PLINTH_INVALID_ARGUMENT, "column 'made': row 2: index 99 into a dictionary of 3 values");
    indexes[2] = -1;
    check_fails(&made, PLINTH_INVALID_ARGUMENT, "index -1");
    made.column.dictionary = NULL;
    check_fails(&made, PLINTH_INVALID_ARGUMENT, "without its dictionary");
}

static void what_is_wrong_is_named_and_left_alone(void **state) {
    (void)state;
    struct handmade made;
    const uint32_t falling[] = {0, 2, 1}, rising[] = {0, 1, 2};
    handmade_init(&made, "u", 2, 3, (const void *[]){NULL, falling, "ab"});
    check_fails(&made, PLINTH_INVALID_ARGUMENT, "column 'made': row 1: offset 2");
    handmade_init(&made, "u", 2, 3, (const void *[]){NULL, rising, "a\xFF"});
    check_fails(&made, PLINTH_INVALID_ARGUMENT, "not UTF-8");
    handmade_init(&made, "u", 2, 3, (const void *[]){NULL, rising, NULL});
    check_fails(&made, PLINTH_INVALID_ARGUMENT, "data buffer");
    handmade_init(&made, "u", 2, 3, (const void *[]){NULL, NULL, "ab"});
    check_fails(&made, PLINTH_INVALID_ARGUMENT, "buffer 1");
    handmade_init(&made, "i", 2, 1, (const void *[]){NULL});
    check_fails(&made, PLINTH_INVALID_ARGUMENT, "1 buffers");
    handmade_init(&made, "i", 2, 2, (const void *[]){NULL, rising});
    made.column.length = 1;
    check_fails(&made, PLINTH_INVALID_ARGUMENT, "length 1");
    made.column.length = -1;
    check_fails(&made, PLINTH_INVALID_ARGUMENT, "length -1");
    made.column.length = 2;
    made.array.length = INT64_MAX;
    check_fails(&made, PLINTH_TOO_LARGE, "rows");
    made.array.length = 2;
    const uint8_t first_null = 2;
    made.no_buffers[0] = &first_null;
    made.array.null_count = -1;
    check_fails(&made, PLINTH_INVALID_ARGUMENT, "null as a whole");
    made.array.null_count = 0;
    made.array.n_children = 0;
    check_fails(&made, PLINTH_INVALID_ARGUMENT, "0 columns");
    handmade_init(&made, "i", 2, 2, (const void *[]){NULL, rising});
    made.array.release = NULL;
    struct batch *batch;
    struct plinth_error error = {0};
    assert_status(arrow_import_batch(&made.array, &made.schema, &batch, &error), PLINTH_INVALID_ARGUMENT, &error);
    assert_error_names(&error, "released already");
}

static void formats_that_are_not_ours_are_named(void **state) {
    (void)state;
    static const char *const formats[] = {"e",     "vu",        "vz",     "+s", "+m",   "+ud:0,1", "tiM",  "d:39,2",
                                          "d:5,6", "d:5,2,256", "d:5,-1", "w:", "w:-1", "+w:x",    "tsx:", "ts"};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        struct handmade made;
        struct arrow_schema schema;
        struct plinth_error error = {0};
        struct arena arena;
        arena_init(&arena);
        handmade_init(&made, formats[i], 0, 0, NULL);
        assert_status(arrow_import_schema(&made.schema, &arena, &schema, &error), PLINTH_UNSUPPORTED, &error);
        assert_error_names(&error, formats[i]);
        assert_error_names(&error, "column 'made'");
        check_fails(&made, PLINTH_UNSUPPORTED, formats[i]);
        arena_deinit(&arena);
    }
}

/* A consumer may move a column out and keep it longer than the batch. */
static void moved_children_keep_the_batch(void **state) {
    (void)state;
    struct test_random random = test_random_of(model_seed() + 2);
    struct plinth_error error = {0};
    struct batch *batch = make_batch(&random, ROWS, 0, 0);
    struct ArrowArray array;
    assert_ok(arrow_export_batch(batch, &array, &error), &error);
    struct ArrowArray moved = *array.children[4];
    array.children[4]->release = NULL;
    array.release(&array);
    int64_t sum = 0, wanted = 0;
    for (int i = 0; i < ROWS; i++) wanted ^= ((const int64_t *)batch->columns[4].values)[i];
    batch_unref(batch);
    for (int i = 0; i < ROWS; i++) sum ^= ((const int64_t *)moved.buffers[1])[i];
    assert_true(sum == wanted);
    moved.release(&moved);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schemas_survive_the_c_interface),
        cmocka_unit_test(batches_survive_the_c_interface),
        cmocka_unit_test(arrays_may_have_offsets),
        cmocka_unit_test(foreign_layouts_become_ours),
        cmocka_unit_test(foreign_lists_become_ours),
        cmocka_unit_test(dictionaries_are_decoded),
        cmocka_unit_test(what_is_wrong_is_named_and_left_alone),
        cmocka_unit_test(formats_that_are_not_ours_are_named),
        cmocka_unit_test(moved_children_keep_the_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
