#include "engine/key_run.h"

#include <stdlib.h>

struct key_run *key_run_create(struct table_id table, const struct row_keys *keys, uint32_t count) {
    size_t key_bytes = keys ? keys->offsets[count] - keys->offsets[0] : 0;
    size_t offset_bytes = keys ? ((size_t)count + 1) * sizeof *keys->offsets : 0;
    struct key_run *run = malloc(sizeof *run + offset_bytes + key_bytes);
    if (!run) return NULL;
    *run = (struct key_run){.table = table,
                            .everything = !keys,
                            .count = keys ? count : 0,
                            .bytes = sizeof *run + offset_bytes + key_bytes};
    if (!keys) return run;
    run->keys = (struct row_keys){(uint32_t *)(run + 1), (uint8_t *)(run + 1) + offset_bytes};
    uint32_t base = keys->offsets[0];
    memcpy(run->keys.offsets, keys->offsets, offset_bytes);
    for (uint32_t i = 0; base && i <= count; i++) run->keys.offsets[i] -= base;
    if (key_bytes) memcpy(run->keys.bytes, keys->bytes + base, key_bytes);
    return run;
}

void key_runs_free(struct key_run *runs) {
    while (runs) {
        struct key_run *next = runs->next;
        free(runs);
        runs = next;
    }
}

void key_runs_append(struct key_run **runs, struct key_run *more) {
    while (*runs) runs = &(*runs)->next;
    *runs = more;
}

uint64_t key_runs_count(const struct key_run *runs) {
    uint64_t count = 0;
    for (; runs; runs = runs->next) count++;
    return count;
}

/* The first key at or above `key`. */
static uint32_t find(const struct key_run *run, struct slice key) {
    uint32_t low = 0, high = run->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (slice_compare(row_keys_at(&run->keys, middle), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool key_run_find(const struct key_run *run, struct slice lower, struct slice upper, struct slice *found) {
    *found = slice_of(NULL, 0);
    if (run->everything) return true;
    uint32_t at = find(run, lower);
    if (at == run->count) return false;
    *found = row_keys_at(&run->keys, at);
    return !upper.size || slice_compare(*found, upper) < 0;
}

bool key_run_has(const struct key_run *run, struct slice key) {
    if (run->everything) return true;
    uint32_t at = find(run, key);
    return at < run->count && slice_equal(row_keys_at(&run->keys, at), key);
}
