#include "engine/write_delay.h"

#include "support/test_support.h"

static const struct write_delay_policy *const policy = &write_delay_policy_default;
static const uint64_t second = 1000ull * 1000 * 1000, gib = 1ull << 30, mib = 1 << 20;

static void writers_are_free_while_merges_keep_up(void **state) {
    (void)state;
    assert_int_equal(write_delay_severity(policy, 0, 0), 0);
    assert_int_equal(write_delay_severity(policy, policy->runs_soft, policy->debt_soft), 0);
    assert_int_equal(write_delay_rate(policy, 0, 100 * mib), 0);
}

static void the_rate_falls_as_runs_or_debt_grow_and_never_to_nothing(void **state) {
    (void)state;
    uint64_t before = UINT64_MAX;
    for (uint64_t runs = policy->runs_soft + 1; runs < 2 * policy->runs_hard; runs++) {
        uint64_t rate = write_delay_rate(policy, write_delay_severity(policy, runs, 0), 100 * mib);
        assert_true(rate <= before && rate >= 10 * mib * 9 / 10);
        before = rate;
    }
    before = UINT64_MAX;
    for (uint64_t debt = policy->debt_soft + gib; debt < 2 * policy->debt_hard; debt += gib) {
        uint64_t rate = write_delay_rate(policy, write_delay_severity(policy, 0, debt), 100 * mib);
        assert_true(rate <= before && rate <= 100 * mib);
        before = rate;
    }
    assert_int_equal(write_delay_rate(policy, 1000, 0), policy->rate_min);
}

static void a_budget_makes_its_writers_wait_for_their_time(void **state) {
    (void)state;
    struct write_budget budget = {0};
    uint64_t now = 5 * second;
    assert_int_equal(write_budget_wait_us(&budget, gib, now), 0);
    write_budget_set(&budget, 10 * mib, gib, now);
    assert_int_equal(write_budget_wait_us(&budget, gib, now), 0);
    uint64_t wait_us = write_budget_wait_us(&budget, gib + mib, now);
    assert_in_range(wait_us, 99 * 1000, 101 * 1000);
    assert_int_equal(write_budget_wait_us(&budget, gib + mib, now + second / 10), 0);
    write_budget_set(&budget, 10 * mib, gib + mib, now + second); /* the same again changes nothing */
    assert_int_equal(budget.since_bytes, gib);
}

static void what_is_not_used_is_lost(void **state) {
    (void)state;
    struct write_budget budget = {0};
    uint64_t now = second;
    write_budget_set(&budget, 10 * mib, 0, now);
    assert_int_equal(write_budget_wait_us(&budget, mib, now + 100 * second), 0);
    assert_true(write_budget_wait_us(&budget, 11 * mib, now + 100 * second) > 900 * 1000);
}

/* Ten seconds of a writer that always wants more. */
static void the_rate_is_kept_over_time(void **state) {
    (void)state;
    struct write_budget budget = {0};
    uint64_t now = second, written = 0;
    write_budget_set(&budget, 10 * mib, written, now);
    while (now < 11 * second) {
        now += 1000 * write_budget_wait_us(&budget, written, now);
        written += 64 << 10;
        now += 10 * 1000;
    }
    assert_in_range(written, 98 * mib, 102 * mib);
}

static void the_free_rate_follows_bursts_at_once_and_pauses_slowly(void **state) {
    (void)state;
    struct write_rate rate = {0};
    write_rate_note(&rate, 0, second);
    write_rate_note(&rate, 50 * mib, 2 * second);
    assert_in_range(rate.bytes_per_s, 49 * mib, 51 * mib);
    write_rate_note(&rate, 50 * mib, 3 * second);
    assert_in_range(rate.bytes_per_s, 43 * mib, 44 * mib);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writers_are_free_while_merges_keep_up),
        cmocka_unit_test(the_rate_falls_as_runs_or_debt_grow_and_never_to_nothing),
        cmocka_unit_test(a_budget_makes_its_writers_wait_for_their_time),
        cmocka_unit_test(what_is_not_used_is_lost),
        cmocka_unit_test(the_rate_is_kept_over_time),
        cmocka_unit_test(the_free_rate_follows_bursts_at_once_and_pauses_slowly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
