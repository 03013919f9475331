/* An engine on a simulated machine, and the history of what it was given: the model that it is compared with after
 * each opening. Failures are those of cmocka. */
#ifndef PLINTH_TESTS_CRASH_MACHINE_H
#define PLINTH_TESTS_CRASH_MACHINE_H

#include "crash/crash_check.h"

enum { CRASH_STEPS_MAX = 1 << 16 };
#define CRASH_DIRECTORY "/db"

struct crash_machine {
    struct sim_env *sim;
    struct plinth *db; /* null while closed */
    bool just_opened;  /* nothing was written since */
    bool with_tables;  /* one step in three writes to typed tables (support/table_model.h), the others keys */
    bool with_values;  /* a third of the values of keys lie in the store */
    uint64_t seed;
    /* The steps that the engine was given and may have kept, in order. */
    uint64_t history[CRASH_STEPS_MAX];
    size_t history_count;
    uint64_t last_number;
    /* Steps that must be there after a power cut, and after the end of the process. */
    uint64_t durable_step, written_step;
    uint64_t unfinished;    /* the last step, when only a part of it may be there: it is sent again first; or 0 */
    uint64_t lost_steps;    /* unacknowledged ones that a crash took */
    uint64_t partial_steps; /* batches of which a crash left the first records, and which were sent again */
    struct plinth_error error;
};

struct crash_machine *crash_machine_create(uint64_t seed);
/* The engine is closed before. */
void crash_machine_destroy(struct crash_machine *machine);

enum plinth_status crash_machine_open(struct crash_machine *machine, const struct plinth_options *options);
void crash_machine_close(struct crash_machine *machine);
/* Ends a process whose calls fail by now: what its calls had done stays for the next one, but is not synced. */
void crash_machine_kill(struct crash_machine *machine);
/* Synced bytes and names stay, of the rest a part that `seed` chooses. */
void crash_machine_cut_power(struct crash_machine *machine, uint64_t seed);
/* The process has ended in order: everything it was given is durable. */
void crash_machine_note_all_durable(struct crash_machine *machine);

/* The next step, noted as acknowledged when it is. A step that failed for certain is no part of the history; the
 * outcome of one that fails with PLINTH_OUTCOME_UNKNOWN, or while the machine dies, is the next opening's to show. */
enum plinth_status crash_machine_write(struct crash_machine *machine, enum plinth_durability durability);
/* Lets a reader see the last step; that it was shown must then hold. Fails on a dying machine. */
enum plinth_status crash_machine_read(struct crash_machine *machine);

/* After opening: lets the history end with the step that is shown, which must not be before the acknowledged one.
 * Without tables. */
enum plinth_status crash_machine_settle(struct crash_machine *machine);
/* After opening on a healthy machine: the state is that after some step of the history, not before the acknowledged
 * one; gets, scans and indexes show exactly that state; verify finds nothing; no file is left that belongs to
 * nothing. Steps lost in a crash keep their numbers, so that one that comes back later is noticed. A batch of rows of
 * which the crash left the first records is sent again and is then there once; so is the last one that was whole. */
void crash_machine_compare(struct crash_machine *machine);

/* Logs a conflict window of `keys` keys, if it still has the usual size, with which short tests never trim the log. */
void crash_machine_narrow_window(struct crash_machine *machine, uint64_t keys);

#endif
