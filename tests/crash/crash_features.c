/* Power cuts and kills under everything that goes on beside plain writes: transactions of several threads over keys and
 * rows, a table that is altered, indexes that are made, rebuilt and dropped, ranges that are deleted, keys that expire,
 * a change feed that is taken up again, flushes, merges, checkpoints and trims.
 *
 * Writers run crash_lists' transactions while the round's own thread does everything else, until a random call of the
 * simulated machine is the last one. After each opening on a healthy machine:
 *   - the follower of changes goes on where it was, and has then exactly what is there: no change is lost or doubled,
 *     none is there in part, none of a transaction that lost;
 *   - everything acknowledged is there, and all transactions of all lives are as if done one after the other;
 *   - the table has the columns of the last alteration that was acknowledged, or of the one that was under way, with
 *     their defaults; the index is there, or not, likewise;
 *   - verify finds nothing, and no file belongs to nothing. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crash/crash_lists.h"
#include "crash/crash_machine.h"
#include "engine/engine.h"
#include "plinth_jobs.h"

enum { WATCH_SECONDS = 90, HISTORY = 4096, ATTEMPTS = 25, BUILD_WAIT_MS = 20000 };
#define INDEX "by_money"

static struct crash_options options = {.seed = 1, .rounds = 10, .cycles = 5, .cost = 4};

static struct {
    uint64_t committed, refused, lost, power_cuts, kills, closes, failed_opens, changes;
    uint64_t alterations, index_changes, built, flushes, merges, checkpoints, trimmed;
} tally;

enum index_change { INDEX_UNCHANGED, INDEX_MAKE, INDEX_REBUILD, INDEX_DROP };

struct round {
    struct crash_machine *machine;
    struct test_random random;
    bool dying; /* calls have begun to fail, or will */
    struct list_history history;
    struct follower follower;
    /* The alterations so far: column j = n / 4 comes with a default, is widened, is renamed, and goes. */
    uint64_t alterations;
    bool altering; /* one more may be there */
    bool indexed;
    enum index_change changing; /* may be done */
    atomic_uint running;        /* writers */
    struct plinth_error error;
};

static uint64_t below(struct round *round, uint64_t limit) { return test_random_below(&round->random, limit); }
static uint64_t now_us(struct round *round) { return env_wall_time_us(sim_env_base(round->machine->sim)); }

/* ---- ends ---- */

/* After `skip` more calls nothing reaches the machine any more. */
static void die_after(struct round *round, uint64_t skip) {
    sim_env_fail(round->machine->sim, SIM_ANY, skip, PLINTH_IO_ERROR, true);
    round->dying = true;
}

static void power_cut_or_kill(struct round *round) {
    if (!round->dying) die_after(round, 0);
    if (below(round, 4)) {
        crash_machine_cut_power(round->machine, test_random_u64(&round->random));
        tally.power_cuts++;
    } else {
        crash_machine_kill(round->machine);
        tally.kills++;
    }
    round->dying = false;
}

static void close_in_order(struct round *round) {
    bool whole = below(round, 2);
    if (!whole) die_after(round, below(round, 12));
    crash_machine_close(round->machine);
    tally.closes++;
    if (!whole || below(round, 2)) power_cut_or_kill(round);
}

static enum plinth_status open_db(struct round *round) {
    struct plinth_options opened = {
        .memtable_bytes = 8192u << below(round, 4),
        .cache_bytes = 1 << 20,
        .log_segment_bytes = 16384u << below(round, 3),
        .log_sync_interval_ms = 1 + (uint32_t)below(round, 10),
        .no_background_compaction = below(round, 4) == 0,
    };
    return crash_machine_open(round->machine, &opened);
}

/* ---- writers ---- */

struct writer {
    struct round *round;
    pthread_t thread;
    uint64_t seed;
    uint32_t number;
    enum plinth_status status;
    struct plinth_error error;
};

static void *write_lists(void *argument) {
    struct writer *writer = argument;
    struct round *round = writer->round;
    struct test_random random = test_random_of(writer->seed);
    uint64_t attempts = 1 + test_random_below(&random, ATTEMPTS);
    for (uint64_t i = 0; i < attempts && !writer->status; i++)
        writer->status =
            lists_attempt(round->machine->db, &round->history, writer->number, now_us(round), &random, &writer->error);
    round->running--;
    return NULL;
}

/* ---- alterations ---- */

static void name_column(uint64_t column, bool renamed, char name[32]) {
    snprintf(name, 32, "%s%" PRIu64, renamed ? "r" : "c", column);
}

static enum plinth_status alter(struct round *round) {
    uint64_t column = round->alterations / 4;
    char name[32], new_name[32], value[32];
    bool renamed = round->alterations % 4 == 3;
    name_column(column, renamed, name);
    name_column(column, true, new_name);
    snprintf(value, sizeof value, "%" PRIu64, column);
    struct plinth_alteration steps[] = {
        {.kind = PLINTH_ADD_COLUMN, .column = name, .type = "int16", .not_null = true, .default_value = value},
        {.kind = PLINTH_WIDEN_COLUMN, .column = name, .type = "int32"},
        {.kind = PLINTH_RENAME_COLUMN, .column = name, .new_name = new_name},
        {.kind = PLINTH_DROP_COLUMN, .column = name}};
    round->altering = true;
    enum plinth_status st =
        plinth_table_alter(round->machine->db, NULL, LISTS_TABLE, &steps[round->alterations % 4], 1, &round->error);
    if (st) return st;
    round->altering = false;
    round->alterations++;
    tally.alterations++;
    return PLINTH_OK;
}

/* Whether the table is as so many alterations leave it. */
static bool is_altered(const struct plinth_table_definition *table, uint64_t alterations) {
    static const char *const types[] = {"", "int16", "int32", "int32"};
    uint64_t phase = alterations % 4;
    char name[32];
    if (!phase) return table->column_count == LISTS_COLUMNS;
    name_column(alterations / 4, phase == 3, name);
    return table->column_count == LISTS_COLUMNS + 1 && strcmp(table->columns[LISTS_COLUMNS].name, name) == 0 &&
           strcmp(table->columns[LISTS_COLUMNS].type, types[phase]) == 0;
}

static void check_columns(struct round *round, const struct plinth_table_definition *table) {
    if (round->altering && is_altered(table, round->alterations + 1)) round->alterations++;
    round->altering = false;
    if (!is_altered(table, round->alterations))
        fail_msg("the table has %zu columns, the last %s, after %" PRIu64 " alterations", table->column_count,
                 table->columns[table->column_count - 1].name, round->alterations);
    if (round->alterations % 4 == 0) return;
    char name[32], where[128];
    uint64_t others;
    name_column(round->alterations / 4, round->alterations % 4 == 3, name);
    snprintf(where, sizeof where, "%s <> %" PRIu64 " OR %s IS NULL", name, round->alterations / 4, name);
    assert_ok(lists_count_rows(round->machine->db, where, &others, &round->error), &round->error);
    assert_int_equal(others, 0);
}

/* ---- the index ---- */

/* That of the claims stays: it is rebuilt. */
static enum plinth_status rebuild_unique(struct round *round) {
    enum plinth_status st =
        plinth_table_index_rebuild(round->machine->db, NULL, CLAIMS_TABLE, CLAIMS_INDEX, true, &round->error);
    if (st == PLINTH_INVALID_ARGUMENT) st = PLINTH_OK; /* it is being built */
    tally.index_changes += !st;
    return st;
}

static enum plinth_status change_index(struct round *round) {
    static const char *const money[] = {"money"};
    static const struct plinth_index index = {
        .name = INDEX, .kind = PLINTH_INDEX_SORTED, .columns = money, .column_count = 1};
    struct plinth *db = round->machine->db;
    enum plinth_status st;
    round->changing = !round->indexed ? INDEX_MAKE : below(round, 3) ? INDEX_REBUILD : INDEX_DROP;
    if (round->changing == INDEX_MAKE)
        st = plinth_table_index_begin(db, NULL, LISTS_TABLE, &index, &round->error);
    else if (round->changing == INDEX_REBUILD)
        st = plinth_table_index_rebuild(db, NULL, LISTS_TABLE, INDEX, true, &round->error);
    else
        st = plinth_table_index_drop(db, NULL, LISTS_TABLE, INDEX, &round->error);
    if (round->changing == INDEX_REBUILD && st == PLINTH_INVALID_ARGUMENT) st = PLINTH_OK; /* it is being built */
    if (st) return st;
    if (round->changing != INDEX_REBUILD) round->indexed = round->changing == INDEX_MAKE;
    round->changing = INDEX_UNCHANGED;
    tally.index_changes++;
    return PLINTH_OK;
}

static const struct plinth_index *find_index(const struct plinth_table_description *table, const char *name) {
    for (size_t i = 0; i < table->index_count; i++)
        if (strcmp(table->indexes[i].name, name) == 0) return &table->indexes[i];
    return NULL;
}

static void check_index(struct round *round, const struct plinth_table_description *table) {
    bool there = find_index(table, INDEX) != NULL;
    bool may_differ = round->changing == INDEX_MAKE || round->changing == INDEX_DROP;
    if (there != round->indexed && !may_differ) fail_msg("the index is %s", there ? "there" : "gone");
    if (!there) assert_null(find_index(table, INDEX ".rebuild"));
    round->indexed = there;
    round->changing = INDEX_UNCHANGED;
}

/* A build that was cut off goes on to its end. */
static void wait_for_index(struct round *round) {
    for (int i = 0; round->indexed; i++) {
        struct plinth_table_description table;
        assert_ok(plinth_table_describe(round->machine->db, NULL, LISTS_TABLE, &table, &round->error), &round->error);
        const struct plinth_index *index = find_index(&table, INDEX);
        assert_non_null(index);
        bool ready = index->state == PLINTH_INDEX_READY && !find_index(&table, INDEX ".rebuild");
        plinth_table_description_deinit(&table);
        if (ready) break;
        if (i == BUILD_WAIT_MS) fail_msg("the index is not built within %d s", BUILD_WAIT_MS / 1000);
        usleep(1000);
    }
    tally.built += round->indexed;
}

/* ---- after opening ---- */

static void compare_table(struct round *round) {
    struct plinth_table_description table;
    assert_ok(plinth_table_describe(round->machine->db, NULL, LISTS_TABLE, &table, &round->error), &round->error);
    check_columns(round, &table.definition);
    check_index(round, &table);
    plinth_table_description_deinit(&table);
}

static void compare(struct round *round) {
    static struct lists_state shown;
    struct list_elements elements[LISTS];
    struct plinth *db = round->machine->db;
    assert_ok(follower_catch_up(&round->follower, db, &round->error), &round->error);
    assert_ok(lists_read(db, &shown, &round->error), &round->error);
    follower_check(&round->follower, &shown, now_us(round));
    lists_elements(&shown, elements);
    uint64_t unknown = 0;
    for (uint32_t i = 0; i < round->history.count; i++) unknown += round->history.events[i].outcome == LIST_UNKNOWN;
    list_history_settle(&round->history, elements, LISTS);
    list_history_check(&round->history, elements, LISTS);
    compare_table(round);
    if (below(round, 3) == 0) wait_for_index(round);
    crash_check_verify(db);
    crash_check_files(db, round->machine->sim, CRASH_DIRECTORY, round->machine->just_opened);
    round->machine->just_opened = false;
    tally.lost += unknown;
}

/* ---- work ---- */

static enum plinth_status act(struct round *round) {
    struct plinth *db = round->machine->db;
    struct plinth_error *error = &round->error;
    switch (below(round, 16)) {
    case 0:
    case 1: return plinth_flush(db, error);
    case 2: return below(round, 4) ? PLINTH_OK : plinth_compact(db, error);
    case 3:
    case 4: return alter(round);
    case 5: return below(round, 3) ? change_index(round) : rebuild_unique(round);
    case 6: return change_index(round);
    case 7:
    case 8: return lists_make_noise(db, now_us(round), &round->random, error);
    case 9:
    case 10: return follower_catch_up(&round->follower, db, error);
    case 11: return follower_move_snapshot(&round->follower, db, error);
    case 12: return plinth_jobs_run(db, below(round, 2) ? PLINTH_JOB_CHECKPOINT : PLINTH_JOB_TRIM, error);
    default: sim_env_advance_us(round->machine->sim, below(round, 300000)); return PLINTH_OK;
    }
}

static void work(struct round *round) {
    struct writer writers[LISTS_WRITERS] = {0};
    round->running = LISTS_WRITERS;
    for (uint32_t i = 0; i < LISTS_WRITERS; i++) {
        writers[i] = (struct writer){.round = round, .number = i, .seed = test_random_u64(&round->random)};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_lists, &writers[i]), 0);
    }
    enum plinth_status st = PLINTH_OK;
    for (uint64_t i = 0, actions = below(round, 30); !st && (round->running || i < actions); i++) {
        st = act(round);
        usleep((useconds_t)below(round, 300));
    }
    for (int i = 0; i < LISTS_WRITERS; i++) pthread_join(writers[i].thread, NULL);
    if (round->dying) return;
    assert_ok(st, &round->error);
    for (int i = 0; i < LISTS_WRITERS; i++) assert_ok(writers[i].status, &writers[i].error);
}

static void add_to_tally(struct round *round) {
    struct plinth_stats stats;
    struct log_stats log;
    plinth_stats_read(round->machine->db, &stats);
    log_stats(round->machine->db->log, &log);
    tally.flushes += stats.flushes;
    tally.merges += stats.compactions;
    tally.checkpoints += stats.checkpoints;
    tally.trimmed += log.first_lsn > 1;
}

/* ---- cycles ---- */

static void open_and_die(struct round *round) {
    while (below(round, 3) == 0) {
        die_after(round, below(round, 80));
        tally.failed_opens += open_db(round) != PLINTH_OK;
        power_cut_or_kill(round);
    }
}

static void run_cycle(struct round *round) {
    static const uint64_t calls_left[] = {20, 100, 400, 2000};
    crash_watch(WATCH_SECONDS, round->machine->seed);
    open_and_die(round);
    assert_ok(open_db(round), &round->machine->error);
    compare(round);
    if (below(round, 4)) die_after(round, below(round, calls_left[below(round, 4)]));
    work(round);
    add_to_tally(round);
    if (round->dying || below(round, 4))
        power_cut_or_kill(round);
    else
        close_in_order(round);
}

static void round_of(uint64_t seed) {
    struct round *round = calloc(1, sizeof *round);
    assert_non_null(round);
    round->machine = crash_machine_create(seed);
    round->random = test_random_of(seed * 2654435761u + 3);
    list_history_init(&round->history, HISTORY);
    assert_ok(open_db(round), &round->machine->error);
    lists_create(round->machine->db, now_us(round));
    follower_init(&round->follower, round->machine->db);
    crash_machine_narrow_window(round->machine, 200 + below(round, 300));
    crash_machine_close(round->machine);
    for (uint64_t i = 0; i < options.cycles; i++) run_cycle(round);
    assert_ok(open_db(round), &round->machine->error);
    compare(round);
    wait_for_index(round);
    assert_ok(plinth_compact(round->machine->db, &round->error), &round->error);
    compare(round);
    for (uint32_t i = 0; i < round->history.count; i++) {
        tally.committed += round->history.events[i].outcome == LIST_COMMITTED;
        tally.refused += round->history.events[i].outcome == LIST_REFUSED;
    }
    tally.changes += round->follower.changes;
    crash_machine_close(round->machine);
    crash_machine_destroy(round->machine);
    list_history_deinit(&round->history);
    free(round);
    crash_watch(0, seed);
}

int main(int argc, char **argv) {
    crash_options_read(&options, argc, argv);
    int failed = crash_run_rounds(argv[0], &options, round_of);
    printf("committed=%" PRIu64 " refused=%" PRIu64 " unknown=%" PRIu64 " changes=%" PRIu64 " power_cuts=%" PRIu64
           " kills=%" PRIu64 " closes=%" PRIu64 " failed_opens=%" PRIu64 " alterations=%" PRIu64
           " index_changes=%" PRIu64 " built=%" PRIu64 " flushes=%" PRIu64 " merges=%" PRIu64 " checkpoints=%" PRIu64
           " trimmed_logs=%" PRIu64 "\n",
           tally.committed, tally.refused, tally.lost, tally.changes, tally.power_cuts, tally.kills, tally.closes,
           tally.failed_opens, tally.alterations, tally.index_changes, tally.built, tally.flushes, tally.merges,
           tally.checkpoints, tally.trimmed);
    fflush(NULL);
    _exit(failed); /* a failed round leaves threads behind */
}
