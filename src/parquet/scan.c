/* Sequential batches of several columns of a row group. See reader.h.
 *
 * Each column has a cursor with one decoded page. A batch is the rows up to the nearest page end of any column, so
 * that it is a view of every column's page; where all columns break at the same rows, a batch is a stripe. Only
 * bitmaps that do not begin on a byte are copied. */
#include <stdlib.h>

#include "base/status.h"
#include "parquet/column_cursor.h"

struct parquet_scan {
    uint64_t row_count, row;
    struct parquet_scratch *scratch;
    uint32_t column_count;
    struct column_cursor cursors[];
};

enum plinth_status parquet_scan_create(const struct parquet_reader *reader, uint32_t row_group, const uint32_t *columns,
                                       uint32_t column_count, struct parquet_scan **scan_out,
                                       struct plinth_error *error) {
    *scan_out = NULL;
    if (row_group >= reader->metadata.row_group_count || column_count == 0)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "scan of row group %u of %u with %u columns", row_group,
                         reader->metadata.row_group_count, column_count);
    struct parquet_scan *scan = calloc(1, sizeof *scan + (size_t)column_count * sizeof scan->cursors[0]);
    if (!scan) return error_no_memory(error, "Parquet scan");
    scan->row_count = reader->metadata.row_groups[row_group].row_count;
    scan->column_count = column_count;
    enum plinth_status st = parquet_scratch_create(&scan->scratch, error);
    for (uint32_t i = 0; !st && i < column_count; i++)
        st = column_cursor_init(&scan->cursors[i], reader, row_group, columns[i], error);
    if (st)
        parquet_scan_destroy(scan);
    else
        *scan_out = scan;
    return st;
}

void parquet_scan_destroy(struct parquet_scan *scan) {
    if (!scan) return;
    for (uint32_t i = 0; i < scan->column_count; i++) column_cursor_deinit(&scan->cursors[i]);
    parquet_scratch_destroy(scan->scratch);
    free(scan);
}

size_t parquet_scan_memory(const struct parquet_scan *scan) {
    size_t bytes = sizeof *scan + parquet_scratch_memory(scan->scratch);
    for (uint32_t i = 0; i < scan->column_count; i++) bytes += column_cursor_memory(&scan->cursors[i]);
    return bytes;
}

enum plinth_status parquet_scan_next(struct parquet_scan *scan, uint64_t rows_max, struct parquet_column_data *data,
                                     uint64_t *rows, struct plinth_error *error) {
    uint64_t most = scan->row_count - scan->row;
    *rows = 0;
    if (rows_max && rows_max < most) most = rows_max;
    if (most == 0) return PLINTH_OK;
    for (uint32_t i = 0; i < scan->column_count; i++) {
        enum plinth_status st = column_cursor_fill(&scan->cursors[i], scan->scratch, error);
        if (st) return st;
        uint64_t left = column_cursor_rows_left(&scan->cursors[i]);
        if (left < most) most = left;
    }
    for (uint32_t i = 0; i < scan->column_count; i++) {
        enum plinth_status st = column_cursor_take(&scan->cursors[i], most, &data[i], error);
        if (st) return st;
    }
    scan->row += most;
    *rows = most;
    return PLINTH_OK;
}
