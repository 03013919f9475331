/* Typed tables in the catalog: every rule, what changes lead to, and the bytes. */
#include <stdio.h>
#include <stdlib.h>

#include "catalog/catalog.h"
#include "support/test_support.h"

/* A catalog and the error of the last call. */
struct fixture {
    struct catalog catalog;
    struct plinth_error error;
};

static int set_up(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_ok(catalog_init(&fixture->catalog, &fixture->error), &fixture->error);
    *state = fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    catalog_deinit(&fixture->catalog);
    free(fixture);
    return 0;
}

static struct column_type type_of(const char *text) {
    struct column_type type;
    assert_ok(column_type_parse(slice_of_string(text), &type, NULL), NULL);
    return type;
}

static struct catalog_column column_of(const char *name, const char *type, bool nullable) {
    return (struct catalog_column){slice_of_string(name), type_of(type), nullable};
}

static struct catalog_change change_of(const struct fixture *fixture, enum catalog_change_kind kind, uint32_t subject,
                                       const char *name) {
    return (struct catalog_change){.version = fixture->catalog.version + 1,
                                   .kind = kind,
                                   .tenant = CATALOG_TENANT_DEFAULT,
                                   .database = 1,
                                   .space = subject,
                                   .name = slice_of_string(name)};
}

/* The table that most tests use: host string and at timestamp are the key, then load, tags and note. */
static const char *const column_names[] = {"host", "at", "load", "tags", "note"};
static struct catalog_column columns[5];

static struct catalog_change table_change(const struct fixture *fixture, const char *name) {
    static const char *const types[] = {"string", "timestamp(ms)", "float64", "list<string>", "string"};
    for (int i = 0; i < 5; i++) columns[i] = column_of(column_names[i], types[i], true);
    struct catalog_change change = change_of(fixture, CATALOG_CREATE_TABLE, 0, name);
    change.columns = columns;
    change.column_count = 5;
    change.key[0] = 1;
    change.key[1] = 2;
    change.key_count = 2;
    return change;
}

static void apply(struct fixture *fixture, const struct catalog_change *change) {
    assert_ok(catalog_check(&fixture->catalog, change, &fixture->error), &fixture->error);
    assert_ok(catalog_apply(&fixture->catalog, change, &fixture->error), &fixture->error);
    assert_int_equal(fixture->catalog.version, change->version);
}

/* The change does not apply, for a reason that names `part`, and the catalog stays as it is. */
static void refuse(struct fixture *fixture, const struct catalog_change *change, enum plinth_status wanted,
                   const char *part) {
    struct buffer before = BUFFER_INIT, after = BUFFER_INIT;
    assert_true(catalog_encode(&before, &fixture->catalog));
    assert_status(catalog_check(&fixture->catalog, change, &fixture->error), wanted, &fixture->error);
    assert_error_names(&fixture->error, part);
    assert_status(catalog_apply(&fixture->catalog, change, &fixture->error), wanted, &fixture->error);
    assert_true(catalog_encode(&after, &fixture->catalog));
    assert_true(slice_equal(buffer_slice(&before), buffer_slice(&after)));
    buffer_deinit(&before);
    buffer_deinit(&after);
}

static const struct catalog_table *make_table(struct fixture *fixture, const char *name) {
    struct catalog_change change = table_change(fixture, name);
    apply(fixture, &change);
    return catalog_find_table(&fixture->catalog, 1, slice_of_string(name));
}

static struct catalog_change index_change(const struct fixture *fixture, uint32_t table, const char *name,
                                          enum index_kind kind, uint32_t column) {
    struct catalog_change change = change_of(fixture, CATALOG_CREATE_TABLE_INDEX, table, name);
    change.index_kind = kind;
    change.index_state = INDEX_BUILDING;
    change.key[0] = column;
    change.key_count = 1;
    return change;
}

/* ---- schemas ---- */

static void a_key_space_has_the_schema_of_two_columns(void **state) {
    struct fixture *fixture = *state;
    const struct catalog_table *space = catalog_find_space(&fixture->catalog, 1, slice_of_string("default"));
    const struct table_schema *schema = space->schema;
    assert_int_equal(schema->kind, TABLE_SPACE);
    assert_int_equal(schema->column_count, 2);
    assert_string_equal(schema->columns[0].name, "key");
    assert_int_equal(schema->columns[0].type.kind, COLUMN_BYTES);
    assert_string_equal(schema->columns[1].name, "value");
    assert_true(table_schema_is_key(schema, 1) && !table_schema_is_key(schema, 2));
    struct catalog_change change = change_of(fixture, CATALOG_CREATE_INDEX, 2, "rhyme");
    apply(fixture, &change);
    const struct table_index *index =
        table_schema_find_index(catalog_table_by_id(&fixture->catalog, 2)->schema, slice_of_string("rhyme"));
    assert_non_null(index);
    assert_int_equal(index->kind, INDEX_SPACE);
}

static void a_table_has_its_columns_key_and_options(void **state) {
    struct fixture *fixture = *state;
    struct catalog_change change = table_change(fixture, "metrics");
    change.partition_column = 2;
    change.partition_us = 86400000000;
    change.retention_us = 30 * 86400000000;
    change.codec = TABLE_CODEC_ZSTD;
    change.page_rows = 512;
    change.adds_columns = true;
    apply(fixture, &change);
    const struct catalog_table *table = catalog_find_table(&fixture->catalog, 1, slice_of_string("metrics"));
    assert_int_equal(table->kind, CATALOG_ROWS);
    const struct table_schema *schema = table->schema;
    assert_int_equal(schema->kind, TABLE_ROWS);
    assert_int_equal(schema->id.table, table->id.table);
    assert_int_equal(schema->version, fixture->catalog.version);
    assert_string_equal(schema->name, "metrics");
    assert_int_equal(schema->column_count, 5);
    assert_int_equal(schema->next_column_id, 6);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(schema->columns[i].id, i + 1);
        assert_int_equal(table_schema_find(schema, slice_of_string(column_names[i])), i);
        assert_int_equal(table_schema_find_id(schema, i + 1), i);
        assert_true(column_type_equal(schema->columns[i].type, columns[i].type));
        assert_int_equal(schema->columns[i].nullable, i >= 2); /* NOT NULL is implied for key columns */
    }
    assert_int_equal(table_schema_find(schema, slice_of_string("nothing")), -1);
    assert_int_equal(table_schema_find_id(schema, 6), -1);
    assert_int_equal(schema->key_count, 2);
    assert_int_equal(schema->key[1], 2);
    assert_int_equal(schema->partition_column, 2);
    assert_int_equal(schema->partition_us, 86400000000);
    assert_int_equal(schema->retention_us, 30 * 86400000000);
    assert_int_equal(schema->codec, TABLE_CODEC_ZSTD);
    assert_int_equal(schema->page_rows, 512);
    assert_true(schema->adds_columns);
    assert_null(catalog_find_space(&fixture->catalog, 1, slice_of_string("metrics")));
}

static void whoever_holds_a_schema_keeps_it(void **state) {
    struct fixture *fixture = *state;
    const struct catalog_table *table = make_table(fixture, "metrics");
    uint32_t id = table->id.table;
    const struct table_schema *old = table_schema_ref(table->schema);
    struct catalog_column more[] = {column_of("cpu", "int32", true), column_of("rack", "string", true)};
    struct catalog_change change = change_of(fixture, CATALOG_ADD_COLUMNS, id, "");
    change.columns = more;
    change.column_count = 2;
    apply(fixture, &change);
    const struct table_schema *now = catalog_table_by_id(&fixture->catalog, id)->schema;
    assert_int_equal(old->column_count, 5);
    assert_int_equal(now->column_count, 7);
    assert_int_equal(now->columns[5].id, 6);
    assert_int_equal(now->columns[6].id, 7);
    assert_true(now->version > old->version);
    change = change_of(fixture, CATALOG_DROP_TABLE, id, "");
    apply(fixture, &change);
    assert_string_equal(old->columns[4].name, "note");
    table_schema_unref(old);
}

/* ---- rules of tables ---- */

static void names_of_columns_are_checked(void **state) {
    struct fixture *fixture = *state;
    static const struct {
        const char *name, *part;
    } bad[] = {
        {"", "empty"},
        {"_lsn", "\"_lsn\": names that begin with an underscore"},
        {"a\tb", "control character 0x09 at offset 1"},
        {"a\xff", "not valid UTF-8 at offset 1"},
        {"at", "column \"at\" is there twice"},
        {"HOST", "column \"HOST\" differs from column \"host\" only by upper and lower case"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct catalog_change change = table_change(fixture, "t");
        columns[4].name = slice_of_string(bad[i].name);
        refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, bad[i].part);
    }
    char longer[129];
    memset(longer, 'x', sizeof longer);
    struct catalog_change change = table_change(fixture, "t");
    columns[4].name = slice_of(longer, 129);
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "129 bytes");
    columns[4].name = slice_of_string("dep time (Größe)");
    apply(fixture, &change);
}

static void keys_are_checked(void **state) {
    struct fixture *fixture = *state;
    struct catalog_change change = table_change(fixture, "t");
    change.key[1] = 9;
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "no column with id 9");
    change.key[1] = 4;
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "column \"tags\" is a list");
    change.key[1] = 1;
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "column \"host\" is twice in the primary key");
    change.key_count = 17;
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "17 columns; at most 16");
    change = table_change(fixture, "t");
    change.column_count = 0;
    change.key_count = 0;
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "a table needs a column");
    change = table_change(fixture, "bad name");
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "table name has byte 0x20");
    change = table_change(fixture, "default");
    refuse(fixture, &change, PLINTH_ALREADY_EXISTS, "key space \"default\" exists already");
    make_table(fixture, "t");
    change = table_change(fixture, "t");
    refuse(fixture, &change, PLINTH_ALREADY_EXISTS, "table \"t\" exists already");
    change = change_of(fixture, CATALOG_CREATE_SPACE, 0, "t");
    refuse(fixture, &change, PLINTH_ALREADY_EXISTS, "table \"t\" exists already");
    change = table_change(fixture, "elsewhere");
    change.database = 77;
    refuse(fixture, &change, PLINTH_NOT_FOUND, "no database with id 77");
}

static void partitions_are_checked(void **state) {
    struct fixture *fixture = *state;
    const uint64_t day = 86400000000;
    struct catalog_change change = table_change(fixture, "t");
    change.retention_us = day;
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "retention drops whole partitions");
    change.retention_us = 0;
    change.partition_us = day;
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "without a column to partition by");
    change.partition_column = 3;
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "\"load\" is of type float64");
    change.partition_column = 9;
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "no column with id 9");
    change.partition_column = 2;
    change.partition_us = 59999999;
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "1 minute to 100 years");
    change.partition_us = UINT64_MAX;
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "1 minute to 100 years");
    change.partition_us = day;
    change.key_count = 1;
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT,
           "\"at\" partitions the table and so has to be part of its primary");
    change.key_count = 0;
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "\"at\" partitions the table and so has to be not null");
    columns[1].nullable = false;
    apply(fixture, &change);
    change = table_change(fixture, "options");
    change.page_rows = 15;
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "15 rows a page");
    change.page_rows = 65537;
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "65537 rows a page");
    change.page_rows = 0;
    change.codec = (enum table_codec)4;
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "unknown codec 4");
}

static void expiry_is_checked_kept_and_needs_level_5(void **state) {
    struct fixture *fixture = *state;
    struct catalog_change change = table_change(fixture, "t");
    assert_int_equal(catalog_change_level(&change), CATALOG_FEATURE_LEVEL_TABLES);
    change.expire_us = 1;
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "by no column");
    change.expire_column = 9;
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "id 9");
    change.expire_column = 5;
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "\"note\"");
    change.expire_column = 2;
    change.expire_us = CATALOG_EXPIRE_US_MAX + 1;
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "100 years");
    change.expire_us = CATALOG_EXPIRE_US_MAX;
    assert_int_equal(catalog_change_level(&change), CATALOG_FEATURE_LEVEL_EXPIRY);
    apply(fixture, &change);
    const struct catalog_table *table = catalog_find_table(&fixture->catalog, 1, slice_of_string("t"));
    /* Another rule, then none: states of before keep theirs, and what is stored lasts until they are forgotten. */
    for (uint32_t step = 1; step <= 2; step++) {
        const struct catalog_alteration alteration = {.kind = CATALOG_ALTER_SET_OPTIONS,
                                                      .options = CATALOG_OPTION_EXPIRY,
                                                      .expire_column = step == 1 ? 2 : 0,
                                                      .expire_us = step == 1 ? 77 : 0};
        change = change_of(fixture, CATALOG_ALTER_TABLE, table->id.table, "");
        change.alterations = &alteration;
        change.alteration_count = 1;
        change.schema_version = table->schema->version;
        change.lsn = 10 * step;
        assert_int_equal(catalog_change_expires(&change), step == 1);
        apply(fixture, &change);
    }
    struct buffer bytes = BUFFER_INIT;
    struct catalog read;
    assert_true(catalog_encode(&bytes, &fixture->catalog));
    struct reader reader = reader_of(buffer_slice(&bytes));
    assert_ok(catalog_decode(&reader, &read, &fixture->error), &fixture->error);
    table = catalog_find_table(&read, 1, slice_of_string("t"));
    static const struct {
        uint64_t lsn, expire_us;
        uint32_t at, stored;
    } wanted[] = {{9, CATALOG_EXPIRE_US_MAX, 2, 0}, {10, 77, 2, 0}, {20, 0, 0, 0}};
    for (size_t i = 0; i < 3; i++) {
        const struct table_schema *at = catalog_schema_at(table, wanted[i].lsn);
        const struct table_schema *stored = catalog_schema_stored(table, wanted[i].lsn);
        assert_int_equal(at->expire_us, wanted[i].expire_us);
        assert_int_equal(at->expire_column, wanted[i].at);
        assert_int_equal(stored->expire_column, wanted[i].stored);
        table_schema_unref(at);
        table_schema_unref(stored);
    }
    catalog_deinit(&read);
    buffer_deinit(&bytes);
}

static void added_columns_are_checked(void **state) {
    struct fixture *fixture = *state;
    uint32_t table = make_table(fixture, "t")->id.table;
    struct catalog_column more[] = {column_of("cpu", "int32", false)};
    struct catalog_change change = change_of(fixture, CATALOG_ADD_COLUMNS, table, "");
    change.columns = more;
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "no column to add");
    change.column_count = 1;
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "column \"cpu\" has to be nullable");
    more[0] = column_of("load", "float64", true);
    refuse(fixture, &change, PLINTH_ALREADY_EXISTS, "column \"load\" exists already");
    more[0] = column_of("load", "decimal(12,2)", true);
    refuse(fixture, &change, PLINTH_CONFLICT, "column \"load\" exists already with type float64, not decimal(12,2)");
    more[0] = column_of("Load", "float64", true);
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "only by upper and lower case");
    more[0] = column_of("cpu", "int32", true);
    change.space = 2;
    refuse(fixture, &change, PLINTH_NOT_FOUND, "no table with id 2"); /* a key space */
    change.space = table;
    apply(fixture, &change);
}

static void a_table_has_at_most_1600_columns(void **state) {
    struct fixture *fixture = *state;
    struct catalog_column *many = calloc(TABLE_COLUMNS_MAX + 1, sizeof *many);
    char(*names)[8] = calloc(TABLE_COLUMNS_MAX + 1, sizeof *names);
    for (int i = 0; i <= TABLE_COLUMNS_MAX; i++) {
        snprintf(names[i], sizeof names[i], "c%d", i);
        many[i] = column_of(names[i], "int8", true);
    }
    struct catalog_change change = change_of(fixture, CATALOG_CREATE_TABLE, 0, "wide");
    change.columns = many;
    change.column_count = TABLE_COLUMNS_MAX + 1;
    refuse(fixture, &change, PLINTH_RESOURCE_EXHAUSTED, "at most 1600 columns");
    change.column_count = TABLE_COLUMNS_MAX;
    apply(fixture, &change);
    uint32_t table = catalog_find_table(&fixture->catalog, 1, slice_of_string("wide"))->id.table;
    change = change_of(fixture, CATALOG_ADD_COLUMNS, table, "");
    change.columns = many + TABLE_COLUMNS_MAX;
    change.column_count = 1;
    refuse(fixture, &change, PLINTH_RESOURCE_EXHAUSTED, "at most 1600 columns");
    free(many);
    free(names);
}

/* ---- indexes ---- */

static void indexes_fit_their_columns(void **state) {
    struct fixture *fixture = *state;
    uint32_t table = make_table(fixture, "t")->id.table;
    struct catalog_change change = index_change(fixture, table, "i", INDEX_TOKEN, 3);
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT,
           "column \"load\" is of type float64; a token index is of a string");
    const enum index_kind kinds[] = {INDEX_SORTED, INDEX_BLOOM, INDEX_BITMAP};
    for (int i = 0; i < 3; i++) {
        change = index_change(fixture, table, "i", kinds[i], 4);
        refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "column \"tags\" is of type list<string>; a list cannot be");
    }
    change = index_change(fixture, table, "i", INDEX_SORTED, 9);
    refuse(fixture, &change, PLINTH_NOT_FOUND, "no column with id 9");
    change.key_count = 0;
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "index \"i\" names no column");
    change.key[0] = change.key[1] = 3;
    change.key_count = 2;
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "index \"i\" names column \"load\" twice");
    change.key[1] = 5;
    change.index_kind = INDEX_BLOOM;
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "names 2 columns; a bloom index has 1");
    change.key_count = 17;
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "names 17 columns");
    change = index_change(fixture, table, "i", INDEX_SPACE, 3);
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "unknown kind 1");
    change = index_change(fixture, table, "i", (enum index_kind)6, 3);
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "unknown kind 6");
    change = index_change(fixture, table, "a b", INDEX_SORTED, 3);
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "index name has byte 0x20");
    change = index_change(fixture, 2, "i", INDEX_SORTED, 1);
    refuse(fixture, &change, PLINTH_NOT_FOUND, "no table with id 2");
    change = index_change(fixture, table, "i", INDEX_SORTED, 3);
    change.index_state = (enum index_state)4;
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "unknown state 4");
    change = change_of(fixture, CATALOG_CREATE_INDEX, table, "i");
    refuse(fixture, &change, PLINTH_NOT_FOUND, "no key space with id");
}

static void an_index_goes_from_building_to_ready_and_away(void **state) {
    struct fixture *fixture = *state;
    uint32_t table = make_table(fixture, "t")->id.table;
    struct catalog_change change = index_change(fixture, table, "by_load", INDEX_SORTED, 3);
    change.key[1] = 5;
    change.key_count = 2;
    apply(fixture, &change);
    const struct catalog_table *entries = catalog_find_index(&fixture->catalog, table, slice_of_string("by_load"));
    assert_int_equal(entries->kind, CATALOG_INDEX);
    assert_int_equal(entries->space, table);
    uint32_t id = entries->id.table;
    const struct table_schema *schema = catalog_table_by_id(&fixture->catalog, table)->schema;
    const struct table_index *index = table_schema_find_index(schema, slice_of_string("by_load"));
    assert_int_equal(index->id.table, id);
    assert_int_equal(index->state, INDEX_BUILDING);
    assert_int_equal(index->column_count, 2);
    assert_int_equal(index->columns[1], 5);
    change = index_change(fixture, table, "by_load", INDEX_BLOOM, 3);
    refuse(fixture, &change, PLINTH_ALREADY_EXISTS, "index \"by_load\" exists already");
    change = change_of(fixture, CATALOG_SET_INDEX_STATE, id, "");
    change.index_state = INDEX_READY;
    apply(fixture, &change);
    schema = catalog_table_by_id(&fixture->catalog, table)->schema;
    assert_int_equal(table_schema_find_index_id(schema, id)->state, INDEX_READY);
    change = change_of(fixture, CATALOG_SET_INDEX_STATE, id, "");
    change.index_state = INDEX_BUILDING;
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "cannot go from state ready to building");
    change = change_of(fixture, CATALOG_DROP_INDEX, table, "");
    refuse(fixture, &change, PLINTH_NOT_FOUND, "no index of a table");
    change = change_of(fixture, CATALOG_DROP_INDEX, id, "");
    apply(fixture, &change);
    schema = catalog_table_by_id(&fixture->catalog, table)->schema;
    assert_int_equal(schema->index_count, 0);
    assert_null(catalog_table_by_id(&fixture->catalog, id));
    change = change_of(fixture, CATALOG_DROP_INDEX, id, "");
    refuse(fixture, &change, PLINTH_NOT_FOUND, "no index of a table");
}

static void a_table_has_at_most_64_indexes(void **state) {
    struct fixture *fixture = *state;
    uint32_t table = make_table(fixture, "t")->id.table;
    char name[16];
    for (int i = 0; i < TABLE_INDEXES_MAX; i++) {
        snprintf(name, sizeof name, "i%d", i);
        struct catalog_change change = index_change(fixture, table, name, INDEX_BITMAP, 1);
        apply(fixture, &change);
    }
    struct catalog_change change = index_change(fixture, table, "more", INDEX_BITMAP, 1);
    refuse(fixture, &change, PLINTH_RESOURCE_EXHAUSTED, "at most 64 indexes");
}

/* ---- dropping ---- */

static void a_dropped_table_takes_its_indexes_and_leaves_its_ids(void **state) {
    struct fixture *fixture = *state;
    uint32_t first = make_table(fixture, "first")->id.table, second = make_table(fixture, "second")->id.table;
    for (int i = 0; i < 3; i++) {
        char name[8];
        snprintf(name, sizeof name, "i%d", i);
        struct catalog_change change = index_change(fixture, first, name, INDEX_SORTED, 1);
        apply(fixture, &change);
        change = index_change(fixture, second, name, INDEX_SORTED, 1);
        apply(fixture, &change);
        change = change_of(fixture, CATALOG_CREATE_INDEX, 2, name);
        apply(fixture, &change);
    }
    uint32_t next = fixture->catalog.next_id;
    struct catalog_change change = change_of(fixture, CATALOG_DROP_TABLE, first, "");
    apply(fixture, &change);
    assert_null(catalog_table_by_id(&fixture->catalog, first));
    assert_null(catalog_find_table(&fixture->catalog, 1, slice_of_string("first")));
    assert_null(catalog_find_index(&fixture->catalog, first, slice_of_string("i0")));
    for (int i = 0; i < 3; i++) {
        char name[8];
        snprintf(name, sizeof name, "i%d", i);
        assert_non_null(catalog_find_index(&fixture->catalog, second, slice_of_string(name)));
        assert_int_equal(catalog_find_index(&fixture->catalog, 2, slice_of_string(name))->space, 2);
    }
    refuse(fixture,
           &(struct catalog_change){
               .version = change.version + 1, .kind = CATALOG_DROP_TABLE, .tenant = 1, .database = 1, .space = first},
           PLINTH_NOT_FOUND, "no table with id");
    assert_int_equal(make_table(fixture, "first")->id.table, next);
}

static void key_spaces_are_dropped_but_the_default_one(void **state) {
    struct fixture *fixture = *state;
    struct catalog_change change = change_of(fixture, CATALOG_CREATE_SPACE, 0, "users");
    apply(fixture, &change);
    uint32_t space = catalog_find_space(&fixture->catalog, 1, slice_of_string("users"))->id.table;
    change = change_of(fixture, CATALOG_CREATE_INDEX, space, "email");
    apply(fixture, &change);
    change = change_of(fixture, CATALOG_DROP_TABLE, space, "");
    apply(fixture, &change);
    assert_null(catalog_find_space(&fixture->catalog, 1, slice_of_string("users")));
    change = change_of(fixture, CATALOG_DROP_TABLE, 2, "");
    refuse(fixture, &change, PLINTH_INVALID_ARGUMENT, "always exists");
}

/* ---- bytes ---- */

/* A catalog with some of everything. */
static void fill(struct fixture *fixture) {
    struct catalog_change change = change_of(fixture, CATALOG_CREATE_INDEX, 2, "rhyme");
    apply(fixture, &change);
    change = table_change(fixture, "metrics");
    change.partition_column = 2;
    change.partition_us = 3600000000;
    change.retention_us = 86400000000;
    change.codec = TABLE_CODEC_NONE;
    change.page_rows = 256;
    change.adds_columns = true;
    apply(fixture, &change);
    uint32_t table = catalog_find_table(&fixture->catalog, 1, slice_of_string("metrics"))->id.table;
    change = index_change(fixture, table, "by_load", INDEX_SORTED, 3);
    apply(fixture, &change);
    uint32_t index = catalog_find_index(&fixture->catalog, table, slice_of_string("by_load"))->id.table;
    change = change_of(fixture, CATALOG_SET_INDEX_STATE, index, "");
    change.index_state = INDEX_READY;
    apply(fixture, &change);
    change = index_change(fixture, table, "words", INDEX_TOKEN, 5);
    apply(fixture, &change);
    struct catalog_column more[] = {column_of("price", "decimal(12,2)", true)};
    change = change_of(fixture, CATALOG_ADD_COLUMNS, table, "");
    change.columns = more;
    change.column_count = 1;
    apply(fixture, &change);
    struct catalog_change dropped = table_change(fixture, "gone");
    apply(fixture, &dropped);
    change = change_of(fixture, CATALOG_DROP_TABLE,
                       catalog_find_table(&fixture->catalog, 1, slice_of_string("gone"))->id.table, "");
    apply(fixture, &change);
}

static void a_catalog_round_trips(void **state) {
    struct fixture *fixture = *state;
    fill(fixture);
    struct buffer bytes = BUFFER_INIT, again = BUFFER_INIT;
    assert_true(catalog_encode(&bytes, &fixture->catalog));
    struct reader reader = reader_of(buffer_slice(&bytes));
    struct catalog read;
    assert_ok(catalog_decode(&reader, &read, &fixture->error), &fixture->error);
    assert_int_equal(reader_left(&reader), 0);
    assert_true(catalog_encode(&again, &read));
    assert_true(slice_equal(buffer_slice(&bytes), buffer_slice(&again)));
    const struct table_schema *schema = catalog_find_table(&read, 1, slice_of_string("metrics"))->schema;
    const struct table_schema *was = catalog_find_table(&fixture->catalog, 1, slice_of_string("metrics"))->schema;
    assert_int_equal(schema->version, was->version);
    assert_int_equal(schema->next_column_id, 7);
    assert_int_equal(schema->column_count, 6);
    assert_string_equal(schema->columns[5].name, "price");
    assert_int_equal(schema->columns[5].type.scale, 2);
    assert_int_equal(schema->index_count, 2);
    assert_int_equal(schema->indexes[0].state, INDEX_READY);
    assert_int_equal(schema->indexes[1].kind, INDEX_TOKEN);
    assert_int_equal(schema->indexes[1].columns[0], 5);
    assert_int_equal(schema->partition_us, 3600000000);
    assert_true(schema->adds_columns);
    assert_int_equal(catalog_find_space(&read, 1, slice_of_string("default"))->schema->index_count, 1);
    catalog_deinit(&read);
    buffer_deinit(&bytes);
    buffer_deinit(&again);
}

static void damaged_catalogs_are_refused_or_sound(void **state) {
    struct fixture *fixture = *state;
    fill(fixture);
    struct buffer bytes = BUFFER_INIT;
    assert_true(catalog_encode(&bytes, &fixture->catalog));
    struct catalog read;
    for (size_t size = 0; size < bytes.size; size++) {
        uint8_t *cut = malloc(size + 1); /* of its own, so that a sanitizer sees what reads behind it */
        memcpy(cut, bytes.data, size);
        struct reader reader = reader_of(slice_of(cut, size));
        assert_status(catalog_decode(&reader, &read, &fixture->error), PLINTH_CORRUPT, &fixture->error);
        free(cut);
    }
    struct test_random random = test_random_of(7);
    for (int round = 0; round < 20000; round++) {
        size_t at = test_random_below(&random, bytes.size);
        uint8_t was = bytes.data[at];
        bytes.data[at] ^= (uint8_t)(1 + test_random_below(&random, 255));
        struct reader reader = reader_of(buffer_slice(&bytes));
        enum plinth_status st = catalog_decode(&reader, &read, &fixture->error);
        assert_true(st == PLINTH_OK || st == PLINTH_CORRUPT);
        if (!st) catalog_deinit(&read);
        bytes.data[at] = was;
    }
    buffer_deinit(&bytes);
}

/* What a change of every kind is after encoding and decoding: its bytes. */
static void changes_round_trip(void **state) {
    struct fixture *fixture = *state;
    struct catalog_change changes[CATALOG_CHANGE_KIND_COUNT];
    for (int kind = CATALOG_CREATE_DATABASE; kind < CATALOG_CHANGE_KIND_COUNT; kind++) {
        changes[kind] = table_change(fixture, "name");
        changes[kind].kind = (enum catalog_change_kind)kind;
        changes[kind].space = 9;
        changes[kind].index_kind = INDEX_BITMAP;
        changes[kind].index_state = INDEX_READY;
        changes[kind].page_rows = 128;
        changes[kind].adds_columns = true;
        changes[kind].expire_column = kind == CATALOG_CREATE_TABLE ? 2 : 0;
        changes[kind].expire_us = 77;
    }
    for (int kind = CATALOG_CREATE_DATABASE; kind < CATALOG_CHANGE_KIND_COUNT; kind++) {
        struct buffer bytes = BUFFER_INIT, again = BUFFER_INIT;
        struct arena arena;
        arena_init(&arena);
        struct catalog_change read;
        assert_true(catalog_change_encode(&bytes, &changes[kind]));
        struct reader reader = reader_of(buffer_slice(&bytes));
        assert_true(catalog_change_decode(&reader, &arena, &read));
        assert_int_equal(reader_left(&reader), 0);
        assert_true(catalog_change_encode(&again, &read));
        assert_true(slice_equal(buffer_slice(&bytes), buffer_slice(&again)));
        for (size_t size = 0; size < bytes.size; size++) {
            reader = reader_of(slice_of(bytes.data, size));
            assert_false(catalog_change_decode(&reader, &arena, &read));
        }
        arena_deinit(&arena);
        buffer_deinit(&bytes);
        buffer_deinit(&again);
    }
}

/* As 0.1.0 wrote them before there were typed tables: database "shop" (3), space "users" (4), index "email" (5). */
static const uint8_t old_catalog[] = {4,   6,   2,   1,   1,   7, 'd', 'e', 'f', 'a', 'u', 'l', 't', 1,   3,
                                      4,   's', 'h', 'o', 'p', 3, 1,   1,   2,   1,   0,   1,   7,   'd', 'e',
                                      'f', 'a', 'u', 'l', 't', 1, 3,   4,   1,   0,   3,   5,   'u', 's', 'e',
                                      'r', 's', 1,   3,   5,   2, 4,   4,   5,   'e', 'm', 'a', 'i', 'l'};
static const uint8_t old_changes[3][14] = {{2, 1, 1, 0, 0, 4, 's', 'h', 'o', 'p'},
                                           {3, 2, 1, 3, 0, 5, 'u', 's', 'e', 'r', 's'},
                                           {4, 3, 1, 3, 4, 5, 'e', 'm', 'a', 'i', 'l'}};

static void catalogs_and_changes_of_feature_level_1_are_as_they_were(void **state) {
    struct fixture *fixture = *state;
    struct arena arena;
    arena_init(&arena);
    for (int i = 0; i < 3; i++) {
        struct reader reader = reader_of(slice_of(old_changes[i], 6 + old_changes[i][5]));
        struct catalog_change change;
        assert_true(catalog_change_decode(&reader, &arena, &change));
        assert_int_equal(reader_left(&reader), 0);
        apply(fixture, &change);
        struct buffer bytes = BUFFER_INIT;
        assert_true(catalog_change_encode(&bytes, &change));
        assert_true(slice_equal(buffer_slice(&bytes), slice_of(old_changes[i], 6 + old_changes[i][5])));
        buffer_deinit(&bytes);
    }
    arena_deinit(&arena);
    struct buffer bytes = BUFFER_INIT;
    assert_true(catalog_encode(&bytes, &fixture->catalog));
    assert_true(slice_equal(buffer_slice(&bytes), slice_of(old_catalog, sizeof old_catalog)));
    struct reader reader = reader_of(slice_of(old_catalog, sizeof old_catalog));
    struct catalog read;
    assert_ok(catalog_decode(&reader, &read, &fixture->error), &fixture->error);
    const struct catalog_table *space = catalog_find_space(&read, 3, slice_of_string("users"));
    assert_int_equal(space->id.table, 4);
    assert_int_equal(space->schema->column_count, 2);
    assert_string_equal(space->schema->indexes[0].name, "email");
    catalog_deinit(&read);
    buffer_deinit(&bytes);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_key_space_has_the_schema_of_two_columns),
        TEST(a_table_has_its_columns_key_and_options),
        TEST(whoever_holds_a_schema_keeps_it),
        TEST(names_of_columns_are_checked),
        TEST(keys_are_checked),
        TEST(partitions_are_checked),
        TEST(expiry_is_checked_kept_and_needs_level_5),
        TEST(added_columns_are_checked),
        TEST(a_table_has_at_most_1600_columns),
        TEST(indexes_fit_their_columns),
        TEST(an_index_goes_from_building_to_ready_and_away),
        TEST(a_table_has_at_most_64_indexes),
        TEST(a_dropped_table_takes_its_indexes_and_leaves_its_ids),
        TEST(key_spaces_are_dropped_but_the_default_one),
        TEST(a_catalog_round_trips),
        TEST(damaged_catalogs_are_refused_or_sound),
        TEST(changes_round_trip),
        TEST(catalogs_and_changes_of_feature_level_1_are_as_they_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
