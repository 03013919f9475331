#include "engine/compaction_step.h"

#include <string.h>

/* The first segment that ends at or behind `key`. */
static size_t first_reaching(const struct step_run *run, struct slice key) {
    size_t low = 0, high = run->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(run->segments[middle].key_max, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t compaction_step_position(const struct step_run *run, struct slice key_min) {
    return first_reaching(run, key_min);
}

static struct step_part overlap(const struct step_run *run, const struct step_range *range) {
    size_t first = first_reaching(run, range->key_min), end = first;
    while (end < run->count && slice_compare(run->segments[end].key_min, range->key_max) <= 0) end++;
    return (struct step_part){first, end - first};
}

static void widen(struct step_range *range, const struct step_run *run, const struct step_part *part) {
    if (!part->count) return;
    const struct step_segment *first = &run->segments[part->first], *last = first + part->count - 1;
    if (slice_compare(first->key_min, range->key_min) < 0) range->key_min = first->key_min;
    if (slice_compare(last->key_max, range->key_max) > 0) range->key_max = last->key_max;
}

static uint64_t part_bytes(const struct step_run *run, const struct step_part *part) {
    uint64_t bytes = 0;
    for (size_t i = part->first; i < part->first + part->count; i++) bytes += run->segments[i].bytes;
    return bytes;
}

/* Takes segments [first, first + count) of run `source` and what has to go with them. */
static void take(const struct step_run *runs, size_t run_count, size_t source, size_t first, size_t count,
                 struct step_part *parts, struct compaction_step *step) {
    memset(parts, 0, run_count * sizeof *parts);
    parts[source] = (struct step_part){first, count};
    const struct step_run *run = &runs[source];
    *step = (struct compaction_step){.range = {run->segments[first].key_min, run->segments[first + count - 1].key_max}};
    step->bytes = part_bytes(run, &parts[source]);
    for (size_t i = source + 1; i < run_count; i++) {
        parts[i] = overlap(&runs[i], &step->range);
        step->bytes += part_bytes(&runs[i], &parts[i]);
        widen(&step->range, &runs[i], &parts[i]);
    }
}

static bool is_busy(const struct step_range *range, const struct step_range *busy, size_t busy_count) {
    for (size_t i = 0; i < busy_count; i++)
        if (slice_compare(range->key_min, busy[i].key_max) <= 0 && slice_compare(busy[i].key_min, range->key_max) <= 0)
            return true;
    return false;
}

static bool overlaps_below(const struct step_run *runs, size_t run_count, size_t source,
                           const struct step_range *range) {
    for (size_t i = source + 1; i < run_count; i++)
        if (overlap(&runs[i], range).count) return true;
    return false;
}

/* As many neighbours of a run as can go into one gap of the oldest run. */
static bool choose_move(const struct step_run *runs, size_t run_count, const struct step_range *busy, size_t busy_count,
                        struct step_part *parts, struct compaction_step *step) {
    for (size_t source = 0; source + 1 < run_count; source++) {
        const struct step_run *run = &runs[source];
        for (size_t first = 0; first < run->count; first++) {
            struct step_range range = {run->segments[first].key_min, run->segments[first].key_max}, wider = range;
            size_t end = first;
            while (end < run->count && run->segments[end].may_move) {
                wider.key_max = run->segments[end].key_max;
                if (is_busy(&wider, busy, busy_count) || overlaps_below(runs, run_count, source, &wider)) break;
                range = wider;
                end++;
            }
            if (end == first) continue;
            memset(parts, 0, run_count * sizeof *parts);
            parts[source] = (struct step_part){first, end - first};
            *step = (struct compaction_step){.is_move = true, .range = range, .bytes = part_bytes(run, &parts[source])};
            return true;
        }
    }
    return false;
}

/* Everything at once, when it is little. */
static bool choose_all(const struct step_run *runs, size_t run_count, uint64_t bytes_max, struct step_part *parts,
                       struct compaction_step *step) {
    *step = (struct compaction_step){.range = {runs[0].segments[0].key_min, runs[0].segments[0].key_max}};
    for (size_t i = 0; i < run_count; i++) {
        parts[i] = (struct step_part){0, runs[i].count};
        step->bytes += part_bytes(&runs[i], &parts[i]);
        widen(&step->range, &runs[i], &parts[i]);
    }
    return step->bytes <= bytes_max;
}

bool compaction_step_choose(const struct step_run *runs, size_t run_count, const struct step_range *busy,
                            size_t busy_count, uint64_t bytes_max, struct step_part *parts,
                            struct compaction_step *step) {
    if (run_count < 2) return false;
    if (choose_move(runs, run_count, busy, busy_count, parts, step)) return true;
    if (!busy_count && choose_all(runs, run_count, bytes_max, parts, step)) return true;
    size_t best_source = 0, best_first = 0;
    uint64_t best_bytes = UINT64_MAX;
    for (size_t source = 0; source + 1 < run_count; source++) {
        for (size_t first = 0; first < runs[source].count; first++) {
            take(runs, run_count, source, first, 1, parts, step);
            if (is_busy(&step->range, busy, busy_count)) continue;
            if (step->bytes < best_bytes) {
                best_source = source;
                best_first = first;
                best_bytes = step->bytes;
            }
            if (step->bytes <= bytes_max) break; /* in the order of keys: the next step begins where this one ends */
        }
        if (best_bytes <= bytes_max) break;
    }
    if (best_bytes == UINT64_MAX) return false;
    /* More of it, as long as the step stays small. */
    size_t count = 1;
    take(runs, run_count, best_source, best_first, 1, parts, step);
    while (best_first + count < runs[best_source].count) {
        struct compaction_step wider;
        take(runs, run_count, best_source, best_first, count + 1, parts, &wider);
        if (wider.bytes > bytes_max || is_busy(&wider.range, busy, busy_count)) break;
        *step = wider;
        count++;
    }
    take(runs, run_count, best_source, best_first, count, parts, step);
    return true;
}

size_t compaction_step_cut(const struct step_run *behind, size_t behind_count, const struct step_range *range,
                           uint64_t bytes, uint64_t overlap_max, uint64_t bytes_min, struct slice *cuts,
                           size_t cuts_max) {
    uint64_t total = 0, largest_bytes = 0;
    const struct step_run *largest = NULL;
    struct step_part within = {0};
    for (size_t i = 0; i < behind_count; i++) {
        struct step_part part = overlap(&behind[i], range);
        uint64_t here = part_bytes(&behind[i], &part);
        total += here;
        if (here <= largest_bytes) continue;
        largest = &behind[i];
        largest_bytes = here;
        within = part;
    }
    if (total <= overlap_max) return 0;
    double a_piece = (double)overlap_max * (double)largest_bytes / (double)total;
    double least = bytes ? (double)bytes_min * (double)largest_bytes / (double)bytes : (double)largest_bytes;
    if (a_piece < least) a_piece = least;
    size_t count = 0;
    uint64_t since = 0;
    for (size_t i = within.first; i < within.first + within.count && count < cuts_max; i++) {
        const struct step_segment *segment = &largest->segments[i];
        if ((double)since >= a_piece && slice_compare(segment->key_min, range->key_min) > 0) {
            cuts[count++] = segment->key_min;
            since = 0;
        }
        since += segment->bytes;
    }
    return count;
}
