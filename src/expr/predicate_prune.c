/* Pruning: what bounds of columns say about all rows of a stretch at once.
 *
 * Each node is judged by what its values can be: none true, all true, or some. A verdict of all also takes that there
 * is no null. Bounds need not be attained (they may be truncated): every value lies between them, no more is known. */
#include "expr/predicate_private.h"

static bool is_all_null(const struct column_bounds *bounds) {
    return bounds->has_nulls_known && bounds->null_count >= bounds->rows;
}

static bool has_no_null(const struct column_bounds *bounds) {
    return bounds->has_nulls_known && bounds->null_count == 0;
}

/* The verdict over all rows from the one over those with a value. */
static enum prune_verdict with_nulls(const struct column_bounds *bounds, enum prune_verdict values) {
    return values == PRUNE_ALL && !has_no_null(bounds) ? PRUNE_SOME : values;
}

static enum prune_verdict opposite(enum prune_verdict values) {
    return values == PRUNE_SOME ? PRUNE_SOME : values == PRUNE_ALL ? PRUNE_NONE : PRUNE_ALL;
}

static enum prune_verdict verdict_of(bool none, bool all) { return none ? PRUNE_NONE : all ? PRUNE_ALL : PRUNE_SOME; }

static enum prune_verdict prune_compare(const struct predicate *node, const struct scalar *min,
                                        const struct scalar *max) {
    enum scalar_class class = scalar_class_of(node->values.type.kind);
    struct scalar value = scalar_at(&node->values, 0);
    int low = scalar_compare(class, min, &value), high = scalar_compare(class, max, &value);
    enum prune_verdict equal = verdict_of(low > 0 || high < 0, low == 0 && high == 0);
    switch (node->comparison) {
    case COMPARE_EQ: return equal;
    case COMPARE_NE: return opposite(equal);
    case COMPARE_LT: return verdict_of(low >= 0, high < 0);
    case COMPARE_LE: return verdict_of(low > 0, high <= 0);
    case COMPARE_GT: return verdict_of(high <= 0, low > 0);
    default: return verdict_of(high < 0, low >= 0);
    }
}

/* The first of the sorted values that is not below `min` decides. */
static enum prune_verdict prune_in(const struct predicate *node, const struct scalar *min, const struct scalar *max) {
    enum scalar_class class = scalar_class_of(node->values.type.kind);
    uint32_t low = 0, high = node->value_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct scalar value = scalar_at(&node->values, middle);
        if (scalar_compare(class, &value, min) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == node->value_count) return PRUNE_NONE;
    struct scalar value = scalar_at(&node->values, low);
    bool above = scalar_compare(class, &value, max) > 0;
    return verdict_of(above, scalar_compare(class, min, max) == 0);
}

/* Strings between two that start with the prefix start with it, too. */
static enum prune_verdict prune_prefix(struct slice prefix, const struct scalar *min, const struct scalar *max) {
    bool low = slice_starts_with(min->bytes, prefix), high = slice_starts_with(max->bytes, prefix);
    bool none = slice_compare(max->bytes, prefix) < 0 || (!low && slice_compare(min->bytes, prefix) > 0);
    return verdict_of(none, low && high);
}

/* A prefix is all that is known of a pattern: it can exclude, but never prove. */
static enum prune_verdict prune_like(const struct predicate *node, const struct scalar *min, const struct scalar *max) {
    enum prune_verdict prefix = prune_prefix(like_prefix(node->compiled), min, max);
    return prefix == PRUNE_NONE ? PRUNE_NONE : PRUNE_SOME;
}

static enum prune_verdict prune_values(const struct predicate *node, const struct column_bounds *bounds) {
    if (!bounds->has_values || scalar_class_of(node->values.type.kind) == SCALAR_NONE) return PRUNE_SOME;
    if (node->kind == PREDICATE_WORDS || node->kind == PREDICATE_CONTAINS) return PRUNE_SOME;
    struct scalar min = scalar_at(&bounds->min, 0), max = scalar_at(&bounds->max, 0);
    switch (node->kind) {
    case PREDICATE_COMPARE: return prune_compare(node, &min, &max);
    case PREDICATE_IN: return prune_in(node, &min, &max);
    case PREDICATE_PREFIX: return prune_prefix(scalar_at(&node->values, 0).bytes, &min, &max);
    default: return prune_like(node, &min, &max);
    }
}

static enum prune_verdict prune_leaf(const struct predicate *node, bool wanted, const struct column_bounds *bounds) {
    if (!bounds) return PRUNE_SOME;
    if (node->kind == PREDICATE_IS_NULL) {
        enum prune_verdict nulls = verdict_of(has_no_null(bounds), is_all_null(bounds));
        return wanted ? nulls : opposite(nulls);
    }
    if (is_all_null(bounds)) return PRUNE_NONE;
    if (!wanted && node->kind == PREDICATE_IN && node->has_null_literal) return PRUNE_NONE;
    enum prune_verdict values = prune_values(node, bounds);
    return with_nulls(bounds, wanted ? values : opposite(values));
}

enum prune_verdict predicate_prune(const struct predicate *bound, const struct column_bounds *const *bounds) {
    enum prune_verdict decisive = bound->kind == PREDICATE_AND ? PRUNE_NONE : PRUNE_ALL, verdict = opposite(decisive);
    switch (bound->kind) {
    case PREDICATE_CONSTANT: return bound->constant == TRUTH_TRUE ? PRUNE_ALL : PRUNE_NONE;
    case PREDICATE_NOT:
        if (bound->children[0]->function) return PRUNE_SOME;
        return prune_leaf(bound->children[0], false, bounds[bound->children[0]->column]);
    case PREDICATE_AND:
    case PREDICATE_OR:
        for (uint32_t i = 0; i < bound->child_count; i++) {
            enum prune_verdict child = predicate_prune(bound->children[i], bounds);
            if (child == decisive) return decisive;
            if (child == PRUNE_SOME) verdict = PRUNE_SOME;
        }
        return verdict;
    default: return bound->function ? PRUNE_SOME : prune_leaf(bound, true, bounds[bound->column]);
    }
}

/* A float that is zero or NaN has several bit patterns, and a filter over bytes may know another one. */
static bool has_one_pattern(const struct column *values, uint32_t row) {
    if (!column_kind_is_float(values->type.kind)) return true;
    double real = scalar_at(values, row).real;
    return real < 0 || real > 0;
}

bool predicate_may_match_values(const struct predicate *bound, predicate_value_probe *maybe, void *context) {
    bool is_equality = bound->kind == PREDICATE_COMPARE && bound->comparison == COMPARE_EQ;
    if (bound->kind == PREDICATE_CONSTANT) return bound->constant == TRUTH_TRUE;
    if (bound->kind == PREDICATE_AND) {
        for (uint32_t i = 0; i < bound->child_count; i++) {
            if (!predicate_may_match_values(bound->children[i], maybe, context)) return false;
        }
        return true;
    }
    if (bound->kind == PREDICATE_OR) {
        for (uint32_t i = 0; i < bound->child_count; i++) {
            if (predicate_may_match_values(bound->children[i], maybe, context)) return true;
        }
        return false;
    }
    if ((!is_equality && bound->kind != PREDICATE_IN) || bound->function) return true;
    for (uint32_t i = 0; i < bound->value_count; i++) {
        if (!has_one_pattern(&bound->values, i) || maybe(context, bound->column, &bound->values, i)) return true;
    }
    return false;
}
