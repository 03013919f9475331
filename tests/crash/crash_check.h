/* What every crash test asks of an engine that has just been opened, and how the tests take their orders.
 *
 * A seed fixes the workload, the sizes, the moment of the crash (the number of a call) and what the disk keeps. It
 * does not fix how the engine's threads take turns: a failure that does not come back at once comes back within some
 * repeats of its seed. */
#ifndef PLINTH_TESTS_CRASH_CHECK_H
#define PLINTH_TESTS_CRASH_CHECK_H

#include "plinth.h"
#include "support/sim_env.h"
#include "support/test_support.h"

/* --seed S --rounds N --cycles C; else $PLINTH_SEED, $PLINTH_CRASH_ROUNDS and the test's own. Round r of seed S is
 * round 0 of seed S + r, so that any round is repeated alone. */
struct crash_options {
    uint64_t seed;
    uint64_t rounds;
    uint64_t cycles; /* crashes a round */
    uint64_t cost;   /* of a round, in rounds of $PLINTH_CRASH_ROUNDS; 0: one */
};

/* Fills in what the command line and the environment say; exits with 2 when they make no sense. */
void crash_options_read(struct crash_options *options, int argc, char **argv);

/* Every object of the directory is read and checked; a finding fails the test with its text. */
void crash_check_verify(struct plinth *db);
/* Every file below <path>/store/segments is in the manifest, is declared garbage, or belongs to a job under way; and,
 * when the engine was `just_opened`, no job of a former life is left. */
void crash_check_files(struct plinth *db, struct sim_env *sim, const char *path, bool just_opened);
/* The process ends with a message after this; 0: never. */
void crash_watch(unsigned seconds, uint64_t seed);

/* Runs `round` for each seed as one test; after a failure says how to repeat the round. The exit code. */
int crash_run_rounds(const char *program, const struct crash_options *options, void (*round)(uint64_t seed));

#endif
