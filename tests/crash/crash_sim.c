/* Power cuts and kills at random calls on a simulated machine: crash_round.h. */
#include <inttypes.h>
#include <stdio.h>

#include "crash/crash_round.h"

static struct crash_options options = {.seed = 1, .rounds = 40, .cycles = 6};
static struct crash_tally tally;

static void round_of(uint64_t seed) { crash_round_run(seed, options.cycles, NULL, &tally); }

int main(int argc, char **argv) {
    crash_options_read(&options, argc, argv);
    int failed = crash_run_rounds(argv[0], &options, round_of);
    printf("steps=%" PRIu64 " lost=%" PRIu64 " partial=%" PRIu64 " opens=%" PRIu64 " failed_opens=%" PRIu64
           " power_cuts=%" PRIu64 " kills=%" PRIu64 " closes=%" PRIu64 " flushes=%" PRIu64 " compactions=%" PRIu64
           " checkpoints=%" PRIu64 " trimmed_logs=%" PRIu64 "\n",
           tally.steps, tally.lost_steps, tally.partial_steps, tally.opens, tally.failed_opens, tally.power_cuts,
           tally.kills, tally.closes, tally.flushes, tally.compactions, tally.checkpoints, tally.trimmed_logs);
    fflush(NULL);
    return failed;
}
