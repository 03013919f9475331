/* Untrusted bytes to requests. */
#include "plinth/v1/key_value.pb-c.h"
#include "service/request.h"
#include "service/service_private.h"
#include "support/test_support.h"

static struct arena arena;

static int set_up(void **state) {
    (void)state;
    arena_init(&arena);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    arena_deinit(&arena);
    return 0;
}

static enum plinth_status unpack_get(const char *bytes, size_t size, Plinth__V1__GetRequest **request,
                                     struct plinth_error *error) {
    return request_unpack(&plinth__v1__get_request__descriptor, slice_of(bytes, size), &arena, request, error);
}

static void a_request_is_unpacked(void **state) {
    (void)state;
    static const char bytes[] = "\x0a\x03"
                                "cat"
                                "\x12\x06\x0a\x04shop";
    Plinth__V1__GetRequest *request;
    struct plinth_error error;
    assert_ok(unpack_get(bytes, sizeof bytes - 1, &request, &error), &error);
    assert_int_equal(request->key.len, 3);
    assert_memory_equal(request->key.data, "cat", 3);
    assert_string_equal(request->space->database, "shop");
    assert_string_equal(request->space->name, "");
}

static void no_bytes_are_an_empty_request(void **state) {
    (void)state;
    Plinth__V1__GetRequest *request;
    struct plinth_error error;
    assert_ok(unpack_get(NULL, 0, &request, &error), &error);
    assert_int_equal(request->key.len, 0);
}

static void unknown_fields_are_passed_over(void **state) {
    (void)state;
    static const char bytes[] = "\xa0\x06\x01\x0a\x01k\xfa\x06\x02hi";
    Plinth__V1__GetRequest *request;
    struct plinth_error error;
    assert_ok(unpack_get(bytes, sizeof bytes - 1, &request, &error), &error);
    assert_int_equal(request->key.len, 1);
}

static void malformed_bytes_are_refused_by_name_and_offset(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *named;
    } samples[] = {
        {"\x0a\x05ka", 4, "plinth.v1.GetRequest: malformed protobuf at byte 0"}, /* longer than the message */
        {"\x0a\x01k\x12\xff", 5, "plinth.v1.GetRequest: malformed protobuf at byte 3"},
        {"\x0a\x01k\x12\x02\x0a\x09", 7, "plinth.v1.Space: malformed protobuf at byte 0"},
        {"\x0b", 1, "plinth.v1.GetRequest: malformed protobuf at byte 0"},     /* a group */
        {"\x02\x00", 2, "plinth.v1.GetRequest: malformed protobuf at byte 0"}, /* field 0 */
        {"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12, "malformed protobuf at byte 0"},
        {"\x08\x01", 2, "plinth.v1.GetRequest: malformed protobuf: a field has another type"},
    };
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        Plinth__V1__GetRequest *request;
        struct plinth_error error;
        assert_status(unpack_get(samples[i].bytes, samples[i].size, &request, &error), PLINTH_INVALID_ARGUMENT, &error);
        assert_error_names(&error, samples[i].named);
        assert_null(request);
    }
}

static void strings_must_be_utf8_without_zero_bytes(void **state) {
    (void)state;
    static const char *const names[] = {"a\x80", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xe2\x82"};
    for (size_t i = 0; i <= sizeof names / sizeof names[0]; i++) {
        char bytes[32] = "\x12";
        const char *name = i < sizeof names / sizeof names[0] ? names[i] : "a\0b";
        size_t size = i < sizeof names / sizeof names[0] ? strlen(name) : 3;
        bytes[1] = (char)(size + 2);
        bytes[2] = 0x12;
        bytes[3] = (char)size;
        memcpy(bytes + 4, name, size);
        Plinth__V1__GetRequest *request;
        struct plinth_error error;
        assert_status(unpack_get(bytes, size + 4, &request, &error), PLINTH_INVALID_ARGUMENT, &error);
        assert_error_names(&error, "plinth.v1.Space.name: not UTF-8");
    }
}

static void a_message_of_millions_of_parts_is_bounded(void **state) {
    (void)state;
    /* 4 MiB of empty index values: 2 bytes each on the wire, many times that in memory. */
    struct buffer bytes = BUFFER_INIT;
    for (size_t i = 0; i < 2u << 20; i++) assert_true(buffer_append(&bytes, "\x1a\x00", 2));
    Plinth__V1__SetRequest *request;
    struct plinth_error error;
    assert_status(request_unpack(&plinth__v1__set_request__descriptor, buffer_slice(&bytes), &arena, &request, &error),
                  PLINTH_RESOURCE_EXHAUSTED, &error);
    assert_error_names(&error, "plinth.v1.SetRequest");
    assert_true(arena.used_bytes <= REQUEST_MEMORY_MAX + (2u << 20));
    buffer_deinit(&bytes);
}

static void write_options_are_checked(void **state) {
    (void)state;
    struct service service = {.durability = PLINTH_DURABILITY_WRITTEN};
    struct plinth_write_options options;
    struct plinth_error error;
    assert_ok(request_write_options(&service, NULL, &options, &error), &error);
    assert_int_equal(options.durability, PLINTH_DURABILITY_WRITTEN);

    Plinth__V1__WriteOptions given = PLINTH__V1__WRITE_OPTIONS__INIT;
    given.durability = PLINTH__V1__DURABILITY__DURABILITY_SYNCED;
    given.producer_id = 7;
    given.sequence = 1;
    given.chunk_count = 1;
    assert_ok(request_write_options(&service, &given, &options, &error), &error);
    assert_int_equal(options.durability, PLINTH_DURABILITY_SYNCED);
    assert_int_equal(options.producer_id, 7);

    given.sequence = 0;
    assert_status(request_write_options(&service, &given, &options, &error), PLINTH_INVALID_ARGUMENT, &error);
    assert_error_names(&error, "write.sequence");
    given.sequence = 1;
    given.producer_id = 0;
    assert_status(request_write_options(&service, &given, &options, &error), PLINTH_INVALID_ARGUMENT, &error);
    assert_error_names(&error, "write.producer_id");
    given.producer_id = 7;
    given.chunk_count = 2;
    assert_status(request_write_options(&service, &given, &options, &error), PLINTH_INVALID_ARGUMENT, &error);
    assert_error_names(&error, "write.chunk");
    given.chunk_count = 0;
    given.durability = 9;
    assert_status(request_write_options(&service, &given, &options, &error), PLINTH_INVALID_ARGUMENT, &error);
    assert_error_names(&error, "write.durability");
}

static void keys_have_limits(void **state) {
    (void)state;
    static uint8_t bytes[PLINTH_KEY_BYTES_MAX + 1];
    struct plinth_error error;
    assert_status(request_key((ProtobufCBinaryData){0, bytes}, &error), PLINTH_INVALID_ARGUMENT, &error);
    assert_ok(request_key((ProtobufCBinaryData){PLINTH_KEY_BYTES_MAX, bytes}, &error), &error);
    assert_status(request_key((ProtobufCBinaryData){PLINTH_KEY_BYTES_MAX + 1, bytes}, &error), PLINTH_TOO_LARGE,
                  &error);
    assert_error_names(&error, "65537 bytes");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_request_is_unpacked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_bytes_are_an_empty_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unknown_fields_are_passed_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(malformed_bytes_are_refused_by_name_and_offset, set_up, tear_down),
        cmocka_unit_test_setup_teardown(strings_must_be_utf8_without_zero_bytes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_message_of_millions_of_parts_is_bounded, set_up, tear_down),
        cmocka_unit_test(write_options_are_checked),
        cmocka_unit_test(keys_have_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
