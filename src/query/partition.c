/* Cuts the key ranges of a plan into tasks. Boundaries are first keys of stripes of the largest run (or keys of the
 * largest memtable block), so that a task over one plain segment reads whole stripes. A key's versions never lie in two
 * tasks. */
#include <stdlib.h>

#include "base/status.h"
#include "query/query_private.h"

static bool below(struct slice key, struct slice upper) { return !upper.size || slice_compare(key, upper) < 0; }

bool query_segment_overlaps(const struct segment *segment, struct slice lower, struct slice upper) {
    const struct segment_info *info = segment_info(segment);
    return below(buffer_slice(&info->key_min), upper) && slice_compare(buffer_slice(&info->key_max), lower) >= 0;
}

bool query_block_overlaps(const struct row_block *block, struct slice lower, struct slice upper) {
    return below(row_block_key(block, 0), upper) && slice_compare(row_block_key(block, block->rows - 1), lower) >= 0;
}

void query_run_segments(const struct run *run, struct slice lower, struct slice upper, size_t *first, size_t *end) {
    size_t low = 0, high = run_segment_count(run);
    while (low < high) { /* the first segment whose last key is not below `lower` */
        size_t middle = low + (high - low) / 2;
        if (slice_compare(buffer_slice(&segment_info(run_segment(run, middle))->key_max), lower) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *first = low;
    high = run_segment_count(run);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (below(buffer_slice(&segment_info(run_segment(run, middle))->key_min), upper))
            low = middle + 1;
        else
            high = middle;
    }
    *end = low;
}

/* Exact where the file can be read; what is wrong with it the scan will say. */
static uint64_t segment_rows_in(struct segment *segment, struct slice lower, struct slice upper) {
    const struct segment_info *info = segment_info(segment);
    uint32_t stripe, end;
    uint64_t rows = 0;
    bool is_whole =
        slice_compare(lower, buffer_slice(&info->key_min)) <= 0 && below(buffer_slice(&info->key_max), upper);
    if (is_whole || segment_load(segment, NULL)) return info->rows;
    segment_stripes_in(segment, lower, upper, &stripe, &end);
    for (; stripe < end; stripe++) rows += segment_stripe_rows(segment, stripe);
    return rows;
}

uint64_t query_run_rows(const struct run *run, struct slice lower, struct slice upper) {
    size_t first, end;
    uint64_t rows = 0;
    query_run_segments(run, lower, upper, &first, &end);
    for (size_t i = first; i < end; i++) rows += segment_rows_in(run_segment(run, i), lower, upper);
    return rows;
}

void query_block_rows(const struct row_block *block, struct slice lower, struct slice upper, uint32_t *first,
                      uint32_t *end) {
    *end = upper.size ? row_block_find(block, upper, UINT64_MAX) : block->rows;
    *first = lower.size ? row_block_find(block, lower, UINT64_MAX) : 0;
    if (*first > *end) *first = *end;
}

uint64_t query_estimate_rows(const struct query *query) {
    uint64_t rows = 0;
    for (uint32_t r = 0; r < query->ranges.count; r++) {
        struct key_range range = query->ranges.ranges[r];
        for (size_t i = 0; i < query->sources.run_count; i++)
            rows += query_run_rows(query->sources.runs[i].run, range.lower, range.upper);
        for (size_t i = 0; i < query->sources.block_count; i++) {
            uint32_t first, end;
            query_block_rows(query->sources.blocks[i], range.lower, range.upper, &first, &end);
            rows += end - first;
        }
    }
    return rows;
}

struct cutter {
    struct query *query;
    uint32_t capacity;
    struct scan_task base; /* partition */
};

static bool add_task(struct cutter *cutter, struct slice lower, struct slice upper) {
    struct query *query = cutter->query;
    if (query->task_count == cutter->capacity) {
        uint32_t larger = cutter->capacity ? cutter->capacity * 2 : 16;
        struct scan_task *grown = realloc(query->tasks, larger * sizeof *grown);
        if (!grown) return false;
        query->tasks = grown;
        cutter->capacity = larger;
    }
    struct scan_task task = cutter->base;
    task.lower = lower;
    task.upper = upper;
    query->tasks[query->task_count++] = task;
    return true;
}

static bool in_group(const struct cutter *cutter, const struct view_run *run) {
    if (!cutter->base.only_partition) return true;
    const struct segment_info *info = segment_info(run_segment(run->run, 0));
    return info->has_partition == cutter->base.has_partition && info->partition == cutter->base.partition;
}

/* One range, cut at first keys of stripes of `run`. */
static bool cut_by_run(struct cutter *cutter, const struct run *run, struct key_range range) {
    size_t first, end;
    struct slice lower = range.lower;
    uint64_t stripes = 0, rows = 0; /* since the last cut */
    query_run_segments(run, range.lower, range.upper, &first, &end);
    for (size_t i = first; i < end; i++) {
        struct segment *segment = run_segment(run, i);
        uint32_t stripe, stripe_end;
        if (segment_load(segment, NULL)) continue; /* as above */
        segment_stripes_in(segment, range.lower, range.upper, &stripe, &stripe_end);
        for (; stripe < stripe_end; stripe++) {
            struct slice key = segment_stripe_first_key(segment, stripe);
            bool enough = stripes >= QUERY_TASK_STRIPES || rows >= QUERY_TASK_ROWS;
            if (enough && slice_compare(key, lower) > 0) {
                if (!add_task(cutter, lower, key)) return false;
                lower = key;
                stripes = rows = 0;
            }
            stripes++;
            rows += segment_stripe_rows(segment, stripe);
        }
    }
    return add_task(cutter, lower, range.upper);
}

static bool cut_by_block(struct cutter *cutter, const struct row_block *block, struct key_range range) {
    struct slice lower = range.lower;
    uint32_t first, end;
    query_block_rows(block, range.lower, range.upper, &first, &end);
    for (uint64_t row = (uint64_t)first + QUERY_TASK_ROWS; row < end; row += QUERY_TASK_ROWS) {
        struct slice key = row_block_key(block, (uint32_t)row);
        if (slice_compare(key, lower) <= 0) continue;
        if (!add_task(cutter, lower, key)) return false;
        lower = key;
    }
    return add_task(cutter, lower, range.upper);
}

static bool cut_range(struct cutter *cutter, struct key_range range) {
    const struct row_sources *sources = &cutter->query->sources;
    const struct run *largest = NULL;
    const struct row_block *block = NULL;
    uint64_t rows = 0;
    for (size_t i = 0; i < sources->run_count; i++) {
        if (!in_group(cutter, &sources->runs[i])) continue;
        uint64_t here = query_run_rows(sources->runs[i].run, range.lower, range.upper);
        if (here > rows || !largest) largest = sources->runs[i].run;
        if (here > rows) rows = here;
    }
    for (size_t i = 0; !cutter->base.only_partition && i < sources->block_count; i++)
        if (sources->blocks[i]->rows > rows) {
            rows = sources->blocks[i]->rows;
            block = sources->blocks[i];
        }
    if (block) return cut_by_block(cutter, block, range);
    return largest ? cut_by_run(cutter, largest, range) : add_task(cutter, range.lower, range.upper);
}

static bool cut_ranges(struct cutter *cutter) {
    bool ok = true;
    for (uint32_t i = 0; ok && i < cutter->query->ranges.count; i++)
        ok = cut_range(cutter, cutter->query->ranges.ranges[i]);
    return ok;
}

/* Runs of different partitions hold different keys, so when nothing is in memory and no order is asked for, each
 * partition is scanned by itself (and mostly without a merge). */
static bool cut_by_partition(struct cutter *cutter) {
    const struct row_sources *sources = &cutter->query->sources;
    cutter->base.only_partition = true;
    for (size_t i = 0; i < sources->run_count; i++) {
        const struct segment_info *info = segment_info(run_segment(sources->runs[i].run, 0));
        bool seen = false;
        for (size_t j = 0; !seen && j < i; j++) {
            const struct segment_info *before = segment_info(run_segment(sources->runs[j].run, 0));
            seen = before->has_partition == info->has_partition && before->partition == info->partition;
        }
        if (seen) continue;
        cutter->base.has_partition = info->has_partition;
        cutter->base.partition = info->partition;
        if (!cut_ranges(cutter)) return false;
    }
    return true;
}

enum plinth_status query_make_tasks(struct query *query, struct plinth_error *error) {
    struct cutter cutter = {.query = query};
    bool grouped = query->schema->partition_us && !query->options.ordered && query->sources.block_count == 0 &&
                   !query->options.own_count;
    bool ok = grouped ? cut_by_partition(&cutter) : cut_ranges(&cutter);
    if (ok && query->options.reverse)
        for (uint32_t i = 0, j = query->task_count; i + 1 < j; i++) {
            struct scan_task swapped = query->tasks[i];
            query->tasks[i] = query->tasks[--j];
            query->tasks[j] = swapped;
        }
    size_t segments = 0;
    for (size_t i = 0; i < query->sources.run_count; i++) segments += run_segment_count(query->sources.runs[i].run);
    query->visited = calloc(segments + 1, sizeof *query->visited);
    ok = ok && query->visited;
    query->results = ok ? calloc(query->task_count + 1, sizeof *query->results) : NULL;
    return query->results ? PLINTH_OK : error_no_memory(error, "query");
}
