#include <stdio.h>

#include "catalog/catalog.h"
#include "support/test_support.h"

static struct catalog_change change_of(const struct catalog *catalog, enum catalog_change_kind kind, uint32_t database,
                                       uint32_t space, const char *name) {
    return (struct catalog_change){.version = catalog->version + 1,
                                   .kind = kind,
                                   .tenant = CATALOG_TENANT_DEFAULT,
                                   .database = database,
                                   .space = space,
                                   .name = slice_of_string(name)};
}

static void a_new_catalog_has_the_default_space(void **state) {
    (void)state;
    struct catalog catalog;
    assert_ok(catalog_init(&catalog, NULL), NULL);
    const struct catalog_database *database =
        catalog_find_database(&catalog, CATALOG_TENANT_DEFAULT, slice_of_string("default"));
    assert_non_null(database);
    assert_non_null(catalog_find_space(&catalog, database->id, slice_of_string("default")));
    assert_null(catalog_find_space(&catalog, database->id, slice_of_string("other")));
    catalog_deinit(&catalog);
}

static void ids_grow_and_names_are_unique(void **state) {
    (void)state;
    struct plinth_error error;
    struct catalog catalog;
    assert_ok(catalog_init(&catalog, &error), &error);
    struct catalog_change change = change_of(&catalog, CATALOG_CREATE_DATABASE, 0, 0, "shop");
    assert_ok(catalog_apply(&catalog, &change, &error), &error);
    uint32_t database = catalog_find_database(&catalog, CATALOG_TENANT_DEFAULT, slice_of_string("shop"))->id;
    change = change_of(&catalog, CATALOG_CREATE_SPACE, database, 0, "orders");
    assert_ok(catalog_apply(&catalog, &change, &error), &error);
    change.version++;
    assert_status(catalog_apply(&catalog, &change, &error), PLINTH_ALREADY_EXISTS, &error);
    assert_error_names(&error, "orders");
    uint32_t space = catalog_find_space(&catalog, database, slice_of_string("orders"))->id.table;
    assert_true(space > database);
    uint32_t last = space;
    for (int i = 0; i < 50; i++) {
        char name[16];
        snprintf(name, sizeof name, "index%d", i);
        change = change_of(&catalog, CATALOG_CREATE_INDEX, database, space, name);
        assert_ok(catalog_apply(&catalog, &change, &error), &error);
        const struct catalog_table *index = catalog_find_index(&catalog, space, slice_of_string(name));
        assert_non_null(index);
        assert_true(index->id.table > last);
        assert_int_equal(index->space, space);
        last = index->id.table;
    }
    assert_non_null(catalog_find_index(&catalog, space, slice_of_string("index0")));
    catalog_deinit(&catalog);
}

static void a_change_with_an_old_version_does_nothing(void **state) {
    (void)state;
    struct plinth_error error;
    struct catalog catalog;
    assert_ok(catalog_init(&catalog, &error), &error);
    struct catalog_change change = change_of(&catalog, CATALOG_CREATE_DATABASE, 0, 0, "one");
    change.version--;
    assert_status(catalog_apply(&catalog, &change, &error), PLINTH_CONFLICT, &error);
    assert_int_equal(catalog.version, 1);
    assert_null(catalog_find_database(&catalog, CATALOG_TENANT_DEFAULT, slice_of_string("one")));
    catalog_deinit(&catalog);
}

static void bad_names_are_refused_by_byte_and_place(void **state) {
    (void)state;
    struct plinth_error error;
    assert_status(catalog_check_name("index", slice_of_string(""), &error), PLINTH_INVALID_ARGUMENT, &error);
    assert_status(catalog_check_name("index", slice_of_string("a b"), &error), PLINTH_INVALID_ARGUMENT, &error);
    assert_error_names(&error, "0x20 at offset 1");
    char longer[130];
    memset(longer, 'x', sizeof longer);
    assert_status(catalog_check_name("database", slice_of(longer, 129), &error), PLINTH_INVALID_ARGUMENT, &error);
    assert_error_names(&error, "129 bytes");
    assert_ok(catalog_check_name("database", slice_of(longer, 128), &error), &error);
}

static void encoding_round_trips_and_cut_bytes_are_refused(void **state) {
    (void)state;
    struct plinth_error error;
    struct catalog catalog, read;
    assert_ok(catalog_init(&catalog, &error), &error);
    struct catalog_change change = change_of(&catalog, CATALOG_CREATE_INDEX, 1, 2, "rhyme");
    assert_ok(catalog_apply(&catalog, &change, &error), &error);
    struct buffer bytes = BUFFER_INIT, again = BUFFER_INIT;
    assert_true(catalog_encode(&bytes, &catalog));
    struct reader reader = reader_of(buffer_slice(&bytes));
    assert_ok(catalog_decode(&reader, &read, &error), &error);
    assert_int_equal(reader_left(&reader), 0);
    assert_true(catalog_encode(&again, &read));
    assert_true(slice_equal(buffer_slice(&bytes), buffer_slice(&again)));
    assert_non_null(catalog_find_index(&read, 2, slice_of_string("rhyme")));
    catalog_deinit(&read);
    for (size_t size = 0; size < bytes.size; size++) {
        reader = reader_of(slice_of(bytes.data, size));
        assert_status(catalog_decode(&reader, &read, &error), PLINTH_CORRUPT, &error);
    }
    buffer_deinit(&bytes);
    buffer_deinit(&again);
    catalog_deinit(&catalog);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_catalog_has_the_default_space),
        cmocka_unit_test(ids_grow_and_names_are_unique),
        cmocka_unit_test(a_change_with_an_old_version_does_nothing),
        cmocka_unit_test(bad_names_are_refused_by_byte_and_place),
        cmocka_unit_test(encoding_round_trips_and_cut_bytes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
