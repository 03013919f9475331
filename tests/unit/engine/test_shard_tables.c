/* DDL and the manifest in a shard: what dropped tables leave, what is refused below feature level 2, and how an index
 * that is built gets its runs. */
#include <stdio.h>
#include <stdlib.h>

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

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(dropping_a_table_makes_garbage_of_it_and_its_indexes),
        TEST(a_flush_that_names_a_dropped_table_makes_garbage_of_it),
        TEST(a_merge_of_a_dropped_table_is_void),
        TEST(only_an_index_that_is_built_gets_runs_without_inputs),
        cmocka_unit_test(tables_and_drops_are_refused_below_feature_level_2),
        TEST(malformed_changes_are_refused_and_wrong_ones_void),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
