#include "table/row.h"

#include <inttypes.h>
#include <stdio.h>

enum { REFERENCE_CONTENT_BYTES = ROW_REFERENCE_BYTES - 2 };

void row_expiry_encode(uint8_t *at, uint64_t expires_us) {
    at[0] = 0;
    at[1] = 8;
    store_u64(at + 2, expires_us);
}

void row_reference_encode(uint8_t *at, const struct row_reference *reference) {
    at[0] = 0;
    at[1] = REFERENCE_CONTENT_BYTES;
    store_u64(at + 2, reference->job);
    store_u32(at + 10, reference->number);
    store_u32(at + 14, reference->offset);
    store_u32(at + 18, reference->length);
    store_u32(at + 22, reference->crc);
}

bool row_reference_decode(struct slice indexes, struct row_reference *reference) {
    if (!row_has_reference(indexes)) return false;
    const uint8_t *at = indexes.data + (indexes.data[1] == 8 ? ROW_EXPIRY_BYTES : 0);
    *reference = (struct row_reference){.job = load_u64(at + 2),
                                        .number = load_u32(at + 10),
                                        .offset = load_u32(at + 14),
                                        .length = load_u32(at + 18),
                                        .crc = load_u32(at + 22)};
    return true;
}

void row_object_name(uint64_t job, uint32_t number, char name[ROW_OBJECT_NAME_BYTES]) {
    snprintf(name, ROW_OBJECT_NAME_BYTES, "values/%016" PRIx64 "/%08" PRIx32 ".value", job, number);
}

bool row_indexes_next(struct reader *list, uint32_t *index_table, struct slice *value) {
    *index_table = 0;
    *value = (struct slice){0};
    if (list->failed || reader_left(list) == 0) return false;
    uint64_t table = reader_varint(list);
    struct slice bytes = reader_string(list);
    while (table == 0 && !list->failed && (bytes.size == 8 || bytes.size == REFERENCE_CONTENT_BYTES)) {
        if (reader_left(list) == 0) return false;
        table = reader_varint(list);
        bytes = reader_string(list);
    }
    if (table > UINT32_MAX) list->failed = true;
    if (list->failed) return false;
    *index_table = (uint32_t)table;
    *value = bytes;
    return true;
}
