#include "store/directory_set.h"

#include <stdlib.h>

#include "base/hash.h"

enum { SLOT_FREE = 0, SLOT_REMOVED = 1 };

void directory_set_deinit(struct directory_set *set) {
    free(set->slots);
    *set = (struct directory_set){0};
}

static uint64_t hash_of(struct slice path) {
    uint64_t hash = hash_fast(path.data, path.size);
    return hash > SLOT_REMOVED ? hash : hash + 2;
}

/* The slot that holds `hash`, or null. */
static uint64_t *find(const struct directory_set *set, uint64_t hash) {
    if (!set->capacity) return NULL;
    for (size_t i = hash & (set->capacity - 1); set->slots[i] != SLOT_FREE; i = (i + 1) & (set->capacity - 1)) {
        if (set->slots[i] == hash) return &set->slots[i];
    }
    return NULL;
}

static void insert(struct directory_set *set, uint64_t hash) {
    size_t i = hash & (set->capacity - 1);
    while (set->slots[i] != SLOT_FREE) i = (i + 1) & (set->capacity - 1);
    set->slots[i] = hash;
    set->used++;
}

/* At most half of the slots are in use, so that every search ends. */
static bool make_room(struct directory_set *set) {
    if (set->used < set->capacity / 2) return true;
    struct directory_set grown = {.capacity = set->capacity ? set->capacity * 2 : 64};
    grown.slots = calloc(grown.capacity, sizeof grown.slots[0]);
    if (!grown.slots) return false;
    for (size_t i = 0; i < set->capacity; i++) {
        if (set->slots[i] > SLOT_REMOVED) insert(&grown, set->slots[i]);
    }
    free(set->slots);
    *set = grown;
    return true;
}

bool directory_set_has(const struct directory_set *set, struct slice path) { return find(set, hash_of(path)) != NULL; }

void directory_set_add(struct directory_set *set, struct slice path) {
    uint64_t hash = hash_of(path);
    if (find(set, hash) || !make_room(set)) return;
    insert(set, hash);
}

void directory_set_remove(struct directory_set *set, struct slice path) {
    uint64_t *slot = find(set, hash_of(path));
    if (slot) *slot = SLOT_REMOVED;
}
