/* Threads of a writer: the same bytes with any number of them, also where the first rows have been encoded by trials;
 * each column's work is done once, and of several failures the first column's is told. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/status.h"
#include "parquet/column_crew.h"
#include "plinth_parquet.h"
#include "support/test_support.h"

/* ---- Rows: numbers and texts that are encoded in several ways ---- */

enum { ROWS = 25000, ROW_GROUP_ROWS = 30000, COLUMNS = 6 };

static struct {
    int64_t rising[ROWS], any[ROWS];
    double price[ROWS];
    int32_t few[ROWS], offsets[ROWS + 1], word_offsets[ROWS + 1];
    char unique[ROWS * 12], words[ROWS * 8];
} values;

static void nothing_schema(struct ArrowSchema *schema) { schema->release = NULL; }
static void nothing_array(struct ArrowArray *array) { array->release = NULL; }

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

static void make_values(void) {
    uint64_t random = 88172645463325252;
    for (int i = 0; i < ROWS; i++) {
        values.rising[i] = 1700000000000000 + i * 1000 + (int64_t)(next_random(&random) % 300);
        values.any[i] = (int64_t)next_random(&random);
        values.price[i] = (double)(next_random(&random) % 20000) / 100;
        values.few[i] = (int32_t)(next_random(&random) % 100);
        values.offsets[i + 1] =
            values.offsets[i] + snprintf(values.unique + values.offsets[i], 12, "%x", (unsigned)next_random(&random));
        values.word_offsets[i + 1] = values.word_offsets[i] + snprintf(values.words + values.word_offsets[i], 8, "w%d",
                                                                       (int)(next_random(&random) % 500));
    }
}

struct rows {
    struct ArrowSchema schema, fields[COLUMNS], *field_list[COLUMNS];
    struct ArrowArray batch, columns[COLUMNS], *column_list[COLUMNS];
    const void *buffers[COLUMNS][3], *none[1];
};

static void rows_init(struct rows *rows) {
    static const char *const names[] = {"rising", "any", "price", "few", "unique", "words"};
    static const char *const formats[] = {"l", "l", "g", "i", "u", "u"};
    const void *first[] = {values.rising, values.any, values.price, values.few, values.offsets, values.word_offsets};
    *rows = (struct rows){0};
    for (int i = 0; i < COLUMNS; i++) {
        bool is_text = formats[i][0] == 'u';
        rows->buffers[i][1] = first[i];
        if (is_text) rows->buffers[i][2] = i == 4 ? values.unique : values.words;
        rows->fields[i] = (struct ArrowSchema){.format = formats[i], .name = names[i], .release = nothing_schema};
        rows->columns[i] = (struct ArrowArray){
            .length = ROWS, .n_buffers = is_text ? 3 : 2, .buffers = rows->buffers[i], .release = nothing_array};
        rows->field_list[i] = &rows->fields[i];
        rows->column_list[i] = &rows->columns[i];
    }
    rows->schema = (struct ArrowSchema){
        .format = "+s", .name = "", .n_children = COLUMNS, .children = rows->field_list, .release = nothing_schema};
    rows->batch = (struct ArrowArray){.length = ROWS,
                                      .n_buffers = 1,
                                      .n_children = COLUMNS,
                                      .buffers = rows->none,
                                      .children = rows->column_list,
                                      .release = nothing_array};
}

static enum plinth_status write_buffer(void *context, const void *bytes, size_t size, struct plinth_error *error) {
    return buffer_append(context, bytes, size) ? PLINTH_OK : error_no_memory(error, "file");
}

static void write_rows(uint32_t threads, uint32_t page_rows, struct buffer *bytes) {
    static const struct plinth_parquet_column_options bloom = {.column = "unique", .bloom_filter = true};
    struct plinth_parquet_write_options options = plinth_parquet_write_options_default();
    struct plinth_parquet_writer *writer;
    struct plinth_error error;
    struct rows rows;
    rows_init(&rows);
    options.threads = threads;
    options.page_rows = page_rows;
    options.row_group_rows = ROW_GROUP_ROWS;
    options.columns = &bloom;
    options.column_count = 1;
    assert_int_equal(plinth_parquet_writer_open_function(write_buffer, bytes, &rows.schema, &options, &writer, &error),
                     PLINTH_OK);
    for (int i = 0; i < 2; i++) assert_int_equal(plinth_parquet_writer_write(writer, &rows.batch, &error), PLINTH_OK);
    assert_int_equal(plinth_parquet_writer_finish(writer, NULL, &error), PLINTH_OK);
    plinth_parquet_writer_destroy(writer);
}

static void any_number_of_threads_writes_the_same_bytes(void **state) {
    static const uint32_t page_rows[] = {0, 7777};
    (void)state;
    make_values();
    for (size_t p = 0; p < sizeof page_rows / sizeof page_rows[0]; p++) {
        struct buffer one = BUFFER_INIT;
        write_rows(1, page_rows[p], &one);
        for (uint32_t threads = 3; threads <= 99; threads *= 33) {
            struct buffer many = BUFFER_INIT;
            write_rows(threads, page_rows[p], &many);
            assert_int_equal(many.size, one.size);
            assert_memory_equal(many.data, one.data, one.size);
            buffer_deinit(&many);
        }
        buffer_deinit(&one);
    }
}

/* Compares a batch with the rows from `row` of the two times ROWS that were written. */
static void check_batch(const struct ArrowArray *batch, int64_t row) {
    const struct ArrowArray *const *columns = (const struct ArrowArray *const *)batch->children;
    for (int64_t i = 0; i < batch->length; i++) {
        int64_t at = (row + i) % ROWS;
        bool is_same = ((const int64_t *)columns[0]->buffers[1])[i] == values.rising[at] &&
                       ((const int64_t *)columns[1]->buffers[1])[i] == values.any[at] &&
                       ((const double *)columns[2]->buffers[1])[i] == values.price[at] &&
                       ((const int32_t *)columns[3]->buffers[1])[i] == values.few[at];
        for (int c = 4; c < COLUMNS; c++) {
            const int32_t *offsets = columns[c]->buffers[1], *own = c == 4 ? values.offsets : values.word_offsets;
            const char *text = c == 4 ? values.unique : values.words;
            is_same = is_same && offsets[i + 1] - offsets[i] == own[at + 1] - own[at] &&
                      memcmp((const char *)columns[c]->buffers[2] + offsets[i], text + own[at],
                             (size_t)(own[at + 1] - own[at])) == 0;
        }
        if (!is_same) fail_msg("row %lld is another one", (long long)(row + i));
    }
}

static void rows_of_trials_and_those_behind_come_back(void **state) {
    static const uint32_t page_rows[] = {0, 7777, 40000};
    (void)state;
    make_values();
    for (size_t p = 0; p < sizeof page_rows / sizeof page_rows[0]; p++) {
        struct buffer bytes = BUFFER_INIT;
        struct plinth_parquet_file *file;
        struct ArrowArrayStream stream;
        struct ArrowArray batch;
        struct plinth_error error;
        int64_t row = 0;
        write_rows(2, page_rows[p], &bytes);
        assert_int_equal(plinth_parquet_open_memory(bytes.data, bytes.size, NULL, &file, &error), PLINTH_OK);
        assert_int_equal(plinth_parquet_read(file, NULL, &stream, &error), PLINTH_OK);
        while (stream.get_next(&stream, &batch) == 0 && batch.release) {
            check_batch(&batch, row);
            row += batch.length;
            batch.release(&batch);
        }
        assert_int_equal(row, 2 * ROWS);
        stream.release(&stream);
        plinth_parquet_close(file);
        buffer_deinit(&bytes);
    }
}

/* ---- The crew alone ---- */

struct counted_work {
    atomic_uint times[100];
    uint32_t fails_from, fails_every;
};

static enum plinth_status count_or_fail(void *context, uint32_t column, struct encode_scratch *scratch,
                                        struct arena *arena, struct plinth_error *error) {
    struct counted_work *work = context;
    (void)scratch;
    if (!arena_alloc(arena, 100)) return error_no_memory(error, "test");
    atomic_fetch_add(&work->times[column], 1);
    if (work->fails_every && column >= work->fails_from && column % work->fails_every == 0)
        return error_set(error, PLINTH_TOO_LARGE, "column %u", column);
    return PLINTH_OK;
}

static void the_first_column_that_failed_is_told(void **state) {
    (void)state;
    for (uint32_t threads = 1; threads <= 8; threads++) {
        struct column_crew *crew;
        struct plinth_error error;
        assert_int_equal(column_crew_create(threads, &crew, &error), PLINTH_OK);
        for (uint32_t round = 0; round < 200; round++) {
            struct counted_work work = {.fails_from = round % 60 + 1, .fails_every = round % 2 ? 7 : 0};
            uint32_t columns = round % 100 + 1, first = (work.fails_from + 6) / 7 * 7;
            bool fails = work.fails_every && first < columns;
            enum plinth_status st = column_crew_run(crew, columns, count_or_fail, &work, &error);
            assert_int_equal(st, fails ? PLINTH_TOO_LARGE : PLINTH_OK);
            if (fails) {
                char text[32];
                snprintf(text, sizeof text, "column %u", first);
                assert_string_equal(error.text, text);
            }
            for (uint32_t i = 0; i < 100; i++)
                assert_int_equal(atomic_load(&work.times[i]), i < columns && !(fails && threads == 1 && i > first));
        }
        column_crew_destroy(crew);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_number_of_threads_writes_the_same_bytes),
        cmocka_unit_test(rows_of_trials_and_those_behind_come_back),
        cmocka_unit_test(the_first_column_that_failed_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
