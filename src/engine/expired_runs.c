#include "engine/expired_runs.h"

#include <stdlib.h>

#include "base/status.h"
#include "expr/predicate.h"
#include "table/expired_rows.h"
#include "table/row_segment.h"

enum { SEGMENTS_LOOKED_AT = 64 }; /* of a run; of more, about as many, evenly spread */

/* What a segment tells of its expiry column. */
struct expiry_bounds {
    uint64_t rows, nulls; /* deletes count as nulls, or as rows where the column is part of the key */
    bool nulls_known, has_values;
    int64_t min, max;
};

static int64_t value_of(const struct column *column) {
    return column->type.kind == COLUMN_DATE ? ((const int32_t *)column->values)[0]
                                            : ((const int64_t *)column->values)[0];
}

static enum plinth_status bounds_of(struct segment *segment, const struct table_schema *schema,
                                    struct expiry_bounds *bounds, struct plinth_error *error) {
    struct arena arena;
    struct column_bounds known;
    arena_init(&arena);
    *bounds = (struct expiry_bounds){.rows = segment_info(segment)->rows};
    enum plinth_status st = segment_column_bounds(segment, schema, schema->expire_column, &arena, &known, error);
    if (!st) {
        bounds->nulls_known = known.has_nulls_known;
        bounds->nulls = known.has_nulls_known ? known.null_count : 0;
        bounds->has_values = known.has_values;
        if (known.has_values) {
            bounds->min = value_of(&known.min);
            bounds->max = value_of(&known.max);
        }
    }
    arena_deinit(&arena);
    return st;
}

static uint64_t expired_in_segment(const struct expiry_bounds *bounds, int64_t last) {
    uint64_t rows = bounds->rows > bounds->nulls ? bounds->rows - bounds->nulls : 0;
    if (!bounds->has_values || bounds->min > last || !rows) return 0;
    if (bounds->max <= last) return rows;
    double part = ((double)last - (double)bounds->min + 1) / ((double)bounds->max - (double)bounds->min + 1);
    uint64_t expired = (uint64_t)((double)rows * part);
    return expired ? expired : 1; /* the least one */
}

/* In a key the time of a deleted row is there still, and would be counted over and over. */
static bool is_held(const struct segment_info *info, uint64_t horizon_lsn) {
    return info->deletes && info->lsn_max > horizon_lsn;
}

uint64_t expired_rows_in_run(const struct table_schema *schema, const struct run *run, uint64_t horizon_lsn,
                             uint64_t time_us) {
    int64_t last;
    if (!expired_rows_last(schema, time_us, &last)) return 0;
    size_t count = run_segment_count(run), step = (count + SEGMENTS_LOOKED_AT - 1) / SEGMENTS_LOOKED_AT;
    uint64_t expired = 0;
    for (size_t i = 0; i < count; i += step) {
        struct segment *segment = run_segment(run, i);
        struct expiry_bounds bounds;
        if (is_held(segment_info(segment), horizon_lsn) || bounds_of(segment, schema, &bounds, NULL)) continue;
        expired += expired_in_segment(&bounds, last) * step;
    }
    return expired < run_rows(run) ? expired : run_rows(run);
}

/* ---- segments that need not be read ---- */

static bool all_expired(const struct expiry_bounds *bounds, int64_t last) {
    return bounds->has_values && bounds->nulls_known && !bounds->nulls && bounds->max <= last;
}

static bool overlaps(const struct segment_info *a, const struct segment_info *b) {
    return slice_compare(buffer_slice(&a->key_min), buffer_slice(&b->key_max)) <= 0 &&
           slice_compare(buffer_slice(&b->key_min), buffer_slice(&a->key_max)) <= 0;
}

static bool hides_nothing(const struct merge *merge, size_t input, const struct segment_info *info) {
    for (size_t i = input + 1; i < merge->count; i++) {
        const struct run *older = merge->inputs[i].read;
        for (size_t s = 0; older && s < run_segment_count(older); s++)
            if (overlaps(info, segment_info(run_segment(older, s)))) return false;
    }
    return true;
}

static enum plinth_status choose_of_part(struct merge *merge, size_t input, int64_t last, struct plinth_error *error) {
    struct run *part = merge->inputs[input].part;
    size_t count = run_segment_count(part), kept = 0;
    struct segment **segments = malloc((count + 1) * sizeof *segments);
    enum plinth_status st = segments ? PLINTH_OK : error_no_memory(error, "compaction");
    for (size_t s = 0; !st && s < count; s++) {
        struct segment *segment = run_segment(part, s);
        struct expiry_bounds bounds;
        st = bounds_of(segment, merge->schema, &bounds, error);
        if (st) break;
        bool passes = all_expired(&bounds, last) &&
                      (!merge->schema->key_count || hides_nothing(merge, input, segment_info(segment)));
        if (!passes) segments[kept++] = segment_ref(segment);
    }
    if (!st && kept) {
        st = run_create(segments, kept, &merge->inputs[input].read, error);
        kept = 0;
    }
    for (size_t s = 0; s < kept; s++) segment_unref(segments[s]);
    free(segments);
    return st;
}

enum plinth_status merge_choose_read(struct merge *merge, struct plinth_error *error) {
    int64_t last;
    bool chooses = merge->bottom && expired_rows_last(merge->schema, merge->expired_us, &last);
    enum plinth_status st = PLINTH_OK;
    for (size_t i = merge->count; !st && i-- > 0;) { /* the oldest first: what it loses, newer ones need not hide */
        struct merge_input *input = &merge->inputs[i];
        if (input->part && chooses)
            st = choose_of_part(merge, i, last, error);
        else if (input->part)
            input->read = run_ref(input->part);
    }
    return st;
}
