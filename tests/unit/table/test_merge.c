#include "row_model.h"

#include <stdlib.h>

#include "base/status.h"

/* Deals the rows of `all` to `count` models at random. */
static void deal(const struct row_model *all, struct row_model *parts, size_t count, struct test_random *random) {
    for (size_t i = 0; i < count; i++) row_model_init(&parts[i]);
    for (size_t i = 0; i < all->count; i++) {
        size_t part = test_random_below(random, count);
        if (test_random_below(random, 3)) part = i / 16 % count; /* stretches of the same input too */
        row_model_add(&parts[part], &all->rows[i]);
    }
}

static struct iterator *open_merge(const struct row_model *parts, size_t count) {
    struct plinth_error error;
    struct iterator *inputs[16], *merged;
    for (size_t i = 0; i < count; i++) inputs[i] = row_model_iterator(&parts[i]);
    assert_ok(merge_open(inputs, count, &merged, &error), &error);
    return merged;
}

static void merges_of_any_width_agree_with_one_sorted_array(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 24; seed++) {
        struct test_random random = test_random_of(seed);
        size_t count = 1 + seed % 12;
        struct row_model all, parts[16];
        row_model_init(&all);
        struct row_shape shape = {.rows = 40 * seed,
                                  .keys = seed % 2 ? 20 : 1000,
                                  .key_bytes_max = 3 + seed,
                                  .value_bytes_max = 10,
                                  .delete_percent = 10,
                                  .lsn_first = 5};
        row_model_fill(&all, &shape, &random);
        deal(&all, parts, count, &random);
        struct iterator *merged = open_merge(parts, count);
        assert_iterator_scans(merged, &all, false);
        assert_iterator_agrees(merged, &all, &random, 5000, false);
        iterator_close(merged);
        for (size_t i = 0; i < count; i++) row_model_deinit(&parts[i]);
        row_model_deinit(&all);
    }
}

static void empty_inputs_merge_to_nothing(void **state) {
    (void)state;
    struct row_model parts[3];
    for (size_t i = 0; i < 3; i++) row_model_init(&parts[i]);
    for (size_t count = 0; count <= 3; count++) {
        struct iterator *merged = open_merge(parts, count);
        assert_iterator_scans(merged, &parts[0], false);
        iterator_close(merged);
    }
}

/* An input whose steps fail after a while. */
struct failing {
    struct iterator base;
    struct iterator *inner;
    unsigned steps_left;
};

static enum plinth_status failing_step(struct failing *it, enum plinth_status st, struct plinth_error *error) {
    if (it->steps_left-- == 0) {
        it->base.valid = false;
        return error_set(error, PLINTH_CORRUPT, "object x is damaged");
    }
    it->base.valid = it->inner->valid;
    it->base.row = it->inner->row;
    return st;
}
static enum plinth_status failing_seek(struct iterator *base, struct slice key, uint64_t lsn,
                                       struct plinth_error *error) {
    struct failing *it = (struct failing *)base;
    return failing_step(it, iterator_seek(it->inner, key, lsn, error), error);
}
static enum plinth_status failing_seek_before(struct iterator *base, struct slice key, uint64_t lsn,
                                              struct plinth_error *error) {
    struct failing *it = (struct failing *)base;
    return failing_step(it, iterator_seek_before(it->inner, key, lsn, error), error);
}
static enum plinth_status failing_seek_first(struct iterator *base, struct plinth_error *error) {
    struct failing *it = (struct failing *)base;
    return failing_step(it, iterator_seek_first(it->inner, error), error);
}
static enum plinth_status failing_seek_last(struct iterator *base, struct plinth_error *error) {
    struct failing *it = (struct failing *)base;
    return failing_step(it, iterator_seek_last(it->inner, error), error);
}
static enum plinth_status failing_next(struct iterator *base, struct plinth_error *error) {
    struct failing *it = (struct failing *)base;
    return failing_step(it, iterator_next(it->inner, error), error);
}
static enum plinth_status failing_previous(struct iterator *base, struct plinth_error *error) {
    struct failing *it = (struct failing *)base;
    return failing_step(it, iterator_previous(it->inner, error), error);
}
static void failing_close(struct iterator *base) {
    iterator_close(((struct failing *)base)->inner);
    free(base);
}
static const struct iterator_ops failing_ops = {failing_seek,      failing_seek_before, failing_seek_first,
                                                failing_seek_last, failing_next,        failing_previous,
                                                failing_close};

static void a_failing_input_makes_the_merge_invalid_and_its_error_known(void **state) {
    (void)state;
    struct test_random random = test_random_of(9);
    struct row_model all, parts[2];
    row_model_init(&all);
    struct row_shape shape = {.rows = 60, .keys = 40, .value_bytes_max = 5, .lsn_first = 1};
    row_model_fill(&all, &shape, &random);
    deal(&all, parts, 2, &random);
    for (unsigned steps = 0; steps < parts[0].count; steps++) {
        struct plinth_error error;
        struct failing *failing = calloc(1, sizeof *failing);
        *failing = (struct failing){{.ops = &failing_ops}, row_model_iterator(&parts[0]), steps};
        struct iterator *inputs[] = {&failing->base, row_model_iterator(&parts[1])}, *merged;
        assert_ok(merge_open(inputs, 2, &merged, &error), &error);
        enum plinth_status st = iterator_seek_first(merged, &error);
        size_t seen = 0;
        while (!st && merged->valid) {
            assert_row_equal(&merged->row, &all.rows[seen++], false);
            st = iterator_next(merged, &error);
        }
        assert_int_equal(st, PLINTH_CORRUPT);
        assert_false(merged->valid);
        assert_error_names(&error, "object x");
        iterator_close(merged);
    }
    row_model_deinit(&parts[0]);
    row_model_deinit(&parts[1]);
    row_model_deinit(&all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_of_any_width_agree_with_one_sorted_array),
        cmocka_unit_test(empty_inputs_merge_to_nothing),
        cmocka_unit_test(a_failing_input_makes_the_merge_invalid_and_its_error_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
