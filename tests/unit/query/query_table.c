#include "query_table.h"

#include <stdio.h>
#include <stdlib.h>

#include "query/predicate_text.h"

static const int64_t START_US = INT64_C(1699999200000000); /* a whole hour */
static const int64_t SLOT_US = INT64_C(420000000);         /* seven minutes */

static const struct plinth_column columns[TABLE_COLUMNS] = {{.name = "host", .type = "string"},
                                                            {.name = "at", .type = "timestamp(us)"},
                                                            {.name = "value", .type = "int64", .nullable = true},
                                                            {.name = "tag", .type = "string", .nullable = true},
                                                            {.name = "flag", .type = "bool", .nullable = true},
                                                            {.name = "note", .type = "string", .nullable = true}};

void query_table_refresh(struct query_table *table) {
    table_schema_unref(table->schema);
    assert_ok(engine_find_schema(table->db, "default", "t", &table->schema, &table->error), &table->error);
}

void query_table_open(struct query_table *table, bool keyless, uint64_t partition_us, bool indexed) {
    static const char *const key[] = {"host", "at"};
    static const char *const value[] = {"value"}, *const tag_at[] = {"tag", "at"}, *const tag[] = {"tag"},
                             *const flag[] = {"flag"}, *const note[] = {"note"};
    static const struct plinth_index indexes[] = {
        {.name = "by_value", .kind = PLINTH_INDEX_SORTED, .columns = value, .column_count = 1},
        {.name = "by_tag", .kind = PLINTH_INDEX_SORTED, .columns = tag_at, .column_count = 2},
        {.name = "tag_bits", .kind = PLINTH_INDEX_BITMAP, .columns = tag, .column_count = 1},
        {.name = "flag_bits", .kind = PLINTH_INDEX_BITMAP, .columns = flag, .column_count = 1},
        {.name = "note_words", .kind = PLINTH_INDEX_TOKEN, .columns = note, .column_count = 1},
        {.name = "value_bloom", .kind = PLINTH_INDEX_BLOOM, .columns = value, .column_count = 1}};
    *table = (struct query_table){.keyless = keyless};
    test_directory_create(table->path);
    table->model.arrived = calloc(ARRIVALS_MAX, sizeof *table->model.arrived);
    assert_non_null(table->model.arrived);
    const struct plinth_options options = {.no_background_compaction = true,
                                           .durability = PLINTH_DURABILITY_BUFFERED,
                                           .read_durability = PLINTH_DURABILITY_BUFFERED};
    assert_ok(plinth_open(table->path, &options, &table->db, &table->error), &table->error);
    struct plinth_table_definition definition = {.columns = columns,
                                                 .column_count = TABLE_COLUMNS,
                                                 .key = key,
                                                 .key_count = keyless ? 0 : 2,
                                                 .partition_by = partition_us ? "at" : NULL,
                                                 .partition_us = partition_us,
                                                 .page_rows = 16};
    assert_ok(plinth_table_create(table->db, NULL, "t", &definition, &table->error), &table->error);
    for (size_t i = 0; indexed && i < sizeof indexes / sizeof *indexes; i++)
        assert_ok(plinth_table_index_create(table->db, NULL, "t", &indexes[i], &table->error), &table->error);
    query_table_refresh(table);
}

void query_table_close(struct query_table *table) {
    table_schema_unref(table->schema);
    plinth_close(table->db);
    test_directory_remove(table->path);
    free(table->model.arrived);
}

/* ---- writing ---- */

static struct column_type type_of(const char *text) {
    struct column_type type;
    struct plinth_error error;
    assert_ok(column_type_parse(slice_of_string(text), &type, &error), &error);
    return type;
}

void row_writer_init(struct row_writer *writer) {
    for (size_t i = 0; i < TABLE_COLUMNS; i++)
        assert_true(column_builder_init(&writer->builders[i], type_of(columns[i].type)));
}

static bool add_text(struct column_builder *builder, const char *text) {
    return column_builder_bytes_value(builder, slice_of_string(text));
}

void row_writer_add(struct row_writer *writer, uint32_t host, uint32_t slot, uint64_t value) {
    static const char *const words[] = {"alpha", "beta", "gamma", "delta"};
    struct column_builder *builders = writer->builders;
    char text[64];
    snprintf(text, sizeof text, "host%02u", host);
    bool ok = add_text(&builders[0], text) && column_builder_integer(&builders[1], START_US + (int64_t)slot * SLOT_US);
    ok = ok &&
         (value % 9 ? column_builder_integer(&builders[2], (int64_t)value % 500) : column_builder_null(&builders[2]));
    snprintf(text, sizeof text, "tag%u", (unsigned)(value % 6));
    ok = ok && (value % 6 ? add_text(&builders[3], text) : column_builder_null(&builders[3]));
    ok = ok && (value % 7 ? column_builder_bool(&builders[4], value % 2) : column_builder_null(&builders[4]));
    snprintf(text, sizeof text, "%s, %s-%u", words[value % 4], words[value / 4 % 4], (unsigned)(value % 50));
    ok = ok && (value % 11 ? add_text(&builders[5], text) : column_builder_null(&builders[5]));
    assert_true(ok);
}

void row_writer_submit(struct row_writer *writer, struct query_table *table, enum rows_operation operation,
                       bool atomic) {
    struct arrow_field fields[TABLE_COLUMNS];
    struct plinth_error error;
    for (size_t i = 0; i < TABLE_COLUMNS; i++)
        fields[i] = (struct arrow_field){columns[i].name, writer->builders[i].type, columns[i].nullable};
    struct arrow_schema schema = {fields, operation == ROWS_DELETE ? 2 : TABLE_COLUMNS};
    struct batch *batch = column_builders_finish(writer->builders, schema.field_count);
    assert_non_null(batch);
    struct rows_write write = {.operation = operation, .schema = &schema, .batch = batch, .atomic = atomic};
    struct rows_result result;
    assert_ok(rows_submit(table->db, table->schema->id, &write, NULL, &result, &error), &error);
    assert_int_equal(result.rows_rejected, 0);
    assert_ok(rows_wait(table->db, NULL, &result, &error), &error);
    rows_result_deinit(&result);
    batch_unref(batch);
    for (size_t i = 0; i < TABLE_COLUMNS; i++) column_builder_clear(&writer->builders[i]);
}

void row_writer_deinit(struct row_writer *writer) {
    for (size_t i = 0; i < TABLE_COLUMNS; i++) column_builder_deinit(&writer->builders[i]);
}

void query_table_upsert(struct query_table *table, struct test_random *random, uint32_t rows) {
    struct row_writer writer;
    struct model *model = &table->model;
    row_writer_init(&writer);
    for (uint32_t i = 0; i < rows; i++) {
        uint32_t host = (uint32_t)test_random_below(random, HOSTS), slot = (uint32_t)test_random_below(random, SLOTS);
        uint64_t value = test_random_below(random, 1000000);
        row_writer_add(&writer, host, slot, value);
        model->cells[host][slot] = (struct cell){true, value};
        if (!table->keyless) continue;
        assert_true(model->arrived_count < ARRIVALS_MAX);
        model->arrived[model->arrived_count++] = (struct arrival){host, slot, value};
    }
    row_writer_submit(&writer, table, ROWS_UPSERT, false);
    row_writer_deinit(&writer);
}

void query_table_delete(struct query_table *table, struct test_random *random, uint32_t rows) {
    struct row_writer writer;
    row_writer_init(&writer);
    for (uint32_t i = 0; i < rows; i++) {
        uint32_t host = (uint32_t)test_random_below(random, HOSTS), slot = (uint32_t)test_random_below(random, SLOTS);
        row_writer_add(&writer, host, slot, 1);
        table->model.cells[host][slot].there = false;
    }
    row_writer_submit(&writer, table, ROWS_DELETE, false);
    row_writer_deinit(&writer);
}

struct batch *model_rows(const struct query_table *table, const struct model *model) {
    struct row_writer writer;
    row_writer_init(&writer);
    for (uint32_t i = 0; i < (table->keyless ? model->arrived_count : 0); i++)
        row_writer_add(&writer, model->arrived[i].host, model->arrived[i].slot, model->arrived[i].value);
    for (uint32_t host = 0; !table->keyless && host < HOSTS; host++)
        for (uint32_t slot = 0; slot < SLOTS; slot++)
            if (model->cells[host][slot].there) row_writer_add(&writer, host, slot, model->cells[host][slot].value);
    struct batch *batch = column_builders_finish(writer.builders, TABLE_COLUMNS);
    assert_non_null(batch);
    row_writer_deinit(&writer);
    return batch;
}

/* ---- lines ---- */

void lines_add(struct lines *lines, const struct batch *batch, uint32_t row, const uint32_t *chosen,
               uint32_t chosen_count) {
    struct buffer text = BUFFER_INIT;
    uint32_t count = chosen ? chosen_count : batch->column_count;
    bool ok = true;
    for (uint32_t i = 0; ok && i < count; i++) {
        const struct column *column = &batch->columns[chosen ? chosen[i] : i];
        ok = column_is_null(column, row) ? buffer_append(&text, "null", 4) : column_format(&text, column, row);
        ok = ok && buffer_append(&text, "|", 1);
    }
    assert_true(ok && buffer_append_u8(&text, 0));
    if (lines->count == lines->capacity) {
        lines->capacity = lines->capacity ? lines->capacity * 2 : 256;
        lines->all = realloc(lines->all, lines->capacity * sizeof *lines->all);
        assert_non_null(lines->all);
    }
    lines->all[lines->count++] = (char *)text.data;
}

static int compare_lines(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

void lines_sort(struct lines *lines) {
    if (lines->count) qsort(lines->all, lines->count, sizeof *lines->all, compare_lines);
}

void lines_reverse(struct lines *lines) {
    for (uint32_t i = 0, j = lines->count; i + 1 < j; i++) {
        char *swapped = lines->all[i];
        lines->all[i] = lines->all[--j];
        lines->all[j] = swapped;
    }
}

void lines_deinit(struct lines *lines) {
    for (uint32_t i = 0; i < lines->count; i++) free(lines->all[i]);
    free(lines->all);
    *lines = (struct lines){0};
}

void assert_lines(const struct lines *got, const struct lines *wanted, const char *what) {
    for (uint32_t i = 0; i < got->count && i < wanted->count; i++)
        if (strcmp(got->all[i], wanted->all[i]) != 0)
            fail_msg("%s: row %u is %s, not %s", what, i, got->all[i], wanted->all[i]);
    if (got->count != wanted->count) fail_msg("%s: %u rows instead of %u", what, got->count, wanted->count);
}

enum plinth_status lines_of_query(struct query_table *table, const struct query_options *options, struct lines *lines,
                                  struct query_explain *explain) {
    struct query *query;
    struct batch *batch = NULL;
    enum plinth_status st = query_open(table->db, table->schema, options, &query, &table->error);
    if (st) return st;
    do {
        batch_unref(batch);
        st = query_next(query, &batch, &table->error);
        for (uint32_t row = 0; !st && batch && row < batch->rows; row++) lines_add(lines, batch, row, NULL, 0);
        if (!st && batch) assert_int_equal(batch->column_count, query_schema(query)->field_count);
    } while (!st && batch);
    if (explain) query_explain_read(query, explain);
    if (explain) explain->index = explain->predicate = NULL; /* they go with the query */
    query_close(query);
    return st;
}

const struct predicate *parse_where(struct arena *arena, const char *text) {
    const struct predicate *predicate;
    struct plinth_error error;
    assert_ok(predicate_parse(slice_of_string(text), arena, &predicate, &error), &error);
    return predicate;
}
