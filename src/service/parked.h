/* Writes that wait to be acknowledged: a queue for each loop and durability, ordered by LSN.
 *
 * One loop submits one write after another, so the LSNs of its queue rise by themselves; the only exception, a repeated
 * write that is answered with an older position, waits for the one before it, which is never wrong. */
#ifndef PLINTH_SERVICE_PARKED_H
#define PLINTH_SERVICE_PARKED_H

#include <stdbool.h>
#include <stddef.h>

#include "plinth.h"

struct service_call;

struct parked {
    struct service_call *call; /* with a reference */
    struct plinth_position position;
};

/* A ring that grows by doubling; {0} is empty. */
struct parked_queue {
    struct parked *ring;
    size_t capacity; /* a power of two, or 0 */
    size_t head;
    size_t count;
};

/* False when memory is out. */
PLINTH_MUST_CHECK bool parked_push(struct parked_queue *queue, struct parked parked);
/* Null when empty. Valid until the next push or pop. */
const struct parked *parked_first(const struct parked_queue *queue);
/* The queue must not be empty. */
struct parked parked_pop(struct parked_queue *queue);
void parked_deinit(struct parked_queue *queue);

#endif
