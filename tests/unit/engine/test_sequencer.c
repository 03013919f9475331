#include <pthread.h>
#include <stdlib.h>

#include "engine/sequencer.h"
#include "support/test_support.h"

static atomic_bool never;

static void the_watermark_stops_at_the_first_gap(void **state) {
    (void)state;
    struct sequencer sequencer;
    assert_true(sequencer_init(&sequencer, 10, &never));
    sequencer_done(&sequencer, 12);
    assert_int_equal(sequencer_applied(&sequencer), 10);
    sequencer_done(&sequencer, 11);
    assert_int_equal(sequencer_applied(&sequencer), 12);
    sequencer_deinit(&sequencer);
}

struct shared {
    struct sequencer sequencer;
    _Atomic uint64_t next;
    uint64_t last;
};

static void *mark_many(void *argument) {
    struct shared *shared = argument;
    for (;;) {
        uint64_t lsn = atomic_fetch_add(&shared->next, 1);
        if (lsn > shared->last) return NULL;
        if (sequencer_reserve(&shared->sequencer, lsn)) sequencer_done(&shared->sequencer, lsn);
        if (lsn % 1000 == 0) sequencer_wait(&shared->sequencer, lsn);
    }
}

static void many_threads_leave_no_gap(void **state) {
    (void)state;
    struct shared shared = {.next = 1, .last = 200000};
    assert_true(sequencer_init(&shared.sequencer, 0, &never));
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, mark_many, &shared);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    assert_int_equal(sequencer_applied(&shared.sequencer), shared.last);
    sequencer_deinit(&shared.sequencer);
}

static void waits_give_up_when_it_has_stopped(void **state) {
    (void)state;
    atomic_bool stopped;
    atomic_init(&stopped, true);
    struct sequencer sequencer;
    assert_true(sequencer_init(&sequencer, 0, &stopped));
    assert_false(sequencer_wait(&sequencer, 1));
    assert_false(sequencer_reserve(&sequencer, SEQUENCER_SLOTS + 1));
    assert_true(sequencer_reserve(&sequencer, SEQUENCER_SLOTS));
    sequencer_deinit(&sequencer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_watermark_stops_at_the_first_gap),
        cmocka_unit_test(many_threads_leave_no_gap),
        cmocka_unit_test(waits_give_up_when_it_has_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
