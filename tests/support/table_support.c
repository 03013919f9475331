#include "support/table_support.h"

#include <stdlib.h>

#include "column/column_builder.h"
#include "table/block_stream.h"

/* The next piece of *text up to a separator, trimmed of spaces; false at the end. */
static bool next_piece(const char **text, char separator, char *piece, size_t size) {
    if (!**text) return false;
    const char *end = strchr(*text, separator);
    size_t length = end ? (size_t)(end - *text) : strlen(*text);
    const char *start = *text;
    *text = end ? end + 1 : *text + length;
    while (length && *start == ' ') start++, length--;
    while (length && start[length - 1] == ' ') length--;
    assert_true(length < size);
    memcpy(piece, start, length);
    piece[length] = '\0';
    return true;
}

/* Splits at ',' outside of parentheses: "d decimal(10,2), x int8". */
static bool next_column(const char **text, char *piece, size_t size) {
    size_t used = 0;
    int depth = 0;
    while (**text == ' ') (*text)++;
    if (!**text) return false;
    for (; **text && (depth || **text != ','); (*text)++) {
        depth += (**text == '(') - (**text == ')');
        assert_true(used + 1 < size);
        piece[used++] = **text;
    }
    if (**text) (*text)++;
    piece[used] = '\0';
    return true;
}

static uint32_t parse_columns(const char *columns, char names[][32], struct column_type *types, bool *nullable) {
    char piece[96];
    uint32_t count = 0;
    while (next_column(&columns, piece, sizeof piece)) {
        char *space = strchr(piece, ' ');
        assert_non_null(space);
        *space = '\0';
        strcpy(names[count], piece);
        size_t size = strlen(space + 1);
        nullable[count] = size && space[size] == '?';
        struct plinth_error error;
        assert_ok(column_type_parse(slice_of(space + 1, size - nullable[count]), &types[count], &error), &error);
        count++;
    }
    return count;
}

void test_rows_init(struct test_rows *rows, const char *columns, const char *text) {
    struct column_type types[TEST_COLUMNS_MAX];
    bool nullable[TEST_COLUMNS_MAX];
    struct column_builder builders[TEST_COLUMNS_MAX];
    uint32_t count = parse_columns(columns, rows->names, types, nullable);
    for (uint32_t i = 0; i < count; i++) {
        rows->fields[i] = (struct arrow_field){rows->names[i], types[i], true};
        assert_true(column_builder_init(&builders[i], types[i]));
    }
    static _Thread_local char row[1 << 16], value[1 << 16];
    while (next_piece(&text, ';', row, sizeof row)) {
        const char *rest = row;
        for (uint32_t i = 0; i < count; i++) {
            struct plinth_error error;
            if (!next_piece(&rest, ',', value, sizeof value)) value[0] = '\0';
            if (strcmp(value, "-") == 0)
                assert_true(column_builder_null(&builders[i]));
            else
                assert_ok(column_builder_text(&builders[i], slice_of_string(value), &error), &error);
        }
    }
    rows->schema = (struct arrow_schema){rows->fields, count};
    rows->batch = column_builders_finish(builders, count);
    assert_non_null(rows->batch);
    for (uint32_t i = 0; i < count; i++) column_builder_deinit(&builders[i]);
}

void test_rows_deinit(struct test_rows *rows) { batch_unref(rows->batch); }

void test_table_create(struct plinth *db, const char *name, const char *columns, const char *key, bool adds_columns) {
    char names[TEST_COLUMNS_MAX][32], texts[TEST_COLUMNS_MAX][COLUMN_TYPE_TEXT_MAX], keys[4][32];
    struct column_type types[TEST_COLUMNS_MAX];
    bool nullable[TEST_COLUMNS_MAX];
    struct plinth_column given[TEST_COLUMNS_MAX];
    const char *key_names[4];
    uint32_t count = parse_columns(columns, names, types, nullable);
    for (uint32_t i = 0; i < count; i++)
        given[i] = (struct plinth_column){names[i], column_type_format(types[i], texts[i]), nullable[i], 0};
    struct plinth_table_definition definition = {
        .columns = given, .column_count = count, .key = key_names, .adds_columns = adds_columns};
    while (next_piece(&key, ',', keys[definition.key_count], 32)) {
        key_names[definition.key_count] = keys[definition.key_count];
        definition.key_count++;
    }
    struct plinth_error error;
    assert_ok(plinth_table_create(db, NULL, name, &definition, &error), &error);
}

struct table_id test_table_id(struct plinth *db, const char *name) {
    const struct table_schema *schema;
    struct plinth_error error;
    assert_ok(engine_find_schema(db, NULL, name, &schema, &error), &error);
    struct table_id id = schema->id;
    table_schema_unref(schema);
    return id;
}

enum plinth_status test_rows_write(struct plinth *db, const char *table, enum rows_operation operation,
                                   const char *columns, const char *text, const struct plinth_write_options *options,
                                   struct rows_result *result, struct plinth_error *error) {
    struct test_rows rows;
    struct rows_result own;
    struct rows_result *into = result ? result : &own;
    test_rows_init(&rows, columns, text);
    struct rows_write write = {.operation = operation, .schema = &rows.schema, .batch = rows.batch};
    enum plinth_status st = rows_submit(db, test_table_id(db, table), &write, options, into, error);
    if (!st) st = rows_wait(db, options, into, error);
    if (!result) rows_result_deinit(&own);
    test_rows_deinit(&rows);
    return st;
}

/* ---- reading ---- */

static void append_block(void *context, const struct row_block *block) {
    struct buffer *text = context;
    for (uint32_t row = 0; row < block->rows; row++) {
        if (text->size) assert_true(buffer_append_u8(text, ';'));
        for (uint32_t c = 0; c < block->columns->column_count; c++) {
            const struct column *column = &block->columns->columns[c];
            if (c) assert_true(buffer_append_u8(text, ','));
            if (column_is_null(column, row))
                assert_true(buffer_append_u8(text, '-'));
            else
                assert_true(column_format(text, column, row));
        }
    }
}

/* Streams of all that a view has of a table, merged. */
static enum plinth_status open_merged(struct view *view, uint64_t lsn, const struct block_read *read,
                                      struct block_stream **merged, struct plinth_error *error) {
    *merged = NULL;
    struct row_sources sources;
    enum plinth_status st = view_row_sources(view, read->schema->id, &sources, error);
    if (st) return st;
    size_t count = 0;
    struct block_stream **inputs = calloc(sources.block_count + sources.run_count + 1, sizeof *inputs);
    assert_non_null(inputs);
    for (size_t i = 0; !st && i < sources.block_count; i++) {
        st = row_block_stream_open(sources.blocks[i], read, &inputs[count], error);
        count += !st;
    }
    for (size_t i = 0; !st && i < sources.run_count; i++) {
        st = run_block_stream_open(sources.runs[i].run, read, &inputs[count], error);
        count += !st;
    }
    row_sources_deinit(&sources);
    struct block_merge_options options = {.mode = MERGE_SNAPSHOT, .lsn = lsn};
    if (!st)
        st = block_merge_open(inputs, count, read, &options, merged, error);
    else
        while (count) block_stream_close(inputs[--count]);
    free(inputs);
    return st;
}

enum plinth_status test_table_visit(struct plinth *db, const char *name, test_block_visitor *visit, void *context,
                                    struct plinth_error *error) {
    const struct table_schema *schema;
    enum plinth_status st = engine_find_schema(db, NULL, name, &schema, error);
    if (st) return st;
    uint32_t ids[TEST_COLUMNS_MAX];
    for (uint32_t i = 0; i < schema->column_count; i++) ids[i] = schema->columns[i].id;
    struct block_read read = {
        .schema = schema, .column_ids = ids, .column_count = schema->column_count, .with_keys = true};
    struct view *view = NULL;
    struct block_stream *merged = NULL;
    uint64_t lsn;
    st = engine_begin_read(db, NULL, &view, &lsn, error);
    if (!st) st = open_merged(view, lsn, &read, &merged, error);
    struct row_block *block = NULL;
    while (!st) {
        st = block_stream_next(merged, &block, error);
        if (st || !block) break;
        visit(context, block);
        row_block_unref(block);
    }
    block_stream_close(merged);
    if (view) view_unref(view);
    table_schema_unref(schema);
    return st;
}

char *test_table_dump(struct plinth *db, const char *name) {
    struct buffer text = BUFFER_INIT;
    struct plinth_error error;
    assert_ok(test_table_visit(db, name, append_block, &text, &error), &error);
    assert_true(buffer_append_u8(&text, '\0'));
    return (char *)text.data;
}

void test_table_check(struct plinth *db, const char *name, const char *wanted) {
    char *shown = test_table_dump(db, name);
    assert_string_equal(shown, wanted);
    free(shown);
}
