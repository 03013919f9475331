#include "service/parked.h"

#include <assert.h>
#include <stdlib.h>

enum { PARKED_FIRST_CAPACITY = 64 };

static bool grow(struct parked_queue *queue) {
    size_t capacity = queue->capacity ? queue->capacity * 2 : PARKED_FIRST_CAPACITY;
    struct parked *ring = malloc(capacity * sizeof *ring);
    if (!ring) return false;
    for (size_t i = 0; i < queue->count; i++) ring[i] = queue->ring[(queue->head + i) & (queue->capacity - 1)];
    free(queue->ring);
    queue->ring = ring;
    queue->capacity = capacity;
    queue->head = 0;
    return true;
}

bool parked_push(struct parked_queue *queue, struct parked parked) {
    if (queue->count == queue->capacity && !grow(queue)) return false;
    queue->ring[(queue->head + queue->count) & (queue->capacity - 1)] = parked;
    queue->count++;
    return true;
}

const struct parked *parked_first(const struct parked_queue *queue) {
    return queue->count ? &queue->ring[queue->head] : NULL;
}

struct parked parked_pop(struct parked_queue *queue) {
    assert(queue->count > 0);
    struct parked first = queue->ring[queue->head];
    queue->head = (queue->head + 1) & (queue->capacity - 1);
    queue->count--;
    return first;
}

void parked_deinit(struct parked_queue *queue) {
    free(queue->ring);
    *queue = (struct parked_queue){0};
}
