/* Evaluation narrows a selection: a word-wise bitmap of the rows that still count, from which every node takes away the
 * rows that it does not make true. AND hands the selection from child to child; OR gives each child the rows that none
 * before it made true. So a later child sees only what is undecided, and stops at an empty selection. */
#include "expr/predicate_kernels.h"
#include "expr/predicate_private.h"

struct evaluation {
    const struct column *const *columns;
    uint32_t rows;
    uint32_t words;
    struct arena *scratch;
};

static bool narrow(const struct evaluation *evaluation, const struct predicate *node, uint64_t *selection);

static bool is_empty(const uint64_t *selection, uint32_t words) {
    uint64_t any = 0;
    for (uint32_t i = 0; i < words; i++) any |= selection[i];
    return any == 0;
}

static bool narrow_and(const struct evaluation *evaluation, const struct predicate *node, uint64_t *selection) {
    for (uint32_t i = 0; i < node->child_count; i++) {
        if (is_empty(selection, evaluation->words)) return true;
        if (!narrow(evaluation, node->children[i], selection)) return false;
    }
    return true;
}

static bool narrow_or(const struct evaluation *evaluation, const struct predicate *node, uint64_t *selection) {
    size_t bytes = (size_t)evaluation->words * sizeof *selection;
    uint64_t *candidates = arena_alloc(evaluation->scratch, bytes);
    uint64_t *undecided = arena_alloc(evaluation->scratch, bytes);
    if (!candidates || !undecided) return false;
    memcpy(undecided, selection, bytes);
    for (uint32_t i = 0; i < node->child_count && !is_empty(undecided, evaluation->words); i++) {
        memcpy(candidates, undecided, bytes);
        if (!narrow(evaluation, node->children[i], candidates)) return false;
        for (uint32_t w = 0; w < evaluation->words; w++) undecided[w] &= ~candidates[w];
    }
    for (uint32_t w = 0; w < evaluation->words; w++) selection[w] &= ~undecided[w];
    return true;
}

/* A row's list contains the value when an element's bit is 1; it does not when none is, and no element is null. */
static bool narrow_contains(const struct evaluation *evaluation, const struct predicate *node, bool wanted,
                            uint64_t *selection) {
    const struct column *lists = evaluation->columns[node->column], *elements = lists->child;
    uint32_t count = lists->offsets[evaluation->rows];
    size_t words = ((size_t)count + 63) / 64;
    uint64_t *hits = arena_alloc(evaluation->scratch, (words + 1) * sizeof *hits);
    if (!hits) return false;
    for (size_t w = 0; w < words; w++) hits[w] = UINT64_MAX;
    if (count % 64) hits[words - 1] = (1ull << count % 64) - 1;
    if (elements->validity) kernel_bits(elements->validity, count, true, hits);
    if (node->value_count == 0) {
        memset(hits, 0, words * sizeof *hits);
    } else if (elements->type.kind == COLUMN_BOOL) {
        kernel_bits(elements->values, count, bitmap_get(node->values.values, 0), hits);
    } else {
        kernel_compare(elements, count, COMPARE_EQ, &node->values, hits);
    }
    for (uint32_t row = 0; row < evaluation->rows; row++) {
        uint64_t bit = 1ull << row % 64;
        if (!(selection[row / 64] & bit)) continue;
        bool contains = false, has_null = false;
        for (uint32_t i = lists->offsets[row]; i < lists->offsets[row + 1]; i++) {
            contains |= hits[i / 64] >> i % 64 & 1;
            has_null |= column_is_null(elements, i);
        }
        if (wanted ? !contains : contains || has_null) selection[row / 64] &= ~bit;
    }
    return true;
}

static bool matches_like(const void *context, struct slice text) { return like_match(context, text); }
static bool matches_words(const void *context, struct slice text) { return word_list_match(context, text); }

static bool narrow_leaf(const struct evaluation *evaluation, const struct predicate *node, bool wanted,
                        uint64_t *selection) {
    const struct column *column = evaluation->columns[node->column];
    uint32_t rows = evaluation->rows;
    struct column result;
    if (node->function) {
        if (!column_function_apply(evaluation->scratch, node->function, column, rows, &result)) return false;
        column = &result;
    }
    if (node->kind == PREDICATE_IS_NULL) {
        if (column->validity) {
            kernel_bits(column->validity, rows, !wanted, selection);
        } else if (wanted) {
            memset(selection, 0, (size_t)evaluation->words * sizeof *selection);
        }
        return true;
    }
    if (column->validity) kernel_bits(column->validity, rows, true, selection);
    switch (node->kind) {
    case PREDICATE_COMPARE:
        if (column->type.kind == COLUMN_BOOL) {
            kernel_bits(column->values, rows, bitmap_get(node->values.values, 0), selection);
        } else {
            kernel_compare(column, rows, node->comparison, &node->values, selection);
        }
        return true;
    case PREDICATE_IN:
        if (node->has_null_literal && !wanted) {
            memset(selection, 0, (size_t)evaluation->words * sizeof *selection);
        } else {
            value_set_narrow(node->compiled, column, rows, wanted, selection);
        }
        return true;
    case PREDICATE_PREFIX:
        kernel_prefix(column, rows, column_bytes_at(&node->values, 0), wanted, selection);
        return true;
    case PREDICATE_LIKE:
        kernel_filter_bytes(column, rows, matches_like, node->compiled, wanted, selection);
        return true;
    case PREDICATE_WORDS:
        kernel_filter_bytes(column, rows, matches_words, node->compiled, wanted, selection);
        return true;
    default: return narrow_contains(evaluation, node, wanted, selection);
    }
}

static bool narrow(const struct evaluation *evaluation, const struct predicate *node, uint64_t *selection) {
    switch (node->kind) {
    case PREDICATE_CONSTANT:
        if (node->constant != TRUTH_TRUE) memset(selection, 0, (size_t)evaluation->words * sizeof *selection);
        return true;
    case PREDICATE_AND: return narrow_and(evaluation, node, selection);
    case PREDICATE_OR: return narrow_or(evaluation, node, selection);
    case PREDICATE_NOT: return narrow_leaf(evaluation, node->children[0], false, selection);
    default: return narrow_leaf(evaluation, node, true, selection);
    }
}

bool predicate_evaluate(const struct predicate *bound, const struct column *const *columns, uint32_t rows,
                        const uint8_t *among, uint8_t *selected, struct arena *scratch) {
    if (rows == 0) return true;
    struct evaluation evaluation = {columns, rows, (rows + 63) / 64, scratch};
    uint64_t *selection = arena_alloc(scratch, (size_t)evaluation.words * sizeof *selection);
    if (!selection) return false;
    size_t bytes = ((size_t)rows + 7) / 8;
    selection[evaluation.words - 1] = 0;
    if (among) {
        memcpy(selection, among, bytes);
    } else {
        memset(selection, 0xff, bytes);
    }
    if (rows % 64) selection[evaluation.words - 1] &= (1ull << rows % 64) - 1;
    if (!narrow(&evaluation, bound, selection)) return false;
    memcpy(selected, selection, bytes);
    return true;
}

/* ---- one row ---- */

static enum predicate_constant truth_of(bool truth) { return truth ? TRUTH_TRUE : TRUTH_FALSE; }

static enum predicate_constant truth_not(enum predicate_constant truth) {
    return truth == TRUTH_UNKNOWN ? truth : truth_of(truth == TRUTH_FALSE);
}

static bool compare_holds(enum predicate_comparison comparison, int order) {
    switch (comparison) {
    case COMPARE_NE: return order != 0;
    case COMPARE_LT: return order < 0;
    case COMPARE_LE: return order <= 0;
    case COMPARE_GT: return order > 0;
    case COMPARE_GE: return order >= 0;
    default: return order == 0;
    }
}

static enum predicate_constant row_in(const struct predicate *node, const struct scalar *value) {
    enum scalar_class class = scalar_class_of(node->values.type.kind);
    uint32_t low = 0, high = node->value_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct scalar other = scalar_at(&node->values, middle);
        int order = scalar_compare(class, &other, value);
        if (order == 0) return TRUTH_TRUE;
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return node->has_null_literal ? TRUTH_UNKNOWN : TRUTH_FALSE;
}

static enum predicate_constant row_contains(const struct predicate *node, const struct column *lists, uint32_t row) {
    enum predicate_constant truth = TRUTH_FALSE;
    for (uint32_t i = lists->offsets[row]; i < lists->offsets[row + 1]; i++) {
        if (column_is_null(lists->child, i)) {
            truth = TRUTH_UNKNOWN;
        } else if (node->value_count) {
            struct scalar element = scalar_at(lists->child, i), wanted = scalar_at(&node->values, 0);
            if (scalar_compare(scalar_class_of(node->values.type.kind), &element, &wanted) == 0) return TRUTH_TRUE;
        }
    }
    return truth;
}

static enum predicate_constant row_leaf(const struct predicate *node, const struct column *column, uint32_t row) {
    bool is_null = column_is_null(column, row);
    if (node->kind == PREDICATE_IS_NULL) return truth_of(is_null);
    if (is_null) return TRUTH_UNKNOWN;
    if (node->kind == PREDICATE_CONTAINS) return row_contains(node, column, row);
    struct scalar value = scalar_at(column, row), wanted = scalar_at(&node->values, 0);
    switch (node->kind) {
    case PREDICATE_COMPARE:
        return truth_of(
            compare_holds(node->comparison, scalar_compare(scalar_class_of(column->type.kind), &value, &wanted)));
    case PREDICATE_IN: return row_in(node, &value);
    case PREDICATE_PREFIX: return truth_of(slice_starts_with(value.bytes, wanted.bytes));
    case PREDICATE_LIKE: return truth_of(like_match(node->compiled, value.bytes));
    default: return truth_of(word_list_match(node->compiled, value.bytes));
    }
}

/* Unknown when memory is out. */
static enum predicate_constant row_function(const struct predicate *node, const struct column *column, uint32_t row) {
    struct arena arena;
    struct column one, result;
    enum predicate_constant truth = TRUTH_UNKNOWN;
    arena_init(&arena);
    if (column_gather(&arena, column, &row, 1, &one) && column_function_apply(&arena, node->function, &one, 1, &result))
        truth = row_leaf(node, &result, 0);
    arena_deinit(&arena);
    return truth;
}

enum predicate_constant predicate_evaluate_row(const struct predicate *bound, const struct column *const *columns,
                                               uint32_t row) {
    enum predicate_constant decisive = bound->kind == PREDICATE_AND ? TRUTH_FALSE : TRUTH_TRUE;
    enum predicate_constant truth = truth_not(decisive);
    switch (bound->kind) {
    case PREDICATE_CONSTANT: return bound->constant;
    case PREDICATE_NOT: return truth_not(predicate_evaluate_row(bound->children[0], columns, row));
    case PREDICATE_AND:
    case PREDICATE_OR:
        for (uint32_t i = 0; i < bound->child_count; i++) {
            enum predicate_constant child = predicate_evaluate_row(bound->children[i], columns, row);
            if (child == decisive) return decisive;
            if (child == TRUTH_UNKNOWN) truth = TRUTH_UNKNOWN;
        }
        return truth;
    default:
        return bound->function ? row_function(bound, columns[bound->column], row)
                               : row_leaf(bound, columns[bound->column], row);
    }
}
