#include "crash/crash_round.h"

#include "crash/crash_machine.h"
#include "engine/engine.h"

enum { WATCH_SECONDS = 90 };

struct round {
    struct crash_machine *machine;
    struct test_random random;
    const struct crash_mutation *mutation;
    struct crash_tally *tally;
    bool dying; /* calls have begun to fail, or will */
};

static uint64_t below(struct round *round, uint64_t limit) { return test_random_below(&round->random, limit); }

/* ---- ends ---- */

static void arm_mutation(struct round *round) {
    const struct crash_mutation *mutation = round->mutation;
    if (!mutation || !mutation->part) return;
    if (mutation->directories)
        sim_env_ignore_directory_syncs_of(round->machine->sim, mutation->part);
    else
        sim_env_ignore_file_syncs_of(round->machine->sim, mutation->part);
}

/* After `skip` more calls nothing reaches the machine any more. */
static void die_after(struct round *round, uint64_t skip) {
    sim_env_fail(round->machine->sim, SIM_ANY, skip, PLINTH_IO_ERROR, true);
    round->dying = true;
}

static void power_cut(struct round *round) {
    if (!round->dying) die_after(round, 0);
    crash_machine_cut_power(round->machine, test_random_u64(&round->random));
    arm_mutation(round);
    round->dying = false;
    round->tally->power_cuts++;
}

static void kill_process(struct round *round) {
    if (!round->dying) die_after(round, 0);
    crash_machine_kill(round->machine);
    round->dying = false;
    round->tally->kills++;
}

static void power_cut_or_kill(struct round *round) {
    if (below(round, 4))
        power_cut(round);
    else
        kill_process(round);
}

/* In order, or cut off in the middle; and with the power gone right behind it, or not. */
static void close_in_order(struct round *round) {
    bool whole = below(round, 2);
    if (!whole) die_after(round, below(round, 12));
    crash_machine_close(round->machine);
    if (whole) crash_machine_note_all_durable(round->machine);
    round->tally->closes++;
    if (!whole || below(round, 2)) power_cut(round);
}

/* ---- work ---- */

static enum plinth_status open_db(struct round *round) {
    struct plinth_options options = {
        .memtable_bytes = 4096u << below(round, 5),
        .cache_bytes = 1 << 20,
        .log_segment_bytes = 16384u << below(round, 3),
        .log_sync_interval_ms = 1 + (uint32_t)below(round, 10),
        .no_background_compaction = below(round, 4) == 0,
    };
    return crash_machine_open(round->machine, &options);
}

/* False when the machine has died. */
static bool call_ended(struct round *round, enum plinth_status st) {
    struct plinth_error *error = &round->machine->error;
    if (!st) return true;
    if (!round->dying) assert_ok(st, error);
    assert_true(error->text[0]);
    return false;
}

static enum plinth_durability choose_durability(struct round *round, uint64_t taste) {
    if (taste == 0) return PLINTH_DURABILITY_SYNCED;
    return (enum plinth_durability)(PLINTH_DURABILITY_BUFFERED + below(round, 3));
}

static void work(struct round *round) {
    struct crash_machine *machine = round->machine;
    uint64_t steps = 20 + below(round, 250), taste = below(round, 3);
    for (uint64_t i = 0; i < steps; i++) {
        round->tally->steps++;
        if (!call_ended(round, crash_machine_write(machine, choose_durability(round, taste)))) return;
        uint64_t dice = below(round, 200);
        if (dice < 5 && !call_ended(round, plinth_flush(machine->db, &machine->error))) return;
        if (dice == 5 && !call_ended(round, plinth_compact(machine->db, &machine->error))) return;
        if (dice > 190 && !call_ended(round, crash_machine_read(machine))) return;
    }
}

static void add_to_tally(struct round *round) {
    struct plinth_stats stats;
    struct log_stats log;
    plinth_stats_read(round->machine->db, &stats);
    log_stats(round->machine->db->log, &log);
    round->tally->flushes += stats.flushes;
    round->tally->compactions += stats.compactions;
    round->tally->checkpoints += stats.checkpoints;
    round->tally->trimmed_logs += log.first_lsn > 1;
}

/* ---- cycles ---- */

/* Opening itself is cut off, now and then several times in a row. */
static void open_and_die(struct round *round) {
    while (below(round, 3) == 0) {
        die_after(round, below(round, 80));
        if (open_db(round)) round->tally->failed_opens++;
        power_cut_or_kill(round);
    }
}

static void run_cycle(struct round *round) {
    static const uint64_t calls_left[] = {10, 60, 400, 4000};
    crash_watch(WATCH_SECONDS, round->machine->seed);
    open_and_die(round);
    assert_ok(open_db(round), &round->machine->error);
    round->tally->opens++;
    crash_machine_compare(round->machine);
    crash_machine_narrow_window(round->machine, 16 + below(round, 300));
    if (below(round, 3)) die_after(round, below(round, calls_left[below(round, 4)]));
    work(round);
    add_to_tally(round);
    if (round->dying || below(round, 4))
        power_cut_or_kill(round);
    else
        close_in_order(round);
}

void crash_round_run(uint64_t seed, uint64_t cycles, const struct crash_mutation *mutation, struct crash_tally *tally) {
    struct crash_tally ignored = {0};
    struct round round = {.machine = crash_machine_create(seed),
                          .random = test_random_of(seed * 2654435761u + 1),
                          .mutation = mutation,
                          .tally = tally ? tally : &ignored};
    struct crash_machine *machine = round.machine;
    machine->with_tables = seed % 4 != 0;
    machine->with_values = seed % 3 == 0;
    arm_mutation(&round);
    for (uint64_t i = 0; i < cycles; i++) run_cycle(&round);
    /* All that was left is whole, and stays so when everything is merged. */
    assert_ok(open_db(&round), &machine->error);
    crash_machine_compare(machine);
    assert_ok(plinth_compact(machine->db, &machine->error), &machine->error);
    crash_machine_compare(machine);
    crash_machine_close(machine);
    round.tally->lost_steps += machine->lost_steps;
    round.tally->partial_steps += machine->partial_steps;
    crash_machine_destroy(machine);
    crash_watch(0, seed);
}
