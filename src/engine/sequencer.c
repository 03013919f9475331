#include "engine/sequencer.h"

#include <sched.h>
#include <stdlib.h>

bool sequencer_init(struct sequencer *sequencer, uint64_t applied, const atomic_bool *stopped) {
    sequencer->stopped = stopped;
    sequencer->done = calloc(SEQUENCER_SLOTS, sizeof *sequencer->done);
    atomic_init(&sequencer->applied, applied);
    return sequencer->done != NULL;
}

void sequencer_deinit(struct sequencer *sequencer) {
    free(sequencer->done);
    sequencer->done = NULL;
}

static void pause_a_moment(unsigned *round) {
    if (++*round < 64) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    } else {
        sched_yield();
    }
}

bool sequencer_reserve(struct sequencer *sequencer, uint64_t lsn) {
    for (unsigned round = 0; lsn > sequencer_applied(sequencer) + SEQUENCER_SLOTS;) {
        if (atomic_load(sequencer->stopped)) return false;
        pause_a_moment(&round);
    }
    return true;
}

void sequencer_done(struct sequencer *sequencer, uint64_t lsn) {
    /* Sequentially consistent: a thread that marks its slot and one that moves the watermark must not miss each other.
     */
    atomic_store(&sequencer->done[lsn % SEQUENCER_SLOTS], lsn);
    uint64_t applied = atomic_load(&sequencer->applied);
    while (atomic_load(&sequencer->done[(applied + 1) % SEQUENCER_SLOTS]) == applied + 1) {
        if (atomic_compare_exchange_strong(&sequencer->applied, &applied, applied + 1)) applied++;
    }
}

bool sequencer_wait(struct sequencer *sequencer, uint64_t lsn) {
    for (unsigned round = 0; sequencer_applied(sequencer) < lsn;) {
        if (atomic_load(sequencer->stopped)) return false;
        pause_a_moment(&round);
    }
    return true;
}
