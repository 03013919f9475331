#include "log/record.h"

#include "base/status.h"

enum record_flags {
    FLAG_DURABILITY = 3, /* mask */
    FLAG_PRODUCER_SAME = 4,
    FLAG_CHUNK = 8,
    FLAG_SCHEMA = 16,
    FLAG_TIME_SAME = 32,
    FLAG_EXTRA = 64,
    FLAG_RESERVED = 128,
};

/* Writes everything of the record that stands between the size and the payload; at most 61 bytes. */
static size_t fields_encode(const struct record_context *context, const struct record_header *header, uint8_t *into) {
    uint8_t flags = (uint8_t)header->durability & FLAG_DURABILITY;
    bool chunked = header->chunk != 0 || header->chunk_count > 1;
    if (header->producer == context->producer) flags |= FLAG_PRODUCER_SAME;
    if (chunked) flags |= FLAG_CHUNK;
    if (header->schema_version) flags |= FLAG_SCHEMA;
    if (header->time_us == context->time_us) flags |= FLAG_TIME_SAME;
    if (header->extra_flags) flags |= FLAG_EXTRA;
    uint8_t *at = into;
    *at++ = flags;
    *at++ = header->kind;
    if (!(flags & FLAG_TIME_SAME))
        at += varint_encode(at, zigzag_encode((int64_t)(header->time_us - context->time_us)));
    if (!(flags & FLAG_PRODUCER_SAME)) {
        store_u64(at, header->producer);
        at += 8;
    }
    at += varint_encode(at, zigzag_encode((int64_t)(header->sequence - context->sequence)));
    if (chunked) {
        at += varint_encode(at, header->chunk);
        at += varint_encode(at, header->chunk_count);
    }
    if (flags & FLAG_SCHEMA) at += varint_encode(at, header->schema_version);
    if (flags & FLAG_EXTRA) at += varint_encode(at, header->extra_flags);
    return (size_t)(at - into);
}

size_t record_encode(struct record_context *context, const struct record_header *header, const struct slice *parts,
                     int part_count, uint8_t *into) {
    uint8_t fields[RECORD_HEADER_BYTES_MAX];
    size_t fields_bytes = fields_encode(context, header, fields);
    size_t payload_bytes = 0;
    for (int i = 0; i < part_count; i++) payload_bytes += parts[i].size;
    uint8_t *at = into + varint_encode(into, fields_bytes + payload_bytes);
    memcpy(at, fields, fields_bytes);
    at += fields_bytes;
    for (int i = 0; i < part_count; i++) {
        if (parts[i].size) memcpy(at, parts[i].data, parts[i].size);
        at += parts[i].size;
    }
    *context = (struct record_context){header->time_us, header->producer, header->sequence};
    return (size_t)(at - into);
}

static void fields_decode(const struct record_context *context, uint8_t flags, struct reader *body,
                          struct record_header *header) {
    header->durability = (enum record_durability)(flags & FLAG_DURABILITY);
    header->kind = reader_u8(body);
    header->time_us = context->time_us;
    if (!(flags & FLAG_TIME_SAME)) header->time_us += (uint64_t)zigzag_decode(reader_varint(body));
    header->producer = flags & FLAG_PRODUCER_SAME ? context->producer : reader_u64(body);
    header->sequence = context->sequence + (uint64_t)zigzag_decode(reader_varint(body));
    header->chunk = flags & FLAG_CHUNK ? reader_varint32(body) : 0;
    header->chunk_count = flags & FLAG_CHUNK ? reader_varint32(body) : 1;
    header->schema_version = flags & FLAG_SCHEMA ? reader_varint32(body) : 0;
    header->extra_flags = flags & FLAG_EXTRA ? reader_varint32(body) : 0;
}

enum plinth_status record_decode(struct record_context *context, struct reader *reader, struct record *record,
                                 struct plinth_error *error) {
    uint64_t size = reader_varint(reader);
    struct slice bytes = reader_bytes(reader, size);
    if (reader->failed || size > RECORD_PAYLOAD_BYTES_MAX + RECORD_HEADER_BYTES_MAX) {
        return error_set(error, PLINTH_CORRUPT, "record of %llu bytes runs past its block or over the limit",
                         (unsigned long long)size);
    }
    struct reader body = reader_of(bytes);
    uint8_t flags = reader_u8(&body);
    if (flags & FLAG_RESERVED) {
        return error_set(error, PLINTH_UNSUPPORTED, "record flags 0x%02x are of a newer version", flags);
    }
    fields_decode(context, flags, &body, &record->header);
    if (body.failed || reader_left(&body) > RECORD_PAYLOAD_BYTES_MAX) {
        return error_set(error, PLINTH_CORRUPT, "record of %llu bytes has a malformed header",
                         (unsigned long long)size);
    }
    record->payload = slice_of(body.at, reader_left(&body));
    *context = (struct record_context){record->header.time_us, record->header.producer, record->header.sequence};
    return PLINTH_OK;
}
