/* The local log while it runs: appending, levels, room, readers, trimming, failures. */
#include "support/sim_env.h"
#include "support/test_support.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/thread.h"
#include "log/local_log.h"

static struct sim_env *sim;
static struct log *log_;
static struct plinth_error error;
static struct local_log_options options;

static void log_start(void) { assert_ok(local_log_open(sim_env_base(sim), "/log", &options, &log_, &error), &error); }

static int set_up(void **state) {
    (void)state;
    sim = sim_env_create(11);
    error = (struct plinth_error){0};
    options = (struct local_log_options){.segment_bytes = 64 * 1024};
    log_start();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    log_close(log_, NULL);
    sim_env_destroy(sim);
    return 0;
}

static void log_restart(void) {
    assert_ok(log_close(log_, &error), &error);
    log_start();
}

static uint64_t append_text(const char *text) {
    struct record_header header = {.kind = 1};
    struct slice part = slice_of_string(text);
    uint64_t lsn = 0;
    assert_ok(log_append(log_, &header, &part, 1, 0, &lsn, &error), &error);
    return lsn;
}

static void wait_for(uint64_t lsn, enum record_durability level) {
    assert_ok(log_wait(log_, lsn, level, LOG_WAIT_FOREVER, &error), &error);
}

/* Reads `count` records from `from` on: consecutive LSNs, numbers as payload. */
static void assert_numbers(uint64_t from, uint64_t count) {
    struct log_reader *reader = NULL;
    struct record record;
    bool found = false;
    assert_ok(log_read(log_, from, &reader, &error), &error);
    for (uint64_t i = 0; i < count; i++) {
        char text[32];
        snprintf(text, sizeof text, "%llu", (unsigned long long)(from + i));
        assert_ok(log_next(reader, &record, &found, &error), &error);
        assert_true(found);
        assert_int_equal(record.lsn, from + i);
        assert_true(slice_equal(record.payload, slice_of_string(text)));
    }
    assert_ok(log_next(reader, &record, &found, &error), &error);
    assert_false(found);
    log_reader_close(reader);
}

static uint64_t append_numbers(uint64_t count) {
    uint64_t lsn = 0;
    for (uint64_t i = 0; i < count; i++) {
        char text[32];
        snprintf(text, sizeof text, "%llu", (unsigned long long)log_next_lsn(log_));
        lsn = append_text(text);
    }
    return lsn;
}

static void lsns_begin_at_1_and_have_no_gaps(void **state) {
    (void)state;
    assert_int_equal(log_next_lsn(log_), 1);
    assert_int_equal(log_synced_lsn(log_), 0);
    for (uint64_t i = 1; i <= 1000; i++) assert_int_equal(append_text("x"), i);
    wait_for(1000, RECORD_SYNCED);
    assert_int_equal(log_synced_lsn(log_), 1000);
    assert_int_equal(log_written_lsn(log_), 1000);
}

static void headers_and_payloads_come_back(void **state) {
    (void)state;
    struct record_header header = {.kind = 200,
                                   .durability = RECORD_WRITTEN,
                                   .schema_version = 5,
                                   .chunk = 1,
                                   .chunk_count = 4,
                                   .extra_flags = 1 << 20,
                                   .time_us = 123456,
                                   .producer = 99,
                                   .sequence = 1000};
    struct slice parts[3] = {slice_of_string("one"), slice_of(NULL, 0), slice_of_string("two")};
    struct log_reader *reader = NULL;
    struct record record;
    bool found = false;
    uint64_t lsn = 0;
    assert_ok(log_append(log_, &header, parts, 3, 0, &lsn, &error), &error);
    struct record_header timeless = {.kind = 1};
    uint64_t before_us = env_wall_time_us(sim_env_base(sim));
    assert_ok(log_append(log_, &timeless, NULL, 0, 0, &lsn, &error), &error);
    uint64_t after_us = env_wall_time_us(sim_env_base(sim)); /* the log's thread may have slept meanwhile */
    wait_for(lsn, RECORD_WRITTEN);
    assert_ok(log_read(log_, 0, &reader, &error), &error);
    assert_ok(log_next(reader, &record, &found, &error), &error);
    assert_true(found && record.lsn == 1);
    assert_true(slice_equal(record.payload, slice_of_string("onetwo")));
    assert_int_equal(record.header.kind, 200);
    assert_int_equal(record.header.durability, RECORD_WRITTEN);
    assert_int_equal(record.header.schema_version, 5);
    assert_int_equal(record.header.chunk, 1);
    assert_int_equal(record.header.chunk_count, 4);
    assert_int_equal(record.header.extra_flags, 1 << 20);
    assert_int_equal(record.header.time_us, 123456);
    assert_int_equal(record.header.producer, 99);
    assert_int_equal(record.header.sequence, 1000);
    assert_ok(log_next(reader, &record, &found, &error), &error);
    assert_true(found);
    assert_in_range(record.header.time_us, before_us, after_us);
    assert_int_equal(record.header.chunk_count, 1);
    log_reader_close(reader);
}

static void payloads_of_every_size_up_to_the_limit_fit(void **state) {
    (void)state;
    uint8_t *bytes = malloc(RECORD_PAYLOAD_BYTES_MAX + 1);
    struct test_random random = test_random_of(4);
    test_random_bytes(&random, bytes, RECORD_PAYLOAD_BYTES_MAX + 1);
    struct record_header header = {.kind = 1};
    uint64_t lsn = 0;
    size_t sizes[40];
    for (int i = 0; i < 40; i++) {
        sizes[i] = i < 4 ? RECORD_PAYLOAD_BYTES_MAX : test_random_below(&random, i % 2 ? 200000 : 50);
        struct slice parts[2] = {slice_of(bytes, sizes[i] / 2),
                                 slice_of(bytes + sizes[i] / 2, sizes[i] - sizes[i] / 2)};
        assert_ok(log_append(log_, &header, parts, 2, 0, &lsn, &error), &error);
    }
    struct slice over[2] = {slice_of(bytes, RECORD_PAYLOAD_BYTES_MAX), slice_of(bytes, 1)};
    assert_status(log_append(log_, &header, over, 2, 0, &lsn, &error), PLINTH_TOO_LARGE, &error);
    assert_int_equal(lsn, 0);
    log_restart();
    struct log_reader *reader = NULL;
    struct record record;
    bool found = false;
    assert_ok(log_read(log_, 1, &reader, &error), &error);
    for (int i = 0; i < 40; i++) {
        assert_ok(log_next(reader, &record, &found, &error), &error);
        assert_true(found && record.lsn == (uint64_t)i + 1);
        assert_int_equal(record.payload.size, sizes[i]);
        assert_true(slice_equal(record.payload, slice_of(bytes, sizes[i])));
    }
    log_reader_close(reader);
    free(bytes);
}

static void a_clean_close_continues_the_epoch(void **state) {
    (void)state;
    for (uint64_t round = 0; round < 5; round++) {
        append_numbers(3);
        log_restart();
        assert_int_equal(log_next_lsn(log_), (round + 1) * 3 + 1);
        assert_int_equal(log_epochs(log_, NULL, 0), 1);
    }
    assert_numbers(1, 15);
    assert_numbers(7, 9);
}

static void opening_and_closing_over_and_over_never_fills_up(void **state) {
    (void)state;
    options = (struct local_log_options){.segment_bytes = 16 * 1024, .no_preparation = true};
    log_restart();
    append_numbers(2);
    for (int i = 0; i < 700; i++) log_restart();
    struct log_stats stats;
    log_stats(log_, &stats);
    assert_true(stats.segments <= 3);
    struct log_epoch epochs[LOG_EPOCHS_MAX];
    size_t count = log_epochs(log_, epochs, LOG_EPOCHS_MAX);
    assert_true(count >= 1 && count <= 10);
    assert_int_equal(epochs[0].base, 1);
    assert_numbers(1, 2);
}

static void segments_roll_and_all_is_read_across_them(void **state) {
    (void)state;
    uint64_t lsn = 0;
    for (int i = 0; i < 300; i++) {
        lsn = append_numbers(100);
        wait_for(lsn, i % 10 ? RECORD_WRITTEN : RECORD_SYNCED);
    }
    wait_for(lsn, RECORD_SYNCED);
    struct log_stats stats;
    log_stats(log_, &stats);
    assert_true(stats.segments >= 4);
    assert_int_equal(stats.appended, 30000);
    assert_int_equal(stats.first_lsn, 1);
    assert_numbers(1, 30000);
    assert_numbers(17003, 30000 - 17002);
    log_restart();
    assert_numbers(1, 30000);
    assert_numbers(29999, 2);
}

static void buffered_records_are_not_read_written_ones_are(void **state) {
    (void)state;
    options.sync_interval_ms = 60000;
    log_restart();
    uint64_t lsn = append_numbers(3);
    wait_for(lsn, RECORD_BUFFERED);
    assert_int_equal(log_written_lsn(log_), 0);
    assert_numbers(1, 0);
    wait_for(2, RECORD_WRITTEN);
    assert_int_equal(log_written_lsn(log_), 3);
    assert_int_equal(log_synced_lsn(log_), 0);
    assert_numbers(1, 3);
    wait_for(1, RECORD_SYNCED);
    assert_int_equal(log_synced_lsn(log_), 3);
}

static void nothing_stays_unsynced_for_long(void **state) {
    (void)state;
    options.sync_interval_ms = 5;
    log_restart();
    for (int round = 0; round < 3; round++) {
        uint64_t lsn = append_numbers(10);
        uint64_t begin_ns = thread_time_ns();
        while (log_synced_lsn(log_) < lsn) {
            assert_true(thread_time_ns() - begin_ns < UINT64_C(10) * 1000000000);
            sched_yield();
        }
    }
}

static void waits_for_what_does_not_exist_are_refused(void **state) {
    (void)state;
    append_numbers(2);
    assert_status(log_wait(log_, 3, RECORD_SYNCED, 0, &error), PLINTH_INVALID_ARGUMENT, &error);
}

struct listener {
    struct log_listener base;
    atomic_uint_fast64_t written, synced;
    atomic_uint calls, failures;
    struct plinth_error cause;
};

static void on_advanced(struct log_listener *base, uint64_t written_lsn, uint64_t synced_lsn) {
    struct listener *listener = (struct listener *)base;
    assert_true(written_lsn >= atomic_load(&listener->written) && synced_lsn >= atomic_load(&listener->synced));
    assert_true(synced_lsn <= written_lsn);
    atomic_store(&listener->written, written_lsn);
    atomic_store(&listener->synced, synced_lsn);
    atomic_fetch_add(&listener->calls, 1);
}

static void on_failed(struct log_listener *base, const struct plinth_error *cause) {
    struct listener *listener = (struct listener *)base;
    listener->cause = *cause;
    atomic_fetch_add(&listener->failures, 1);
}

static void spin_until(atomic_uint_fast64_t *mark, uint64_t value) {
    uint64_t begin_ns = thread_time_ns();
    while (atomic_load(mark) < value) {
        assert_true(thread_time_ns() - begin_ns < UINT64_C(10) * 1000000000);
        sched_yield();
    }
}

static void a_request_is_answered_to_the_listener(void **state) {
    (void)state;
    struct listener listener = {.base = {on_advanced, on_failed}};
    options.sync_interval_ms = 60000;
    log_restart();
    log_listen(log_, &listener.base);
    for (uint64_t round = 0; round < 200; round++) {
        uint64_t lsn = append_numbers(1);
        bool synced = round % 2;
        log_request(log_, lsn, synced ? RECORD_SYNCED : RECORD_WRITTEN);
        spin_until(synced ? &listener.synced : &listener.written, lsn);
    }
    /* Asking for what is there already is answered too. */
    uint64_t lsn = append_numbers(1);
    wait_for(lsn, RECORD_SYNCED);
    unsigned calls = atomic_load(&listener.calls);
    log_request(log_, lsn, RECORD_SYNCED);
    uint64_t begin_ns = thread_time_ns();
    while (atomic_load(&listener.calls) == calls) assert_true(thread_time_ns() - begin_ns < UINT64_C(10) * 1000000000);
    assert_int_equal(atomic_load(&listener.synced), lsn);
    assert_ok(log_close(log_, &error), &error);
    log_start();
}

static void without_room_an_append_waits_or_says_so(void **state) {
    (void)state;
    options.sync_interval_ms = 60000;
    options.unsynced_bytes_max = 100000;
    options.segment_bytes = 1 << 20;
    assert_ok(log_close(log_, &error), &error);
    assert_ok(local_log_open(sim_env_base(sim), "/large", &options, &log_, &error), &error);
    uint8_t payload[1000] = {0};
    struct slice part = slice_of(payload, sizeof payload);
    struct record_header header = {.kind = 1};
    uint64_t lsn = 0, last = 0;
    enum plinth_status st = PLINTH_OK;
    for (int i = 0; i < 1000 && !st; i++) {
        st = log_append(log_, &header, &part, 1, LOG_NO_WAIT, &lsn, &error);
        if (st == PLINTH_WOULD_BLOCK && i < 60) { /* no file made ahead yet, perhaps */
            assert_ok(log_wait_room(log_, LOG_WAIT_FOREVER, &error), &error);
            st = PLINTH_OK;
        }
        if (lsn) last = lsn;
    }
    assert_int_equal(st, PLINTH_WOULD_BLOCK);
    assert_true(last >= 60 && last < 100);
    assert_ok(log_append(log_, &header, &part, 1, 0, &lsn, &error), &error); /* makes room itself */
    assert_int_equal(lsn, last + 1);
    assert_true(log_synced_lsn(log_) > 0);
    struct log_stats stats;
    log_stats(log_, &stats);
    assert_true(stats.full_waits >= 2);
}

static void unsynced_records_are_bounded(void **state) {
    (void)state;
    options = (struct local_log_options){.sync_interval_ms = 60000, .segment_bytes = 32 << 20, .no_preparation = true};
    log_restart();
    struct record_header header = {.kind = 1, .time_us = 1};
    uint64_t lsn = 0;
    for (uint64_t i = 0; i < LOG_UNSYNCED_RECORDS_MAX + 1000; i++) {
        assert_ok(log_append(log_, &header, NULL, 0, 0, &lsn, &error), &error);
        assert_true(lsn - log_synced_lsn(log_) <= LOG_UNSYNCED_RECORDS_MAX);
    }
    assert_true(log_synced_lsn(log_) > 0);
}

enum { THREADS = 12, ROUNDS = 400 };

struct appender {
    pthread_t thread;
    unsigned number;
    uint64_t lsns[ROUNDS];
    const char *problem;
};

static void *append_and_wait(void *argument) {
    struct appender *appender = argument;
    struct test_random random = test_random_of(appender->number);
    for (uint64_t i = 0; i < ROUNDS && !appender->problem; i++) {
        struct plinth_error own = {0};
        uint64_t payload[2] = {appender->number, i};
        struct slice part = slice_of(payload, sizeof payload);
        struct record_header header = {.kind = 1, .producer = appender->number, .sequence = i};
        enum record_durability level = (enum record_durability)(1 + test_random_below(&random, 3));
        if (log_append(log_, &header, &part, 1, 0, &appender->lsns[i], &own)) appender->problem = "append";
        uint64_t timeout_us = test_random_below(&random, 3) ? LOG_WAIT_FOREVER : 1;
        enum plinth_status st = log_wait(log_, appender->lsns[i], level, timeout_us, &own);
        if (st && st != PLINTH_DEADLINE_EXCEEDED) appender->problem = "wait";
        if (!st && level == RECORD_SYNCED && log_synced_lsn(log_) < appender->lsns[i]) appender->problem = "synced";
        if (!st && level == RECORD_WRITTEN && log_written_lsn(log_) < appender->lsns[i]) appender->problem = "written";
        if (i && appender->lsns[i] <= appender->lsns[i - 1]) appender->problem = "order";
    }
    return NULL;
}

struct follower {
    pthread_t thread;
    uint64_t last_lsn; /* where to stop */
    uint64_t *by_lsn;  /* producer << 32 | sequence + 1 */
    const char *problem;
};

static void *follow(void *argument) {
    struct follower *follower = argument;
    struct plinth_error own = {0};
    struct log_reader *reader = NULL;
    if (log_read(log_, 1, &reader, &own)) follower->problem = "read";
    for (uint64_t lsn = 0; lsn < follower->last_lsn && !follower->problem;) {
        struct record record;
        bool found = false;
        if (log_next(reader, &record, &found, &own)) follower->problem = "next";
        if (!found) {
            sched_yield();
            continue;
        }
        if (record.lsn != ++lsn || record.payload.size != 16) follower->problem = "order";
        if (load_u64(record.payload.data) != record.header.producer) follower->problem = "payload";
        follower->by_lsn[lsn] = record.header.producer << 32 | (record.header.sequence + 1);
    }
    log_reader_close(reader);
    return NULL;
}

static void threads_append_wait_and_follow(void **state) {
    (void)state;
    struct appender *appenders = calloc(THREADS, sizeof *appenders);
    struct follower follower = {.last_lsn = THREADS * ROUNDS};
    follower.by_lsn = calloc(THREADS * ROUNDS + 1, sizeof *follower.by_lsn);
    assert_int_equal(pthread_create(&follower.thread, NULL, follow, &follower), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        appenders[i].number = i + 1;
        assert_int_equal(pthread_create(&appenders[i].thread, NULL, append_and_wait, &appenders[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(appenders[i].thread, NULL);
        if (appenders[i].problem) fail_msg("thread %u: %s", i, appenders[i].problem);
    }
    wait_for(THREADS * ROUNDS, RECORD_SYNCED);
    pthread_join(follower.thread, NULL);
    if (follower.problem) fail_msg("follower: %s", follower.problem);
    for (unsigned i = 0; i < THREADS; i++) {
        for (uint64_t k = 0; k < ROUNDS; k++) {
            assert_true(follower.by_lsn[appenders[i].lsns[k]] == ((uint64_t)(i + 1) << 32 | (k + 1)));
        }
    }
    struct log_stats stats;
    log_stats(log_, &stats);
    assert_true(stats.syncs < THREADS * ROUNDS);
    free(follower.by_lsn);
    free(appenders);
}

static void *sync_each(void *argument) {
    struct appender *appender = argument;
    for (int i = 0; i < ROUNDS; i++) {
        struct plinth_error own = {0};
        struct record_header header = {.kind = 1};
        if (log_append(log_, &header, NULL, 0, 0, &appender->lsns[i], &own) ||
            log_wait(log_, appender->lsns[i], RECORD_SYNCED, LOG_WAIT_FOREVER, &own)) {
            appender->problem = "failed";
        }
    }
    return NULL;
}

static void waiters_share_syncs(void **state) {
    (void)state;
    struct appender *appenders = calloc(THREADS, sizeof *appenders);
    struct log_stats before, after;
    log_stats(log_, &before);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&appenders[i].thread, NULL, sync_each, &appenders[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(appenders[i].thread, NULL);
        assert_null(appenders[i].problem);
    }
    log_stats(log_, &after);
    assert_int_equal(log_synced_lsn(log_), THREADS * ROUNDS);
    assert_true(after.syncs - before.syncs <= THREADS * ROUNDS);
    free(appenders);
}

static void trimming_removes_whole_segments_below(void **state) {
    (void)state;
    for (int i = 0; i < 100; i++) wait_for(append_numbers(200), RECORD_SYNCED);
    struct log_stats before, after;
    log_stats(log_, &before);
    assert_true(before.segments >= 3);
    struct log_reader *reader = NULL;
    assert_ok(log_read(log_, 1, &reader, &error), &error);
    assert_ok(log_trim(log_, 15000, &error), &error);
    log_stats(log_, &after);
    assert_true(after.segments < before.segments && after.bytes < before.bytes);
    assert_true(after.first_lsn > 1 && after.first_lsn <= 15000);
    struct log_reader *late = NULL;
    assert_status(log_read(log_, 1, &late, &error), PLINTH_TOO_OLD, &error);
    assert_numbers(15000, 20000 - 14999);
    assert_numbers(after.first_lsn, 20000 - after.first_lsn + 1);
    /* A reader keeps the file it stands on, then finds that the next ones are gone. */
    struct record record;
    bool found = true;
    enum plinth_status st = PLINTH_OK;
    uint64_t seen = 0;
    while (!st && found) {
        st = log_next(reader, &record, &found, &error);
        if (!st && found) assert_int_equal(record.lsn, ++seen);
    }
    assert_int_equal(st, after.segments + 1 == before.segments ? PLINTH_OK : PLINTH_TOO_OLD);
    assert_true(seen > 0);
    log_reader_close(reader);
    log_restart();
    log_stats(log_, &before);
    assert_int_equal(before.first_lsn, after.first_lsn);
    assert_numbers(15000, 20000 - 14999);
    assert_ok(log_trim(log_, UINT64_MAX, &error), &error);
    log_stats(log_, &after);
    assert_int_equal(after.segments, 1);
    assert_int_equal(append_numbers(1), 20001);
}

/* The first block of a log is too large for its first file, so that a larger one takes that one's place and name. */
static void a_first_block_larger_than_its_file_is_kept(void **state) {
    (void)state;
    tear_down(NULL);
    sim = sim_env_create(12);
    options = (struct local_log_options){.segment_bytes = 16 * 1024, .no_preparation = true};
    log_start();
    struct log_reader *reader = NULL;
    struct record record;
    bool found = true;
    assert_ok(log_read(log_, 1, &reader, &error), &error);
    assert_ok(log_next(reader, &record, &found, &error), &error);
    assert_false(found);
    uint8_t payload[20000] = {0};
    struct slice part = slice_of(payload, sizeof payload);
    struct record_header header = {.kind = 1};
    uint64_t lsn = 0;
    assert_ok(log_append(log_, &header, &part, 1, 0, &lsn, &error), &error);
    wait_for(append_numbers(1), RECORD_SYNCED);
    struct log_stats stats;
    log_stats(log_, &stats);
    assert_true(stats.segments == 1 && stats.first_lsn == 1 && stats.bytes < 30000);
    assert_ok(log_trim(log_, 2, &error), &error);
    assert_ok(log_next(reader, &record, &found, &error), &error);
    assert_true(found && record.lsn == 1 && record.payload.size == sizeof payload);
    assert_ok(log_next(reader, &record, &found, &error), &error);
    assert_true(found && record.lsn == 2);
    log_reader_close(reader);
    wait_for(append_numbers(5000), RECORD_SYNCED);
    log_restart();
    assert_numbers(2, 5001);
    assert_ok(log_trim(log_, 3000, &error), &error);
    assert_numbers(3000, 5002 - 2999);
}

/* Only the failing call's own status is told; the next trim makes the removal durable, then goes on. */
static void a_trim_that_failed_once_goes_on_later(void **state) {
    (void)state;
    options = (struct local_log_options){.segment_bytes = 16 * 1024, .no_preparation = true, .sync_interval_ms = 60000};
    log_restart();
    for (int i = 0; i < 100; i++) wait_for(append_numbers(200), RECORD_SYNCED);
    struct log_stats before, after;
    log_stats(log_, &before);
    assert_true(before.segments >= 4);
    sim_env_fail(sim, SIM_SYNC_DIRECTORY, 0, PLINTH_NO_SPACE, true);
    assert_status(log_trim(log_, UINT64_MAX, &error), PLINTH_NO_SPACE, &error);
    assert_error_names(&error, "/log");
    assert_status(log_trim(log_, UINT64_MAX, &error), PLINTH_NO_SPACE, &error);
    log_stats(log_, &after);
    assert_int_equal(after.segments, before.segments - 1); /* no second removal behind one that may come undone */
    wait_for(append_numbers(1), RECORD_SYNCED);
    sim_env_heal(sim);
    uint64_t syncs = sim_env_calls(sim, SIM_SYNC_DIRECTORY);
    assert_ok(log_trim(log_, UINT64_MAX, &error), &error);
    assert_int_equal(sim_env_calls(sim, SIM_SYNC_DIRECTORY) - syncs, after.segments); /* one to make up for */
    log_stats(log_, &after);
    assert_int_equal(after.segments, 1);
    sim_env_fail(sim, SIM_SYNC_DIRECTORY, 0, PLINTH_NO_SPACE, true);
    assert_ok(log_trim(log_, UINT64_MAX, &error), &error); /* nothing is left to do */
}

static void a_full_disk_refuses_appends_and_stops_nothing(void **state) {
    (void)state;
    options = (struct local_log_options){.segment_bytes = 16 * 1024, .no_preparation = true};
    log_restart();
    sim_env_limit_disk(sim, 200 * 1024);
    uint8_t payload[3000] = {0};
    struct slice part = slice_of(payload, sizeof payload);
    struct record_header header = {.kind = 1};
    uint64_t lsn = 0, last = 0;
    enum plinth_status st = PLINTH_OK;
    while (!st) {
        st = log_append(log_, &header, &part, 1, 0, &lsn, &error);
        if (!st) last = lsn;
        assert_true(last < 100);
    }
    assert_int_equal(st, PLINTH_NO_SPACE);
    assert_true(last > 20);
    wait_for(last, RECORD_SYNCED); /* what was admitted has its space */
    assert_status(log_append(log_, &header, &part, 1, 0, &lsn, &error), PLINTH_NO_SPACE, &error);
    sim_env_limit_disk(sim, 400 * 1024);
    uint64_t begin_ns = thread_time_ns();
    do { /* it asks the disk again after a moment */
        st = log_append(log_, &header, &part, 1, 0, &lsn, &error);
        assert_true(thread_time_ns() - begin_ns < UINT64_C(10) * 1000000000);
    } while (st == PLINTH_NO_SPACE);
    assert_int_equal(st, PLINTH_OK);
    assert_int_equal(lsn, last + 1);
    wait_for(lsn, RECORD_SYNCED);
}

/* After a failed write or sync: the in-flight is unknown, the rest refused with the cause, what was written readable.
 */
static void assert_poisoned_by(enum sim_call call) {
    tear_down(NULL);
    set_up(NULL);
    struct listener listener = {.base = {on_advanced, on_failed}};
    options.sync_interval_ms = 60000;
    options.no_preparation = true;
    log_restart();
    log_listen(log_, &listener.base);
    uint64_t safe = append_numbers(5);
    wait_for(safe, RECORD_SYNCED);
    uint64_t lost = append_numbers(5);
    sim_env_fail(sim, call, 0, PLINTH_IO_ERROR, false);
    assert_status(log_wait(log_, lost, RECORD_SYNCED, LOG_WAIT_FOREVER, &error), PLINTH_OUTCOME_UNKNOWN, &error);
    assert_error_names(&error, ".log");
    assert_status(log_wait(log_, lost, RECORD_SYNCED, 0, &error), PLINTH_OUTCOME_UNKNOWN, &error);
    assert_ok(log_wait(log_, safe, RECORD_SYNCED, 0, &error), &error);
    struct record_header header = {.kind = 1};
    uint64_t lsn = 0;
    uint64_t syncs = sim_env_calls(sim, SIM_SYNC), writes = sim_env_calls(sim, SIM_WRITE);
    assert_status(log_append(log_, &header, NULL, 0, 0, &lsn, &error), PLINTH_IO_ERROR, &error);
    assert_error_names(&error, "simulated failure");
    assert_status(log_wait_room(log_, 0, &error), PLINTH_IO_ERROR, &error);
    uint64_t begin_ns = thread_time_ns();
    while (!atomic_load(&listener.failures)) assert_true(thread_time_ns() - begin_ns < UINT64_C(10) * 1000000000);
    assert_int_equal(listener.cause.status, PLINTH_IO_ERROR);
    struct log_reader *reader = NULL;
    struct record record;
    bool found = false;
    assert_ok(log_read(log_, 1, &reader, &error), &error);
    for (uint64_t i = 1; i <= safe; i++) {
        assert_ok(log_next(reader, &record, &found, &error), &error);
        assert_true(found && record.lsn == i);
    }
    log_reader_close(reader);
    struct log *poisoned = log_;
    log_ = NULL;
    assert_status(log_close(poisoned, &error), PLINTH_IO_ERROR, &error);
    if (call == SIM_SYNC) assert_int_equal(sim_env_calls(sim, SIM_WRITE), writes);
    assert_int_equal(sim_env_calls(sim, SIM_SYNC), syncs); /* never tried again */
    log_start();
    assert_true(log_next_lsn(log_) > lost + LOG_UNSYNCED_RECORDS_MAX - 10);
    assert_ok(log_read(log_, 1, &reader, &error), &error);
    for (uint64_t i = 1; i <= safe; i++) {
        assert_ok(log_next(reader, &record, &found, &error), &error);
        assert_true(found && record.lsn == i);
    }
    log_reader_close(reader);
}

static void a_failed_write_stops_the_log(void **state) {
    (void)state;
    assert_poisoned_by(SIM_WRITE);
}

static void a_failed_sync_stops_the_log(void **state) {
    (void)state;
    assert_poisoned_by(SIM_SYNC);
}

static void a_read_only_log_looks_and_changes_nothing(void **state) {
    (void)state;
    struct local_log_options look = {.read_only = true};
    struct log *looking = NULL;
    assert_status(local_log_open(sim_env_base(sim), "/nowhere", &look, &looking, &error), PLINTH_NOT_FOUND, &error);
    options.no_preparation = true; /* whose writes would count as well */
    log_restart();
    wait_for(append_numbers(10), RECORD_SYNCED);
    assert_ok(local_log_open(sim_env_base(sim), "/log", &look, &looking, &error), &error);
    uint64_t writes = sim_env_calls(sim, SIM_WRITE);
    struct record_header header = {.kind = 1};
    uint64_t lsn = 0;
    assert_status(log_append(looking, &header, NULL, 0, 0, &lsn, &error), PLINTH_READ_ONLY, &error);
    assert_status(log_trim(looking, 5, &error), PLINTH_READ_ONLY, &error);
    struct log *writing = log_;
    log_ = looking;
    assert_int_equal(log_next_lsn(log_), 11);
    assert_numbers(1, 10);
    assert_ok(log_close(log_, &error), &error);
    log_ = writing;
    assert_int_equal(sim_env_calls(sim, SIM_WRITE), writes);
}

static void bad_options_are_refused(void **state) {
    (void)state;
    struct local_log_options bad = {.segment_bytes = 100};
    struct log *other = NULL;
    assert_status(local_log_open(sim_env_base(sim), "/other", &bad, &other, &error), PLINTH_INVALID_ARGUMENT, &error);
    assert_null(other);
    assert_status(local_log_open(sim_env_base(sim), "/no/parent", NULL, &other, &error), PLINTH_NOT_FOUND, &error);
}

static void it_works_on_the_operating_system_too(void **state) {
    (void)state;
    char directory[TEST_PATH_MAX], path[TEST_PATH_MAX + 8];
    struct log *simulated = log_;
    test_directory_create(directory);
    snprintf(path, sizeof path, "%s/log", directory);
    struct local_log_options small = {.segment_bytes = 256 * 1024};
    for (uint64_t round = 0; round < 3; round++) {
        assert_ok(local_log_open(env_posix(), path, &small, &log_, &error), &error);
        for (int i = 0; i < 100; i++) wait_for(append_numbers(100), i % 5 ? RECORD_WRITTEN : RECORD_SYNCED);
        assert_numbers(1, (round + 1) * 10000);
        assert_ok(log_close(log_, &error), &error);
    }
    log_ = simulated;
    test_directory_remove(directory);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(lsns_begin_at_1_and_have_no_gaps),
        TEST(headers_and_payloads_come_back),
        TEST(payloads_of_every_size_up_to_the_limit_fit),
        TEST(a_clean_close_continues_the_epoch),
        TEST(opening_and_closing_over_and_over_never_fills_up),
        TEST(segments_roll_and_all_is_read_across_them),
        TEST(buffered_records_are_not_read_written_ones_are),
        TEST(nothing_stays_unsynced_for_long),
        TEST(waits_for_what_does_not_exist_are_refused),
        TEST(a_request_is_answered_to_the_listener),
        TEST(without_room_an_append_waits_or_says_so),
        TEST(unsynced_records_are_bounded),
        TEST(threads_append_wait_and_follow),
        TEST(waiters_share_syncs),
        TEST(trimming_removes_whole_segments_below),
        TEST(a_first_block_larger_than_its_file_is_kept),
        TEST(a_trim_that_failed_once_goes_on_later),
        TEST(a_full_disk_refuses_appends_and_stops_nothing),
        TEST(a_failed_write_stops_the_log),
        TEST(a_failed_sync_stops_the_log),
        TEST(a_read_only_log_looks_and_changes_nothing),
        TEST(bad_options_are_refused),
        TEST(it_works_on_the_operating_system_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
