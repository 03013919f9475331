#include "crash/crash_machine.h"

#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "support/key_model.h"
#include "support/table_model.h"

struct crash_machine *crash_machine_create(uint64_t seed) {
    struct crash_machine *machine = calloc(1, sizeof *machine);
    assert_non_null(machine);
    machine->seed = seed;
    machine->sim = sim_env_create(seed);
    return machine;
}

void crash_machine_destroy(struct crash_machine *machine) {
    assert_null(machine->db);
    sim_env_destroy(machine->sim);
    free(machine);
}

/* ---- the process and the machine ---- */

enum plinth_status crash_machine_open(struct crash_machine *machine, const struct plinth_options *options) {
    /* Small enough that merges take many steps, and move segments. */
    struct engine_parts parts = {.env = sim_env_base(machine->sim),
                                 .sizes = {.segment_raw_bytes_max = 2048,
                                           .step_bytes = 6000,
                                           .move_bytes_min = 1000,
                                           .value_bytes_min = machine->with_values ? 200 : 0}};
    enum plinth_status st = engine_open(CRASH_DIRECTORY, options, &parts, &machine->db, &machine->error);
    assert_true(!st == (machine->db != NULL));
    if (st) assert_true(machine->error.text[0]);
    machine->just_opened = true;
    return st;
}

void crash_machine_close(struct crash_machine *machine) {
    plinth_close(machine->db);
    machine->db = NULL;
}

void crash_machine_kill(struct crash_machine *machine) {
    crash_machine_close(machine);
    sim_env_heal(machine->sim);
}

void crash_machine_cut_power(struct crash_machine *machine, uint64_t seed) {
    crash_machine_close(machine);
    sim_env_crash(machine->sim, seed);
    machine->written_step = machine->durable_step;
}

void crash_machine_note_all_durable(struct crash_machine *machine) {
    if (machine->history_count)
        machine->durable_step = machine->written_step = machine->history[machine->history_count - 1];
}

/* ---- steps ---- */

/* One step in three, when there are tables. */
static bool is_table_step(const struct crash_machine *machine, uint64_t number) {
    struct test_random random = test_random_of(machine->seed * 31 + number);
    return machine->with_tables && test_random_below(&random, 3) == 0;
}

static enum plinth_status write_rows(struct crash_machine *machine, uint64_t number,
                                     enum plinth_durability durability) {
    struct table_step step = table_step_of(machine->seed, number);
    bool duplicate = false, again;
    enum plinth_status st =
        table_model_write(machine->db, machine->seed, &step, durability, &duplicate, &machine->error);
    assert_false(duplicate);
    if (!st && number % 8 == 0) { /* sent twice, it is there once */
        st = table_model_write(machine->db, machine->seed, &step, durability, &again, &machine->error);
        if (!st) assert_true(again);
        if (st) st = PLINTH_OUTCOME_UNKNOWN;
    }
    if (st && step.kind == TABLE_STEP_EVENTS) machine->unfinished = number;
    return st;
}

/* Of a batch of several records some may be in the log: nothing else is written before the rest. */
static enum plinth_status finish_step(struct crash_machine *machine) {
    if (!machine->unfinished) return PLINTH_OK;
    bool duplicate;
    struct table_step step = table_step_of(machine->seed, machine->unfinished);
    enum plinth_status st = table_model_prepare(machine->db, &machine->error);
    if (!st)
        st =
            table_model_write(machine->db, machine->seed, &step, PLINTH_DURABILITY_SYNCED, &duplicate, &machine->error);
    if (!st) machine->unfinished = 0;
    return st;
}

static enum plinth_status write_keys(struct crash_machine *machine, uint64_t number,
                                     enum plinth_durability durability) {
    struct plinth_write_options options = {.durability = durability};
    struct key_model_step step = key_model_step_of(machine->seed, number);
    return key_model_write(machine->db, &step, &options, NULL, &machine->error);
}

enum plinth_status crash_machine_write(struct crash_machine *machine, enum plinth_durability durability) {
    enum plinth_status st = finish_step(machine);
    if (st) return st;
    uint64_t number = ++machine->last_number;
    if (is_table_step(machine, number)) st = table_model_prepare(machine->db, &machine->error);
    if (st) return st;
    assert_true(machine->history_count < CRASH_STEPS_MAX);
    machine->history[machine->history_count++] = number;
    machine->just_opened = false;
    st = is_table_step(machine, number) ? write_rows(machine, number, durability)
                                        : write_keys(machine, number, durability);
    if (st) {
        assert_true(machine->error.text[0]);
        if (st != PLINTH_OUTCOME_UNKNOWN && !machine->unfinished) machine->history_count--;
        return st;
    }
    if (durability == PLINTH_DURABILITY_SYNCED) machine->durable_step = number;
    if (durability >= PLINTH_DURABILITY_WRITTEN) machine->written_step = number;
    return PLINTH_OK;
}

/* The number of the last step that a reader sees. */
static enum plinth_status read_counter(struct crash_machine *machine, uint64_t *shown) {
    struct plinth_space space;
    struct plinth_buffer value = {0};
    enum plinth_status st = plinth_space_find(machine->db, NULL, NULL, &space, &machine->error);
    if (!st) st = plinth_get(machine->db, space, plinth_text("~counter"), NULL, &value, NULL, &machine->error);
    *shown = 0;
    if (!st) {
        assert_int_equal(value.size, sizeof *shown);
        memcpy(shown, value.data, sizeof *shown);
    }
    plinth_buffer_deinit(&value);
    return st == PLINTH_NOT_FOUND ? PLINTH_OK : st;
}

enum plinth_status crash_machine_read(struct crash_machine *machine) {
    uint64_t shown;
    enum plinth_status st = read_counter(machine, &shown);
    if (st) return st;
    uint64_t wanted = 0; /* the last acknowledged step that wrote keys */
    for (size_t i = machine->history_count; i > 0 && !wanted; i--)
        if (machine->history[i - 1] <= machine->durable_step && !is_table_step(machine, machine->history[i - 1]))
            wanted = machine->history[i - 1];
    if (shown < wanted)
        fail_msg("a reader saw step %llu after %llu", (unsigned long long)shown, (unsigned long long)wanted);
    if (machine->durable_step < shown) machine->durable_step = shown;
    if (machine->written_step < shown) machine->written_step = shown;
    return PLINTH_OK;
}

/* ---- comparing ---- */

/* The history ends with its first `kept` steps; the last one may be there in part. */
static void cut_history(struct crash_machine *machine, size_t kept, bool partial) {
    for (size_t i = kept; i < machine->history_count; i++)
        if (machine->history[i] <= machine->written_step)
            fail_msg("step %llu was acknowledged and is not shown", (unsigned long long)machine->history[i]);
    machine->lost_steps += machine->history_count - kept;
    machine->history_count = kept;
    /* What is shown stays. */
    size_t whole = kept - partial;
    machine->durable_step = machine->written_step = whole ? machine->history[whole - 1] : 0;
}

/* The steps up to the one whose number the keys show. */
static size_t find_step(const struct crash_machine *machine, uint64_t shown) {
    size_t kept = machine->history_count;
    while (kept && machine->history[kept - 1] != shown) kept--;
    if (shown && !kept) fail_msg("step %llu is shown, which is lost or was never made", (unsigned long long)shown);
    return kept;
}

/* The steps up to the one behind which the tables are as shown; at least `kept`, and no more that wrote keys.
 * `*partial` is set when only a part of the last one is there. */
static size_t find_table_step(const struct crash_machine *machine, size_t kept, const struct table_model *shown,
                              bool *partial) {
    struct table_model model = {0};
    size_t found = SIZE_MAX;
    *partial = false;
    for (size_t i = 0; i <= machine->history_count; i++) {
        if (i >= kept && table_model_equal(shown, &model)) found = i;
        if (i == machine->history_count) break;
        uint64_t number = machine->history[i];
        if (!is_table_step(machine, number)) {
            if (i >= kept) break;
            continue;
        }
        struct table_step step = table_step_of(machine->seed, number);
        if (i >= kept && found == SIZE_MAX && table_model_is_partial(shown, &model, &step)) {
            *partial = true;
            found = i + 1;
            break;
        }
        table_model_apply(&model, &step);
    }
    table_model_deinit(&model);
    if (found == SIZE_MAX) fail_msg("the tables are in a state that they never had");
    return found;
}

/* Sends the last step that wrote rows again: it is completed, or known to be there. A full disk may refuse it. */
static void send_again(struct crash_machine *machine, bool partial) {
    size_t at = machine->history_count;
    while (at && !is_table_step(machine, machine->history[at - 1])) at--;
    if (!at) return;
    bool duplicate;
    struct table_step step = table_step_of(machine->seed, machine->history[at - 1]);
    enum plinth_status st = table_model_prepare(machine->db, &machine->error);
    if (!st)
        st =
            table_model_write(machine->db, machine->seed, &step, PLINTH_DURABILITY_SYNCED, &duplicate, &machine->error);
    if (st == PLINTH_NO_SPACE) return;
    assert_ok(st, &machine->error);
    /* A delete of nothing shows nothing: it may be lost. */
    if (step.kind != TABLE_STEP_DELETE) assert_int_equal(duplicate, !partial);
    machine->partial_steps += partial;
    machine->unfinished = 0;
}

static void compare_tables(struct crash_machine *machine) {
    struct table_model model = {0}, shown;
    bool equal = false;
    assert_ok(table_model_read(machine->db, &shown, &machine->error), &machine->error);
    for (size_t i = 0; i < machine->history_count; i++) {
        if (!is_table_step(machine, machine->history[i])) continue;
        struct table_step step = table_step_of(machine->seed, machine->history[i]);
        if (machine->history[i] == machine->unfinished)
            equal = table_model_equal(&shown, &model) || table_model_is_partial(&shown, &model, &step);
        table_model_apply(&model, &step);
    }
    assert_true(equal || table_model_equal(&shown, &model));
    table_model_deinit(&shown);
    table_model_deinit(&model);
}

/* `*partial`: the last step of the history is there in part. */
static enum plinth_status settle(struct crash_machine *machine, bool *partial) {
    uint64_t counter;
    struct table_model shown = {0};
    *partial = false;
    enum plinth_status st = read_counter(machine, &counter);
    if (!st && machine->with_tables) st = table_model_read(machine->db, &shown, &machine->error);
    if (st) return st;
    size_t kept = find_step(machine, counter);
    if (machine->with_tables) kept = find_table_step(machine, kept, &shown, partial);
    table_model_deinit(&shown);
    if (*partial && machine->history[kept - 1] <= machine->written_step)
        fail_msg("step %llu was acknowledged and only a part of it is shown",
                 (unsigned long long)machine->history[kept - 1]);
    cut_history(machine, kept, *partial);
    machine->unfinished = *partial ? machine->history[kept - 1] : 0;
    return PLINTH_OK;
}

enum plinth_status crash_machine_settle(struct crash_machine *machine) {
    bool partial;
    return settle(machine, &partial);
}

void crash_machine_compare(struct crash_machine *machine) {
    bool partial;
    assert_ok(settle(machine, &partial), &machine->error);
    if (machine->with_tables) send_again(machine, partial);
    struct key_model model = {0};
    for (size_t i = 0; i < machine->history_count; i++) {
        if (is_table_step(machine, machine->history[i])) continue;
        struct key_model_step step = key_model_step_of(machine->seed, machine->history[i]);
        key_model_apply(&model, &step);
    }
    key_model_check(&model, machine->db, NULL);
    if (machine->with_tables) compare_tables(machine);
    crash_check_verify(machine->db);
    crash_check_files(machine->db, machine->sim, CRASH_DIRECTORY, machine->just_opened);
}

void crash_machine_narrow_window(struct crash_machine *machine, uint64_t keys) {
    pthread_mutex_lock(&machine->db->sequence_mutex);
    bool narrow = machine->db->shard.window.keys_max != CONFLICT_KEYS_DEFAULT;
    pthread_mutex_unlock(&machine->db->sequence_mutex);
    if (narrow) return;
    uint8_t payload[2 * VARINT_BYTES_MAX];
    size_t size = varint_encode(payload, keys);
    size += varint_encode(payload + size, 1 << 17);
    uint64_t lsn;
    struct decision decision;
    assert_ok(engine_append(machine->db, CHANGE_WINDOW, slice_of(payload, size), &lsn, &decision, &machine->error),
              &machine->error);
    assert_int_equal(decision.verdict, VERDICT_APPLIED);
}
