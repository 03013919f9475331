#include "service/request.h"

#include "base/status.h"
#include "service/position.h"
#include "service/service_private.h"

/* ---- unpacking ---- */

enum { NESTING_MAX = 2 * 64 + 8 /* predicates */, WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* Length of the UTF-8 sequence at `at`, 0 when it is malformed (RFC 3629: no overlong forms, no surrogates). */
static size_t utf8_sequence(const uint8_t *at, size_t left) {
    uint8_t lead = at[0];
    if (lead < 0x80) return 1;
    size_t size = lead >= 0xc2 && lead <= 0xdf ? 2 : (lead & 0xf0) == 0xe0 ? 3 : lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
    if (!size || size > left) return 0;
    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80) return 0;
    }
    if ((lead == 0xe0 && at[1] < 0xa0) || (lead == 0xed && at[1] > 0x9f) || (lead == 0xf0 && at[1] < 0x90) ||
        (lead == 0xf4 && at[1] > 0x8f))
        return 0;
    return size;
}

static bool is_text(struct slice bytes) {
    for (size_t at = 0; at < bytes.size;) {
        size_t size = bytes.data[at] ? utf8_sequence(bytes.data + at, bytes.size - at) : 0;
        if (!size) return false;
        at += size;
    }
    return true;
}

/* Walks one message and what is nested in it. */
static enum plinth_status check_wire(const ProtobufCMessageDescriptor *type, struct slice bytes, unsigned depth,
                                     struct plinth_error *error) {
    struct reader reader = reader_of(bytes);
    while (!reader.failed && reader_left(&reader)) {
        size_t offset = (size_t)(reader.at - bytes.data);
        uint64_t tag = reader_varint(&reader);
        struct slice part = {0};
        switch (tag & 7) {
        case WIRE_VARINT: (void)reader_varint(&reader); break;
        case WIRE_FIXED64: (void)reader_u64(&reader); break;
        case WIRE_BYTES: part = reader_string(&reader); break;
        case WIRE_FIXED32: (void)reader_u32(&reader); break;
        default: reader.failed = true;
        }
        if (reader.failed || tag >> 3 == 0 || tag >> 3 > 536870911)
            return error_set(error, PLINTH_INVALID_ARGUMENT, "%s: malformed protobuf at byte %zu", type->name, offset);
        const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(type, (unsigned)(tag >> 3));
        if (!field || (tag & 7) != WIRE_BYTES) continue;
        if (field->type == PROTOBUF_C_TYPE_STRING && !is_text(part))
            return error_set(error, PLINTH_INVALID_ARGUMENT, "%s.%s: not UTF-8 text", type->name, field->name);
        if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
            if (depth == NESTING_MAX)
                return error_set(error, PLINTH_INVALID_ARGUMENT, "%s.%s: nested too deep", type->name, field->name);
            enum plinth_status st = check_wire(field->descriptor, part, depth + 1, error);
            if (st) return st;
        }
    }
    return PLINTH_OK;
}

struct bounded_arena {
    struct arena *arena;
    bool exhausted;
};

static void *bounded_alloc(void *data, size_t size) {
    struct bounded_arena *bounded = data;
    if (bounded->arena->used_bytes + size <= REQUEST_MEMORY_MAX) {
        void *memory = arena_alloc(bounded->arena, size);
        if (memory) return memory;
    }
    bounded->exhausted = true;
    return NULL;
}

static void bounded_free(void *data, void *memory) {
    (void)data;
    (void)memory; /* goes with the arena */
}

enum plinth_status request_unpack(const ProtobufCMessageDescriptor *type, struct slice bytes, struct arena *arena,
                                  void *message, struct plinth_error *error) {
    ProtobufCMessage **out = message;
    *out = NULL;
    enum plinth_status st = check_wire(type, bytes, 0, error);
    if (st) return st;
    struct bounded_arena bounded = {arena, false};
    ProtobufCAllocator allocator = {bounded_alloc, bounded_free, &bounded};
    static const uint8_t nothing;
    *out = protobuf_c_message_unpack(type, &allocator, bytes.size, bytes.size ? bytes.data : &nothing);
    if (*out) return PLINTH_OK;
    if (bounded.exhausted)
        return error_set(error, PLINTH_RESOURCE_EXHAUSTED, "%s: the message has too many parts", type->name);
    return error_set(error, PLINTH_INVALID_ARGUMENT, "%s: malformed protobuf: a field has another type", type->name);
}

/* ---- fields ---- */

enum plinth_status request_key(ProtobufCBinaryData key, struct plinth_error *error) {
    if (key.len == 0) return error_set(error, PLINTH_INVALID_ARGUMENT, "key: must not be empty");
    if (key.len > PLINTH_KEY_BYTES_MAX)
        return error_set(error, PLINTH_TOO_LARGE, "key: %zu bytes, at most %d are allowed", key.len,
                         PLINTH_KEY_BYTES_MAX);
    return PLINTH_OK;
}

static bool is_default(const char *name) { return !*name || strcmp(name, "default") == 0; }

enum plinth_status request_space(struct service *service, const Plinth__V1__Space *named, struct plinth_space *space,
                                 struct plinth_error *error) {
    *space = service->default_space;
    if (!named || (is_default(named->database) && is_default(named->name))) return PLINTH_OK;
    return plinth_space_find(service->db, named->database, named->name, space, error);
}

enum plinth_status request_write_options(const struct service *service, const Plinth__V1__WriteOptions *given,
                                         struct plinth_write_options *options, struct plinth_error *error) {
    *options = (struct plinth_write_options){.durability = service->durability};
    if (!given) return PLINTH_OK;
    if (given->durability < 0 || (int)given->durability > PLINTH_DURABILITY_SYNCED)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "write.durability: %d is none of this version",
                         (int)given->durability);
    if (given->durability) options->durability = (enum plinth_durability)given->durability;
    if (!given->producer_id != !given->sequence)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "write.%s: missing; producer_id and sequence go together",
                         given->producer_id ? "sequence" : "producer_id");
    if (given->chunk != 0 || given->chunk_count > 1)
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "write.chunk: this method takes writes of one piece, got chunk %u of %u", given->chunk,
                         given->chunk_count);
    options->producer_id = given->producer_id;
    options->sequence = given->sequence;
    return PLINTH_OK;
}

static enum plinth_status position_of(const Plinth__V1__Position *given, const char *field,
                                      struct plinth_position *position, struct plinth_error *error) {
    *position = (struct plinth_position){0};
    return given ? position_decode(request_bytes(given->token), field, position, error) : PLINTH_OK;
}

enum plinth_status request_read_init(struct service *service, const Plinth__V1__ReadOptions *given,
                                     struct request_read *read, struct plinth_error *error) {
    *read = (struct request_read){0};
    if (!given) return PLINTH_OK;
    enum plinth_status st = position_of(given->position_min, "read.position_min", &read->options.position_min, error);
    if (!st) st = position_of(given->snapshot, "read.snapshot", &read->snapshot, error);
    if (st) return st;
    unsigned given_states =
        position_given(read->snapshot) + (given->snapshot_name[0] != 0) + (given->as_of_time_us != 0);
    if (given_states > 1)
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "read: only one of snapshot, snapshot_name and as_of_time_us can be given");
    if (given->snapshot_name[0]) read->options.snapshot_name = given->snapshot_name;
    read->options.as_of_time_us = given->as_of_time_us;
    if (!position_given(read->snapshot)) return PLINTH_OK;
    read->pinned = snapshot_table_pin(&service->snapshots, read->snapshot);
    if (read->pinned)
        read->options.snapshot = pinned_snapshot_of(read->pinned);
    else
        read->options.as_of = read->snapshot;
    return PLINTH_OK;
}

void request_read_deinit(struct service *service, struct request_read *read) {
    if (read->pinned) snapshot_table_unpin(&service->snapshots, read->pinned);
    read->pinned = NULL;
}

uint32_t request_wait_ms(const struct rpc_call *call, struct env *env) {
    const uint32_t wait_ms_max = 10000;
    uint64_t deadline_ns = rpc_call_deadline_ns(call);
    if (deadline_ns == UINT64_MAX) return wait_ms_max;
    uint64_t now_ns = env_monotonic_ns(env);
    if (deadline_ns <= now_ns) return 1;
    uint64_t left_ms = (deadline_ns - now_ns) / 1000000 + 1;
    return left_ms < wait_ms_max ? (uint32_t)left_ms : wait_ms_max;
}
