/* Arrow IPC by Plinth alone: what is written is read; what is cut, flipped or shared is a status. (Other writers:
 * tests/integration/test_arrow_ipc.py.) */
#include <stdio.h>
#include <stdlib.h>

#include "column/arrow_ipc.h"
#include "column/flatbuffer.h"
#include "column_model.h"

/* A batch of one column of every type, its schema, and what it became. */
struct sample {
    struct arrow_schema schema;
    struct arrow_field fields[MODEL_TYPES];
    char names[MODEL_TYPES][16];
    struct batch *batch;
    uint32_t batches_seen;
};

static void sample_init(struct sample *sample, uint64_t seed, uint32_t rows, unsigned null_in) {
    struct test_random random = test_random_of(seed);
    struct column_builder builders[MODEL_TYPES];
    *sample = (struct sample){.schema = {sample->fields, MODEL_TYPES}};
    for (unsigned i = 0; i < MODEL_TYPES; i++) {
        snprintf(sample->names[i], sizeof sample->names[i], "column %u", i);
        sample->fields[i] = (struct arrow_field){sample->names[i], model_type(i), i % 3 != 0};
        builders[i] = model_builder(&random, model_type(i), rows, null_in);
    }
    sample->batch = column_builders_finish(builders, MODEL_TYPES);
    assert_non_null(sample->batch);
    for (unsigned i = 0; i < MODEL_TYPES; i++) column_builder_deinit(&builders[i]);
}

static void assert_sample(const struct sample *sample, const struct arrow_schema *schema, const struct batch *batch) {
    assert_int_equal(schema->field_count, MODEL_TYPES);
    assert_int_equal(batch->rows, sample->batch->rows);
    assert_int_equal(batch->column_count, MODEL_TYPES);
    for (unsigned i = 0; i < MODEL_TYPES; i++) {
        assert_string_equal(schema->fields[i].name, sample->fields[i].name);
        assert_int_equal(schema->fields[i].nullable, sample->fields[i].nullable);
        assert_true(column_type_equal(schema->fields[i].type, sample->fields[i].type));
        model_assert_columns_equal(&batch->columns[i], &sample->batch->columns[i], batch->rows);
    }
}

static enum plinth_status see(void *context, const struct arrow_schema *schema, struct batch *batch,
                              struct plinth_error *error) {
    struct sample *sample = context;
    (void)error;
    assert_sample(sample, schema, batch);
    sample->batches_seen++;
    return PLINTH_OK;
}

static void write_stream(const struct sample *sample, enum arrow_compression compression, struct buffer *into) {
    struct plinth_error error;
    assert_ok(arrow_write_schema(into, &sample->schema, &error), &error);
    assert_ok(arrow_write_batch(into, sample->batch, compression, &error), &error);
    assert_int_equal(into->size % 8, 0);
    assert_ok(arrow_write_batch(into, sample->batch, compression, &error), &error);
    assert_true(arrow_write_end(into));
}

/* Appended in pieces, as to a file that is written as it grows. */
static void write_file(const struct sample *sample, enum arrow_compression compression, struct buffer *into) {
    struct arrow_file_writer *writer;
    struct plinth_error error;
    struct buffer piece = BUFFER_INIT;
    assert_ok(arrow_file_begin(&piece, &sample->schema, &writer, &error), &error);
    for (int i = 0; i < 2; i++) {
        assert_true(buffer_append(into, piece.data, piece.size));
        buffer_clear(&piece);
        assert_ok(arrow_file_write(writer, &piece, sample->batch, compression, &error), &error);
    }
    assert_ok(arrow_file_end(writer, &piece, &error), &error);
    assert_true(buffer_append(into, piece.data, piece.size));
    buffer_deinit(&piece);
}

static void every_type_comes_back_in_every_form(void **state) {
    static const uint32_t row_counts[] = {0, 1, 8, 333};
    uint64_t seed = model_seed();
    (void)state;
    for (unsigned i = 0; i < 4 * 3 * 3 * 2; i++) {
        struct sample sample;
        struct buffer bytes = BUFFER_INIT;
        struct plinth_error error;
        unsigned null_in[] = {0, 3, 1};
        sample_init(&sample, seed + i, row_counts[i % 4], null_in[i / 4 % 3]);
        enum arrow_compression compression = i / 12 % 3;
        if (i < 36)
            write_stream(&sample, compression, &bytes);
        else
            write_file(&sample, compression, &bytes);
        assert_ok(arrow_read_all(buffer_slice(&bytes), NULL, see, &sample, &error), &error);
        assert_int_equal(sample.batches_seen, 2);
        batch_unref(sample.batch);
        buffer_deinit(&bytes);
    }
}

static void a_message_that_is_cut_waits_for_the_rest(void **state) {
    struct sample sample;
    struct buffer bytes = BUFFER_INIT;
    struct plinth_error error;
    struct arrow_reader *reader;
    size_t start = 0, used = 0;
    bool end = false;
    (void)state;
    sample_init(&sample, 1, 3, 3);
    write_stream(&sample, ARROW_ZSTD, &bytes);
    assert_ok(arrow_reader_create(NULL, &reader, &error), &error);
    assert_null(arrow_reader_schema(reader));
    for (size_t size = 0; !end; size++) {
        struct batch *batch;
        assert_true(start + size <= bytes.size);
        uint8_t *piece = malloc(size + 1); /* AddressSanitizer sees what is read behind it */
        if (size) memcpy(piece, bytes.data + start, size);
        assert_ok(arrow_reader_next(reader, slice_of(piece, size), &used, &batch, &end, &error), &error);
        if (batch) see(&sample, arrow_reader_schema(reader), batch, &error);
        batch_unref(batch);
        free(piece);
        if (used == 0) continue;
        assert_int_equal(used, size);
        start += used;
        size = 0;
    }
    assert_int_equal(start, bytes.size);
    assert_int_equal(sample.batches_seen, 2);
    arrow_reader_destroy(reader);
    batch_unref(sample.batch);
    buffer_deinit(&bytes);
}

static bool lies_in(const void *at, struct slice bytes) {
    return (const uint8_t *)at >= bytes.data && (const uint8_t *)at < bytes.data + bytes.size;
}

static enum plinth_status see_where(void *context, const struct arrow_schema *schema, struct batch *batch,
                                    struct plinth_error *error) {
    struct slice *bytes = context;
    bool is_aligned = (uintptr_t)bytes->data % 8 == 0;
    (void)schema, (void)error;
    for (uint32_t i = 0; i < batch->column_count; i++) {
        const struct column *column = &batch->columns[i];
        uint32_t width = column_type_width(column->type);
        if (column->offsets) assert_true(lies_in(column->offsets, *bytes) == is_aligned);
        if (column->offsets) assert_int_equal((uintptr_t)column->offsets % 4, 0);
        if (column->bytes) assert_true(lies_in(column->bytes, *bytes));
        if (column->values) assert_true(lies_in(column->values, *bytes) == (is_aligned || width <= 1));
        if (width) assert_int_equal((uintptr_t)column->values % (width < 8 ? width : 8), 0);
    }
    return PLINTH_OK;
}

static void batches_borrow_from_aligned_bytes_and_copy_what_is_not(void **state) {
    struct sample sample;
    struct buffer bytes = BUFFER_INIT;
    struct plinth_error error;
    (void)state;
    sample_init(&sample, 2, 100, 5);
    write_stream(&sample, ARROW_UNCOMPRESSED, &bytes);
    uint8_t *memory = aligned_alloc(8, (bytes.size + 15) / 8 * 8);
    for (size_t shift = 0; shift < 2; shift++) {
        memcpy(memory + shift, bytes.data, bytes.size);
        struct slice shifted = slice_of(memory + shift, bytes.size);
        assert_ok(arrow_read_all(shifted, NULL, see_where, &shifted, &error), &error);
        assert_ok(arrow_read_all(shifted, NULL, see, &sample, &error), &error);
    }
    free(memory);
    batch_unref(sample.batch);
    buffer_deinit(&bytes);
}

static enum plinth_status see_nothing(void *context, const struct arrow_schema *schema, struct batch *batch,
                                      struct plinth_error *error) {
    (void)context, (void)schema, (void)error;
    for (uint32_t i = 0; i < batch->column_count; i++) batch_bytes(batch);
    return PLINTH_OK;
}

static void any_flipped_byte_gives_batches_or_a_reason(void **state) {
    struct sample sample;
    struct plinth_error error;
    struct test_random random = test_random_of(model_seed());
    uint32_t refused = 0;
    (void)state;
    sample_init(&sample, 3, 5, 3);
    for (int form = 0; form < 4; form++) {
        struct buffer bytes = BUFFER_INIT;
        if (form % 2)
            write_file(&sample, form / 2, &bytes);
        else
            write_stream(&sample, form / 2, &bytes);
        for (size_t i = 0; i < bytes.size; i++) {
            uint8_t before = bytes.data[i];
            bytes.data[i] ^= (uint8_t)(1 + test_random_below(&random, 255));
            enum plinth_status st = arrow_read_all(buffer_slice(&bytes), NULL, see_nothing, NULL, &error);
            assert_true(st == error.status && (st == PLINTH_OK || error.text[0]));
            assert_true(st == PLINTH_OK || st == PLINTH_INVALID_ARGUMENT || st == PLINTH_UNSUPPORTED ||
                        st == PLINTH_TOO_LARGE);
            refused += st != PLINTH_OK;
            bytes.data[i] = before;
        }
        buffer_deinit(&bytes);
    }
    assert_true(refused > 1000);
    batch_unref(sample.batch);
}

/* A schema message whose fields are all the same one, which has a long name. */
static void write_shared_fields(struct buffer *into, uint32_t field_count, uint32_t name_bytes) {
    enum { VERSION, HEADER_TYPE, HEADER, FIELDS = 1, NAME = 0, TYPE_TYPE = 2, TYPE = 3, TYPE_BOOL = 6 };
    static const struct flatbuffer_field message[] = {{VERSION, 2, 4}, {HEADER_TYPE, 1, 1}, {HEADER, 4, 0}};
    static const struct flatbuffer_field schema[] = {{FIELDS, 4, 0}};
    static const struct flatbuffer_field field[] = {{NAME, 4, 0}, {TYPE_TYPE, 1, TYPE_BOOL}, {TYPE, 4, 0}};
    struct flatbuffer_writer writer;
    uint8_t *name = malloc(name_bytes);
    memset(name, 'n', name_bytes);
    assert_true(buffer_append_u32(into, UINT32_MAX) && buffer_append_u32(into, 0));
    flatbuffer_begin(&writer, into);
    uint32_t at = flatbuffer_write_table(&writer, message, 3);
    at = flatbuffer_write_table_at(&writer, at, HEADER, schema, 1);
    uint32_t first = flatbuffer_write_vector_at(&writer, at, FIELDS, field_count, 4, 4);
    uint32_t shared = flatbuffer_write_element(&writer, first, field, 3);
    flatbuffer_write_string_at(&writer, shared, NAME, slice_of(name, name_bytes));
    flatbuffer_write_table_at(&writer, shared, TYPE, NULL, 0);
    for (uint32_t i = 0; i < field_count; i++)
        store_u32(flatbuffer_at(&writer, first + 4 * i), shared - (first + 4 * i));
    assert_false(writer.is_out_of_memory);
    store_u32(into->data + 4, (uint32_t)(into->size - 8));
    free(name);
}

static void metadata_that_is_pointed_to_many_times_does_not_multiply_the_work(void **state) {
    struct plinth_error error;
    struct buffer bytes = BUFFER_INIT;
    (void)state;
    write_shared_fields(&bytes, 3, 1000);
    assert_ok(arrow_read_all(buffer_slice(&bytes), NULL, see_nothing, NULL, &error), &error);
    buffer_clear(&bytes);
    write_shared_fields(&bytes, BATCH_COLUMNS_MAX, 1 << 20); /* 4 GiB of names */
    assert_status(arrow_read_all(buffer_slice(&bytes), NULL, see_nothing, NULL, &error), PLINTH_INVALID_ARGUMENT,
                  &error);
    assert_error_names(&error, "malformed metadata");
    buffer_clear(&bytes);
    write_shared_fields(&bytes, BATCH_COLUMNS_MAX + 1, 1);
    assert_status(arrow_read_all(buffer_slice(&bytes), NULL, see_nothing, NULL, &error), PLINTH_TOO_LARGE, &error);
    assert_error_names(&error, "4097 columns; at most 4096");
    buffer_deinit(&bytes);
}

static enum plinth_status see_empty(void *context, const struct arrow_schema *schema, struct batch *batch,
                                    struct plinth_error *error) {
    struct sample *sample = context;
    (void)error;
    sample->batches_seen++;
    assert_int_equal(batch->rows, 0);
    assert_int_equal(schema->field_count, MODEL_TYPES);
    for (uint32_t i = 0; i < batch->column_count; i++)
        assert_true(column_type_equal(batch->columns[i].type, sample->fields[i].type));
    return PLINTH_OK;
}

static void without_batches_the_visitor_sees_the_schema_once(void **state) {
    struct sample sample;
    struct arrow_file_writer *writer;
    struct buffer stream = BUFFER_INIT, file = BUFFER_INIT;
    struct plinth_error error;
    (void)state;
    sample_init(&sample, 5, 1, 0);
    assert_ok(arrow_write_schema(&stream, &sample.schema, &error), &error);
    assert_ok(arrow_read_all(buffer_slice(&stream), NULL, see_empty, &sample, &error), &error);
    assert_ok(arrow_file_begin(&file, &sample.schema, &writer, &error), &error);
    assert_ok(arrow_file_end(writer, &file, &error), &error);
    assert_ok(arrow_read_all(buffer_slice(&file), NULL, see_empty, &sample, &error), &error);
    assert_int_equal(sample.batches_seen, 2);
    batch_unref(sample.batch);
    buffer_deinit(&stream);
    buffer_deinit(&file);
}

static enum plinth_status refuse(void *context, const struct arrow_schema *schema, struct batch *batch,
                                 struct plinth_error *error) {
    (void)schema, (void)batch, (void)error;
    ++*(int *)context;
    return PLINTH_CONFLICT;
}

static void what_the_visitor_says_ends_the_reading(void **state) {
    struct sample sample;
    struct buffer bytes = BUFFER_INIT;
    struct plinth_error error;
    int calls = 0;
    (void)state;
    sample_init(&sample, 4, 3, 3);
    write_file(&sample, ARROW_UNCOMPRESSED, &bytes);
    assert_int_equal(arrow_read_all(buffer_slice(&bytes), NULL, refuse, &calls, &error), PLINTH_CONFLICT);
    assert_int_equal(calls, 1);
    batch_unref(sample.batch);
    buffer_deinit(&bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_comes_back_in_every_form),
        cmocka_unit_test(a_message_that_is_cut_waits_for_the_rest),
        cmocka_unit_test(batches_borrow_from_aligned_bytes_and_copy_what_is_not),
        cmocka_unit_test(any_flipped_byte_gives_batches_or_a_reason),
        cmocka_unit_test(metadata_that_is_pointed_to_many_times_does_not_multiply_the_work),
        cmocka_unit_test(without_batches_the_visitor_sees_the_schema_once),
        cmocka_unit_test(what_the_visitor_says_ends_the_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
