/* Merges beside writers and readers, in many small steps on several threads, against the model. */
#include "engine/compaction.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/key_model.h"

struct fixture {
    char path[TEST_PATH_MAX];
    struct plinth *db;
    struct plinth_space space;
    struct plinth_error error;
    uint64_t value_bytes_min; /* 0: the engine's own */
};

static const struct plinth_options options = {
    .memtable_bytes = 64 << 10, .cache_bytes = 4 << 20, .log_segment_bytes = 1 << 20, .compaction_threads = 3};
static const struct plinth_write_options written = {.durability = PLINTH_DURABILITY_WRITTEN};

static void open_db(struct fixture *f, const struct plinth_options *with) {
    const struct engine_parts parts = {.env = env_posix(),
                                       .sizes = {.segment_raw_bytes_max = 16 << 10,
                                                 .step_bytes = 64 << 10,
                                                 .move_bytes_min = 1024,
                                                 .value_bytes_min = f->value_bytes_min}};
    assert_ok(engine_open(f->path, with, &parts, &f->db, &f->error), &f->error);
    assert_ok(plinth_space_find(f->db, NULL, NULL, &f->space, &f->error), &f->error);
}

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    test_directory_create(f->path);
    open_db(f, &options);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    plinth_close(f->db);
    test_directory_remove(f->path);
    free(f);
    return 0;
}

static struct plinth_stats stats_of(struct fixture *f) {
    struct plinth_stats stats;
    plinth_stats_read(f->db, &stats);
    return stats;
}

static void check_verify(struct fixture *f) {
    struct plinth_verify_result result;
    assert_ok(plinth_verify(f->db, NULL, NULL, &result, &f->error), &f->error);
    assert_int_equal(result.problems, 0);
}

/* Waits until the policy is content. */
static void settle(struct fixture *f) {
    for (int i = 0; i < 12000 && stats_of(f).compaction_pending; i++) usleep(10 * 1000);
    assert_int_equal(stats_of(f).compaction_pending, 0);
}

static uint64_t count_files(struct fixture *f, const char *names) {
    char command[TEST_PATH_MAX + 64], line[32] = "";
    snprintf(command, sizeof command, "find %s/store -name '%s' | wc -l", f->path, names);
    FILE *pipe = popen(command, "r");
    assert_non_null(fgets(line, sizeof line, pipe));
    pclose(pipe);
    return strtoull(line, NULL, 10);
}

static uint64_t files_in_store(struct fixture *f) { return count_files(f, "*.parquet"); }
static uint64_t value_files(struct fixture *f) { return count_files(f, "*.value"); }

static void run_workload(struct fixture *f, uint64_t last) {
    uint64_t seed = getenv("PLINTH_SEED") ? strtoull(getenv("PLINTH_SEED"), NULL, 10) : 5;
    struct test_random random = test_random_of(seed);
    struct key_model model = {0}, old_model;
    struct plinth_snapshot *snapshot = NULL;
    uint64_t steps = 0, moves = 0;
    for (uint64_t number = 1; number <= last; number++) {
        struct key_model_step step = key_model_step_of(seed, number);
        struct plinth_position position;
        assert_ok(key_model_write(f->db, &step, &written, &position, &f->error), &f->error);
        key_model_apply(&model, &step);
        struct plinth_read_options read = {.position_min = position};
        uint64_t dice = test_random_below(&random, 1000);
        if (dice < 20) assert_ok(plinth_flush(f->db, &f->error), &f->error);
        if (dice == 20) assert_ok(plinth_compact(f->db, &f->error), &f->error);
        if (dice == 21 || number % 1000 == 0) {
            plinth_snapshot_destroy(snapshot);
            snapshot = NULL;
            steps += stats_of(f).compactions;
            moves += stats_of(f).compaction_moves;
            plinth_close(f->db);
            open_db(f, &options);
        }
        if (dice == 22) {
            plinth_snapshot_destroy(snapshot);
            key_model_check(&model, f->db, &read);
            assert_ok(plinth_snapshot_create(f->db, (struct plinth_position){0, 0}, &snapshot, &f->error), &f->error);
            old_model = model;
        }
        if (dice >= 23 && dice < 33) {
            key_model_check(&model, f->db, &read);
            read = (struct plinth_read_options){.snapshot = snapshot};
            if (snapshot) key_model_check(&old_model, f->db, &read);
        }
    }
    plinth_snapshot_destroy(snapshot);
    settle(f);
    key_model_check(&model, f->db, NULL);
    check_verify(f);
    steps += stats_of(f).compactions;
    moves += stats_of(f).compaction_moves;
    print_message("%llu merges, %llu moves\n", (unsigned long long)steps, (unsigned long long)moves);
    assert_true(steps > 20);
    plinth_close(f->db);
    open_db(f, &options);
    key_model_check(&model, f->db, NULL);
    check_verify(f);
}

static void a_random_workload_agrees_with_the_model_while_merges_take_many_steps(void **state) {
    run_workload(*state, 4000);
}

/* The same with a third of the values in the store. */
static void a_random_workload_agrees_with_the_model_while_values_lie_in_the_store(void **state) {
    struct fixture *f = *state;
    f->value_bytes_min = 200;
    plinth_close(f->db);
    open_db(f, &options);
    run_workload(f, 2000);
    assert_true(f->db->shard.values.count > 10);
    assert_ok(plinth_delete_prefix(f->db, f->space, plinth_text("k"), NULL, NULL, &f->error), &f->error);
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    settle(f);
    for (int i = 0; i < 1000 && value_files(f); i++) {
        assert_ok(plinth_jobs_run(f->db, PLINTH_JOB_GARBAGE, &f->error), &f->error);
        usleep(10 * 1000);
    }
    assert_int_equal(value_files(f), 0);
    check_verify(f);
}

static void set_numbered(struct fixture *f, uint64_t number, const char *value) {
    char key[32];
    snprintf(key, sizeof key, "key%012llu", (unsigned long long)number);
    assert_ok(plinth_set(f->db, f->space, plinth_text(key), plinth_text(value), &written, NULL, &f->error), &f->error);
}

/* Every value has half a kilobyte that does not compress. */
static void set_large(struct fixture *f, uint64_t number) {
    char value[513];
    struct test_random random = test_random_of(number);
    for (size_t i = 0; i < 512; i++) value[i] = (char)('!' + test_random_below(&random, 90));
    value[512] = 0;
    set_numbered(f, number, value);
}

static void keys_in_order_are_moved_rather_than_rewritten(void **state) {
    struct fixture *f = *state;
    for (uint64_t i = 0; i < 8000; i++) set_large(f, i);
    assert_ok(plinth_flush(f->db, &f->error), &f->error);
    settle(f);
    struct plinth_stats stats = stats_of(f);
    print_message("flushed %llu, rewritten %llu, moved %llu bytes; %llu runs\n", (unsigned long long)stats.flush_bytes,
                  (unsigned long long)stats.compaction_bytes_out, (unsigned long long)stats.compaction_bytes_moved,
                  (unsigned long long)stats.runs_most);
    assert_true(stats.compaction_moves > 0);
    assert_true(stats.compaction_bytes_out <= 2 * stats.flush_bytes);
    assert_int_equal(stats.segment_rows, 8000);
    check_verify(f);
}

static void one_row_at_a_time_keeps_files_and_runs_few(void **state) {
    struct fixture *f = *state;
    uint64_t runs_most = 0, files_most = 0;
    for (uint64_t i = 0; i < 300; i++) {
        set_numbered(f, i * 7919 % 300, "v");
        assert_ok(plinth_flush(f->db, &f->error), &f->error);
        struct plinth_stats stats = stats_of(f);
        if (stats.runs_most > runs_most) runs_most = stats.runs_most;
        if (i % 50 == 49) {
            settle(f);
            assert_true(stats_of(f).runs_most <= 13);
            uint64_t files = files_in_store(f);
            if (files > files_most) files_most = files;
        }
    }
    print_message("at most %llu runs, %llu files at rest\n", (unsigned long long)runs_most,
                  (unsigned long long)files_most);
    assert_true(files_most <= 60);
}

static void space_comes_back_when_everything_is_deleted(void **state) {
    struct fixture *f = *state;
    for (uint64_t i = 0; i < 5000; i++) set_large(f, i * 7919 % 5000);
    assert_ok(plinth_flush(f->db, &f->error), &f->error);
    settle(f);
    uint64_t before = stats_of(f).segment_bytes;
    for (uint64_t i = 0; i < 5000; i++) {
        char key[32];
        snprintf(key, sizeof key, "key%012llu", (unsigned long long)i);
        assert_ok(plinth_delete(f->db, f->space, plinth_text(key), &written, NULL, &f->error), &f->error);
    }
    assert_ok(plinth_flush(f->db, &f->error), &f->error);
    settle(f);
    struct plinth_stats stats = stats_of(f);
    print_message("%llu bytes, then %llu\n", (unsigned long long)before, (unsigned long long)stats.segment_bytes);
    assert_true(before > 1 << 20);
    assert_true(stats.segment_bytes < before / 20);
}

static void note_plan(void *context, const struct compaction_plan_info *info) {
    (void)info;
    ++*(unsigned *)context;
}

static void while_paused_nothing_is_merged(void **state) {
    struct fixture *f = *state;
    compaction_pause(f->db, true);
    assert_true(compaction_is_paused(f->db));
    for (uint64_t i = 0; i < 20; i++) {
        set_numbered(f, i, "v");
        assert_ok(plinth_flush(f->db, &f->error), &f->error);
    }
    struct plinth_stats stats = stats_of(f);
    assert_int_equal(stats.runs_most, 20);
    assert_true(stats.compaction_debt_bytes > 0);
    unsigned plans = 0;
    compaction_visit_plans(f->db, note_plan, &plans);
    assert_int_equal(plans, 0);
    assert_false(compaction_cancel(f->db, 1));
    compaction_pause(f->db, false);
    settle(f);
    assert_true(stats_of(f).runs_most <= 12);
}

static void writers_keep_to_the_rate_that_is_set_and_are_free_when_merges_have_caught_up(void **state) {
    struct fixture *f = *state;
    struct plinth_options large = options;
    large.memtable_bytes = 64 << 20;
    plinth_close(f->db);
    open_db(f, &large);
    pthread_mutex_lock(&f->db->sequence_mutex);
    write_budget_set(&f->db->write_budget, 1 << 20, f->db->bytes_cut + memtable_bytes(f->db->active),
                     env_monotonic_ns(f->db->env));
    pthread_mutex_unlock(&f->db->sequence_mutex);
    uint64_t began = env_monotonic_ns(env_posix());
    for (uint64_t i = 0; i < 1000; i++) set_large(f, i); /* some 600 KiB */
    uint64_t took_us = (env_monotonic_ns(env_posix()) - began) / 1000;
    struct plinth_stats stats = stats_of(f);
    assert_int_equal(stats.write_rate_max, 1 << 20);
    assert_true(stats.write_delays > 0 && stats.write_delay_us <= took_us);
    assert_true(took_us > 300 * 1000);
    assert_ok(plinth_flush(f->db, &f->error), &f->error);
    for (int i = 0; i < 1000 && stats_of(f).write_rate_max; i++) usleep(10 * 1000);
    assert_int_equal(stats_of(f).write_rate_max, 0);
}

struct job_count {
    unsigned of[PLINTH_JOB_VERIFY + 1], in[PLINTH_JOB_HELD + 1];
    uint64_t a_plan;
};

static void count_job(void *context, const struct plinth_job *job) {
    struct job_count *count = context;
    count->of[job->kind]++;
    count->in[job->state]++;
    assert_non_null(job->why);
    assert_non_null(job->error);
    if (job->kind == PLINTH_JOB_COMPACTION && job->id) count->a_plan = job->id;
}

static void jobs_are_listed_paused_run_and_cancelled(void **state) {
    struct fixture *f = *state;
    struct job_count count = {0};
    assert_ok(plinth_jobs_pause(f->db, PLINTH_JOB_COMPACTION, &f->error), &f->error);
    assert_status(plinth_jobs_pause(f->db, PLINTH_JOB_FLUSH, &f->error), PLINTH_INVALID_ARGUMENT, &f->error);
    assert_error_names(&f->error, "flush");
    assert_ok(plinth_jobs_pause(f->db, PLINTH_JOB_CHECKPOINT, &f->error), &f->error);
    uint64_t checkpoints = stats_of(f).checkpoints;
    for (uint64_t i = 0; i < 3000; i++) set_large(f, i * 7919 % 3000);
    assert_ok(plinth_jobs_run(f->db, PLINTH_JOB_FLUSH, &f->error), &f->error);
    assert_int_equal(stats_of(f).checkpoints, checkpoints);
    plinth_jobs_visit(f->db, count_job, &count);
    assert_int_equal(count.of[PLINTH_JOB_COMPACTION], 1);
    assert_true(count.in[PLINTH_JOB_PAUSED] >= 2);
    assert_ok(plinth_jobs_resume(f->db, PLINTH_JOB_CHECKPOINT, &f->error), &f->error);
    assert_ok(plinth_jobs_run(f->db, PLINTH_JOB_CHECKPOINT, &f->error), &f->error);
    assert_true(stats_of(f).checkpoints > checkpoints);
    assert_status(plinth_jobs_cancel(f->db, 4242, &f->error), PLINTH_NOT_FOUND, &f->error);
    assert_ok(plinth_jobs_resume(f->db, PLINTH_JOB_COMPACTION, &f->error), &f->error);
    while (!count.a_plan && stats_of(f).compaction_pending) plinth_jobs_visit(f->db, count_job, &count);
    if (count.a_plan) { /* else it was over too soon to be seen */
        enum plinth_status st = plinth_jobs_cancel(f->db, count.a_plan, &f->error);
        assert_true(!st || st == PLINTH_NOT_FOUND);
    }
    assert_ok(plinth_jobs_run(f->db, PLINTH_JOB_COMPACTION, &f->error), &f->error);
    assert_status(plinth_jobs_run(f->db, PLINTH_JOB_VERIFY, &f->error), PLINTH_INVALID_ARGUMENT, &f->error);
    check_verify(f);
    assert_string_equal(plinth_job_kind_name(PLINTH_JOB_INDEX_BUILD), "index_build");
    assert_string_equal(plinth_job_state_name(PLINTH_JOB_HELD), "held");
}

static void a_pause_outlasts_a_restart_and_is_told(void **state) {
    struct fixture *f = *state;
    assert_int_equal(stats_of(f).jobs_paused, 0);
    assert_ok(plinth_jobs_pause(f->db, PLINTH_JOB_COMPACTION, &f->error), &f->error);
    assert_ok(plinth_jobs_pause(f->db, PLINTH_JOB_TRIM, &f->error), &f->error);
    assert_ok(plinth_jobs_pause(f->db, PLINTH_JOB_TRIM, &f->error), &f->error); /* says nothing new */
    for (int restart = 0; restart < 3; restart++) {                             /* by the log, then by a checkpoint */
        assert_int_equal(stats_of(f).jobs_paused, 2);
        for (uint64_t i = 0; i < 1000; i++) set_large(f, i * 7919 % 1000);
        assert_ok(plinth_flush(f->db, &f->error), &f->error);
        assert_int_equal(stats_of(f).compactions, 0);
        struct plinth_error error;
        assert_status(plinth_jobs_run(f->db, PLINTH_JOB_COMPACTION, &error), PLINTH_CONFLICT, &error);
        assert_error_names(&error, "compaction");
        plinth_close(f->db);
        open_db(f, &options);
    }
    assert_ok(plinth_jobs_resume(f->db, PLINTH_JOB_COMPACTION, &f->error), &f->error);
    settle(f);
    assert_true(stats_of(f).compactions > 0);
    plinth_close(f->db);
    open_db(f, &options);
    assert_int_equal(stats_of(f).jobs_paused, 1);
    assert_ok(plinth_jobs_resume(f->db, PLINTH_JOB_TRIM, &f->error), &f->error);
    assert_int_equal(stats_of(f).jobs_paused, 0);
    check_verify(f);
}

static bool asked_before(void *context) { return (*(int *)context)-- > 0; }

static void a_run_ends_when_nobody_wants_it_any_more(void **state) {
    struct fixture *f = *state;
    int patience = 0;
    assert_ok(plinth_jobs_pause(f->db, PLINTH_JOB_COMPACTION, &f->error), &f->error);
    for (uint64_t i = 0; i < 3000; i++) set_large(f, i * 7919 % 3000);
    assert_ok(plinth_flush(f->db, &f->error), &f->error);
    assert_ok(plinth_jobs_resume(f->db, PLINTH_JOB_COMPACTION, &f->error), &f->error);
    assert_status(plinth_jobs_run_while(f->db, PLINTH_JOB_COMPACTION, asked_before, &patience, &f->error),
                  PLINTH_CANCELLED, &f->error);
    patience = 1 << 20;
    assert_ok(plinth_jobs_run_while(f->db, PLINTH_JOB_COMPACTION, asked_before, &patience, &f->error), &f->error);
    assert_ok(plinth_jobs_run_while(f->db, PLINTH_JOB_FLUSH, asked_before, &patience, &f->error), &f->error);
    check_verify(f);
}

static void what_jobs_work_on_has_a_name(void **state) {
    struct fixture *f = *state;
    struct plinth_names names;
    struct plinth_space missing = {f->space.tenant, f->space.database, 4000};
    assert_ok(plinth_names_find(f->db, f->space, &names, &f->error), &f->error);
    assert_string_equal(names.database, "default");
    assert_string_equal(names.table, "default");
    assert_string_equal(names.index, "");
    assert_status(plinth_names_find(f->db, missing, &names, &f->error), PLINTH_NOT_FOUND, &f->error);
}

/* Whole merges and steps of plans shut each other out, whoever asks. */
struct asker {
    pthread_t thread;
    struct fixture *f;
    atomic_bool *over;
};

static void *ask(void *argument) {
    struct asker *asker = argument;
    struct plinth_error error;
    while (!atomic_load(asker->over)) assert_ok(plinth_compact(asker->f->db, &error), &error);
    return NULL;
}

static void whole_merges_go_on_beside_steps(void **state) {
    struct fixture *f = *state;
    atomic_bool over = false;
    struct asker askers[2] = {{.f = f, .over = &over}, {.f = f, .over = &over}};
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
    for (uint64_t i = 0; i < 4000; i++) set_large(f, i * 7919 % 1000);
    atomic_store(&over, true);
    for (int i = 0; i < 2; i++) pthread_join(askers[i].thread, NULL);
    settle(f);
    assert_ok(plinth_compact(f->db, &f->error), &f->error);
    assert_int_equal(stats_of(f).segment_rows, 1000);
    check_verify(f);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_random_workload_agrees_with_the_model_while_merges_take_many_steps),
        TEST(a_random_workload_agrees_with_the_model_while_values_lie_in_the_store),
        TEST(keys_in_order_are_moved_rather_than_rewritten),
        TEST(one_row_at_a_time_keeps_files_and_runs_few),
        TEST(space_comes_back_when_everything_is_deleted),
        TEST(while_paused_nothing_is_merged),
        TEST(writers_keep_to_the_rate_that_is_set_and_are_free_when_merges_have_caught_up),
        TEST(jobs_are_listed_paused_run_and_cancelled),
        TEST(a_pause_outlasts_a_restart_and_is_told),
        TEST(a_run_ends_when_nobody_wants_it_any_more),
        TEST(what_jobs_work_on_has_a_name),
        TEST(whole_merges_go_on_beside_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
