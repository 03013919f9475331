#include "engine/purge.h"
#include "support/test_support.h"

struct step {
    const char *key;
    uint64_t lsn;
    enum row_operation operation;
    enum purge_verdict wanted;
    bool at_horizon;
};

static void judge(uint64_t horizon, bool bottom, const struct step *steps, size_t count) {
    struct purge purge;
    purge_init(&purge, horizon, bottom);
    for (size_t i = 0; i < count; i++) {
        struct row row = {.key = slice_of_string(steps[i].key), .lsn = steps[i].lsn, .operation = steps[i].operation};
        bool at_horizon;
        assert_int_equal(purge_judge(&purge, &row, &at_horizon), steps[i].wanted);
        assert_int_equal(at_horizon, steps[i].at_horizon);
    }
    purge_deinit(&purge);
}

static void versions_that_a_snapshot_may_see_are_kept(void **state) {
    (void)state;
    const struct step steps[] = {{"k", 90, ROW_SET, PURGE_KEEP, false}, {"k", 70, ROW_SET, PURGE_KEEP, false},
                                 {"k", 55, ROW_SET, PURGE_KEEP, true},  {"k", 40, ROW_DELETE, PURGE_DROP, false},
                                 {"k", 20, ROW_SET, PURGE_DROP, false}, {"l", 60, ROW_SET, PURGE_KEEP, true},
                                 {"l", 59, ROW_SET, PURGE_DROP, false}};
    judge(60, true, steps, 7);
    judge(60, false, steps, 7);
}

static void deletes_go_at_the_bottom_only(void **state) {
    (void)state;
    const struct step above[] = {{"k", 50, ROW_DELETE, PURGE_KEEP, true}, {"k", 40, ROW_SET, PURGE_DROP, false}};
    const struct step bottom[] = {{"k", 50, ROW_DELETE, PURGE_DROP, true}, {"k", 40, ROW_SET, PURGE_DROP, false}};
    const struct step young[] = {{"k", 80, ROW_DELETE, PURGE_KEEP, false}, {"k", 40, ROW_SET, PURGE_KEEP, true}};
    judge(60, false, above, 2);
    judge(60, true, bottom, 2);
    judge(60, true, young, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_that_a_snapshot_may_see_are_kept),
        cmocka_unit_test(deletes_go_at_the_bottom_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
