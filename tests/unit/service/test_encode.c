/* The answers written by hand are what protobuf-c would write. */
#include <stdlib.h>

#include "plinth/v1/key_value.pb-c.h"
#include "service/encode.h"
#include "service/parked.h"
#include "support/test_support.h"

static ProtobufCBinaryData data_of(struct slice bytes) {
    return (ProtobufCBinaryData){bytes.size, (uint8_t *)bytes.data};
}

static void a_position_is_encoded_as_protobuf(void **state) {
    (void)state;
    uint8_t by_hand[ENCODED_POSITION_BYTES_MAX], packed[64], token[POSITION_TOKEN_BYTES_MAX];
    struct plinth_position position = {UINT64_MAX, UINT64_MAX};
    Plinth__V1__Position inner = PLINTH__V1__POSITION__INIT;
    Plinth__V1__WriteResponse response = PLINTH__V1__WRITE_RESPONSE__INIT;
    inner.token = (ProtobufCBinaryData){position_encode(position, token), token};
    response.position = &inner;
    size_t size = encode_position(by_hand, 1, position);
    assert_int_equal(size, plinth__v1__write_response__pack(&response, packed));
    assert_memory_equal(by_hand, packed, size);
}

/* Rows of all shapes, as ScanResponse rows and as GetByIndexResponse entries. */
static void rows_are_encoded_as_protobuf(void **state) {
    (void)state;
    static uint8_t large[70000];
    memset(large, 'x', sizeof large);
    const struct slice values[] = {slice_of(NULL, 0), slice_of_string("v"), slice_of(large, 127), slice_of(large, 128),
                                   slice_of(large, sizeof large)};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct plinth_row row = {.key = plinth_text("key"),
                                 .value = plinth_bytes(values[i].data, values[i].size),
                                 .index_value = plinth_bytes(values[i].data, values[i].size),
                                 .version = {1, 300 + i}};
        struct buffer scan_bytes = BUFFER_INIT, entry_bytes = BUFFER_INIT;
        const struct encoded_row scan_fields = {.key_field = 1, .value_field = 2, .version_field = 3};
        const struct encoded_row entry_fields = {
            .index_value_field = 1, .key_field = 2, .value_field = 3, .version_field = 4};
        assert_true(encode_row(&scan_bytes, &scan_fields, &row) && encode_row(&scan_bytes, &scan_fields, &row));
        assert_true(encode_row(&entry_bytes, &entry_fields, &row));

        uint8_t token[POSITION_TOKEN_BYTES_MAX];
        Plinth__V1__Position version = PLINTH__V1__POSITION__INIT;
        version.token = (ProtobufCBinaryData){position_encode(row.version, token), token};
        Plinth__V1__ScanResponse *chunk = plinth__v1__scan_response__unpack(NULL, scan_bytes.size, scan_bytes.data);
        assert_non_null(chunk);
        assert_int_equal(chunk->n_rows, 2);
        assert_int_equal(chunk->rows[1]->value.len, values[i].size);
        assert_int_equal(protobuf_c_message_get_packed_size(&chunk->base), scan_bytes.size);

        Plinth__V1__GetByIndexResponse__Entry entry = PLINTH__V1__GET_BY_INDEX_RESPONSE__ENTRY__INIT;
        Plinth__V1__GetByIndexResponse__Entry *entries[] = {&entry};
        Plinth__V1__GetByIndexResponse page = PLINTH__V1__GET_BY_INDEX_RESPONSE__INIT;
        entry.index_value = entry.value = data_of(values[i]);
        entry.key = data_of(slice_of_string("key"));
        entry.version = &version;
        page.n_entries = 1;
        page.entries = entries;
        uint8_t *packed = malloc(protobuf_c_message_get_packed_size(&page.base));
        assert_non_null(packed);
        assert_int_equal(protobuf_c_message_pack(&page.base, packed), entry_bytes.size);
        assert_memory_equal(packed, entry_bytes.data, entry_bytes.size);
        free(packed);
        plinth__v1__scan_response__free_unpacked(chunk, NULL);
        buffer_deinit(&scan_bytes);
        buffer_deinit(&entry_bytes);
    }
}

static void index_values_of_a_row_are_encoded_as_protobuf(void **state) {
    (void)state;
    static uint8_t large[300];
    const struct plinth_index_value indexes[] = {{plinth_text("a"), plinth_text("")},
                                                 {plinth_text("a"), plinth_bytes(large, sizeof large)},
                                                 {plinth_text("b"), plinth_text("x")}};
    const struct encoded_row fields = {.key_field = 1, .value_field = 2, .version_field = 3, .indexes_field = 4};
    struct plinth_row row = {.key = plinth_text("key"), .version = {1, 300}, .indexes = indexes, .index_count = 3};
    struct buffer bytes = BUFFER_INIT;
    assert_true(encode_row(&bytes, &fields, &row));
    Plinth__V1__ScanResponse *chunk = plinth__v1__scan_response__unpack(NULL, bytes.size, bytes.data);
    assert_non_null(chunk);
    assert_int_equal(chunk->n_rows, 1);
    assert_int_equal(chunk->rows[0]->n_indexes, 3);
    for (size_t i = 0; i < 3; i++) {
        const Plinth__V1__IndexValue *value = chunk->rows[0]->indexes[i];
        assert_int_equal(strlen(value->index), 1);
        assert_memory_equal(value->index, indexes[i].name.data, 1);
        assert_int_equal(value->value.len, indexes[i].value.size);
        if (value->value.len) assert_memory_equal(value->value.data, indexes[i].value.data, value->value.len);
    }
    uint8_t packed[1024];
    assert_int_equal(protobuf_c_message_get_packed_size(&chunk->base), bytes.size);
    assert_int_equal(protobuf_c_message_pack(&chunk->base, packed), bytes.size);
    assert_memory_equal(packed, bytes.data, bytes.size);
    plinth__v1__scan_response__free_unpacked(chunk, NULL);
    buffer_deinit(&bytes);
}

static void parked_writes_keep_their_order_while_the_ring_grows(void **state) {
    (void)state;
    struct parked_queue queue = {0};
    uint64_t pushed = 0, popped = 0;
    struct test_random random = test_random_of(7);
    assert_null(parked_first(&queue));
    for (unsigned round = 0; round < 2000; round++) {
        for (uint64_t n = test_random_below(&random, 8); n > 0; n--)
            assert_true(parked_push(&queue, (struct parked){NULL, {1, ++pushed}}));
        for (uint64_t n = test_random_below(&random, 8); n > 0 && queue.count; n--) {
            assert_int_equal(parked_first(&queue)->position.lsn, popped + 1);
            assert_int_equal(parked_pop(&queue).position.lsn, ++popped);
        }
    }
    while (queue.count) assert_int_equal(parked_pop(&queue).position.lsn, ++popped);
    assert_int_equal(popped, pushed);
    parked_deinit(&queue);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_position_is_encoded_as_protobuf),
        cmocka_unit_test(rows_are_encoded_as_protobuf),
        cmocka_unit_test(index_values_of_a_row_are_encoded_as_protobuf),
        cmocka_unit_test(parked_writes_keep_their_order_while_the_ring_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
