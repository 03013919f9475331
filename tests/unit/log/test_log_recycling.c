/* Trimmed files that are written over: what is reused and when, and that nothing of a former life is ever read. */
#include "support/sim_env.h"
#include "support/test_support.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "log/local_log.h"
#include "log/log_segment.h"

enum { SEGMENT_BYTES = 16 * 1024, PAYLOAD_BYTES = 100 };

static struct sim_env *sim;
static struct log *log_;
static struct plinth_error error;
static const struct local_log_options options = {
    .segment_bytes = SEGMENT_BYTES, .no_preparation = true, .sync_interval_ms = 60000};

static enum plinth_status log_try(void) { return local_log_open(sim_env_base(sim), "/log", &options, &log_, &error); }

static void start(uint64_t seed) {
    sim = sim_env_create(seed);
    log_ = NULL;
    error = (struct plinth_error){0};
}

static void stop(void) {
    log_close(log_, NULL);
    log_ = NULL;
    sim_env_destroy(sim);
}

static int set_up(void **state) {
    (void)state;
    start(5);
    assert_ok(log_try(), &error);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    stop();
    return 0;
}

/* A record whose payload begins with its LSN. */
static enum plinth_status append_one(uint64_t *lsn) {
    uint8_t payload[PAYLOAD_BYTES];
    memset(payload, 0x5a, sizeof payload);
    store_u64(payload, log_next_lsn(log_));
    struct record_header header = {.kind = 1};
    struct slice part = slice_of(payload, sizeof payload);
    enum plinth_status st = log_append(log_, &header, &part, 1, 0, lsn, &error);
    if (!st) st = log_wait(log_, *lsn, RECORD_WRITTEN, LOG_WAIT_FOREVER, &error);
    return st;
}

/* Blocks of one record each, all synced at the end. */
static uint64_t append(int count) {
    uint64_t lsn = 0;
    for (int i = 0; i < count; i++) assert_ok(append_one(&lsn), &error);
    assert_ok(log_wait(log_, lsn, RECORD_SYNCED, LOG_WAIT_FOREVER, &error), &error);
    return lsn;
}

static struct log_stats stats_now(void) {
    struct log_stats stats;
    log_stats(log_, &stats);
    return stats;
}

/* Reads on to the end; the records' payloads are their LSNs, ascending. Returns the last LSN, 0 for none. */
static uint64_t read_on(struct log_reader *reader, uint64_t *count) {
    struct record record;
    bool found = true;
    uint64_t last = 0;
    *count = 0;
    for (;;) {
        assert_ok(log_next(reader, &record, &found, &error), &error);
        if (!found) return last;
        assert_true(record.lsn > last);
        assert_int_equal(record.payload.size, PAYLOAD_BYTES);
        assert_true(load_u64(record.payload.data) == record.lsn);
        last = record.lsn;
        ++*count;
    }
}

static uint64_t read_all(uint64_t *count) {
    struct log_reader *reader = NULL;
    assert_ok(log_read(log_, stats_now().first_lsn, &reader, &error), &error);
    uint64_t last = read_on(reader, count);
    log_reader_close(reader);
    return last;
}

struct newest {
    char path[80];
    uint64_t first_lsn;
    int temporary, segments, recycled;
};

static bool is_recycled(const char *path) {
    struct log_segment_header header;
    struct buffer bytes;
    assert_true(sim_env_file_bytes(sim, path, &bytes));
    assert_ok(log_segment_header_decode(buffer_slice(&bytes), path, &header, &error), &error);
    buffer_deinit(&bytes);
    return header.recycled;
}

static bool newest_visit(void *context, const char *name, bool is_directory) {
    (void)is_directory;
    struct newest *newest = context;
    char path[80];
    if (strstr(name, ".tmp")) newest->temporary++;
    if (!strstr(name, ".log")) return true;
    snprintf(path, sizeof path, "/log/%s", name);
    newest->segments++;
    newest->recycled += is_recycled(path);
    uint64_t first_lsn = strtoull(name, NULL, 10);
    if (first_lsn < newest->first_lsn) return true;
    newest->first_lsn = first_lsn;
    memcpy(newest->path, path, sizeof path);
    return true;
}

/* The directory: its newest segment, and how many files there are. */
static struct newest newest_find(void) {
    struct newest newest = {0};
    assert_ok(env_list(sim_env_base(sim), "/log", newest_visit, &newest, &error), &error);
    return newest;
}

static bool newest_is_recycled(void) { return is_recycled(newest_find().path); }

/* Goes on until the segment being written is a recycled one and nothing is left of those before it. */
static void roll_into_recycled(void) {
    for (int i = 0; i < 500 && !newest_is_recycled(); i++) {
        assert_ok(log_trim(log_, append(10), &error), &error);
    }
    assert_true(newest_is_recycled());
    assert_ok(log_trim(log_, UINT64_MAX, &error), &error);
    assert_int_equal(stats_now().segments, 1);
}

static void trimmed_files_are_written_over(void **state) {
    (void)state;
    roll_into_recycled();
    uint64_t allocated = sim_env_calls(sim, SIM_ALLOCATE), removed = sim_env_calls(sim, SIM_REMOVE), count = 0;
    uint64_t rolled = stats_now().first_lsn;
    for (int i = 0; i < 40; i++) {
        uint64_t last = append(60);
        assert_int_equal(read_all(&count), last);
        assert_int_equal(count, last - stats_now().first_lsn + 1);
        assert_true(newest_is_recycled());
        assert_ok(log_trim(log_, last, &error), &error);
        assert_true(stats_now().spare_bytes <= 2 * SEGMENT_BYTES);
    }
    assert_true(stats_now().first_lsn > rolled + 1000);
    assert_int_equal(sim_env_calls(sim, SIM_ALLOCATE), allocated);
    assert_int_equal(sim_env_calls(sim, SIM_REMOVE), removed);
}

static void a_clean_end_in_a_recycled_file_is_one(void **state) {
    (void)state;
    roll_into_recycled();
    for (int i = 0; i < 20; i++) {
        uint64_t last = append(3), count = 0;
        assert_ok(log_close(log_, &error), &error);
        log_ = NULL;
        assert_int_equal(newest_find().temporary, 0);
        if (i % 2) sim_env_crash(sim, (uint64_t)i);
        assert_ok(log_try(), &error);
        assert_int_equal(log_next_lsn(log_), last + 1);
        assert_int_equal(read_all(&count), last);
        struct log_epoch epochs[4];
        assert_int_equal(log_epochs(log_, epochs, 4), 1);
    }
}

static void no_more_files_are_kept_than_the_bound(void **state) {
    (void)state;
    append(1500);
    assert_true(stats_now().segments > 8);
    assert_ok(log_trim(log_, UINT64_MAX, &error), &error);
    assert_int_equal(stats_now().spare_bytes, 2 * SEGMENT_BYTES);
    struct newest newest = newest_find();
    assert_true(newest.segments == 1 && newest.temporary == 2);
    sim_env_crash(sim, 1); /* what a crash leaves of them goes when the log is opened */
    log_close(log_, NULL);
    assert_ok(log_try(), &error);
    assert_int_equal(newest_find().temporary, 0);
    assert_int_equal(stats_now().spare_bytes, 0);
}

static void files_are_removed_when_the_disk_is_short(void **state) {
    (void)state;
    append(500);
    assert_ok(log_trim(log_, UINT64_MAX, &error), &error);
    assert_int_equal(stats_now().spare_bytes, 2 * SEGMENT_BYTES);
    sim_env_limit_disk(sim, 8 * SEGMENT_BYTES);
    assert_ok(log_trim(log_, 1, &error), &error);
    assert_int_equal(stats_now().spare_bytes, 0);
    assert_int_equal(newest_find().temporary, 0);
    append(500);
    assert_ok(log_trim(log_, UINT64_MAX, &error), &error);
    assert_int_equal(stats_now().spare_bytes, 0);
    assert_int_equal(newest_find().temporary, 0);
}

/* A segment for one large record needs more than the spares have, and their room. */
static void spares_give_way_to_a_larger_file(void **state) {
    (void)state;
    append(500);
    assert_ok(log_trim(log_, UINT64_MAX, &error), &error);
    assert_int_equal(stats_now().spare_bytes, 2 * SEGMENT_BYTES);
    sim_env_limit_disk(sim, 5 * SEGMENT_BYTES);
    uint8_t *payload = calloc(3, SEGMENT_BYTES);
    struct record_header header = {.kind = 1};
    struct slice part = slice_of(payload, 3 * SEGMENT_BYTES - 5000);
    uint64_t lsn = 0;
    assert_ok(log_append(log_, &header, &part, 1, 0, &lsn, &error), &error);
    assert_ok(log_wait(log_, lsn, RECORD_SYNCED, LOG_WAIT_FOREVER, &error), &error);
    assert_int_equal(stats_now().spare_bytes, 0);
    free(payload);
}

static void a_file_that_is_read_is_not_written_over(void **state) {
    (void)state;
    struct log_reader *reader = NULL;
    struct record record;
    bool found = false;
    append(120);
    assert_ok(log_read(log_, 1, &reader, &error), &error);
    append(120);
    uint64_t segments = stats_now().segments;
    assert_ok(log_trim(log_, UINT64_MAX, &error), &error);
    assert_true(segments > 2 && stats_now().segments == 1);
    for (int i = 0; i < 10; i++) assert_ok(log_trim(log_, append(120), &error), &error);
    assert_true(newest_is_recycled());
    /* The first file is read to its end as it was; what came behind it is gone. */
    enum plinth_status st = PLINTH_OK;
    for (uint64_t lsn = 1; !st; lsn++) {
        st = log_next(reader, &record, &found, &error);
        if (!st) assert_true(found && record.lsn == lsn && load_u64(record.payload.data) == lsn);
    }
    assert_int_equal(st, PLINTH_TOO_OLD);
    assert_true(record.lsn > 50 && record.lsn < 240);
    log_reader_close(reader);
}

/* ---- threads ---- */

static atomic_bool done;

/* Reads behind the writer, from the oldest record again whenever a trim has overtaken it. */
static void *follow(void *argument) {
    (void)argument;
    while (!atomic_load(&done)) {
        struct plinth_error own = {0};
        struct log_reader *reader = NULL;
        struct record record;
        bool found = false;
        enum plinth_status st = log_read(log_, stats_now().first_lsn, &reader, &own);
        while (!st && !atomic_load(&done)) {
            st = log_next(reader, &record, &found, &own);
            if (!found) sched_yield();
            if (!st && found && (record.payload.size != PAYLOAD_BYTES || load_u64(record.payload.data) != record.lsn))
                abort();
        }
        if (st && st != PLINTH_TOO_OLD) {
            print_error("%s\n", own.text);
            abort();
        }
        log_reader_close(reader);
    }
    return NULL;
}

static void *trim_behind(void *argument) {
    (void)argument;
    while (!atomic_load(&done)) {
        uint64_t synced = log_synced_lsn(log_);
        if (log_trim(log_, synced > 500 ? synced - 500 : 1, NULL)) abort();
        sched_yield();
    }
    return NULL;
}

static void readers_never_see_another_life_of_a_file(void **state) {
    (void)state;
    stop();
    start(6);
    const struct local_log_options prepared = {.segment_bytes = SEGMENT_BYTES, .sync_interval_ms = 1};
    assert_ok(local_log_open(sim_env_base(sim), "/log", &prepared, &log_, &error), &error);
    pthread_t threads[3];
    atomic_store(&done, false);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, i ? follow : trim_behind, NULL), 0);
    }
    for (int i = 0; i < 40; i++) append(200);
    atomic_store(&done, true);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    assert_true(sim_env_calls(sim, SIM_RENAME) > sim_env_calls(sim, SIM_ALLOCATE)); /* each new file has one of both */
    uint64_t count = 0;
    assert_int_equal(read_all(&count), 8000);
}

/* ---- crashes ---- */

/* Every prefix of the last blocks, over what the file held before them: the old blocks are no continuation. */
static void a_tail_torn_over_a_former_life_is_cut_to_whole_blocks(void **state) {
    (void)state;
    enum { BLOCKS = 6 };
    struct buffer before, after;
    uint64_t ends[BLOCKS + 1];
    roll_into_recycled();
    append(2);
    struct newest file = newest_find();
    uint64_t synced = log_synced_lsn(log_), count = 0;
    ends[0] = stats_now().bytes;
    assert_true(sim_env_file_bytes(sim, file.path, &before));
    for (int i = 1; i <= BLOCKS; i++) {
        append(1);
        ends[i] = stats_now().bytes;
    }
    assert_true(newest_find().first_lsn == file.first_lsn && ends[0] > LOG_SEGMENT_HEADER_BYTES);
    assert_true(sim_env_file_bytes(sim, file.path, &after));
    for (uint64_t cut = ends[0]; cut <= ends[BLOCKS]; cut++) {
        stop();
        start(2);
        assert_ok(env_make_directory(sim_env_base(sim), "/log", &error), &error);
        assert_ok(env_sync_directory(sim_env_base(sim), "/", &error), &error);
        struct buffer torn = BUFFER_INIT;
        assert_true(buffer_append(&torn, after.data, cut));
        assert_true(buffer_append(&torn, before.data + cut, before.size - cut));
        sim_env_put_file(sim, file.path, buffer_slice(&torn));
        uint64_t whole = 0;
        while (whole < BLOCKS && ends[whole + 1] <= cut) whole++;
        assert_ok(log_try(), &error);
        uint64_t last = read_all(&count);
        /* A block whose last bytes are what stood there anyway is not torn. */
        assert_true(last == synced + whole || (last == synced + whole + 1 && cut + 4 > ends[whole + 1]));
        uint64_t lsn = append(1);
        assert_true(lsn > last + LOG_UNSYNCED_RECORDS_MAX);
        sim_env_crash(sim, cut);
        log_close(log_, NULL);
        assert_ok(log_try(), &error);
        assert_int_equal(read_all(&count), lsn);
        buffer_deinit(&torn);
    }
    buffer_deinit(&before);
    buffer_deinit(&after);
}

/* Damage of what was synced is found in a recycled file as in any other. */
static void every_flipped_bit_of_a_synced_record_is_damage(void **state) {
    (void)state;
    roll_into_recycled();
    append(3);
    struct newest file = newest_find();
    uint64_t end = stats_now().bytes;
    append(1);
    assert_ok(log_close(log_, &error), &error);
    log_ = NULL;
    for (uint64_t at = LOG_SEGMENT_HEADER_BYTES; at < end; at++) {
        sim_env_flip(sim, file.path, at, (uint8_t)(1 << at % 8));
        assert_status(log_try(), PLINTH_CORRUPT, &error);
        assert_error_names(&error, file.path);
        sim_env_flip(sim, file.path, at, (uint8_t)(1 << at % 8));
    }
    assert_ok(log_try(), &error);
}

/* Trims, then goes on into the trimmed file; every call from the trim on is the last one before a power cut. False
 * when the log cannot be opened again or has lost something. */
static bool survives_recycling(uint64_t seed, uint64_t skip, bool without_sync, bool *reached) {
    bool survives = true;
    start(seed);
    assert_ok(log_try(), &error);
    append(150);
    uint64_t calls = sim_env_calls(sim, SIM_ANY), last = append(100), lsn = 0, count = 0;
    uint64_t from = stats_now().first_lsn;
    calls = sim_env_calls(sim, SIM_ANY);
    sim_env_fail(sim, SIM_ANY, skip, PLINTH_IO_ERROR, true);
    if (without_sync) {
        sim_env_heal(sim);
        sim_env_ignore_directory_syncs_of(sim, "/log");
        assert_ok(log_trim(log_, 200, &error), &error);
        sim_env_ignore_directory_syncs_of(sim, NULL);
        sim_env_fail(sim, SIM_ANY, skip, PLINTH_IO_ERROR, true);
    } else {
        (void)!log_trim(log_, 200, &error);
    }
    for (int i = 0; i < 300 && !append_one(&lsn); i++) {
    }
    *reached = sim_env_calls(sim, SIM_ANY) - calls > skip;
    if (!*reached) assert_true(newest_find().recycled > 0);
    sim_env_crash(sim, seed);
    log_close(log_, NULL);
    log_ = NULL;
    survives = log_try() == PLINTH_OK;
    if (survives) {
        assert_true(stats_now().first_lsn >= from && stats_now().first_lsn <= 200);
        uint64_t read = read_all(&count);
        survives = read >= last && count == read - stats_now().first_lsn + 1;
        assert_int_equal(newest_find().temporary, 0);
    }
    stop();
    return survives;
}

static void a_crash_at_any_point_of_recycling_loses_nothing(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 8; seed++) {
        bool reached = true;
        for (uint64_t skip = 0; reached; skip += skip < 40 ? 1 : 7) {
            assert_true(survives_recycling(seed * 1000 + skip, skip, false, &reached));
        }
    }
}

/* The test above would notice if a renamed file was written over before its old name is durably gone. */
static void the_sync_behind_the_rename_is_needed(void **state) {
    (void)state;
    bool survives = true, reached = true;
    for (uint64_t seed = 0; seed < 40 && survives; seed++) {
        reached = true;
        for (uint64_t skip = 0; reached && survives; skip++) {
            survives = survives_recycling(seed * 1000 + skip, skip, true, &reached);
        }
    }
    assert_false(survives);
}

/* A trim whose sync fails keeps the file away from reuse until a later one succeeds. */
static void a_file_whose_rename_is_not_durable_is_not_written_over(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 30; seed++) {
        uint64_t count = 0;
        start(seed);
        assert_ok(log_try(), &error);
        append(150);
        sim_env_fail(sim, SIM_SYNC_DIRECTORY, 0, PLINTH_NO_SPACE, false);
        assert_status(log_trim(log_, 150, &error), PLINTH_NO_SPACE, &error);
        assert_int_equal(stats_now().spare_bytes, 0);
        if (seed % 3) {
            uint64_t last = append(20);
            sim_env_crash(sim, seed);
            log_close(log_, NULL);
            assert_ok(log_try(), &error);
            assert_int_equal(read_all(&count), last);
        } else {
            assert_ok(log_trim(log_, 150, &error), &error);
            assert_true(stats_now().spare_bytes > 0);
            append(200);
            assert_true(newest_find().recycled > 0);
        }
        assert_true(newest_find().temporary <= 2);
        stop();
    }
}

/* A program that does not know of recycled files, and reads the header as if its flags were not there. */
static void without_the_flag_the_file_still_opens(void **state) {
    (void)state;
    uint64_t count = 0;
    roll_into_recycled();
    uint64_t last = append(5);
    assert_ok(log_close(log_, &error), &error);
    log_ = NULL;
    struct newest file = newest_find();
    struct log_segment_header header;
    struct buffer bytes;
    assert_true(sim_env_file_bytes(sim, file.path, &bytes));
    assert_ok(log_segment_header_decode(buffer_slice(&bytes), file.path, &header, &error), &error);
    header.recycled = false;
    log_segment_header_encode(&header, bytes.data);
    sim_env_put_file(sim, file.path, buffer_slice(&bytes));
    buffer_deinit(&bytes);
    assert_ok(log_try(), &error);
    assert_int_equal(read_all(&count), last);
    assert_true(log_next_lsn(log_) > last + LOG_UNSYNCED_RECORDS_MAX); /* a tear, as far as such a program can see */
    last = append(1);
    assert_int_equal(read_all(&count), last);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(trimmed_files_are_written_over),
        TEST(a_clean_end_in_a_recycled_file_is_one),
        TEST(no_more_files_are_kept_than_the_bound),
        TEST(files_are_removed_when_the_disk_is_short),
        TEST(spares_give_way_to_a_larger_file),
        TEST(a_file_that_is_read_is_not_written_over),
        TEST(a_tail_torn_over_a_former_life_is_cut_to_whole_blocks),
        TEST(every_flipped_bit_of_a_synced_record_is_damage),
        TEST(readers_never_see_another_life_of_a_file),
        cmocka_unit_test(a_crash_at_any_point_of_recycling_loses_nothing),
        cmocka_unit_test(the_sync_behind_the_rename_is_needed),
        cmocka_unit_test(a_file_whose_rename_is_not_durable_is_not_written_over),
        TEST(without_the_flag_the_file_still_opens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
