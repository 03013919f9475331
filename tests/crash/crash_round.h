/* One round of simulated crashes: an engine on a simulated machine (support/sim_env.h) takes the steps of a key_model
 * until a random call is its last; the disk keeps what it would; the engine is opened again and compared with the
 * model; and so on, several crashes on the same disk.
 *
 * Ends of a cycle:
 *   power cut   synced bytes and names stay, of the rest a random part;
 *   kill        everything that calls had done stays for the next process, but is still not synced;
 *   close       with or without a power cut in the middle of it or right behind it.
 * Opening, too, is crashed in at random calls.
 *
 * What must hold after opening on a healthy machine: crash_machine.h.
 */
#ifndef PLINTH_TESTS_CRASH_ROUND_H
#define PLINTH_TESTS_CRASH_ROUND_H

#include "crash/crash_check.h"

/* A kind of sync that the machine acknowledges without doing it. */
struct crash_mutation {
    const char *name;
    const char *part; /* of the path; null: all syncs work */
    bool directories; /* syncs of directories instead of files */
};

/* What the rounds have met, to show that they were not all alike. */
struct crash_tally {
    uint64_t steps, power_cuts, kills, closes, failed_opens, opens, lost_steps, partial_steps;
    uint64_t flushes, compactions, checkpoints;
    uint64_t trimmed_logs; /* cycles in which the log had been trimmed */
};

/* Runs one round in the calling thread; failures are those of cmocka. */
void crash_round_run(uint64_t seed, uint64_t cycles, const struct crash_mutation *mutation, struct crash_tally *tally);

#endif
