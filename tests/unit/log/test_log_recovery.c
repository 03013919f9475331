/* What the local log makes of its files after crashes, failures and damage. */
#include "support/sim_env.h"
#include "support/test_support.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "log/local_log.h"
#include "log/log_segment.h"

static struct sim_env *sim;
static struct log *log_;
static struct plinth_error error;
static const struct local_log_options options = {
    .segment_bytes = 16 * 1024, .no_preparation = true, .sync_interval_ms = 60000};

static enum plinth_status log_try(void) { return local_log_open(sim_env_base(sim), "/log", &options, &log_, &error); }

static void sim_start(uint64_t seed) {
    sim = sim_env_create(seed);
    log_ = NULL;
    error = (struct plinth_error){0};
}

static void sim_stop(void) {
    log_close(log_, NULL);
    log_ = NULL;
    sim_env_destroy(sim);
    sim = NULL;
}

/* The machine stops under the log, which is then let go. */
static void crash(uint64_t seed) {
    sim_env_crash(sim, seed);
    log_close(log_, NULL);
    log_ = NULL;
}

static uint64_t append_number(uint64_t number) {
    struct record_header header = {.kind = 1, .sequence = number};
    struct slice part = slice_of(&number, sizeof number);
    uint64_t lsn = 0;
    assert_ok(log_append(log_, &header, &part, 1, 0, &lsn, &error), &error);
    return lsn;
}

static void wait_for(uint64_t lsn, enum record_durability level) {
    assert_ok(log_wait(log_, lsn, level, LOG_WAIT_FOREVER, &error), &error);
}

/* Reads everything; the records' numbers must be their LSNs, ascending. Returns the last LSN, 0 for none. */
static uint64_t read_all(uint64_t from, uint64_t *count) {
    struct log_reader *reader = NULL;
    struct record record;
    bool found = true;
    uint64_t last = 0;
    *count = 0;
    assert_ok(log_read(log_, from, &reader, &error), &error);
    for (;;) {
        assert_ok(log_next(reader, &record, &found, &error), &error);
        if (!found) break;
        assert_true(record.lsn > last);
        assert_int_equal(record.payload.size, 8);
        assert_true(load_u64(record.payload.data) == record.lsn);
        last = record.lsn;
        ++*count;
    }
    log_reader_close(reader);
    return last;
}

static const char *const first_path = "/log/00000000000000000001.log";

/* A log of `groups` synced groups of 3 records, its machine stopped; gives the bytes of its one file. */
static void written_log(int groups, struct buffer *bytes) {
    sim_start(1);
    assert_ok(log_try(), &error);
    for (int i = 0; i < groups; i++) {
        uint64_t lsn = 0;
        for (int k = 0; k < 3; k++) lsn = append_number(log_next_lsn(log_));
        wait_for(lsn, RECORD_SYNCED);
    }
    assert_true(sim_env_file_bytes(sim, first_path, bytes));
    sim_stop();
}

/* A new machine whose log is that one file. */
static void machine_with(const struct buffer *bytes, size_t size) {
    sim_start(2);
    assert_ok(env_make_directory(sim_env_base(sim), "/log", &error), &error);
    assert_ok(env_sync_directory(sim_env_base(sim), "/", &error), &error);
    sim_env_put_file(sim, first_path, slice_of(bytes->data, size));
}

/* Offsets of the blocks, and behind the last one the end. */
static size_t block_offsets(const struct buffer *bytes, size_t *offsets, size_t capacity) {
    struct log_segment_header header;
    size_t count = 0;
    assert_ok(log_segment_header_decode(buffer_slice(bytes), "x", &header, &error), &error);
    uint32_t seed = log_block_seed(header.id);
    for (size_t at = LOG_SEGMENT_HEADER_BYTES;;) {
        struct log_block block;
        uint64_t size = 0;
        assert_true(count < capacity);
        offsets[count++] = at;
        if (log_block_parse(seed, slice_of(bytes->data + at, bytes->size - at), &block, &size) != LOG_BLOCK_GOOD) break;
        at += size;
    }
    return count;
}

static void a_tail_torn_at_any_byte_is_cut_to_whole_blocks(void **state) {
    (void)state;
    struct buffer bytes;
    size_t offsets[32];
    written_log(5, &bytes);
    size_t blocks = block_offsets(&bytes, offsets, 32) - 1;
    assert_int_equal(blocks, 5);
    for (int zeros = 0; zeros < 2; zeros++) {
        for (size_t cut = LOG_SEGMENT_HEADER_BYTES; cut <= offsets[blocks] + 8; cut++) {
            uint64_t whole = 0, count = 0;
            while (whole < blocks && offsets[whole + 1] <= cut) whole++;
            struct buffer torn = BUFFER_INIT;
            assert_true(buffer_append(&torn, bytes.data, cut));
            if (zeros) assert_true(buffer_append_zeros(&torn, bytes.size - cut));
            machine_with(&torn, torn.size);
            assert_ok(log_try(), &error);
            uint64_t last = read_all(1, &count);
            /* A block whose last bytes are zero anyway is not torn by zeros. */
            uint64_t least = whole * 3, most = zeros && whole < blocks ? least + 3 : least;
            assert_true(last == count && (count == least || count == most));
            assert_true(log_next_lsn(log_) > last + LOG_UNSYNCED_RECORDS_MAX);
            uint64_t lsn = append_number(log_next_lsn(log_));
            wait_for(lsn, RECORD_SYNCED);
            crash(cut);
            assert_ok(log_try(), &error);
            assert_int_equal(read_all(1, &count), lsn);
            assert_int_equal(count, last + 1);
            struct log_epoch epochs[8];
            assert_int_equal(log_epochs(log_, epochs, 8), 3);
            assert_true(epochs[0].base == 1 && epochs[0].last == last);
            assert_true(epochs[1].base == lsn && epochs[1].last == lsn);
            assert_true(epochs[2].base > lsn && epochs[2].last == UINT64_MAX);
            sim_stop();
            buffer_deinit(&torn);
        }
    }
    buffer_deinit(&bytes);
}

static void assert_damage_is_named_and_untouched(const char *path) {
    struct buffer before, after;
    assert_true(sim_env_file_bytes(sim, path, &before));
    uint64_t writes = sim_env_calls(sim, SIM_WRITE), truncates = sim_env_calls(sim, SIM_TRUNCATE);
    uint64_t removes = sim_env_calls(sim, SIM_REMOVE);
    assert_status(log_try(), PLINTH_CORRUPT, &error);
    assert_null(log_);
    assert_error_names(&error, path);
    assert_error_names(&error, "offset");
    assert_int_equal(sim_env_calls(sim, SIM_WRITE), writes);
    assert_int_equal(sim_env_calls(sim, SIM_TRUNCATE), truncates);
    assert_int_equal(sim_env_calls(sim, SIM_REMOVE), removes);
    assert_true(sim_env_file_bytes(sim, path, &after));
    assert_true(slice_equal(buffer_slice(&before), buffer_slice(&after)));
    buffer_deinit(&before);
    buffer_deinit(&after);
}

static void any_flipped_bit_below_the_synced_mark_is_damage(void **state) {
    (void)state;
    struct buffer bytes;
    size_t offsets[32];
    written_log(5, &bytes);
    size_t blocks = block_offsets(&bytes, offsets, 32) - 1;
    for (size_t at = 0; at < offsets[blocks - 1]; at += at < LOG_SEGMENT_HEADER_BYTES ? 61 : 1) {
        if (at >= 8 && at < 12) continue; /* the version: told apart in test_log_segment.c */
        machine_with(&bytes, bytes.size);
        sim_env_flip(sim, first_path, at, (uint8_t)(1 << at % 8));
        assert_damage_is_named_and_untouched(first_path);
        if (at >= LOG_SEGMENT_HEADER_BYTES) assert_error_names(&error, "were durable");
        sim_stop();
    }
    /* In the last group nothing proves that it was synced: it counts as torn. */
    for (size_t at = offsets[blocks - 1]; at < offsets[blocks]; at++) {
        machine_with(&bytes, bytes.size);
        sim_env_flip(sim, first_path, at, (uint8_t)(1 << at % 8));
        uint64_t count = 0;
        assert_ok(log_try(), &error);
        assert_int_equal(read_all(1, &count), (blocks - 1) * 3);
        sim_stop();
    }
    buffer_deinit(&bytes);
}

static void after_a_clean_close_every_flipped_bit_of_a_record_is_damage(void **state) {
    (void)state;
    struct buffer bytes;
    sim_start(1);
    assert_ok(log_try(), &error);
    for (int i = 0; i < 5; i++) wait_for(append_number(log_next_lsn(log_)), RECORD_SYNCED);
    assert_ok(log_close(log_, &error), &error);
    log_ = NULL;
    assert_true(sim_env_file_bytes(sim, first_path, &bytes));
    sim_stop();
    size_t offsets[32];
    size_t blocks = block_offsets(&bytes, offsets, 32) - 1; /* five, and the clean end */
    assert_int_equal(blocks, 6);
    for (size_t at = offsets[0]; at < offsets[5]; at++) {
        machine_with(&bytes, bytes.size);
        sim_env_flip(sim, first_path, at, 0x20);
        assert_damage_is_named_and_untouched(first_path);
        sim_stop();
    }
    buffer_deinit(&bytes);
}

static void damage_in_an_earlier_segment_names_it(void **state) {
    (void)state;
    sim_start(1);
    assert_ok(log_try(), &error);
    for (int i = 0; i < 1500; i++) wait_for(append_number(log_next_lsn(log_)), RECORD_WRITTEN);
    wait_for(1500, RECORD_SYNCED);
    struct log_stats stats;
    log_stats(log_, &stats);
    assert_true(stats.segments >= 3);
    assert_ok(log_close(log_, &error), &error);
    log_ = NULL;
    struct test_random random = test_random_of(9);
    for (int i = 0; i < 100; i++) {
        uint64_t at = test_random_below(&random, 12000);
        if (at >= 8 && at < 12) continue;
        sim_env_flip(sim, first_path, at, 0x40);
        assert_damage_is_named_and_untouched(first_path);
        sim_env_flip(sim, first_path, at, 0x40);
    }
    assert_ok(log_try(), &error);
    uint64_t count = 0;
    assert_int_equal(read_all(1, &count), 1500);
    assert_int_equal(count, 1500);
    sim_stop();
}

static bool first_behind(void *context, const char *name, bool is_directory) {
    (void)is_directory;
    char *least = context;
    if (strcmp(name, first_path + 5) != 0 && (!*least || strcmp(name, least) < 0)) snprintf(least, 64, "%s", name);
    return true;
}

static void a_missing_segment_is_damage(void **state) {
    (void)state;
    sim_start(1);
    assert_ok(log_try(), &error);
    for (int i = 0; i < 1500; i++) wait_for(append_number(log_next_lsn(log_)), RECORD_WRITTEN);
    assert_ok(log_close(log_, &error), &error);
    log_ = NULL;
    char name[64] = "", path[80];
    assert_ok(env_list(sim_env_base(sim), "/log", first_behind, name, &error), &error);
    snprintf(path, sizeof path, "/log/%s", name);
    assert_ok(env_remove(sim_env_base(sim), path, &error), &error);
    assert_status(log_try(), PLINTH_CORRUPT, &error);
    assert_error_names(&error, first_path);
    sim_stop();
}

static void segments_of_another_log_are_refused(void **state) {
    (void)state;
    struct buffer bytes;
    sim_start(33);
    assert_ok(log_try(), &error);
    for (int i = 0; i < 1500; i++) wait_for(append_number(log_next_lsn(log_)), RECORD_WRITTEN);
    assert_ok(log_close(log_, &error), &error);
    log_ = NULL;
    assert_true(sim_env_file_bytes(sim, first_path, &bytes));
    sim_stop();
    sim_start(34);
    assert_ok(log_try(), &error);
    for (int i = 0; i < 1500; i++) wait_for(append_number(log_next_lsn(log_)), RECORD_WRITTEN);
    assert_ok(log_close(log_, &error), &error);
    log_ = NULL;
    sim_env_put_file(sim, first_path, buffer_slice(&bytes));
    assert_status(log_try(), PLINTH_CORRUPT, &error);
    assert_error_names(&error, "belongs to another log");
    buffer_deinit(&bytes);
    sim_stop();
}

static void a_newer_format_is_refused_by_name(void **state) {
    (void)state;
    struct buffer bytes;
    written_log(1, &bytes);
    bytes.data[8] = 2;
    machine_with(&bytes, bytes.size);
    assert_status(log_try(), PLINTH_UNSUPPORTED, &error);
    assert_error_names(&error, "version 2");
    assert_error_names(&error, "version 1");
    sim_stop();
    buffer_deinit(&bytes);
}

static void a_read_only_open_passes_over_a_torn_tail(void **state) {
    (void)state;
    struct buffer bytes;
    written_log(3, &bytes);
    size_t offsets[32];
    block_offsets(&bytes, offsets, 32);
    machine_with(&bytes, offsets[3] - 3);
    const struct local_log_options look = {.read_only = true};
    assert_ok(local_log_open(sim_env_base(sim), "/log", &look, &log_, &error), &error);
    uint64_t count = 0;
    assert_int_equal(read_all(1, &count), 6);
    assert_int_equal(sim_env_calls(sim, SIM_WRITE) + sim_env_calls(sim, SIM_TRUNCATE), 0);
    sim_stop();
    buffer_deinit(&bytes);
}

/* ---- random crashes ---- */

enum { LSNS_MAX = 20000 };

/* What a test knows of a log: every LSN handed out, and how far it was told that it is synced. */
struct known {
    uint64_t lsns[LSNS_MAX];
    bool synced[LSNS_MAX];
    size_t count;
    size_t life_begin; /* the first that the log now open has handed out */
    uint64_t synced_lsn;
    uint64_t trimmed_below;
    bool recycling; /* trims often and closely, so that files are written over */
};

/* All that was handed out in this life is synced. */
static void known_synced(struct known *known) {
    for (size_t i = known->life_begin; i < known->count; i++) known->synced[i] = true;
    if (known->count) known->synced_lsn = known->lsns[known->count - 1];
}

/* Every acknowledged record is there, in order, and nothing that was not handed out. */
static void assert_consistent(struct known *known) {
    struct log_stats stats;
    struct log_reader *reader = NULL;
    struct record record;
    bool found = false;
    uint64_t last = 0;
    log_stats(log_, &stats);
    uint64_t from = stats.first_lsn;
    assert_ok(log_read(log_, from, &reader, &error), &error);
    size_t next_known = 0, kept = 0;
    for (;;) {
        assert_ok(log_next(reader, &record, &found, &error), &error);
        uint64_t lsn = found ? record.lsn : UINT64_MAX;
        assert_true(lsn > last);
        /* What is passed over was trimmed, or nobody was told that it is synced. It is lost and stays so. */
        for (; next_known < known->count && known->lsns[next_known] < lsn; next_known++) {
            assert_true(known->lsns[next_known] < known->trimmed_below || !known->synced[next_known]);
        }
        if (!found) break;
        assert_true(next_known < known->count && known->lsns[next_known++] == lsn); /* was handed out */
        assert_true(load_u64(record.payload.data) == lsn);
        last = lsn;
        known->lsns[kept] = lsn;
        known->synced[kept++] = true; /* it was read: it must stay */
    }
    log_reader_close(reader);
    known->count = known->life_begin = kept;
    if (last > known->synced_lsn) known->synced_lsn = last;
    assert_true(log_next_lsn(log_) > last);
}

/* The log is open; runs until something fails or `steps` are done. */
static void random_work(struct known *known, struct test_random *random, int steps, uint64_t *highest_lsn) {
    for (int i = 0; i < steps && known->count < LSNS_MAX; i++) {
        uint64_t next = log_next_lsn(log_);
        uint8_t payload[1200];
        size_t size = test_random_below(random, 5) ? 8 : 8 + test_random_below(random, sizeof payload - 8);
        memset(payload, 0x5a, sizeof payload);
        store_u64(payload, next);
        struct record_header header = {.kind = 1, .producer = 5, .sequence = next};
        struct slice part = slice_of(payload, size);
        uint64_t lsn = 0;
        if (log_append(log_, &header, &part, 1, 0, &lsn, &error)) return;
        assert_int_equal(lsn, next);
        assert_true(lsn > *highest_lsn); /* over all epochs */
        *highest_lsn = lsn;
        known->lsns[known->count] = lsn;
        known->synced[known->count++] = false;
        enum record_durability level = (enum record_durability)(1 + test_random_below(random, 3));
        if (test_random_below(random, 3) == 0) {
            enum plinth_status st = log_wait(log_, lsn, level, LOG_WAIT_FOREVER, &error);
            assert_true(st == PLINTH_OK || st == PLINTH_OUTCOME_UNKNOWN);
            if (st) return;
            if (level == RECORD_SYNCED) known_synced(known);
        }
        if (test_random_below(random, known->recycling ? 20 : 200) == 0) {
            uint64_t before = known->synced_lsn - known->synced_lsn / 4;
            if (known->recycling && known->synced_lsn > 40) before = known->synced_lsn - test_random_below(random, 40);
            if (before > known->trimmed_below) known->trimmed_below = before;
            if (log_trim(log_, before, &error)) return;
        }
    }
}

/* Whether some file of the log is a recycled one. */
static bool note_recycled(void *context, const char *name, bool is_directory) {
    (void)is_directory;
    char path[80];
    struct log_segment_header header;
    struct buffer bytes;
    snprintf(path, sizeof path, "/log/%s", name);
    if (!strstr(name, ".log") || !sim_env_file_bytes(sim, path, &bytes)) return true;
    if (!log_segment_header_decode(buffer_slice(&bytes), path, &header, &error)) *(bool *)context |= header.recycled;
    buffer_deinit(&bytes);
    return true;
}

static bool has_recycled(void) {
    bool found = false;
    assert_ok(env_list(sim_env_base(sim), "/log", note_recycled, &found, &error), &error);
    return found;
}

static void crash_over_and_over(bool recycling) {
    struct known *known = malloc(sizeof *known);
    int recycled = 0;
    for (uint64_t seed = 0; seed < 150; seed++) {
        struct test_random random = test_random_of(seed);
        *known = (struct known){.trimmed_below = 1, .recycling = recycling};
        uint64_t highest_lsn = 0;
        sim_start(seed);
        for (int life = 0; life < 6; life++) {
            assert_ok(log_try(), &error);
            assert_consistent(known);
            assert_true(log_next_lsn(log_) > highest_lsn);
            random_work(known, &random, (int)test_random_below(&random, recycling ? 600 : 200), &highest_lsn);
            recycled += has_recycled();
            if (test_random_below(&random, 4) == 0) {
                assert_ok(log_close(log_, &error), &error);
                log_ = NULL;
                known_synced(known);
                if (test_random_below(&random, 2)) sim_env_crash(sim, test_random_u64(&random));
            } else {
                crash(test_random_u64(&random));
            }
        }
        sim_stop();
    }
    free(known);
    assert_true(!recycling || recycled > 300);
}

static void no_crash_loses_what_was_acknowledged(void **state) {
    (void)state;
    crash_over_and_over(false);
}

static void no_crash_with_recycled_files_loses_what_was_acknowledged(void **state) {
    (void)state;
    crash_over_and_over(true);
}

/* For every call N: the Nth call fails, the log is let go, the machine may crash, and everything acknowledged is
 * there. Opening fails too, at each of its calls. */
static void fail_each_call(bool recycling) {
    struct known *known = malloc(sizeof *known);
    for (int sticky = 0; sticky < 2; sticky++) {
        bool reached = true;
        for (uint64_t skip = 0; reached; skip += recycling ? 3 : 1) {
            assert_true(skip < 3000);
            struct test_random random = test_random_of(77);
            *known = (struct known){.trimmed_below = 1, .recycling = recycling};
            uint64_t highest_lsn = 0;
            sim_start(skip);
            sim_env_fail(sim, SIM_ANY, skip, skip % 2 ? PLINTH_IO_ERROR : PLINTH_NO_SPACE, sticky);
            for (int life = 0; life < 3; life++) {
                if (log_try() == PLINTH_OK) {
                    known->life_begin = known->count;
                    random_work(known, &random, recycling ? 250 : 60, &highest_lsn);
                    enum plinth_status st = log_close(log_, &error);
                    log_ = NULL;
                    if (!st) known_synced(known);
                }
            }
            reached = sim_env_calls(sim, SIM_ANY) > skip;
            sim_env_heal(sim);
            if (skip % 3 == 0) sim_env_crash(sim, skip);
            assert_ok(log_try(), &error);
            assert_consistent(known);
            assert_true(log_next_lsn(log_) > highest_lsn);
            sim_stop();
        }
    }
    free(known);
}

static void no_failing_call_loses_what_was_acknowledged(void **state) {
    (void)state;
    fail_each_call(false);
}

static void no_failing_call_with_recycled_files_loses_what_was_acknowledged(void **state) {
    (void)state;
    fail_each_call(true);
}

/* The sync of the clean end fails, so the disk may never get that block; the next process still sees it, and goes on
 * behind it. It must write it again: a hole there would make the records behind it unreadable. */
static void a_clean_end_whose_sync_failed_is_written_again(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 30; seed++) {
        uint64_t count = 0;
        sim_start(seed);
        assert_ok(log_try(), &error);
        wait_for(append_number(log_next_lsn(log_)), RECORD_SYNCED);
        sim_env_fail(sim, SIM_SYNC, 0, PLINTH_IO_ERROR, true);
        assert_status(log_close(log_, &error), PLINTH_IO_ERROR, &error);
        sim_env_heal(sim);
        assert_ok(log_try(), &error);
        wait_for(append_number(log_next_lsn(log_)), RECORD_SYNCED);
        wait_for(append_number(log_next_lsn(log_)), RECORD_SYNCED);
        crash(seed);
        assert_ok(log_try(), &error);
        read_all(1, &count);
        assert_true(count == 3);
        sim_stop();
    }
}

/* A trim is cut off before the sync of its removal; the next process trims on and is cut off too. The files that are
 * left must still follow each other. */
static void trims_cut_off_twice_leave_no_hole(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        sim_start(seed);
        assert_ok(log_try(), &error);
        for (int i = 0; i < 1000; i++) wait_for(append_number(log_next_lsn(log_)), RECORD_WRITTEN);
        for (int time = 0; time < 2; time++) {
            sim_env_fail(sim, SIM_SYNC_DIRECTORY, 0, PLINTH_IO_ERROR, true);
            assert_status(log_trim(log_, 900, &error), PLINTH_IO_ERROR, &error);
            assert_status(log_trim(log_, 900, &error), PLINTH_IO_ERROR, &error);
            sim_env_heal(sim);
            if (time) break;
            assert_ok(log_close(log_, &error), &error);
            assert_ok(log_try(), &error);
        }
        crash(seed);
        assert_ok(log_try(), &error);
        struct log_stats stats;
        uint64_t count = 0;
        log_stats(log_, &stats);
        assert_int_equal(read_all(stats.first_lsn, &count), 1000);
        assert_int_equal(count, 1000 - stats.first_lsn + 1);
        sim_stop();
    }
}

/* Whether acknowledged records survive 40 crashes when the syncs of `part` do nothing. */
static bool survives_without_syncs_of(const char *part) {
    bool survives = true;
    for (uint64_t seed = 0; seed < 40 && survives; seed++) {
        sim_start(seed);
        sim_env_ignore_syncs_of(sim, part);
        assert_ok(log_try(), &error);
        uint64_t lsn = 0, count = 0;
        for (int i = 0; i < 300; i++) {
            lsn = append_number(log_next_lsn(log_));
            wait_for(lsn, RECORD_SYNCED);
        }
        /* On into a segment of which nothing is synced but what making it has synced. */
        for (uint64_t i = 0; i < 150 + seed; i++) wait_for(append_number(log_next_lsn(log_)), RECORD_WRITTEN);
        crash(seed);
        if (log_try() == PLINTH_OK) {
            struct log_reader *reader = NULL;
            struct record record;
            bool found = true;
            survives &= log_read(log_, 1, &reader, &error) == PLINTH_OK;
            while (survives && found) {
                survives &= log_next(reader, &record, &found, &error) == PLINTH_OK;
                count += found;
            }
            survives &= count >= 300;
            log_reader_close(reader);
        } else {
            survives = false;
        }
        sim_stop();
    }
    return survives;
}

static void each_kind_of_sync_is_needed(void **state) {
    (void)state;
    assert_true(survives_without_syncs_of("/none-such"));
    assert_false(survives_without_syncs_of(".log")); /* of records */
    assert_false(survives_without_syncs_of(".tmp")); /* of a segment's header, before it gets its name */
    assert_false(survives_without_syncs_of("/log")); /* of names, too */
}

/* One sync that does nothing, at every place in turn, is found out by some crash. */
static void every_single_commit_sync_is_needed(void **state) {
    (void)state;
    for (uint64_t nth = 0; nth < 4; nth++) {
        bool noticed = false;
        for (uint64_t seed = 0; seed < 60 && !noticed; seed++) {
            sim_start(seed);
            assert_ok(log_try(), &error);
            for (uint64_t i = 0; i < nth; i++) wait_for(append_number(log_next_lsn(log_)), RECORD_SYNCED);
            sim_env_ignore_sync(sim, 0);
            wait_for(append_number(log_next_lsn(log_)), RECORD_SYNCED);
            uint64_t acknowledged = log_synced_lsn(log_), count = 0;
            crash(seed);
            enum plinth_status st = log_try();
            if (st == PLINTH_OK) {
                noticed = read_all(1, &count) < acknowledged;
            } else {
                assert_int_equal(st, PLINTH_CORRUPT);
                noticed = true;
            }
            sim_stop();
        }
        assert_true(noticed);
    }
}

/* ---- crashes under threads ---- */

struct worker {
    pthread_t thread;
    struct log *log;
    uint64_t seed;
    uint64_t synced_lsns[4000];
    size_t synced_count;
};

static void *work_until_it_fails(void *argument) {
    struct worker *worker = argument;
    struct test_random random = test_random_of(worker->seed);
    while (worker->synced_count < 4000) {
        struct plinth_error own = {0};
        struct record_header header = {.kind = 1, .producer = worker->seed, .sequence = worker->synced_count};
        uint64_t payload = 0, lsn = 0;
        struct slice part = slice_of(&payload, sizeof payload);
        if (log_append(worker->log, &header, &part, 1, 0, &lsn, &own)) return NULL;
        enum record_durability level = (enum record_durability)(1 + test_random_below(&random, 3));
        if (log_wait(worker->log, lsn, level, LOG_WAIT_FOREVER, &own)) return NULL;
        if (level == RECORD_SYNCED) worker->synced_lsns[worker->synced_count++] = lsn;
    }
    return NULL;
}

static int lsn_order(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static void a_crash_under_threads_loses_nothing_acknowledged(void **state) {
    (void)state;
    enum { WORKERS = 6 };
    struct worker *workers = calloc(WORKERS, sizeof *workers);
    uint64_t *all = malloc(WORKERS * 4000 * sizeof *all);
    for (uint64_t seed = 0; seed < 15; seed++) {
        sim_start(seed);
        const struct local_log_options small = {.segment_bytes = 32 * 1024, .sync_interval_ms = 1};
        assert_ok(local_log_open(sim_env_base(sim), "/log", &small, &log_, &error), &error);
        for (uint64_t i = 0; i < WORKERS; i++) {
            workers[i].log = log_;
            workers[i].seed = seed * WORKERS + i + 1;
            workers[i].synced_count = 0;
            assert_int_equal(pthread_create(&workers[i].thread, NULL, work_until_it_fails, &workers[i]), 0);
        }
        while (log_synced_lsn(log_) < 200 + seed * 100) env_sleep_us(env_posix(), 100);
        sim_env_crash(sim, seed);
        size_t count = 0;
        for (int i = 0; i < WORKERS; i++) {
            pthread_join(workers[i].thread, NULL);
            for (size_t k = 0; k < workers[i].synced_count; k++) all[count++] = workers[i].synced_lsns[k];
        }
        log_close(log_, NULL);
        log_ = NULL;
        qsort(all, count, sizeof all[0], lsn_order);
        assert_ok(log_try(), &error);
        struct log_reader *reader = NULL;
        struct record record;
        bool found = true;
        uint64_t last = 0;
        size_t at = 0;
        assert_ok(log_read(log_, 1, &reader, &error), &error);
        for (;;) {
            assert_ok(log_next(reader, &record, &found, &error), &error);
            if (!found) break;
            assert_true(record.lsn == last + 1);
            last = record.lsn;
            if (at < count && all[at] == record.lsn) at++;
        }
        assert_int_equal(at, count);
        log_reader_close(reader);
        sim_stop();
    }
    free(all);
    free(workers);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tail_torn_at_any_byte_is_cut_to_whole_blocks),
        cmocka_unit_test(any_flipped_bit_below_the_synced_mark_is_damage),
        cmocka_unit_test(after_a_clean_close_every_flipped_bit_of_a_record_is_damage),
        cmocka_unit_test(damage_in_an_earlier_segment_names_it),
        cmocka_unit_test(a_missing_segment_is_damage),
        cmocka_unit_test(segments_of_another_log_are_refused),
        cmocka_unit_test(a_newer_format_is_refused_by_name),
        cmocka_unit_test(a_read_only_open_passes_over_a_torn_tail),
        cmocka_unit_test(no_crash_loses_what_was_acknowledged),
        cmocka_unit_test(no_crash_with_recycled_files_loses_what_was_acknowledged),
        cmocka_unit_test(no_failing_call_loses_what_was_acknowledged),
        cmocka_unit_test(no_failing_call_with_recycled_files_loses_what_was_acknowledged),
        cmocka_unit_test(a_clean_end_whose_sync_failed_is_written_again),
        cmocka_unit_test(trims_cut_off_twice_leave_no_hole),
        cmocka_unit_test(each_kind_of_sync_is_needed),
        cmocka_unit_test(every_single_commit_sync_is_needed),
        cmocka_unit_test(a_crash_under_threads_loses_nothing_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
