#include "engine/ranges.h"

#include <stdlib.h>

#include "base/status.h"
#include "engine/array.h"
#include "engine/engine.h"

/* ---- the state ---- */

static void free_bounds(struct noted_range *range) { free((void *)range->range.lower.data); }

void ranges_deinit(struct ranges *ranges) {
    for (uint64_t i = 0; i < ranges->count; i++) free_bounds(&ranges->all[i]);
    free(ranges->all);
    *ranges = (struct ranges){0};
}

bool ranges_add(struct ranges *ranges, struct table_id table, const struct deleted_range *range) {
    size_t lower = range->lower.size, upper = range->upper.size;
    uint8_t *bytes = malloc(lower + upper + 1);
    if (!bytes) return false;
    if (lower) memcpy(bytes, range->lower.data, lower);
    if (upper) memcpy(bytes + lower, range->upper.data, upper);
    struct noted_range noted = {table, {slice_of(bytes, lower), slice_of(bytes + lower, upper), range->lsn}};
    if (ARRAY_PUSH(ranges->all, ranges->count, noted)) return true;
    free(bytes);
    return false;
}

static bool has_lsn(const uint64_t *lsns, size_t count, uint64_t lsn) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (lsns[middle] < lsn)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && lsns[low] == lsn;
}

void ranges_remove(struct ranges *ranges, struct table_id table, const uint64_t *lsns, size_t count) {
    uint64_t kept = 0;
    for (uint64_t i = 0; i < ranges->count; i++) {
        struct noted_range *range = &ranges->all[i];
        if (table_id_compare(range->table, table) == 0 && (!lsns || has_lsn(lsns, count, range->range.lsn)))
            free_bounds(range);
        else
            ranges->all[kept++] = *range;
    }
    ranges->count = kept;
}

bool ranges_select(const struct ranges *ranges, struct table_id table, uint64_t after, uint64_t until,
                   struct range_set **set) {
    *set = NULL;
    struct deleted_range *chosen = NULL;
    uint64_t count = 0;
    bool ok = true;
    for (uint64_t i = 0; ok && i < ranges->count; i++) {
        const struct noted_range *range = &ranges->all[i];
        if (table_id_compare(range->table, table) != 0 || range->range.lsn <= after || range->range.lsn > until)
            continue;
        ok = ARRAY_PUSH(chosen, count, range->range);
    }
    if (ok && count) ok = (*set = range_set_create(chosen, count)) != NULL;
    free(chosen);
    return ok;
}

/* Count, then of each: tenant, database, table, LSN as a difference to the one before, lower, upper. */
bool ranges_encode(struct buffer *into, const struct ranges *ranges) {
    bool ok = buffer_append_varint(into, ranges->count);
    uint64_t before = 0;
    for (uint64_t i = 0; ok && i < ranges->count; i++) {
        const struct noted_range *range = &ranges->all[i];
        ok = buffer_append_varint(into, range->table.tenant) && buffer_append_varint(into, range->table.database) &&
             buffer_append_varint(into, range->table.table) && buffer_append_varint(into, range->range.lsn - before) &&
             buffer_append_string(into, range->range.lower) && buffer_append_string(into, range->range.upper);
        before = range->range.lsn;
    }
    return ok;
}

bool ranges_decode(struct reader *from, struct ranges *ranges) {
    uint64_t lsn = 0;
    for (uint64_t left = reader_varint(from); left && !from->failed; left--) {
        struct table_id table = {0};
        struct deleted_range range = {0};
        table.tenant = reader_varint32(from);
        table.database = reader_varint32(from);
        table.table = reader_varint32(from);
        range.lsn = lsn += reader_varint(from);
        range.lower = reader_string(from);
        range.upper = reader_string(from);
        if (!from->failed && !ranges_add(ranges, table, &range)) return false;
    }
    return !from->failed;
}

/* ---- views ---- */

uint64_t view_covered_lsn(const struct view *view, struct table_id table, struct slice key, uint64_t lsn) {
    const struct deleted_range *best = NULL;
    for (size_t i = 0; i < view->memtable_count; i++)
        memtable_find_range(view->memtables[i].memtable, table, key, lsn, &best);
    if (view->has_ranges) {
        const struct view_table *found = view_find_table(view, table);
        if (found && found->ranges) range_set_find(found->ranges, key, lsn, &best);
    }
    return best ? best->lsn : 0;
}

enum plinth_status view_ranges(const struct view *view, struct table_id table, uint64_t lsn, struct range_view *into,
                               struct plinth_error *error) {
    *into = (struct range_view){.lsn_max = lsn};
    const struct view_table *found = view_find_table(view, table);
    bool ok = !found || range_view_add(into, found->ranges);
    for (size_t i = 0; ok && i < view->memtable_count; i++)
        ok = memtable_ranges(view->memtables[i].memtable, table, into);
    if (ok) return PLINTH_OK;
    range_view_deinit(into);
    return error_no_memory(error, "range deletes");
}

bool range_is_needed(const struct deleted_range *range, const struct segment_info *segment) {
    return segment->lsn_min < range->lsn && segment->purged_lsn < range->lsn &&
           deleted_range_meets(range, buffer_slice(&segment->key_min), buffer_slice(&segment->key_max));
}

static bool hides_wholly(const struct deleted_range *range, const struct segment_info *segment) {
    return segment->lsn_max < range->lsn &&
           deleted_range_contains(range, buffer_slice(&segment->key_min), buffer_slice(&segment->key_max));
}

size_t ranges_find_covered(const struct range_set *set, const struct run *run, uint64_t horizon_lsn, size_t *first) {
    size_t count = 0;
    *first = 0;
    for (size_t s = 0; s < run_segment_count(run); s++) {
        const struct segment_info *info = segment_info(run_segment(run, s));
        const struct deleted_range *range = NULL;
        range_set_find(set, buffer_slice(&info->key_min), horizon_lsn, &range);
        bool hidden = range && hides_wholly(range, info);
        if (!hidden && count) break;
        if (hidden && !count++)
            *first = s;
        else if (hidden)
            continue;
    }
    return count;
}

/* ---- jobs ---- */

/* The least table above `table` with range deletes in (after, until]; false when there is none. */
static bool next_table(const struct ranges *ranges, uint64_t after, uint64_t until, bool any, struct table_id *table) {
    struct table_id before = *table;
    bool found = false;
    for (uint64_t i = 0; i < ranges->count; i++) {
        const struct noted_range *range = &ranges->all[i];
        if (range->range.lsn <= after || range->range.lsn > until) continue;
        if (any && table_id_compare(range->table, before) <= 0) continue;
        if (found && table_id_compare(range->table, *table) >= 0) continue;
        *table = range->table;
        found = true;
    }
    return found;
}

enum plinth_status ranges_take_over(struct plinth *db, struct view *edited, uint64_t after, uint64_t until,
                                    struct plinth_error *error) {
    struct table_id table = {0};
    for (bool any = false; next_table(&db->shard.ranges, after, until, any, &table); any = true) {
        const struct view_table *found = view_find_table(edited, table);
        struct range_set *fresh, *both;
        if (!ranges_select(&db->shard.ranges, table, after, until, &fresh))
            return error_no_memory(error, "range deletes");
        if (found && found->ranges) {
            struct range_set *sets[] = {found->ranges, fresh};
            both = range_set_merge(sets, 2);
        } else {
            both = range_set_ref(fresh);
        }
        range_set_unref(fresh);
        if (!both || !view_set_ranges(edited, table, both)) {
            range_set_unref(both);
            return error_no_memory(error, "range deletes");
        }
    }
    return PLINTH_OK;
}

static bool is_needed(const struct view_table *table, const struct deleted_range *range) {
    for (size_t r = 0; r < table->run_count; r++) {
        const struct run *run = table->runs[r].run;
        size_t first, end;
        run_segments_meeting(run, range->lower, range->upper, &first, &end);
        for (size_t s = first; s < end; s++)
            if (range_is_needed(range, segment_info(run_segment(run, s)))) return true;
    }
    return false;
}

bool ranges_are_needed(const struct view_table *table) {
    for (size_t i = 0; i < range_set_count(table->ranges); i++)
        if (is_needed(table, range_set_at(table->ranges, i))) return true;
    return false;
}

static int lsn_compare(const void *a, const void *b) {
    const uint64_t *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

/* LSNs, ascending, whose range deletes of the table hide nothing: those of one record go together. `lsns` has room for
 * twice as many as there are. */
static size_t find_idle(const struct view_table *table, uint64_t *lsns) {
    size_t count = range_set_count(table->ranges), idle = 0, needed = 0, kept = 0;
    uint64_t *wanted = lsns + count;
    for (size_t i = 0; i < count; i++) {
        const struct deleted_range *range = range_set_at(table->ranges, i);
        if (is_needed(table, range))
            wanted[needed++] = range->lsn;
        else
            lsns[idle++] = range->lsn;
    }
    qsort(lsns, idle, sizeof *lsns, lsn_compare);
    qsort(wanted, needed, sizeof *wanted, lsn_compare);
    for (size_t i = 0; i < idle; i++)
        if (!has_lsn(wanted, needed, lsns[i]) && (!kept || lsns[kept - 1] != lsns[i])) lsns[kept++] = lsns[i];
    return kept;
}

/* What is left of the table's range deletes without those of these LSNs; null for none. False when memory is out. */
static bool without(const struct view_table *table, const uint64_t *lsns, size_t count, struct range_set **left) {
    size_t all = range_set_count(table->ranges);
    struct deleted_range *kept = malloc((all + 1) * sizeof *kept);
    size_t kept_count = 0;
    *left = NULL;
    for (size_t i = 0; kept && i < all; i++)
        if (!has_lsn(lsns, count, range_set_at(table->ranges, i)->lsn))
            kept[kept_count++] = *range_set_at(table->ranges, i);
    bool ok = kept && (!kept_count || (*left = range_set_create(kept, kept_count)) != NULL);
    free(kept);
    return ok;
}

/* The record, and the view without them. What hides nothing in one view hides nothing in later ones: what flushes write
 * from then on is newer, and merges write no more than they read. */
static enum plinth_status drop(struct plinth *db, struct table_id table, const uint64_t *lsns, size_t count,
                               struct plinth_error *error) {
    struct buffer payload = BUFFER_INIT;
    struct record_header header = {.kind = CHANGE_RANGES_GONE, .durability = RECORD_WRITTEN};
    struct decision decision;
    uint64_t lsn = 0;
    struct range_set *left = NULL;
    if (!ranges_gone_encode(&payload, table, lsns, count)) {
        buffer_deinit(&payload);
        return error_no_memory(error, "range deletes");
    }
    pthread_mutex_lock(&db->sequence_mutex);
    struct view *view = view_edit(&db->views);
    enum plinth_status st = view ? PLINTH_OK : error_no_memory(error, "view");
    const struct view_table *found = view ? view_find_table(view, table) : NULL;
    if (!st && found && !without(found, lsns, count, &left)) st = error_no_memory(error, "range deletes");
    if (!st && found) st = engine_append_locked(db, &header, buffer_slice(&payload), NULL, 0, &lsn, &decision, error);
    if (!st && found && decision.verdict == VERDICT_APPLIED && view_set_ranges(view, table, left)) {
        left = NULL;
        view_publish(&db->views, view);
        view = NULL;
    }
    pthread_mutex_unlock(&db->sequence_mutex);
    if (lsn && !st) engine_sequenced(db, lsn);
    range_set_unref(left);
    view_discard(view);
    buffer_deinit(&payload);
    return st;
}

enum plinth_status engine_drop_ranges(struct plinth *db, struct plinth_error *error) {
    enum { AT_ONCE_MAX = 64 << 10 }; /* in a record */
    struct view *view = view_current(&db->views);
    enum plinth_status st = PLINTH_OK;
    for (size_t t = 0; !st && view->has_ranges && t < view->table_count; t++) {
        const struct view_table *table = &view->tables[t];
        if (!table->ranges) continue;
        uint64_t *lsns = malloc(2 * range_set_count(table->ranges) * sizeof *lsns);
        size_t count = lsns ? find_idle(table, lsns) : 0;
        if (!lsns) st = error_no_memory(error, "range deletes");
        for (size_t at = 0; !st && at < count; at += AT_ONCE_MAX)
            st = drop(db, table->id, lsns + at, count - at < AT_ONCE_MAX ? count - at : AT_ONCE_MAX, error);
        free(lsns);
    }
    view_unref(view);
    return st;
}
