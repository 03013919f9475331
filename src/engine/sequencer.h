/* The applied LSN: up to where every record's rows are in their memtables.
 *
 * Records are decided one after the other, but writers insert their rows in parallel and finish in any order. Each says
 * so with sequencer_done; the watermark moves over what is done without gaps. A ring of SEQUENCER_SLOTS marks bounds
 * how far ahead a writer may be: sequencer_reserve waits until its slot is free. */
#ifndef PLINTH_ENGINE_SEQUENCER_H
#define PLINTH_ENGINE_SEQUENCER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { SEQUENCER_SLOTS = 1 << 15 };

struct sequencer {
    _Atomic uint64_t applied;
    _Atomic uint64_t *done;     /* slot of lsn: lsn % SEQUENCER_SLOTS, holding the last LSN that was done there */
    const atomic_bool *stopped; /* once true, no wait will be answered: waits give up */
};

/* Everything up to `applied` counts as done. `stopped` must outlive the sequencer. False when memory is out. */
bool sequencer_init(struct sequencer *sequencer, uint64_t applied, const atomic_bool *stopped);
void sequencer_deinit(struct sequencer *sequencer);
/* Waits (spinning, then yielding) until `lsn` may be marked: at most SEQUENCER_SLOTS above the watermark.
 * False when the sequencer has stopped. */
bool sequencer_reserve(struct sequencer *sequencer, uint64_t lsn);
/* Marks `lsn` and moves the watermark as far as it goes. Any thread, any order. */
void sequencer_done(struct sequencer *sequencer, uint64_t lsn);
static inline uint64_t sequencer_applied(struct sequencer *sequencer) {
    return atomic_load_explicit(&sequencer->applied, memory_order_acquire);
}
/* Waits until the watermark is at `lsn` or above. Short: only inserts into memory are in the way. False when the
 * sequencer has stopped before. */
bool sequencer_wait(struct sequencer *sequencer, uint64_t lsn);

#endif
