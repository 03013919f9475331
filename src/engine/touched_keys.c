#include "engine/touched_keys.h"

#include "base/hash.h"

void touched_keys_init(struct touched_keys *keys) {
    *keys = (struct touched_keys){.random = 0x9E3779B97F4A7C15u};
    arena_init(&keys->arena);
}

void touched_keys_deinit(struct touched_keys *keys) { arena_deinit(&keys->arena); }

/* The place of `stored`: for each level the link that leads to the first key at or above it. `below` (may be null) is
 * the last key before it. */
static void find(const struct touched_keys *keys, struct slice stored, struct touched_key *const **links,
                 struct touched_key **below) {
    struct touched_key *const *from = keys->heads;
    struct touched_key *last = NULL;
    for (int level = TOUCHED_LEVELS_MAX - 1; level >= 0; level--) {
        while (from[level] && slice_compare(from[level]->stored, stored) < 0) {
            last = from[level];
            from = last->next;
        }
        if (links) links[level] = &from[level];
    }
    if (below) *below = last;
}

struct touched_key *touched_keys_seek(const struct touched_keys *keys, struct slice stored) {
    struct touched_key *const *links[TOUCHED_LEVELS_MAX];
    find(keys, stored, links, NULL);
    return *links[0];
}

struct touched_key *touched_keys_seek_below(const struct touched_keys *keys, struct slice stored) {
    struct touched_key *below;
    find(keys, stored, NULL, &below);
    return below;
}

/* Level n + 1 with a chance of one in four of level n. */
static int random_levels(struct touched_keys *keys) {
    int levels = 1;
    keys->random = keys->random * 6364136223846793005u + 1442695040888963407u;
    for (uint64_t bits = keys->random >> 32; levels < TOUCHED_LEVELS_MAX && (bits & 3) == 0; bits >>= 2) levels++;
    return levels;
}

struct touched_key *touched_keys_add(struct touched_keys *keys, struct plinth_space space, struct slice key) {
    uint8_t prefix[TABLE_PREFIX_BYTES_MAX];
    struct touched_key *const *links[TOUCHED_LEVELS_MAX];
    size_t prefix_size = table_prefix_encode(prefix, (struct table_id){space.tenant, space.database, space.table});
    uint8_t *bytes = arena_alloc(&keys->arena, prefix_size + key.size);
    if (!bytes) return NULL;
    memcpy(bytes, prefix, prefix_size);
    if (key.size) memcpy(bytes + prefix_size, key.data, key.size);
    struct slice stored = slice_of(bytes, prefix_size + key.size);
    find(keys, stored, links, NULL);
    if (*links[0] && slice_equal((*links[0])->stored, stored)) return *links[0];
    int levels = random_levels(keys);
    struct touched_key *made = arena_zalloc(&keys->arena, sizeof *made + (size_t)levels * sizeof made->next[0]);
    if (!made) return NULL;
    made->space = space;
    made->stored = stored;
    made->prefix_bytes = (uint8_t)prefix_size;
    for (int level = 0; level < levels; level++) {
        made->next[level] = *links[level];
        *(struct touched_key **)links[level] = made;
    }
    keys->count++;
    return made;
}

static bool copy(struct arena *arena, struct plinth_slice *slice) {
    const uint8_t *copied = arena_copy(arena, slice_of(slice->data, slice->size));
    slice->data = copied;
    return copied != NULL;
}

bool touched_keys_write(struct touched_keys *keys, const struct plinth_operation *operation) {
    struct touched_key *key =
        touched_keys_add(keys, operation->space, slice_of(operation->key.data, operation->key.size));
    if (!key) return false;
    struct plinth_operation made = {.kind = operation->kind, .space = operation->space};
    made.key = plinth_bytes(key->stored.data + key->prefix_bytes, key->stored.size - key->prefix_bytes);
    if (operation->kind == PLINTH_SET) {
        struct plinth_index_value *indexes = NULL;
        made.value = operation->value;
        if (!copy(&keys->arena, &made.value)) return false;
        if (operation->index_count) {
            indexes = arena_alloc(&keys->arena, operation->index_count * sizeof *indexes);
            if (!indexes) return false;
        }
        for (size_t i = 0; i < operation->index_count; i++) {
            indexes[i] = operation->indexes[i];
            if (!copy(&keys->arena, &indexes[i].name) || !copy(&keys->arena, &indexes[i].value)) return false;
        }
        made.expires_at_us = operation->expires_at_us;
        made.ttl_us = operation->ttl_us;
        made.indexes = indexes;
        made.index_count = operation->index_count;
    }
    key->operation = made;
    if (!key->written) keys->written++;
    key->written = true;
    return true;
}

void touched_keys_unwrite(struct touched_keys *keys, struct slice lower, struct slice upper) {
    struct touched_key *key = touched_keys_seek(keys, lower);
    for (; key && slice_compare(key->stored, upper) < 0; key = key->next[0]) {
        if (key->written) keys->written--;
        key->written = false;
    }
}
