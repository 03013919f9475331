#include "table/partition.h"

static int64_t floor_divide(int64_t value, int64_t by) { return value / by - (value % by < 0); }

/* Microseconds of one unit of the column, or 0 and how many units are a microsecond. */
static int64_t unit_us(struct column_type type, int64_t *units_a_us) {
    *units_a_us = 1;
    if (type.kind == COLUMN_DATE) return INT64_C(86400) * 1000 * 1000;
    switch (type.unit) {
    case TIME_SECOND: return 1000 * 1000;
    case TIME_MILLI: return 1000;
    case TIME_MICRO: return 1;
    default: *units_a_us = 1000; return 0;
    }
}

bool partitions_of(const struct table_schema *schema, const struct row_block *block, int64_t *partitions) {
    const struct column *column = row_block_column(block, schema->partition_column);
    if (!column) return false;
    int64_t units_a_us, us = unit_us(column->type, &units_a_us), length = (int64_t)schema->partition_us;
    for (uint32_t i = 0; i < block->rows; i++) {
        int64_t value = column->type.kind == COLUMN_DATE ? ((const int32_t *)column->values)[i]
                                                         : ((const int64_t *)column->values)[i];
        int64_t time;
        if (!us)
            time = floor_divide(value, units_a_us);
        else if (__builtin_mul_overflow(value, us, &time))
            time = value < 0 ? INT64_MIN : INT64_MAX;
        partitions[i] = floor_divide(time, length);
    }
    return true;
}

bool partition_is_expired(const struct table_schema *schema, int64_t partition, uint64_t time_us) {
    if (!schema->retention_us || !schema->partition_us) return false;
    int64_t end;
    if (__builtin_add_overflow(partition, 1, &end) ||
        __builtin_mul_overflow(end, (int64_t)schema->partition_us, &end) ||
        __builtin_add_overflow(end, (int64_t)schema->retention_us, &end))
        return partition < 0;
    return end <= (int64_t)time_us;
}
