#include "engine/conflict.h"

#include <stdlib.h>

#include "base/status.h"

/* A key lies in one piece, so the ring's end may hold a gap of less than one key. */
static uint64_t ring_bytes(const struct conflict_window *window) { return window->bytes_max + CONFLICT_KEY_BYTES_MAX; }

enum plinth_status conflict_window_init(struct conflict_window *window, uint64_t keys_max, uint64_t bytes_max,
                                        uint64_t floor_lsn, struct plinth_error *error) {
    *window = (struct conflict_window){.keys_max = keys_max, .bytes_max = bytes_max, .floor_lsn = floor_lsn};
    window->keys = malloc(keys_max * sizeof *window->keys);
    window->bytes = malloc(ring_bytes(window));
    if (window->keys && window->bytes) return PLINTH_OK;
    conflict_window_deinit(window);
    return error_no_memory(error, "conflict window");
}

void conflict_window_deinit(struct conflict_window *window) {
    free(window->keys);
    free(window->bytes);
    *window = (struct conflict_window){0};
}

static struct conflict_key *key_at(const struct conflict_window *window, uint64_t index) {
    return &window->keys[index % window->keys_max];
}

static void forget_oldest_record(struct conflict_window *window) {
    uint64_t lsn = key_at(window, window->keys_begin)->lsn;
    for (; window->keys_begin < window->keys_end && key_at(window, window->keys_begin)->lsn == lsn;
         window->keys_begin++)
        window->bytes_held -= key_at(window, window->keys_begin)->size;
    window->floor_lsn = lsn;
}

/* `upper` follows the key; empty for none. */
static void add(struct conflict_window *window, uint64_t lsn, struct slice key, struct slice upper, uint64_t hash) {
    size_t size = key.size + upper.size;
    if (lsn <= window->floor_lsn) return; /* the record's first keys have already pushed it out */
    while (window->keys_begin < window->keys_end &&
           (window->keys_end - window->keys_begin >= window->keys_max || window->bytes_held + size > window->bytes_max))
        forget_oldest_record(window);
    if (lsn <= window->floor_lsn || size > window->bytes_max) {
        window->floor_lsn = lsn;
        return;
    }
    uint64_t ring = ring_bytes(window), at = window->bytes_end % ring;
    uint64_t start = window->bytes_end + (at + size > ring ? ring - at : 0);
    if (key.size) memcpy(window->bytes + start % ring, key.data, key.size);
    if (upper.size) memcpy(window->bytes + start % ring + key.size, upper.data, upper.size);
    *key_at(window, window->keys_end++) =
        (struct conflict_key){lsn, hash, start, (uint32_t)size, upper.size ? (uint32_t)key.size : 0};
    window->bytes_end = start + size;
    window->bytes_held += size;
}

void conflict_window_add(struct conflict_window *window, uint64_t lsn, struct slice key, uint64_t hash) {
    add(window, lsn, key, slice_of(NULL, 0), hash);
}

void conflict_window_add_range(struct conflict_window *window, uint64_t lsn, struct slice lower, struct slice upper) {
    add(window, lsn, lower, upper, 0);
}

void conflict_window_forget(struct conflict_window *window, uint64_t lsn) {
    while (window->keys_begin < window->keys_end && key_at(window, window->keys_begin)->lsn <= lsn)
        forget_oldest_record(window);
    if (window->floor_lsn < lsn) window->floor_lsn = lsn;
}

/* The index of the first key written above `lsn`. */
static uint64_t first_above(const struct conflict_window *window, uint64_t lsn) {
    uint64_t low = window->keys_begin, high = window->keys_end;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (key_at(window, middle)->lsn <= lsn)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct slice key_bytes(const struct conflict_window *window, const struct conflict_key *key) {
    return slice_of(window->bytes + key->offset % ring_bytes(window), key->size);
}

/* Splits what a range delete has registered. */
static struct slice range_lower(const struct conflict_window *window, const struct conflict_key *range) {
    return slice_of(key_bytes(window, range).data, range->lower_size);
}

static struct slice range_upper(const struct conflict_window *window, const struct conflict_key *range) {
    struct slice both = key_bytes(window, range);
    return slice_of(both.data + range->lower_size, both.size - range->lower_size);
}

static bool range_has(const struct conflict_window *window, const struct conflict_key *range, struct slice key) {
    return slice_compare(range_lower(window, range), key) <= 0 && slice_compare(key, range_upper(window, range)) < 0;
}

enum conflict_verdict conflict_window_check_key(const struct conflict_window *window, uint64_t snapshot_lsn,
                                                struct slice key, uint64_t hash) {
    if (snapshot_lsn < window->floor_lsn) return CONFLICT_TOO_OLD;
    for (uint64_t i = first_above(window, snapshot_lsn); i < window->keys_end; i++) {
        const struct conflict_key *written = key_at(window, i);
        if (written->lower_size ? range_has(window, written, key)
                                : written->hash == hash && slice_equal(key_bytes(window, written), key))
            return CONFLICT_FOUND;
    }
    return CONFLICT_NONE;
}

enum conflict_verdict conflict_window_check_range(const struct conflict_window *window, uint64_t snapshot_lsn,
                                                  struct slice lower, struct slice upper, struct slice *found) {
    if (snapshot_lsn < window->floor_lsn) return CONFLICT_TOO_OLD;
    for (uint64_t i = first_above(window, snapshot_lsn); i < window->keys_end; i++) {
        const struct conflict_key *entry = key_at(window, i);
        struct slice written = entry->lower_size ? range_lower(window, entry) : key_bytes(window, entry);
        if (upper.size && slice_compare(written, upper) >= 0) continue;
        if (slice_compare(entry->lower_size ? range_upper(window, entry) : written, lower) <
            (entry->lower_size ? 1 : 0))
            continue;
        if (found) *found = written;
        return CONFLICT_FOUND;
    }
    return CONFLICT_NONE;
}
