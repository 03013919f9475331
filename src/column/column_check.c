#include "base/status.h"
#include "column/column_private.h"

int128 decimal_power(unsigned exponent) {
    int128 power = 1;
    while (exponent--) power *= 10;
    return power;
}

bool decimal_fits(int128 value, unsigned precision) {
    int128 power = decimal_power(precision);
    return value < power && value > -power;
}

static enum plinth_status check_offsets(const struct column *column, uint32_t rows, uint64_t inside,
                                        struct plinth_error *error) {
    const uint32_t *offsets = column->offsets;
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < rows; i++) wrong |= offsets[i] > offsets[i + 1];
    if (!wrong && offsets[rows] <= inside && offsets[rows] <= COLUMN_BYTES_MAX) return PLINTH_OK;
    for (uint32_t i = 0; i < rows; i++)
        if (offsets[i] > offsets[i + 1])
            return error_set(error, PLINTH_INVALID_ARGUMENT, "row %u: offset %u is above the next one, %u", i,
                             offsets[i], offsets[i + 1]);
    return error_set(error, PLINTH_INVALID_ARGUMENT, "row %u: ends at offset %u of %llu", rows - 1, offsets[rows],
                     (unsigned long long)inside);
}

/* Nulls may hold anything, so when the bytes as a whole are not valid each value is looked at. */
static enum plinth_status check_utf8(const struct column *column, uint32_t rows, struct plinth_error *error) {
    const uint32_t *offsets = column->offsets;
    struct slice all = slice_of(column->bytes + offsets[0], offsets[rows] - offsets[0]);
    bool valid = utf8_find_invalid(all) == SIZE_MAX;
    /* Valid as a whole, a value can be wrong only where a row begins inside a sequence. */
    for (uint32_t i = 1; i < rows && valid; i++)
        if (offsets[i] < offsets[rows]) valid = (column->bytes[offsets[i]] & 0xC0) != 0x80;
    for (uint32_t i = 0; i < rows && !valid; i++) {
        if (column_is_null(column, i)) continue;
        size_t at = utf8_find_invalid(column_bytes_at(column, i));
        if (at != SIZE_MAX) return error_set(error, PLINTH_INVALID_ARGUMENT, "row %u: not UTF-8 at byte %zu", i, at);
    }
    return PLINTH_OK;
}

static enum plinth_status check_decimals(const struct column *column, uint32_t rows, struct plinth_error *error) {
    int128 power = decimal_power(column->type.precision);
    for (uint32_t i = 0; i < rows; i++) {
        int128 value = load_int128(column->values, i);
        if ((value >= power || value <= -power) && !column_is_null(column, i))
            return error_set(error, PLINTH_INVALID_ARGUMENT, "row %u: a decimal of more than %u digits", i,
                             column->type.precision);
    }
    return PLINTH_OK;
}

enum plinth_status column_check(struct column *column, uint32_t rows, uint64_t bytes_size, uint32_t child_rows,
                                struct plinth_error *error) {
    column->null_count = column->validity ? rows - bitmap_count(column->validity, rows) : 0;
    if (!column->null_count) column->validity = NULL;
    bool variable = column_kind_is_bytes(column->type.kind) || column->type.kind == COLUMN_LIST;
    if (variable && !rows) column->offsets = column_no_offsets;
    if (column->type.kind == COLUMN_LIST) {
        /* The child is as new as its parent, and nobody else's yet. */
        enum plinth_status status = column_check((struct column *)column->child, child_rows, bytes_size, 0, error);
        if (status) {
            error_prefix(error, "list elements");
            return status;
        }
        return check_offsets(column, rows, child_rows, error);
    }
    if (variable && !column->bytes) {
        column->bytes = (const uint8_t *)column_no_offsets;
        bytes_size = 0;
    }
    if (!rows) return PLINTH_OK;
    if (column->type.kind == COLUMN_DECIMAL) return check_decimals(column, rows, error);
    if (!variable) return PLINTH_OK;
    enum plinth_status status = check_offsets(column, rows, bytes_size, error);
    if (status || column->type.kind == COLUMN_BYTES) return status;
    return check_utf8(column, rows, error);
}
