/* A filter's text is parsed, bound to a table of all types and evaluated. By row and by column it says the same, and so
 * does what its own text form parses into. */
#include <math.h>
#include <stdlib.h>

#include "column/column_builder.h"
#include "query/predicate_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { COLUMN_COUNT = 19, ROWS = 70, INPUT_BYTES_MAX = 4096 };

static const struct {
    const char *name;
    struct column_type type;
} columns[COLUMN_COUNT] = {
    {"flag", {COLUMN_BOOL}},
    {"i8", {COLUMN_INT8}},
    {"i16", {COLUMN_INT16}},
    {"i32", {COLUMN_INT32}},
    {"a", {COLUMN_INT64}},
    {"u8", {COLUMN_UINT8}},
    {"u16", {COLUMN_UINT16}},
    {"u32", {COLUMN_UINT32}},
    {"u64", {COLUMN_UINT64}},
    {"f32", {COLUMN_FLOAT32}},
    {"x", {COLUMN_FLOAT64}},
    {"price", {COLUMN_DECIMAL, .precision = 10, .scale = 2}},
    {"b", {COLUMN_STRING}},
    {"raw", {COLUMN_BYTES}},
    {"d", {COLUMN_DATE}},
    {"t", {COLUMN_TIMESTAMP, .unit = TIME_MILLI, .zoned = true}},
    {"ns", {COLUMN_TIMESTAMP, .unit = TIME_NANO}},
    {"id", {COLUMN_UUID}},
    {"tags", {COLUMN_LIST, .element = COLUMN_STRING}},
};

static struct predicate_column schema[COLUMN_COUNT];
static struct column_builder builders[COLUMN_COUNT];
static struct column views[COLUMN_COUNT];
static const struct column *pointers[COLUMN_COUNT];

static void require(bool holds) {
    if (!holds) abort();
}

static void append(struct column_builder *builder, int row) {
    static const char *const texts[] = {"", "a", "ab", "b c", "\xc3\xa9t\xc3\xa9", "a%_\\", "it's"};
    static const double reals[] = {-1.5, 0, -0.0, 1, INFINITY, NAN, 1e300};
    uint8_t sixteen[16] = {(uint8_t)(row % 5)};
    struct slice text = slice_of_string(texts[row % 7]);
    uint8_t kind = builder->type.kind;
    if (row % 11 == 3) {
        require(column_builder_null(builder));
    } else if (kind == COLUMN_BOOL) {
        require(column_builder_bool(builder, row % 2));
    } else if (column_kind_is_float(kind)) {
        require(column_builder_float(builder, reals[row % 7]));
    } else if (column_kind_is_bytes(kind)) {
        require(column_builder_bytes_value(builder, text));
    } else if (kind == COLUMN_DECIMAL || kind == COLUMN_UUID) {
        require(column_builder_bytes_value(builder, slice_of(sixteen, 16)));
    } else if (kind == COLUMN_LIST) {
        if (row % 5 == 1) require(column_builder_null(builder->child));
        if (row % 3) require(column_builder_bytes_value(builder->child, text));
        require(column_builder_list(builder));
    } else {
        require(column_builder_integer(builder, row % 13 - 3));
    }
}

static void build_table(void) {
    for (int i = 0; i < COLUMN_COUNT; i++) {
        schema[i] = (struct predicate_column){slice_of_string(columns[i].name), columns[i].type};
        require(column_builder_init(&builders[i], columns[i].type));
        for (int row = 0; row < ROWS; row++) append(&builders[i], row);
        views[i] = column_builder_view(&builders[i]);
        pointers[i] = &views[i];
    }
}

/* Bind errors have a text; what binds evaluates to the rows that are true one by one. False: it did not bind. */
static bool evaluate(const struct predicate *unbound, struct arena *arena, const struct predicate **bound,
                     uint8_t selected[ROWS / 8 + 1]) {
    struct plinth_error error = {0};
    enum plinth_status st = predicate_bind(unbound, schema, COLUMN_COUNT, arena, bound, &error);
    require(st == PLINTH_OK || (st == PLINTH_INVALID_ARGUMENT && error.text[0] && !*bound));
    if (st) return false;
    require(predicate_evaluate(*bound, pointers, ROWS, NULL, selected, arena));
    for (uint32_t row = 0; row < ROWS; row++) {
        bool is_true = predicate_evaluate_row(*bound, pointers, row) == TRUTH_TRUE;
        require(bitmap_get(selected, row) == is_true);
    }
    return true;
}

static void check(struct slice text, struct arena *arena) {
    const struct predicate *unbound, *bound, *again_unbound, *again;
    struct plinth_error error = {0};
    uint8_t selected[ROWS / 8 + 1] = {0}, again_selected[ROWS / 8 + 1] = {0};
    struct buffer formatted = BUFFER_INIT;
    enum plinth_status st = predicate_parse(text, arena, &unbound, &error);
    require(st == PLINTH_OK || (st == PLINTH_INVALID_ARGUMENT && error.text[0] && !unbound));
    if (st || !evaluate(unbound, arena, &bound, selected)) return;
    require(predicate_format(&formatted, bound, schema));
    require(predicate_parse(buffer_slice(&formatted), arena, &again_unbound, &error) == PLINTH_OK);
    require(evaluate(again_unbound, arena, &again, again_selected));
    require(memcmp(selected, again_selected, sizeof selected) == 0);
    buffer_deinit(&formatted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!pointers[0]) build_table();
    if (size > INPUT_BYTES_MAX) return 0;
    struct arena arena;
    arena_init(&arena);
    check(slice_of(data, size), &arena);
    arena_deinit(&arena);
    return 0;
}
