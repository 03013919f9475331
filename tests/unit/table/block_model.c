#include "block_model.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "column/column_builder.h"

static void add_column(struct table_schema *schema, const char *name, struct column_type type, bool nullable) {
    assert_true(table_schema_add_column(schema, slice_of_string(name), type, nullable));
}

struct table_schema *model_schema(bool keyless) {
    struct table_id id = {1, 1, 50};
    struct table_schema *schema = table_schema_create(id, TABLE_ROWS, slice_of_string("measures"), MODEL_COLUMNS, 1);
    assert_non_null(schema);
    add_column(schema, "device", column_type_of(COLUMN_STRING), false);
    add_column(schema, "seq", column_type_of(COLUMN_INT64), false);
    add_column(schema, "value", column_type_of(COLUMN_FLOAT64), true);
    add_column(schema, "note", column_type_of(COLUMN_STRING), true);
    add_column(schema, "flag", column_type_of(COLUMN_BOOL), true);
    add_column(schema, "tags", (struct column_type){.kind = COLUMN_LIST, .element = COLUMN_INT32}, true);
    add_column(schema, "amount", (struct column_type){.kind = COLUMN_DECIMAL, .precision = 20, .scale = 2}, true);
    add_column(schema, "extra", column_type_of(COLUMN_INT16), true);
    struct table_index index = {.id = {1, 1, MODEL_INDEX},
                                .kind = INDEX_SORTED,
                                .state = INDEX_READY,
                                .columns = {COLUMN_NOTE, COLUMN_FLAG},
                                .column_count = 2};
    assert_true(table_schema_add_index(schema, &index, slice_of_string("by_note")));
    if (!keyless) {
        schema->key[0] = COLUMN_DEVICE;
        schema->key[1] = COLUMN_SEQ;
        schema->key_count = 2;
    }
    return schema;
}

void block_model_init(struct block_model *model, bool keyless, uint64_t devices, uint64_t seqs) {
    *model =
        (struct block_model){.schema = model_schema(keyless), .keyless = keyless, .devices = devices, .seqs = seqs};
}

void block_model_deinit(struct block_model *model) {
    table_schema_unref(model->schema);
    free(model->rows);
    *model = (struct block_model){0};
}

/* ---- what a row holds ---- */

static uint64_t row_hash(const struct model_row *row, unsigned column) {
    uint64_t numbers[] = {row->device, (uint64_t)row->seq, row->lsn, row->ordinal, column};
    return hash_stable(numbers, sizeof numbers);
}

static size_t device_name(const struct model_row *row, char text[40]) {
    return (size_t)snprintf(text, 40, "device-%05u", row->device);
}

/* Whether the row has a value in a column that may be null. */
static bool has_value(const struct model_row *row, unsigned column) {
    return row->operation == ROW_SET && row_hash(row, column) % 8 != 0;
}

static size_t note_text(const struct model_row *row, char text[40]) {
    uint64_t hash = row_hash(row, COLUMN_NOTE) / 8;
    return (size_t)snprintf(text, 40, "%.*s", (int)(hash % 23), "note on a measure of some kind");
}

static void append_values(struct column_builder *builders, const struct model_row *row) {
    char text[40];
    size_t size = device_name(row, text);
    bool ok = column_builder_bytes_value(&builders[0], slice_of(text, size)) &&
              column_builder_integer(&builders[1], row->seq);
    for (unsigned id = COLUMN_VALUE; ok && id <= MODEL_COLUMNS; id++) {
        struct column_builder *builder = &builders[id - 1];
        uint64_t hash = row_hash(row, id) / 8;
        uint64_t decimal[2] = {hash, 0};
        if (!has_value(row, id)) {
            ok = column_builder_null(builder);
            continue;
        }
        switch (id) {
        case COLUMN_VALUE: ok = column_builder_float(builder, (double)hash / 3); break;
        case COLUMN_NOTE: ok = column_builder_bytes_value(builder, slice_of(text, note_text(row, text))); break;
        case COLUMN_FLAG: ok = column_builder_bool(builder, hash & 1); break;
        case COLUMN_TAGS:
            for (uint64_t i = 0; ok && i < hash % 4; i++)
                ok = column_builder_integer(builder->child, (int32_t)(hash >> i * 8));
            ok = ok && column_builder_list(builder);
            break;
        case COLUMN_AMOUNT: ok = column_builder_bytes_value(builder, slice_of(decimal, 16)); break;
        default: ok = column_builder_integer(builder, (int16_t)hash);
        }
    }
    assert_true(ok);
}

static void assert_value(const struct column *column, uint32_t at, unsigned id, const struct model_row *row) {
    char text[40];
    uint64_t hash = row_hash(row, id) / 8, decimal[2] = {hash, 0};
    if (id == COLUMN_DEVICE) {
        assert_true(slice_equal(column_bytes_at(column, at), slice_of(text, device_name(row, text))));
        return;
    }
    if (id == COLUMN_SEQ) {
        assert_int_equal(((const int64_t *)column->values)[at], row->seq);
        return;
    }
    bool wanted = has_value(row, id) && (id != COLUMN_EXTRA || row->has_extra);
    assert_int_equal(!column_is_null(column, at), wanted);
    if (!wanted) return;
    switch (id) {
    case COLUMN_VALUE: assert_true(((const double *)column->values)[at] == (double)hash / 3); break;
    case COLUMN_NOTE:
        assert_true(slice_equal(column_bytes_at(column, at), slice_of(text, note_text(row, text))));
        break;
    case COLUMN_FLAG: assert_int_equal(bitmap_get(column->values, at), hash & 1); break;
    case COLUMN_TAGS:
        assert_int_equal(column->offsets[at + 1] - column->offsets[at], hash % 4);
        for (uint32_t i = 0; i < hash % 4; i++)
            assert_int_equal(((const int32_t *)column->child->values)[column->offsets[at] + i],
                             (int32_t)(hash >> i * 8));
        break;
    case COLUMN_AMOUNT: assert_memory_equal((const uint8_t *)column->values + (size_t)at * 16, decimal, 16); break;
    default: assert_int_equal(((const int16_t *)column->values)[at], (int16_t)hash);
    }
}

/* ---- making blocks ---- */

static void set_key(const struct block_model *model, struct model_row *row) {
    if (model->keyless) {
        store_u64(row->key, __builtin_bswap64(row->lsn));
        store_u32(row->key + 8, __builtin_bswap32(row->ordinal));
        row->key_size = ROW_ID_BYTES;
        return;
    }
    char text[40];
    size_t size = device_name(row, text);
    memcpy(row->key, text, size);
    memcpy(row->key + size, "\x00\x01", 2);
    store_u64(row->key + size + 2, __builtin_bswap64((uint64_t)row->seq ^ UINT64_C(1) << 63));
    row->key_size = size + 10;
}

static int compare_rows(const void *a, const void *b) {
    const struct model_row *left = a, *right = b;
    return row_order(model_key(left), left->lsn, model_key(right), right->lsn);
}

void block_model_sort(struct block_model *model) {
    if (model->count) qsort(model->rows, model->count, sizeof *model->rows, compare_rows);
}

static void keep_rows(struct block_model *model, const struct model_row *rows, uint32_t count) {
    if (model->count + count > model->capacity) {
        model->capacity = (model->count + count) * 2;
        model->rows = realloc(model->rows, model->capacity * sizeof *rows);
        assert_non_null(model->rows);
    }
    memcpy(model->rows + model->count, rows, count * sizeof *rows);
    model->count += count;
}

static struct row_block *make_block(struct block_model *model, struct model_row *rows, uint32_t count) {
    struct column_builder builders[MODEL_COLUMNS];
    uint32_t ids[MODEL_COLUMNS], columns = rows[0].operation == ROW_DELETE ? 2 : 7 + rows[0].has_extra;
    for (uint32_t i = 0; i < MODEL_COLUMNS; i++) {
        assert_true(column_builder_init(&builders[i], model->schema->columns[i].type));
        ids[i] = i + 1;
    }
    for (uint32_t i = 0; i < count; i++) append_values(builders, &rows[i]);
    struct batch *batch = column_builders_finish(builders, columns);
    assert_non_null(batch);
    for (uint32_t i = 0; i < MODEL_COLUMNS; i++) column_builder_deinit(&builders[i]);
    struct row_block *block = row_block_create(model->schema, batch, ids, rows[0].operation);
    assert_non_null(block);
    batch_unref(batch);
    assert_true(row_block_set_lsn(block, rows[0].lsn, rows[0].ordinal));
    keep_rows(model, rows, count);
    return block;
}

struct row_block *block_model_add(struct block_model *model, struct test_random *random, uint32_t rows, uint64_t lsn,
                                  enum row_operation operation) {
    struct model_row *made = calloc(rows, sizeof *made);
    assert_non_null(made);
    bool has_extra = test_random_below(random, 2);
    for (uint32_t i = 0; i < rows; i++) {
        made[i] = (struct model_row){.device = (uint32_t)test_random_below(random, model->devices),
                                     .seq = (int64_t)test_random_below(random, model->seqs) - 5,
                                     .lsn = lsn,
                                     .ordinal = model->keyless ? i + 3 : 0,
                                     .operation = operation,
                                     .has_extra = has_extra};
        set_key(model, &made[i]);
    }
    qsort(made, rows, sizeof *made, compare_rows);
    uint32_t count = 1;
    for (uint32_t i = 1; i < rows; i++)
        if (compare_rows(&made[i], &made[count - 1]) != 0) made[count++] = made[i];
    struct row_block *block = make_block(model, made, count);
    free(made);
    return block;
}

struct row_block *block_model_add_range(struct block_model *model, uint32_t device, int64_t first_seq, uint32_t rows,
                                        uint64_t lsn) {
    struct model_row *made = calloc(rows, sizeof *made);
    assert_non_null(made);
    for (uint32_t i = 0; i < rows; i++) {
        made[i] = (struct model_row){.device = device,
                                     .seq = first_seq + i,
                                     .lsn = lsn,
                                     .ordinal = model->keyless ? i : 0,
                                     .operation = ROW_SET,
                                     .has_extra = true};
        set_key(model, &made[i]);
    }
    struct row_block *block = make_block(model, made, rows);
    free(made);
    return block;
}

const struct model_row *block_model_get(const struct block_model *model, struct slice key, uint64_t lsn_max) {
    size_t low = 0, high = model->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (row_order(model_key(&model->rows[middle]), model->rows[middle].lsn, key, lsn_max) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < model->count && slice_equal(model_key(&model->rows[low]), key) ? &model->rows[low] : NULL;
}

/* ---- comparing ---- */

static void assert_row_columns(const struct row_block *block, uint32_t row, const struct model_row *wanted) {
    for (uint32_t i = 0; i < block->columns->column_count; i++)
        assert_value(&block->columns->columns[i], row, block->column_ids[i], wanted);
}

void assert_block_row(const struct row_block *block, uint32_t row, const struct model_row *wanted) {
    assert_true(slice_equal(row_block_key(block, row), model_key(wanted)));
    assert_int_equal(row_block_lsn(block, row), wanted->lsn);
    assert_int_equal(row_block_operation(block, row), wanted->operation);
    assert_true(block->lsn_min <= wanted->lsn && wanted->lsn <= block->lsn_max);
    if (block->prefixes) assert_true(block->prefixes[row] == row_key_prefix(model_key(wanted)));
    if (block->ordinals) assert_int_equal(block->ordinals[row], wanted->ordinal);
    assert_row_columns(block, row, wanted);
}

size_t assert_stream_gives(struct block_stream *stream, const struct block_read *read, const struct model_row *rows,
                           size_t count) {
    struct plinth_error error;
    struct row_block *block;
    size_t at = 0, blocks = 0;
    for (;;) {
        assert_ok(block_stream_next(stream, &block, &error), &error);
        if (!block) break;
        blocks++;
        assert_true(block->rows > 0 && block->rows <= count - at);
        assert_int_equal(block->rows, block->columns->rows);
        assert_int_equal(block->columns->column_count, read->column_count);
        for (uint32_t i = 0; i < read->column_count; i++) assert_int_equal(block->column_ids[i], read->column_ids[i]);
        for (uint32_t i = 0; i < block->columns->column_count; i++) {
            const struct column *column = &block->columns->columns[i];
            uint64_t nulls = 0;
            for (uint32_t row = 0; row < block->rows; row++) nulls += column_is_null(column, row);
            assert_int_equal(nulls, column->null_count);
        }
        for (uint32_t row = 0; row < block->rows; row++) {
            if (read->with_keys)
                assert_block_row(block, row, &rows[at++]);
            else
                assert_row_columns(block, row, &rows[at++]);
        }
        row_block_unref(block);
    }
    assert_int_equal(at, count);
    block_stream_close(stream);
    return blocks;
}
