/* A table that is altered at random while it is written, flushed, merged, indexed and reopened, against a model: what
 * rows read as, now and in named snapshots, by every path that a query can take.
 *
 * A cell of the model is a small number; what stands for it in a column follows from the column's type, in such a way
 * that a wider type changes neither order nor equality. So the model knows nothing of types. */
#include <stdio.h>
#include <stdlib.h>

#include "base/log_event.h"
#include "column/column_builder.h"
#include "query/predicate_text.h"
#include "query/query.h"
#include "query_table.h"

enum { KEYS = 120, COLUMNS_EVER = 60, NAMES = 12, VALUES = 90, SNAPSHOTS = 3, NOTHING = -1, ABSENT = -2 };

static const char *const ladders[][5] = {
    {"int8", "int16", "int32", "int64"},
    {"uint8", "uint16", "int32", "int64"},
    {"float32", "float64"},
    {"decimal(4,2)", "decimal(9,2)", "decimal(30,2)"},
    {"date", "timestamp(ms)"},
    {"string"},
    {"bool"},
};
enum { LADDERS = sizeof ladders / sizeof *ladders };

struct model_column {
    bool alive, nullable;
    int name;
    int initial, write; /* NOTHING: no default */
};
struct model_row {
    bool there;
    int8_t cells[COLUMNS_EVER];
};
struct state {
    struct model_column columns[COLUMNS_EVER];
    struct model_row rows[KEYS];
};
struct altered {
    char path[TEST_PATH_MAX];
    struct plinth *db;
    struct plinth_error error;
    struct test_random random;
    const char *table;
    int column_count; /* ever made */
    int ladder[COLUMNS_EVER], rung[COLUMNS_EVER];
    struct state now, snapshots[SNAPSHOTS];
    bool kept[SNAPSHOTS];
    int indexed[COLUMNS_EVER]; /* 0, or 1 + kind in `kinds` */
    unsigned altered, refused, checked;
};

static const enum plinth_index_kind kinds[] = {PLINTH_INDEX_SORTED, PLINTH_INDEX_BITMAP, PLINTH_INDEX_BLOOM};

static uint64_t below(struct altered *a, uint64_t limit) { return test_random_below(&a->random, limit); }
static bool one_in(struct altered *a, uint64_t n) { return below(a, n) == 0; }
static const char *type_text(const struct altered *a, int column) {
    return ladders[a->ladder[column]][a->rung[column]];
}
static struct column_type type_of(const struct altered *a, int column) {
    struct column_type type;
    assert_ok(column_type_parse(slice_of_string(type_text(a, column)), &type, NULL), NULL);
    return type;
}
static void name_of(int name, char text[16]) { snprintf(text, 16, "c%d", name); }

/* ---- values ---- */

static int fold(struct column_type type, int value) {
    return type.kind == COLUMN_BOOL && value >= 0 ? value & 1 : value;
}

static bool put(struct column_builder *builder, struct column_type type, int value) {
    char text[16];
    uint8_t bytes[16] = {0};
    int64_t cents = value * 100 + 25;
    if (value == NOTHING) return column_builder_null(builder);
    switch (type.kind) {
    case COLUMN_BOOL: return column_builder_bool(builder, value & 1);
    case COLUMN_FLOAT32:
    case COLUMN_FLOAT64: return column_builder_float(builder, value / 2.0);
    case COLUMN_DECIMAL:
        memcpy(bytes, &cents, sizeof cents);
        return column_builder_bytes_value(builder, slice_of(bytes, 16));
    case COLUMN_TIMESTAMP: return column_builder_integer(builder, (int64_t)value * 86400 * 1000);
    case COLUMN_STRING:
        snprintf(text, sizeof text, "s%03d", value);
        return column_builder_bytes_value(builder, slice_of_string(text));
    default: return column_builder_integer(builder, value);
    }
}

static void value_text(struct column_type type, int value, char text[48]) {
    struct column_builder builder;
    struct buffer formatted = BUFFER_INIT;
    if (value == NOTHING) {
        strcpy(text, "null");
        return;
    }
    assert_true(column_builder_init(&builder, type) && put(&builder, type, value));
    struct column view = column_builder_view(&builder);
    assert_true(column_format(&formatted, &view, 0) && buffer_append_u8(&formatted, 0));
    assert_true(formatted.size <= 48);
    strcpy(text, (char *)formatted.data);
    buffer_deinit(&formatted);
    column_builder_deinit(&builder);
}

static int cell_of(const struct altered *a, const struct state *state, int key, int column) {
    int value = state->rows[key].cells[column];
    return fold(type_of(a, column), value == ABSENT ? state->columns[column].initial : value);
}

static int named(const struct state *state, int count, int name) {
    for (int c = 0; c < count; c++)
        if (state->columns[c].alive && state->columns[c].name == name) return c;
    return -1;
}

static int random_column(struct altered *a) {
    for (int tries = 0; tries < 50; tries++) {
        int column = (int)below(a, (uint64_t)a->column_count + 1) - 1;
        if (column >= 0 && a->now.columns[column].alive) return column;
    }
    return -1;
}

/* ---- writing ---- */

static void write_rows(struct altered *a) {
    struct arrow_field fields[COLUMNS_EVER + 1] = {{"id", column_type_of(COLUMN_INT32), false}};
    struct column_builder builders[COLUMNS_EVER + 1];
    char names[COLUMNS_EVER][16];
    int columns[COLUMNS_EVER + 1];
    uint32_t count = 1;
    assert_true(column_builder_init(&builders[0], fields[0].type));
    bool deletes = one_in(a, 5);
    for (int c = 0; c < a->column_count && !deletes; c++) {
        const struct model_column *column = &a->now.columns[c];
        bool needed = !column->nullable && column->write == NOTHING;
        if (!column->alive || (!needed && one_in(a, 3))) continue;
        name_of(column->name, names[c]);
        columns[count] = c;
        fields[count] = (struct arrow_field){names[c], type_of(a, c), true};
        assert_true(column_builder_init(&builders[count], fields[count].type));
        count++;
    }
    uint32_t rows = 1 + (uint32_t)below(a, 25);
    for (uint32_t r = 0; r < rows; r++) {
        int key = (int)below(a, KEYS);
        struct model_row *row = &a->now.rows[key];
        row->there = !deletes;
        memset(row->cells, ABSENT, sizeof row->cells);
        for (int c = 0; c < a->column_count; c++)
            if (a->now.columns[c].alive) row->cells[c] = (int8_t)a->now.columns[c].write;
        assert_true(column_builder_integer(&builders[0], key));
        for (uint32_t c = 1; c < count; c++) {
            bool null = a->now.columns[columns[c]].nullable && one_in(a, 6);
            int value = null ? NOTHING : (int)below(a, VALUES);
            row->cells[columns[c]] = (int8_t)value;
            assert_true(put(&builders[c], fields[c].type, value));
        }
    }
    struct arrow_schema schema = {fields, count};
    struct batch *batch = column_builders_finish(builders, count);
    assert_non_null(batch);
    const struct table_schema *found;
    assert_ok(engine_find_schema(a->db, NULL, a->table, &found, &a->error), &a->error);
    struct rows_write write = {
        .operation = deletes ? ROWS_DELETE : ROWS_UPSERT, .schema = &schema, .batch = batch, .atomic = one_in(a, 4)};
    struct rows_result result;
    assert_ok(rows_submit(a->db, found->id, &write, NULL, &result, &a->error), &a->error);
    assert_int_equal(result.rows_rejected, 0);
    assert_ok(rows_wait(a->db, NULL, &result, &a->error), &a->error);
    rows_result_deinit(&result);
    table_schema_unref(found);
    batch_unref(batch);
    for (uint32_t c = 0; c < count; c++) column_builder_deinit(&builders[c]);
}

/* ---- altering ---- */

static int free_name(struct altered *a) {
    for (int tries = 0; tries < 50; tries++) {
        int name = (int)below(a, NAMES);
        if (named(&a->now, a->column_count, name) < 0) return name;
    }
    return -1;
}

struct step_texts {
    char name[16], new_name[16], value[48];
};

/* One step for the engine and for the model; false when there is nothing to do. */
static bool make_step(struct altered *a, struct plinth_alteration *step, struct step_texts *texts) {
    *step = (struct plinth_alteration){0};
    int column = random_column(a), name;
    if (column >= 0) name_of(a->now.columns[column].name, texts->name);
    step->column = texts->name;
    switch (below(a, 8)) {
    case 0:
    case 1:
        name = free_name(a);
        if (name < 0 || a->column_count == COLUMNS_EVER) return false;
        column = a->column_count++;
        a->ladder[column] = (int)below(a, LADDERS);
        a->rung[column] = 0;
        name_of(name, texts->name);
        step->kind = PLINTH_ADD_COLUMN;
        step->type = type_text(a, column);
        int value = one_in(a, 3) ? NOTHING : (int)below(a, VALUES);
        step->not_null = value != NOTHING && one_in(a, 3);
        value_text(type_of(a, column), value, texts->value);
        step->default_value = value == NOTHING ? NULL : texts->value;
        a->now.columns[column] = (struct model_column){true, !step->not_null, name, value, value};
        return true;
    case 2:
        if (column < 0) return false;
        step->kind = PLINTH_DROP_COLUMN;
        step->cascade = a->indexed[column] != 0;
        a->indexed[column] = 0;
        a->now.columns[column].alive = false;
        return true;
    case 3:
        name = free_name(a);
        if (column < 0 || name < 0) return false;
        name_of(name, texts->new_name);
        step->kind = PLINTH_RENAME_COLUMN;
        step->new_name = texts->new_name;
        a->now.columns[column].name = name;
        return true;
    case 4:
        if (column < 0 || !ladders[a->ladder[column]][a->rung[column] + 1]) return false;
        if (a->indexed[column] == 1 && type_of(a, column).kind != COLUMN_DECIMAL) return false;
        a->rung[column]++;
        step->kind = PLINTH_WIDEN_COLUMN;
        step->type = type_text(a, column);
        return true;
    case 5:
        if (column < 0) return false;
        step->kind = PLINTH_DROP_NOT_NULL;
        a->now.columns[column].nullable = true;
        return true;
    case 6:
        if (column < 0) return false;
        step->kind = PLINTH_SET_DEFAULT;
        a->now.columns[column].write = one_in(a, 3) ? NOTHING : (int)below(a, VALUES);
        value_text(type_of(a, column), a->now.columns[column].write, texts->value);
        step->default_value = a->now.columns[column].write == NOTHING ? NULL : texts->value;
        return true;
    default:
        step->kind = PLINTH_SET_OPTIONS;
        step->options = PLINTH_OPTION_CODEC | PLINTH_OPTION_PAGE_ROWS;
        step->codec = (enum plinth_codec)below(a, 4);
        step->page_rows = 16 + (uint32_t)below(a, 30);
        return true;
    }
}

static void alter(struct altered *a) {
    struct plinth_alteration steps[4];
    struct step_texts texts[4];
    size_t count = 0;
    for (uint64_t wanted = 1 + below(a, 4); wanted; wanted--) count += make_step(a, &steps[count], &texts[count]);
    if (one_in(a, 6) && count < 4) {
        const char *other = strcmp(a->table, "t") ? "t" : "renamed";
        steps[count++] = (struct plinth_alteration){.kind = PLINTH_RENAME_TABLE, .new_name = other};
        assert_ok(plinth_table_alter(a->db, NULL, a->table, steps, count, &a->error), &a->error);
        a->table = other;
    } else if (count) {
        assert_ok(plinth_table_alter(a->db, NULL, a->table, steps, count, &a->error), &a->error);
    }
    a->altered += (unsigned)count;
}

static void change_index(struct altered *a) {
    int column = random_column(a);
    char name[16], index_name[16];
    const char *columns[] = {name};
    if (column < 0) return;
    snprintf(index_name, sizeof index_name, "i%d", column);
    name_of(a->now.columns[column].name, name);
    if (a->indexed[column]) {
        assert_ok(plinth_table_index_drop(a->db, NULL, a->table, index_name, &a->error), &a->error);
        a->indexed[column] = 0;
        return;
    }
    size_t kind = below(a, 3);
    struct plinth_index index = {.name = index_name, .kind = kinds[kind], .columns = columns, .column_count = 1};
    assert_ok(plinth_table_index_create(a->db, NULL, a->table, &index, &a->error), &a->error);
    a->indexed[column] = 1 + (int)kind;
}

/* ---- reading ---- */

struct term {
    int column; /* -1: none */
    int operation, value;
};
static const char *const operations[] = {"=", "<", "<=", ">", ">=", "<>", "IS NULL", "IS NOT NULL"};

static bool holds(const struct term *condition, int cell) {
    if (condition->operation == 6) return cell == NOTHING;
    if (condition->operation == 7) return cell != NOTHING;
    if (cell == NOTHING) return false;
    int order = (cell > condition->value) - (cell < condition->value);
    switch (condition->operation) {
    case 0: return order == 0;
    case 1: return order < 0;
    case 2: return order <= 0;
    case 3: return order > 0;
    case 4: return order >= 0;
    default: return order != 0;
    }
}

static void condition_text(const struct altered *a, const struct state *state, const struct term *condition,
                           char text[128]) {
    struct column_type type = type_of(a, condition->column);
    char name[16], value[48];
    name_of(state->columns[condition->column].name, name);
    if (condition->operation > 5) {
        snprintf(text, 128, "%s %s", name, operations[condition->operation]);
        return;
    }
    value_text(type, condition->value, value);
    bool quoted = type.kind == COLUMN_STRING || type.kind == COLUMN_DATE || type.kind == COLUMN_TIMESTAMP;
    const char *prefix = type.kind == COLUMN_DATE ? "DATE " : type.kind == COLUMN_TIMESTAMP ? "TIMESTAMP " : "";
    snprintf(text, 128, "%s %s %s%s%s%s", name, operations[condition->operation], prefix, quoted ? "'" : "", value,
             quoted ? "'" : "");
}

static void wanted_lines(const struct altered *a, const struct state *state, const struct term *condition,
                         struct lines *lines) {
    for (int key = 0; key < KEYS; key++) {
        if (!state->rows[key].there) continue;
        if (condition->column >= 0 && !holds(condition, cell_of(a, state, key, condition->column))) continue;
        struct buffer text = BUFFER_INIT;
        char value[64];
        int size = snprintf(value, sizeof value, "%d|", key);
        assert_true(buffer_append(&text, value, (size_t)size));
        for (int c = 0; c < a->column_count; c++) {
            if (!state->columns[c].alive) continue;
            value_text(type_of(a, c), cell_of(a, state, key, c), value);
            strcat(value, "|");
            assert_true(buffer_append(&text, value, strlen(value)));
        }
        assert_true(buffer_append_u8(&text, 0));
        if (lines->count == lines->capacity) {
            lines->capacity = lines->capacity ? 2 * lines->capacity : 64;
            lines->all = realloc(lines->all, lines->capacity * sizeof *lines->all);
            assert_non_null(lines->all);
        }
        lines->all[lines->count++] = (char *)text.data;
    }
}

static void check_state(struct altered *a, const struct state *state, const char *snapshot, const char *path) {
    struct term condition = {-1, 0, 0};
    char where[128] = "", what[256];
    int column = random_column(a);
    struct arena arena;
    arena_init(&arena);
    if (column >= 0 && state->columns[column].alive) {
        condition = (struct term){column, (int)below(a, 8), fold(type_of(a, column), (int)below(a, VALUES))};
        if (type_of(a, column).kind == COLUMN_BOOL && condition.operation < 6) condition.operation = 0;
        condition_text(a, state, &condition, where);
    }
    struct query_table table = {.db = a->db};
    struct query_options options = {.ordered = true, .read = {.snapshot_name = snapshot}};
    if (*where) options.predicate = parse_where(&arena, where);
    if (path) options.force_path = slice_of_string(path);
    struct lines got = {0}, wanted = {0};
    assert_ok(engine_find_schema(a->db, NULL, a->table, &table.schema, &a->error), &a->error);
    enum plinth_status st = lines_of_query(&table, &options, &got, NULL);
    if (st) fail_msg("%s (%s): %s", where, snapshot ? snapshot : "now", table.error.text);
    wanted_lines(a, state, &condition, &wanted);
    snprintf(what, sizeof what, "step %u, %s, where %s", a->altered, snapshot ? snapshot : "now", where);
    assert_lines(&got, &wanted, what);
    a->checked++;
    lines_deinit(&got);
    lines_deinit(&wanted);
    table_schema_unref(table.schema);
    arena_deinit(&arena);
}

static void check_row(struct altered *a) {
    int key = (int)below(a, KEYS);
    struct literal literal = {.kind = LITERAL_INT, .integer = key};
    const struct table_schema *schema;
    struct batch *batch;
    assert_ok(engine_find_schema(a->db, NULL, a->table, &schema, &a->error), &a->error);
    assert_ok(query_get_row(a->db, schema, &literal, 1, NULL, 0, NULL, &batch, NULL, &a->error), &a->error);
    assert_int_equal(batch != NULL, a->now.rows[key].there);
    uint32_t at = 1;
    for (int c = 0; batch && c < a->column_count; c++) {
        if (!a->now.columns[c].alive) continue;
        struct buffer text = BUFFER_INIT;
        char wanted[48];
        value_text(type_of(a, c), cell_of(a, &a->now, key, c), wanted);
        bool null = column_is_null(&batch->columns[at], 0);
        assert_true((null ? buffer_append(&text, "null", 4) : column_format(&text, &batch->columns[at], 0)) &&
                    buffer_append_u8(&text, 0));
        assert_string_equal((char *)text.data, wanted);
        buffer_deinit(&text);
        at++;
    }
    batch_unref(batch);
    table_schema_unref(schema);
}

static void report_problem(void *context, const char *object, const char *problem) {
    (void)context;
    fail_msg("%s: %s", object, problem);
}

static void check_all(struct altered *a) {
    static const char *const names[SNAPSHOTS] = {"one", "two", "three"};
    for (int i = 0; i < 4; i++) check_state(a, &a->now, NULL, i ? NULL : "scan");
    check_row(a);
    for (int s = 0; s < SNAPSHOTS; s++)
        for (int i = 0; i < 2 && a->kept[s]; i++) check_state(a, &a->snapshots[s], names[s], NULL);
}

static void change_snapshot(struct altered *a) {
    static const char *const names[SNAPSHOTS] = {"one", "two", "three"};
    uint64_t which = below(a, SNAPSHOTS);
    if (a->kept[which])
        assert_ok(plinth_snapshot_drop(a->db, names[which], &a->error), &a->error);
    else
        assert_ok(plinth_snapshot_keep(a->db, names[which], NULL, false, NULL, &a->error), &a->error);
    a->kept[which] = !a->kept[which];
    a->snapshots[which] = a->now;
}

static void open_db(struct altered *a) {
    const struct plinth_options options = {.no_background_compaction = true,
                                           .durability = PLINTH_DURABILITY_BUFFERED,
                                           .read_durability = PLINTH_DURABILITY_BUFFERED};
    assert_ok(plinth_open(a->path, &options, &a->db, &a->error), &a->error);
}

static void run(uint64_t seed, int steps) {
    static const struct plinth_column columns[] = {{.name = "id", .type = "int32"}};
    static const char *const key[] = {"id"};
    const struct plinth_table_definition definition = {
        .columns = columns, .column_count = 1, .key = key, .key_count = 1, .page_rows = 16};
    struct altered *a = calloc(1, sizeof *a);
    assert_non_null(a);
    a->random = test_random_of(seed);
    a->table = "t";
    memset(a->now.rows, 0, sizeof a->now.rows);
    for (int c = 0; c < COLUMNS_EVER; c++) a->now.columns[c].initial = a->now.columns[c].write = NOTHING;
    test_directory_create(a->path);
    open_db(a);
    assert_ok(plinth_table_create(a->db, NULL, "t", &definition, &a->error), &a->error);
    for (int i = 0; i < 4; i++) alter(a);
    for (int i = 0; i < steps; i++) {
        switch (below(a, 20)) {
        case 0:
        case 1:
        case 2: alter(a); break;
        case 3:
        case 4: assert_ok(plinth_flush(a->db, &a->error), &a->error); break;
        case 5: assert_ok(plinth_compact(a->db, &a->error), &a->error); break;
        case 6:
            plinth_close(a->db);
            open_db(a);
            break;
        case 7: change_snapshot(a); break;
        case 8: change_index(a); break;
        case 9:
        case 10: check_all(a); break;
        default: write_rows(a);
        }
    }
    check_all(a);
    struct plinth_verify_result verified;
    assert_ok(plinth_verify(a->db, report_problem, NULL, &verified, &a->error), &a->error);
    plinth_close(a->db);
    test_directory_remove(a->path);
    free(a);
}

static void an_altered_table_reads_as_its_model(void **state) {
    (void)state;
#if defined(__SANITIZE_THREAD__)
    enum { SEEDS = 3 };
#else
    enum { SEEDS = 12 };
#endif
    const char *seeds = getenv("PLINTH_TEST_SEEDS");
    int count = seeds ? atoi(seeds) : SEEDS;
    for (int seed = 1; seed <= count; seed++) {
        print_message("seed %d\n", seed);
        run((uint64_t)seed, 250);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_altered_table_reads_as_its_model)};
    log_event_configure(LOG_OFF, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
