#include "block_model.h"

#include <stdio.h>
#include <stdlib.h>

static const uint32_t all_ids[MODEL_COLUMNS] = {1, 2, 3, 4, 5, 6, 7, 8};

static struct block_read read_of(const struct block_model *model) {
    return (struct block_read){
        .schema = model->schema, .column_ids = all_ids, .column_count = MODEL_COLUMNS, .with_keys = true};
}

static struct block_stream *stream_of(struct row_block *block, const struct block_read *read) {
    struct plinth_error error;
    struct block_stream *stream;
    assert_ok(row_block_stream_open(block, read, &stream, &error), &error);
    row_block_unref(block);
    return stream;
}

/* A stream that gives what another one gives in pieces of random sizes, as segments give stripes. */
struct pieces {
    struct block_stream base;
    struct block_stream *from;
    struct row_block *block;
    uint32_t at;
    struct test_random random;
    const struct block_read *read;
};

static enum plinth_status pieces_next(struct block_stream *base, struct row_block **block, struct plinth_error *error) {
    struct pieces *pieces = (struct pieces *)base;
    *block = NULL;
    if (!pieces->block || pieces->at == pieces->block->rows) {
        row_block_unref(pieces->block);
        pieces->at = 0;
        assert_ok(block_stream_next(pieces->from, &pieces->block, error), error);
        if (!pieces->block) return PLINTH_OK;
    }
    uint32_t end = pieces->at + 1 + (uint32_t)test_random_below(&pieces->random, 40);
    struct block_read read = *pieces->read;
    struct block_stream *stream;
    /* A piece ends between keys, as bounds are keys; all versions of one come together. */
    while (end < pieces->block->rows &&
           slice_equal(row_block_key(pieces->block, end), row_block_key(pieces->block, end - 1)))
        end++;
    read.lower = row_block_key(pieces->block, pieces->at);
    if (end < pieces->block->rows) read.upper = row_block_key(pieces->block, end);
    pieces->at = end < pieces->block->rows ? end : pieces->block->rows;
    assert_ok(row_block_stream_open(pieces->block, &read, &stream, error), error);
    assert_ok(block_stream_next(stream, block, error), error);
    block_stream_close(stream);
    return PLINTH_OK;
}

static void pieces_close(struct block_stream *base) {
    struct pieces *pieces = (struct pieces *)base;
    block_stream_close(pieces->from);
    row_block_unref(pieces->block);
    free(pieces);
}

static const struct block_stream_ops pieces_ops = {pieces_next, pieces_close};

static struct block_stream *in_pieces(struct block_stream *from, const struct block_read *read, uint64_t seed) {
    struct pieces *pieces = calloc(1, sizeof *pieces);
    assert_non_null(pieces);
    *pieces = (struct pieces){.base = {&pieces_ops}, .from = from, .random = test_random_of(seed), .read = read};
    return &pieces->base;
}

/* What a merge must give, by looking at each key's versions in turn. */
static size_t naive_merge(const struct block_model *model, const struct block_merge_options *options,
                          struct model_row *into) {
    size_t count = 0;
    bool hidden = false;
    for (size_t i = 0; i < model->count; i++) {
        const struct model_row *row = &model->rows[i];
        if (i == 0 || !slice_equal(model_key(row), model_key(row - 1))) hidden = false;
        bool above = row->lsn > options->lsn, stays = true;
        if (options->mode == MERGE_SNAPSHOT) stays = !above && !hidden && row->operation == ROW_SET;
        if (options->mode == MERGE_RETAIN)
            stays = above || (!hidden && !(options->bottom && row->operation == ROW_DELETE));
        hidden |= !above;
        if (stays) into[count++] = *row;
    }
    return count;
}

static void run_property(uint64_t seed) {
    struct plinth_error error;
    struct test_random random = test_random_of(seed);
    struct block_model model;
    bool keyless = test_random_below(&random, 6) == 0;
    block_model_init(&model, keyless, 1 + test_random_below(&random, 6), 1 + test_random_below(&random, 300));
    struct block_read read = read_of(&model);
    read.with_keys = true;
    size_t count = test_random_below(&random, 9);
    struct block_stream *inputs[9], *merged;
    uint64_t lsn = 10;
    for (size_t i = 0; i < count; i++) {
        /* An input with many versions is itself a merge of everything. */
        struct block_stream *parts[4];
        size_t part_count = 1 + test_random_below(&random, 4);
        for (size_t p = 0; p < part_count; p++) {
            bool delete = !keyless && test_random_below(&random, 4) == 0;
            uint32_t rows = 1 + (uint32_t)test_random_below(&random, p ? 200 : 3000);
            struct row_block *block = block_model_add(&model, &random, rows, lsn, delete ? ROW_DELETE : ROW_SET);
            parts[p] = stream_of(block, &read);
            lsn += 1 + test_random_below(&random, 3);
        }
        const struct block_merge_options all = {.mode = MERGE_ALL, .block_rows = 64};
        assert_ok(block_merge_open(parts, part_count, &read, &all, &inputs[i], &error), &error);
        if (test_random_below(&random, 2)) inputs[i] = in_pieces(inputs[i], &read, seed);
    }
    block_model_sort(&model);
    const struct block_merge_options options = {.mode = (enum block_merge_mode)test_random_below(&random, 3),
                                                .lsn = test_random_below(&random, lsn + 5),
                                                .bottom = test_random_below(&random, 2),
                                                .block_rows = test_random_below(&random, 2) ? 100 : 0};
    struct model_row *wanted = malloc((model.count + 1) * sizeof *wanted);
    assert_non_null(wanted);
    size_t wanted_count = naive_merge(&model, &options, wanted);
    struct block_read output = read;
    output.with_keys = test_random_below(&random, 4) != 0;
    assert_ok(block_merge_open(inputs, count, &output, &options, &merged, &error), &error);
    assert_stream_gives(merged, &output, wanted, wanted_count);
    free(wanted);
    block_model_deinit(&model);
}

static void merges_agree_with_a_sorted_array(void **state) {
    (void)state;
    const char *only = getenv("PLINTH_TEST_SEED");
    uint64_t first = only ? strtoull(only, NULL, 10) : 1, last = only ? first : 400;
    for (uint64_t seed = first; seed <= last; seed++) {
        printf("# PLINTH_TEST_SEED=%llu\n", (unsigned long long)seed);
        run_property(seed);
    }
}

static void disjoint_blocks_are_passed_through(void **state) {
    (void)state;
    struct plinth_error error;
    struct block_model model;
    block_model_init(&model, false, 1, 1);
    struct block_read read = read_of(&model);
    enum { INPUTS = 5, ROWS = 3000 };
    const enum block_merge_mode modes[] = {MERGE_SNAPSHOT, MERGE_RETAIN};
    for (size_t m = 0; m < 2; m++) {
        struct row_block *blocks[INPUTS];
        struct block_stream *inputs[INPUTS], *merged;
        for (uint32_t i = 0; i < INPUTS; i++) {
            blocks[i] = block_model_add_range(&model, (i * 3) % INPUTS, 0, ROWS, 10 + i);
            inputs[i] = stream_of(row_block_ref(blocks[i]), &read);
        }
        const struct block_merge_options options = {.mode = modes[m], .lsn = 100};
        assert_ok(block_merge_open(inputs, INPUTS, &read, &options, &merged, &error), &error);
        for (uint32_t i = 0; i < INPUTS; i++) {
            struct row_block *given;
            assert_ok(block_stream_next(merged, &given, &error), &error);
            assert_ptr_equal(given, blocks[i * 2 % INPUTS]);
            row_block_unref(given);
        }
        struct row_block *none;
        assert_ok(block_stream_next(merged, &none, &error), &error);
        assert_null(none);
        block_stream_close(merged);
        for (uint32_t i = 0; i < INPUTS; i++) row_block_unref(blocks[i]);
    }
    block_model_deinit(&model);
}

static void an_empty_merge_ends_at_once(void **state) {
    (void)state;
    struct plinth_error error;
    struct block_model model;
    block_model_init(&model, false, 1, 1);
    struct block_read read = read_of(&model);
    struct block_stream *merged;
    const struct block_merge_options options = {.mode = MERGE_SNAPSHOT, .lsn = 100};
    assert_ok(block_merge_open(NULL, 0, &read, &options, &merged, &error), &error);
    assert_stream_gives(merged, &read, NULL, 0);
    block_model_deinit(&model);
}

/* ---- a stream that fails ---- */

struct failing {
    struct block_stream base;
    struct block_stream *from;
    int after;
};

static enum plinth_status failing_next(struct block_stream *base, struct row_block **block,
                                       struct plinth_error *error) {
    struct failing *failing = (struct failing *)base;
    *block = NULL;
    if (failing->after-- == 0) {
        strcpy(error->text, "disk on fire");
        return error->status = PLINTH_IO_ERROR;
    }
    return block_stream_next(failing->from, block, error);
}

static void failing_close(struct block_stream *base) {
    block_stream_close(((struct failing *)base)->from);
    free(base);
}

static const struct block_stream_ops failing_ops = {failing_next, failing_close};

static void a_failing_input_fails_the_merge(void **state) {
    (void)state;
    for (int after = 0; after < 4; after++) {
        struct plinth_error error;
        struct test_random random = test_random_of(1);
        struct block_model model;
        block_model_init(&model, false, 3, 3000);
        struct block_read read = read_of(&model);
        struct block_stream *inputs[2], *merged;
        struct failing *failing = malloc(sizeof *failing);
        assert_non_null(failing);
        struct block_stream *whole = stream_of(block_model_add(&model, &random, 1000, 5, ROW_SET), &read);
        *failing = (struct failing){{&failing_ops}, in_pieces(whole, &read, 4), after};
        inputs[0] = &failing->base;
        inputs[1] = stream_of(block_model_add(&model, &random, 1000, 6, ROW_SET), &read);
        const struct block_merge_options options = {.mode = MERGE_RETAIN, .lsn = 100, .block_rows = 50};
        assert_ok(block_merge_open(inputs, 2, &read, &options, &merged, &error), &error);
        enum plinth_status st = PLINTH_OK;
        for (int i = 0; !st && i < 1000; i++) {
            struct row_block *block;
            st = block_stream_next(merged, &block, &error);
            if (st) assert_null(block);
            row_block_unref(block);
        }
        assert_int_equal(st, PLINTH_IO_ERROR);
        assert_error_names(&error, "disk on fire");
        block_stream_close(merged);
        block_model_deinit(&model);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_agree_with_a_sorted_array),
        cmocka_unit_test(disjoint_blocks_are_passed_through),
        cmocka_unit_test(an_empty_merge_ends_at_once),
        cmocka_unit_test(a_failing_input_fails_the_merge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
