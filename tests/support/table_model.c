#include "support/table_model.h"

#include <stdio.h>
#include <stdlib.h>

#include "column/column_builder.h"
#include "engine/array.h"
#include "support/table_support.h"

enum { NAMES = 9, PARTS = 3 };
static const char *const names[NAMES] = {"amber", "blue", "", "cyan", "red", "red\xC3\xA9", "rot", "violet", "weiss"};
static const char METRICS[] = "part string, id int64, name string?, step int64, value float64?";
static const char EVENTS[] = "number int64, text string?";

static uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* What a step writes into a row; no name is null. */
static const char *part_of(uint32_t id) { return (const char *[]){"a", "b", "c\xC3\xBC"}[id % PARTS]; }
static const char *name_of(uint32_t id, uint64_t step) {
    uint64_t dice = mix(step * 1000 + id);
    return dice % 7 == 0 ? NULL : names[dice / 7 % NAMES];
}
static bool value_of(uint32_t id, uint64_t step, double *value) {
    uint64_t dice = mix(step * 999 + id);
    *value = (double)(dice % 1000) / 4;
    return dice % 5 != 0;
}
static size_t text_of(uint64_t number, char *text) {
    uint64_t dice = mix(number + 5);
    size_t size = dice % 6 == 0 ? 0 : 60 + dice % 140;
    for (size_t i = 0; i < size; i++) text[i] = (char)('a' + (dice + i * i) % 26);
    return size;
}

struct table_step table_step_of(uint64_t seed, uint64_t number) {
    struct test_random random = test_random_of(mix(seed + 17) + number);
    struct table_step step = {.number = number, .kind = (enum table_step_kind)test_random_below(&random, 5)};
    bool large = step.kind >= TABLE_STEP_UPSERT_ATOMIC;
    step.count = large ? 60 + (uint32_t)test_random_below(&random, TABLE_MODEL_STEP_ROWS_MAX - 60)
                       : 1 + (uint32_t)test_random_below(&random, 20);
    if (step.kind == TABLE_STEP_EVENTS && test_random_below(&random, 2)) step.count = 1 + step.count % 10;
    for (uint32_t i = 0; i < step.count; i++) step.ids[i] = (uint32_t)test_random_below(&random, TABLE_MODEL_IDS);
    return step;
}

/* ---- the model ---- */

void table_model_deinit(struct table_model *model) {
    free(model->events);
    *model = (struct table_model){0};
}

static void add_event(struct table_model *model, uint64_t event) {
    assert_true(ARRAY_PUSH(model->events, model->event_count, event));
}

static bool is_events(const struct table_step *step) { return step->kind >= TABLE_STEP_EVENTS; }

void table_model_apply(struct table_model *model, const struct table_step *step) {
    for (uint32_t i = 0; i < step->count; i++) {
        if (is_events(step))
            add_event(model, step->number * TABLE_MODEL_STEP_ROWS_MAX + i);
        else
            model->versions[step->ids[i]] = step->kind == TABLE_STEP_DELETE ? 0 : step->number;
    }
}

static bool metrics_equal(const struct table_model *a, const struct table_model *b) {
    return memcmp(a->versions, b->versions, sizeof a->versions) == 0;
}

static bool events_begin_with(const struct table_model *shown, const struct table_model *model) {
    return shown->event_count >= model->event_count &&
           (!model->event_count ||
            memcmp(shown->events, model->events, model->event_count * sizeof *model->events) == 0);
}

bool table_model_equal(const struct table_model *a, const struct table_model *b) {
    return metrics_equal(a, b) && a->event_count == b->event_count && events_begin_with(a, b);
}

bool table_model_is_partial(const struct table_model *shown, const struct table_model *model,
                            const struct table_step *step) {
    if (step->kind != TABLE_STEP_EVENTS || !metrics_equal(shown, model) || !events_begin_with(shown, model))
        return false;
    uint64_t more = shown->event_count - model->event_count;
    for (uint64_t i = 0; i < more; i++)
        if (shown->events[model->event_count + i] != step->number * TABLE_MODEL_STEP_ROWS_MAX + i) return false;
    return more > 0 && more < step->count;
}

/* ---- writing ---- */

static enum plinth_status create_table(struct plinth *db, const char *name, const struct plinth_column *columns,
                                       size_t count, const char *const *key, size_t key_count,
                                       struct plinth_error *error) {
    const struct table_schema *schema;
    enum plinth_status st = engine_find_schema(db, NULL, name, &schema, error);
    if (!st) table_schema_unref(schema);
    if (st != PLINTH_NOT_FOUND) return st;
    struct plinth_table_definition definition = {
        .columns = columns, .column_count = count, .key = key, .key_count = key_count, .page_rows = 16};
    return plinth_table_create(db, NULL, name, &definition, error);
}

enum plinth_status table_model_prepare(struct plinth *db, struct plinth_error *error) {
    static const struct plinth_column metrics[] = {
        {"part", "string", false, 0}, {"id", "int64", false, 0},     {"name", "string", true, 0},
        {"step", "int64", false, 0},  {"value", "float64", true, 0},
    };
    static const struct plinth_column events[] = {{"number", "int64", false, 0}, {"text", "string", true, 0}};
    static const char *const key[] = {"part", "id"}, *const by[] = {"name"};
    static const struct plinth_index index = {
        .name = "by_name", .kind = PLINTH_INDEX_SORTED, .columns = by, .column_count = 1};
    db->rows_record_bytes_max = TABLE_MODEL_RECORD_BYTES;
    enum plinth_status st = create_table(db, "metrics", metrics, 5, key, 2, error);
    if (!st) st = create_table(db, "events", events, 2, NULL, 0, error);
    if (st) return st;
    const struct table_schema *schema;
    st = engine_find_schema(db, NULL, "metrics", &schema, error);
    if (st) return st;
    bool indexed = table_schema_find_index(schema, slice_of_string("by_name")) != NULL;
    table_schema_unref(schema);
    return indexed ? PLINTH_OK : plinth_table_index_create(db, NULL, "metrics", &index, error);
}

static void add_bytes(struct column_builder *builder, const char *text, size_t size) {
    assert_true(text ? column_builder_bytes_value(builder, slice_of(text, size)) : column_builder_null(builder));
}

static void build_metric(struct column_builder *builders, uint32_t id, uint64_t step, bool delete) {
    double value;
    const char *name = name_of(id, step);
    add_bytes(&builders[0], part_of(id), strlen(part_of(id)));
    assert_true(column_builder_integer(&builders[1], id));
    if (delete) return;
    add_bytes(&builders[2], name, name ? strlen(name) : 0);
    assert_true(column_builder_integer(&builders[3], (int64_t)step));
    assert_true(value_of(id, step, &value) ? column_builder_float(&builders[4], value)
                                           : column_builder_null(&builders[4]));
}

static void build_event(struct column_builder *builders, uint64_t number) {
    char text[256];
    size_t size = text_of(number, text);
    assert_true(column_builder_integer(&builders[0], (int64_t)number));
    add_bytes(&builders[1], size ? text : NULL, size);
}

/* The rows of a step in place of the (empty) batch of `rows`. */
static void build_rows(const struct table_step *step, struct test_rows *rows) {
    uint32_t columns = step->kind == TABLE_STEP_DELETE ? 2 : rows->schema.field_count;
    struct column_builder builders[TEST_COLUMNS_MAX];
    for (uint32_t i = 0; i < columns; i++) assert_true(column_builder_init(&builders[i], rows->fields[i].type));
    for (uint32_t i = 0; i < step->count; i++) {
        if (is_events(step))
            build_event(builders, step->number * TABLE_MODEL_STEP_ROWS_MAX + i);
        else
            build_metric(builders, step->ids[i], step->number, step->kind == TABLE_STEP_DELETE);
    }
    batch_unref(rows->batch);
    rows->schema.field_count = columns;
    rows->batch = column_builders_finish(builders, columns);
    assert_non_null(rows->batch);
    for (uint32_t i = 0; i < columns; i++) column_builder_deinit(&builders[i]);
}

enum plinth_status table_model_write(struct plinth *db, uint64_t seed, const struct table_step *step,
                                     enum plinth_durability durability, bool *duplicate, struct plinth_error *error) {
    *duplicate = false;
    const struct table_schema *schema;
    enum plinth_status st = engine_find_schema(db, NULL, is_events(step) ? "events" : "metrics", &schema, error);
    if (st) return st;
    struct test_rows rows;
    struct rows_result result;
    test_rows_init(&rows, is_events(step) ? EVENTS : METRICS, "");
    build_rows(step, &rows);
    struct rows_write write = {.operation = step->kind == TABLE_STEP_DELETE ? ROWS_DELETE : ROWS_UPSERT,
                               .schema = &rows.schema,
                               .batch = rows.batch,
                               .atomic =
                                   step->kind == TABLE_STEP_UPSERT_ATOMIC || step->kind == TABLE_STEP_EVENTS_ATOMIC};
    struct plinth_write_options options = {
        .durability = durability, .producer_id = mix(seed) | 1, .sequence = step->number};
    st = rows_submit(db, schema->id, &write, &options, &result, error);
    if (!st) assert_int_equal(result.rows_written, step->count);
    if (!st)
        st = rows_wait(db, &options, &result, error);
    else
        (void)!rows_wait(db, &options, &result, NULL); /* so that what is there of it shows now or never */
    *duplicate = !st && result.duplicate;
    rows_result_deinit(&result);
    test_rows_deinit(&rows);
    table_schema_unref(schema);
    return st;
}

/* ---- reading ---- */

static int64_t integer_at(const struct row_block *block, uint32_t column, uint32_t row) {
    return ((const int64_t *)block->columns->columns[column].values)[row];
}

static void check_text(const struct column *column, uint32_t row, const char *wanted, size_t size) {
    assert_int_equal(column_is_null(column, row), !wanted);
    if (wanted) assert_true(slice_equal(column_bytes_at(column, row), slice_of(wanted, size)));
}

static void read_metrics(void *context, const struct row_block *block) {
    struct table_model *shown = context;
    const struct column *columns = block->columns->columns;
    for (uint32_t row = 0; row < block->rows; row++) {
        uint32_t id = (uint32_t)integer_at(block, 1, row);
        uint64_t step = (uint64_t)integer_at(block, 3, row);
        double value;
        assert_true(id < TABLE_MODEL_IDS);
        assert_int_equal(shown->versions[id], 0); /* once only */
        check_text(&columns[0], row, part_of(id), strlen(part_of(id)));
        const char *name = name_of(id, step);
        check_text(&columns[2], row, name, name ? strlen(name) : 0);
        bool has_value = value_of(id, step, &value);
        assert_int_equal(column_is_null(&columns[4], row), !has_value);
        if (has_value) assert_true(((const double *)columns[4].values)[row] == value);
        shown->versions[id] = step;
    }
}

static void read_events(void *context, const struct row_block *block) {
    struct table_model *shown = context;
    for (uint32_t row = 0; row < block->rows; row++) {
        uint64_t number = (uint64_t)integer_at(block, 0, row);
        char text[256];
        size_t size = text_of(number, text);
        check_text(&block->columns->columns[1], row, size ? text : NULL, size);
        add_event(shown, number);
    }
}

/* Whether an entry is of the row that is visible. */
static enum plinth_status entry_counts(struct view *view, const struct table_schema *schema, struct slice key,
                                       uint64_t entry_lsn, uint64_t lsn, bool *counts, struct plinth_error *error) {
    struct row_place place;
    *counts = false;
    enum plinth_status st = view_find_rows(view, schema, &key, 1, lsn, &place, error);
    if (st) return st;
    *counts = place.lsn && place.lsn <= entry_lsn && place.operation == ROW_SET; /* merges raise LSNs of live ones */
    row_place_release(&place);
    return PLINTH_OK;
}

/* An entry that counts has the name of its row. */
static void check_entry(const struct table_model *shown, struct slice entry) {
    struct column_builder builders[3], *name[] = {&builders[0]}, *key[] = {&builders[1], &builders[2]};
    for (int i = 0; i < 3; i++)
        assert_true(column_builder_init(&builders[i], column_type_of(i < 2 ? COLUMN_STRING : COLUMN_INT64)));
    struct reader from = reader_of(entry);
    assert_true(row_key_decode(&from, name, 1, ROW_KEY_INDEX));
    assert_true(row_key_decode(&from, key, 2, ROW_KEY_PRIMARY));
    struct column id = column_builder_view(&builders[2]), text = column_builder_view(&builders[0]);
    uint32_t number = (uint32_t)((const int64_t *)id.values)[0];
    assert_true(number < TABLE_MODEL_IDS && shown->versions[number]);
    const char *wanted = name_of(number, shown->versions[number]);
    check_text(&text, 0, wanted, wanted ? strlen(wanted) : 0);
    for (int i = 0; i < 3; i++) column_builder_deinit(&builders[i]);
}

/* Every row has one entry that counts, and the entries are in order. */
static enum plinth_status check_entries(struct view *view, uint64_t lsn, const struct table_schema *schema,
                                        struct iterator *it, const struct table_model *shown,
                                        struct plinth_error *error) {
    static const struct column_type name = {.kind = COLUMN_STRING};
    uint64_t rows = 0, entries = 0;
    for (uint32_t id = 0; id < TABLE_MODEL_IDS; id++) rows += shown->versions[id] != 0;
    struct buffer before = BUFFER_INIT;
    enum plinth_status st = iterator_seek_first(it, error);
    for (; !st && it->valid; st = iterator_next(it, error)) {
        if (it->row.lsn > lsn || it->row.operation != ROW_SET) continue;
        assert_true(slice_compare(buffer_slice(&before), it->row.key) <= 0);
        buffer_clear(&before);
        assert_true(buffer_append(&before, it->row.key.data, it->row.key.size));
        struct reader key = reader_of(it->row.key);
        bool counts;
        assert_true(row_key_skip(&key, &name, 1));
        st = entry_counts(view, schema, slice_of(key.at, reader_left(&key)), it->row.lsn, lsn, &counts, error);
        if (st) break;
        if (counts) check_entry(shown, it->row.key);
        entries += counts;
    }
    buffer_deinit(&before);
    if (!st) assert_int_equal(entries, rows);
    return st;
}

static enum plinth_status check_index(struct plinth *db, const struct table_model *shown, struct plinth_error *error) {
    const struct table_schema *schema;
    struct view *view = NULL;
    struct iterator *it = NULL;
    uint64_t lsn;
    enum plinth_status st = engine_find_schema(db, NULL, "metrics", &schema, error);
    if (st) return st;
    const struct table_index *index = table_schema_find_index(schema, slice_of_string("by_name"));
    bool ready = index && index->state == INDEX_READY;
    if (ready) st = engine_begin_read(db, NULL, &view, &lsn, error);
    if (ready && !st) st = view_index_iterator(view, schema, index, &it, error);
    if (ready && !st) st = check_entries(view, lsn, schema, it, shown, error);
    iterator_close(it);
    if (view) view_unref(view);
    table_schema_unref(schema);
    return st;
}

enum plinth_status table_model_read(struct plinth *db, struct table_model *shown, struct plinth_error *error) {
    *shown = (struct table_model){0};
    enum plinth_status st = test_table_visit(db, "metrics", read_metrics, shown, error);
    if (!st) st = check_index(db, shown, error);
    if (!st || st == PLINTH_NOT_FOUND) st = test_table_visit(db, "events", read_events, shown, error);
    if (st == PLINTH_NOT_FOUND) st = PLINTH_OK;
    if (st) table_model_deinit(shown);
    return st;
}
