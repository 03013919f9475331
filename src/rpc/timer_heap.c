#include "rpc/timer_heap.h"

#include <stdlib.h>

void timer_heap_deinit(struct timer_heap *heap) {
    free(heap->slots);
    *heap = (struct timer_heap){0};
}

static void place(struct timer_heap *heap, size_t slot, struct rpc_timer *timer) {
    heap->slots[slot] = timer;
    timer->heap_slot = (uint32_t)slot;
}

static void sift_up(struct timer_heap *heap, size_t slot, struct rpc_timer *timer) {
    for (; slot > 1 && heap->slots[slot / 2]->due_ns > timer->due_ns; slot /= 2)
        place(heap, slot, heap->slots[slot / 2]);
    place(heap, slot, timer);
}

static void sift_down(struct timer_heap *heap, size_t slot, struct rpc_timer *timer) {
    for (size_t child; (child = 2 * slot) <= heap->count; slot = child) {
        if (child < heap->count && heap->slots[child + 1]->due_ns < heap->slots[child]->due_ns) child++;
        if (heap->slots[child]->due_ns >= timer->due_ns) break;
        place(heap, slot, heap->slots[child]);
    }
    place(heap, slot, timer);
}

static bool reserve_one(struct timer_heap *heap) {
    if (heap->count < heap->capacity) return true;
    size_t capacity = heap->capacity ? 2 * heap->capacity : 63;
    struct rpc_timer **slots = realloc(heap->slots, (capacity + 1) * sizeof(*slots));
    if (!slots) return false;
    heap->slots = slots;
    heap->capacity = capacity;
    return true;
}

bool timer_heap_put(struct timer_heap *heap, struct rpc_timer *timer, uint64_t due_ns) {
    timer_heap_remove(heap, timer);
    if (!reserve_one(heap)) return false;
    timer->due_ns = due_ns;
    sift_up(heap, ++heap->count, timer);
    return true;
}

void timer_heap_remove(struct timer_heap *heap, struct rpc_timer *timer) {
    size_t slot = timer->heap_slot;
    if (!slot) return;
    timer->heap_slot = 0;
    struct rpc_timer *last = heap->slots[heap->count--];
    if (last == timer) return;
    if (slot > 1 && heap->slots[slot / 2]->due_ns > last->due_ns)
        sift_up(heap, slot, last);
    else
        sift_down(heap, slot, last);
}
