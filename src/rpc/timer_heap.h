/* A binary heap of the loop's timers, earliest first. Timers know their slot, so that re-arming and disarming cost
 * O(log n). Slot 0 of the array is unused: `heap_slot` 0 means "not armed". */
#ifndef PLINTH_RPC_TIMER_HEAP_H
#define PLINTH_RPC_TIMER_HEAP_H

#include <stddef.h>

#include "rpc/loop.h"

struct timer_heap {
    struct rpc_timer **slots;
    size_t count;
    size_t capacity; /* slots that can be used */
};

void timer_heap_deinit(struct timer_heap *heap);
/* Puts the timer in, or moves it when it is in already. False when memory is out: it is then not in the heap. */
PLINTH_MUST_CHECK bool timer_heap_put(struct timer_heap *heap, struct rpc_timer *timer, uint64_t due_ns);
void timer_heap_remove(struct timer_heap *heap, struct rpc_timer *timer);
/* Null when empty. */
static inline struct rpc_timer *timer_heap_first(const struct timer_heap *heap) {
    return heap->count ? heap->slots[1] : NULL;
}

#endif
