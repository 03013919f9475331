#include "query/key_range.h"

#include <stdlib.h>

#include "column/key_encoding.h"

/* What is known of one part: values it must equal one of, or bounds. */
struct part_bounds {
    const struct predicate *values; /* = or IN; the one with the fewest values */
    const struct predicate *prefix;
    const struct predicate *lower; /* > or >= */
    const struct predicate *upper; /* < or <= */
    bool is_null;
};

struct maker {
    struct arena *arena;
    const struct key_part *parts;
    uint32_t part_count;
    enum row_key_form form;
    uint32_t ranges_max;
    bool failed;
};

static uint32_t value_count(const struct predicate *p) { return p->kind == PREDICATE_IN ? p->value_count : 1; }

static void note(struct part_bounds *bounds, const struct predicate *p) {
    switch (p->kind) {
    case PREDICATE_IN:
        if (!bounds->values || value_count(p) < value_count(bounds->values)) bounds->values = p;
        break;
    case PREDICATE_COMPARE:
        if (p->comparison == COMPARE_EQ) {
            bounds->values = p;
        } else if (p->comparison == COMPARE_GT || p->comparison == COMPARE_GE) {
            if (!bounds->lower) bounds->lower = p;
        } else if (p->comparison == COMPARE_LT || p->comparison == COMPARE_LE) {
            if (!bounds->upper) bounds->upper = p;
        }
        break;
    case PREDICATE_CONTAINS: bounds->values = p; break;
    case PREDICATE_PREFIX: bounds->prefix = p; break;
    case PREDICATE_IS_NULL: bounds->is_null = true; break;
    default: break;
    }
}

static bool is_of(const struct predicate *leaf, const struct key_part *part) {
    if (leaf->kind < PREDICATE_COMPARE || leaf->column != part->column) return false;
    if (part->function == FUNCTION_ELEMENTS) return leaf->kind == PREDICATE_CONTAINS && leaf->values.type.kind;
    return leaf->function == part->function && leaf->kind != PREDICATE_CONTAINS;
}

static struct part_bounds bounds_of(const struct predicate *predicate, const struct key_part *part) {
    struct part_bounds bounds = {0};
    if (!predicate) return bounds;
    if (predicate->kind != PREDICATE_AND) {
        if (is_of(predicate, part)) note(&bounds, predicate);
        return bounds;
    }
    for (uint32_t i = 0; i < predicate->child_count; i++)
        if (is_of(predicate->children[i], part)) note(&bounds, predicate->children[i]);
    return bounds;
}

static bool never_true(const struct predicate *predicate) {
    return predicate && predicate->kind == PREDICATE_CONSTANT && predicate->constant != TRUTH_TRUE;
}

static struct slice keep(struct maker *maker, const struct buffer *bytes) {
    uint8_t *copy = arena_copy(maker->arena, buffer_slice(bytes));
    if (!copy) maker->failed = true;
    return slice_of(copy, copy ? bytes->size : 0);
}

/* The first key above all that start with `bytes`; empty when there is none. */
static struct slice behind_prefix(struct maker *maker, const struct buffer *bytes) {
    struct buffer after = BUFFER_INIT;
    if (!prefix_successor(&after, buffer_slice(bytes))) maker->failed = true;
    struct slice kept = after.size ? keep(maker, &after) : slice_of(NULL, 0);
    buffer_deinit(&after);
    return kept;
}

static bool is_raw(const struct maker *maker, uint32_t part) {
    return maker->form == ROW_KEY_PRIMARY && part + 1 == maker->part_count &&
           column_kind_is_bytes(maker->parts[part].type.kind);
}

static void append_value(struct maker *maker, struct buffer *into, const struct predicate *p, uint32_t row,
                         uint32_t part) {
    bool last = part + 1 == maker->part_count;
    if (!row_key_append_part(into, &p->values, row, maker->form, last)) maker->failed = true;
}

/* The smallest key of which every key with this part above the value is not below. `bytes` ends with the part. */
static struct slice behind_value(struct maker *maker, struct buffer *bytes, uint32_t part) {
    if (!is_raw(maker, part)) return behind_prefix(maker, bytes);
    if (!buffer_append_u8(bytes, 0)) maker->failed = true;
    return keep(maker, bytes);
}

/* Bounds of the part that is not fixed, behind the encoded parts before it. */
static struct key_range range_of(struct maker *maker, struct slice before, const struct part_bounds *bounds,
                                 uint32_t part) {
    struct buffer bytes = BUFFER_INIT;
    if (!buffer_append(&bytes, before.data, before.size)) maker->failed = true;
    struct key_range range = {keep(maker, &bytes), behind_prefix(maker, &bytes)};
    if (bounds->is_null || bounds->prefix || bounds->lower || bounds->upper) {
        /* Of an index, nulls come first and only IS NULL wants them. */
        if (maker->form == ROW_KEY_INDEX) {
            if (!buffer_append_u8(&bytes, bounds->is_null ? 1 : 2)) maker->failed = true;
            range = (struct key_range){keep(maker, &bytes), behind_prefix(maker, &bytes)};
        }
        if (bounds->lower) {
            bytes.size = before.size;
            append_value(maker, &bytes, bounds->lower, 0, part);
            range.lower =
                bounds->lower->comparison == COMPARE_GE ? keep(maker, &bytes) : behind_value(maker, &bytes, part);
        }
        if (bounds->upper) {
            bytes.size = before.size;
            append_value(maker, &bytes, bounds->upper, 0, part);
            range.upper =
                bounds->upper->comparison == COMPARE_LT ? keep(maker, &bytes) : behind_value(maker, &bytes, part);
        }
        if (bounds->prefix && !bounds->lower && !bounds->upper) {
            struct slice text = column_bytes_at(&bounds->prefix->values, 0);
            bytes.size = before.size;
            bool ok = maker->form == ROW_KEY_PRIMARY || buffer_append_u8(&bytes, 2);
            ok = ok && (is_raw(maker, part) ? buffer_append(&bytes, text.data, text.size)
                                            : escaped_append_prefix(&bytes, text));
            if (!ok) maker->failed = true;
            range = (struct key_range){keep(maker, &bytes), behind_prefix(maker, &bytes)};
        }
    }
    buffer_deinit(&bytes);
    return range;
}

static int range_compare(const void *a, const void *b) {
    return slice_compare(((const struct key_range *)a)->lower, ((const struct key_range *)b)->lower);
}

/* Drops empty ranges and joins those that overlap. */
static uint32_t tidy(struct key_range *ranges, uint32_t count) {
    uint32_t kept = 0;
    qsort(ranges, count, sizeof *ranges, range_compare);
    for (uint32_t i = 0; i < count; i++) {
        struct key_range range = ranges[i];
        if (range.upper.size && slice_compare(range.lower, range.upper) >= 0) continue;
        struct key_range *last = kept ? &ranges[kept - 1] : NULL;
        if (last && (!last->upper.size || slice_compare(range.lower, last->upper) < 0)) {
            if (last->upper.size && (!range.upper.size || slice_compare(range.upper, last->upper) > 0))
                last->upper = range.upper;
            continue;
        }
        ranges[kept++] = range;
    }
    return kept;
}

/* The encoded prefixes that the fixed parts give: every combination of their values. */
static struct slice *fixed_prefixes(struct maker *maker, const struct predicate *predicate, uint32_t *count,
                                    uint32_t *parts_fixed) {
    struct slice *prefixes = arena_zalloc(maker->arena, sizeof *prefixes);
    *count = 1;
    *parts_fixed = 0;
    if (!prefixes) maker->failed = true;
    for (uint32_t part = 0; !maker->failed && part < maker->part_count; part++) {
        struct part_bounds bounds = bounds_of(predicate, &maker->parts[part]);
        if (!bounds.values) break;
        uint32_t values = value_count(bounds.values);
        if ((uint64_t)*count * values > maker->ranges_max) break;
        struct slice *longer = arena_alloc(maker->arena, ((size_t)*count * values + 1) * sizeof *longer);
        if (!longer) maker->failed = true;
        struct buffer bytes = BUFFER_INIT;
        for (uint32_t i = 0; !maker->failed && i < *count; i++)
            for (uint32_t v = 0; !maker->failed && v < values; v++) {
                buffer_clear(&bytes);
                if (!buffer_append(&bytes, prefixes[i].data, prefixes[i].size)) maker->failed = true;
                append_value(maker, &bytes, bounds.values, v, part);
                longer[(size_t)i * values + v] = keep(maker, &bytes);
            }
        buffer_deinit(&bytes);
        prefixes = longer;
        *count *= values;
        *parts_fixed = part + 1;
    }
    return prefixes;
}

static int slices_compare(const void *a, const void *b) {
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

/* Ranges for a part that has too many values to be fixed: those of each prefix fall into clusters of neighbours. */
static uint32_t clusters_of(struct maker *maker, const struct slice *prefixes, uint32_t prefix_count,
                            const struct predicate *values, uint32_t part, struct key_range **ranges) {
    uint32_t count = value_count(values), clusters = maker->ranges_max / prefix_count;
    struct slice *encoded = arena_alloc(maker->arena, ((size_t)count + 1) * sizeof *encoded);
    *ranges = arena_zalloc(maker->arena, ((size_t)prefix_count * clusters + 1) * sizeof **ranges);
    struct buffer bytes = BUFFER_INIT;
    if (!encoded || !*ranges) maker->failed = true;
    for (uint32_t v = 0; !maker->failed && v < count; v++) {
        buffer_clear(&bytes);
        append_value(maker, &bytes, values, v, part);
        encoded[v] = keep(maker, &bytes);
    }
    if (!maker->failed) qsort(encoded, count, sizeof *encoded, slices_compare);
    uint32_t made = 0;
    for (uint32_t i = 0; i < prefix_count; i++)
        for (uint32_t c = 0; !maker->failed && c < clusters; c++) {
            uint32_t first = (uint32_t)((uint64_t)count * c / clusters);
            uint32_t end = (uint32_t)((uint64_t)count * (c + 1) / clusters);
            if (first == end) continue;
            const struct slice *ends[] = {&encoded[first], &encoded[end - 1]};
            struct key_range range = {0};
            for (int e = 0; e < 2; e++) {
                buffer_clear(&bytes);
                if (!buffer_append(&bytes, prefixes[i].data, prefixes[i].size) ||
                    !buffer_append(&bytes, ends[e]->data, ends[e]->size))
                    maker->failed = true;
                if (e == 0)
                    range.lower = keep(maker, &bytes);
                else
                    range.upper = behind_value(maker, &bytes, part);
            }
            (*ranges)[made++] = range;
        }
    buffer_deinit(&bytes);
    return made;
}

bool key_ranges_make(const struct predicate *predicate, const struct key_part *parts, uint32_t part_count,
                     enum row_key_form form, uint32_t ranges_max, struct arena *arena, struct key_ranges *ranges) {
    struct maker maker = {arena, parts, part_count, form, ranges_max, false};
    *ranges = (struct key_ranges){0};
    if (never_true(predicate)) {
        ranges->bounded = true;
        return true;
    }
    uint32_t count;
    struct slice *prefixes = fixed_prefixes(&maker, predicate, &count, &ranges->parts_fixed);
    if (maker.failed) return false;
    ranges->ranges = arena_zalloc(arena, ((size_t)count + 1) * sizeof *ranges->ranges);
    if (!ranges->ranges) return false;
    struct part_bounds next = {0};
    if (ranges->parts_fixed < part_count) next = bounds_of(predicate, &parts[ranges->parts_fixed]);
    if (next.values) {
        ranges->bounded = true;
        count = clusters_of(&maker, prefixes, count, next.values, ranges->parts_fixed, &ranges->ranges);
        if (!maker.failed) ranges->count = tidy(ranges->ranges, count);
        return !maker.failed;
    }
    ranges->bounded = ranges->parts_fixed || next.is_null || next.prefix || next.lower || next.upper;
    ranges->points = form == ROW_KEY_PRIMARY && part_count && ranges->parts_fixed == part_count;
    for (uint32_t i = 0; !maker.failed && i < count; i++) {
        if (ranges->points) {
            struct buffer key = BUFFER_INIT;
            if (!buffer_append(&key, prefixes[i].data, prefixes[i].size) || !buffer_append_u8(&key, 0))
                maker.failed = true;
            ranges->ranges[i] = (struct key_range){prefixes[i], keep(&maker, &key)};
            buffer_deinit(&key);
        } else {
            ranges->ranges[i] = range_of(&maker, prefixes[i], &next, ranges->parts_fixed);
        }
    }
    ranges->count = tidy(ranges->ranges, count);
    return !maker.failed;
}
