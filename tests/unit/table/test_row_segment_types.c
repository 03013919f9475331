/* Segments of typed tables: values of every type come back, and what is said of them holds. */
#include <math.h>
#include <roaring/roaring.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "column/column_model.h"
#include "expr/predicate.h"
#include "expr/tokens.h"
#include "memory_store.h"
#include "table/row_segment.h"

static const char *const NAME = "segments/2/60-def.parquet";

/* A table with some columns, its rows in one block, and the segment of them. */
struct fixture {
    struct memory_store store;
    struct page_cache *cache;
    struct table_schema *schema;
    uint32_t ids[64];
    struct row_block *block;
    struct segment_info info;
    struct segment *segment;
};

static void add_column(struct table_schema *schema, struct column_type type, bool nullable) {
    char name[24];
    snprintf(name, sizeof name, "c%u", schema->next_column_id);
    assert_true(table_schema_add_column(schema, slice_of_string(name), type, nullable));
}

static void add_index(struct table_schema *schema, enum index_kind kind, uint32_t column) {
    struct table_index index = {
        .id = {1, 1, 1000 + schema->index_count}, .kind = kind, .state = INDEX_READY, .columns = {column}};
    index.column_count = 1;
    assert_true(table_schema_add_index(schema, &index, slice_of_string("index")));
}

static struct table_schema *schema_create(void) {
    struct table_schema *schema =
        table_schema_create((struct table_id){1, 1, 60}, TABLE_ROWS, slice_of_string("types"), 64, 8);
    assert_non_null(schema);
    return schema;
}

static void fixture_init(struct fixture *f, struct table_schema *schema, bool map) {
    struct plinth_error error;
    *f = (struct fixture){.schema = schema};
    memory_store_init(&f->store, map);
    assert_ok(page_cache_create(1 << 20, &f->cache, &error), &error);
    for (uint32_t i = 0; i < schema->column_count; i++) f->ids[i] = i + 1;
}

/* The rows of `batch` (taken over) by key, those with a key twice but once, at LSN 7. */
static void set_rows(struct fixture *f, struct batch *batch) {
    const struct column *parts[ROW_KEY_PARTS_MAX];
    struct arena arena;
    struct row_keys keys;
    arena_init(&arena);
    for (uint32_t i = 0; i < f->schema->key_count; i++) parts[i] = &batch->columns[f->schema->key[i] - 1];
    uint32_t *order = malloc((batch->rows + 1) * sizeof *order), count = 0;
    assert_true(row_keys_encode(&arena, parts, f->schema->key_count, ROW_KEY_PRIMARY, batch->rows, &keys));
    assert_true(row_keys_sort(&keys, batch->rows, order, NULL));
    for (uint32_t i = 0; i < batch->rows; i++)
        if (i == 0 || !slice_equal(row_keys_at(&keys, order[i]), row_keys_at(&keys, order[count - 1])))
            order[count++] = order[i];
    struct batch *sorted = batch_gather(batch, order, count);
    assert_non_null(sorted);
    f->block = row_block_create(f->schema, sorted, f->ids, ROW_SET);
    assert_non_null(f->block);
    assert_true(row_block_set_lsn(f->block, 7, 0));
    batch_unref(sorted);
    batch_unref(batch);
    free(order);
    arena_deinit(&arena);
}

static void write_and_open(struct fixture *f, const struct row_segment_options *options) {
    struct plinth_error error;
    struct row_segment_writer *writer;
    assert_ok(row_segment_writer_open(&f->store.base, NAME, options, &writer, &error), &error);
    assert_ok(row_segment_writer_add(writer, f->block, 0, f->block->rows, &error), &error);
    assert_true(row_segment_writer_raw_bytes(writer) > 0);
    assert_ok(row_segment_writer_commit(writer, &f->info, &error), &error);
    assert_ok(segment_open(&f->store.base, f->cache, &f->info, &f->segment, &error), &error);
}

static void fixture_close(struct fixture *f) {
    segment_unref(f->segment);
    page_cache_destroy(f->cache);
    segment_info_deinit(&f->info);
    row_block_unref(f->block);
    table_schema_unref(f->schema);
    memory_store_deinit(&f->store);
}

static void fail_on_problem(void *context, const char *object, const char *problem) {
    (void)context;
    fail_msg("%s: %s", object, problem);
}

static void assert_verifies(struct segment *segment) {
    struct plinth_error error;
    assert_ok(segment_verify(segment, fail_on_problem, NULL, &error), &error);
}

/* All columns by a stream, and stripe by stripe, fresh and cached. */
static void assert_rows_come_back(struct fixture *f) {
    struct plinth_error error;
    struct block_read read = {
        .schema = f->schema, .column_ids = f->ids, .column_count = f->schema->column_count, .with_keys = true};
    struct block_stream *stream;
    struct row_block *block;
    uint32_t at = 0;
    assert_ok(segment_block_stream_open(f->segment, &read, &stream, &error), &error);
    for (;;) {
        assert_ok(block_stream_next(stream, &block, &error), &error);
        if (!block) break;
        for (uint32_t row = 0; row < block->rows; row++, at++) {
            assert_true(slice_equal(row_block_key(block, row), row_block_key(f->block, at)));
            for (uint32_t c = 0; c < f->schema->column_count; c++)
                model_assert_equal(&block->columns->columns[c], row, &f->block->columns->columns[c], at);
        }
        row_block_unref(block);
    }
    block_stream_close(stream);
    assert_int_equal(at, f->block->rows);
    for (int pass = 0; pass < 3; pass++) {
        for (uint32_t stripe = 0; stripe < segment_stripe_count(f->segment); stripe++) {
            struct batch *batch;
            uint32_t first = (uint32_t)segment_stripe_first_row(f->segment, stripe);
            assert_ok(segment_read_stripe(f->segment, stripe, f->schema, f->ids, f->schema->column_count, pass > 0,
                                          &batch, NULL, &error),
                      &error);
            for (uint32_t row = 0; row < batch->rows; row++)
                for (uint32_t c = 0; c < f->schema->column_count; c++)
                    model_assert_equal(&batch->columns[c], row, &f->block->columns->columns[c], first + row);
            batch_unref(batch);
        }
    }
}

/* Seconds that milliseconds can hold; the writer refuses others. */
static void limit_seconds(struct column_builder *builder) {
    int64_t *values = (int64_t *)(void *)builder->values.data;
    if (builder->type.kind != COLUMN_TIMESTAMP || builder->type.unit != TIME_SECOND) return;
    for (uint32_t i = 0; i < builder->rows; i++) values[i] %= INT64_MAX / 1000;
}

static bool is_nan(const struct column *column, uint32_t row) {
    if (column->type.kind == COLUMN_FLOAT32) return isnan(((const float *)column->values)[row]);
    return column->type.kind == COLUMN_FLOAT64 && isnan(((const double *)column->values)[row]);
}

/* Every value lies between the bounds, and the nulls are counted; returns whether there were bounds. */
static bool assert_bounds_hold(const struct column_bounds *bounds, const struct column *column, uint32_t first,
                               uint32_t count) {
    uint64_t nulls = 0;
    assert_int_equal(bounds->rows, count);
    for (uint32_t row = first; row < first + count; row++) {
        nulls += column_is_null(column, row);
        if (column_is_null(column, row) || !bounds->has_values) continue;
        assert_false(is_nan(column, row));
        assert_true(model_compare(&bounds->min, 0, column, row) <= 0);
        assert_true(model_compare(&bounds->max, 0, column, row) >= 0);
    }
    if (bounds->has_nulls_known) assert_int_equal(bounds->null_count, nulls);
    return bounds->has_values;
}

static void assert_all_bounds_hold(struct fixture *f, unsigned with_values_min) {
    struct plinth_error error;
    struct arena arena;
    unsigned with_values = 0;
    arena_init(&arena);
    for (uint32_t c = 0; c < f->schema->column_count; c++) {
        const struct column *column = &f->block->columns->columns[c];
        struct column_bounds bounds;
        assert_ok(segment_column_bounds(f->segment, f->schema, c + 1, &arena, &bounds, &error), &error);
        with_values += assert_bounds_hold(&bounds, column, 0, f->block->rows);
        for (uint32_t stripe = 0; stripe < segment_stripe_count(f->segment); stripe++) {
            uint32_t first = (uint32_t)segment_stripe_first_row(f->segment, stripe);
            assert_ok(segment_stripe_bounds(f->segment, f->schema, stripe, c + 1, &arena, &bounds, &error), &error);
            (void)assert_bounds_hold(&bounds, column, first, segment_stripe_rows(f->segment, stripe));
        }
    }
    assert_true(with_values >= with_values_min);
    arena_deinit(&arena);
}

/* ---- values ---- */

static void values_of_every_type_come_back(void **state) {
    (void)state;
    const uint64_t seed = model_seed();
    static const unsigned nulls[] = {0, 2, 20};
    for (unsigned i = 0; i < 6; i++) {
        struct test_random random = test_random_of(seed + i);
        struct table_schema *schema = schema_create();
        struct column_builder builders[MODEL_TYPES + 1];
        const uint32_t rows = i < 3 ? 3000 : 20;
        add_column(schema, column_type_of(COLUMN_INT64), false);
        schema->key[schema->key_count++] = 1;
        schema->page_rows = i < 3 ? 100 + 61 * i : 0;
        assert_true(column_builder_init(&builders[0], column_type_of(COLUMN_INT64)));
        for (uint32_t row = 0; row < rows; row++) assert_true(column_builder_integer(&builders[0], row));
        for (unsigned t = 0; t < MODEL_TYPES; t++) {
            add_column(schema, model_type(t), true);
            builders[t + 1] = model_builder(&random, model_type(t), rows, nulls[i % 3]);
            limit_seconds(&builders[t + 1]);
        }
        struct fixture f;
        fixture_init(&f, schema, i % 2);
        set_rows(&f, column_builders_finish(builders, MODEL_TYPES + 1));
        for (unsigned t = 0; t <= MODEL_TYPES; t++) column_builder_deinit(&builders[t]);
        write_and_open(&f, &(struct row_segment_options){.schema = schema, .codec = 1 + i % 3});
        assert_rows_come_back(&f);
        assert_all_bounds_hold(&f, rows == 20 ? 15 : 18); /* of 26: lists and those with NaN have none */
        assert_verifies(f.segment);
        assert_true(segment_is_plain_at(f.segment, 7));
        assert_false(segment_is_plain_at(f.segment, 6));
        fixture_close(&f);
    }
}

static void keys_of_every_type_are_found(void **state) {
    (void)state;
    const uint64_t seed = model_seed();
    for (unsigned t = 0; t < MODEL_KEY_TYPES; t++) {
        struct test_random random = test_random_of(seed + t);
        struct table_schema *schema = schema_create();
        const unsigned second = (unsigned)test_random_below(&random, MODEL_KEY_TYPES);
        struct column_builder builders[3] = {model_builder(&random, column_type_of(COLUMN_INT32), 900, 4),
                                             model_builder(&random, model_type(t), 900, 0),
                                             model_builder(&random, model_type(second), 900, 0)};
        add_column(schema, column_type_of(COLUMN_INT32), true);
        add_column(schema, model_type(t), false);
        add_column(schema, model_type(second), false);
        schema->key[schema->key_count++] = 2;
        if (t % 3) schema->key[schema->key_count++] = 3;
        schema->page_rows = 64;
        for (int i = 0; i < 3; i++) limit_seconds(&builders[i]);
        struct fixture f;
        fixture_init(&f, schema, t % 2);
        set_rows(&f, column_builders_finish(builders, 3));
        for (int i = 0; i < 3; i++) column_builder_deinit(&builders[i]);
        write_and_open(&f, &(struct row_segment_options){.schema = schema, .codec = SEGMENT_ZSTD});
        assert_rows_come_back(&f);
        assert_all_bounds_hold(&f, 0);
        assert_verifies(f.segment);
        for (uint32_t row = 0; row < f.block->rows; row++) {
            struct slice key = row_block_key(f.block, row);
            struct segment_hit hit;
            struct plinth_error error;
            assert_ok(segment_get(f.segment, key, hash_stable(key.data, key.size), 7, SEGMENT_LSN_ONLY, &hit, &error),
                      &error);
            assert_int_equal(segment_stripe_first_row(f.segment, hit.stripe) + hit.stripe_row, row);
            segment_hit_release(&hit);
        }
        fixture_close(&f);
    }
}

/* A table of one key column and one other. */
static void make_pairs(struct fixture *f, struct column_builder *values, bool map) {
    struct table_schema *schema = schema_create();
    struct column_builder builders[2];
    add_column(schema, column_type_of(COLUMN_UINT32), false);
    add_column(schema, values->type, true);
    schema->key[schema->key_count++] = 1;
    schema->page_rows = 100;
    assert_true(column_builder_init(&builders[0], column_type_of(COLUMN_UINT32)));
    for (uint32_t row = 0; row < values->rows; row++) assert_true(column_builder_integer(&builders[0], row));
    builders[1] = *values;
    fixture_init(f, schema, map);
    set_rows(f, column_builders_finish(builders, 2));
    column_builder_deinit(&builders[0]);
    column_builder_deinit(&builders[1]);
}

static struct column_bounds stripe_bounds(struct fixture *f, uint32_t stripe, struct arena *arena) {
    struct plinth_error error;
    struct column_bounds bounds;
    assert_ok(segment_stripe_bounds(f->segment, f->schema, stripe, 2, arena, &bounds, &error), &error);
    return bounds;
}

static void bounds_of_numbers_are_exact_and_nan_has_none(void **state) {
    (void)state;
    for (int with_nan = 0; with_nan < 2; with_nan++) {
        struct column_builder values;
        struct fixture f;
        struct arena arena;
        arena_init(&arena);
        assert_true(column_builder_init(&values, column_type_of(COLUMN_FLOAT64)));
        for (uint32_t row = 0; row < 1000; row++) {
            bool is_null = row % 10 == 3 || row / 100 == 4;
            assert_true(is_null ? column_builder_null(&values)
                                : column_builder_float(&values, with_nan && row == 250 ? NAN : row / 2.0 - 100));
        }
        make_pairs(&f, &values, true);
        write_and_open(&f, &(struct row_segment_options){.schema = f.schema, .codec = SEGMENT_LZ4});
        for (uint32_t stripe = 0; stripe < 10; stripe++) {
            struct column_bounds bounds = stripe_bounds(&f, stripe, &arena);
            assert_true(bounds.has_nulls_known);
            assert_int_equal(bounds.null_count, stripe == 4 ? 100 : 10);
            assert_int_equal(bounds.has_values, !with_nan && stripe != 4);
            if (!bounds.has_values) continue;
            assert_true(*(const double *)bounds.min.values == stripe * 50 - 100.0);
            assert_true(*(const double *)bounds.max.values == stripe * 50 - 100.0 + 49.5);
        }
        assert_verifies(f.segment);
        fixture_close(&f);
        arena_deinit(&arena);
    }
}

static void a_column_that_came_later_is_null(void **state) {
    (void)state;
    struct column_builder values;
    struct fixture f;
    struct arena arena;
    struct plinth_error error;
    arena_init(&arena);
    assert_true(column_builder_init(&values, column_type_of(COLUMN_STRING)));
    for (uint32_t row = 0; row < 300; row++)
        assert_true(column_builder_bytes_value(&values, slice_of_string(row % 2 ? "odd" : "even")));
    make_pairs(&f, &values, true);
    write_and_open(&f, &(struct row_segment_options){.schema = f.schema, .codec = SEGMENT_LZ4});
    struct table_schema *later = table_schema_copy(f.schema, 1, 0);
    assert_non_null(later);
    add_column(later, (struct column_type){.kind = COLUMN_LIST, .element = COLUMN_STRING}, true);
    const uint32_t ids[] = {2, 3};
    for (int cached = 0; cached < 2; cached++) {
        struct batch *batch;
        struct segment_read_stats stats = {0};
        assert_ok(segment_read_stripe(f.segment, 1, later, ids, 2, cached, &batch, &stats, &error), &error);
        assert_int_equal(batch->columns[0].null_count, 0);
        assert_int_equal(batch->columns[1].null_count, 100);
        assert_int_equal(stats.pages_read, 1);
        batch_unref(batch);
    }
    struct column_bounds bounds;
    assert_ok(segment_column_bounds(f.segment, later, 3, &arena, &bounds, &error), &error);
    assert_true(bounds.has_nulls_known && bounds.null_count == 300 && !bounds.has_values);
    table_schema_unref(later);
    fixture_close(&f);
    arena_deinit(&arena);
}

static void stripes_have_a_byte_cap_and_large_values_come_back(void **state) {
    (void)state;
    struct column_builder values;
    struct fixture f;
    static uint8_t large[1200000];
    struct test_random random = test_random_of(5);
    test_random_bytes(&random, large, sizeof large);
    assert_true(column_builder_init(&values, column_type_of(COLUMN_BYTES)));
    for (uint32_t row = 0; row < 400; row++)
        assert_true(column_builder_bytes_value(&values, slice_of(large, row == 200 ? sizeof large : row * 20)));
    make_pairs(&f, &values, false);
    write_and_open(&f, &(struct row_segment_options){.schema = f.schema, .codec = SEGMENT_LZ4});
    assert_rows_come_back(&f);
    bool has_alone = false;
    for (uint32_t stripe = 0; stripe < segment_stripe_count(f.segment); stripe++)
        has_alone |= segment_stripe_rows(f.segment, stripe) == 1;
    assert_true(has_alone);
    assert_verifies(f.segment);
    fixture_close(&f);
}

static void seconds_beyond_milliseconds_are_refused(void **state) {
    (void)state;
    struct column_builder values;
    struct fixture f;
    struct row_segment_writer *writer;
    struct plinth_error error;
    assert_true(column_builder_init(&values, (struct column_type){.kind = COLUMN_TIMESTAMP, .unit = TIME_SECOND}));
    assert_true(column_builder_integer(&values, INT64_MAX / 1000 + 1));
    make_pairs(&f, &values, false);
    const struct row_segment_options options = {.schema = f.schema, .codec = SEGMENT_LZ4};
    assert_ok(row_segment_writer_open(&f.store.base, NAME, &options, &writer, &error), &error);
    assert_ok(row_segment_writer_add(writer, f.block, 0, 1, &error), &error);
    struct segment_info info;
    assert_status(row_segment_writer_commit(writer, &info, &error), PLINTH_INVALID_ARGUMENT, &error);
    assert_error_names(&error, "c2");
    assert_null(memory_store_bytes(&f.store, NAME));
    fixture_close(&f);
}

/* ---- filters and postings ---- */

static void bloom_filters_know_every_value_and_deny_most_others(void **state) {
    (void)state;
    const uint64_t seed = model_seed();
    for (unsigned t = 0; t < MODEL_KEY_TYPES; t++) {
        struct test_random random = test_random_of(seed + t);
        struct column_builder values = model_builder(&random, model_type(t), 500, 5);
        struct fixture f;
        struct plinth_error error;
        limit_seconds(&values);
        make_pairs(&f, &values, t % 2);
        add_index(f.schema, INDEX_BLOOM, 2);
        write_and_open(&f, &(struct row_segment_options){.schema = f.schema, .codec = SEGMENT_LZ4});
        struct arena arena;
        arena_init(&arena);
        for (uint32_t row = 0; row < f.block->rows; row++) {
            struct column value;
            bool maybe;
            assert_true(column_gather(&arena, &f.block->columns->columns[1], &row, 1, &value));
            assert_ok(segment_stripe_bloom(f.segment, row / 100, 2, &value, &maybe, &error), &error);
            assert_true(maybe);
        }
        if (model_type(t).kind == COLUMN_STRING) {
            struct column_builder absent;
            unsigned found = 0;
            assert_true(column_builder_init(&absent, model_type(t)));
            for (uint32_t i = 0; i < 1000; i++) {
                char text[24];
                bool maybe;
                snprintf(text, sizeof text, "absent %u", i);
                column_builder_clear(&absent);
                assert_true(column_builder_bytes_value(&absent, slice_of_string(text)));
                struct column value = column_builder_view(&absent);
                assert_ok(segment_stripe_bloom(f.segment, 0, 2, &value, &maybe, &error), &error);
                found += maybe;
            }
            assert_true(found < 50);
            column_builder_deinit(&absent);
        }
        assert_verifies(f.segment);
        arena_deinit(&arena);
        fixture_close(&f);
    }
}

static void assert_postings(struct fixture *f, enum index_kind kind, const struct column *values, uint32_t count,
                            bool (*is_match)(const struct column *, uint32_t, const struct column *, uint32_t)) {
    struct plinth_error error;
    roaring_bitmap_t *rows;
    const struct column *column = &f->block->columns->columns[1];
    assert_ok(segment_postings(f->segment, 2, kind, values, count, &rows, &error), &error);
    assert_non_null(rows);
    for (uint32_t row = 0; row < f->block->rows; row++) {
        bool wanted = false;
        for (uint32_t i = 0; i < count && !column_is_null(column, row); i++) wanted |= is_match(column, row, values, i);
        assert_int_equal(roaring_bitmap_contains(rows, row), wanted);
    }
    roaring_bitmap_free(rows);
}

static bool is_equal(const struct column *column, uint32_t row, const struct column *values, uint32_t i) {
    return !column_is_null(values, i) && model_compare(column, row, values, i) == 0;
}

static bool has_words(const struct column *column, uint32_t row, const struct column *values, uint32_t i) {
    return tokens_contain(column_bytes_at(column, row), column_bytes_at(values, i));
}

static void bitmap_postings_give_exactly_the_rows_with_a_value(void **state) {
    (void)state;
    const uint64_t seed = model_seed();
    for (unsigned t = 0; t < MODEL_KEY_TYPES; t++) {
        struct test_random random = test_random_of(seed + t);
        struct column_builder values = model_builder(&random, model_type(t), 1500, 5);
        struct fixture f;
        limit_seconds(&values);
        make_pairs(&f, &values, t % 2);
        add_index(f.schema, INDEX_BITMAP, 2);
        write_and_open(&f, &(struct row_segment_options){.schema = f.schema, .codec = SEGMENT_LZ4});
        struct arena arena;
        arena_init(&arena);
        for (uint32_t first = 0; first + 3 < f.block->rows; first += 40) {
            const uint32_t rows[] = {first, first + 3};
            struct column some;
            assert_true(column_gather(&arena, &f.block->columns->columns[1], rows, 2, &some));
            assert_postings(&f, INDEX_BITMAP, &some, 2, is_equal);
            assert_postings(&f, INDEX_BITMAP, &some, 1, is_equal);
        }
        struct plinth_error error;
        roaring_bitmap_t *rows;
        assert_ok(segment_postings(f.segment, 2, INDEX_TOKEN, &f.block->columns->columns[1], 1, &rows, &error), &error);
        assert_null(rows);
        assert_verifies(f.segment);
        assert_true(segment_memory_bytes(f.segment) > 0);
        arena_deinit(&arena);
        fixture_close(&f);
    }
}

static void token_postings_give_exactly_the_rows_with_every_word(void **state) {
    (void)state;
    static const char *const words[] = {"red", "Green", "blue", "r\xC3\xA9sum\xC3\xA9", "42", "x", "red-ish"};
    struct test_random random = test_random_of(9);
    struct column_builder values;
    struct fixture f;
    assert_true(column_builder_init(&values, column_type_of(COLUMN_STRING)));
    for (uint32_t row = 0; row < 3000; row++) {
        char text[200] = "";
        for (uint64_t i = test_random_below(&random, 6); i > 0; i--) {
            strcat(text, words[test_random_below(&random, 7)]);
            strcat(text, i % 2 ? " " : ", ");
        }
        assert_true(row % 11 == 5 ? column_builder_null(&values)
                                  : column_builder_bytes_value(&values, slice_of_string(text)));
    }
    make_pairs(&f, &values, true);
    add_index(f.schema, INDEX_TOKEN, 2);
    write_and_open(&f, &(struct row_segment_options){.schema = f.schema, .codec = SEGMENT_ZSTD});
    static const char *const texts[] = {"red", "RED green", "ish", "blue 42 x", "absent", "absent red", "42 42"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct column_builder text;
        assert_true(column_builder_init(&text, column_type_of(COLUMN_STRING)));
        assert_true(column_builder_bytes_value(&text, slice_of_string(texts[i])));
        struct column value = column_builder_view(&text);
        assert_postings(&f, INDEX_TOKEN, &value, 1, has_words);
        column_builder_deinit(&text);
    }
    assert_verifies(f.segment);
    fixture_close(&f);
}

static void too_many_distinct_values_leave_postings_out(void **state) {
    (void)state;
    for (uint32_t distinct = 65536; distinct <= 65537; distinct++) {
        struct column_builder values;
        struct fixture f;
        struct plinth_error error;
        roaring_bitmap_t *rows;
        assert_true(column_builder_init(&values, column_type_of(COLUMN_INT32)));
        for (uint32_t row = 0; row < 70000; row++) assert_true(column_builder_integer(&values, row % distinct));
        make_pairs(&f, &values, true);
        f.schema->page_rows = 0;
        add_index(f.schema, INDEX_BITMAP, 2);
        write_and_open(&f, &(struct row_segment_options){.schema = f.schema, .codec = SEGMENT_LZ4});
        assert_ok(segment_postings(f.segment, 2, INDEX_BITMAP, &f.block->columns->columns[1], 1, &rows, &error),
                  &error);
        if (distinct == 65536) {
            assert_int_equal(roaring_bitmap_get_cardinality(rows), 2);
            roaring_bitmap_free(rows);
        } else {
            assert_null(rows);
        }
        assert_verifies(f.segment);
        fixture_close(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_every_type_come_back),
        cmocka_unit_test(keys_of_every_type_are_found),
        cmocka_unit_test(bounds_of_numbers_are_exact_and_nan_has_none),
        cmocka_unit_test(a_column_that_came_later_is_null),
        cmocka_unit_test(stripes_have_a_byte_cap_and_large_values_come_back),
        cmocka_unit_test(seconds_beyond_milliseconds_are_refused),
        cmocka_unit_test(bloom_filters_know_every_value_and_deny_most_others),
        cmocka_unit_test(bitmap_postings_give_exactly_the_rows_with_a_value),
        cmocka_unit_test(token_postings_give_exactly_the_rows_with_every_word),
        cmocka_unit_test(too_many_distinct_values_leave_postings_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
