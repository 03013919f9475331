/* Any bytes as the records of a block: decoding ends in a status, and what it accepts encodes to the same record. */
#include <stdlib.h>

#include "log/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(struct record_context context, const struct record *record) {
    uint8_t *bytes = malloc(record->payload.size + RECORD_HEADER_BYTES_MAX);
    if (!bytes) return;
    struct record_context encoding = context;
    size_t used = record_encode(&encoding, &record->header, &record->payload, 1, bytes);
    struct reader reader = reader_of(slice_of(bytes, used));
    struct record again = {0};
    if (record_decode(&context, &reader, &again, NULL) || reader_left(&reader)) abort();
    if (!slice_equal(again.payload, record->payload) || again.header.kind != record->header.kind ||
        again.header.time_us != record->header.time_us || again.header.producer != record->header.producer ||
        again.header.sequence != record->header.sequence || again.header.chunk != record->header.chunk ||
        again.header.schema_version != record->header.schema_version ||
        again.header.extra_flags != record->header.extra_flags ||
        again.header.durability != record->header.durability) {
        abort();
    }
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct reader reader = reader_of(slice_of(data, size));
    struct record_context context = {.time_us = 1000};
    for (;;) {
        struct record_context before = context;
        struct record record = {0};
        struct plinth_error error = {0};
        if (record_decode(&context, &reader, &record, &error)) return 0;
        check_same(before, &record);
    }
}
