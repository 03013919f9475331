#include "support/test_support.h"

#include <stdlib.h>

#include "log/record.h"

static void assert_same_header(const struct record_header *a, const struct record_header *b) {
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->durability, b->durability);
    assert_int_equal(a->schema_version, b->schema_version);
    assert_int_equal(a->chunk, b->chunk);
    assert_int_equal(a->chunk_count, b->chunk_count);
    assert_int_equal(a->extra_flags, b->extra_flags);
    assert_true(a->time_us == b->time_us);
    assert_true(a->producer == b->producer);
    assert_true(a->sequence == b->sequence);
}

/* Extremes as often as ordinary values. */
static uint64_t some_number(struct test_random *random, uint64_t max) {
    switch (test_random_below(random, 4)) {
    case 0: return 0;
    case 1: return max;
    case 2: return test_random_below(random, 3);
    default: return max == UINT64_MAX ? test_random_u64(random) : test_random_below(random, max + 1);
    }
}

static void any_sequence_of_records_comes_back(void **state) {
    (void)state;
    enum { RECORDS = 5000, PAYLOAD_MAX = 40 };
    struct test_random random = test_random_of(1);
    struct record_header *headers = calloc(RECORDS, sizeof *headers);
    uint8_t *bytes = malloc(RECORDS * (PAYLOAD_MAX + RECORD_HEADER_BYTES_MAX));
    struct record_context context = {.time_us = 1000};
    size_t used = 0;
    for (int i = 0; i < RECORDS; i++) {
        struct record_header *header = &headers[i];
        header->kind = (uint8_t)test_random_u64(&random);
        header->durability = (enum record_durability)test_random_below(&random, 4);
        header->schema_version = (uint32_t)some_number(&random, UINT32_MAX);
        header->chunk = (uint32_t)some_number(&random, UINT32_MAX);
        header->chunk_count = (uint32_t)some_number(&random, UINT32_MAX);
        if (header->chunk == 0 && header->chunk_count == 0) header->chunk_count = 1;
        header->extra_flags = (uint32_t)some_number(&random, UINT32_MAX);
        header->time_us = some_number(&random, UINT64_MAX);
        header->producer = some_number(&random, UINT64_MAX);
        header->sequence = some_number(&random, UINT64_MAX);
        uint8_t payload[PAYLOAD_MAX];
        size_t size = (size_t)i % PAYLOAD_MAX, cut = test_random_below(&random, size + 1);
        memset(payload, i, sizeof payload);
        struct slice parts[2] = {slice_of(payload, cut), slice_of(payload + cut, size - cut)};
        size_t written = record_encode(&context, header, parts, 2, bytes + used);
        assert_true(written <= size + RECORD_HEADER_BYTES_MAX);
        used += written;
    }
    context = (struct record_context){.time_us = 1000};
    struct reader reader = reader_of(slice_of(bytes, used));
    for (int i = 0; i < RECORDS; i++) {
        struct record record;
        struct plinth_error error = {0};
        assert_ok(record_decode(&context, &reader, &record, &error), &error);
        assert_same_header(&record.header, &headers[i]);
        assert_int_equal(record.payload.size, i % PAYLOAD_MAX);
        for (size_t k = 0; k < record.payload.size; k++) assert_int_equal(record.payload.data[k], (uint8_t)i);
    }
    assert_int_equal(reader_left(&reader), 0);
    free(bytes);
    free(headers);
}

static void a_plain_record_costs_few_bytes(void **state) {
    (void)state;
    struct record_context context = {.time_us = 5000000};
    struct record_header header = {.kind = 1, .time_us = 5000000, .producer = 77, .sequence = 1};
    struct slice payload = slice_of_string("0123456789");
    uint8_t bytes[128];
    (void)record_encode(&context, &header, &payload, 1, bytes);
    header.sequence++;
    header.time_us += 20;
    assert_true(record_encode(&context, &header, &payload, 1, bytes) <= 10 + 5);
}

static void truncated_and_malformed_records_are_corrupt(void **state) {
    (void)state;
    struct record_context context = {0};
    struct record_header header = {.kind = 9,
                                   .time_us = UINT64_MAX,
                                   .producer = 1,
                                   .sequence = 1u << 20,
                                   .chunk = 3,
                                   .chunk_count = 700,
                                   .schema_version = 300,
                                   .extra_flags = 1 << 30};
    struct slice payload = slice_of_string("payload");
    uint8_t bytes[128];
    size_t used = record_encode(&context, &header, &payload, 1, bytes);
    for (size_t cut = 0; cut < used; cut++) {
        struct reader reader = reader_of(slice_of(bytes, cut));
        struct record record;
        struct plinth_error error = {0};
        context = (struct record_context){0};
        assert_status(record_decode(&context, &reader, &record, &error), PLINTH_CORRUPT, &error);
    }
    /* The size says that the record ends within its header. */
    for (uint8_t size = 0; size < used - 1 - payload.size; size++) {
        bytes[0] = size;
        struct reader reader = reader_of(slice_of(bytes, used));
        struct record record;
        struct plinth_error error = {0};
        context = (struct record_context){0};
        assert_status(record_decode(&context, &reader, &record, &error), PLINTH_CORRUPT, &error);
    }
}

static void a_layout_of_the_future_is_unsupported_a_kind_is_handed_up(void **state) {
    (void)state;
    struct record_context context = {0};
    struct record record;
    struct plinth_error error = {0};
    const uint8_t future[] = {3, 0x80 | 4 | 32, 1, 0};
    struct reader reader = reader_of(slice_of(future, sizeof future));
    assert_status(record_decode(&context, &reader, &record, &error), PLINTH_UNSUPPORTED, &error);
    const uint8_t kind[] = {3, 4 | 32, 250, 0};
    reader = reader_of(slice_of(kind, sizeof kind));
    assert_ok(record_decode(&context, &reader, &record, &error), &error);
    assert_int_equal(record.header.kind, 250);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_sequence_of_records_comes_back),
        cmocka_unit_test(a_plain_record_costs_few_bytes),
        cmocka_unit_test(truncated_and_malformed_records_are_corrupt),
        cmocka_unit_test(a_layout_of_the_future_is_unsupported_a_kind_is_handed_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
