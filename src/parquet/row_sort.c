/* Sorting rows. See row_sort.h. */
#include "parquet/row_sort.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "parquet/statistics_private.h"
#include "parquet/writer.h"

enum { MERGE_RUNS_MAX = 32, RUN_PAGE_ROWS_MAX = 4096, RUN_GROUP_BYTES = 16 << 20, OUT_BYTES_ENOUGH = 4 << 20 };

/* A row of the buffer: what decides most comparisons, and its number. */
struct sort_entry {
    uint64_t prefix;
    uint64_t row;
};

/* ---- The order ---- */

static bool is_nan(enum parquet_order order, struct slice value) {
    bool is_floating = order == PARQUET_ORDER_FLOAT || order == PARQUET_ORDER_DOUBLE || order == PARQUET_ORDER_FLOAT16;
    return is_floating && statistics_value_is_nan(order, value.data);
}

static int compare_values(enum parquet_order order, struct slice a, struct slice b) {
    bool a_is_nan = is_nan(order, a), b_is_nan = is_nan(order, b);
    if (a_is_nan || b_is_nan) return a_is_nan - b_is_nan;
    return parquet_value_compare(order, a, b);
}

/* <0, 0, >0 for two rows, by the sorting columns. */
static int compare_rows(const struct row_sort *sort, const struct parquet_column_data *a, uint64_t a_row,
                        const struct parquet_column_data *b, uint64_t b_row) {
    for (uint32_t i = 0; i < sort->sorting_count; i++) {
        const struct parquet_sorting_column *by = &sort->sorting[i];
        const struct parquet_column *column = &sort->schema->columns[by->column];
        bool a_is_null = parquet_column_data_is_null(&a[by->column], a_row);
        bool b_is_null = parquet_column_data_is_null(&b[by->column], b_row);
        uint8_t bits[2];
        if (a_is_null != b_is_null) return a_is_null == by->nulls_first ? -1 : 1;
        if (a_is_null) continue;
        int result =
            compare_values(parquet_column_order(column), column_rows_value(column, &a[by->column], a_row, &bits[0]),
                           column_rows_value(column, &b[by->column], b_row, &bits[1]));
        if (result) return by->is_descending ? -result : result;
    }
    return 0;
}

static uint64_t floating_prefix(uint64_t bits, uint64_t sign) {
    if ((bits & ~sign) == 0) bits = 0; /* zeros are equal */
    return bits & sign ? ~bits : bits | sign;
}

/* A number that never says of two values the opposite of compare_values. */
static uint64_t value_prefix(enum parquet_order order, struct slice value) {
    const uint64_t sign = UINT64_C(1) << 63;
    uint8_t first[8] = {0};
    if (is_nan(order, value)) return UINT64_MAX;
    switch (order) {
    case PARQUET_ORDER_INT32: return (uint64_t)load_u32(value.data) << 32 ^ sign;
    case PARQUET_ORDER_UINT32: return (uint64_t)load_u32(value.data) << 32;
    case PARQUET_ORDER_INT64: return load_u64(value.data) ^ sign;
    case PARQUET_ORDER_UINT64: return load_u64(value.data);
    case PARQUET_ORDER_FLOAT: return floating_prefix((uint64_t)load_u32(value.data) << 32, sign);
    case PARQUET_ORDER_DOUBLE: return floating_prefix(load_u64(value.data), sign);
    case PARQUET_ORDER_BYTES:
        if (value.size) memcpy(first, value.data, value.size < 8 ? value.size : 8);
        return __builtin_bswap64(load_u64(first));
    default: return 0;
    }
}

static uint64_t row_prefix(const struct row_sort *sort, uint64_t row) {
    const struct parquet_sorting_column *by = &sort->sorting[0];
    const struct parquet_column *column = &sort->schema->columns[by->column];
    const struct parquet_column_data *data = &sort->rows.data[by->column];
    uint8_t bit;
    if (parquet_column_data_is_null(data, row)) return by->nulls_first ? 0 : UINT64_MAX;
    uint64_t prefix = value_prefix(parquet_column_order(column), column_rows_value(column, data, row, &bit));
    prefix = (by->is_descending ? ~prefix : prefix) >> 1;
    return prefix + 1; /* 1 .. 2^63: between the nulls */
}

static int compare_entries(const void *a, const void *b, void *context) {
    const struct row_sort *sort = context;
    const struct sort_entry *first = a, *second = b;
    if (first->prefix != second->prefix) return first->prefix < second->prefix ? -1 : 1;
    int result = compare_rows(sort, sort->rows.data, first->row, sort->rows.data, second->row);
    return result ? result : (first->row > second->row) - (first->row < second->row);
}

/* Where the rows of columns in lists begin. */
static bool find_slots(struct row_sort *sort) {
    for (uint32_t i = 0; i < sort->schema->column_count; i++) {
        const struct parquet_column_data *data = &sort->rows.data[i];
        struct buffer *slots = &sort->row_slots[i];
        buffer_clear(slots);
        if (parquet_column_is_flat(&sort->schema->columns[i])) continue;
        if (!buffer_reserve(slots, ((size_t)sort->rows.rows + 1) * sizeof(uint32_t))) return false;
        uint32_t *to = (uint32_t *)(void *)slots->data;
        size_t count = 0;
        for (uint64_t k = 0; k < data->slots; k++)
            if (data->repetition_levels[k] == 0) to[count++] = (uint32_t)k;
        to[count] = (uint32_t)data->slots;
    }
    return true;
}

static enum plinth_status sort_rows(struct row_sort *sort, struct plinth_error *error) {
    size_t rows = (size_t)sort->rows.rows;
    row_buffer_view(&sort->rows);
    buffer_clear(&sort->order);
    if (!find_slots(sort) || !buffer_reserve(&sort->order, rows * sizeof(struct sort_entry) + 1))
        return error_no_memory(error, "rows to be sorted");
    struct sort_entry *entries = (struct sort_entry *)(void *)sort->order.data;
    for (size_t i = 0; i < rows; i++) entries[i] = (struct sort_entry){row_prefix(sort, i), i};
    sort->order.size = rows * sizeof *entries;
    if (rows > 1) qsort_r(entries, rows, sizeof *entries, compare_entries, sort);
    sort->at = 0;
    return PLINTH_OK;
}

/* Rows `row` .. `row` + `count` - 1 of the buffer. */
static bool copy_rows(struct row_sort *sort, uint64_t row, uint64_t count) {
    for (uint32_t i = 0; i < sort->schema->column_count; i++) {
        const uint32_t *slots = (const uint32_t *)(const void *)sort->row_slots[i].data;
        bool is_flat = parquet_column_is_flat(&sort->schema->columns[i]);
        uint64_t begin = is_flat ? row : slots[row], end = is_flat ? row + count : slots[row + count];
        if (!row_buffer_append(&sort->out, i, &sort->rows.data[i], begin, end - begin)) return false;
    }
    sort->out.rows += count;
    return true;
}

/* Sorted rows of the buffer into `out`. */
static enum plinth_status next_of_buffer(struct row_sort *sort, uint64_t rows_max, struct plinth_error *error) {
    enum { CHECK_ROWS = 64 };
    const struct sort_entry *entries = (const struct sort_entry *)(const void *)sort->order.data;
    row_buffer_clear(&sort->out);
    while (sort->at < sort->rows.rows && sort->out.rows < rows_max) {
        uint64_t row = entries[sort->at].row, count = 1, most = rows_max - sort->out.rows;
        if (most > CHECK_ROWS) most = CHECK_ROWS;
        while (count < most && sort->at + count < sort->rows.rows && entries[sort->at + count].row == row + count)
            count++;
        if (!copy_rows(sort, row, count)) return error_no_memory(error, "sorted rows");
        sort->at += count;
        if (sort->out.rows % CHECK_ROWS == 0 && row_buffer_bytes(&sort->out) >= OUT_BYTES_ENOUGH) break;
    }
    row_buffer_view(&sort->out);
    return PLINTH_OK;
}

/* ---- Runs ---- */

struct sorted_run {
    struct parquet_source source;
    struct parquet_reader *reader;
    struct env_file *file;
};

struct run_writer {
    struct parquet_sink sink;
    struct env_file *file;
    uint64_t at;
};

static enum plinth_status write_run_bytes(struct parquet_sink *sink, struct slice bytes, struct plinth_error *error) {
    struct run_writer *writer = (struct run_writer *)(void *)sink;
    enum plinth_status st = file_write(writer->file, writer->at, bytes.data, bytes.size, error);
    writer->at += bytes.size;
    return st;
}

static void run_destroy(struct sorted_run *run) {
    if (!run) return;
    parquet_reader_close(run->reader);
    file_close(run->file);
    free(run);
}

static enum plinth_status make_file(struct row_sort *sort, struct env_file **file, struct plinth_error *error) {
    char path[4096];
    if ((size_t)snprintf(path, sizeof path, "%s.%" PRIu64, sort->scratch_path, sort->run_number) >= sizeof path)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "%.100s...: the path is too long", sort->scratch_path);
    enum plinth_status st = env_open(sort->env, path, ENV_READ | ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, file, error);
    if (!st) st = env_remove(sort->env, path, error); /* the bytes stay until it is closed */
    if (!st) sort->run_number++;
    return st;
}

/* As many rows a page as let MERGE_RUNS_MAX runs be read at once. */
static uint32_t run_page_rows(const struct row_sort *sort) {
    uint64_t row_bytes = sort->rows.rows ? row_buffer_bytes(&sort->rows) / sort->rows.rows + 1 : 1;
    uint64_t rows = sort->memory_bytes_max / (4 * MERGE_RUNS_MAX) / row_bytes;
    return rows < 16 ? 16 : rows > RUN_PAGE_ROWS_MAX ? RUN_PAGE_ROWS_MAX : (uint32_t)rows;
}

typedef enum plinth_status next_rows(struct row_sort *sort, void *context, uint64_t rows_max,
                                     struct plinth_error *error);

static enum plinth_status write_rows(struct row_sort *sort, struct parquet_writer *writer, next_rows *next,
                                     void *context, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    while (!st) {
        st = next(sort, context, RUN_PAGE_ROWS_MAX, error);
        if (st || sort->out.rows == 0) break;
        st = parquet_writer_write(writer, sort->out.data, sort->out.rows, error);
        if (!st && parquet_writer_row_group_bytes(writer) >= RUN_GROUP_BYTES)
            st = parquet_writer_end_row_group(writer, error);
    }
    return st;
}

/* What `next` puts into sort->out, until it is nothing, as a file. */
static enum plinth_status write_run(struct row_sort *sort, next_rows *next, void *context, struct sorted_run **run_out,
                                    struct plinth_error *error) {
    uint32_t columns = sort->schema->column_count;
    struct run_writer sink = {.sink.write = write_run_bytes};
    struct parquet_writer *writer = NULL;
    *run_out = NULL;
    struct parquet_column_options *options = calloc(columns + 1, sizeof *options);
    struct sorted_run *run = calloc(1, sizeof *run);
    enum plinth_status st = options && run ? PLINTH_OK : error_no_memory(error, "sorted rows");
    for (uint32_t i = 0; !st && i < columns; i++) {
        options[i] = parquet_column_options_default();
        options[i].codec = PARQUET_CODEC_LZ4_RAW;
        options[i].statistics = options[i].page_index = false;
    }
    const struct parquet_writer_options file_options = {.stripe_rows = sort->run_page_rows};
    if (!st) st = make_file(sort, &run->file, error);
    if (st) goto done;
    sink.file = run->file;
    st = parquet_writer_create(&sink.sink, sort->schema->nodes, sort->schema->node_count, options, &file_options,
                               &writer, error);
    if (!st) st = write_rows(sort, writer, next, context, error);
    if (!st) st = parquet_writer_finish(writer, NULL, error);
    if (!st) st = file_map(run->file, &run->source.mapped, &run->source.size, error);
    if (!st) st = parquet_reader_open(&run->source, NULL, &run->reader, error);
done:
    parquet_writer_destroy(writer);
    free(options);
    if (st)
        run_destroy(run);
    else
        *run_out = run;
    return st;
}

static enum plinth_status next_for_run(struct row_sort *sort, void *context, uint64_t rows_max,
                                       struct plinth_error *error) {
    (void)context;
    return next_of_buffer(sort, rows_max, error);
}

/* The buffer's rows become a run. */
static enum plinth_status spill(struct row_sort *sort, struct plinth_error *error) {
    struct sorted_run *run;
    if (!sort->run_page_rows) sort->run_page_rows = run_page_rows(sort);
    enum plinth_status st = sort_rows(sort, error);
    if (!st) st = write_run(sort, next_for_run, NULL, &run, error);
    if (st) return st;
    if (!buffer_append(&sort->runs, &run, sizeof run)) {
        run_destroy(run);
        return error_no_memory(error, "sorted rows");
    }
    row_buffer_clear(&sort->rows);
    return PLINTH_OK;
}

/* ---- Merging ---- */

/* Where a run is read. */
struct run_cursor {
    const struct sorted_run *run;
    struct parquet_scan *scan;
    uint32_t row_group; /* the next one */
    struct parquet_column_data *data;
    uint64_t *slots; /* of each column: where the row begins */
    uint64_t row, rows;
    bool is_over;
};

struct row_merge {
    uint32_t *columns; /* 0, 1, 2, ... */
    struct run_cursor *cursors;
    uint32_t *heap; /* cursors that are not over; the least row's first */
    uint32_t count, heap_count;
};

static void merge_destroy(struct row_merge *merge) {
    if (!merge) return;
    for (uint32_t i = 0; merge->cursors && i < merge->count; i++) {
        parquet_scan_destroy(merge->cursors[i].scan);
        free(merge->cursors[i].data);
        free(merge->cursors[i].slots);
    }
    free(merge->cursors);
    free(merge->columns);
    free(merge->heap);
    free(merge);
}

/* Goes on to rows, in the next row group if need be. */
static enum plinth_status fill_cursor(struct row_sort *sort, struct row_merge *merge, struct run_cursor *cursor,
                                      struct plinth_error *error) {
    uint32_t columns = sort->schema->column_count;
    enum plinth_status st = PLINTH_OK;
    cursor->row = cursor->rows = 0;
    while (!st && cursor->rows == 0) {
        if (!cursor->scan && cursor->row_group == parquet_reader_metadata(cursor->run->reader)->row_group_count) {
            cursor->is_over = true;
            return PLINTH_OK;
        }
        if (!cursor->scan)
            st = parquet_scan_create(cursor->run->reader, cursor->row_group++, merge->columns, columns, &cursor->scan,
                                     error);
        if (!st) st = parquet_scan_next(cursor->scan, 0, cursor->data, &cursor->rows, error);
        if (st || cursor->rows) break;
        parquet_scan_destroy(cursor->scan);
        cursor->scan = NULL;
    }
    memset(cursor->slots, 0, columns * sizeof *cursor->slots);
    if (st) error_prefix(error, "a run of sorted rows");
    return st;
}

/* Whether cursor `a` goes before cursor `b`. */
static bool is_before(const struct row_sort *sort, const struct row_merge *merge, uint32_t a, uint32_t b) {
    const struct run_cursor *first = &merge->cursors[a], *second = &merge->cursors[b];
    int result = compare_rows(sort, first->data, first->row, second->data, second->row);
    return result ? result < 0 : a < b;
}

static void sift_down(const struct row_sort *sort, struct row_merge *merge, uint32_t at) {
    for (;;) {
        uint32_t child = 2 * at + 1, cursor = merge->heap[at];
        if (child >= merge->heap_count) return;
        if (child + 1 < merge->heap_count && is_before(sort, merge, merge->heap[child + 1], merge->heap[child]))
            child++;
        if (!is_before(sort, merge, merge->heap[child], cursor)) return;
        merge->heap[at] = merge->heap[child];
        merge->heap[child] = cursor;
        at = child;
    }
}

static enum plinth_status merge_create(struct row_sort *sort, struct sorted_run *const *runs, uint32_t count,
                                       struct row_merge **merge_out, struct plinth_error *error) {
    uint32_t columns = sort->schema->column_count;
    enum plinth_status st = PLINTH_OK;
    *merge_out = NULL;
    struct row_merge *merge = calloc(1, sizeof *merge);
    if (!merge) return error_no_memory(error, "merge");
    merge->columns = calloc(columns + 1, sizeof *merge->columns);
    merge->cursors = calloc(count + 1, sizeof *merge->cursors);
    merge->heap = calloc(count + 1, sizeof *merge->heap);
    if (!merge->columns || !merge->cursors || !merge->heap) st = error_no_memory(error, "merge");
    for (uint32_t i = 0; !st && i < columns; i++) merge->columns[i] = i;
    for (uint32_t i = 0; !st && i < count; i++) {
        struct run_cursor *cursor = &merge->cursors[merge->count++];
        *cursor = (struct run_cursor){.run = runs[i]};
        cursor->data = calloc(columns + 1, sizeof *cursor->data);
        cursor->slots = calloc(columns + 1, sizeof *cursor->slots);
        st = cursor->data && cursor->slots ? fill_cursor(sort, merge, cursor, error) : error_no_memory(error, "merge");
        if (!st && !cursor->is_over) merge->heap[merge->heap_count++] = i;
    }
    for (uint32_t i = merge->heap_count / 2; !st && i-- > 0;) sift_down(sort, merge, i);
    if (st)
        merge_destroy(merge);
    else
        *merge_out = merge;
    return st;
}

/* The cursor's row to `out`. */
static bool take_row(struct row_sort *sort, struct run_cursor *cursor) {
    for (uint32_t i = 0; i < sort->schema->column_count; i++) {
        const struct parquet_column_data *data = &cursor->data[i];
        uint64_t begin = cursor->slots[i], end = begin + 1;
        if (!parquet_column_is_flat(&sort->schema->columns[i]))
            while (end < data->slots && data->repetition_levels[end] > 0) end++;
        if (!row_buffer_append(&sort->out, i, data, begin, end - begin)) return false;
        cursor->slots[i] = end;
    }
    sort->out.rows++;
    cursor->row++;
    return true;
}

static enum plinth_status next_of_merge(struct row_sort *sort, void *context, uint64_t rows_max,
                                        struct plinth_error *error) {
    struct row_merge *merge = context;
    enum plinth_status st = PLINTH_OK;
    enum { CHECK_ROWS = 64 };
    row_buffer_clear(&sort->out);
    while (!st && merge->heap_count > 0 && sort->out.rows < rows_max) {
        struct run_cursor *cursor = &merge->cursors[merge->heap[0]];
        if (!take_row(sort, cursor)) return error_no_memory(error, "sorted rows");
        if (cursor->row == cursor->rows) st = fill_cursor(sort, merge, cursor, error);
        if (cursor->is_over) merge->heap[0] = merge->heap[--merge->heap_count];
        if (!st) sift_down(sort, merge, 0);
        if (sort->out.rows % CHECK_ROWS == 0 && row_buffer_bytes(&sort->out) >= OUT_BYTES_ENOUGH) break;
    }
    row_buffer_view(&sort->out);
    return st;
}

static struct sorted_run **runs_of(const struct row_sort *sort) {
    return (struct sorted_run **)(void *)sort->runs.data;
}
static uint32_t run_count(const struct row_sort *sort) {
    return (uint32_t)(sort->runs.size / sizeof(struct sorted_run *));
}

/* Neighbouring runs become one until so few are left that they can be read at once. */
static enum plinth_status merge_down(struct row_sort *sort, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    while (!st && run_count(sort) > MERGE_RUNS_MAX) {
        struct sorted_run **runs = runs_of(sort);
        uint32_t count = run_count(sort), kept = 0;
        for (uint32_t i = 0; !st && i < count; i += MERGE_RUNS_MAX) {
            uint32_t some = count - i < MERGE_RUNS_MAX ? count - i : MERGE_RUNS_MAX;
            struct row_merge *merge;
            struct sorted_run *longer;
            st = merge_create(sort, runs + i, some, &merge, error);
            if (st) break;
            st = write_run(sort, next_of_merge, merge, &longer, error);
            merge_destroy(merge);
            if (st) break;
            for (uint32_t k = 0; k < some; k++) {
                run_destroy(runs[i + k]);
                runs[i + k] = NULL;
            }
            runs[kept++] = longer;
        }
        if (!st) sort->runs.size = kept * sizeof *runs;
    }
    return st;
}

/* ---- From outside ---- */

enum plinth_status row_sort_init(struct row_sort *sort, const struct parquet_schema *schema,
                                 const struct parquet_sorting_column *sorting, uint32_t sorting_count,
                                 uint64_t memory_bytes_max, struct env *env, const char *scratch_path,
                                 struct plinth_error *error) {
    *sort = (struct row_sort){.schema = schema,
                              .sorting = sorting,
                              .sorting_count = sorting_count,
                              .memory_bytes_max = memory_bytes_max,
                              .env = env,
                              .scratch_path = scratch_path};
    sort->row_slots = calloc(schema->column_count + 1, sizeof *sort->row_slots);
    bool is_ok = row_buffer_init(&sort->rows, schema);
    is_ok = row_buffer_init(&sort->out, schema) && is_ok;
    if (!is_ok || !sort->row_slots) return error_no_memory(error, "rows to be sorted");
    for (uint32_t i = 0; i < sorting_count; i++) {
        const struct parquet_column *column = &schema->columns[sorting[i].column];
        if (!parquet_column_is_flat(column))
            return error_set(error, PLINTH_INVALID_ARGUMENT,
                             "rows cannot be sorted by column %.100s, which is in a list", column->path);
        if (parquet_column_order(column) == PARQUET_ORDER_NONE)
            return error_set(error, PLINTH_UNSUPPORTED, "rows cannot be sorted by column %.100s, which has no order",
                             column->path);
    }
    return PLINTH_OK;
}

void row_sort_deinit(struct row_sort *sort) {
    merge_destroy(sort->merge);
    for (uint32_t i = 0; i < run_count(sort); i++) run_destroy(runs_of(sort)[i]);
    for (uint32_t i = 0; sort->row_slots && i < sort->schema->column_count; i++) buffer_deinit(&sort->row_slots[i]);
    free(sort->row_slots);
    if (sort->rows.schema) row_buffer_deinit(&sort->rows);
    if (sort->out.schema) row_buffer_deinit(&sort->out);
    buffer_deinit(&sort->order);
    buffer_deinit(&sort->runs);
}

enum plinth_status row_sort_add(struct row_sort *sort, const struct parquet_column_data *columns, uint64_t rows,
                                struct plinth_error *error) {
    enum { COLUMN_BYTES_MAX = 1 << 30 };
    enum plinth_status st = PLINTH_OK;
    uint64_t own = row_buffer_bytes(&sort->rows) + sort->rows.rows * (sizeof(struct sort_entry) + sizeof(uint32_t));
    bool is_full = own > sort->memory_bytes_max / 3 || row_buffer_longest(&sort->rows) > COLUMN_BYTES_MAX ||
                   sort->rows.rows > INT32_MAX;
    if (is_full && sort->rows.rows > 0) st = spill(sort, error);
    if (st) return st;
    if (!row_buffer_append_rows(&sort->rows, columns, rows)) return error_no_memory(error, "rows to be sorted");
    sort->rows_total += rows;
    return PLINTH_OK;
}

enum plinth_status row_sort_finish(struct row_sort *sort, struct plinth_error *error) {
    if (run_count(sort) == 0) return sort_rows(sort, error);
    enum plinth_status st = sort->rows.rows > 0 ? spill(sort, error) : PLINTH_OK;
    if (!st) st = merge_down(sort, error);
    return st ? st : row_sort_rewind(sort, error);
}

enum plinth_status row_sort_rewind(struct row_sort *sort, struct plinth_error *error) {
    sort->at = 0;
    merge_destroy(sort->merge);
    sort->merge = NULL;
    return run_count(sort) ? merge_create(sort, runs_of(sort), run_count(sort), &sort->merge, error) : PLINTH_OK;
}

enum plinth_status row_sort_next(struct row_sort *sort, uint64_t rows_max, const struct parquet_column_data **columns,
                                 uint64_t *rows, struct plinth_error *error) {
    *rows = 0;
    enum plinth_status st =
        sort->merge ? next_of_merge(sort, sort->merge, rows_max, error) : next_of_buffer(sort, rows_max, error);
    *columns = sort->out.data;
    if (!st) *rows = sort->out.rows;
    return st;
}
