/* The contract as descriptors. */
#include <stdio.h>

#include "service/descriptor_index.h"
#include "service/service_private.h"
#include "support/test_support.h"

extern const unsigned char plinth_api_descriptors[];
extern const unsigned long plinth_api_descriptors_bytes;

static struct descriptor_index contract;

static int set_up(void **state) {
    (void)state;
    struct plinth_error error;
    return descriptor_index_init(&contract, slice_of(plinth_api_descriptors, plinth_api_descriptors_bytes), &error);
}

static int tear_down(void **state) {
    (void)state;
    descriptor_index_deinit(&contract);
    return 0;
}

static void every_method_served_is_in_the_contract(void **state) {
    (void)state;
    for (unsigned i = 0; i < service_method_count; i++) {
        char symbol[128];
        snprintf(symbol, sizeof symbol, "%s", service_methods[i]->path + 1);
        assert_non_null(strchr(symbol, '/'));
        *strchr(symbol, '/') = '.';
        assert_non_null(descriptor_index_symbol(&contract, symbol));
    }
}

static void symbols_of_all_kinds_are_found(void **state) {
    (void)state;
    static const char *const symbols[] = {
        "plinth.v1.KeyValue",
        "plinth.v1.KeyValue.Get",
        "plinth.v1.BatchRequest.Operation.set",
        "plinth.v1.GetByIndexRequest.match",
        "plinth.v1.Durability",
        "plinth.v1.Durability.DURABILITY_SYNCED",
        "plinth.v1.StatusResponse.NumbersEntry",
        "grpc.health.v1.HealthCheckResponse.ServingStatus",
    };
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++)
        assert_non_null(descriptor_index_symbol(&contract, symbols[i]));
    assert_null(descriptor_index_symbol(&contract, "plinth.v1.Nothing"));
    assert_null(descriptor_index_symbol(&contract, ""));
    assert_null(descriptor_index_file(&contract, slice_of_string("plinth/v1/nothing.proto")));
}

static void a_file_comes_with_its_imports_each_once(void **state) {
    (void)state;
    const struct descriptor_file *found[32];
    const struct descriptor_file *file = descriptor_index_file(&contract, slice_of_string("plinth/v1/key_value.proto"));
    assert_non_null(file);
    assert_int_equal(descriptor_index_closure(&contract, file, found), 2);
    assert_ptr_equal(found[0], file);
    assert_true(slice_equal(found[1]->name, slice_of_string("plinth/v1/types.proto")));
}

static void what_is_no_descriptor_set_is_refused(void **state) {
    (void)state;
    struct descriptor_index index;
    struct plinth_error error;
    assert_status(descriptor_index_init(&index, slice_of(NULL, 0), &error), PLINTH_CORRUPT, &error);
    for (size_t cut = 1; cut < plinth_api_descriptors_bytes; cut += 997) {
        enum plinth_status st = descriptor_index_init(&index, slice_of(plinth_api_descriptors, cut), &error);
        if (!st) descriptor_index_deinit(&index); /* cut between two files */
        assert_true(st == PLINTH_OK || st == PLINTH_CORRUPT);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_method_served_is_in_the_contract, set_up, tear_down),
        cmocka_unit_test_setup_teardown(symbols_of_all_kinds_are_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_comes_with_its_imports_each_once, set_up, tear_down),
        cmocka_unit_test(what_is_no_descriptor_set_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
