#include "engine/rows_window.h"

#include <stdlib.h>

static struct key_run **run_at(const struct rows_window *window, uint64_t index) {
    return &window->runs[index & (window->capacity - 1)];
}

static void drop_oldest(struct rows_window *window) {
    struct key_run *run = *run_at(window, window->begin++);
    window->bytes_held -= run->bytes;
    free(run);
}

static void forget_oldest_record(struct rows_window *window) {
    uint64_t lsn = (*run_at(window, window->begin))->lsn;
    while (window->begin < window->end && (*run_at(window, window->begin))->lsn == lsn) drop_oldest(window);
    window->floor_lsn = lsn;
}

void rows_window_reset(struct rows_window *window, uint64_t runs_max, uint64_t bytes_max, uint64_t floor_lsn) {
    rows_window_deinit(window);
    *window = (struct rows_window){.runs_max = runs_max, .bytes_max = bytes_max, .floor_lsn = floor_lsn};
}

void rows_window_deinit(struct rows_window *window) {
    while (window->begin < window->end) drop_oldest(window);
    free(window->runs);
    *window = (struct rows_window){0};
}

static bool make_room(struct rows_window *window) {
    if (window->end - window->begin < window->capacity) return true;
    uint64_t larger = window->capacity ? 2 * window->capacity : 64;
    struct key_run **grown = malloc(larger * sizeof *grown);
    if (!grown) return false;
    for (uint64_t i = window->begin; i < window->end; i++) grown[i & (larger - 1)] = *run_at(window, i);
    free(window->runs);
    window->runs = grown;
    window->capacity = larger;
    return true;
}

bool rows_window_add(struct rows_window *window, uint64_t lsn, struct key_run *runs) {
    while (runs) {
        struct key_run *run = runs;
        runs = run->next;
        run->next = NULL;
        run->lsn = lsn;
        while (window->begin < window->end &&
               (window->end - window->begin >= window->runs_max || window->bytes_held + run->bytes > window->bytes_max))
            forget_oldest_record(window);
        if (run->bytes > window->bytes_max && window->floor_lsn < lsn) window->floor_lsn = lsn;
        if (lsn <= window->floor_lsn) { /* the record has pushed itself out */
            free(run);
            continue;
        }
        if (!make_room(window)) {
            free(run);
            key_runs_free(runs);
            return false;
        }
        *run_at(window, window->end++) = run;
        window->bytes_held += run->bytes;
    }
    return true;
}

void rows_window_forget(struct rows_window *window, uint64_t lsn) {
    while (window->begin < window->end && (*run_at(window, window->begin))->lsn <= lsn) forget_oldest_record(window);
    if (window->floor_lsn < lsn) window->floor_lsn = lsn;
}

void rows_window_prune(struct rows_window *window, bool (*is_gone)(const void *context, struct table_id table),
                       const void *context) {
    uint64_t kept = window->begin;
    for (uint64_t i = window->begin; i < window->end; i++) {
        struct key_run *run = *run_at(window, i);
        if (is_gone(context, run->table)) {
            window->bytes_held -= run->bytes;
            free(run);
        } else {
            *run_at(window, kept++) = run;
        }
    }
    window->end = kept;
}

/* The index of the first run written above `lsn`. */
static uint64_t first_above(const struct rows_window *window, uint64_t lsn) {
    uint64_t low = window->begin, high = window->end;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if ((*run_at(window, middle))->lsn <= lsn)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

enum conflict_verdict rows_window_check_key(const struct rows_window *window, uint64_t snapshot_lsn,
                                            struct table_id table, struct slice key) {
    if (snapshot_lsn < window->floor_lsn) return CONFLICT_TOO_OLD;
    for (uint64_t i = first_above(window, snapshot_lsn); i < window->end; i++) {
        const struct key_run *run = *run_at(window, i);
        if (table_id_compare(run->table, table) == 0 && key_run_has(run, key)) return CONFLICT_FOUND;
    }
    return CONFLICT_NONE;
}

enum conflict_verdict rows_window_check_range(const struct rows_window *window, uint64_t snapshot_lsn,
                                              struct table_id table, struct slice lower, struct slice upper,
                                              struct slice *found) {
    if (snapshot_lsn < window->floor_lsn) return CONFLICT_TOO_OLD;
    for (uint64_t i = first_above(window, snapshot_lsn); i < window->end; i++) {
        const struct key_run *run = *run_at(window, i);
        if (table_id_compare(run->table, table) == 0 && key_run_find(run, lower, upper, found)) return CONFLICT_FOUND;
    }
    return CONFLICT_NONE;
}

/* ---- much at once ---- */

static int compare_keys(const void *a, const void *b) {
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

static int compare_ranges(const void *a, const void *b) {
    return slice_compare(((const struct rows_read_range *)a)->lower, ((const struct rows_read_range *)b)->lower);
}

void rows_read_set_sort(struct rows_read_set *set) {
    bool sorted = true; /* as one look-up leaves them */
    for (uint64_t i = 1; sorted && i < set->key_count; i++)
        sorted = compare_keys(&set->keys[i - 1], &set->keys[i]) <= 0;
    if (!sorted) qsort(set->keys, set->key_count, sizeof *set->keys, compare_keys);
    if (set->range_count) qsort(set->ranges, set->range_count, sizeof *set->ranges, compare_ranges);
    uint64_t kept = 0;
    for (uint64_t i = 0; i < set->range_count; i++) {
        struct rows_read_range range = set->ranges[i], *last = kept ? &set->ranges[kept - 1] : NULL;
        if (range.upper.size && slice_compare(range.lower, range.upper) >= 0) continue;
        if (!last || (last->upper.size && slice_compare(range.lower, last->upper) > 0))
            set->ranges[kept++] = range;
        else if (last->upper.size && (!range.upper.size || slice_compare(range.upper, last->upper) > 0))
            last->upper = range.upper;
    }
    set->range_count = kept;
}

static bool set_has_key(const struct rows_read_set *set, struct slice key) {
    return set->key_count && bsearch(&key, set->keys, set->key_count, sizeof key, compare_keys);
}

static bool set_has_in_range(const struct rows_read_set *set, struct slice key) {
    uint64_t low = 0, high = set->range_count; /* the first range above the key */
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (slice_compare(set->ranges[middle].lower, key) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (!low) return false;
    struct slice upper = set->ranges[low - 1].upper;
    return !upper.size || slice_compare(key, upper) < 0;
}

static bool run_meets_set(const struct key_run *run, const struct rows_read_set *set, struct slice *found) {
    *found = slice_of(NULL, 0);
    if (run->everything) return true;
    if (run->count <= set->key_count + set->range_count) {
        for (uint32_t i = 0; i < run->count; i++) {
            *found = row_keys_at(&run->keys, i);
            if (set_has_key(set, *found) || set_has_in_range(set, *found)) return true;
        }
        return false;
    }
    for (uint64_t i = 0; i < set->key_count; i++) {
        *found = set->keys[i];
        if (key_run_has(run, *found)) return true;
    }
    for (uint64_t i = 0; i < set->range_count; i++)
        if (key_run_find(run, set->ranges[i].lower, set->ranges[i].upper, found)) return true;
    return false;
}

enum conflict_verdict rows_window_check_set(const struct rows_window *window, uint64_t snapshot_lsn,
                                            struct table_id table, const struct rows_read_set *set,
                                            struct slice *found) {
    if (snapshot_lsn < window->floor_lsn) return CONFLICT_TOO_OLD;
    for (uint64_t i = first_above(window, snapshot_lsn); i < window->end; i++) {
        const struct key_run *run = *run_at(window, i);
        if (table_id_compare(run->table, table) == 0 && run_meets_set(run, set, found)) return CONFLICT_FOUND;
    }
    return CONFLICT_NONE;
}
