/* Writes that wait to be acknowledged: a queue for each loop and durability, ordered by LSN.
 *
 * One loop submits one write after another, so the LSNs of its queue rise by themselves. The exceptions, a repeated
 * write that is answered with an older position and rows that a worker has submitted, wait for the one before them,
 * which is never wrong and at most a commit group late. */
#ifndef PLINTH_SERVICE_PARKED_H
#define PLINTH_SERVICE_PARKED_H

#include <stdbool.h>
#include <stddef.h>

#include "plinth.h"

struct service_call;
struct plinth_error;

/* What becomes of a parked write: acknowledged (PLINTH_OK), or never to be (PLINTH_OUTCOME_UNKNOWN). Loop thread. */
typedef void parked_end(struct service_call *call, struct plinth_position position, enum plinth_status status,
                        const struct plinth_error *error);

struct parked {
    struct service_call *call; /* with a reference */
    struct plinth_position position;
    parked_end *end;
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
