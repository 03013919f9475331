#include "support/sim_env.h"
#include "support/test_support.h"

#include <pthread.h>
#include <sched.h>

#include "base/thread.h"
#include "log/memory_log.h"

static struct sim_env *sim;
static struct memory_log *shared;
static struct log *left, *right;
static struct plinth_error error;

static int set_up(void **state) {
    (void)state;
    sim = sim_env_create(1);
    error = (struct plinth_error){0};
    assert_ok(memory_log_create(sim_env_base(sim), 0, &shared, &error), &error);
    assert_ok(memory_log_open(shared, &left, &error), &error);
    assert_ok(memory_log_open(shared, &right, &error), &error);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    log_close(left, NULL);
    log_close(right, NULL);
    memory_log_destroy(shared);
    sim_env_destroy(sim);
    return 0;
}

static enum plinth_status append(struct log *log, const char *text, uint64_t *lsn) {
    struct record_header header = {.kind = 3, .sequence = 9};
    struct slice part = slice_of_string(text);
    return log_append(log, &header, &part, 1, 0, lsn, &error);
}

static void assert_texts(struct log *log, uint64_t from, const char *texts) {
    struct log_reader *reader = NULL;
    struct record record;
    bool found = false;
    assert_ok(log_read(log, from, &reader, &error), &error);
    for (; *texts; texts++) {
        assert_ok(log_next(reader, &record, &found, &error), &error);
        assert_true(found);
        assert_int_equal(record.payload.size, 1);
        assert_int_equal(record.payload.data[0], *texts);
        assert_int_equal(record.header.kind, 3);
    }
    assert_ok(log_next(reader, &record, &found, &error), &error);
    assert_false(found);
    log_reader_close(reader);
}

static void two_handles_share_one_order(void **state) {
    (void)state;
    uint64_t lsn = 0;
    assert_ok(append(left, "a", &lsn), &error);
    assert_int_equal(lsn, 1);
    assert_ok(append(right, "b", &lsn), &error);
    assert_int_equal(lsn, 2);
    assert_ok(log_wait(left, 2, RECORD_SYNCED, 0, &error), &error);
    assert_texts(left, 1, "ab");
    assert_texts(right, 2, "b");
    assert_memory_equal(left->id, right->id, LOG_ID_BYTES);
    assert_ok(log_close(left, &error), &error);
    assert_ok(memory_log_open(shared, &left, &error), &error);
    assert_texts(left, 0, "ab");
    assert_int_equal(log_next_lsn(left), 3);
}

static void faults_meet_the_ordered_append(void **state) {
    (void)state;
    uint64_t lsn = 0;
    memory_log_fault_at(shared, 1, MEMORY_LOG_LOST);
    memory_log_fault_at(shared, 2, MEMORY_LOG_UNKNOWN);
    memory_log_fault_at(shared, 3, MEMORY_LOG_DUPLICATE);
    memory_log_fault_at(shared, 4, MEMORY_LOG_REFUSED);
    assert_ok(append(left, "a", &lsn), &error);
    assert_status(append(left, "b", &lsn), PLINTH_OUTCOME_UNKNOWN, &error);
    assert_int_equal(lsn, 0);
    assert_status(append(right, "c", &lsn), PLINTH_OUTCOME_UNKNOWN, &error);
    assert_ok(append(left, "d", &lsn), &error);
    assert_int_equal(lsn, 3);
    assert_status(append(left, "e", &lsn), PLINTH_IO_ERROR, &error);
    assert_ok(append(left, "f", &lsn), &error);
    assert_texts(right, 1, "acddf");
}

static void held_records_are_neither_read_nor_synced(void **state) {
    (void)state;
    uint64_t lsn = 0;
    assert_ok(append(left, "a", &lsn), &error);
    memory_log_hold(shared, true);
    assert_ok(append(left, "b", &lsn), &error);
    assert_texts(right, 1, "a");
    assert_int_equal(log_synced_lsn(left), 1);
    assert_status(log_wait(left, 2, RECORD_SYNCED, 1000, &error), PLINTH_DEADLINE_EXCEEDED, &error);
    assert_ok(log_wait(left, 2, RECORD_BUFFERED, 0, &error), &error);
    memory_log_hold(shared, false);
    assert_ok(log_wait(left, 2, RECORD_SYNCED, LOG_WAIT_FOREVER, &error), &error);
    assert_texts(right, 1, "ab");
}

static void a_new_epoch_loses_what_was_not_synced(void **state) {
    (void)state;
    uint64_t lsn = 0;
    assert_ok(append(left, "a", &lsn), &error);
    memory_log_hold(shared, true);
    assert_ok(append(left, "b", &lsn), &error);
    uint64_t base = memory_log_new_epoch(shared);
    memory_log_hold(shared, false);
    assert_true(base > lsn + 1);
    assert_status(log_wait(left, lsn, RECORD_SYNCED, LOG_WAIT_FOREVER, &error), PLINTH_OUTCOME_UNKNOWN, &error);
    assert_ok(append(right, "c", &lsn), &error);
    assert_int_equal(lsn, base);
    assert_texts(left, 1, "ac");
    struct log_epoch epochs[4];
    assert_int_equal(log_epochs(left, epochs, 4), 2);
    assert_true(epochs[0].base == 1 && epochs[0].last == 1 && epochs[1].base == base);
}

static void trimmed_records_are_too_old(void **state) {
    (void)state;
    uint64_t lsn = 0;
    struct log_reader *reader = NULL;
    for (int i = 0; i < 5; i++) assert_ok(append(left, "x", &lsn), &error);
    assert_ok(log_trim(left, 4, &error), &error);
    assert_status(log_read(left, 3, &reader, &error), PLINTH_TOO_OLD, &error);
    assert_texts(left, 4, "xx");
}

struct listener {
    struct log_listener base;
    atomic_uint_fast64_t synced;
};

static void on_advanced(struct log_listener *base, uint64_t written_lsn, uint64_t synced_lsn) {
    (void)written_lsn;
    atomic_store(&((struct listener *)base)->synced, synced_lsn);
}

static void every_handle_has_its_listener_told(void **state) {
    (void)state;
    struct listener listeners[2] = {{.base = {.advanced = on_advanced}}, {.base = {.advanced = on_advanced}}};
    log_listen(left, &listeners[0].base);
    log_listen(right, &listeners[1].base);
    uint64_t lsn = 0, begin_ns = thread_time_ns();
    for (int i = 0; i < 100; i++) assert_ok(append(left, "x", &lsn), &error);
    while (atomic_load(&listeners[0].synced) < lsn || atomic_load(&listeners[1].synced) < lsn) {
        assert_true(thread_time_ns() - begin_ns < UINT64_C(10) * 1000000000);
        sched_yield();
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(two_handles_share_one_order),
        TEST(faults_meet_the_ordered_append),
        TEST(held_records_are_neither_read_nor_synced),
        TEST(a_new_epoch_loses_what_was_not_synced),
        TEST(trimmed_records_are_too_old),
        TEST(every_handle_has_its_listener_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
