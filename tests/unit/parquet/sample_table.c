/* See sample_table.h. */
#include "sample_table.h"

#include <stdio.h>
#include <stdlib.h>

uint64_t sample_random(uint64_t *state) { /* splitmix64 */
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void must(bool ok) {
    if (!ok) abort();
}

static void init_nodes(struct parquet_node *nodes, bool optional) {
    static const struct parquet_node all[SAMPLE_COLUMNS] = {
        {.name = "boolean", .type = PARQUET_TYPE_BOOLEAN},
        {.name = "int32", .type = PARQUET_TYPE_INT32},
        {.name = "int64", .type = PARQUET_TYPE_INT64, .has_field_id = true, .field_id = 7},
        {.name = "int96", .type = PARQUET_TYPE_INT96},
        {.name = "float", .type = PARQUET_TYPE_FLOAT},
        {.name = "double", .type = PARQUET_TYPE_DOUBLE},
        {.name = "string", .type = PARQUET_TYPE_BYTE_ARRAY, .logical = {.kind = PARQUET_LOGICAL_STRING}},
        {.name = "key", .type = PARQUET_TYPE_BYTE_ARRAY},
        {.name = "fixed", .type = PARQUET_TYPE_FIXED, .type_length = 5},
        {.name = "uuid", .type = PARQUET_TYPE_FIXED, .type_length = 16, .logical = {.kind = PARQUET_LOGICAL_UUID}},
        {.name = "date", .type = PARQUET_TYPE_INT32, .logical = {.kind = PARQUET_LOGICAL_DATE}},
        {.name = "timestamp",
         .type = PARQUET_TYPE_INT64,
         .logical = {.kind = PARQUET_LOGICAL_TIMESTAMP, .is_utc = true, .unit = PARQUET_TIME_MICROS}},
        {.name = "decimal",
         .type = PARQUET_TYPE_FIXED,
         .type_length = 9,
         .logical = {.kind = PARQUET_LOGICAL_DECIMAL, .precision = 20, .scale = 3}},
        {.name = "uint32",
         .type = PARQUET_TYPE_INT32,
         .logical = {.kind = PARQUET_LOGICAL_INTEGER, .bits = 32, .is_signed = false}},
    };
    for (int i = 0; i < SAMPLE_COLUMNS; i++) {
        nodes[i] = all[i];
        nodes[i].repetition = optional ? PARQUET_OPTIONAL : PARQUET_REQUIRED;
    }
}

/* The PLAIN bytes of a value (without length) in `out`; returns their number. */
static size_t make_value(int column, uint64_t row, uint64_t random, uint8_t *out) {
    double number = (double)(int64_t)random / 1e12;
    float single = (float)(random % 100000) / 7.0f - 5000.0f;
    uint64_t integer = random;
    memset(out, 0, 64);
    switch (column) {
    case SAMPLE_INT32: integer = random % 1000; break;
    case SAMPLE_INT64: integer = row * 1000 + random % 100; break;
    case SAMPLE_INT96: /* nanoseconds of the day, Julian day */
        store_u64(out, random % UINT64_C(86400000000000));
        store_u32(out + 8, 2440588 + (uint32_t)(random % 20000));
        return 12;
    case SAMPLE_FLOAT: memcpy(out, &single, 4); return 4;
    case SAMPLE_DOUBLE: memcpy(out, &number, 8); return 8;
    case SAMPLE_STRING: return (size_t)snprintf((char *)out, 64, "städte-%llu", (unsigned long long)(random % 50));
    case SAMPLE_KEY: return (size_t)snprintf((char *)out, 64, "user:%012llu", (unsigned long long)row * 3);
    case SAMPLE_FIXED: memcpy(out, &random, 5); return 5;
    case SAMPLE_UUID:
        store_u64(out, random);
        store_u64(out + 8, random * 31);
        return 16;
    case SAMPLE_DATE: integer = 10000 + row / 10; break;
    case SAMPLE_TIMESTAMP: integer = UINT64_C(1700000000000000) + row * 250 + random % 20; break;
    case SAMPLE_DECIMAL: /* big-endian, of either sign */
        memset(out, random & 1 ? 0xff : 0, 9);
        memcpy(out + 4, &random, 5);
        return 9;
    case SAMPLE_UINT32: integer = random; break;
    default: break;
    }
    store_u64(out, integer);
    return column == SAMPLE_INT64 || column == SAMPLE_TIMESTAMP ? 8 : 4;
}

static void append_value(struct sample_table *table, int c, uint64_t row, bool is_null, uint64_t random) {
    struct sample_column *column = &table->columns[c];
    const struct parquet_node *node = &table->nodes[c];
    uint8_t value[64];
    if (node->type == PARQUET_TYPE_BOOLEAN) {
        if ((row & 7) == 0) must(buffer_append_u8(&column->values, 0));
        if (!is_null && (random % 5 == 0 || row % 1000 > 800))
            column->values.data[row >> 3] |= (uint8_t)(1u << (row & 7));
        return;
    }
    size_t size = make_value(c, row, random, value);
    if (is_null) memset(value, 0, sizeof value);
    if (node->type == PARQUET_TYPE_BYTE_ARRAY) {
        if (row == 0) must(buffer_append_u32(&column->offsets, 0));
        if (!is_null) must(buffer_append(&column->values, value, size));
        must(buffer_append_u32(&column->offsets, (uint32_t)column->values.size));
        return;
    }
    must(buffer_append(&column->values, value, size));
}

void sample_table_init(struct sample_table *table, uint64_t rows, uint32_t null_one_in, uint64_t seed) {
    *table = (struct sample_table){.rows = rows};
    init_nodes(table->nodes, null_one_in > 0);
    for (int c = 0; c < SAMPLE_COLUMNS; c++) {
        struct sample_column *column = &table->columns[c];
        uint64_t nulls = 0;
        must(buffer_append_zeros(&column->validity, rows / 8 + 1));
        if (rows == 0) must(buffer_append_u32(&column->offsets, 0));
        for (uint64_t row = 0; row < rows; row++) {
            bool is_null = null_one_in > 0 && sample_random(&seed) % null_one_in == 0;
            nulls += is_null;
            if (!is_null) column->validity.data[row >> 3] |= (uint8_t)(1u << (row & 7));
            append_value(table, c, row, is_null, sample_random(&seed));
        }
        table->data[c] = (struct parquet_column_data){.rows = rows,
                                                      .null_count = nulls,
                                                      .validity = null_one_in ? column->validity.data : NULL,
                                                      .values = column->values.data,
                                                      .offsets = (const uint32_t *)(void *)column->offsets.data,
                                                      .bytes = column->values.data};
    }
}

void sample_table_deinit(struct sample_table *table) {
    for (int c = 0; c < SAMPLE_COLUMNS; c++) {
        buffer_deinit(&table->columns[c].values);
        buffer_deinit(&table->columns[c].offsets);
        buffer_deinit(&table->columns[c].validity);
    }
}

static struct slice value_at(const struct parquet_node *node, const struct parquet_column_data *data, uint64_t row) {
    static const uint8_t truths[2] = {0, 1};
    uint32_t width = parquet_type_width(node->type, node->type_length);
    if (node->type == PARQUET_TYPE_BYTE_ARRAY) return parquet_column_data_bytes(data, row);
    const uint8_t *values = data->values;
    if (node->type == PARQUET_TYPE_BOOLEAN) return slice_of(&truths[(values[row >> 3] >> (row & 7)) & 1], 1);
    return slice_of(values + row * width, width);
}

bool sample_equal(const struct parquet_node *node, const struct parquet_column_data *a, uint64_t a_row,
                  const struct parquet_column_data *b, uint64_t b_row) {
    bool is_null = parquet_column_data_is_null(a, a_row);
    if (is_null != parquet_column_data_is_null(b, b_row)) return false;
    return is_null || slice_equal(value_at(node, a, a_row), value_at(node, b, b_row));
}
