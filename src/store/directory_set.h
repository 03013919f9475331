/* The directories a local store knows to be durable, so that a put into one of them need not sync its parents again.
 *
 * Kept as 64-bit hashes of the paths; two paths with one hash would skip a sync, at odds of 1 in 2^64 a pair.
 * For one thread at a time. */
#ifndef PLINTH_STORE_DIRECTORY_SET_H
#define PLINTH_STORE_DIRECTORY_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct directory_set {
    uint64_t *slots; /* open addressing; 0 is free, 1 is a removed entry */
    size_t capacity; /* 0 or a power of two */
    size_t used;     /* slots that are not free */
};

void directory_set_deinit(struct directory_set *set);
bool directory_set_has(const struct directory_set *set, struct slice path);
/* When memory is out the path is simply not remembered. */
void directory_set_add(struct directory_set *set, struct slice path);
void directory_set_remove(struct directory_set *set, struct slice path);

#endif
