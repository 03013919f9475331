/* Binding, in three steps: the tree is checked (it may come from a client), every leaf is bound, the result is put
 * together in negation normal form.
 *
 * Negation goes down to the leaves by De Morgan, which holds in three-valued logic; comparisons turn around (values are
 * totally ordered, nulls stay unknown), the other leaves keep a NOT above them. Where a literal cannot be a value of
 * the column's type, its position between two values decides: x > 2.5 is x >= 3, and what is then the same for all
 * values is
 *   "false, but unknown for null":  x IS NULL AND UNKNOWN
 *   "true, but unknown for null":   NOT x IS NULL OR UNKNOWN
 * Children of AND and OR are sorted by cost, so that evaluation does the cheap tests first. */
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "expr/literal.h"
#include "expr/predicate_private.h"

enum { NODE_COST_MAX = 9, NEAR_NAMES_MAX = 3, NEAR_NAME_BYTES = 64 };

struct binder {
    const struct predicate_column *columns;
    uint32_t column_count;
    struct arena *arena;
    struct plinth_error *error;
    enum column_function function; /* of the leaf at hand */
};

typedef const struct predicate *bound_node; /* null after a failure */

static enum plinth_status no_memory(const struct binder *binder) {
    return error_no_memory(binder->error, "binding a filter");
}

/* ---- checking ---- */

struct size_of_tree {
    uint64_t nodes;
    uint64_t literals;
};

static enum plinth_status check_leaf(const struct predicate *node, struct plinth_error *error) {
    bool wants_literal = node->kind != PREDICATE_IS_NULL && node->kind != PREDICATE_IN;
    if (wants_literal && node->literal_count != 1) {
        return error_set(error, PLINTH_INVALID_ARGUMENT, "a condition on column %.*s has %u literals instead of one",
                         (int)node->column_name.size, (const char *)node->column_name.data, node->literal_count);
    }
    if (node->kind == PREDICATE_COMPARE && (node->comparison < COMPARE_EQ || node->comparison > COMPARE_GE)) {
        return error_set(error, PLINTH_INVALID_ARGUMENT, "a filter has the unknown comparison %d",
                         (int)node->comparison);
    }
    return PLINTH_OK;
}

static enum plinth_status check_tree(const struct predicate *node, uint32_t depth, struct size_of_tree *size,
                                     struct plinth_error *error) {
    if (!node) return error_set(error, PLINTH_INVALID_ARGUMENT, "a part of the filter is missing");
    if (depth > PREDICATE_DEPTH_MAX) {
        return error_set(error, PLINTH_INVALID_ARGUMENT, "the filter is nested more than %d levels deep",
                         PREDICATE_DEPTH_MAX);
    }
    size->literals += node->literal_count;
    if (++size->nodes > PREDICATE_NODES_MAX) {
        return error_set(error, PLINTH_INVALID_ARGUMENT, "the filter has more than %d conditions", PREDICATE_NODES_MAX);
    }
    if (size->literals > PREDICATE_LITERALS_MAX) {
        return error_set(error, PLINTH_INVALID_ARGUMENT, "the filter has more than %d values", PREDICATE_LITERALS_MAX);
    }
    switch (node->kind) {
    case PREDICATE_CONSTANT:
        if (node->constant <= TRUTH_UNKNOWN) return PLINTH_OK;
        return error_set(error, PLINTH_INVALID_ARGUMENT, "a filter has the unknown constant %d", (int)node->constant);
    case PREDICATE_NOT:
        if (node->child_count == 1) return check_tree(node->children[0], depth + 1, size, error);
        return error_set(error, PLINTH_INVALID_ARGUMENT, "a NOT in the filter has %u operands", node->child_count);
    case PREDICATE_AND:
    case PREDICATE_OR:
        for (uint32_t i = 0; i < node->child_count; i++) {
            enum plinth_status st = check_tree(node->children[i], depth + 1, size, error);
            if (st) return st;
        }
        return PLINTH_OK;
    case PREDICATE_COMPARE:
    case PREDICATE_IN:
    case PREDICATE_IS_NULL:
    case PREDICATE_PREFIX:
    case PREDICATE_LIKE:
    case PREDICATE_WORDS:
    case PREDICATE_CONTAINS: return check_leaf(node, error);
    }
    return error_set(error, PLINTH_INVALID_ARGUMENT, "a filter has a condition of the unknown kind %d",
                     (int)node->kind);
}

/* ---- column names ---- */

static uint8_t folded(uint8_t byte) { return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + 32) : byte; }

static bool names_equal_folded(struct slice a, struct slice b) {
    if (a.size != b.size) return false;
    for (size_t i = 0; i < a.size; i++) {
        if (folded(a.data[i]) != folded(b.data[i])) return false;
    }
    return true;
}

/* Levenshtein's distance without regard to case; names longer than NEAR_NAME_BYTES are far from everything. */
static size_t name_distance(struct slice a, struct slice b) {
    size_t row[NEAR_NAME_BYTES + 1];
    if (a.size > NEAR_NAME_BYTES || b.size > NEAR_NAME_BYTES) return SIZE_MAX;
    for (size_t j = 0; j <= b.size; j++) row[j] = j;
    for (size_t i = 1; i <= a.size; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.size; j++) {
            size_t best = diagonal + (folded(a.data[i - 1]) != folded(b.data[j - 1]));
            diagonal = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[b.size];
}

static enum plinth_status no_such_column(const struct binder *binder, struct slice name) {
    char near[NEAR_NAMES_MAX * (NEAR_NAME_BYTES + 2) + 32] = "";
    size_t used = 0, limit = name.size < 6 ? 1 : name.size / 3;
    unsigned count = 0;
    for (uint32_t i = 0; i < binder->column_count && count < NEAR_NAMES_MAX; i++) {
        struct slice other = binder->columns[i].name;
        if (name_distance(name, other) > limit) continue;
        const char *before = count ? ", " : " (did you mean ";
        used += (size_t)snprintf(near + used, sizeof near - used, "%s%.*s", before, (int)other.size,
                                 (const char *)other.data);
        count++;
    }
    int shown = name.size > 128 ? 128 : (int)name.size;
    return error_set(binder->error, PLINTH_INVALID_ARGUMENT, "there is no column %.*s%s%s", shown,
                     name.size ? (const char *)name.data : "", near, count ? "?)" : "");
}

/* By its exact name; else, when only one has it, by its name in any case. */
static enum plinth_status find_column(const struct binder *binder, struct slice name, uint32_t *column) {
    uint32_t matches = 0, first = 0;
    for (uint32_t i = 0; i < binder->column_count; i++) {
        struct slice other = binder->columns[i].name;
        if (slice_equal(other, name)) {
            *column = i;
            return PLINTH_OK;
        }
        if (names_equal_folded(other, name) && matches++ == 0) first = i;
    }
    if (matches == 0) return no_such_column(binder, name);
    *column = first;
    if (matches == 1) return PLINTH_OK;
    return error_set(binder->error, PLINTH_INVALID_ARGUMENT,
                     "column %.*s is one of %u whose names differ in case only: put the name in double quotes",
                     (int)name.size, (const char *)name.data, matches);
}

/* ---- nodes ---- */

static struct predicate *node_create(const struct binder *binder, enum predicate_kind kind) {
    struct predicate *node = arena_zalloc(binder->arena, sizeof *node);
    if (node) node->kind = kind;
    if (node && kind >= PREDICATE_COMPARE) node->function = binder->function;
    return node;
}

static bound_node constant_node(const struct binder *binder, enum predicate_constant constant) {
    struct predicate *node = node_create(binder, PREDICATE_CONSTANT);
    if (node) node->constant = constant;
    return node;
}

/* What the node costs a row, roughly: the order among the children of AND and OR. */
static unsigned node_cost(const struct predicate *node) {
    bool is_bytes = scalar_class_of(node->values.type.kind) == SCALAR_BYTES;
    unsigned most = 0;
    switch (node->kind) {
    case PREDICATE_CONSTANT: return 0;
    case PREDICATE_IS_NULL: return 1;
    case PREDICATE_COMPARE: return is_bytes ? 4 : 2;
    case PREDICATE_IN: return is_bytes ? 5 : 3;
    case PREDICATE_PREFIX: return 4;
    case PREDICATE_LIKE:
    case PREDICATE_CONTAINS: return 7;
    case PREDICATE_WORDS: return 8;
    default: break;
    }
    for (uint32_t i = 0; i < node->child_count; i++) {
        unsigned cost = node_cost(node->children[i]);
        if (cost > most) most = cost;
    }
    return most;
}

struct child_list {
    const struct predicate **children;
    uint32_t count;
    bool has_unknown;
    bool decided; /* by a FALSE in AND, a TRUE in OR */
};

static void child_list_add(struct child_list *list, enum predicate_kind kind, bound_node child) {
    if (child->kind == kind) {
        for (uint32_t i = 0; i < child->child_count; i++) child_list_add(list, kind, child->children[i]);
    } else if (child->kind != PREDICATE_CONSTANT) {
        list->children[list->count++] = child;
    } else if (child->constant == TRUTH_UNKNOWN) {
        list->has_unknown = true;
    } else if (child->constant == (kind == PREDICATE_AND ? TRUTH_FALSE : TRUTH_TRUE)) {
        list->decided = true;
    }
}

static void sort_by_cost(const struct child_list *list, const struct predicate **sorted) {
    uint32_t at = 0;
    for (unsigned cost = 0; cost <= NODE_COST_MAX && at < list->count; cost++) {
        for (uint32_t i = 0; i < list->count; i++) {
            if (node_cost(list->children[i]) == cost) sorted[at++] = list->children[i];
        }
    }
}

/* AND or OR of bound nodes: flattened, without constants that say nothing, decided when one child decides it. */
static bound_node group_node(const struct binder *binder, enum predicate_kind kind, const bound_node *children,
                             uint32_t count) {
    size_t most = 1;
    for (uint32_t i = 0; i < count; i++) most += children[i]->kind == kind ? children[i]->child_count : 1;
    struct child_list list = {.children = arena_alloc(binder->arena, most * sizeof *list.children)};
    struct predicate *node = node_create(binder, kind);
    const struct predicate **sorted = arena_alloc(binder->arena, most * sizeof *sorted);
    if (!list.children || !node || !sorted) return NULL;
    for (uint32_t i = 0; i < count; i++) child_list_add(&list, kind, children[i]);
    if (list.decided) return constant_node(binder, kind == PREDICATE_AND ? TRUTH_FALSE : TRUTH_TRUE);
    if (list.has_unknown) {
        bound_node unknown = constant_node(binder, TRUTH_UNKNOWN);
        if (!unknown || list.count == 0) return unknown;
        list.children[list.count++] = unknown;
    }
    if (list.count == 0) return constant_node(binder, kind == PREDICATE_AND ? TRUTH_TRUE : TRUTH_FALSE);
    if (list.count == 1) return list.children[0];
    sort_by_cost(&list, sorted);
    node->children = sorted;
    node->child_count = list.count;
    return node;
}

static bound_node compare_node(const struct binder *binder, uint32_t column, struct column_type type,
                               enum predicate_comparison comparison, const struct scalar *value) {
    struct predicate *node = node_create(binder, PREDICATE_COMPARE);
    if (!node || !column_of_scalars(binder->arena, type, value, 1, &node->values)) return NULL;
    node->column = column;
    node->comparison = comparison;
    node->value_count = 1;
    return node;
}

static bound_node negated(const struct binder *binder, bound_node node);

static bound_node negated_group(const struct binder *binder, bound_node node) {
    enum predicate_kind other = node->kind == PREDICATE_AND ? PREDICATE_OR : PREDICATE_AND;
    bound_node *children = arena_alloc(binder->arena, (size_t)node->child_count * sizeof *children);
    if (!children) return NULL;
    for (uint32_t i = 0; i < node->child_count; i++) {
        children[i] = negated(binder, node->children[i]);
        if (!children[i]) return NULL;
    }
    return group_node(binder, other, children, node->child_count);
}

static bound_node negated(const struct binder *binder, bound_node node) {
    static const enum predicate_comparison opposite[] = {
        [COMPARE_EQ] = COMPARE_NE, [COMPARE_NE] = COMPARE_EQ, [COMPARE_LT] = COMPARE_GE,
        [COMPARE_GE] = COMPARE_LT, [COMPARE_GT] = COMPARE_LE, [COMPARE_LE] = COMPARE_GT,
    };
    struct predicate *result;
    switch (node->kind) {
    case PREDICATE_CONSTANT:
        if (node->constant == TRUTH_UNKNOWN) return node;
        return constant_node(binder, node->constant == TRUTH_TRUE ? TRUTH_FALSE : TRUTH_TRUE);
    case PREDICATE_AND:
    case PREDICATE_OR: return negated_group(binder, node);
    case PREDICATE_NOT: return node->children[0];
    case PREDICATE_COMPARE:
        if (node->values.type.kind == COLUMN_BOOL) { /* = is all that they have */
            struct scalar other = {.integer = !scalar_at(&node->values, 0).integer};
            return compare_node(binder, node->column, node->values.type, COMPARE_EQ, &other);
        }
        result = node_create(binder, PREDICATE_COMPARE);
        if (!result) return NULL;
        *result = *node;
        result->comparison = opposite[node->comparison];
        return result;
    default:
        result = node_create(binder, PREDICATE_NOT);
        const struct predicate **children = arena_alloc(binder->arena, sizeof *children);
        if (!result || !children) return NULL;
        children[0] = node;
        result->children = children;
        result->child_count = 1;
        return result;
    }
}

/* ---- leaves ---- */

/* `truth` for every value of the column, unknown for null. */
static bound_node for_all_values(const struct binder *binder, uint32_t column, bool truth) {
    struct predicate *is_null = node_create(binder, PREDICATE_IS_NULL);
    bound_node unknown = constant_node(binder, TRUTH_UNKNOWN);
    if (!is_null || !unknown) return NULL;
    is_null->column = column;
    bound_node is_false = group_node(binder, PREDICATE_AND, (bound_node[]){is_null, unknown}, 2);
    return is_false && truth ? negated(binder, is_false) : is_false;
}

/* Booleans know only =: what the others mean follows from there being two values. */
static bound_node compare_bool(const struct binder *binder, uint32_t column, enum predicate_comparison comparison,
                               bool value) {
    struct column_type type = column_type_of(COLUMN_BOOL);
    struct scalar same = {.integer = value}, other = {.integer = !value};
    bool below = comparison == COMPARE_LT || comparison == COMPARE_LE;
    switch (comparison) {
    case COMPARE_EQ: return compare_node(binder, column, type, COMPARE_EQ, &same);
    case COMPARE_NE: return compare_node(binder, column, type, COMPARE_EQ, &other);
    case COMPARE_LT:
    case COMPARE_GT:
        if (below != value) return for_all_values(binder, column, false);
        return compare_node(binder, column, type, COMPARE_EQ, &other);
    default:
        if (below == value) return for_all_values(binder, column, true);
        return compare_node(binder, column, type, COMPARE_EQ, &same);
    }
}

static bound_node compare_position(const struct binder *binder, uint32_t column, struct column_type type,
                                   enum predicate_comparison comparison, const struct position *position) {
    bool upward = comparison == COMPARE_GT || comparison == COMPARE_GE;
    if (position->kind == POSITION_EXACT) {
        if (type.kind == COLUMN_BOOL) return compare_bool(binder, column, comparison, position->value.integer != 0);
        return compare_node(binder, column, type, comparison, &position->value);
    }
    if (comparison == COMPARE_EQ) return for_all_values(binder, column, false);
    if (comparison == COMPARE_NE) return for_all_values(binder, column, true);
    if (position->kind == POSITION_BELOW) return for_all_values(binder, column, upward);
    if (position->kind == POSITION_ABOVE) return for_all_values(binder, column, !upward);
    return compare_node(binder, column, type, upward ? COMPARE_GE : COMPARE_LT, &position->value);
}

static enum plinth_status bind_compare(const struct binder *binder, const struct predicate *unbound, uint32_t column,
                                       bound_node *node) {
    struct column_type type = binder->columns[column].type;
    struct position position;
    enum plinth_status st = literal_position(unbound->literals, type, binder->arena, &position, binder->error);
    if (st) return st;
    /* The literal's bytes may be the caller's; compare_node copies them. */
    *node = compare_position(binder, column, type, unbound->comparison, &position);
    return *node ? PLINTH_OK : no_memory(binder);
}

static int compare_integers(const void *a, const void *b) { return scalar_compare(SCALAR_INTEGER, a, b); }
static int compare_reals(const void *a, const void *b) { return scalar_compare(SCALAR_FLOAT, a, b); }
static int compare_bytes(const void *a, const void *b) { return scalar_compare(SCALAR_BYTES, a, b); }

static uint32_t sort_distinct(struct scalar *scalars, uint32_t count, enum scalar_class class) {
    int (*compare)(const void *, const void *) = class == SCALAR_FLOAT   ? compare_reals
                                                 : class == SCALAR_BYTES ? compare_bytes
                                                                         : compare_integers;
    if (count) qsort(scalars, count, sizeof *scalars, compare);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (kept == 0 || compare(&scalars[kept - 1], &scalars[i]) != 0) scalars[kept++] = scalars[i];
    }
    return kept;
}

/* The literals that are values of the type, sorted and distinct. */
static enum plinth_status in_values(const struct binder *binder, const struct predicate *unbound,
                                    struct column_type type, struct scalar **scalars, uint32_t *count, bool *has_null) {
    *scalars = arena_alloc(binder->arena, ((size_t)unbound->literal_count + 1) * sizeof **scalars);
    if (!*scalars) return no_memory(binder);
    uint32_t found = 0;
    for (uint32_t i = 0; i < unbound->literal_count; i++) {
        struct position position;
        if (unbound->literals[i].kind == LITERAL_NULL) {
            *has_null = true;
            continue;
        }
        enum plinth_status st = literal_position(&unbound->literals[i], type, binder->arena, &position, binder->error);
        if (st) return st;
        if (position.kind == POSITION_EXACT) (*scalars)[found++] = position.value;
    }
    *count = sort_distinct(*scalars, found, scalar_class_of(type.kind));
    return PLINTH_OK;
}

/* IN becomes = when that is all it is, and for booleans an OR of =. */
static bound_node in_node(const struct binder *binder, uint32_t column, struct column_type type,
                          const struct scalar *scalars, uint32_t count, bool has_null) {
    struct predicate *node = node_create(binder, PREDICATE_IN);
    if (!node) return NULL;
    if (count == 0 && !has_null) return for_all_values(binder, column, false);
    if (count == 1 && !has_null) return compare_node(binder, column, type, COMPARE_EQ, scalars);
    if (type.kind == COLUMN_BOOL || count == 0) {
        bound_node parts[3];
        uint32_t part_count = 0;
        for (uint32_t i = 0; i < count; i++) {
            parts[part_count++] = compare_node(binder, column, type, COMPARE_EQ, &scalars[i]);
        }
        if (has_null) parts[part_count++] = constant_node(binder, TRUTH_UNKNOWN);
        for (uint32_t i = 0; i < part_count; i++) {
            if (!parts[i]) return NULL;
        }
        return group_node(binder, PREDICATE_OR, parts, part_count);
    }
    if (!column_of_scalars(binder->arena, type, scalars, count, &node->values)) return NULL;
    node->column = column;
    node->value_count = count;
    node->has_null_literal = has_null;
    node->compiled = value_set_create(binder->arena, &node->values, count);
    return node->compiled ? node : NULL;
}

static enum plinth_status bind_in(const struct binder *binder, const struct predicate *unbound, uint32_t column,
                                  bound_node *node) {
    struct column_type type = binder->columns[column].type;
    struct scalar *scalars;
    uint32_t count = 0;
    bool has_null = false;
    enum plinth_status st = in_values(binder, unbound, type, &scalars, &count, &has_null);
    if (st) return st;
    *node = unbound->literal_count == 0 ? constant_node(binder, TRUTH_FALSE)
                                        : in_node(binder, column, type, scalars, count, has_null);
    return *node ? PLINTH_OK : no_memory(binder);
}

/* PREFIX, LIKE, WORDS, CONTAINS: the literal as one value of the column's or its elements' type. */
static enum plinth_status operand(const struct binder *binder, const struct predicate *unbound, struct column_type type,
                                  enum predicate_kind kind, uint32_t column, struct predicate **node,
                                  struct position *position) {
    enum plinth_status st = literal_position(unbound->literals, type, binder->arena, position, binder->error);
    if (st) return st;
    *node = node_create(binder, kind);
    if (!*node) return no_memory(binder);
    (*node)->column = column;
    (*node)->value_count = 1;
    if (position->kind != POSITION_EXACT) return PLINTH_OK;
    bool fits = column_of_scalars(binder->arena, type, &position->value, 1, &(*node)->values);
    return fits ? PLINTH_OK : no_memory(binder);
}

static enum plinth_status bind_prefix(const struct binder *binder, const struct predicate *unbound, uint32_t column,
                                      bound_node *bound) {
    struct predicate *node;
    struct position position;
    enum plinth_status st =
        operand(binder, unbound, binder->columns[column].type, PREDICATE_PREFIX, column, &node, &position);
    if (st) return st;
    *bound = position.value.bytes.size ? node : for_all_values(binder, column, true);
    return *bound ? PLINTH_OK : no_memory(binder);
}

/* A pattern without wildcards is =, one with a single % at its end is PREFIX, so that indexes and bounds help. */
static enum plinth_status bind_like(const struct binder *binder, const struct predicate *unbound, uint32_t column,
                                    bound_node *bound) {
    struct column_type type = binder->columns[column].type;
    struct predicate *node;
    struct position position;
    struct like_program *program = arena_zalloc(binder->arena, sizeof *program);
    if (!program) return no_memory(binder);
    enum plinth_status st = operand(binder, unbound, type, PREDICATE_LIKE, column, &node, &position);
    if (st) return st;
    st = like_compile(column_bytes_at(&node->values, 0), binder->arena, program, binder->error);
    if (st) return st;
    struct scalar prefix = {.bytes = like_prefix(program)};
    node->compiled = program;
    *bound = node;
    if (like_is_equality(program)) {
        *bound = compare_node(binder, column, type, COMPARE_EQ, &prefix);
    } else if (like_is_prefix(program) && prefix.bytes.size == 0) {
        *bound = for_all_values(binder, column, true);
    } else if (like_is_prefix(program)) {
        node->kind = PREDICATE_PREFIX;
        node->compiled = NULL;
        if (!column_of_scalars(binder->arena, type, &prefix, 1, &node->values)) *bound = NULL;
    }
    return *bound ? PLINTH_OK : no_memory(binder);
}

static int compare_slices(const void *a, const void *b) {
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

static enum plinth_status word_list_create(const struct binder *binder, struct slice text, struct word_list **list) {
    *list = arena_zalloc(binder->arena, sizeof **list);
    struct slice *words = arena_alloc(binder->arena, PREDICATE_WORDS_MAX * sizeof *words);
    if (!*list || !words) return no_memory(binder);
    struct token_reader reader = {text, 0};
    uint8_t word[TOKEN_BYTES_MAX];
    uint32_t count = 0, kept = 0;
    for (size_t size; token_next(&reader, word, &size);) {
        if (count == PREDICATE_WORDS_MAX) {
            return error_set(binder->error, PLINTH_INVALID_ARGUMENT, "a search for more than %d words",
                             PREDICATE_WORDS_MAX);
        }
        const uint8_t *copy = arena_copy(binder->arena, slice_of(word, size));
        if (!copy) return no_memory(binder);
        words[count++] = slice_of(copy, size);
    }
    if (count) qsort(words, count, sizeof *words, compare_slices);
    for (uint32_t i = 0; i < count; i++) {
        if (kept == 0 || !slice_equal(words[kept - 1], words[i])) words[kept++] = words[i];
    }
    **list = (struct word_list){words, kept};
    return PLINTH_OK;
}

bool word_list_match(const struct word_list *list, struct slice text) {
    struct token_reader reader = {text, 0};
    uint8_t word[TOKEN_BYTES_MAX], seen[PREDICATE_WORDS_MAX / 8] = {0};
    uint32_t missing = list->count;
    for (size_t size; missing && token_next(&reader, word, &size);) {
        struct slice wanted = slice_of(word, size);
        const struct slice *found = bsearch(&wanted, list->words, list->count, sizeof wanted, compare_slices);
        if (!found || bitmap_get(seen, (uint64_t)(found - list->words))) continue;
        bitmap_set(seen, (uint64_t)(found - list->words));
        missing--;
    }
    return missing == 0;
}

static enum plinth_status bind_words(const struct binder *binder, const struct predicate *unbound, uint32_t column,
                                     bound_node *bound) {
    struct predicate *node;
    struct position position;
    struct word_list *list;
    enum plinth_status st =
        operand(binder, unbound, binder->columns[column].type, PREDICATE_WORDS, column, &node, &position);
    if (st) return st;
    st = word_list_create(binder, column_bytes_at(&node->values, 0), &list);
    if (st) return st;
    node->compiled = list;
    *bound = list->count ? node : for_all_values(binder, column, true);
    return *bound ? PLINTH_OK : no_memory(binder);
}

/* An element that no list can have is looked for as NOT TRUE would be: unknown where there is a null element. That
 * takes a value, so the literal is kept as "equal to nothing": value_count 0. */
static enum plinth_status bind_contains(const struct binder *binder, const struct predicate *unbound, uint32_t column,
                                        bound_node *bound) {
    struct column_type element = column_type_element(binder->columns[column].type);
    struct predicate *node;
    struct position position;
    enum plinth_status st = operand(binder, unbound, element, PREDICATE_CONTAINS, column, &node, &position);
    if (st) return st;
    if (position.kind != POSITION_EXACT) {
        node->values = (struct column){.type = element};
        node->value_count = 0;
    }
    *bound = node;
    return PLINTH_OK;
}

static enum plinth_status check_operator(const struct binder *binder, const struct predicate *node,
                                         struct column_type type) {
    static const char *const names[] = {
        [PREDICATE_COMPARE] = "comparisons",  [PREDICATE_IN] = "IN",
        [PREDICATE_PREFIX] = "prefix search", [PREDICATE_LIKE] = "LIKE",
        [PREDICATE_WORDS] = "word search",    [PREDICATE_CONTAINS] = "= ANY",
    };
    const char *wants;
    switch (node->kind) {
    case PREDICATE_IS_NULL: return PLINTH_OK;
    case PREDICATE_PREFIX:
        if (column_kind_is_bytes(type.kind)) return PLINTH_OK;
        wants = "a string or bytes";
        break;
    case PREDICATE_LIKE:
    case PREDICATE_WORDS:
        if (type.kind == COLUMN_STRING) return PLINTH_OK;
        wants = "a string";
        break;
    case PREDICATE_CONTAINS:
        if (type.kind == COLUMN_LIST) return PLINTH_OK;
        wants = "a list";
        break;
    default:
        if (type.kind != COLUMN_LIST) return PLINTH_OK;
        wants = "no list";
        break;
    }
    char text[COLUMN_TYPE_TEXT_MAX];
    return error_set(binder->error, PLINTH_INVALID_ARGUMENT, "%s needs %s, not %s", names[node->kind], wants,
                     column_type_format(type, text));
}

static enum plinth_status bind_operator(const struct binder *binder, const struct predicate *unbound, uint32_t column,
                                        bound_node *node) {
    enum plinth_status st = check_operator(binder, unbound, binder->columns[column].type);
    if (st) return st;
    bool has_null = unbound->literal_count && unbound->literals[0].kind == LITERAL_NULL;
    if (has_null && unbound->kind != PREDICATE_IN && unbound->kind != PREDICATE_IS_NULL) {
        *node = constant_node(binder, TRUTH_UNKNOWN);
        return *node ? PLINTH_OK : no_memory(binder);
    }
    struct predicate *is_null;
    switch (unbound->kind) {
    case PREDICATE_COMPARE: return bind_compare(binder, unbound, column, node);
    case PREDICATE_IN: return bind_in(binder, unbound, column, node);
    case PREDICATE_PREFIX: return bind_prefix(binder, unbound, column, node);
    case PREDICATE_LIKE: return bind_like(binder, unbound, column, node);
    case PREDICATE_WORDS: return bind_words(binder, unbound, column, node);
    case PREDICATE_CONTAINS: return bind_contains(binder, unbound, column, node);
    default:
        is_null = node_create(binder, PREDICATE_IS_NULL);
        if (!is_null) return no_memory(binder);
        is_null->column = column;
        *node = is_null;
        return PLINTH_OK;
    }
}

static bool has_column(const struct binder *binder, struct slice name) {
    for (uint32_t i = 0; i < binder->column_count; i++)
        if (slice_equal(binder->columns[i].name, name)) return true;
    return false;
}

static enum plinth_status bind_leaf(const struct binder *outer, const struct predicate *unbound, bool negate,
                                    bound_node *node) {
    uint32_t column = 0;
    struct binder own = *outer, *binder = &own;
    struct slice name = unbound->column_name;
    own.function = FUNCTION_NONE;
    if (!has_column(outer, name)) (void)column_function_parse(name, &own.function, &name);
    enum plinth_status st = find_column(binder, name, &column);
    if (st) return st;
    if (own.function && !column_function_fits(own.function, binder->columns[column].type))
        return error_set(binder->error, PLINTH_INVALID_ARGUMENT, "column %.*s is of a type that %.*s does not take",
                         (int)name.size, (const char *)name.data, (int)unbound->column_name.size,
                         (const char *)unbound->column_name.data);
    st = bind_operator(binder, unbound, column, node);
    if (st && st != PLINTH_OUT_OF_MEMORY) {
        name = binder->columns[column].name;
        (void)error_prefix(binder->error, "column %.*s", (int)name.size, (const char *)name.data);
    }
    if (st || !negate) return st;
    *node = negated(binder, *node);
    return *node ? PLINTH_OK : no_memory(binder);
}

static enum plinth_status bind_node(const struct binder *binder, const struct predicate *unbound, bool negate,
                                    bound_node *node) {
    if (unbound->kind == PREDICATE_NOT) return bind_node(binder, unbound->children[0], !negate, node);
    if (unbound->kind == PREDICATE_CONSTANT) {
        bound_node same = constant_node(binder, unbound->constant);
        *node = same && negate ? negated(binder, same) : same;
        return *node ? PLINTH_OK : no_memory(binder);
    }
    if (unbound->kind != PREDICATE_AND && unbound->kind != PREDICATE_OR) {
        return bind_leaf(binder, unbound, negate, node);
    }
    bound_node *children = arena_alloc(binder->arena, ((size_t)unbound->child_count + 1) * sizeof *children);
    if (!children) return no_memory(binder);
    for (uint32_t i = 0; i < unbound->child_count; i++) {
        enum plinth_status st = bind_node(binder, unbound->children[i], negate, &children[i]);
        if (st) return st;
    }
    bool is_and = (unbound->kind == PREDICATE_AND) != negate;
    *node = group_node(binder, is_and ? PREDICATE_AND : PREDICATE_OR, children, unbound->child_count);
    return *node ? PLINTH_OK : no_memory(binder);
}

enum plinth_status predicate_bind(const struct predicate *unbound, const struct predicate_column *columns,
                                  uint32_t column_count, struct arena *arena, const struct predicate **bound,
                                  struct plinth_error *error) {
    *bound = NULL;
    struct size_of_tree size = {0};
    enum plinth_status st = check_tree(unbound, 1, &size, error);
    if (st) return st;
    struct binder binder = {columns, column_count, arena, error};
    bound_node node;
    st = bind_node(&binder, unbound, false, &node);
    if (!st) *bound = node;
    return st;
}

void predicate_columns(const struct predicate *bound, bool *uses) {
    for (uint32_t i = 0; i < bound->child_count; i++) predicate_columns(bound->children[i], uses);
    switch (bound->kind) {
    case PREDICATE_CONSTANT:
    case PREDICATE_AND:
    case PREDICATE_OR:
    case PREDICATE_NOT: break;
    default: uses[bound->column] = true; break;
    }
}
