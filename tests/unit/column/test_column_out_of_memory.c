/* Every allocation fails once: each time the call says so, and nothing leaks (AddressSanitizer's build sees that). The
 * linker replaces the allocator's names. */
#include <stdlib.h>

#include "column/arrow_data.h"
#include "column/row_key.h"
#include "column_model.h"

/* How many more allocations succeed; the one after that fails. Negative: all succeed. */
static int64_t allocations_left = -1;

static bool may_allocate(void) {
    if (allocations_left < 0) return true;
    return allocations_left-- > 0;
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

enum { ROWS = 3000 };

/* Each operation returns whether it could do all it does, and leaves nothing behind. */
typedef bool operation(struct batch *batch, unsigned column);

static bool make_columns(struct batch *batch, unsigned i) {
    const struct column *column = &batch->columns[i], *sources[] = {column, NULL};
    const struct row_stretch stretches[] = {{0, 5, 1000}, {1, 0, 3}, {0, 100, 1}, {0, 0, 1001}};
    uint32_t rows[ROWS];
    uint8_t selection[ROWS / 8] = {0xFF, 0xA5};
    struct arena arenas[5];
    struct column out;
    for (int j = 0; j < 5; j++) arena_init(&arenas[j]);
    for (uint32_t j = 0; j < ROWS; j++) rows[j] = ROWS - 1 - j;
    bool done = column_gather(&arenas[0], column, rows, ROWS, &out) &&
                column_concat(&arenas[1], column->type, sources, stretches, 4, 2005, &out) &&
                column_filter(&arenas[2], column, selection, ROWS, 12, &out) &&
                column_slice(&arenas[3], column, 3, 2000, &out) &&
                column_make_nulls(&arenas[4], column->type, ROWS, &out);
    for (int j = 0; j < 5; j++) arena_deinit(&arenas[j]);
    return done;
}

static bool make_batches(struct batch *batch, unsigned i) {
    const uint32_t rows[] = {1, 2, 3};
    const uint8_t selection[ROWS / 8] = {7 + (i & 1)};
    struct batch *gathered = batch_gather(batch, rows, 3), *slice = gathered ? batch_slice(batch, 1, 2000) : NULL;
    struct batch *filtered = slice ? batch_filter(batch, selection, i & 1 ? 1 : 3) : NULL;
    struct batch *const all[] = {batch, slice};
    struct batch *joined = filtered ? batch_concat(all, 2) : NULL;
    bool done = joined != NULL;
    batch_unref(joined);
    batch_unref(gathered);
    batch_unref(slice);
    batch_unref(filtered);
    return done;
}

static bool encode_and_decode(struct batch *batch, unsigned i) {
    struct buffer bytes = BUFFER_INIT;
    struct arena arena;
    struct column out;
    arena_init(&arena);
    bool done = column_encode(&bytes, &batch->columns[i], 1, ROWS - 1);
    if (!done) assert_int_equal(bytes.size, 0);
    struct reader reader = reader_of(buffer_slice(&bytes));
    if (done) {
        enum plinth_status status = column_decode(&reader, &arena, batch->columns[i].type, ROWS - 1, &out, NULL);
        assert_true(status == PLINTH_OK || status == PLINTH_OUT_OF_MEMORY);
        done = !status;
    }
    buffer_deinit(&bytes);
    arena_deinit(&arena);
    return done;
}

static bool cast_columns(struct batch *batch, unsigned i) {
    bool done = true;
    for (unsigned j = 0; j < MODEL_TYPES && done; j++) {
        if (!column_cast_is_possible(batch->columns[i].type, model_type(j))) continue;
        struct arena arena;
        struct column out;
        uint8_t rejected[ROWS / 8 + 1] = {0};
        arena_init(&arena);
        enum plinth_status status = column_cast(&arena, &batch->columns[i], ROWS, model_type(j), rejected, &out, NULL);
        assert_true(status == PLINTH_OK || status == PLINTH_OUT_OF_MEMORY);
        done = !status;
        arena_deinit(&arena);
    }
    return done;
}

static bool text_and_back(struct batch *batch, unsigned i) {
    struct buffer text = BUFFER_INIT;
    struct column_builder builder;
    bool done = column_builder_init(&builder, batch->columns[i].type);
    for (uint32_t row = 0; row < 40 && done; row++) {
        uint32_t elements = builder.child ? builder.child->rows : 0;
        buffer_clear(&text);
        done = column_format(&text, &batch->columns[i], row);
        if (!done) break;
        if (column_is_null(&batch->columns[i], row)) {
            done = column_builder_null(&builder);
            continue;
        }
        enum plinth_status status = column_builder_text(&builder, buffer_slice(&text), NULL);
        assert_true(status == PLINTH_OK || status == PLINTH_OUT_OF_MEMORY);
        done = !status;
        assert_int_equal(builder.rows, row + done);
        if (!done && builder.child) assert_int_equal(builder.child->rows, elements);
    }
    struct batch *finished = done ? column_builders_finish(&builder, 1) : NULL;
    done = finished != NULL;
    batch_unref(finished);
    column_builder_deinit(&builder);
    buffer_deinit(&text);
    return done;
}

static bool keys(struct batch *batch, unsigned i) {
    if (i >= MODEL_KEY_TYPES) return true;
    const struct column *parts[] = {&batch->columns[(i + 1) % MODEL_KEY_TYPES], &batch->columns[i]};
    const struct column_type types[] = {parts[0]->type, parts[1]->type};
    struct column_builder builders[2] = {{.type = types[0]}, {.type = types[1]}};
    struct column_builder *into[] = {&builders[0], &builders[1]};
    struct buffer key = BUFFER_INIT;
    struct arena arena;
    struct row_keys all;
    uint32_t order[ROWS];
    arena_init(&arena);
    bool done = row_keys_encode(&arena, parts, 2, ROW_KEY_INDEX, ROWS, &all) &&
                row_keys_sort(&all, ROWS, order, NULL) && row_key_append(&key, parts, 2, ROW_KEY_INDEX, 7);
    if (done) {
        struct reader reader = reader_of(buffer_slice(&key));
        done = row_key_decode(&reader, into, 2, ROW_KEY_INDEX);
        assert_int_equal(builders[0].rows, done);
        assert_int_equal(builders[1].rows, done);
    }
    for (int j = 0; j < 2; j++) column_builder_deinit(&builders[j]);
    buffer_deinit(&key);
    arena_deinit(&arena);
    return done;
}

static bool hand_over(struct batch *batch, unsigned i) {
    (void)i;
    struct arrow_field fields[MODEL_TYPES];
    for (unsigned j = 0; j < MODEL_TYPES; j++) fields[j] = (struct arrow_field){"c", model_type(j), true};
    struct arrow_schema schema = {fields, MODEL_TYPES}, read;
    struct ArrowSchema exported = {0};
    struct ArrowArray array = {0};
    struct batch *imported = NULL;
    struct arena arena;
    arena_init(&arena);
    enum plinth_status status = arrow_export_schema(&schema, &exported, NULL);
    if (!status) status = arrow_import_schema(&exported, &arena, &read, NULL);
    if (!status) status = arrow_export_batch(batch, &array, NULL);
    if (!status) status = arrow_import_batch(&array, &exported, &imported, NULL);
    assert_true(status == PLINTH_OK || status == PLINTH_OUT_OF_MEMORY);
    if (array.release) array.release(&array);
    if (exported.release) exported.release(&exported);
    batch_unref(imported);
    arena_deinit(&arena);
    return !status;
}

static struct batch *make_batch(void) {
    struct test_random random = test_random_of(model_seed());
    struct column_builder builders[MODEL_TYPES];
    for (unsigned i = 0; i < MODEL_TYPES; i++) builders[i] = model_builder(&random, model_type(i), ROWS, 9);
    struct batch *batch = column_builders_finish(builders, MODEL_TYPES);
    for (unsigned i = 0; i < MODEL_TYPES; i++) column_builder_deinit(&builders[i]);
    assert_non_null(batch);
    return batch;
}

static void every_failed_allocation_is_told(void **state) {
    static operation *const operations[] = {make_columns,  make_batches, encode_and_decode, cast_columns,
                                            text_and_back, keys,         hand_over};
    (void)state;
    struct batch *batch = make_batch();
    int64_t failures = 0;
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        for (unsigned column = 0; column < MODEL_TYPES; column += operations[i] == hand_over ? MODEL_TYPES : 1) {
            bool done = false;
            for (int64_t n = 0; !done; n++) {
                allocations_left = n;
                done = operations[i](batch, column);
                bool failed = allocations_left < 0; /* the one that fails counts below 0 */
                allocations_left = -1;
                failures += failed;
                assert_true(done != failed);
            }
        }
    }
    assert_true(failures > 500);
    batch_unref(batch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failed_allocation_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
