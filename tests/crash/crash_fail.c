/* Failing calls, each one in turn, and full disks.
 *
 * A fixed script (open, writes, flush, compact, close, open, writes, close) runs once for each call that it makes; that
 * call fails, once or with all after it, for want of space or by an I/O error; a write that fails leaves a part behind.
 * Every call of the engine's API then succeeds, or fails with a fitting status and a text that names what was wrong;
 * nothing acknowledged is lost, also by a power cut after the next life of the engine. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log_event.h"
#include "crash/crash_machine.h"

/* Instrumented builds take every few calls only: they are there for what is done wrong after a failure, whichever. So
 * do short runs, each test others. */
#if defined(__SANITIZE_THREAD__)
enum { STRIDE = 23 };
#elif defined(__SANITIZE_ADDRESS__)
enum { STRIDE = 5 };
#else
enum { STRIDE = 1 };
#endif

enum { WATCH_SECONDS = 300, RETRIES = 3000, WRITES_MAX = 3000 };

static const struct plinth_options small = {
    .memtable_bytes = 8192, .cache_bytes = 1 << 20, .log_segment_bytes = 16384, .log_sync_interval_ms = 2};
/* Only the script itself flushes and merges: the calls come in nearly the same order every time. */
static const struct plinth_options quiet = {.memtable_bytes = 64 << 10,
                                            .cache_bytes = 1 << 20,
                                            .log_segment_bytes = 32768,
                                            .log_sync_interval_ms = 1000,
                                            .no_background_compaction = true};

/* ---- failing calls ---- */

static void check_failure(const struct crash_machine *machine, enum plinth_status st, enum plinth_status ordered) {
    if (!st) return;
    bool fits = st == ordered || st == PLINTH_OUTCOME_UNKNOWN || st == PLINTH_UNAVAILABLE;
    if (!fits) print_error("%s: \"%s\"\n", plinth_status_name(st), machine->error.text);
    assert_true(fits);
    if (!strstr(machine->error.text, CRASH_DIRECTORY "/") && !strstr(machine->error.text, CRASH_DIRECTORY ":"))
        fail_msg("the failure does not name its file: \"%s\"", machine->error.text);
}

static void write_steps(struct crash_machine *machine, int count, enum plinth_status ordered) {
    for (int i = 0; i < count; i++)
        check_failure(machine,
                      crash_machine_write(machine, i % 4 ? PLINTH_DURABILITY_SYNCED : PLINTH_DURABILITY_WRITTEN),
                      ordered);
}

static void run_script(struct crash_machine *machine, enum plinth_status ordered) {
    for (int life = 0; life < 2; life++) {
        enum plinth_status st = crash_machine_open(machine, &quiet);
        if (st) {
            /* The failure of a call is reported as it is, also while opening. */
            assert_string_not_equal(machine->error.text, "");
            if (st != ordered && st != PLINTH_OUTCOME_UNKNOWN && st != PLINTH_UNAVAILABLE)
                fail_msg("opening gave %s: \"%s\"", plinth_status_name(st), machine->error.text);
            continue;
        }
        bool settled = false; /* the failing call, or all of them, may be reading ones */
        for (int i = 0; i < RETRIES && !settled; i++) settled = !crash_machine_settle(machine);
        if (!settled) {
            crash_machine_close(machine);
            continue;
        }
        write_steps(machine, 12, ordered);
        check_failure(machine, plinth_flush(machine->db, &machine->error), ordered);
        write_steps(machine, 8, ordered);
        check_failure(machine, plinth_compact(machine->db, &machine->error), ordered);
        write_steps(machine, 6, ordered);
        crash_machine_close(machine);
    }
}

static bool with_tables; /* the script writes rows, too */
static bool with_values; /* some values lie in the store */

/* False when the script was through before its call number `skip`. */
static bool run_with_failure(uint64_t skip, enum plinth_status status, bool sticky) {
    crash_watch(WATCH_SECONDS, skip);
    struct crash_machine *machine = crash_machine_create(skip);
    machine->with_tables = with_tables;
    machine->with_values = with_values;
    sim_env_fail(machine->sim, SIM_ANY, skip, status, sticky);
    run_script(machine, status);
    bool reached = sim_env_calls(machine->sim, SIM_ANY) > skip;
    sim_env_heal(machine->sim);
    if (skip % 3 == 0) crash_machine_cut_power(machine, skip);
    assert_ok(crash_machine_open(machine, &small), &machine->error);
    crash_machine_compare(machine);
    for (int i = 0; i < 6; i++) assert_ok(crash_machine_write(machine, PLINTH_DURABILITY_SYNCED), &machine->error);
    assert_ok(plinth_flush(machine->db, &machine->error), &machine->error);
    assert_ok(crash_machine_write(machine, PLINTH_DURABILITY_SYNCED), &machine->error);
    sim_env_fail(machine->sim, SIM_ANY, 0, PLINTH_IO_ERROR, true);
    crash_machine_cut_power(machine, ~skip);
    assert_ok(crash_machine_open(machine, &small), &machine->error);
    crash_machine_compare(machine);
    crash_machine_close(machine);
    crash_machine_destroy(machine);
    return reached;
}

static uint64_t failing_now;
static const char *failing_how = "";

static bool is_short(void) {
    const char *rounds = getenv("PLINTH_CRASH_ROUNDS");
    return rounds && strtoul(rounds, NULL, 10) < 50;
}

static void fail_each_call(enum plinth_status status, bool sticky, unsigned test) {
    uint64_t every = STRIDE == 1 && is_short() ? 3 : STRIDE;
    failing_how = plinth_status_name(status);
    for (int what = 0; what < 3; what++) {
        with_tables = what == 1;
        with_values = what == 2;
        uint64_t stride = what ? 3 * every : every; /* these take twice the calls, and each run twice as long */
        for (failing_now = test % every; run_with_failure(failing_now, status, sticky); failing_now += stride) {
        }
        print_message("%" PRIu64 " calls failed in turn%s\n", failing_now / stride,
                      what == 1   ? ", with tables"
                      : what == 2 ? ", with values in the store"
                                  : "");
    }
    failing_how = "";
}

static void a_call_that_fails_once_loses_nothing(void **state) {
    (void)state;
    fail_each_call(PLINTH_IO_ERROR, false, 0);
}

static void a_call_without_space_loses_nothing(void **state) {
    (void)state;
    fail_each_call(PLINTH_NO_SPACE, false, 1);
}

static void a_disk_that_fails_for_good_loses_nothing(void **state) {
    (void)state;
    fail_each_call(PLINTH_IO_ERROR, true, 2);
}

/* ---- full disks ---- */

static uint64_t used_bytes(struct crash_machine *machine) {
    uint64_t free_bytes = 0;
    sim_env_limit_disk(machine->sim, UINT64_C(1) << 40);
    assert_ok(env_free_bytes(sim_env_base(machine->sim), "/", &free_bytes, &machine->error), &machine->error);
    return (UINT64_C(1) << 40) - free_bytes;
}

/* Refused for want of space; or some of it was written, or its repetition was refused. */
static bool lacks_space(enum plinth_status st) { return st == PLINTH_NO_SPACE || st == PLINTH_OUTCOME_UNKNOWN; }

/* Writes until the disk is full; false when merging keeps up with the writes in the room there is. */
static bool fill_disk(struct crash_machine *machine) {
    for (int i = 0; i < WRITES_MAX; i++) {
        enum plinth_status st = crash_machine_write(machine, PLINTH_DURABILITY_SYNCED);
        if (!st) continue;
        if (!lacks_space(st)) assert_status(st, PLINTH_NO_SPACE, &machine->error);
        assert_error_names(&machine->error, CRASH_DIRECTORY "/");
        return true;
    }
    return false;
}

/* Writing works again soon after there is space: the flush is tried again every half second. */
static void write_again(struct crash_machine *machine) {
    enum plinth_status st = PLINTH_NO_SPACE;
    for (int i = 0; i < RETRIES && lacks_space(st); i++) {
        st = crash_machine_write(machine, PLINTH_DURABILITY_SYNCED);
        if (st) usleep(20 * 1000);
    }
    assert_ok(st, &machine->error);
}

static void a_full_disk_refuses_writes_and_goes_on_when_there_is_space(void **state) {
    (void)state;
    for (uint64_t room = 0; room < 400000; room = room * 2 + 3000) {
        crash_watch(WATCH_SECONDS, room);
        struct crash_machine *machine = crash_machine_create(room);
        machine->with_tables = true;
        assert_ok(crash_machine_open(machine, &small), &machine->error);
        for (int i = 0; i < 100; i++)
            assert_ok(crash_machine_write(machine, PLINTH_DURABILITY_WRITTEN), &machine->error);
        sim_env_limit_disk(machine->sim, used_bytes(machine) + room);
        if (!fill_disk(machine)) assert_true(room > 100000);
        /* Reads go on; trying again gives the same answer and harms nothing. */
        crash_machine_compare(machine);
        for (int i = 0; i < 3; i++) (void)fill_disk(machine);
        struct plinth_error error;
        enum plinth_status st = plinth_flush(machine->db, &error);
        if (st) assert_status(st, PLINTH_NO_SPACE, &error);
        crash_machine_compare(machine);
        sim_env_limit_disk(machine->sim, UINT64_MAX);
        for (int i = 0; i < 50; i++) write_again(machine);
        assert_ok(plinth_compact(machine->db, &machine->error), &machine->error);
        crash_machine_compare(machine);
        crash_machine_close(machine);
        assert_ok(crash_machine_open(machine, &small), &machine->error);
        crash_machine_compare(machine);
        crash_machine_close(machine);
        crash_machine_destroy(machine);
    }
}

/* The disk is full when the engine is opened. */
static void opening_on_a_full_disk_fails_or_works_and_loses_nothing(void **state) {
    (void)state;
    for (uint64_t room = 0; room < 200000; room = room * 3 / 2 + 500) {
        crash_watch(WATCH_SECONDS, room);
        struct crash_machine *machine = crash_machine_create(room);
        machine->with_tables = true;
        assert_ok(crash_machine_open(machine, &small), &machine->error);
        for (int i = 0; i < 150; i++)
            assert_ok(crash_machine_write(machine, PLINTH_DURABILITY_SYNCED), &machine->error);
        sim_env_fail(machine->sim, SIM_ANY, 0, PLINTH_IO_ERROR, true);
        crash_machine_kill(machine);
        sim_env_limit_disk(machine->sim, used_bytes(machine) + room);
        enum plinth_status st = crash_machine_open(machine, &small);
        if (st) {
            assert_status(st, PLINTH_NO_SPACE, &machine->error);
            assert_error_names(&machine->error, CRASH_DIRECTORY "/");
        } else {
            crash_machine_compare(machine);
            (void)fill_disk(machine);
            crash_machine_close(machine);
        }
        sim_env_limit_disk(machine->sim, UINT64_MAX);
        assert_ok(crash_machine_open(machine, &small), &machine->error);
        crash_machine_compare(machine);
        write_again(machine);
        crash_machine_close(machine);
        crash_machine_destroy(machine);
    }
}

/* crash_fail [PATTERN]: the tests whose names match. */
int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_that_fails_once_loses_nothing),
        cmocka_unit_test(a_call_without_space_loses_nothing),
        cmocka_unit_test(a_disk_that_fails_for_good_loses_nothing),
        cmocka_unit_test(a_full_disk_refuses_writes_and_goes_on_when_there_is_space),
        cmocka_unit_test(opening_on_a_full_disk_fails_or_works_and_loses_nothing),
    };
    log_event_configure(getenv("PLINTH_CRASH_LOG") ? LOG_INFO : LOG_OFF, false);
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (*failing_how) fprintf(stderr, "call number %" PRIu64 " failed with %s\n", failing_now, failing_how);
    fflush(NULL);
    _exit(failed); /* a failed test leaves threads behind */
}
