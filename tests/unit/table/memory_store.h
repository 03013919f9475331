/* A store in memory, for tests: objects can be looked at and damaged, and call N can fail. One thread. */
#ifndef PLINTH_TESTS_UNIT_TABLE_MEMORY_STORE_H
#define PLINTH_TESTS_UNIT_TABLE_MEMORY_STORE_H

#include "store/store.h"

struct memory_object;

struct memory_store {
    struct store base;
    bool map;              /* objects opened from now on are mapped */
    uint64_t calls;        /* of store and object functions so far */
    uint64_t failing_call; /* this one (from 1) and all later ones fail with PLINTH_IO_ERROR; 0: none */
    struct memory_object *objects;
};

void memory_store_init(struct memory_store *store, bool map);
/* All handles must be closed. */
void memory_store_deinit(struct memory_store *store);
/* The bytes of an object, to be changed at will while it is not open; null when there is none. */
struct buffer *memory_store_bytes(struct memory_store *store, const char *name);

#endif
