#include "crash/crash_round.h"

#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "support/key_model.h"

enum { STEPS_MAX = 1 << 16, WATCH_SECONDS = 90 };
static const char directory[] = "/db";

struct round {
    struct sim_env *sim;
    struct plinth *db;
    struct plinth_options options;
    struct test_random random;
    uint64_t seed;
    const struct crash_mutation *mutation;
    struct crash_tally *tally;

    uint64_t history[STEPS_MAX]; /* the steps that the engine was given and may have kept, in order */
    size_t history_count;
    uint64_t last_number;
    /* Steps that must be there after a power cut, and after the end of the process. */
    uint64_t durable_step, written_step;
    bool dying; /* calls have begun to fail, or will */
    struct plinth_error error;
};

static uint64_t below(struct round *round, uint64_t limit) { return test_random_below(&round->random, limit); }

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* ---- the machine ---- */

static void arm_mutation(struct round *round) {
    const struct crash_mutation *mutation = round->mutation;
    if (!mutation || !mutation->part) return;
    if (mutation->directories)
        sim_env_ignore_directory_syncs_of(round->sim, mutation->part);
    else
        sim_env_ignore_file_syncs_of(round->sim, mutation->part);
}

/* After `skip` more calls nothing reaches the machine any more. */
static void die_after(struct round *round, uint64_t skip) {
    sim_env_fail(round->sim, SIM_ANY, skip, PLINTH_IO_ERROR, true);
    round->dying = true;
}

static void close_db(struct round *round) {
    plinth_close(round->db);
    round->db = NULL;
}

static void power_cut(struct round *round) {
    if (!round->dying) die_after(round, 0);
    close_db(round);
    sim_env_crash(round->sim, test_random_u64(&round->random));
    arm_mutation(round);
    round->dying = false;
    round->written_step = round->durable_step;
    round->tally->power_cuts++;
}

static void kill_process(struct round *round) {
    if (!round->dying) die_after(round, 0);
    close_db(round);
    sim_env_heal(round->sim);
    round->dying = false;
    round->tally->kills++;
}

static void power_cut_or_kill(struct round *round) {
    if (below(round, 4))
        power_cut(round);
    else
        kill_process(round);
}

/* ---- opening and comparing ---- */

static enum plinth_status open_db(struct round *round) {
    struct engine_parts parts = {.env = sim_env_base(round->sim)};
    round->options = (struct plinth_options){
        .memtable_bytes = 4096u << below(round, 5),
        .cache_bytes = 1 << 20,
        .log_segment_bytes = 16384u << below(round, 3),
        .log_sync_interval_ms = 1 + (uint32_t)below(round, 10),
        .no_background_compaction = below(round, 4) == 0,
    };
    return engine_open(directory, &round->options, &parts, &round->db, &round->error);
}

/* The history ends with the step that the engine shows. */
static void cut_history(struct round *round, uint64_t shown) {
    size_t kept = round->history_count;
    while (kept && round->history[kept - 1] != shown) kept--;
    if (shown && !kept) fail_msg("step %llu is shown, which is lost or was never made", (unsigned long long)shown);
    round->tally->lost_steps += round->history_count - kept;
    round->history_count = kept;
}

static void compare(struct round *round) {
    uint64_t shown = key_model_last_step(round->db);
    if (shown < round->written_step)
        fail_msg("step %llu is shown; %llu was acknowledged", (unsigned long long)shown,
                 (unsigned long long)round->written_step);
    cut_history(round, shown);
    struct key_model model = {0};
    for (size_t i = 0; i < round->history_count; i++) {
        struct key_model_step step = key_model_step_of(round->seed, round->history[i]);
        key_model_apply(&model, &step);
    }
    key_model_check(&model, round->db, NULL);
    crash_check_verify(round->db);
    crash_check_files(round->db, round->sim, directory);
    /* What is shown stays. */
    round->durable_step = round->written_step = shown;
}

/* ---- work ---- */

/* Logs a conflict window of some hundred keys: with the usual one the log would never be trimmed here. */
static void narrow_window(struct round *round) {
    pthread_mutex_lock(&round->db->sequence_mutex);
    bool narrow = round->db->shard.window.keys_max != CONFLICT_KEYS_DEFAULT;
    pthread_mutex_unlock(&round->db->sequence_mutex);
    if (narrow) return;
    uint8_t payload[2 * VARINT_BYTES_MAX];
    size_t size = varint_encode(payload, 16 + below(round, 300));
    size += varint_encode(payload + size, 1 << 17);
    uint64_t lsn;
    struct decision decision;
    assert_ok(engine_append(round->db, CHANGE_WINDOW, slice_of(payload, size), &lsn, &decision, &round->error),
              &round->error);
    assert_int_equal(decision.verdict, VERDICT_APPLIED);
}

/* Reads may fail on a dying machine; what they show is durable. */
static void read_counter(struct round *round) {
    struct plinth_space space;
    struct plinth_buffer value = {0};
    if (plinth_space_find(round->db, NULL, NULL, &space, &round->error)) return;
    enum plinth_status st = plinth_get(round->db, space, plinth_text("~counter"), NULL, &value, NULL, &round->error);
    uint64_t shown = 0;
    if (!st) {
        assert_int_equal(value.size, sizeof shown);
        memcpy(&shown, value.data, sizeof shown);
    }
    plinth_buffer_deinit(&value);
    if (st && st != PLINTH_NOT_FOUND) {
        assert_true(round->dying);
        return;
    }
    if (shown < round->durable_step) fail_msg("a reader saw step %llu go back", (unsigned long long)shown);
    round->durable_step = larger(round->durable_step, shown);
    round->written_step = larger(round->written_step, shown);
}

/* False when the machine has died. */
static bool call_ended(struct round *round, enum plinth_status st) {
    if (!st) return true;
    if (!round->dying) assert_ok(st, &round->error);
    assert_true(round->error.text[0]);
    return false;
}

static bool write_step(struct round *round, enum plinth_durability durability) {
    struct plinth_write_options options = {.durability = durability};
    struct key_model_step step = key_model_step_of(round->seed, ++round->last_number);
    assert_true(round->history_count < STEPS_MAX);
    round->history[round->history_count++] = step.number;
    round->tally->steps++;
    if (!call_ended(round, key_model_write(round->db, &step, &options, NULL, &round->error))) return false;
    if (durability == PLINTH_DURABILITY_SYNCED) round->durable_step = step.number;
    if (durability >= PLINTH_DURABILITY_WRITTEN) round->written_step = step.number;
    return true;
}

static enum plinth_durability choose_durability(struct round *round, uint64_t taste) {
    if (taste == 0) return PLINTH_DURABILITY_SYNCED;
    return (enum plinth_durability)(PLINTH_DURABILITY_BUFFERED + below(round, 3));
}

static void work(struct round *round) {
    uint64_t steps = 20 + below(round, 250), taste = below(round, 3);
    for (uint64_t i = 0; i < steps; i++) {
        if (!write_step(round, choose_durability(round, taste))) return;
        uint64_t dice = below(round, 200);
        if (dice < 5 && !call_ended(round, plinth_flush(round->db, &round->error))) return;
        if (dice == 5 && !call_ended(round, plinth_compact(round->db, &round->error))) return;
        if (dice > 190) read_counter(round);
    }
}

static void add_to_tally(struct round *round) {
    struct plinth_stats stats;
    plinth_stats_read(round->db, &stats);
    round->tally->flushes += stats.flushes;
    round->tally->compactions += stats.compactions;
    round->tally->checkpoints += stats.checkpoints;
    struct log_stats log;
    log_stats(round->db->log, &log);
    round->tally->trimmed_logs += log.first_lsn > 1;
}

/* ---- cycles ---- */

/* Opening itself is cut off, now and then several times in a row. */
static void open_and_die(struct round *round) {
    while (below(round, 3) == 0) {
        die_after(round, below(round, 80));
        if (open_db(round)) {
            assert_null(round->db);
            assert_true(round->error.text[0]);
            round->tally->failed_opens++;
        }
        power_cut_or_kill(round);
    }
}

static void end_cycle(struct round *round) {
    uint64_t how = below(round, 4);
    if (round->dying || how) {
        power_cut_or_kill(round);
        return;
    }
    bool whole = below(round, 2);
    if (!whole) die_after(round, below(round, 12));
    uint64_t last = round->history_count ? round->history[round->history_count - 1] : 0;
    close_db(round);
    if (whole) round->durable_step = round->written_step = last;
    round->tally->closes++;
    if (!whole || below(round, 2)) power_cut(round);
}

static void run_cycle(struct round *round) {
    static const uint64_t calls_left[] = {10, 60, 400, 4000};
    crash_watch(WATCH_SECONDS, round->seed);
    open_and_die(round);
    assert_ok(open_db(round), &round->error);
    round->tally->opens++;
    compare(round);
    narrow_window(round);
    if (below(round, 3)) die_after(round, below(round, calls_left[below(round, 4)]));
    work(round);
    add_to_tally(round);
    end_cycle(round);
}

void crash_round_run(uint64_t seed, uint64_t cycles, const struct crash_mutation *mutation, struct crash_tally *tally) {
    struct crash_tally ignored = {0};
    struct round *round = calloc(1, sizeof *round);
    assert_non_null(round);
    round->seed = seed;
    round->random = test_random_of(seed * 2654435761u + 1);
    round->mutation = mutation;
    round->tally = tally ? tally : &ignored;
    round->sim = sim_env_create(seed);
    arm_mutation(round);
    for (uint64_t i = 0; i < cycles; i++) run_cycle(round);
    /* All that was left is whole, and stays so when everything is closed and merged. */
    assert_ok(open_db(round), &round->error);
    compare(round);
    assert_ok(plinth_compact(round->db, &round->error), &round->error);
    compare(round);
    close_db(round);
    sim_env_destroy(round->sim);
    crash_watch(0, seed);
    free(round);
}
