/* Which runs are merged; and what that comes to over a long time. */
#include "engine/compaction_policy.h"

#include <stdlib.h>
#include <string.h>

#include "support/test_support.h"

static const struct compaction_policy *const policy = &compaction_policy_default;

static struct compaction_choice choose_sizes(const uint64_t *bytes, size_t count) {
    struct compaction_run runs[64] = {0};
    for (size_t i = 0; i < count; i++) runs[i] = (struct compaction_run){.bytes = bytes[i], .rows = bytes[i]};
    const struct compaction_group group = {.runs = runs, .count = count};
    return compaction_choose(policy, &group);
}

static void expect(const uint64_t *bytes, size_t count, size_t first, size_t merged) {
    struct compaction_choice choice = choose_sizes(bytes, count);
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
    const uint64_t big = 10ull << 30; /* but not the tiny ones, each of which would meet all of the oldest */
    expect((uint64_t[]){big / 1000, big / 100, big / 2, big / 2, big}, 5, 2, 3);
}

static void too_many_runs_are_brought_down_whatever_their_sizes(void **state) {
    (void)state;
    uint64_t bytes[16];
    for (int i = 0; i < 16; i++) bytes[i] = 1ull << (3 * i);
    struct compaction_choice choice = choose_sizes(bytes, 16);
    assert_int_equal(choice.first, 0);
    assert_int_equal(choice.reason, COMPACTION_TOO_MANY);
    assert_int_equal(16 - choice.count + 1, policy->runs_max);
}

static void no_merge_takes_more_inputs_than_memory_is_meant_for(void **state) {
    (void)state;
    uint64_t bytes[64];
    for (int i = 0; i < 64; i++) bytes[i] = 10;
    struct compaction_choice choice = choose_sizes(bytes, 64);
    assert_int_equal(choice.count, policy->width_max);
    for (int i = 0; i < 64; i++) bytes[i] = 1ull << (i / 2);
    assert_true(choose_sizes(bytes, 64).count <= policy->width_max);
}

static void busy_runs_are_left_to_their_plan_and_the_others_merged_beside_it(void **state) {
    (void)state;
    struct compaction_run runs[9] = {0};
    for (size_t i = 0; i < 9; i++) runs[i] = (struct compaction_run){.bytes = 100, .rows = 100, .is_busy = i >= 5};
    struct compaction_group group = {.runs = runs, .count = 9};
    struct compaction_choice choice = compaction_choose(policy, &group);
    assert_int_equal(choice.first, 0);
    assert_int_equal(choice.count, 5);
    runs[2].is_busy = true; /* no four are left side by side */
    assert_int_equal(compaction_choose(policy, &group).count, 0);
    assert_true(compaction_debt(policy, &group) >= 900);
}

static void deletes_of_half_of_the_rows_bring_a_merge_of_all(void **state) {
    (void)state;
    struct compaction_run runs[2] = {{.bytes = 20, .rows = 400, .deletes = 400}, {.bytes = 10000, .rows = 1000}};
    struct compaction_group group = {.runs = runs, .count = 2};
    assert_int_equal(compaction_choose(policy, &group).count, 0);
    runs[0].deletes = 500;
    struct compaction_choice choice = compaction_choose(policy, &group);
    assert_int_equal(choice.count, 2);
    assert_int_equal(choice.reason, COMPACTION_DELETES);
}

static void a_single_run_is_rewritten_when_half_of_it_may_go(void **state) {
    (void)state;
    struct compaction_run run = {.bytes = 1000, .rows = 100, .deletes = 60};
    struct compaction_group group = {.runs = &run, .count = 1};
    assert_int_equal(compaction_choose(policy, &group).count, 0); /* a snapshot still needs them */
    run.purgeable = 60;
    assert_int_equal(compaction_choose(policy, &group).count, 1);
}

static void a_partition_that_has_ended_becomes_one_run_when_it_is_quiet(void **state) {
    (void)state;
    struct compaction_run runs[3] = {{.bytes = 10, .rows = 1}, {.bytes = 50, .rows = 5}, {.bytes = 1000, .rows = 100}};
    struct compaction_group group = {.runs = runs, .count = 3, .quiet_us = 10 * policy->quiet_us};
    assert_int_equal(compaction_choose(policy, &group).count, 0);
    group.has_ended = true;
    struct compaction_choice choice = compaction_choose(policy, &group);
    assert_int_equal(choice.count, 3);
    assert_int_equal(choice.reason, COMPACTION_CLOSED);
    group.quiet_us = policy->quiet_us - 1;
    assert_int_equal(compaction_choose(policy, &group).count, 0);
    /* One late row in a large partition waits longer. */
    runs[1].bytes = 1;
    runs[0].bytes = 1;
    group.quiet_us = policy->quiet_us;
    assert_int_equal(compaction_choose(policy, &group).count, 0);
    group.quiet_us = 60 * policy->quiet_us;
    assert_int_equal(compaction_choose(policy, &group).count, 3);
    /* And a closed one stays as it is. */
    group.runs = &runs[2];
    group.count = 1;
    assert_int_equal(compaction_choose(policy, &group).count, 0);
    runs[2].is_fresh = true;
    assert_int_equal(compaction_choose(policy, &group).count, 1);
}

/* ---- over a long time ---- */

struct history {
    struct compaction_run runs[64];
    size_t count, most;
    uint64_t flushed, rewritten, live_max; /* what the oldest run can grow to: rows overwrite each other */
    uint64_t space_max;
};

static uint64_t total(const struct history *h) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < h->count; i++) bytes += h->runs[i].bytes;
    return bytes;
}

static void flush(struct history *h, uint64_t bytes) {
    memmove(&h->runs[1], &h->runs[0], h->count++ * sizeof *h->runs);
    h->runs[0] = (struct compaction_run){.bytes = bytes, .rows = bytes};
    h->flushed += bytes;
    for (;;) {
        if (h->count > h->most) h->most = h->count;
        const struct compaction_group group = {.runs = h->runs, .count = h->count};
        struct compaction_choice choice = compaction_choose(policy, &group);
        if (!choice.count) break;
        struct compaction_run merged = {0};
        for (size_t k = choice.first; k < choice.first + choice.count; k++) merged.bytes += h->runs[k].bytes;
        if (merged.bytes > h->live_max) merged.bytes = h->live_max;
        merged.rows = merged.bytes;
        h->rewritten += merged.bytes;
        h->runs[choice.first] = merged;
        memmove(&h->runs[choice.first + 1], &h->runs[choice.first + choice.count],
                (h->count - choice.first - choice.count) * sizeof *h->runs);
        h->count -= choice.count - 1;
    }
    if (total(h) > h->space_max) h->space_max = total(h);
}

/* Bytes written, by flushes and merges, for each byte that came, in percent. */
static uint64_t amplification(const struct history *h) { return (h->flushed + h->rewritten) * 100 / h->flushed; }

/* A million flushes of new rows: 3 + log4(1,000,000) = 13 writes of each row at most. */
static void a_million_flushes_keep_runs_and_rewriting_bounded(void **state) {
    (void)state;
    struct history h = {.live_max = UINT64_MAX};
    for (int i = 0; i < 1000 * 1000; i++) flush(&h, 10 << 20);
    print_message("rows that are new: written %.2f times, at most %zu runs\n", (double)amplification(&h) / 100, h.most);
    assert_true(h.most <= policy->runs_max + 1);
    assert_true(amplification(&h) <= 1300);
}

/* Flushes of a table that holds at most 1,000 of them: rows overwrite each other. */
static void overwritten_rows_take_at_most_as_much_space_again(void **state) {
    (void)state;
    struct history h = {.live_max = 1000ull * (10 << 20)};
    for (int i = 0; i < 1000 * 1000; i++) flush(&h, 10 << 20);
    print_message("rows that overwrite: written %.2f times, at most %zu runs, space %.2f\n",
                  (double)amplification(&h) / 100, h.most, (double)h.space_max / (double)h.live_max);
    assert_true(h.most <= policy->runs_max + 1);
    assert_true(amplification(&h) <= 800);
    assert_true(h.space_max <= h.live_max * 21 / 10);
}

/* Flushes of any size, from a row to a full memtable. */
static void flushes_of_any_size_keep_runs_and_rewriting_bounded(void **state) {
    (void)state;
    struct test_random random = test_random_of(1);
    struct history h = {.live_max = UINT64_MAX};
    for (int i = 0; i < 1000 * 1000; i++) flush(&h, 1000ull << test_random_below(&random, 15));
    print_message("flushes of any size: written %.2f times, at most %zu runs\n", (double)amplification(&h) / 100,
                  h.most);
    assert_true(h.most <= policy->runs_max + 1);
    assert_true(amplification(&h) <= 1300);
}

static void debt_is_nothing_at_rest_and_grows_with_what_is_left_undone(void **state) {
    (void)state;
    struct compaction_run runs[40];
    uint64_t before = 0;
    for (size_t i = 0; i < 40; i++) runs[i] = (struct compaction_run){.bytes = 1 << 20, .rows = 1000};
    for (size_t count = 0; count <= 40; count++) {
        const struct compaction_group group = {.runs = runs, .count = count};
        uint64_t debt = compaction_debt(policy, &group);
        assert_true(count < 4 ? debt == 0 : debt >= before);
        before = debt;
    }
    assert_true(before >= 40u << 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_runs_are_left_alone),
        cmocka_unit_test(four_runs_of_a_size_are_merged),
        cmocka_unit_test(a_large_old_run_is_not_rewritten_for_a_few_small_ones),
        cmocka_unit_test(when_the_newer_runs_outweigh_the_oldest_all_are_merged),
        cmocka_unit_test(too_many_runs_are_brought_down_whatever_their_sizes),
        cmocka_unit_test(no_merge_takes_more_inputs_than_memory_is_meant_for),
        cmocka_unit_test(busy_runs_are_left_to_their_plan_and_the_others_merged_beside_it),
        cmocka_unit_test(deletes_of_half_of_the_rows_bring_a_merge_of_all),
        cmocka_unit_test(a_single_run_is_rewritten_when_half_of_it_may_go),
        cmocka_unit_test(a_partition_that_has_ended_becomes_one_run_when_it_is_quiet),
        cmocka_unit_test(a_million_flushes_keep_runs_and_rewriting_bounded),
        cmocka_unit_test(overwritten_rows_take_at_most_as_much_space_again),
        cmocka_unit_test(flushes_of_any_size_keep_runs_and_rewriting_bounded),
        cmocka_unit_test(debt_is_nothing_at_rest_and_grows_with_what_is_left_undone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
