/* Merging the rows of typed tables, as blocks. */
#include "engine/compact.h"

#include <stdlib.h>

#include "base/status.h"
#include "engine/expired_runs.h"
#include "engine/row_output.h"
#include "table/expired_rows.h"

static int compare_ids(const void *a, const void *b) {
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

static enum plinth_status open_merge(struct merge *merge, const struct block_read *read, struct block_stream **merged,
                                     struct plinth_error *error) {
    const struct block_merge_options options = {
        .mode = MERGE_RETAIN, .lsn = merge->horizon_lsn, .bottom = merge->bottom};
    struct block_stream **inputs = malloc((merge->count + 1) * sizeof *inputs);
    enum plinth_status st = inputs ? PLINTH_OK : error_no_memory(error, "compaction");
    size_t opened = 0;
    for (size_t i = 0; !st && i < merge->count; i++) {
        if (!merge->inputs[i].read) continue;
        st = run_block_stream_open(merge->inputs[i].read, read, &inputs[opened], error);
        if (!st) st = expired_rows_stream_open(inputs[opened], read, merge->expired_us, &inputs[opened], error);
        opened += !st;
    }
    if (!st)
        st = block_merge_open(inputs, opened, read, &options, merged, error);
    else
        for (size_t i = 0; i < opened; i++) block_stream_close(inputs[i]);
    free(inputs);
    return st;
}

/* The rows between two cuts. */
static enum plinth_status merge_range(struct merge *merge, const struct block_read *read, struct row_output *rows,
                                      struct plinth_error *error) {
    struct block_stream *merged = NULL;
    enum plinth_status st = open_merge(merge, read, &merged, error);
    while (!st) {
        struct row_block *block;
        st = block_stream_next(merged, &block, error);
        if (st || !block) break;
        st = row_output_add(rows, block, error);
        merge_note_rows(merge, block->rows);
        row_block_unref(block);
        if (!st) st = merge_check(merge, error);
    }
    block_stream_close(merged);
    return st ? st : row_output_finish(rows, error);
}

enum plinth_status merge_rows(struct merge *merge, struct output *output, struct plinth_error *error) {
    const struct table_schema *schema = merge->schema;
    struct row_output rows;
    uint32_t *ids = malloc((schema->column_count + 1) * sizeof *ids);
    enum plinth_status st = ids ? PLINTH_OK : error_no_memory(error, "compaction");
    for (uint32_t i = 0; !st && i < schema->column_count; i++) ids[i] = schema->columns[i].id;
    if (!st) qsort(ids, schema->column_count, sizeof *ids, compare_ids);
    row_output_init(&rows, output, schema);
    if (!st) st = merge_choose_read(merge, error);
    if (!st) st = row_output_fix_partition(&rows, merge->has_partition, merge->partition, error);
    for (size_t cut = 0; !st && cut <= merge->cut_count; cut++) {
        const struct block_read read = {.schema = schema,
                                        .column_ids = ids,
                                        .column_count = schema->column_count,
                                        .with_keys = true,
                                        .lower = cut ? merge->cuts[cut - 1] : slice_of(NULL, 0),
                                        .upper = cut < merge->cut_count ? merge->cuts[cut] : slice_of(NULL, 0)};
        st = merge_range(merge, &read, &rows, error);
    }
    merge_note_dropped(merge);
    row_output_deinit(&rows);
    free(ids);
    return st;
}
