/* The conflict window of rows, and the runs that it is made of. */
#include <stdlib.h>

#include "engine/rows_window.h"
#include "support/test_support.h"

enum { KEYS = 64 };
static const struct table_id table = {1, 1, 7}, other_table = {1, 1, 8};

/* Keys of one byte; ascending. */
static struct key_run *run_of(struct table_id of, const char *keys) {
    uint32_t offsets[KEYS + 1], count = (uint32_t)strlen(keys);
    for (uint32_t i = 0; i <= count; i++) offsets[i] = i;
    struct row_keys encoded = {offsets, (uint8_t *)(uintptr_t)keys};
    struct key_run *run = key_run_create(of, &encoded, count);
    assert_non_null(run);
    return run;
}

static void add(struct rows_window *window, uint64_t lsn, const char *keys) {
    assert_true(rows_window_add(window, lsn, run_of(table, keys)));
}

static enum conflict_verdict check(const struct rows_window *window, uint64_t snapshot, const char *key) {
    return rows_window_check_key(window, snapshot, table, slice_of_string(key));
}

static enum conflict_verdict check_range(const struct rows_window *window, uint64_t snapshot, const char *lower,
                                         const char *upper) {
    struct slice found;
    return rows_window_check_range(window, snapshot, table, slice_of_string(lower), slice_of_string(upper), &found);
}

static void a_run_is_searched_by_key_and_by_range(void **state) {
    (void)state;
    struct rows_window window = {0};
    rows_window_reset(&window, 100, 1 << 20, 3);
    add(&window, 5, "bdf");
    add(&window, 7, "h");
    assert_true(rows_window_add(&window, 8, run_of(other_table, "z")));
    assert_int_equal(check(&window, 2, "x"), CONFLICT_TOO_OLD);
    assert_int_equal(check(&window, 4, "b"), CONFLICT_FOUND);
    assert_int_equal(check(&window, 4, "d"), CONFLICT_FOUND);
    assert_int_equal(check(&window, 4, "f"), CONFLICT_FOUND);
    assert_int_equal(check(&window, 4, "c"), CONFLICT_NONE);
    assert_int_equal(check(&window, 4, "ba"), CONFLICT_NONE);
    assert_int_equal(check(&window, 5, "b"), CONFLICT_NONE);
    assert_int_equal(check(&window, 5, "h"), CONFLICT_FOUND);
    assert_int_equal(check(&window, 4, "z"), CONFLICT_NONE);
    assert_int_equal(check_range(&window, 4, "", ""), CONFLICT_FOUND);
    assert_int_equal(check_range(&window, 4, "c", "d"), CONFLICT_NONE);
    assert_int_equal(check_range(&window, 4, "c", "da"), CONFLICT_FOUND);
    assert_int_equal(check_range(&window, 5, "", "h"), CONFLICT_NONE);
    assert_int_equal(check_range(&window, 5, "i", ""), CONFLICT_NONE);
    assert_int_equal(check_range(&window, 7, "", ""), CONFLICT_NONE);
    rows_window_deinit(&window);
}

static void rows_without_a_key_conflict_with_every_read_of_their_table(void **state) {
    (void)state;
    struct rows_window window = {0};
    rows_window_reset(&window, 100, 1 << 20, 0);
    assert_true(rows_window_add(&window, 5, key_run_create(table, NULL, 3)));
    assert_int_equal(check(&window, 4, "b"), CONFLICT_FOUND);
    assert_int_equal(check_range(&window, 4, "x", "y"), CONFLICT_FOUND);
    assert_int_equal(check_range(&window, 5, "", ""), CONFLICT_NONE);
    rows_window_deinit(&window);
}

static void what_is_over_the_bounds_goes_in_whole_records(void **state) {
    (void)state;
    struct rows_window window = {0};
    rows_window_reset(&window, 4, 1 << 20, 0);
    for (uint64_t lsn = 1; lsn <= 3; lsn++) {
        struct key_run *runs = run_of(table, "a");
        key_runs_append(&runs, run_of(other_table, "b"));
        assert_true(rows_window_add(&window, lsn, runs));
    }
    assert_int_equal(window.floor_lsn, 1);
    assert_int_equal(window.end - window.begin, 4);
    struct key_run *many = run_of(table, "a");
    for (int i = 0; i < 9; i++) key_runs_append(&many, run_of(table, "b"));
    assert_true(rows_window_add(&window, 4, many)); /* pushes itself out */
    assert_int_equal(window.floor_lsn, 4);
    assert_int_equal(window.bytes_held, 0);
    rows_window_reset(&window, 100, 400, 9);
    for (uint64_t lsn = 10; lsn < 40; lsn++) add(&window, lsn, "abcdefgh");
    assert_true(window.bytes_held <= 400);
    assert_true(window.floor_lsn > 10 && window.floor_lsn < 39);
    rows_window_forget(&window, 39);
    assert_int_equal(window.bytes_held, 0);
    assert_int_equal(window.floor_lsn, 39);
    rows_window_deinit(&window);
}

static bool is_other(const void *context, struct table_id id) {
    (void)context;
    return table_id_compare(id, other_table) == 0;
}

static void what_was_written_to_a_dropped_table_is_forgotten(void **state) {
    (void)state;
    struct rows_window window = {0};
    rows_window_reset(&window, 100, 1 << 20, 0);
    uint64_t bytes = 0;
    for (uint64_t lsn = 1; lsn <= 200; lsn++) {
        struct key_run *run = run_of(lsn % 3 ? other_table : table, "ab");
        if (lsn > 100 && lsn % 3 == 0) bytes += run->bytes;
        assert_true(rows_window_add(&window, lsn, run));
    }
    rows_window_prune(&window, is_other, NULL);
    assert_int_equal(window.bytes_held, bytes);
    assert_int_equal(check(&window, 197, "a"), CONFLICT_FOUND);
    assert_int_equal(check(&window, 198, "a"), CONFLICT_NONE);
    assert_int_equal(window.floor_lsn, 100);
    rows_window_deinit(&window);
}

/* Keys of one or two letters, some of the 42 that there are; ascending. */
static struct key_run *random_run(struct test_random *random) {
    uint32_t offsets[KEYS + 1] = {0}, count = 0, size = 0;
    uint8_t bytes[2 * KEYS];
    uint64_t rarity = 1 + test_random_below(random, 20);
    for (uint8_t a = 'a'; a < 'g'; a++)
        for (int b = 0; b < 7; b++) {
            if (test_random_below(random, rarity)) continue;
            bytes[size++] = a;
            if (b) bytes[size++] = (uint8_t)('a' + b - 1);
            offsets[++count] = size;
        }
    struct row_keys encoded = {offsets, bytes};
    struct key_run *run = key_run_create(test_random_below(random, 4) ? table : other_table, &encoded, count);
    assert_non_null(run);
    return run;
}

static struct slice random_key(struct test_random *random, uint8_t bytes[2]) {
    bytes[0] = (uint8_t)('a' + test_random_below(random, 7));
    bytes[1] = (uint8_t)('a' + test_random_below(random, 7));
    return slice_of(bytes, test_random_below(random, 3));
}

static void much_that_was_read_is_judged_as_each_of_it_alone(void **state) {
    (void)state;
    enum { READS = 40, ROUNDS = 3000 };
    struct test_random random = {17};
    unsigned verdicts[3] = {0};
    for (int round = 0; round < ROUNDS; round++) {
        struct rows_window window = {0};
        struct slice keys[READS], found;
        struct rows_read_range ranges[READS];
        uint8_t bytes[3 * READS][2];
        rows_window_reset(&window, 100, 1 << 20, 1);
        for (uint64_t lsn = 2, end = 2 + test_random_below(&random, 8); lsn < end; lsn++)
            assert_true(rows_window_add(&window, lsn, random_run(&random)));
        uint64_t snapshot = test_random_below(&random, 10);
        struct rows_read_set set = {keys, ranges, test_random_below(&random, round % 2 ? 5 : READS),
                                    1 + test_random_below(&random, round % 3 ? 3 : READS)};
        enum conflict_verdict wanted = CONFLICT_NONE;
        for (uint64_t i = 0; i < set.key_count; i++) {
            keys[i] = random_key(&random, bytes[i]);
            enum conflict_verdict one = rows_window_check_key(&window, snapshot, table, keys[i]);
            if (wanted == CONFLICT_NONE) wanted = one;
        }
        for (uint64_t i = 0; i < set.range_count; i++) {
            ranges[i].lower = random_key(&random, bytes[READS + i]);
            ranges[i].upper = random_key(&random, bytes[2 * READS + i]);
            if (!ranges[i].upper.size && test_random_below(&random, 5)) ranges[i].upper = ranges[i].lower;
            enum conflict_verdict one =
                rows_window_check_range(&window, snapshot, table, ranges[i].lower, ranges[i].upper, &found);
            if (wanted == CONFLICT_NONE) wanted = one;
        }
        rows_read_set_sort(&set);
        assert_int_equal(rows_window_check_set(&window, snapshot, table, &set, &found), wanted);
        verdicts[wanted]++;
        rows_window_deinit(&window);
    }
    for (int i = 0; i < 3; i++) assert_true(verdicts[i] > 50);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_is_searched_by_key_and_by_range),
        cmocka_unit_test(rows_without_a_key_conflict_with_every_read_of_their_table),
        cmocka_unit_test(what_is_over_the_bounds_goes_in_whole_records),
        cmocka_unit_test(what_was_written_to_a_dropped_table_is_forgotten),
        cmocka_unit_test(much_that_was_read_is_judged_as_each_of_it_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
