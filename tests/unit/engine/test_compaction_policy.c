#include "engine/compaction_policy.h"
#include "support/test_support.h"

static void expect(const uint64_t *bytes, size_t count, size_t first, size_t merged) {
    struct compaction_choice choice = compaction_choose(&compaction_policy_default, bytes, count);
    assert_int_equal(choice.count, merged);
    if (merged) assert_int_equal(choice.first, first);
}

static void few_runs_are_left_alone(void **state) {
    (void)state;
    expect((uint64_t[]){10}, 1, 0, 0);
    expect((uint64_t[]){10, 10}, 2, 0, 0);
    expect((uint64_t[]){10, 10, 10}, 3, 0, 0);
    expect(NULL, 0, 0, 0);
}

static void four_runs_of_a_size_are_merged(void **state) {
    (void)state;
    expect((uint64_t[]){10, 10, 10, 10}, 4, 0, 4);
    expect((uint64_t[]){10, 11, 9, 12, 1000}, 5, 0, 4);
}

static void a_large_old_run_is_not_rewritten_for_a_few_small_ones(void **state) {
    (void)state;
    expect((uint64_t[]){10, 10, 1000}, 3, 0, 0);
    expect((uint64_t[]){10, 40, 40, 40, 40, 5000}, 6, 0, 5);
}

static void when_the_newer_runs_outweigh_the_oldest_all_are_merged(void **state) {
    (void)state;
    expect((uint64_t[]){10, 50, 300, 700, 1000}, 5, 0, 5);
}

static void too_many_runs_are_brought_down_whatever_their_sizes(void **state) {
    (void)state;
    uint64_t bytes[16];
    for (int i = 0; i < 16; i++) bytes[i] = 1ull << (3 * i);
    struct compaction_choice choice = compaction_choose(&compaction_policy_default, bytes, 16);
    assert_int_equal(choice.first, 0);
    assert_int_equal(16 - choice.count + 1, compaction_policy_default.runs_max);
}

/* Flushes of one size for a long time: reads stay bounded, and so does what is rewritten. */
static void steady_flushes_keep_runs_and_rewriting_bounded(void **state) {
    (void)state;
    uint64_t runs[64] = {0}, written = 0;
    size_t count = 0, most = 0;
    enum { FLUSHES = 4000 };
    for (int i = 0; i < FLUSHES; i++) {
        memmove(&runs[1], &runs[0], count++ * sizeof *runs);
        runs[0] = 100;
        for (;;) {
            struct compaction_choice choice = compaction_choose(&compaction_policy_default, runs, count);
            if (!choice.count) break;
            uint64_t sum = 0;
            for (size_t k = 0; k < choice.count; k++) sum += runs[choice.first + k];
            written += sum;
            runs[choice.first] = sum;
            memmove(&runs[choice.first + 1], &runs[choice.first + choice.count],
                    (count - choice.first - choice.count) * sizeof *runs);
            count -= choice.count - 1;
        }
        if (count > most) most = count;
    }
    assert_true(most <= compaction_policy_default.runs_max);
    assert_true(written <= 100ull * FLUSHES * 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_runs_are_left_alone),
        cmocka_unit_test(four_runs_of_a_size_are_merged),
        cmocka_unit_test(a_large_old_run_is_not_rewritten_for_a_few_small_ones),
        cmocka_unit_test(when_the_newer_runs_outweigh_the_oldest_all_are_merged),
        cmocka_unit_test(too_many_runs_are_brought_down_whatever_their_sizes),
        cmocka_unit_test(steady_flushes_keep_runs_and_rewriting_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
