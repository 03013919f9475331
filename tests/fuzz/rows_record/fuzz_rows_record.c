/* Any bytes as the payload of a ROWS record: they are found corrupt or keep the rules of their table, and then they
 * make a row block whose rows can all be looked up, and encode to a record of the same meaning. The first byte chooses
 * the table: with a key, or without. */
#include <stdlib.h>

#include "base/hash.h"
#include "engine/rows.h"
#include "engine/rows_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct table_schema *make_schema(bool keyed) {
    struct table_schema *schema =
        table_schema_create((struct table_id){1, 1, 3}, TABLE_ROWS, slice_of_string("t"), 8, 1);
    static const struct {
        const char *name;
        struct column_type type;
        bool nullable;
    } columns[] = {
        {"host", {.kind = COLUMN_STRING}, false},
        {"at", {.kind = COLUMN_TIMESTAMP, .unit = TIME_MICRO}, false},
        {"up", {.kind = COLUMN_BOOL}, true},
        {"load", {.kind = COLUMN_FLOAT64}, true},
        {"price", {.kind = COLUMN_DECIMAL, .precision = 12, .scale = 2}, true},
        {"tags", {.kind = COLUMN_LIST, .element = COLUMN_STRING}, true},
        {"id", {.kind = COLUMN_UUID}, true},
    };
    for (size_t i = 0; schema && i < sizeof columns / sizeof *columns; i++)
        if (!table_schema_add_column(schema, slice_of_string(columns[i].name), columns[i].type, columns[i].nullable))
            abort();
    if (!schema) abort();
    if (keyed) schema->key[schema->key_count++] = 1, schema->key[schema->key_count++] = 2;
    return schema;
}

static void look_up_all(const struct row_block *block) {
    for (uint32_t row = 0; row < block->rows; row++) {
        uint32_t found;
        struct slice key = row_block_key(block, row);
        if (!row_block_get(block, key, hash_stable(key.data, key.size), UINT64_MAX, &found) || found != row) abort();
    }
}

static void check_record(const struct table_schema *schema, struct slice payload) {
    struct rows_record record, again;
    struct buffer bytes = BUFFER_INIT;
    if (rows_record_decode(payload, &record, NULL)) abort();
    struct row_block *block = row_block_create(schema, record.batch, record.column_ids,
                                               record.change.operation == ROWS_UPSERT ? ROW_SET : ROW_DELETE);
    if (!block || !row_block_set_lsn(block, 7, (uint32_t)record.change.first_ordinal)) abort();
    look_up_all(block);
    if (!rows_record_encode(&bytes, &record.change, record.column_ids, record.batch)) abort();
    if (rows_record_check(schema, buffer_slice(&bytes), NULL, NULL)) abort();
    if (rows_record_decode(buffer_slice(&bytes), &again, NULL)) abort();
    if (again.change.rows != record.change.rows || again.change.unit != record.change.unit) abort();
    rows_record_deinit(&again);
    buffer_deinit(&bytes);
    row_block_unref(block);
    rows_record_deinit(&record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct table_schema *schemas[2];
    if (!size) return 0;
    bool keyed = data[0] & 1;
    if (!schemas[keyed]) schemas[keyed] = make_schema(keyed);
    struct slice payload = slice_of(data + 1, size - 1);
    struct plinth_error error;
    enum plinth_status st = rows_record_check(schemas[keyed], payload, NULL, &error);
    if (st && st != PLINTH_CORRUPT && st != PLINTH_OUT_OF_MEMORY) abort();
    if (!st) check_record(schemas[keyed], payload);
    return 0;
}
