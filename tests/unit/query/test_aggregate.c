/* Aggregates against sums made row by row: all types, nulls, groups, several aggregators merged, and the limits. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "column/column_builder.h"
#include "query/aggregate.h"
#include "query/query.h"
#include "support/test_support.h"

typedef __int128 int128;

enum { ROWS = 700, BATCHES = 5, GROUPS = 7, AGGREGATORS = 3 };

static struct column_type type_of(const char *text) {
    struct column_type type;
    struct plinth_error error;
    assert_ok(column_type_parse(slice_of_string(text), &type, &error), &error);
    return type;
}

/* ---- one column of each type, and what is expected of it ---- */

static const char *const types[] = {"bool",          "int8",          "int16",  "int32",   "int64",   "uint8",
                                    "uint16",        "uint32",        "uint64", "float32", "float64", "date",
                                    "timestamp(ns)", "decimal(30,3)", "string", "bytes",   "uuid"};
enum { TYPES = sizeof types / sizeof *types };

struct value {
    bool is_null;
    int128 number; /* also of booleans; decimals unscaled */
    double real;
    uint8_t bytes[16];
    size_t size;
};

static struct value random_value(struct test_random *random, struct column_type type) {
    struct value value = {.is_null = test_random_below(random, 6) == 0};
    uint64_t bits = test_random_u64(random);
    switch (type.kind) {
    case COLUMN_BOOL: value.number = bits & 1; break;
    case COLUMN_INT8: value.number = (int8_t)bits; break;
    case COLUMN_INT16: value.number = (int16_t)bits; break;
    case COLUMN_DATE:
    case COLUMN_INT32: value.number = (int32_t)bits; break;
    case COLUMN_UINT8: value.number = (uint8_t)bits; break;
    case COLUMN_UINT16: value.number = (uint16_t)bits; break;
    case COLUMN_UINT32: value.number = (uint32_t)bits; break;
    case COLUMN_UINT64: value.number = bits >> 14; break; /* sums fit */
    case COLUMN_INT64:
    case COLUMN_TIMESTAMP: value.number = (int64_t)bits >> 14; break;
    case COLUMN_DECIMAL: value.number = (int128)(int64_t)bits * 1000003; break;
    case COLUMN_FLOAT32:
    case COLUMN_FLOAT64: value.real = (double)((int64_t)(bits % 2001) - 1000) / 4; break; /* exact in any order */
    case COLUMN_UUID:
        value.size = 16;
        test_random_bytes(random, value.bytes, 16);
        break;
    default:
        value.size = bits % 15;
        for (size_t i = 0; i < value.size; i++) value.bytes[i] = (uint8_t)('a' + test_random_below(random, 26));
    }
    return value;
}

static void append(struct column_builder *builder, const struct value *value) {
    bool ok;
    if (value->is_null)
        ok = column_builder_null(builder);
    else if (builder->type.kind == COLUMN_BOOL)
        ok = column_builder_bool(builder, value->number != 0);
    else if (column_kind_is_float(builder->type.kind))
        ok = column_builder_float(builder, value->real);
    else if (builder->type.kind == COLUMN_DECIMAL)
        ok = column_builder_bytes_value(builder, slice_of(&value->number, 16));
    else if (column_kind_is_bytes(builder->type.kind) || builder->type.kind == COLUMN_UUID)
        ok = column_builder_bytes_value(builder, slice_of(value->bytes, value->size));
    else
        ok = column_builder_integer(builder, (int64_t)value->number);
    assert_true(ok);
}

static int compare_values(const struct value *a, const struct value *b) {
    if (a->size || b->size) return slice_compare(slice_of(a->bytes, a->size), slice_of(b->bytes, b->size));
    if (a->number != b->number) return a->number < b->number ? -1 : 1;
    return (a->real > b->real) - (a->real < b->real);
}

struct expected {
    uint64_t rows, count;
    int128 sum;
    double real;
    struct value least, greatest;
};

static void expect(struct expected *expected, const struct value *value) {
    expected->rows++;
    if (value->is_null) return;
    if (!expected->count || compare_values(value, &expected->least) < 0) expected->least = *value;
    if (!expected->count || compare_values(value, &expected->greatest) > 0) expected->greatest = *value;
    expected->count++;
    expected->sum += value->number;
    expected->real += value->real;
}

static void assert_value(const struct column *column, uint32_t row, const struct value *value) {
    struct column_builder builder;
    assert_false(column_is_null(column, row));
    assert_true(column_builder_init(&builder, column->type));
    append(&builder, value);
    struct column view = column_builder_view(&builder);
    struct buffer got = BUFFER_INIT, wanted = BUFFER_INIT;
    assert_true(column_format(&got, column, row) && column_format(&wanted, &view, 0));
    assert_int_equal(got.size, wanted.size);
    if (got.size) assert_memory_equal(got.data, wanted.data, got.size);
    buffer_deinit(&got);
    buffer_deinit(&wanted);
    column_builder_deinit(&builder);
}

static bool is_number(struct column_type type) {
    return column_kind_is_integer(type.kind) || column_kind_is_float(type.kind) || type.kind == COLUMN_DECIMAL;
}

/* Row `row` of a result: [groups,] count, count of the column, min, max[, sum, avg]. */
static void assert_result(const struct batch *result, uint32_t first, uint32_t row, struct column_type type,
                          const struct expected *expected) {
    const struct column *columns = result->columns + first;
    assert_int_equal(((const int64_t *)columns[0].values)[row], expected->rows);
    assert_int_equal(((const int64_t *)columns[1].values)[row], expected->count);
    for (uint32_t c = 2; !expected->count && c < result->column_count - first; c++)
        assert_true(column_is_null(&columns[c], row));
    if (!expected->count) return;
    assert_value(&columns[2], row, &expected->least);
    assert_value(&columns[3], row, &expected->greatest);
    if (!is_number(type)) return;
    struct value sum = {.number = expected->sum, .real = expected->real};
    assert_value(&columns[4], row, &sum);
    double total = column_kind_is_float(type.kind) ? expected->real : (double)expected->sum;
    if (type.kind == COLUMN_DECIMAL) total /= 1000;
    double average = ((const double *)columns[5].values)[row], wanted = total / (double)expected->count;
    assert_true(fabs(average - wanted) <= fabs(wanted) * 1e-12);
}

static uint32_t make_specs(struct column_type type, struct aggregate_spec specs[6]) {
    static const int kinds[] = {AGGREGATE_COUNT, AGGREGATE_COUNT, AGGREGATE_MIN,
                                AGGREGATE_MAX,   AGGREGATE_SUM,   AGGREGATE_AVG};
    uint32_t count = is_number(type) ? 6 : 4;
    struct plinth_error error;
    for (uint32_t i = 0; i < count; i++) {
        specs[i] = (struct aggregate_spec){.kind = kinds[i], .column = i ? 1 : AGGREGATE_NO_COLUMN, .type = type};
        assert_ok(aggregate_result_type(kinds[i], type, &specs[i].result, &error), &error);
    }
    return count;
}

/* Group columns: null, or a number; with `two`, a string besides. */
static void check_type(const char *text, uint32_t group_count, uint64_t seed) {
    struct column_type type = type_of(text), group_types[2] = {type_of("int32"), type_of("string")};
    static const uint32_t group_columns[2] = {0, 2};
    struct test_random random = test_random_of(seed);
    struct aggregate_spec specs[6];
    uint32_t spec_count = make_specs(type, specs);
    struct aggregator *aggregators[AGGREGATORS];
    struct plinth_error error;
    struct expected expected[GROUPS + 1][2] = {0};
    struct aggregate_budget budget = {.bytes_max = 1 << 24};
    for (int i = 0; i < AGGREGATORS; i++)
        assert_ok(aggregator_create(specs, spec_count, group_columns, group_types, group_count, &budget,
                                    &aggregators[i], &error),
                  &error);
    for (int b = 0; b < BATCHES; b++) {
        struct column_builder builders[3];
        assert_true(column_builder_init(&builders[0], group_types[0]) && column_builder_init(&builders[1], type) &&
                    column_builder_init(&builders[2], group_types[1]));
        uint8_t selection[ROWS / 8 + 1];
        test_random_bytes(&random, selection, sizeof selection);
        if (b % 3 == 0) /* few */
            for (size_t i = 0; i < sizeof selection; i++) selection[i] &= selection[i] << 3 & 0x18;
        bool all = b % 3 == 2;
        for (uint32_t r = 0; r < ROWS; r++) {
            uint32_t group = (uint32_t)test_random_below(&random, GROUPS + 1), text_group = group ? r & 1 : 0;
            struct value value = random_value(&random, type);
            assert_true(group ? column_builder_integer(&builders[0], (int64_t)group - 4)
                              : column_builder_null(&builders[0]));
            append(&builders[1], &value);
            assert_true(column_builder_bytes_value(&builders[2], slice_of("xy", text_group + 1)));
            if (!all && !bitmap_get(selection, r)) continue;
            expect(&expected[group_count ? group : 0][group_count > 1 ? text_group : 0], &value);
        }
        struct batch *batch = column_builders_finish(builders, 3);
        const struct column *columns[] = {&batch->columns[0], &batch->columns[1], &batch->columns[2]};
        assert_ok(aggregator_add(aggregators[b % AGGREGATORS], columns, ROWS, all ? NULL : selection, &error), &error);
        for (int i = 0; i < 3; i++) column_builder_deinit(&builders[i]);
        batch_unref(batch);
    }
    for (int i = 1; i < AGGREGATORS; i++) assert_ok(aggregator_merge(aggregators[0], aggregators[i], &error), &error);
    struct batch *result;
    assert_ok(aggregator_finish(aggregators[0], &result, &error), &error);
    uint32_t row = 0;
    for (uint32_t g = 0; g <= GROUPS; g++)
        for (uint32_t t = 0; t < 2; t++) {
            if (!expected[g][t].rows) continue;
            if (group_count) {
                assert_int_equal(column_is_null(&result->columns[0], row), g == 0);
                if (g) assert_int_equal(((const int32_t *)result->columns[0].values)[row], (int)g - 4);
            }
            if (group_count > 1)
                assert_true(slice_equal(column_bytes_at(&result->columns[1], row), slice_of("xy", t + 1)));
            assert_result(result, group_count, row++, type, &expected[g][t]);
        }
    assert_int_equal(result->rows, row);
    batch_unref(result);
    for (int i = 0; i < AGGREGATORS; i++) aggregator_destroy(aggregators[i]);
}

static void every_function_of_every_type_is_the_sum_of_its_rows(void **state) {
    (void)state;
    for (uint64_t i = 0; i < TYPES; i++)
        for (uint32_t groups = 0; groups < 3; groups++) check_type(types[i], groups, i * 3 + groups);
}

/* ---- groups by every type ---- */

static void rows_are_grouped_by_columns_of_every_type(void **state) {
    (void)state;
    enum { VALUES = 40 };
    struct test_random random = test_random_of(77);
    struct plinth_error error;
    for (uint32_t t = 0; t < TYPES; t++) {
        struct column_type type = type_of(types[t]);
        struct value values[VALUES];
        uint64_t rows[VALUES] = {0};
        uint32_t distinct = 0;
        for (uint32_t i = 0; i < VALUES; i++) { /* distinct ones; the first is null */
            struct value value = random_value(&random, type);
            value.is_null = i == 0;
            bool seen = false;
            for (uint32_t j = 1; !seen && j < distinct; j++) seen = !compare_values(&values[j], &value);
            if (!seen || i == 0) values[distinct++] = value;
        }
        struct aggregate_spec spec = {
            .kind = AGGREGATE_COUNT, .column = AGGREGATE_NO_COLUMN, .result = type_of("int64")};
        const uint32_t group_column = 0;
        struct aggregate_budget budget = {.bytes_max = 1 << 24};
        struct aggregator *aggregator;
        assert_ok(aggregator_create(&spec, 1, &group_column, &type, 1, &budget, &aggregator, &error), &error);
        for (int b = 0; b < 3; b++) {
            struct column_builder builder;
            assert_true(column_builder_init(&builder, type));
            for (uint32_t r = 0; r < ROWS; r++) {
                uint32_t at = (uint32_t)test_random_below(&random, distinct);
                rows[at]++;
                append(&builder, &values[at]);
            }
            struct column column = column_builder_view(&builder);
            const struct column *columns[] = {&column};
            assert_ok(aggregator_add(aggregator, columns, ROWS, NULL, &error), &error);
            column_builder_deinit(&builder);
        }
        struct batch *result;
        assert_ok(aggregator_finish(aggregator, &result, &error), &error);
        assert_int_equal(result->rows, distinct);
        for (uint32_t r = 0; r < distinct; r++) { /* ordered: null, then upwards */
            uint32_t least = r ? 1 : 0;
            for (uint32_t i = 1; r && i < distinct; i++)
                if (rows[i] && (!rows[least] || compare_values(&values[i], &values[least]) < 0)) least = i;
            assert_int_equal(((const int64_t *)result->columns[1].values)[r], rows[least]);
            if (r)
                assert_value(&result->columns[0], r, &values[least]);
            else
                assert_true(column_is_null(&result->columns[0], 0));
            rows[least] = 0;
        }
        batch_unref(result);
        aggregator_destroy(aggregator);
    }
}

static void many_groups_of_several_columns_stay_apart(void **state) {
    (void)state;
    enum { PAIRS = 2100, TURNS = 3 }; /* 2,100 is the least common multiple of 700 and 300 */
    struct aggregate_spec spec = {.kind = AGGREGATE_COUNT, .column = AGGREGATE_NO_COLUMN, .result = type_of("int64")};
    const struct column_type group_types[3] = {type_of("int16"), type_of("string"), type_of("uuid")};
    static const uint32_t group_columns[3] = {0, 1, 2}, batch_ends[] = {100, 150, 1000, 1001, PAIRS * TURNS};
    struct column_builder builders[3];
    struct aggregate_budget budget = {.bytes_max = 1 << 24};
    struct aggregator *aggregator;
    struct plinth_error error;
    assert_ok(aggregator_create(&spec, 1, group_columns, group_types, 3, &budget, &aggregator, &error), &error);
    for (int i = 0; i < 3; i++) assert_true(column_builder_init(&builders[i], group_types[i]));
    uint32_t row = 0;
    for (size_t b = 0; b < sizeof batch_ends / sizeof *batch_ends; b++) {
        for (; row < batch_ends[b]; row++) {
            /* Lengths from 0 to 40, so that texts that share their ends differ in the middle or in their length. */
            uint8_t text[64], uuid[16] = {0};
            uint32_t number = row % 300, size = number % 41;
            memset(text, 'a', sizeof text);
            if (size) text[size / 2] = (uint8_t)('a' + number / 41);
            uint32_t at = size ? 0 : number; /* sizes 0 come with numbers 0, 41, ...: told apart by the uuid */
            memcpy(uuid, &at, sizeof at);
            assert_true(column_builder_integer(&builders[0], row % 700) &&
                        column_builder_bytes_value(&builders[1], slice_of(text, size)) &&
                        column_builder_bytes_value(&builders[2], slice_of(uuid, 16)));
        }
        struct column views[3];
        const struct column *columns[3];
        for (int i = 0; i < 3; i++) {
            views[i] = column_builder_view(&builders[i]);
            columns[i] = &views[i];
        }
        assert_ok(aggregator_add(aggregator, columns, builders[0].rows, NULL, &error), &error);
        for (int i = 0; i < 3; i++) column_builder_clear(&builders[i]);
    }
    struct batch *result;
    assert_ok(aggregator_finish(aggregator, &result, &error), &error);
    assert_int_equal(result->rows, PAIRS);
    for (uint32_t r = 0; r < PAIRS; r++) assert_int_equal(((const int64_t *)result->columns[3].values)[r], TURNS);
    batch_unref(result);
    aggregator_destroy(aggregator);
    for (int i = 0; i < 3; i++) column_builder_deinit(&builders[i]);
}

/* ---- the limits ---- */

struct one {
    struct aggregate_spec spec;
    struct aggregator *aggregator;
    struct column_builder builder;
    struct aggregate_budget budget;
    struct plinth_error error;
};

static void one_init(struct one *one, int kind, const char *type, uint64_t memory_bytes_max, bool grouped) {
    static const uint32_t group_column = 0;
    struct column_type parsed = type_of(type);
    one->budget = (struct aggregate_budget){.bytes_max = memory_bytes_max};
    one->spec = (struct aggregate_spec){.kind = kind, .column = 0, .type = parsed};
    assert_ok(aggregate_result_type(kind, parsed, &one->spec.result, &one->error), &one->error);
    assert_ok(
        aggregator_create(&one->spec, 1, &group_column, &parsed, grouped, &one->budget, &one->aggregator, &one->error),
        &one->error);
    assert_true(column_builder_init(&one->builder, parsed));
}

static enum plinth_status one_add(struct one *one) {
    struct column column = column_builder_view(&one->builder);
    const struct column *columns[] = {&column};
    enum plinth_status st = aggregator_add(one->aggregator, columns, one->builder.rows, NULL, &one->error);
    column_builder_clear(&one->builder);
    return st;
}

static void one_deinit(struct one *one) {
    aggregator_destroy(one->aggregator);
    column_builder_deinit(&one->builder);
}

static void a_sum_beyond_64_bits_is_an_error(void **state) {
    (void)state;
    static const struct {
        const char *type;
        int64_t value;
    } cases[] = {{"int64", INT64_MAX}, {"int64", INT64_MIN}, {"uint64", -1}};
    for (int i = 0; i < 3; i++) {
        struct one one;
        struct batch *batch;
        one_init(&one, AGGREGATE_SUM, cases[i].type, 1 << 20, false);
        assert_true(column_builder_integer(&one.builder, cases[i].value));
        assert_ok(one_add(&one), &one.error);
        assert_ok(aggregator_finish(one.aggregator, &batch, &one.error), &one.error);
        assert_int_equal(((const int64_t *)batch->columns[0].values)[0], cases[i].value);
        batch_unref(batch);
        assert_true(column_builder_integer(&one.builder, cases[i].value));
        assert_ok(one_add(&one), &one.error);
        assert_status(aggregator_finish(one.aggregator, &batch, &one.error), PLINTH_INVALID_ARGUMENT, &one.error);
        assert_error_names(&one.error, "64 bits");
        assert_null(batch);
        one_deinit(&one);
    }
}

static void an_average_of_large_numbers_does_not_overflow(void **state) {
    (void)state;
    struct one one;
    struct batch *batch;
    one_init(&one, AGGREGATE_AVG, "int64", 1 << 20, false);
    for (int i = 0; i < 3; i++) assert_true(column_builder_integer(&one.builder, INT64_MAX));
    assert_ok(one_add(&one), &one.error);
    assert_ok(aggregator_finish(one.aggregator, &batch, &one.error), &one.error);
    assert_true(((const double *)batch->columns[0].values)[0] == (double)INT64_MAX);
    batch_unref(batch);
    one_deinit(&one);
}

static void a_decimal_sum_of_39_digits_is_an_error(void **state) {
    (void)state;
    struct one one;
    struct batch *batch;
    int128 value = 1;
    for (int i = 0; i < 37; i++) value *= 10;
    value *= 6;
    one_init(&one, AGGREGATE_SUM, "decimal(38,2)", 1 << 20, false);
    for (int i = 0; i < 2; i++) assert_true(column_builder_bytes_value(&one.builder, slice_of(&value, 16)));
    assert_ok(one_add(&one), &one.error);
    assert_status(aggregator_finish(one.aggregator, &batch, &one.error), PLINTH_INVALID_ARGUMENT, &one.error);
    assert_error_names(&one.error, "38 digits");
    one_deinit(&one);
}

/* The sum of so many times 10^38 - 1, or its negative, after as many of the other sign. */
static enum plinth_status sum_of_nines(int kind, int up, int down, struct batch **batch, struct plinth_error *error) {
    struct one one;
    int128 value = 1;
    for (int i = 0; i < 38; i++) value *= 10;
    value--;
    one_init(&one, kind, "decimal(38,0)", 1 << 20, false);
    for (int i = 0; i < up + down; i++) {
        int128 next = i < up ? value : -value;
        assert_true(column_builder_bytes_value(&one.builder, slice_of(&next, 16)));
    }
    assert_ok(one_add(&one), &one.error);
    enum plinth_status st = aggregator_finish(one.aggregator, batch, error);
    one_deinit(&one);
    return st;
}

static void decimal_sums_do_not_wrap_around(void **state) {
    (void)state;
    struct plinth_error error;
    struct batch *batch;
    for (int count = 2; count < 12; count++) { /* 4 * 10^38 is 0.6 * 10^38 modulo 2^128 */
        assert_status(sum_of_nines(AGGREGATE_SUM, count, 0, &batch, &error), PLINTH_INVALID_ARGUMENT, &error);
        assert_status(sum_of_nines(AGGREGATE_SUM, 0, count, &batch, &error), PLINTH_INVALID_ARGUMENT, &error);
        assert_ok(sum_of_nines(AGGREGATE_SUM, count, count, &batch, &error), &error);
        int128 sum;
        memcpy(&sum, batch->columns[0].values, sizeof sum);
        assert_true(sum == 0);
        batch_unref(batch);
        assert_ok(sum_of_nines(AGGREGATE_AVG, count, 0, &batch, &error), &error);
        assert_true(fabs(((const double *)batch->columns[0].values)[0] / 1e38 - 1) < 1e-12);
        batch_unref(batch);
    }
}

static void functions_that_a_type_has_not_are_named(void **state) {
    (void)state;
    struct column_type result;
    struct plinth_error error;
    assert_status(aggregate_result_type(AGGREGATE_SUM, type_of("string"), &result, &error), PLINTH_INVALID_ARGUMENT,
                  &error);
    assert_error_names(&error, "no sum of a string");
    assert_status(aggregate_result_type(AGGREGATE_AVG, type_of("date"), &result, &error), PLINTH_INVALID_ARGUMENT,
                  &error);
    assert_status(aggregate_result_type(AGGREGATE_MIN, type_of("list<int32>"), &result, &error),
                  PLINTH_INVALID_ARGUMENT, &error);
    assert_status(aggregate_result_type(9, type_of("int32"), &result, &error), PLINTH_INVALID_ARGUMENT, &error);
}

static void no_rows_give_one_row_without_groups_and_none_with(void **state) {
    (void)state;
    struct one one;
    struct batch *batch;
    one_init(&one, AGGREGATE_COUNT, "int32", 1 << 20, false);
    assert_ok(aggregator_finish(one.aggregator, &batch, &one.error), &one.error);
    assert_int_equal(batch->rows, 1);
    assert_int_equal(((const int64_t *)batch->columns[0].values)[0], 0);
    batch_unref(batch);
    one_deinit(&one);
    one_init(&one, AGGREGATE_COUNT, "int32", 1 << 20, true);
    assert_ok(aggregator_finish(one.aggregator, &batch, &one.error), &one.error);
    assert_null(batch);
    one_deinit(&one);
}

static void groups_beyond_the_memory_allowed_are_an_error(void **state) {
    (void)state;
    struct one one;
    enum plinth_status st = PLINTH_OK;
    int64_t next = 0;
    one_init(&one, AGGREGATE_COUNT, "int64", 1 << 20, true);
    while (!st && next < 1000000) {
        for (int i = 0; i < 1000; i++) assert_true(column_builder_integer(&one.builder, next++));
        st = one_add(&one);
    }
    assert_status(st, PLINTH_RESOURCE_EXHAUSTED, &one.error);
    assert_error_names(&one.error, "1048576 bytes");
    assert_true(next > 2000); /* but a megabyte holds thousands */
    one_deinit(&one);
}

/* Adds groups until the budget is used up; gives how many fit. */
static int64_t fill(struct one *one, int64_t next) {
    int64_t first = next;
    enum plinth_status st = PLINTH_OK;
    while (!st && next < first + 1000000) {
        for (int i = 0; i < 100; i++) assert_true(column_builder_integer(&one->builder, next++));
        st = one_add(one);
    }
    assert_status(st, PLINTH_RESOURCE_EXHAUSTED, &one->error);
    return next - first;
}

static void aggregators_of_one_query_share_its_memory(void **state) {
    (void)state;
    struct one many, few;
    one_init(&many, AGGREGATE_COUNT, "int64", 1 << 20, true);
    one_init(&few, AGGREGATE_COUNT, "int64", 0, true);
    aggregator_destroy(few.aggregator);
    const uint32_t group_column = 0;
    assert_ok(
        aggregator_create(&few.spec, 1, &group_column, &few.spec.type, 1, &many.budget, &few.aggregator, &few.error),
        &few.error);
    for (int i = 0; i < 100; i++) assert_true(column_builder_integer(&few.builder, i));
    assert_ok(one_add(&few), &few.error);
    int64_t whole = fill(&many, 0); /* nearly everything is for whoever needs it */
    assert_true(whole > 2000);
    assert_int_equal(fill(&few, 1000), 100); /* and the other one has none left */
    aggregator_destroy(many.aggregator);
    many.aggregator = NULL;
    assert_true(fill(&few, 2000) > whole / 2);
    one_deinit(&few);
    assert_int_equal(many.budget.bytes, 0);
    one_deinit(&many);
}

static void the_greatest_of_rising_strings_takes_no_memory(void **state) {
    (void)state;
    struct one one;
    struct batch *batch;
    char text[32];
    one_init(&one, AGGREGATE_MAX, "string", 256 << 10, false);
    for (int i = 0; i < 100; i++) {
        for (int j = 0; j < 1000; j++) {
            int size = snprintf(text, sizeof text, "value %09d", i * 1000 + j);
            assert_true(column_builder_bytes_value(&one.builder, slice_of(text, (size_t)size)));
        }
        assert_ok(one_add(&one), &one.error);
    }
    assert_ok(aggregator_finish(one.aggregator, &batch, &one.error), &one.error);
    assert_true(slice_equal(column_bytes_at(&batch->columns[0], 0), slice_of_string("value 000099999")));
    batch_unref(batch);
    one_deinit(&one);
}

static void nan_is_the_greatest_and_one_group(void **state) {
    (void)state;
    struct one one;
    struct batch *batch;
    one_init(&one, AGGREGATE_MAX, "float64", 1 << 20, true);
    double other_nan = -(double)NAN, values[] = {1, -0.0, 0.0, (double)NAN, other_nan};
    for (int i = 0; i < 5; i++) assert_true(column_builder_float(&one.builder, values[i]));
    assert_ok(one_add(&one), &one.error);
    assert_ok(aggregator_finish(one.aggregator, &batch, &one.error), &one.error);
    assert_int_equal(batch->rows, 3); /* 0, 1, NaN */
    assert_true(isnan(((const double *)batch->columns[0].values)[2]));
    batch_unref(batch);
    one_deinit(&one);
    one_init(&one, AGGREGATE_MAX, "float64", 1 << 20, false);
    for (int i = 0; i < 5; i++) assert_true(column_builder_float(&one.builder, values[i]));
    assert_ok(one_add(&one), &one.error);
    assert_ok(aggregator_finish(one.aggregator, &batch, &one.error), &one.error);
    assert_true(isnan(((const double *)batch->columns[0].values)[0]));
    batch_unref(batch);
    one_deinit(&one);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_function_of_every_type_is_the_sum_of_its_rows),
        cmocka_unit_test(rows_are_grouped_by_columns_of_every_type),
        cmocka_unit_test(many_groups_of_several_columns_stay_apart),
        cmocka_unit_test(a_sum_beyond_64_bits_is_an_error),
        cmocka_unit_test(an_average_of_large_numbers_does_not_overflow),
        cmocka_unit_test(a_decimal_sum_of_39_digits_is_an_error),
        cmocka_unit_test(decimal_sums_do_not_wrap_around),
        cmocka_unit_test(functions_that_a_type_has_not_are_named),
        cmocka_unit_test(no_rows_give_one_row_without_groups_and_none_with),
        cmocka_unit_test(groups_beyond_the_memory_allowed_are_an_error),
        cmocka_unit_test(aggregators_of_one_query_share_its_memory),
        cmocka_unit_test(the_greatest_of_rising_strings_takes_no_memory),
        cmocka_unit_test(nan_is_the_greatest_and_one_group),
    };
    return cmocka_run_group_tests_name("aggregates", tests, NULL, NULL);
}
