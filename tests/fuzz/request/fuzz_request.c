/* What clients send: requests of every kind, positions and page tokens. Accepted ones are as they would be written. */
#include <stdlib.h>

#include "grpc/reflection/v1/reflection.pb-c.h"
#include "plinth/v1/admin.pb-c.h"
#include "plinth/v1/key_value.pb-c.h"
#include "service/page_token.h"
#include "service/position.h"
#include "service/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
    if (!holds) abort();
}

static const ProtobufCMessageDescriptor *const types[] = {
    &plinth__v1__get_request__descriptor,
    &plinth__v1__set_request__descriptor,
    &plinth__v1__delete_request__descriptor,
    &plinth__v1__get_by_index_request__descriptor,
    &plinth__v1__scan_request__descriptor,
    &plinth__v1__batch_request__descriptor,
    &plinth__v1__compare_and_set_request__descriptor,
    &plinth__v1__create_space_request__descriptor,
    &grpc__reflection__v1__server_reflection_request__descriptor,
};

static void check_request(const ProtobufCMessageDescriptor *type, struct slice bytes) {
    struct arena arena;
    ProtobufCMessage *message;
    struct plinth_error error;
    arena_init(&arena);
    enum plinth_status st = request_unpack(type, bytes, &arena, &message, &error);
    require(!st == (message != NULL) && (!st || error.text[0]));
    if (!st) {
        size_t packed = protobuf_c_message_get_packed_size(message);
        uint8_t *into = malloc(packed + 1);
        require(into && protobuf_c_message_pack(message, into) == packed);
        free(into);
    }
    arena_deinit(&arena);
}

static void check_position(struct slice bytes) {
    struct plinth_position position;
    struct plinth_error error;
    uint8_t again[POSITION_TOKEN_BYTES_MAX];
    if (position_decode(bytes, "field", &position, &error) || !bytes.size) return;
    require(slice_equal(slice_of(again, position_encode(position, again)), bytes));
}

static void check_page_token(struct slice bytes) {
    struct page_token token;
    struct plinth_error error;
    struct buffer again = BUFFER_INIT;
    if (page_token_parse(bytes, 0, &token, &error)) return;
    struct page_token read;
    require(page_token_append(&again, 0, token));
    require(page_token_parse(buffer_slice(&again), 0, &read, &error) == PLINTH_OK);
    require(slice_equal(read.key, token.key) && slice_equal(read.index_value, token.index_value));
    buffer_deinit(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    struct slice bytes = slice_of(data + 1, size - 1);
    check_request(types[data[0] % (sizeof types / sizeof types[0])], bytes);
    check_position(bytes);
    check_page_token(bytes);
    return 0;
}
