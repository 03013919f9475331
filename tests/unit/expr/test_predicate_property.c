/* Random predicates over random tables of all types. A model that shares no code with the room (numbers are
 * thousandths, times nanoseconds, LIKE backtracks) says what is true, false and unknown; evaluation by row and by
 * column must agree, pruning must never contradict, and a probe for values may only exclude what is not there.
 *
 * PLINTH_TEST_SEED and PLINTH_TEST_ROUNDS choose other runs. */
#include "predicate_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

__extension__ typedef __int128 wide __attribute__((aligned(8)));

enum { ROWS_MAX = 200, NS_PER_DAY_MS = 86400000, DEPTH_MAX = 4 };

static struct test_random dice;
static uint64_t below(uint64_t limit) { return test_random_below(&dice, limit); }
static int64_t between(int64_t low, int64_t high) { return low + (int64_t)below((uint64_t)(high - low) + 1); }

/* ---- the model ---- */

enum rank { RANK_MINUS_INF = 0, RANK_FINITE = 1, RANK_INF = 2, RANK_NAN = 3 };
struct model {
    bool is_null;
    enum rank rank;
    wide number; /* thousandths; times: nanoseconds */
    struct slice bytes;
};

static struct model number_model(wide number) { return (struct model){.rank = RANK_FINITE, .number = number}; }

/* All floats here are eighths. */
static struct model model_of_real(double real) {
    if (isnan(real)) return (struct model){.rank = RANK_NAN};
    if (isinf(real)) return (struct model){.rank = real > 0 ? RANK_INF : RANK_MINUS_INF};
    return number_model((wide)(real * 8) * 125);
}

static struct model model_at(const struct column *column, uint32_t row) {
    static const wide unit_ns[] = {1000000000, 1000000, 1000, 1};
    if (column->validity && !(column->validity[row / 8] >> row % 8 & 1)) return (struct model){.is_null = true};
    const void *values = column->values;
    wide decimal;
    switch (column->type.kind) {
    case COLUMN_BOOL: return number_model(((const uint8_t *)values)[row / 8] >> row % 8 & 1);
    case COLUMN_INT8: return number_model((wide)((const int8_t *)values)[row] * 1000);
    case COLUMN_INT16: return number_model((wide)((const int16_t *)values)[row] * 1000);
    case COLUMN_INT32: return number_model((wide)((const int32_t *)values)[row] * 1000);
    case COLUMN_INT64: return number_model((wide)((const int64_t *)values)[row] * 1000);
    case COLUMN_UINT8: return number_model((wide)((const uint8_t *)values)[row] * 1000);
    case COLUMN_UINT16: return number_model((wide)((const uint16_t *)values)[row] * 1000);
    case COLUMN_UINT32: return number_model((wide)((const uint32_t *)values)[row] * 1000);
    case COLUMN_UINT64: return number_model((wide)((const uint64_t *)values)[row] * 1000);
    case COLUMN_FLOAT32: return model_of_real((double)((const float *)values)[row]);
    case COLUMN_FLOAT64: return model_of_real(((const double *)values)[row]);
    case COLUMN_DECIMAL: /* of scale 3 */
        memcpy(&decimal, (const uint8_t *)values + 16 * (size_t)row, 16);
        return number_model(decimal);
    case COLUMN_DATE: return number_model((wide)((const int32_t *)values)[row] * NS_PER_DAY_MS * 1000000);
    case COLUMN_TIMESTAMP: return number_model((wide)((const int64_t *)values)[row] * unit_ns[column->type.unit]);
    case COLUMN_UUID: return (struct model){.bytes = slice_of((const uint8_t *)values + 16 * (size_t)row, 16)};
    default:
        return (struct model){
            .bytes = slice_of(column->bytes + column->offsets[row], column->offsets[row + 1] - column->offsets[row])};
    }
}

/* "-12.5" in thousandths; at most three decimals. */
static wide thousandths(struct slice text) {
    wide number = 0;
    int decimals = -1;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '.') decimals = 0;
        if (text.data[i] < '0' || text.data[i] > '9') continue;
        number = number * 10 + (text.data[i] - '0');
        decimals += decimals >= 0;
    }
    for (int i = decimals < 0 ? 0 : decimals; i < 3; i++) number *= 10;
    return text.data[0] == '-' ? -number : number;
}

/* "2020-01-31" or "2020-01-31 12:00:00.123456789" */
static wide nanoseconds(struct slice text) {
    char copy[64] = "";
    struct tm tm = {0};
    long fraction = 0;
    memcpy(copy, text.data, text.size < 63 ? text.size : 63);
    sscanf(copy, "%d-%d-%d %d:%d:%d.%ld", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec,
           &fraction);
    tm.tm_year -= 1900;
    tm.tm_mon--;
    return (wide)timegm(&tm) * 1000000000 + fraction;
}

static struct model model_of_literal(const struct literal *literal, uint8_t kind) {
    switch (literal->kind) {
    case LITERAL_NULL: return (struct model){.is_null = true};
    case LITERAL_BOOL: return number_model(literal->boolean);
    case LITERAL_INT: return number_model((wide)literal->integer * 1000);
    case LITERAL_UINT: return number_model((wide)literal->unsigned_integer * 1000);
    case LITERAL_FLOAT: return model_of_real(literal->real);
    case LITERAL_NUMBER: return number_model(thousandths(literal->bytes));
    default: break;
    }
    if (kind == COLUMN_DATE || kind == COLUMN_TIMESTAMP) return number_model(nanoseconds(literal->bytes));
    return (struct model){.bytes = literal->bytes};
}

static int model_compare(const struct model *a, const struct model *b) {
    if (a->bytes.data && b->bytes.data) return slice_compare(a->bytes, b->bytes);
    if (a->rank != b->rank) return a->rank < b->rank ? -1 : 1;
    return (a->number > b->number) - (a->number < b->number);
}

static size_t character_size(struct slice text) {
    size_t size = 1;
    while (size < text.size && (text.data[size] & 0xc0) == 0x80) size++;
    return size;
}

static struct slice rest_of(struct slice text, size_t size) { return slice_of(text.data + size, text.size - size); }

static bool model_like(struct slice text, struct slice pattern) {
    if (pattern.size == 0) return text.size == 0;
    if (pattern.data[0] == '%') {
        if (model_like(text, rest_of(pattern, 1))) return true;
        return text.size > 0 && model_like(rest_of(text, character_size(text)), pattern);
    }
    if (text.size == 0) return false;
    if (pattern.data[0] == '_') return model_like(rest_of(text, character_size(text)), rest_of(pattern, 1));
    if (pattern.data[0] == '\\') pattern = rest_of(pattern, 1);
    size_t size = character_size(pattern);
    if (!slice_starts_with(text, slice_of(pattern.data, size))) return false;
    return model_like(rest_of(text, size), rest_of(pattern, size));
}

static char truth(bool holds) { return holds ? 'T' : 'F'; }

static char model_in(const struct predicate *node, const struct model *value, uint8_t kind) {
    char result = 'F';
    for (uint32_t i = 0; i < node->literal_count; i++) {
        struct model other = model_of_literal(&node->literals[i], kind);
        if (other.is_null || value->is_null) {
            result = 'U';
        } else if (model_compare(value, &other) == 0) {
            return 'T';
        }
    }
    return result;
}

static char model_contains(const struct predicate *node, const struct column *lists, uint32_t row) {
    struct model wanted = model_of_literal(&node->literals[0], lists->type.element);
    if (wanted.is_null || (lists->validity && !bitmap_get(lists->validity, row))) return 'U';
    char result = 'F';
    for (uint32_t i = lists->offsets[row]; i < lists->offsets[row + 1]; i++) {
        struct model element = model_at(lists->child, i);
        if (element.is_null) {
            result = 'U';
        } else if (model_compare(&element, &wanted) == 0) {
            return 'T';
        }
    }
    return result;
}

static char model_compared(enum predicate_comparison comparison, int order) {
    switch (comparison) {
    case COMPARE_EQ: return truth(order == 0);
    case COMPARE_NE: return truth(order != 0);
    case COMPARE_LT: return truth(order < 0);
    case COMPARE_LE: return truth(order <= 0);
    case COMPARE_GT: return truth(order > 0);
    default: return truth(order >= 0);
    }
}

static char model_leaf(const struct table *table, const struct predicate *node, uint32_t row) {
    uint32_t i = (uint32_t)(node->column_name.data[0] - 'a');
    const struct column *column = &table->columns[i];
    if (node->kind == PREDICATE_IS_NULL) return truth(column->validity && !bitmap_get(column->validity, row));
    if (node->kind == PREDICATE_CONTAINS) return model_contains(node, column, row);
    struct model value = model_at(column, row);
    if (node->kind == PREDICATE_IN) return model_in(node, &value, column->type.kind);
    struct model other = model_of_literal(&node->literals[0], column->type.kind);
    if (value.is_null || other.is_null) return 'U';
    switch (node->kind) {
    case PREDICATE_COMPARE: return model_compared(node->comparison, model_compare(&value, &other));
    case PREDICATE_PREFIX: return truth(slice_starts_with(value.bytes, other.bytes));
    default: return truth(model_like(value.bytes, other.bytes));
    }
}

static char model_truth(const struct table *table, const struct predicate *node, uint32_t row) {
    char decisive = node->kind == PREDICATE_AND ? 'F' : 'T', result = node->kind == PREDICATE_AND ? 'T' : 'F';
    if (node->kind == PREDICATE_CONSTANT) return "FTU"[node->constant];
    if (node->kind == PREDICATE_NOT) {
        char child = model_truth(table, node->children[0], row);
        return child == 'U' ? 'U' : truth(child == 'F');
    }
    if (node->kind != PREDICATE_AND && node->kind != PREDICATE_OR) return model_leaf(table, node, row);
    for (uint32_t i = 0; i < node->child_count; i++) {
        char child = model_truth(table, node->children[i], row);
        if (child == decisive) return decisive;
        if (child == 'U') result = 'U';
    }
    return result;
}

/* ---- random tables: column 'a' + i has the i-th type ---- */

static const struct column_type types[] = {
    {COLUMN_BOOL},
    {COLUMN_INT8},
    {COLUMN_INT16},
    {COLUMN_INT32},
    {COLUMN_INT64},
    {COLUMN_UINT8},
    {COLUMN_UINT16},
    {COLUMN_UINT32},
    {COLUMN_UINT64},
    {COLUMN_FLOAT32},
    {COLUMN_FLOAT64},
    {COLUMN_DECIMAL, .precision = 9, .scale = 3},
    {COLUMN_STRING},
    {COLUMN_BYTES},
    {COLUMN_DATE},
    {COLUMN_TIMESTAMP, .unit = TIME_MILLI},
    {COLUMN_UUID},
    {COLUMN_LIST, .element = COLUMN_INT32},
    {COLUMN_TIMESTAMP, .unit = TIME_SECOND},
};
enum { TYPE_COUNT = sizeof types / sizeof *types };

static struct slice random_text(const char *const *parts, uint32_t part_count, uint32_t length_max) {
    char text[64] = "";
    for (uint64_t i = below(length_max + 1); i > 0; i--) strcat(text, parts[below(part_count)]);
    const uint8_t *copy = arena_copy(predicates_arena(), slice_of_string(text));
    assert_non_null(copy);
    return slice_of(copy, strlen(text));
}

static struct slice random_string(void) {
    static const char *const parts[] = {"a", "b", "a", "%", "_", "\xc3\xa9", "\\", "\xe2\x82\xac"};
    return random_text(parts, 8, 6);
}

static int64_t random_integer(struct column_type type) {
    if (below(20) == 0) return type.kind == COLUMN_UINT64 ? -1 : type.kind == COLUMN_UINT8 ? 255 : 127;
    if (below(20) == 0) return type.kind == COLUMN_INT64 || type.kind == COLUMN_UINT64 ? INT64_MIN : 0;
    int64_t spread = below(3) ? 5 : 100;
    bool is_unsigned = type.kind >= COLUMN_UINT8 && type.kind <= COLUMN_UINT64;
    return between(is_unsigned ? 0 : -spread, spread);
}

static double random_real(void) {
    static const double odd[] = {INFINITY, -INFINITY, NAN, -0.0, 0.0};
    return below(5) == 0 ? odd[below(5)] : (double)between(-40, 40) / 8;
}

static void append_random(struct column_builder *builder) {
    wide decimal = between(-5000, 5000);
    uint8_t uuid[16] = {0};
    uuid[15] = (uint8_t)below(5);
    uint8_t kind = builder->type.kind;
    bool ok;
    if (kind == COLUMN_LIST) {
        ok = true;
        for (uint64_t i = below(4); i > 0; i--) {
            ok = ok && (below(6) == 0 ? column_builder_null(builder->child)
                                      : column_builder_integer(builder->child, between(0, 5)));
        }
        ok = ok && column_builder_list(builder);
    } else if (kind == COLUMN_BOOL) {
        ok = column_builder_bool(builder, below(2));
    } else if (column_kind_is_float(kind)) {
        ok = column_builder_float(builder, random_real());
    } else if (kind == COLUMN_DECIMAL) {
        ok = column_builder_bytes_value(builder, slice_of(&decimal, 16));
    } else if (kind == COLUMN_UUID) {
        ok = column_builder_bytes_value(builder, slice_of(uuid, 16));
    } else if (column_kind_is_bytes(kind)) {
        ok = column_builder_bytes_value(builder, random_string());
    } else if (kind == COLUMN_DATE || kind == COLUMN_TIMESTAMP) {
        ok = column_builder_integer(builder, below(3) ? between(-3, 3) : between(-100000, 100000));
    } else {
        ok = column_builder_integer(builder, random_integer(builder->type));
    }
    assert_true(ok);
}

static void random_table(struct table *table) {
    static const char names[] = "a\0b\0c\0d\0e\0f\0g\0h\0i\0j\0k\0l\0m\0n\0o\0p\0q\0r\0s\0t";
    *table = (struct table){0};
    uint32_t rows = (uint32_t)below(3) == 0 ? (uint32_t)below(4) : (uint32_t)below(ROWS_MAX);
    for (uint32_t i = 0; i < TYPE_COUNT; i++) {
        struct column_builder *builder = table_add(table, names + 2 * i, types[i]);
        uint64_t nulls = below(3) * 3; /* in ten */
        for (uint32_t row = 0; row < rows; row++) {
            if (below(10) < nulls) {
                assert_true(column_builder_null(builder));
            } else {
                append_random(builder);
            }
        }
    }
    table_finish(table);
}

/* ---- random predicates ---- */

static struct literal literal_of_slice(enum literal_kind kind, struct slice bytes) {
    return (struct literal){.kind = kind, .bytes = bytes};
}

static struct literal random_number(void) {
    char text[64];
    int64_t milli = between(-6000, 6000);
    switch (below(8)) {
    case 0: return of_int(between(-300, 300));
    case 1: return of_int(below(2) ? INT64_MIN : INT64_MAX);
    case 2: return of_uint(below(2) ? UINT64_MAX : 1ull << 63);
    case 3: return of_float(random_real());
    case 4:
        snprintf(text, sizeof text, "%s%lld.%03lld", milli < 0 ? "-" : "", (long long)llabs(milli) / 1000,
                 (long long)llabs(milli) % 1000);
        return literal_of_slice(LITERAL_NUMBER,
                                slice_of(arena_copy(predicates_arena(), slice_of_string(text)), strlen(text)));
    default: return of_int(between(-5, 5));
    }
}

static struct literal random_time(uint8_t kind) {
    char text[64], stamp[48];
    int64_t unit = kind == COLUMN_DATE ? 86400 : 1;
    time_t seconds = (time_t)(between(-4, 4) * unit + (below(3) ? 0 : between(-1000, 1000)));
    struct tm tm;
    gmtime_r(&seconds, &tm);
    strftime(stamp, sizeof stamp, below(3) ? "%Y-%m-%d %H:%M:%S" : "%Y-%m-%d", &tm);
    bool has_fraction = strlen(stamp) > 10 && below(2);
    static const int fractions[] = {1000000, 2000000, 1, 500000000, 1500};
    if (has_fraction) {
        snprintf(text, sizeof text, "%s.%09d", stamp, fractions[below(5)]);
    } else {
        snprintf(text, sizeof text, "%s", stamp);
    }
    return literal_of_slice(LITERAL_TEXT,
                            slice_of(arena_copy(predicates_arena(), slice_of_string(text)), strlen(text)));
}

/* Half of the texts are ones of the table, or what they start with. */
static const struct table *current_table;
static struct slice random_or_present(uint8_t kind) {
    uint32_t row = current_table->rows ? (uint32_t)below(current_table->rows) : 0;
    struct model value = {.is_null = true};
    for (uint32_t i = 0; i < TYPE_COUNT && current_table->rows; i++) {
        if (types[i].kind == kind) value = model_at(&current_table->columns[i], row);
    }
    if (value.is_null || below(2)) return random_string();
    return slice_of(value.bytes.data, below(2) && value.bytes.size ? character_size(value.bytes) : value.bytes.size);
}

static struct literal random_literal(struct column_type type) {
    uint8_t *uuid = arena_zalloc(predicates_arena(), 16);
    if (below(25) == 0) return null_literal();
    switch (type.kind) {
    case COLUMN_BOOL: return of_bool(below(2));
    case COLUMN_STRING: return literal_of_slice(LITERAL_TEXT, random_or_present(type.kind));
    case COLUMN_BYTES: return literal_of_slice(LITERAL_BYTES, random_or_present(type.kind));
    case COLUMN_DATE:
    case COLUMN_TIMESTAMP: return random_time(type.kind);
    case COLUMN_UUID: uuid[15] = (uint8_t)below(6); return of_bytes(uuid, 16);
    case COLUMN_LIST: return below(5) ? of_int(between(0, 6)) : random_number();
    default: return random_number();
    }
}

static const struct predicate *random_in(const char *name, struct column_type type) {
    struct literal literals[40];
    uint32_t count = (uint32_t)between(1, below(4) ? 4 : 40);
    for (uint32_t i = 0; i < count; i++) {
        do {
            literals[i] = random_literal(type);
        } while (literals[i].kind == LITERAL_NULL && below(4));
    }
    return in(name, literals, count);
}

static const struct predicate *random_leaf(const struct table *table) {
    static const char *const patterns[] = {"a", "b", "%", "%", "_", "\xc3\xa9", "\\%", "\\_", "\\\\"};
    uint32_t i = (uint32_t)below(TYPE_COUNT);
    struct column_type type = types[i];
    const char *name = (const char *)table->schema[i].name.data;
    if (below(12) == 0) return is_null(name);
    if (below(30) == 0) return constant((enum predicate_constant)below(3));
    if (type.kind == COLUMN_LIST) return match(PREDICATE_CONTAINS, name, random_literal(type));
    if (type.kind == COLUMN_STRING && below(2)) {
        return match(PREDICATE_LIKE, name, literal_of_slice(LITERAL_TEXT, random_text(patterns, 9, 6)));
    }
    if (column_kind_is_bytes(type.kind) && below(4) == 0) return match(PREDICATE_PREFIX, name, random_literal(type));
    if (below(4) == 0) return random_in(name, type);
    return compare(name, (enum predicate_comparison)between(COMPARE_EQ, COMPARE_GE), random_literal(type));
}

static const struct predicate *random_predicate(const struct table *table, unsigned depth) {
    if (depth >= DEPTH_MAX || below(3) == 0) return random_leaf(table);
    if (below(4) == 0) return negation(random_predicate(table, depth + 1));
    const struct predicate *children[4];
    uint32_t count = (uint32_t)between(1, 4);
    for (uint32_t i = 0; i < count; i++) children[i] = random_predicate(table, depth + 1);
    return group(below(2) ? PREDICATE_AND : PREDICATE_OR, children, count);
}

/* ---- bounds of the first `rows` rows; the values' ones may come from more rows, so that they are not tight ---- */

static void bounds_of(const struct column *column, uint32_t all_rows, uint32_t rows, struct column_bounds *bounds) {
    *bounds = (struct column_bounds){.rows = rows, .has_nulls_known = below(5) > 0};
    uint32_t low = UINT32_MAX, high = 0, value_rows = below(2) ? rows : all_rows;
    for (uint32_t row = 0; row < value_rows; row++) {
        if (column->validity && !bitmap_get(column->validity, row)) {
            bounds->null_count += row < rows;
            continue;
        }
        if (column->type.kind == COLUMN_LIST) continue;
        struct model value = model_at(column, row);
        if (low == UINT32_MAX) low = high = row;
        struct model least = model_at(column, low), most = model_at(column, high);
        if (model_compare(&value, &least) < 0) low = row;
        if (model_compare(&value, &most) > 0) high = row;
    }
    if (low == UINT32_MAX || below(10) == 0) return;
    bounds->has_values = true;
    assert_true(column_gather(predicates_arena(), column, &low, 1, &bounds->min));
    assert_true(column_gather(predicates_arena(), column, &high, 1, &bounds->max));
}

static unsigned verdicts[3];

static void check_pruning(const struct table *table, const struct predicate *bound, const char *truths) {
    struct column_bounds bounds[TYPE_COUNT];
    const struct column_bounds *pointers[TYPE_COUNT];
    uint32_t rows =
        table->rows ? (uint32_t)between(1, below(2) ? table->rows : (table->rows < 4 ? table->rows : 4)) : 0;
    for (uint32_t i = 0; i < TYPE_COUNT; i++) {
        bounds_of(&table->columns[i], table->rows, rows, &bounds[i]);
        pointers[i] = below(12) ? &bounds[i] : NULL;
    }
    enum prune_verdict verdict = predicate_prune(bound, pointers);
    verdicts[verdict]++;
    for (uint32_t row = 0; row < rows; row++) {
        bool excluded = verdict == PRUNE_NONE && truths[row] == 'T';
        bool wrongly_in = verdict == PRUNE_ALL && truths[row] != 'T';
        if (!excluded && !wrongly_in) continue;
        struct buffer text = BUFFER_INIT;
        assert_true(predicate_format(&text, bound, table->schema) && buffer_append_u8(&text, 0));
        fail_msg("verdict %d, but row %u is %c: %s", (int)verdict, row, truths[row], (char *)text.data);
    }
}

static bool is_there(void *context, uint32_t column, const struct column *values, uint32_t row) {
    const struct table *table = context;
    struct model wanted = model_at(values, row);
    for (uint32_t i = 0; i < table->rows; i++) {
        struct model value = model_at(&table->columns[column], i);
        if (!value.is_null && model_compare(&value, &wanted) == 0) return true;
    }
    return false;
}

static unsigned misses;

static void check_probing(struct table *table, const struct predicate *bound, const char *truths) {
    if (predicate_may_match_values(bound, is_there, table)) return;
    assert_null(strchr(truths, 'T'));
    misses++;
}

static uint64_t from_environment(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 0) : otherwise;
}

static void all_ways_agree_with_the_model(void **state) {
    (void)state;
    uint64_t seed = from_environment("PLINTH_TEST_SEED", 1), rounds = from_environment("PLINTH_TEST_ROUNDS", 300);
    print_message("PLINTH_TEST_SEED=%llu\n", (unsigned long long)seed);
    dice = test_random_of(seed);
    for (uint64_t round = 0; round < rounds; round++) {
        static struct table table;
        random_table(&table);
        current_table = &table;
        for (int i = 0; i < 30; i++) {
            char truths[ROWS_MAX + 1] = "";
            const struct predicate *predicate = random_predicate(&table, 1);
            for (uint32_t row = 0; row < table.rows; row++) truths[row] = model_truth(&table, predicate, row);
            assert_truths(&table, predicate, truths);
            const struct predicate *bound = bind(&table, predicate);
            check_pruning(&table, bound, truths);
            check_probing(&table, bound, truths);
        }
        table_deinit(&table);
        predicates_reset();
    }
    if (rounds < 100) return;
    assert_true(verdicts[PRUNE_NONE] > 100 && verdicts[PRUNE_SOME] > 100 && verdicts[PRUNE_ALL] > 100);
    assert_true(misses > 100);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_ways_agree_with_the_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
