#include "crash/crash_machine.h"

#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "support/key_model.h"

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
    struct engine_parts parts = {.env = sim_env_base(machine->sim)};
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

enum plinth_status crash_machine_write(struct crash_machine *machine, enum plinth_durability durability) {
    struct plinth_write_options options = {.durability = durability};
    struct key_model_step step = key_model_step_of(machine->seed, ++machine->last_number);
    assert_true(machine->history_count < CRASH_STEPS_MAX);
    machine->history[machine->history_count++] = step.number;
    machine->just_opened = false;
    enum plinth_status st = key_model_write(machine->db, &step, &options, NULL, &machine->error);
    if (st) {
        assert_true(machine->error.text[0]);
        if (st != PLINTH_OUTCOME_UNKNOWN) machine->history_count--;
        return st;
    }
    if (durability == PLINTH_DURABILITY_SYNCED) machine->durable_step = step.number;
    if (durability >= PLINTH_DURABILITY_WRITTEN) machine->written_step = step.number;
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
    if (shown < machine->durable_step)
        fail_msg("a reader saw step %llu after %llu", (unsigned long long)shown,
                 (unsigned long long)machine->durable_step);
    machine->durable_step = shown;
    if (machine->written_step < shown) machine->written_step = shown;
    return PLINTH_OK;
}

/* ---- comparing ---- */

/* The history ends with the step that the engine shows. */
static void cut_history(struct crash_machine *machine, uint64_t shown) {
    size_t kept = machine->history_count;
    while (kept && machine->history[kept - 1] != shown) kept--;
    if (shown && !kept) fail_msg("step %llu is shown, which is lost or was never made", (unsigned long long)shown);
    machine->lost_steps += machine->history_count - kept;
    machine->history_count = kept;
}

enum plinth_status crash_machine_settle(struct crash_machine *machine) {
    uint64_t shown;
    enum plinth_status st = read_counter(machine, &shown);
    if (st) return st;
    if (shown < machine->written_step)
        fail_msg("step %llu is shown; %llu was acknowledged", (unsigned long long)shown,
                 (unsigned long long)machine->written_step);
    cut_history(machine, shown);
    /* What is shown stays. */
    machine->durable_step = machine->written_step = shown;
    return PLINTH_OK;
}

void crash_machine_compare(struct crash_machine *machine) {
    assert_ok(crash_machine_settle(machine), &machine->error);
    struct key_model model = {0};
    for (size_t i = 0; i < machine->history_count; i++) {
        struct key_model_step step = key_model_step_of(machine->seed, machine->history[i]);
        key_model_apply(&model, &step);
    }
    key_model_check(&model, machine->db, NULL);
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
