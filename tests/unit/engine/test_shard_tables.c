/* DDL and the manifest in a shard: what dropped tables leave, what is refused below feature level 2, and how an index
 * that is built gets its runs. */
#include <stdio.h>
#include <stdlib.h>

#include "engine/merge_change.h"
#include "engine/shard.h"
#include "support/test_support.h"

struct fixture {
    struct shard shard;
    struct plinth_error error;
    uint32_t table, index, other; /* a table, its sorted index, and a key space */
};

static enum verdict decide(struct fixture *f, enum change_kind kind, struct slice payload) {
    struct decision decision;
    uint64_t lsn = f->shard.lsn + 1;
    struct record_header header = {.kind = (uint8_t)kind, .time_us = lsn};
    assert_ok(shard_decide(&f->shard, lsn, &header, payload, NULL, &decision, &f->error), &f->error);
    return decision.verdict;
}

static enum verdict decide_numbers(struct fixture *f, enum change_kind kind, uint64_t number, bool with_host) {
    struct buffer payload = BUFFER_INIT;
    assert_true(buffer_append_varint(&payload, number) && (!with_host || buffer_append_u64(&payload, 1)));
    enum verdict verdict = decide(f, kind, buffer_slice(&payload));
    buffer_deinit(&payload);
    return verdict;
}

static enum verdict change(struct fixture *f, struct catalog_change change) {
    struct buffer payload = BUFFER_INIT;
    change.version = f->shard.catalog.version + 1;
    change.tenant = change.database = 1;
    assert_true(catalog_change_encode(&payload, &change));
    enum verdict verdict = decide(f, CHANGE_CATALOG, buffer_slice(&payload));
    buffer_deinit(&payload);
    return verdict;
}

static const struct catalog_column two_columns[] = {{{(const uint8_t *)"id", 2}, {COLUMN_INT64}, false},
                                                    {{(const uint8_t *)"value", 5}, {COLUMN_INT64}, true}};

static enum verdict make_table(struct fixture *f, const char *name) {
    return change(f, (struct catalog_change){.kind = CATALOG_CREATE_TABLE,
                                             .name = slice_of_string(name),
                                             .columns = two_columns,
                                             .column_count = 2,
                                             .key = {1},
                                             .key_count = 1});
}

static enum verdict make_index(struct fixture *f, enum index_kind kind) {
    return change(f, (struct catalog_change){.kind = CATALOG_CREATE_TABLE_INDEX,
                                             .space = f->table,
                                             .name = slice_of_string("i"),
                                             .index_kind = kind,
                                             .index_state = INDEX_BUILDING,
                                             .key = {2},
                                             .key_count = 1});
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    assert_ok(shard_init(&f->shard, &f->error), &f->error);
    assert_int_equal(decide_numbers(f, CHANGE_FEATURE_LEVEL, 2, false), VERDICT_APPLIED);
    assert_int_equal(make_table(f, "t"), VERDICT_APPLIED);
    f->table = catalog_find_table(&f->shard.catalog, 1, slice_of_string("t"))->id.table;
    assert_int_equal(make_index(f, INDEX_SORTED), VERDICT_APPLIED);
    f->index = catalog_find_index(&f->shard.catalog, f->table, slice_of_string("i"))->id.table;
    f->other = 2;
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    shard_deinit(&f->shard);
    free(f);
    return 0;
}

static struct segment_info info_of(uint32_t table, uint64_t job) {
    struct segment_info info = {
        .table = {1, 1, table}, .job = job, .lsn_min = 1, .lsn_max = job, .rows = 10, .bytes = 9};
    snprintf(info.name, sizeof info.name, "segments/%u/%u.parquet", (unsigned)job, table);
    assert_true(buffer_append(&info.key_min, "a", 1) && buffer_append(&info.key_max, "z", 1));
    return info;
}

static enum verdict decide_commit(struct fixture *f, enum change_kind kind, struct commit *commit) {
    struct buffer payload = BUFFER_INIT;
    assert_true(commit_encode(&payload, kind, commit));
    enum verdict verdict = decide(f, kind, buffer_slice(&payload));
    buffer_deinit(&payload);
    for (uint64_t i = 0; i < commit->segment_count; i++) segment_info_deinit(&commit->segments[i]);
    return verdict;
}

static uint64_t begin_job(struct fixture *f, enum job_kind kind) {
    assert_int_equal(decide_numbers(f, CHANGE_JOB_BEGIN, kind, true), VERDICT_APPLIED);
    return f->shard.lsn;
}

static uint64_t cut(struct fixture *f) {
    assert_int_equal(decide_numbers(f, CHANGE_CUT, f->shard.last_cut, false), VERDICT_APPLIED);
    return f->shard.lsn;
}

/* A flush of the key space, the table and its index, whose job has begun. */
static enum verdict flush(struct fixture *f, uint64_t job, uint64_t at) {
    struct segment_info segments[3] = {info_of(f->other, job), info_of(f->table, job), info_of(f->index, job)};
    segments[1].is_rows = true;
    struct commit commit = {.job = job, .cut = at, .segments = segments, .segment_count = 3};
    return decide_commit(f, CHANGE_FLUSH_COMMIT, &commit);
}

static enum verdict add_run(struct fixture *f, uint32_t table) {
    struct segment_info segment = info_of(table, begin_job(f, JOB_COMPACT));
    struct commit commit = {.job = segment.job, .table = {1, 1, table}, .segments = &segment, .segment_count = 1};
    return decide_commit(f, CHANGE_COMPACT_COMMIT, &commit);
}

static uint64_t runs_of(const struct fixture *f, uint32_t table) {
    const struct shard_table *found = shard_find_table(&f->shard, (struct table_id){1, 1, table});
    return found ? found->run_count : 0;
}

static bool is_garbage(const struct fixture *f, uint64_t job, uint32_t table) {
    char name[64];
    snprintf(name, sizeof name, "segments/%u/%u.parquet", (unsigned)job, table);
    for (uint64_t i = 0; i < f->shard.garbage_count; i++)
        if (strcmp(f->shard.garbage[i].name, name) == 0) return true;
    return false;
}

/* A checkpoint says the same. */
static void expect_same_after_decoding(struct fixture *f) {
    struct buffer bytes = BUFFER_INIT;
    struct shard read;
    assert_true(shard_encode(&bytes, &f->shard));
    assert_ok(shard_decode(buffer_slice(&bytes), &read, &f->error), &f->error);
    assert_int_equal(shard_hash(&read), shard_hash(&f->shard));
    shard_deinit(&read);
    buffer_deinit(&bytes);
}

static void dropping_a_table_makes_garbage_of_it_and_its_indexes(void **state) {
    struct fixture *f = *state;
    uint64_t first_cut = cut(f), first = begin_job(f, JOB_FLUSH);
    assert_int_equal(flush(f, first, first_cut), VERDICT_APPLIED);
    assert_int_equal(runs_of(f, f->table), 1);
    assert_int_equal(runs_of(f, f->index), 1);
    expect_same_after_decoding(f);
    assert_int_equal(change(f, (struct catalog_change){.kind = CATALOG_DROP_TABLE, .space = f->table}),
                     VERDICT_APPLIED);
    assert_int_equal(runs_of(f, f->table), 0);
    assert_int_equal(runs_of(f, f->index), 0);
    assert_int_equal(runs_of(f, f->other), 1);
    assert_int_equal(f->shard.garbage_count, 2);
    assert_true(is_garbage(f, first, f->table) && is_garbage(f, first, f->index));
    for (uint64_t i = 0; i < 2; i++) assert_int_equal(f->shard.garbage[i].since_lsn, f->shard.lsn);
    expect_same_after_decoding(f);
    assert_int_equal(change(f, (struct catalog_change){.kind = CATALOG_DROP_TABLE, .space = f->table}), VERDICT_VOID);
}

static void a_flush_that_names_a_dropped_table_makes_garbage_of_it(void **state) {
    struct fixture *f = *state;
    uint64_t at = cut(f), job = begin_job(f, JOB_FLUSH);
    assert_int_equal(change(f, (struct catalog_change){.kind = CATALOG_DROP_TABLE, .space = f->table}),
                     VERDICT_APPLIED);
    assert_int_equal(flush(f, job, at), VERDICT_APPLIED);
    assert_int_equal(runs_of(f, f->table), 0);
    assert_int_equal(runs_of(f, f->index), 0);
    assert_int_equal(runs_of(f, f->other), 1);
    assert_true(is_garbage(f, job, f->table) && is_garbage(f, job, f->index) && !is_garbage(f, job, f->other));
    assert_int_equal(f->shard.flushed_lsn, at);
    expect_same_after_decoding(f);
}

static void a_merge_of_a_dropped_table_is_void(void **state) {
    struct fixture *f = *state;
    uint64_t at = cut(f), job = begin_job(f, JOB_FLUSH);
    assert_int_equal(flush(f, job, at), VERDICT_APPLIED);
    uint64_t input = f->shard.lsn, merge = begin_job(f, JOB_COMPACT);
    assert_int_equal(change(f, (struct catalog_change){.kind = CATALOG_DROP_INDEX, .space = f->index}),
                     VERDICT_APPLIED);
    assert_int_equal(runs_of(f, f->table), 1);
    struct segment_info segment = info_of(f->index, merge);
    struct commit commit = {.job = merge,
                            .table = {1, 1, f->index},
                            .inputs = &input,
                            .input_count = 1,
                            .segments = &segment,
                            .segment_count = 1};
    assert_int_equal(decide_commit(f, CHANGE_COMPACT_COMMIT, &commit), VERDICT_VOID);
    assert_non_null(shard_find_job(&f->shard, merge)); /* to be aborted, which collects its files */
    assert_int_equal(runs_of(f, f->index), 0);
}

static void only_an_index_that_is_built_gets_runs_without_inputs(void **state) {
    struct fixture *f = *state;
    assert_int_equal(add_run(f, f->index), VERDICT_APPLIED);
    assert_int_equal(add_run(f, f->index), VERDICT_APPLIED);
    assert_int_equal(runs_of(f, f->index), 2);
    expect_same_after_decoding(f);
    assert_int_equal(add_run(f, f->table), VERDICT_VOID);
    assert_int_equal(add_run(f, f->other), VERDICT_VOID);
    assert_int_equal(add_run(f, 4711), VERDICT_VOID);
    assert_int_equal(
        change(f,
               (struct catalog_change){.kind = CATALOG_SET_INDEX_STATE, .space = f->index, .index_state = INDEX_READY}),
        VERDICT_APPLIED);
    assert_int_equal(add_run(f, f->index), VERDICT_VOID);
    assert_int_equal(runs_of(f, f->index), 2);
}

static void tables_and_drops_are_refused_below_feature_level_2(void **state) {
    (void)state;
    struct fixture f = {0};
    assert_ok(shard_init(&f.shard, &f.error), &f.error);
    assert_int_equal(make_table(&f, "t"), VERDICT_REFUSED);
    assert_int_equal(change(&f, (struct catalog_change){.kind = CATALOG_DROP_TABLE, .space = 2}), VERDICT_REFUSED);
    assert_int_equal(f.shard.alarms, 2);
    assert_int_equal(change(&f, (struct catalog_change){.kind = CATALOG_CREATE_SPACE, .name = slice_of_string("s")}),
                     VERDICT_APPLIED);
    assert_int_equal(decide_numbers(&f, CHANGE_FEATURE_LEVEL, 2, false), VERDICT_APPLIED);
    assert_int_equal(make_table(&f, "t"), VERDICT_APPLIED);
    assert_int_equal(decide_numbers(&f, CHANGE_FEATURE_LEVEL, FEATURE_LEVEL + 1, false), VERDICT_REFUSED);
    shard_deinit(&f.shard);
}

static void malformed_changes_are_refused_and_wrong_ones_void(void **state) {
    struct fixture *f = *state;
    uint64_t version = f->shard.catalog.version;
    static const uint8_t malformed[] = {9, CATALOG_CREATE_TABLE, 1, 1, 0, 1, 'x', 200};
    assert_int_equal(decide(f, CHANGE_CATALOG, slice_of(malformed, sizeof malformed)), VERDICT_REFUSED);
    assert_int_equal(make_table(f, "t"), VERDICT_VOID);
    assert_int_equal(make_index(f, INDEX_TOKEN), VERDICT_VOID);
    assert_int_equal(f->shard.catalog.version, version);
}

/* ---- merges ---- */

/* Names as info_of makes them. */
static struct slice name_of(char text[96], uint64_t job, uint32_t table) {
    snprintf(text, 96, "segments/%u/%u.parquet", (unsigned)job, table);
    return slice_of_string(text);
}

static enum verdict decide_merge(struct fixture *f, const struct merge_change *change) {
    struct buffer payload = BUFFER_INIT;
    assert_true(merge_change_encode(&payload, change));
    enum verdict verdict = decide(f, CHANGE_MERGE_COMMIT, buffer_slice(&payload));
    buffer_deinit(&payload);
    return verdict;
}

/* Three flushes: runs c, b, a of the table, newest first. */
struct three_runs {
    uint64_t jobs[3], ids[3];
    char names[3][96];
    struct slice taken[3];
};

static void make_runs(struct fixture *f, struct three_runs *runs) {
    for (int i = 2; i >= 0; i--) {
        uint64_t at = cut(f);
        runs->jobs[i] = begin_job(f, JOB_FLUSH);
        assert_int_equal(flush(f, runs->jobs[i], at), VERDICT_APPLIED);
        runs->ids[i] = f->shard.lsn;
        runs->taken[i] = name_of(runs->names[i], runs->jobs[i], f->table);
    }
}

static const struct shard_table *table_of(struct fixture *f) {
    return shard_find_table(&f->shard, (struct table_id){1, 1, f->table});
}

static void a_merge_replaces_just_the_segments_that_it_names(void **state) {
    struct fixture *f = *state;
    struct three_runs three;
    make_runs(f, &three);
    uint64_t garbage = f->shard.garbage_count, job = begin_job(f, JOB_COMPACT);
    struct merge_change_output output = {.info = info_of(f->table, job)};
    struct merge_change_run runs[2] = {{three.ids[1], &three.taken[1], 1}, {three.ids[2], &three.taken[2], 1}};
    struct merge_change change = {.job = job,
                                  .table = {1, 1, f->table},
                                  .level = 1,
                                  .runs = runs,
                                  .run_count = 2,
                                  .outputs = &output,
                                  .output_count = 1};
    assert_int_equal(decide_merge(f, &change), VERDICT_REFUSED); /* below its feature level */
    assert_int_equal(decide_numbers(f, CHANGE_FEATURE_LEVEL, FEATURE_LEVEL_MERGES, false), VERDICT_APPLIED);
    runs[0].id = three.ids[0]; /* which has another segment */
    assert_int_equal(decide_merge(f, &change), VERDICT_VOID);
    runs[0].id = three.ids[1];
    change.before = three.taken[2]; /* it is taken itself */
    assert_int_equal(decide_merge(f, &change), VERDICT_VOID);
    change.before = slice_of(NULL, 0);
    output.info.table.table = f->other;
    assert_int_equal(decide_merge(f, &change), VERDICT_VOID);
    output.info.table.table = f->table;
    assert_int_equal(decide_merge(f, &change), VERDICT_APPLIED);
    const struct shard_table *table = table_of(f);
    assert_int_equal(table->run_count, 2);
    assert_int_equal(table->runs[0].id, three.ids[0]);
    assert_int_equal(table->runs[1].id, three.ids[2]); /* the oldest run goes on, with what was written */
    assert_int_equal(table->runs[1].level, 1);
    assert_string_equal(table->runs[1].segments[0].name, output.info.name);
    assert_int_equal(f->shard.garbage_count, garbage + 2);
    change.job = begin_job(f, JOB_COMPACT);
    assert_int_equal(decide_merge(f, &change), VERDICT_VOID); /* they are gone */
    segment_info_deinit(&output.info);
}

static void a_moved_segment_is_no_garbage_and_stands_where_it_should(void **state) {
    struct fixture *f = *state;
    struct three_runs three;
    make_runs(f, &three);
    assert_int_equal(decide_numbers(f, CHANGE_FEATURE_LEVEL, FEATURE_LEVEL_MERGES, false), VERDICT_APPLIED);
    uint64_t garbage = f->shard.garbage_count;
    struct merge_change_output outputs[2] = {{.moved = three.taken[1]}, {.moved = three.taken[1]}};
    struct merge_change_run runs[2] = {{three.ids[1], &three.taken[1], 1}, {three.ids[2], NULL, 0}};
    struct merge_change change = {.job = begin_job(f, JOB_COMPACT),
                                  .table = {1, 1, f->table},
                                  .level = 1,
                                  .runs = runs,
                                  .run_count = 2,
                                  .before = three.taken[2],
                                  .outputs = outputs,
                                  .output_count = 2};
    assert_int_equal(decide_merge(f, &change), VERDICT_VOID); /* twice the same */
    change.output_count = 1;
    outputs[0].moved = three.taken[0];
    assert_int_equal(decide_merge(f, &change), VERDICT_VOID); /* not taken */
    outputs[0].moved = three.taken[1];
    assert_int_equal(decide_merge(f, &change), VERDICT_APPLIED);
    const struct shard_table *table = table_of(f);
    assert_int_equal(table->run_count, 2);
    assert_int_equal(table->runs[1].segment_count, 2);
    assert_string_equal(table->runs[1].segments[0].name, three.names[1]);
    assert_string_equal(table->runs[1].segments[1].name, three.names[2]);
    assert_int_equal(f->shard.garbage_count, garbage);
}

static void malformed_merges_are_refused_and_change_nothing(void **state) {
    struct fixture *f = *state;
    struct three_runs three;
    make_runs(f, &three);
    assert_int_equal(decide_numbers(f, CHANGE_FEATURE_LEVEL, FEATURE_LEVEL_MERGES, false), VERDICT_APPLIED);
    struct merge_change_output output = {.moved = three.taken[0]};
    struct merge_change_run runs[2] = {{three.ids[0], &three.taken[0], 1}, {three.ids[1], &three.taken[1], 1}};
    struct merge_change change = {.job = begin_job(f, JOB_COMPACT),
                                  .table = {1, 1, f->table},
                                  .runs = runs,
                                  .run_count = 2,
                                  .outputs = &output,
                                  .output_count = 1};
    struct buffer payload = BUFFER_INIT;
    assert_true(merge_change_encode(&payload, &change));
    for (size_t size = 0; size < payload.size; size++)
        assert_int_equal(decide(f, CHANGE_MERGE_COMMIT, slice_of(payload.data, size)), VERDICT_REFUSED);
    assert_true(buffer_append_u8(&payload, 0));
    assert_int_equal(decide(f, CHANGE_MERGE_COMMIT, buffer_slice(&payload)), VERDICT_REFUSED);
    assert_int_equal(table_of(f)->run_count, 3);
    buffer_deinit(&payload);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(dropping_a_table_makes_garbage_of_it_and_its_indexes),
        TEST(a_flush_that_names_a_dropped_table_makes_garbage_of_it),
        TEST(a_merge_of_a_dropped_table_is_void),
        TEST(only_an_index_that_is_built_gets_runs_without_inputs),
        cmocka_unit_test(tables_and_drops_are_refused_below_feature_level_2),
        cmocka_unit_test_setup_teardown(a_merge_replaces_just_the_segments_that_it_names, setup, teardown),
        cmocka_unit_test_setup_teardown(a_moved_segment_is_no_garbage_and_stands_where_it_should, setup, teardown),
        cmocka_unit_test_setup_teardown(malformed_merges_are_refused_and_change_nothing, setup, teardown),
        TEST(malformed_changes_are_refused_and_wrong_ones_void),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
