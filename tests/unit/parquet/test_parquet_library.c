/* The public library (plinth_parquet.h): nested rows out and in again, projections, bounds; and the same with every
 * allocation failing once: a status each time, nothing leaks, nothing that was given is lost. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "plinth_parquet.h"
#include "support/test_support.h"

/* How many more allocations succeed; the one after that fails. Negative: all succeed. */
static int64_t allocations_left = -1;
static bool has_failed;

static bool may_allocate(void) {
    if (allocations_left < 0) return true;
    has_failed |= allocations_left == 0;
    if (allocations_left == 0) return false;
    allocations_left--;
    return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

void *__wrap_malloc(size_t size) { return may_allocate() ? __real_malloc(size) : NULL; }
void *__wrap_calloc(size_t count, size_t size) { return may_allocate() ? __real_calloc(count, size) : NULL; }
void *__wrap_realloc(void *memory, size_t size) { return may_allocate() ? __real_realloc(memory, size) : NULL; }
void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    return may_allocate() ? __real_aligned_alloc(alignment, size) : NULL;
}

/* ---- Rows: id int64, not null; tags list<utf8>; place struct<x: int16, words: map<utf8, int32>> ----
 *
 *   0  ["a", null, "bc"]  {1, {"p": 1, "q": null}}
 *   1  []                 null
 *   2  null               {null, {}}
 *   3  ["d"]              {-4, null}                    */
enum { ROWS = 4 };

static void nothing_schema(struct ArrowSchema *schema) { schema->release = NULL; }
static void nothing_array(struct ArrowArray *array) { array->release = NULL; }

struct sample {
    struct ArrowSchema schemas[10], *schema_children[10];
    struct ArrowArray arrays[10], *array_children[10];
    const void *buffers[10][3];
    int schema_count, array_count;
};

static struct ArrowSchema *add_schema(struct sample *sample, const char *name, const char *format, bool nullable,
                                      int first_child, int children) {
    struct ArrowSchema *schema = &sample->schemas[sample->schema_count];
    *schema = (struct ArrowSchema){.format = format,
                                   .name = name,
                                   .flags = nullable ? ARROW_FLAG_NULLABLE : 0,
                                   .n_children = children,
                                   .children = &sample->schema_children[first_child],
                                   .release = nothing_schema};
    sample->schema_children[sample->schema_count++] = schema;
    return schema;
}

static struct ArrowArray *add_array(struct sample *sample, int64_t length, const void *validity, const void *second,
                                    const void *third, int first_child, int children) {
    int i = sample->array_count++;
    const void *buffers[3] = {validity, second, third};
    memcpy(sample->buffers[i], buffers, sizeof buffers);
    sample->arrays[i] = (struct ArrowArray){.length = length,
                                            .null_count = validity ? -1 : 0,
                                            .n_buffers = third    ? 3
                                                         : second ? 2
                                                                  : 1,
                                            .n_children = children,
                                            .buffers = sample->buffers[i],
                                            .children = &sample->array_children[first_child],
                                            .release = nothing_array};
    sample->array_children[i] = &sample->arrays[i];
    return &sample->arrays[i];
}

/* Children before their parents, those of one parent side by side. */
static void sample_init(struct sample *sample, struct ArrowSchema **schema, struct ArrowArray **array) {
    static const int64_t ids[] = {100, 101, 102, 103};
    static const int32_t tag_lists[] = {0, 3, 3, 3, 4}, tag_offsets[] = {0, 1, 1, 3, 4};
    static const int16_t xs[] = {1, 0, 0, -4};
    static const int32_t maps[] = {0, 2, 2, 2, 2}, key_offsets[] = {0, 1, 2}, numbers[] = {1, 0};
    static const uint8_t tag_lists_valid = 0xb, tags_valid = 0xd, place_valid = 0xd, x_valid = 0x9, maps_valid = 0x5,
                         number_valid = 0x1;
    *sample = (struct sample){0};
    add_schema(sample, "item", "u", true, 0, 0);      /* 0 */
    add_schema(sample, "key", "u", false, 0, 0);      /* 1 */
    add_schema(sample, "value", "i", true, 0, 0);     /* 2 */
    add_schema(sample, "entries", "+s", false, 1, 2); /* 3 */
    add_schema(sample, "x", "s", true, 0, 0);         /* 4 */
    add_schema(sample, "words", "+m", true, 3, 1);    /* 5 */
    add_schema(sample, "id", "l", false, 0, 0);       /* 6 */
    add_schema(sample, "tags", "+l", true, 0, 1);     /* 7 */
    add_schema(sample, "place", "+s", true, 4, 2);    /* 8 */
    *schema = add_schema(sample, "", "+s", false, 6, 3);
    add_array(sample, 4, &tags_valid, tag_offsets, "abcd", 0, 0);
    add_array(sample, 2, NULL, key_offsets, "pq", 0, 0);
    add_array(sample, 2, &number_valid, numbers, NULL, 0, 0);
    add_array(sample, 2, NULL, NULL, NULL, 1, 2);
    add_array(sample, ROWS, &x_valid, xs, NULL, 0, 0);
    add_array(sample, ROWS, &maps_valid, maps, NULL, 3, 1);
    add_array(sample, ROWS, NULL, ids, NULL, 0, 0);
    add_array(sample, ROWS, &tag_lists_valid, tag_lists, NULL, 0, 1);
    add_array(sample, ROWS, &place_valid, NULL, NULL, 4, 2);
    *array = add_array(sample, ROWS, NULL, NULL, NULL, 6, 3);
}

/* ---- Writing and reading ---- */

static enum plinth_status write_buffer(void *context, const void *bytes, size_t size, struct plinth_error *error) {
    (void)error;
    return buffer_append(context, bytes, size) ? PLINTH_OK : PLINTH_OUT_OF_MEMORY;
}

static enum plinth_status write_rows(struct buffer *into, int batches, struct plinth_error *error) {
    struct sample sample;
    struct ArrowSchema *schema;
    struct ArrowArray *array;
    struct plinth_parquet_writer *writer;
    struct plinth_parquet_write_options options = plinth_parquet_write_options_default();
    struct plinth_parquet_column_options column = {.column = "id", .bloom_filter = true};
    options.columns = &column;
    options.column_count = 1;
    options.page_rows = 3;
    options.row_group_rows = 10;
    sample_init(&sample, &schema, &array);
    enum plinth_status st = plinth_parquet_writer_open_function(write_buffer, into, schema, &options, &writer, error);
    if (!st) st = plinth_parquet_writer_add_key_value(writer, "origin", "a test", error);
    for (int i = 0; !st && i < batches; i++) st = plinth_parquet_writer_write(writer, array, error);
    if (!st) st = plinth_parquet_writer_finish(writer, NULL, error);
    plinth_parquet_writer_destroy(writer);
    return st;
}

/* Counts what comes; `visit` may be null. Allocations that fail are a failing stream. */
static enum plinth_status read_rows(const struct buffer *from, const struct plinth_parquet_selection *selection,
                                    void (*visit)(const struct ArrowArray *), uint64_t *rows,
                                    struct plinth_error *error) {
    struct plinth_parquet_file *file;
    struct ArrowArrayStream stream;
    struct ArrowSchema schema;
    struct ArrowArray batch;
    *rows = 0;
    enum plinth_status st = plinth_parquet_open_memory(from->data, from->size, NULL, &file, error);
    if (!st) st = plinth_parquet_read(file, selection, &stream, error);
    plinth_parquet_close(file);
    if (st) return st;
    int code = stream.get_schema(&stream, &schema);
    if (!code) schema.release(&schema);
    while (!code && (code = stream.get_next(&stream, &batch)) == 0 && batch.release) {
        *rows += (uint64_t)batch.length;
        if (visit) visit(&batch);
        batch.release(&batch);
    }
    if (code) {
        assert_non_null(stream.get_last_error(&stream));
        st = PLINTH_OUT_OF_MEMORY;
    }
    stream.release(&stream);
    return st;
}

static bool is_valid(const struct ArrowArray *array, int i) {
    return !array->buffers[0] || (((const uint8_t *)array->buffers[0])[i / 8] >> (i & 7) & 1);
}

static void check_sample(const struct ArrowArray *batch) {
    const struct ArrowArray *tags = batch->children[1], *place = batch->children[2];
    const struct ArrowArray *x = place->children[0], *words = place->children[1];
    static const int32_t tag_lists[] = {0, 3, 3, 3, 4}, maps[] = {0, 2, 2, 2, 2};
    assert_int_equal(batch->length, ROWS);
    assert_int_equal(((const int64_t *)batch->children[0]->buffers[1])[3], 103);
    assert_memory_equal(tags->buffers[1], tag_lists, sizeof tag_lists);
    assert_true(is_valid(tags, 0) && is_valid(tags, 1) && !is_valid(tags, 2) && is_valid(tags, 3));
    assert_true(!is_valid(tags->children[0], 1) && is_valid(tags->children[0], 2));
    assert_memory_equal(tags->children[0]->buffers[2], "abcd", 4);
    assert_true(is_valid(place, 0) && !is_valid(place, 1) && is_valid(place, 2));
    assert_true(is_valid(x, 0) && !is_valid(x, 2) && ((const int16_t *)x->buffers[1])[3] == -4);
    assert_memory_equal(words->buffers[1], maps, sizeof maps);
    assert_true(is_valid(words, 2) && !is_valid(words, 3));
    assert_memory_equal(words->children[0]->children[0]->buffers[2], "pq", 2);
    assert_true(is_valid(words->children[0]->children[1], 0) && !is_valid(words->children[0]->children[1], 1));
}

static void nested_rows_come_back(void **state) {
    struct buffer bytes = BUFFER_INIT;
    struct plinth_error error;
    uint64_t rows;
    (void)state;
    assert_int_equal(write_rows(&bytes, 1, &error), PLINTH_OK);
    assert_int_equal(read_rows(&bytes, NULL, check_sample, &rows, &error), PLINTH_OK);
    assert_int_equal(rows, ROWS);
    buffer_deinit(&bytes);
}

static void check_part(const struct ArrowArray *batch) {
    assert_int_equal(batch->n_children, 1);
    assert_int_equal(batch->children[0]->n_children, 1);
    for (int i = 0; i < batch->length; i++) assert_true(is_valid(batch->children[0], i));
}

static void parts_of_rows_and_columns_are_read(void **state) {
    static const char *const columns[] = {"place.x"};
    static const int64_t low = 102, high = 102, none = 5000;
    struct plinth_parquet_bounds bounds = {"id", &low, &high, sizeof low, sizeof high};
    struct plinth_parquet_selection selection = {
        .columns = columns, .column_count = 1, .bounds = &bounds, .bounds_count = 1, .batch_rows = 2};
    struct buffer bytes = BUFFER_INIT;
    struct plinth_error error;
    uint64_t rows;
    (void)state;
    assert_int_equal(write_rows(&bytes, 8, &error), PLINTH_OK);
    assert_int_equal(read_rows(&bytes, &selection, check_part, &rows, &error), PLINTH_OK);
    assert_int_equal(rows, 8);
    selection.row_begin = 4; /* the second to the fourth batch but its last row */
    selection.row_end = 15;
    assert_int_equal(read_rows(&bytes, &selection, check_part, &rows, &error), PLINTH_OK);
    assert_int_equal(rows, 3);
    bounds.min = bounds.max = &none;
    assert_int_equal(read_rows(&bytes, &selection, NULL, &rows, &error), PLINTH_OK);
    assert_int_equal(rows, 0);
    bounds = (struct plinth_parquet_bounds){"tags.list.element", "bb", "bc", 2, 2}; /* one list of four has it */
    assert_int_equal(read_rows(&bytes, &selection, check_part, &rows, &error), PLINTH_OK);
    assert_int_equal(rows, 3);
    bounds = (struct plinth_parquet_bounds){"id", &low, &high, sizeof low, sizeof high};
    bounds.column = "place.x";
    assert_int_equal(read_rows(&bytes, &selection, NULL, &rows, &error), PLINTH_INVALID_ARGUMENT);
    bounds.column = "nowhere";
    assert_int_equal(read_rows(&bytes, &selection, NULL, &rows, &error), PLINTH_NOT_FOUND);
    buffer_deinit(&bytes);
}

static void arrays_that_point_outside_are_refused(void **state) {
    static const int32_t beyond[] = {0, 3, 3, 3, 5}, down[] = {0, 3, 2, 3, 4}, negative[] = {-1, 3, 3, 3, 4};
    const int32_t *const wrong[] = {beyond, down, negative};
    struct sample sample;
    struct ArrowSchema *schema;
    struct ArrowArray *array;
    struct buffer bytes = BUFFER_INIT;
    struct plinth_error error;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct plinth_parquet_writer *writer;
        sample_init(&sample, &schema, &array);
        sample.buffers[7][1] = wrong[i];
        assert_int_equal(plinth_parquet_writer_open_function(write_buffer, &bytes, schema, NULL, &writer, &error),
                         PLINTH_OK);
        assert_int_equal(plinth_parquet_writer_write(writer, array, &error), PLINTH_INVALID_ARGUMENT);
        assert_non_null(strstr(error.text, "tags"));
        plinth_parquet_writer_destroy(writer);
    }
    buffer_deinit(&bytes);
}

static void nulls_where_there_may_be_none_are_refused(void **state) {
    static const uint8_t valid = 0xb;
    struct sample sample;
    struct ArrowSchema *schema;
    struct ArrowArray *array;
    struct plinth_parquet_writer *writer;
    struct buffer bytes = BUFFER_INIT;
    struct plinth_error error;
    (void)state;
    for (int field = 6; field <= 8; field++) {
        sample_init(&sample, &schema, &array);
        sample.schemas[field].flags = 0;
        sample.buffers[field][0] = &valid;
        sample.arrays[field].null_count = 1;
        assert_int_equal(plinth_parquet_writer_open_function(write_buffer, &bytes, schema, NULL, &writer, &error),
                         PLINTH_OK);
        assert_int_equal(plinth_parquet_writer_write(writer, array, &error), PLINTH_INVALID_ARGUMENT);
        assert_non_null(strstr(error.text, sample.schemas[field].name));
        plinth_parquet_writer_destroy(writer);
    }
    buffer_deinit(&bytes);
}

static void types_without_a_form_are_refused_by_name(void **state) {
    static const char *const formats[] = {"+us:0", "tin", "+r", "w:0", "d:80,2", "d:9,-2", "ts", "q", "+w:-1", "+s"};
    struct sample sample;
    struct ArrowSchema *schema;
    struct ArrowArray *array;
    struct plinth_parquet_writer *writer;
    struct plinth_error error;
    (void)state;
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        sample_init(&sample, &schema, &array);
        sample.schemas[6].format = formats[i];
        assert_int_equal(plinth_parquet_writer_open_function(write_buffer, NULL, schema, NULL, &writer, &error),
                         PLINTH_UNSUPPORTED);
        assert_null(writer);
        assert_non_null(strstr(error.text, "\"id\""));
    }
}

/* ---- Rows by key ---- */

enum { KEYED_ROWS = 1000, KEYED_PAGE_ROWS = 50, KEYED_COLUMNS = 3 };

/* key: 7 times the row's number; small: of seven values; text: of the key. */
static enum plinth_status write_keyed(struct buffer *bytes, struct plinth_error *error) {
    static int64_t keys[KEYED_ROWS];
    static int32_t small[KEYED_ROWS], offsets[KEYED_ROWS + 1];
    static char text[KEYED_ROWS * 8];
    static const char *const names[] = {"key", "small", "text"}, *const formats[] = {"l", "i", "u"};
    for (int i = 0; i < KEYED_ROWS; i++) {
        keys[i] = i * 7;
        small[i] = i % 7;
        offsets[i + 1] = offsets[i] + snprintf(text + offsets[i], 8, "%d", i * 7);
    }
    struct ArrowSchema fields[KEYED_COLUMNS], *field_list[KEYED_COLUMNS];
    struct ArrowArray columns[KEYED_COLUMNS], *column_list[KEYED_COLUMNS];
    const void *buffers[KEYED_COLUMNS][3] = {{NULL, keys}, {NULL, small}, {NULL, offsets, text}}, *none[1] = {NULL};
    for (int i = 0; i < KEYED_COLUMNS; i++) {
        fields[i] = (struct ArrowSchema){.format = formats[i], .name = names[i], .release = nothing_schema};
        columns[i] = (struct ArrowArray){
            .length = KEYED_ROWS, .n_buffers = i == 2 ? 3 : 2, .buffers = buffers[i], .release = nothing_array};
        field_list[i] = &fields[i];
        column_list[i] = &columns[i];
    }
    struct ArrowSchema schema = {
        .format = "+s", .name = "", .n_children = KEYED_COLUMNS, .children = field_list, .release = nothing_schema};
    struct ArrowArray batch = {.length = KEYED_ROWS,
                               .n_buffers = 1,
                               .n_children = KEYED_COLUMNS,
                               .buffers = none,
                               .children = column_list,
                               .release = nothing_array};
    struct plinth_parquet_write_options options = plinth_parquet_write_options_default();
    struct plinth_parquet_writer *writer;
    options.page_rows = KEYED_PAGE_ROWS;
    options.row_group_rows = KEYED_ROWS / 2;
    enum plinth_status st = plinth_parquet_writer_open_function(write_buffer, bytes, &schema, &options, &writer, error);
    if (!st) st = plinth_parquet_writer_write(writer, &batch, error);
    if (!st) st = plinth_parquet_writer_finish(writer, NULL, error);
    plinth_parquet_writer_destroy(writer);
    return st;
}

struct counted_bytes {
    const struct buffer *bytes;
    int reads;
    uint64_t read_bytes;
};

static enum plinth_status read_counted(void *context, uint64_t offset, void *into, size_t size,
                                       struct plinth_error *error) {
    struct counted_bytes *counted = context;
    (void)error;
    counted->reads++;
    counted->read_bytes += size;
    assert_true(offset <= counted->bytes->size && size <= counted->bytes->size - offset);
    memcpy(into, counted->bytes->data + offset, size);
    return PLINTH_OK;
}

static void check_row_of_key(const struct plinth_parquet_file *file, int64_t key) {
    const struct plinth_parquet_bounds bounds = {"key", &key, &key, sizeof key, sizeof key};
    const struct plinth_parquet_selection selection = {.bounds = &bounds, .bounds_count = 1};
    struct ArrowArrayStream rows;
    struct ArrowArray batch;
    struct plinth_error error;
    char text[16];
    assert_int_equal(plinth_parquet_read(file, &selection, &rows, &error), PLINTH_OK);
    assert_int_equal(rows.get_next(&rows, &batch), 0);
    assert_non_null(batch.release);
    assert_int_equal(batch.length, 1);
    const struct ArrowArray *const *columns = (const struct ArrowArray *const *)batch.children;
    assert_int_equal(*(const int64_t *)columns[0]->buffers[1], key);
    assert_int_equal(*(const int32_t *)columns[1]->buffers[1], key / 7 % 7);
    int size = snprintf(text, sizeof text, "%lld", (long long)key);
    assert_int_equal(((const int32_t *)columns[2]->buffers[1])[1], size);
    assert_memory_equal(columns[2]->buffers[2], text, (size_t)size);
    batch.release(&batch);
    rows.release(&rows);
}

static void a_row_by_key_takes_a_page_and_a_dictionary_a_column(void **state) {
    struct buffer bytes = BUFFER_INIT;
    struct counted_bytes counted = {.bytes = &bytes};
    struct plinth_parquet_file *file;
    struct plinth_error error;
    (void)state;
    assert_int_equal(write_keyed(&bytes, &error), PLINTH_OK);
    assert_int_equal(plinth_parquet_open_function(read_counted, &counted, bytes.size, NULL, &file, &error), PLINTH_OK);
    for (int64_t row = 0; row < KEYED_ROWS; row += 37) check_row_of_key(file, row * 7); /* page indexes are kept now */
    for (int64_t row = 0; row < KEYED_ROWS; row++) {
        counted.reads = 0;
        counted.read_bytes = 0;
        check_row_of_key(file, row * 7);
        assert_in_range(counted.reads, KEYED_COLUMNS, KEYED_COLUMNS + 1);
        assert_in_range(counted.read_bytes, 1, bytes.size / 4);
    }
    plinth_parquet_close(file);
    buffer_deinit(&bytes);
}

/* How many rows the bounds leave. */
static int64_t count_rows_between(const struct plinth_parquet_file *file, const struct plinth_parquet_bounds *bounds) {
    const struct plinth_parquet_selection selection = {.bounds = bounds, .bounds_count = 1};
    struct ArrowArrayStream rows;
    struct ArrowArray batch;
    struct plinth_error error;
    int64_t count = 0;
    assert_int_equal(plinth_parquet_read(file, &selection, &rows, &error), PLINTH_OK);
    while (rows.get_next(&rows, &batch) == 0 && batch.release) {
        count += batch.length;
        batch.release(&batch);
    }
    rows.release(&rows);
    return count;
}

static void rows_between_bounds_are_those_whose_values_are(void **state) {
    static const char *const texts[] = {"",     "0",    "1",    "10",    "1000", "2", "20",
                                        "3003", "3010", "6993", "6993x", "7",    "9"};
    enum { TEXTS = sizeof texts / sizeof texts[0] };
    struct buffer bytes = BUFFER_INIT;
    struct plinth_parquet_file *file;
    struct plinth_error error;
    (void)state;
    assert_int_equal(write_keyed(&bytes, &error), PLINTH_OK);
    assert_int_equal(plinth_parquet_open_memory(bytes.data, bytes.size, NULL, &file, &error), PLINTH_OK);
    for (int32_t min = -1; min <= 7; min++) {
        for (int32_t max = -1; max <= 7; max++) {
            const struct plinth_parquet_bounds bounds = {"small", min < 0 ? NULL : &min, max < 0 ? NULL : &max, 4, 4};
            int64_t expected = 0;
            for (int i = 0; i < KEYED_ROWS; i++) expected += i % 7 >= min && (max < 0 || i % 7 <= max);
            assert_int_equal(count_rows_between(file, &bounds), expected);
        }
    }
    for (int low = 0; low < TEXTS; low++) {
        for (int high = 0; high < TEXTS; high++) {
            const struct plinth_parquet_bounds bounds = {"text", texts[low], high ? texts[high] : NULL,
                                                         strlen(texts[low]), strlen(texts[high])};
            int64_t expected = 0;
            for (int i = 0; i < KEYED_ROWS; i++) {
                char text[16];
                snprintf(text, sizeof text, "%d", i * 7);
                expected += strcmp(text, texts[low]) >= 0 && (!high || strcmp(text, texts[high]) <= 0);
            }
            assert_int_equal(count_rows_between(file, &bounds), expected);
        }
    }
    plinth_parquet_close(file);
    buffer_deinit(&bytes);
}

static void every_failing_allocation_is_a_status(void **state) {
    struct buffer good = BUFFER_INIT;
    struct plinth_error error;
    static const int64_t low = 101, high = 102;
    struct plinth_parquet_bounds bounds = {"id", &low, &high, sizeof low, sizeof high};
    struct plinth_parquet_selection selection = {.bounds = &bounds, .bounds_count = 1, .batch_rows = 3};
    uint64_t rows;
    (void)state;
    assert_int_equal(write_rows(&good, 4, &error), PLINTH_OK);
    for (int64_t fail_at = 0, is_done = 0; !is_done; fail_at++) {
        struct buffer bytes = BUFFER_INIT;
        allocations_left = fail_at;
        has_failed = false;
        enum plinth_status st = write_rows(&bytes, 4, &error);
        is_done = !has_failed;
        allocations_left = -1;
        assert_int_equal(st, is_done ? PLINTH_OK : PLINTH_OUT_OF_MEMORY);
        if (is_done) assert_true(bytes.size == good.size && memcmp(bytes.data, good.data, good.size) == 0);
        buffer_deinit(&bytes);
    }
    for (int64_t fail_at = 0, is_done = 0; !is_done; fail_at++) {
        allocations_left = fail_at;
        has_failed = false;
        enum plinth_status st = read_rows(&good, fail_at % 2 ? &selection : NULL, NULL, &rows, &error);
        is_done = !has_failed && fail_at % 2 == 0; /* the longer of the two */
        bool is_ok = !has_failed;
        allocations_left = -1;
        assert_int_equal(st, is_ok ? PLINTH_OK : PLINTH_OUT_OF_MEMORY);
        if (is_ok) assert_int_equal(rows, fail_at % 2 ? 8 : 16);
    }
    buffer_deinit(&good);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nested_rows_come_back),
        cmocka_unit_test(parts_of_rows_and_columns_are_read),
        cmocka_unit_test(arrays_that_point_outside_are_refused),
        cmocka_unit_test(nulls_where_there_may_be_none_are_refused),
        cmocka_unit_test(types_without_a_form_are_refused_by_name),
        cmocka_unit_test(a_row_by_key_takes_a_page_and_a_dictionary_a_column),
        cmocka_unit_test(rows_between_bounds_are_those_whose_values_are),
        cmocka_unit_test(every_failing_allocation_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
