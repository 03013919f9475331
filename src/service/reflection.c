/* grpc.reflection.v1 and v1alpha: the server tells its own contract. Both speak the same messages. */
#include <stdio.h>

#include "base/status.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "service/descriptor_index.h"
#include "service/methods.h"
#include "service/service_private.h"

typedef Grpc__Reflection__V1__ServerReflectionRequest request_type;
typedef Grpc__Reflection__V1__ServerReflectionResponse response_type;

enum { FILES_MAX = 32, SERVICES_MAX = 16 };

/* An answer and everything that it points to. */
struct answer {
    response_type response;
    Grpc__Reflection__V1__ErrorResponse error;
    char error_text[512];
    Grpc__Reflection__V1__FileDescriptorResponse files;
    ProtobufCBinaryData file_bytes[FILES_MAX];
    Grpc__Reflection__V1__ListServiceResponse services;
    Grpc__Reflection__V1__ServiceResponse service[SERVICES_MAX];
    Grpc__Reflection__V1__ServiceResponse *service_pointers[SERVICES_MAX];
    char service_names[SERVICES_MAX][96];
    Grpc__Reflection__V1__ExtensionNumberResponse extensions;
};

static void answer_error(struct answer *answer, enum grpc_status code, const char *what, const char *name) {
    grpc__reflection__v1__error_response__init(&answer->error);
    snprintf(answer->error_text, sizeof answer->error_text, "%s not found: %.300s", what, name);
    answer->error.error_code = code;
    answer->error.error_message = answer->error_text;
    answer->response.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE;
    answer->response.error_response = &answer->error;
}

static void answer_file(struct answer *answer, const struct descriptor_index *index, const struct descriptor_file *file,
                        const char *what, const char *name) {
    if (!file || index->file_count > FILES_MAX) {
        answer_error(answer, GRPC_NOT_FOUND, what, name);
        return;
    }
    const struct descriptor_file *found[FILES_MAX];
    size_t count = descriptor_index_closure(index, file, found);
    grpc__reflection__v1__file_descriptor_response__init(&answer->files);
    for (size_t i = 0; i < count; i++)
        answer->file_bytes[i] = (ProtobufCBinaryData){found[i]->bytes.size, (uint8_t *)found[i]->bytes.data};
    answer->files.n_file_descriptor_proto = count;
    answer->files.file_descriptor_proto = answer->file_bytes;
    answer->response.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE;
    answer->response.file_descriptor_response = &answer->files;
}

/* The services of the method table, each once: "/package.Service/Method" without its ends. */
static void answer_services(struct answer *answer) {
    size_t count = 0;
    grpc__reflection__v1__list_service_response__init(&answer->services);
    for (unsigned i = 0; i < service_method_count && count < SERVICES_MAX; i++) {
        const char *name = service_methods[i]->path + 1;
        size_t size = strcspn(name, "/");
        if (count && strlen(answer->service_names[count - 1]) == size &&
            memcmp(answer->service_names[count - 1], name, size) == 0)
            continue; /* the methods of a service stand together */
        snprintf(answer->service_names[count], sizeof answer->service_names[0], "%.*s", (int)size, name);
        grpc__reflection__v1__service_response__init(&answer->service[count]);
        answer->service[count].name = answer->service_names[count];
        answer->service_pointers[count] = &answer->service[count];
        count++;
    }
    answer->services.n_service = count;
    answer->services.service = answer->service_pointers;
    answer->response.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE;
    answer->response.list_services_response = &answer->services;
}

/* proto3 has no extensions: a known type has none. */
static void answer_extensions(struct answer *answer, const struct descriptor_index *index, char *type) {
    if (!descriptor_index_symbol(index, type)) {
        answer_error(answer, GRPC_NOT_FOUND, "type", type);
        return;
    }
    grpc__reflection__v1__extension_number_response__init(&answer->extensions);
    answer->extensions.base_type_name = type;
    answer->response.message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ALL_EXTENSION_NUMBERS_RESPONSE;
    answer->response.all_extension_numbers_response = &answer->extensions;
}

static void answer_fill(struct answer *answer, const struct descriptor_index *index, request_type *request) {
    grpc__reflection__v1__server_reflection_response__init(&answer->response);
    answer->response.valid_host = request->host;
    answer->response.original_request = request;
    switch (request->message_request_case) {
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
        answer_file(answer, index, descriptor_index_file(index, slice_of_string(request->file_by_filename)), "file",
                    request->file_by_filename);
        break;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL: {
        const char *symbol = request->file_containing_symbol;
        if (*symbol == '.') symbol++; /* fully qualified, as some clients write it */
        answer_file(answer, index, descriptor_index_symbol(index, symbol), "symbol", symbol);
        break;
    }
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION:
        answer_error(answer, GRPC_NOT_FOUND, "extension of", request->file_containing_extension->containing_type);
        break;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE:
        answer_extensions(answer, index, request->all_extension_numbers_of_type);
        break;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES: answer_services(answer); break;
    default: answer_error(answer, GRPC_INVALID_ARGUMENT, "request of that kind", "none is given");
    }
}

static void on_message(struct service_call *call, struct slice message) {
    struct arena *arena = &call->loop->arena;
    request_type *request;
    struct plinth_error error;
    enum plinth_status st =
        request_unpack(&grpc__reflection__v1__server_reflection_request__descriptor, message, arena, &request, &error);
    uint8_t *packed = NULL;
    struct answer answer;
    if (!st) {
        answer_fill(&answer, &call->service->descriptors, request);
        packed = arena_alloc(arena, protobuf_c_message_get_packed_size(&answer.response.base));
        if (!packed) st = error_no_memory(&error, "answer");
    }
    if (st) {
        service_finish(call, st, &error);
    } else {
        size_t size = protobuf_c_message_pack(&answer.response.base, packed);
        if (rpc_call_send(call->rpc, slice_of(packed, size)) >= RPC_SEND_HIGH_BYTES) rpc_call_pause(call->rpc);
    }
    arena_reset(arena);
}

static void on_writable(struct service_call *call) { rpc_call_resume(call->rpc); }
static void on_half_close(struct service_call *call) { service_finish(call, PLINTH_OK, NULL); }

const struct service_method reflection_v1 = {"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", RPC_BIDI,
                                             .on_message = on_message, .on_half_close = on_half_close,
                                             .on_writable = on_writable};
const struct service_method reflection_v1_alpha = {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                                                   RPC_BIDI, .on_message = on_message, .on_half_close = on_half_close,
                                                   .on_writable = on_writable};
