/* Alterations of tables: every rule, what is kept of the past, and the bytes. */
#include <stdio.h>
#include <stdlib.h>

#include "catalog/catalog.h"
#include "column/column_builder.h"
#include "support/test_support.h"

struct fixture {
    struct catalog catalog;
    struct plinth_error error;
    uint32_t table;
    uint64_t lsn, horizon_lsn;
    struct column_builder value;
    struct column view;
};

static struct column_type type_of(const char *text) {
    struct column_type type;
    assert_ok(column_type_parse(slice_of_string(text), &type, NULL), NULL);
    return type;
}

static struct catalog_change change_of(const struct fixture *f, enum catalog_change_kind kind, uint32_t subject) {
    return (struct catalog_change){.version = f->catalog.version + 1,
                                   .kind = kind,
                                   .tenant = CATALOG_TENANT_DEFAULT,
                                   .database = 1,
                                   .space = subject,
                                   .lsn = ++((struct fixture *)f)->lsn};
}

/* t (id int32 key, small int8, price decimal(4,2), note string not null, day date) */
static int set_up(void **state) {
    static const char *const names[] = {"id", "small", "price", "note", "day"};
    static const char *const types[] = {"int32", "int8", "decimal(4,2)", "string", "date"};
    struct catalog_column columns[5];
    struct fixture *f = calloc(1, sizeof *f);
    assert_ok(catalog_init(&f->catalog, &f->error), &f->error);
    for (int i = 0; i < 5; i++)
        columns[i] = (struct catalog_column){slice_of_string(names[i]), type_of(types[i]), i != 3};
    struct catalog_change create = change_of(f, CATALOG_CREATE_TABLE, 0);
    create.name = slice_of_string("t");
    create.columns = columns;
    create.column_count = 5;
    create.key[0] = 1;
    create.key_count = 1;
    f->table = f->catalog.next_id;
    assert_ok(catalog_apply(&f->catalog, &create, &f->error), &f->error);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    catalog_deinit(&f->catalog);
    if (f->value.type.kind) column_builder_deinit(&f->value);
    free(f);
    return 0;
}

static const struct catalog_table *table_of(const struct fixture *f) {
    return catalog_table_by_id(&f->catalog, f->table);
}

static uint32_t id_of(const struct fixture *f, const char *name) {
    const struct table_schema *schema = table_of(f)->schema;
    int32_t at = table_schema_find(schema, slice_of_string(name));
    return at < 0 ? 999 : schema->columns[at].id;
}

static const struct column *value_of(struct fixture *f, const char *type, const char *text) {
    if (f->value.type.kind) column_builder_deinit(&f->value);
    assert_true(column_builder_init(&f->value, type_of(type)));
    assert_ok(column_builder_text(&f->value, slice_of_string(text), &f->error), &f->error);
    f->view = column_builder_view(&f->value);
    return &f->view;
}

static enum plinth_status alter(struct fixture *f, const struct catalog_alteration *steps, uint32_t count) {
    struct catalog_change change = change_of(f, CATALOG_ALTER_TABLE, f->table);
    change.alterations = steps;
    change.alteration_count = count;
    change.schema_version = table_of(f)->schema->version;
    change.horizon_lsn = f->horizon_lsn;
    /* As it would come out of the log. */
    struct buffer bytes = BUFFER_INIT;
    struct arena arena;
    struct catalog_change read;
    arena_init(&arena);
    assert_true(catalog_change_encode(&bytes, &change));
    struct reader from = reader_of(buffer_slice(&bytes));
    assert_true(catalog_change_decode(&from, &arena, &read));
    assert_int_equal(reader_left(&from), 0);
    for (size_t size = 0; size < bytes.size; size++) {
        struct catalog_change cut;
        struct reader part = reader_of(slice_of(bytes.data, size));
        assert_false(catalog_change_decode(&part, &arena, &cut));
    }
    read.lsn = change.lsn;
    enum plinth_status st = catalog_apply(&f->catalog, &read, &f->error);
    arena_deinit(&arena);
    buffer_deinit(&bytes);
    return st;
}

static enum plinth_status alter_one(struct fixture *f, struct catalog_alteration step) { return alter(f, &step, 1); }

static void refused(struct fixture *f, struct catalog_alteration step, enum plinth_status wanted, const char *part) {
    uint64_t version = f->catalog.version;
    assert_status(alter_one(f, step), wanted, &f->error);
    assert_error_names(&f->error, part);
    assert_int_equal(f->catalog.version, version);
}

static struct catalog_alteration on_column(struct fixture *f, enum catalog_alteration_kind kind, const char *column) {
    return (struct catalog_alteration){.kind = kind, .column = id_of(f, column)};
}

static struct catalog_alteration adding(const char *name, const char *type, bool nullable, const struct column *value) {
    return (struct catalog_alteration){
        .kind = CATALOG_ALTER_ADD_COLUMN, .added = {slice_of_string(name), type_of(type), nullable}, .value = value};
}

static struct catalog_alteration widening(struct fixture *f, const char *column, const char *type) {
    struct catalog_alteration step = on_column(f, CATALOG_ALTER_WIDEN_COLUMN, column);
    step.type = type_of(type);
    return step;
}

static struct catalog_alteration renaming(struct fixture *f, const char *column, const char *name) {
    struct catalog_alteration step = on_column(f, CATALOG_ALTER_RENAME_COLUMN, column);
    step.name = slice_of_string(name);
    return step;
}

static void add_index(struct fixture *f, const char *name, enum index_kind kind, const char *column) {
    struct catalog_change change = change_of(f, CATALOG_CREATE_TABLE_INDEX, f->table);
    change.name = slice_of_string(name);
    change.index_kind = kind;
    change.index_state = INDEX_READY;
    change.key[0] = id_of(f, column);
    change.key_count = 1;
    assert_ok(catalog_apply(&f->catalog, &change, &f->error), &f->error);
}

/* ---- rules ---- */

static void columns_are_added_with_defaults(void **state) {
    struct fixture *f = *state;
    refused(f, adding("note", "int8", true, NULL), PLINTH_ALREADY_EXISTS, "column \"note\" exists already");
    refused(f, adding("NOTE", "int8", true, NULL), PLINTH_INVALID_ARGUMENT, "only by upper and lower case");
    refused(f, adding("_x", "int8", true, NULL), PLINTH_INVALID_ARGUMENT, "underscore");
    refused(f, adding("x", "int8", false, NULL), PLINTH_INVALID_ARGUMENT, "to be nullable or to have a default");
    char *large = malloc(5001);
    memset(large, 'x', 5000);
    large[5000] = 0;
    refused(f, adding("x", "string", true, value_of(f, "string", large)), PLINTH_INVALID_ARGUMENT, "more than 4 KiB");
    free(large);
    assert_ok(alter_one(f, adding("x", "int8", false, value_of(f, "int8", "3"))), &f->error);
    const struct table_schema *schema = table_of(f)->schema;
    assert_int_equal(schema->columns[5].id, 6);
    assert_int_equal(*(const int8_t *)schema->columns[5].initial_default->values, 3);
    assert_int_equal(*(const int8_t *)schema->columns[5].write_default->values, 3);
    assert_false(schema->columns[5].nullable);
}

static void defaults_change_for_new_rows_only(void **state) {
    struct fixture *f = *state;
    struct catalog_alteration step = on_column(f, CATALOG_ALTER_SET_DEFAULT, "small");
    step.type = type_of("int8");
    step.value = value_of(f, "int8", "5");
    assert_ok(alter_one(f, step), &f->error);
    const struct table_column *small = &table_of(f)->schema->columns[1];
    assert_null(small->initial_default);
    assert_int_equal(*(const int8_t *)small->write_default->values, 5);
    assert_ok(alter_one(f, widening(f, "small", "int64")), &f->error);
    small = &table_of(f)->schema->columns[1];
    assert_int_equal(*(const int64_t *)small->write_default->values, 5);
    step = on_column(f, CATALOG_ALTER_SET_DEFAULT, "small");
    step.type = type_of("int64");
    assert_ok(alter_one(f, step), &f->error);
    assert_null(table_of(f)->schema->columns[1].write_default);
    step = on_column(f, CATALOG_ALTER_SET_DEFAULT, "id");
    step.type = type_of("int32");
    step.value = value_of(f, "int32", "5");
    refused(f, step, PLINTH_INVALID_ARGUMENT, "primary key: it has no default");
    step = on_column(f, CATALOG_ALTER_SET_DEFAULT, "note"); /* as when it became wider meanwhile */
    step.type = type_of("int16");
    step.value = value_of(f, "int16", "3");
    refused(f, step, PLINTH_CONFLICT, "of type int16");
    refused(f, (struct catalog_alteration){.kind = CATALOG_ALTER_SET_DEFAULT, .column = 77, .type = type_of("int8")},
            PLINTH_NOT_FOUND, "no column with id 77");
}

static void columns_are_dropped_and_their_ids_never_used_again(void **state) {
    struct fixture *f = *state;
    add_index(f, "by_small", INDEX_SORTED, "small");
    add_index(f, "bits", INDEX_BITMAP, "small");
    refused(f, on_column(f, CATALOG_ALTER_DROP_COLUMN, "id"), PLINTH_INVALID_ARGUMENT, "part of the primary key");
    struct catalog_alteration drop = on_column(f, CATALOG_ALTER_DROP_COLUMN, "small");
    refused(f, drop, PLINTH_INVALID_ARGUMENT, "is indexed by \"bits\"");
    drop.cascade = true;
    uint32_t tables = f->catalog.table_count;
    assert_ok(alter_one(f, drop), &f->error);
    assert_int_equal(f->catalog.table_count, tables - 2);
    assert_int_equal(table_of(f)->schema->index_count, 0);
    assert_int_equal(table_of(f)->next_index, 0);
    assert_ok(alter_one(f, adding("small", "string", true, NULL)), &f->error);
    assert_int_equal(id_of(f, "small"), 6);
}

static void only_wider_types_are_taken(void **state) {
    struct fixture *f = *state;
    static const char *const worse[] = {"int8", "uint16", "float64", "decimal(9,2)", "string"};
    for (size_t i = 0; i < 5; i++)
        refused(f, widening(f, "small", worse[i]), PLINTH_INVALID_ARGUMENT, "only a wider type keeps every value");
    refused(f, widening(f, "price", "decimal(9,3)"), PLINTH_INVALID_ARGUMENT, "only a wider type");
    refused(f, widening(f, "day", "timestamp(us)"), PLINTH_INVALID_ARGUMENT, "only a wider type");
    refused(f, widening(f, "day", "timestamp(s, utc)"), PLINTH_INVALID_ARGUMENT, "only a wider type");
    refused(f, widening(f, "id", "int64"), PLINTH_INVALID_ARGUMENT, "int64 has other keys than int32");
    add_index(f, "by_small", INDEX_SORTED, "small");
    add_index(f, "by_price", INDEX_SORTED, "price");
    refused(f, widening(f, "small", "int16"), PLINTH_INVALID_ARGUMENT, "is indexed by \"by_small\"");
    assert_ok(alter_one(f, widening(f, "price", "decimal(20,2)")), &f->error); /* its keys stay the same */
    assert_ok(alter_one(f, widening(f, "day", "timestamp(ms)")), &f->error);
}

static void columns_and_tables_are_renamed(void **state) {
    struct fixture *f = *state;
    refused(f, renaming(f, "small", "note"), PLINTH_ALREADY_EXISTS, "column \"note\" exists already");
    refused(f, renaming(f, "small", "No\x01te"), PLINTH_INVALID_ARGUMENT, "control character");
    struct catalog_alteration table = {.kind = CATALOG_ALTER_RENAME_TABLE, .name = slice_of_string("default")};
    refused(f, table, PLINTH_ALREADY_EXISTS, "table \"default\" exists already");
    /* Each step sees those before it. */
    const struct catalog_alteration steps[] = {renaming(f, "small", "other"),
                                               renaming(f, "note", "small"),
                                               adding("note", "bool", true, NULL),
                                               {.kind = CATALOG_ALTER_RENAME_TABLE, .name = slice_of_string("u")}};
    assert_ok(alter(f, steps, 4), &f->error);
    assert_int_equal(id_of(f, "other"), 2);
    assert_int_equal(id_of(f, "small"), 4);
    assert_int_equal(id_of(f, "note"), 6);
    assert_null(catalog_find_table(&f->catalog, 1, slice_of_string("t")));
    assert_ptr_equal(catalog_find_table(&f->catalog, 1, slice_of_string("u")), table_of(f));
}

static void all_steps_are_made_or_none(void **state) {
    struct fixture *f = *state;
    const struct catalog_alteration steps[] = {renaming(f, "small", "other"), widening(f, "note", "bytes")};
    assert_status(alter(f, steps, 2), PLINTH_INVALID_ARGUMENT, &f->error);
    assert_int_equal(id_of(f, "small"), 2);
    assert_int_equal(table_of(f)->past_count, 0);
    struct catalog_change late = change_of(f, CATALOG_ALTER_TABLE, f->table);
    late.alterations = steps;
    late.alteration_count = 1;
    late.schema_version = table_of(f)->schema->version - 1;
    assert_status(catalog_apply(&f->catalog, &late, &f->error), PLINTH_CONFLICT, &f->error);
}

static void options_and_nulls_change(void **state) {
    struct fixture *f = *state;
    refused(f, on_column(f, CATALOG_ALTER_DROP_NOT_NULL, "id"), PLINTH_INVALID_ARGUMENT, "cannot be null");
    assert_ok(alter_one(f, on_column(f, CATALOG_ALTER_DROP_NOT_NULL, "note")), &f->error);
    assert_true(table_of(f)->schema->columns[3].nullable);
    struct catalog_alteration set = {.kind = CATALOG_ALTER_SET_OPTIONS,
                                     .options = CATALOG_OPTION_CODEC | CATALOG_OPTION_ADDS_COLUMNS,
                                     .codec = TABLE_CODEC_ZSTD,
                                     .adds_columns = true,
                                     .page_rows = 3};
    assert_ok(alter_one(f, set), &f->error);
    assert_int_equal(table_of(f)->schema->codec, TABLE_CODEC_ZSTD);
    assert_true(table_of(f)->schema->adds_columns);
    assert_int_equal(table_of(f)->schema->page_rows, 0);
    set.options = CATALOG_OPTION_PAGE_ROWS;
    refused(f, set, PLINTH_INVALID_ARGUMENT, "3 rows a page");
    set.options = CATALOG_OPTION_RETENTION;
    set.retention_us = 1;
    refused(f, set, PLINTH_INVALID_ARGUMENT, "needs a column to partition by");
}

static void changes_of_unknown_kinds_do_nothing(void **state) {
    struct fixture *f = *state;
    for (int kind = 0; kind < 300; kind++) {
        if (catalog_change_is_known((enum catalog_change_kind)kind)) continue;
        struct catalog_change change = change_of(f, (enum catalog_change_kind)kind, f->table);
        assert_status(catalog_apply(&f->catalog, &change, &f->error), PLINTH_UNSUPPORTED, &f->error);
        assert_non_null(table_of(f));
    }
}

/* ---- the past ---- */

static void columns_are(const struct table_schema *schema, const char *wanted) {
    char all[256] = "";
    for (uint32_t i = 0; i < schema->column_count; i++) {
        char type[COLUMN_TYPE_TEXT_MAX];
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s %s", i ? ", " : "", schema->columns[i].name,
                 column_type_format(schema->columns[i].type, type));
    }
    assert_string_equal(all, wanted);
    table_schema_unref(schema);
}

static void states_of_the_past_have_their_columns(void **state) {
    struct fixture *f = *state;
    f->lsn = 100;
    assert_ok(alter_one(f, renaming(f, "small", "size")), &f->error);                    /* 101 */
    assert_ok(alter_one(f, on_column(f, CATALOG_ALTER_DROP_COLUMN, "note")), &f->error); /* 102 */
    assert_ok(alter_one(f, widening(f, "size", "int32")), &f->error);                    /* 103 */
    assert_ok(alter_one(f, adding("note", "bool", true, NULL)), &f->error);              /* 104 */
    for (int i = 0; i < 2; i++) {
        const struct catalog_table *table = table_of(f);
        assert_int_equal(table->past_count, 4);
        columns_are(catalog_schema_at(table, 100), "id int32, small int32, price decimal(4,2), note string, day date");
        columns_are(catalog_schema_at(table, 101), "id int32, size int32, price decimal(4,2), note string, day date");
        columns_are(catalog_schema_at(table, 103), "id int32, size int32, price decimal(4,2), day date");
        columns_are(catalog_schema_at(table, 104), "id int32, size int32, price decimal(4,2), day date, note bool");
        columns_are(catalog_schema_stored(table, 101),
                    "id int32, size int32, price decimal(4,2), _dropped_4 string, day date, note bool");
        columns_are(catalog_schema_stored(table, 102), "id int32, size int32, price decimal(4,2), day date, note bool");
        /* And over a checkpoint. */
        struct buffer bytes = BUFFER_INIT;
        assert_true(catalog_encode(&bytes, &f->catalog));
        catalog_deinit(&f->catalog);
        struct reader from = reader_of(buffer_slice(&bytes));
        assert_ok(catalog_decode(&from, &f->catalog, &f->error), &f->error);
        assert_int_equal(reader_left(&from), 0);
        buffer_deinit(&bytes);
    }
    f->horizon_lsn = 103;
    assert_ok(alter_one(f, renaming(f, "day", "date")), &f->error);
    assert_int_equal(table_of(f)->past_count, 2);
    columns_are(catalog_schema_at(table_of(f), 103), "id int32, size int32, price decimal(4,2), day date");
}

static void a_table_has_not_any_number_of_pasts(void **state) {
    struct fixture *f = *state;
    char name[16];
    const char *before = "small";
    char last[16];
    for (int i = 0; i < CATALOG_PASTS_MAX; i++) {
        snprintf(name, sizeof name, "n%d", i);
        assert_ok(alter_one(f, renaming(f, before, name)), &f->error);
        strcpy(last, name);
        before = last;
    }
    refused(f, renaming(f, before, "more"), PLINTH_RESOURCE_EXHAUSTED, "altered 256 times");
    f->horizon_lsn = f->lsn;
    assert_ok(alter_one(f, renaming(f, before, "more")), &f->error);
    assert_int_equal(table_of(f)->past_count, 1);
}

/* ---- bytes ---- */

static void a_catalog_without_alterations_has_its_former_bytes(void **state) {
    struct fixture *f = *state;
    struct buffer bytes = BUFFER_INIT;
    assert_true(catalog_encode(&bytes, &f->catalog));
    /* Its table's last bytes: codec, page rows, flags, schema version. */
    assert_int_equal(bytes.data[bytes.size - 2], 0);
    assert_int_equal(bytes.data[bytes.size - 1], table_of(f)->schema->version);
    buffer_deinit(&bytes);
}

static void damaged_bytes_are_refused_or_sound(void **state) {
    struct fixture *f = *state;
    const struct catalog_alteration steps[] = {adding("x", "list<string>", true, value_of(f, "list<string>", "{a,b}")),
                                               renaming(f, "small", "size")};
    assert_ok(alter(f, steps, 2), &f->error);
    assert_ok(alter_one(f, on_column(f, CATALOG_ALTER_DROP_COLUMN, "note")), &f->error);
    struct buffer bytes = BUFFER_INIT;
    assert_true(catalog_encode(&bytes, &f->catalog));
    for (size_t size = 0; size < bytes.size; size++) {
        struct catalog catalog;
        uint8_t *exact = malloc(size + 1);
        memcpy(exact, bytes.data, size);
        struct reader from = reader_of(slice_of(exact, size));
        assert_status(catalog_decode(&from, &catalog, &f->error), PLINTH_CORRUPT, &f->error);
        free(exact);
    }
    for (size_t bit = 0; bit < 8 * bytes.size; bit++) {
        struct catalog catalog;
        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        struct reader from = reader_of(buffer_slice(&bytes));
        if (!catalog_decode(&from, &catalog, &f->error)) {
            for (uint32_t t = 0; t < catalog.table_count; t++) {
                if (catalog.tables[t].kind != CATALOG_ROWS) continue;
                table_schema_unref(catalog_schema_at(&catalog.tables[t], 1));
                table_schema_unref(catalog_schema_stored(&catalog.tables[t], 0));
            }
            catalog_deinit(&catalog);
        }
        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    buffer_deinit(&bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(columns_are_added_with_defaults),
        TEST(defaults_change_for_new_rows_only),
        TEST(columns_are_dropped_and_their_ids_never_used_again),
        TEST(only_wider_types_are_taken),
        TEST(columns_and_tables_are_renamed),
        TEST(all_steps_are_made_or_none),
        TEST(options_and_nulls_change),
        TEST(changes_of_unknown_kinds_do_nothing),
        TEST(states_of_the_past_have_their_columns),
        TEST(a_table_has_not_any_number_of_pasts),
        TEST(a_catalog_without_alterations_has_its_former_bytes),
        TEST(damaged_bytes_are_refused_or_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
