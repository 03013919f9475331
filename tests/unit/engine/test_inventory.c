/* What lies in a directory and what needs it, and what records say. */
#include "engine/inventory.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine/record_text.h"
#include "support/engine_fixture.h"

enum { FILES_MAX = 64 };

static const struct plinth_options small_options = {.no_background_compaction = true};

static int setup(void **state) { return fixture_setup(state, &small_options, NULL); }

static void set(struct fixture *f, const char *key) {
    assert_ok(plinth_set(f->db, f->space, plinth_text(key), plinth_text("value"), NULL, NULL, &f->error), &f->error);
}

struct seen {
    unsigned of[PLINTH_FILE_VALUES + 1];
    unsigned unneeded, out_of_order;
    char last[256], needed_by[FILES_MAX][256];
    uint64_t rows;
    unsigned count;
};

static void see(void *context, const struct plinth_file *file) {
    struct seen *seen = context;
    seen->of[file->kind]++;
    seen->unneeded += !file->is_needed;
    seen->out_of_order += strcmp(seen->last, file->path) >= 0;
    seen->rows += file->rows;
    snprintf(seen->last, sizeof seen->last, "%s", file->path);
    assert_true(seen->count < FILES_MAX && *file->needed_by);
    snprintf(seen->needed_by[seen->count++], sizeof seen->needed_by[0], "%s", file->needed_by);
}

static unsigned count_reason(const struct seen *seen, const char *reason) {
    unsigned count = 0;
    for (unsigned i = 0; i < seen->count; i++) count += strstr(seen->needed_by[i], reason) != NULL;
    return count;
}

static void files_are_what_the_manifest_says(void **state) {
    struct fixture *f = *state;
    struct seen seen = {.count = 0}, offline = {.count = 0};
    struct inventory inventory;
    for (int i = 0; i < 3; i++) {
        set(f, i == 0 ? "cat" : i == 1 ? "dog" : "emu");
        assert_ok(plinth_flush(f->db, &f->error), &f->error);
    }
    assert_ok(plinth_files_visit(f->db, see, &seen, &f->error), &f->error);
    assert_int_equal(seen.of[PLINTH_FILE_SEGMENT], 3);
    assert_int_equal(seen.of[PLINTH_FILE_CHECKPOINT], 2);
    assert_int_equal(seen.rows, 3);
    assert_int_equal(seen.unneeded + seen.out_of_order, 0);
    assert_int_equal(count_reason(&seen, "the current state"), 3);
    assert_int_equal(count_reason(&seen, "change feed"), 0);
    /* beside the open engine, from the files alone */
    assert_ok(inventory_read(env_posix(), f->path, &inventory, NULL, &f->error), &f->error);
    assert_int_equal(inventory.shard.table_count, 1);
    assert_ok(inventory_visit(&inventory, see, &offline, &f->error), &f->error);
    assert_int_equal(offline.of[PLINTH_FILE_CHECKPOINT], 2);
    inventory_deinit(&inventory);
    assert_string_equal(plinth_file_kind_name(PLINTH_FILE_SEGMENT), "segment");
    assert_status(inventory_read(env_posix(), "/tmp/plinth-that-is-not-there", &inventory, NULL, &f->error),
                  PLINTH_NOT_FOUND, &f->error);
    assert_error_names(&f->error, "/tmp/plinth-that-is-not-there");
}

static void open_feeds_hold_the_log_and_reads_hold_segments(void **state) {
    struct fixture *f = *state;
    struct plinth_scan_options all = {0};
    struct plinth_scan *scan;
    struct plinth_row row;
    bool found;
    struct seen seen = {.count = 0}, after = {.count = 0};
    struct plinth_feed *feed;
    struct plinth_feed_options options = {.database = NULL};
    set(f, "cat");
    assert_ok(plinth_flush(f->db, &f->error), &f->error);
    set(f, "dog");
    assert_ok(plinth_flush(f->db, &f->error), &f->error);
    assert_ok(plinth_feed_open(f->db, &options, &feed, &f->error), &f->error);
    assert_ok(plinth_scan_open(f->db, f->space, &all, &scan, &f->error), &f->error);
    assert_ok(plinth_scan_next(scan, &row, &found, &f->error), &f->error);
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    assert_ok(plinth_files_visit(f->db, see, &seen, &f->error), &f->error);
    assert_int_equal(count_reason(&seen, "a read that began"), 2);
    assert_true(count_reason(&seen, "change feed") > 0);
    plinth_scan_close(scan);
    plinth_feed_close(feed);
    assert_ok(plinth_jobs_run(f->db, PLINTH_JOB_GARBAGE, &f->error), &f->error);
    assert_ok(plinth_files_visit(f->db, see, &after, &f->error), &f->error);
    assert_int_equal(count_reason(&after, "a read that began") + count_reason(&after, "change feed"), 0);
    assert_int_equal(after.of[PLINTH_FILE_SEGMENT], 1);
}

static void records_of_any_bytes_are_described(void **state) {
    (void)state;
    struct plinth_error error;
    struct catalog catalog;
    struct test_random random = test_random_of(9);
    uint8_t bytes[200];
    assert_ok(catalog_init(&catalog, &error), &error);
    for (int round = 0; round < 20000; round++) {
        struct record record = {.lsn = 1, .header = {.kind = (uint8_t)test_random_below(&random, 28)}};
        size_t size = (size_t)test_random_below(&random, sizeof bytes);
        struct record_text text;
        test_random_bytes(&random, bytes, size);
        for (size_t i = 0; round % 2 && i < size; i++) bytes[i] %= 5; /* gets further */
        record.payload = slice_of(bytes, size);
        record_describe(&catalog, &record, &text);
        assert_true(strlen(text.what) > 0 && strlen(text.what) < RECORD_TEXT_BYTES);
    }
    catalog_deinit(&catalog);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(files_are_what_the_manifest_says),
        TEST(open_feeds_hold_the_log_and_reads_hold_segments),
        cmocka_unit_test(records_of_any_bytes_are_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
