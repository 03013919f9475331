#include "support/test_support.h"

#include <stdlib.h>

#include "log/log_segment.h"

static struct log_segment_header header_of(uint64_t first_lsn) {
    struct log_segment_header header = {
        .first_lsn = first_lsn, .previous_last_lsn = first_lsn - 1, .synced_lsn = first_lsn - 1, .epoch_count = 1};
    memset(header.id, 7, sizeof header.id);
    header.epochs[0] = (struct log_epoch){1, 1, UINT64_MAX};
    return header;
}

static void a_header_comes_back_and_every_flipped_bit_shows(void **state) {
    (void)state;
    struct log_segment_header header = header_of(1000), back;
    struct plinth_error error = {0};
    header.epoch_count = 3;
    header.recycled = true;
    header.epochs[0] = (struct log_epoch){1, 1, 0};
    header.epochs[1] = (struct log_epoch){2, 100, 140};
    header.epochs[2] = (struct log_epoch){5, 900, UINT64_MAX};
    uint8_t bytes[LOG_SEGMENT_HEADER_BYTES];
    log_segment_header_encode(&header, bytes);
    assert_ok(log_segment_header_decode(slice_of(bytes, sizeof bytes), "/x.log", &back, &error), &error);
    assert_true(back.first_lsn == 1000 && back.previous_last_lsn == 999 && back.synced_lsn == 999);
    assert_true(back.recycled);
    assert_int_equal(back.epoch_count, 3);
    assert_memory_equal(back.epochs, header.epochs, 3 * sizeof back.epochs[0]);
    assert_memory_equal(back.id, header.id, LOG_ID_BYTES);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] ^= 1 << i % 8;
        enum plinth_status st = log_segment_header_decode(slice_of(bytes, sizeof bytes), "/x.log", &back, &error);
        assert_int_equal(st, i >= 8 && i < 12 ? PLINTH_UNSUPPORTED : PLINTH_CORRUPT);
        assert_error_names(&error, "/x.log");
        bytes[i] ^= 1 << i % 8;
    }
    assert_status(log_segment_header_decode(slice_of(bytes, 100), "/x.log", &back, &error), PLINTH_CORRUPT, &error);
}

static void a_newer_version_is_named_with_ours(void **state) {
    (void)state;
    struct log_segment_header header = header_of(1), back;
    struct plinth_error error = {0};
    uint8_t bytes[LOG_SEGMENT_HEADER_BYTES];
    log_segment_header_encode(&header, bytes);
    bytes[8] = 9;
    assert_status(log_segment_header_decode(slice_of(bytes, sizeof bytes), "/x.log", &back, &error), PLINTH_UNSUPPORTED,
                  &error);
    assert_error_names(&error, "version 9");
    assert_error_names(&error, "knows version 1");
}

struct file {
    uint8_t bytes[LOG_SEGMENT_HEADER_BYTES + 4096];
    size_t used;
    uint64_t next_lsn;
    uint32_t seed;
};

static void file_begin(struct file *file, const struct log_segment_header *header) {
    memset(file, 0, sizeof *file);
    log_segment_header_encode(header, file->bytes);
    file->used = LOG_SEGMENT_HEADER_BYTES;
    file->next_lsn = header->first_lsn;
    file->seed = log_block_seed(header->id);
}

/* Appends a block of `count` records of 10 bytes; returns its offset. */
static size_t file_add(struct file *file, uint32_t count, uint64_t synced_lsn, uint32_t flags) {
    size_t at = file->used;
    uint8_t *body = file->bytes + at + LOG_BLOCK_HEADER_BYTES;
    struct record_context context = {0};
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct record_header header = {.kind = 1, .sequence = file->next_lsn + i};
        struct slice payload = slice_of_string("0123456789");
        size += record_encode(&context, &header, &payload, 1, body + size);
    }
    struct log_block block = {
        .epoch = 1, .first_lsn = file->next_lsn, .synced_lsn = synced_lsn, .record_count = count, .flags = flags};
    file->used += log_block_finish(file->seed, &block, file->bytes + at, size);
    file->next_lsn += count;
    return at;
}

static struct log_scan scan_of(const struct file *file, const struct log_segment_header *header) {
    struct log_scan scan;
    log_segment_scan(slice_of(file->bytes, sizeof file->bytes), header, NULL, NULL, &scan);
    return scan;
}

static void a_scan_finds_the_end_and_the_marks(void **state) {
    (void)state;
    struct log_segment_header header = header_of(1);
    struct file file;
    file_begin(&file, &header);
    struct log_scan scan = scan_of(&file, &header);
    assert_true(scan.end_offset == LOG_SEGMENT_HEADER_BYTES && scan.next_lsn == 1 && scan.last_lsn == 0);
    assert_false(scan.torn || scan.clean);
    file_add(&file, 3, 0, 0);
    file_add(&file, 5, 3, 0);
    scan = scan_of(&file, &header);
    assert_true(scan.end_offset == file.used && scan.next_lsn == 9 && scan.last_lsn == 8);
    assert_true(scan.synced_lsn == 3 && scan.seen_lsn == 8);
    assert_false(scan.torn || scan.clean);
    file_add(&file, 0, 8, LOG_BLOCK_CLEAN_END);
    scan = scan_of(&file, &header);
    assert_true(scan.clean && scan.synced_lsn == 8 && scan.last_lsn == 8 && scan.next_lsn == 9);
    file_add(&file, 0, 8, LOG_BLOCK_OPENED);
    scan = scan_of(&file, &header);
    assert_false(scan.clean);
}

static void blocks_behind_a_bad_one_still_tell_the_marks(void **state) {
    (void)state;
    struct log_segment_header header = header_of(1);
    struct file file;
    file_begin(&file, &header);
    file_add(&file, 3, 0, 0);
    size_t bad = file_add(&file, 5, 3, 0);
    file_add(&file, 2, 8, 0);
    size_t end = file.used;
    for (size_t at = bad; at < bad + LOG_BLOCK_HEADER_BYTES + 8; at++) {
        file.bytes[at] ^= 0x10;
        struct log_scan scan = scan_of(&file, &header);
        assert_true(scan.torn);
        assert_true(scan.end_offset == bad && scan.next_lsn == 4 && scan.last_lsn == 3);
        assert_true(scan.synced_lsn == 8 && scan.seen_lsn == 10);
        assert_true(strlen(scan.reason) > 0);
        file.bytes[at] ^= 0x10;
    }
    /* Zeros instead of the block, and a torn last block whose header is still there. */
    memset(file.bytes + bad, 0, LOG_BLOCK_HEADER_BYTES);
    file.bytes[end - 1] ^= 1;
    struct log_scan scan = scan_of(&file, &header);
    assert_true(scan.torn && scan.end_offset == bad && scan.synced_lsn == 8 && scan.seen_lsn == 10);
}

static void blocks_of_another_log_epoch_or_place_do_not_count(void **state) {
    (void)state;
    struct log_segment_header header = header_of(1);
    struct file file;
    file_begin(&file, &header);
    file_add(&file, 3, 0, 0);
    size_t end = file.used;
    file.seed++; /* as if from another log */
    file_add(&file, 5, 3, 0);
    struct log_scan scan = scan_of(&file, &header);
    assert_true(scan.torn && scan.end_offset == end && scan.seen_lsn == 3 && scan.synced_lsn == 0);
    file_begin(&file, &header);
    file_add(&file, 3, 0, 0);
    file.next_lsn = 9; /* a gap */
    file_add(&file, 1, 3, 0);
    scan = scan_of(&file, &header);
    assert_true(scan.torn && scan.end_offset == end && scan.seen_lsn == 9 && scan.synced_lsn == 3);
}

/* Full of the blocks of LSNs 1 to 60, then begun again at LSN 100. */
static void file_recycle(struct file *file, struct log_segment_header *header) {
    struct log_segment_header former = header_of(1);
    file_begin(file, &former);
    for (uint32_t i = 0; i < 30; i++) file_add(file, 2, file->next_lsn - 1, 0);
    *header = header_of(100);
    header->recycled = true;
    log_segment_header_encode(header, file->bytes);
    file->used = LOG_SEGMENT_HEADER_BYTES;
    file->next_lsn = 100;
}

static void the_former_life_of_a_recycled_file_does_not_count(void **state) {
    (void)state;
    struct log_segment_header header;
    struct file file;
    for (uint32_t blocks = 0; blocks < 8; blocks++) {
        file_recycle(&file, &header);
        for (uint32_t i = 0; i < blocks; i++) file_add(&file, 1 + i % 3, file.next_lsn - 1, 0);
        file_add(&file, 0, file.next_lsn - 1, LOG_BLOCK_CLEAN_END);
        uint64_t last = file.next_lsn - 1;
        uint8_t kept[LOG_BLOCK_HEADER_BYTES];
        memcpy(kept, file.bytes + file.used, sizeof kept);
        memset(file.bytes + file.used, 0, sizeof kept);
        struct log_scan scan = scan_of(&file, &header);
        assert_true(scan.clean && !scan.torn);
        assert_true(scan.end_offset == file.used && scan.next_lsn == last + 1 && scan.last_lsn == last);
        assert_true(scan.synced_lsn == last && scan.seen_lsn == last);
        /* In a file that is not recycled any byte behind the end is one too much. */
        header.recycled = false;
        scan = scan_of(&file, &header);
        assert_true(scan.torn && !scan.clean && scan.end_offset == file.used && scan.seen_lsn == last);
        header.recycled = true;
        /* Without the zeros the end is not a clean one; and nothing else changes. */
        memcpy(file.bytes + file.used, kept, sizeof kept);
        scan = scan_of(&file, &header);
        assert_true(scan.torn && !scan.clean && strlen(scan.reason) > 0);
        assert_true(scan.end_offset == file.used && scan.synced_lsn == last && scan.seen_lsn == last);
    }
}

/* Every first block of the former life is whole, and its epoch is the same: its LSN gives it away. */
static void a_block_of_the_former_life_is_no_continuation(void **state) {
    (void)state;
    struct log_segment_header header;
    struct file file;
    file_recycle(&file, &header);
    struct log_scan scan = scan_of(&file, &header);
    assert_true(scan.torn && scan.end_offset == LOG_SEGMENT_HEADER_BYTES);
    assert_true(scan.next_lsn == 100 && scan.last_lsn == 99 && scan.seen_lsn == 99 && scan.synced_lsn == 99);
}

static void a_block_of_this_life_behind_a_gap_tells_the_marks(void **state) {
    (void)state;
    struct log_segment_header header;
    struct file file;
    file_recycle(&file, &header);
    file_add(&file, 3, 99, 0);
    size_t gap = file_add(&file, 2, 102, 0);
    file_add(&file, 2, 104, 0);
    uint8_t kept[LOG_BLOCK_HEADER_BYTES];
    memcpy(kept, file.bytes + gap, sizeof kept);
    for (int zeros = 0; zeros < 2; zeros++) {
        memset(file.bytes + gap, zeros ? 0 : 0xa5, sizeof kept);
        struct log_scan scan = scan_of(&file, &header);
        assert_true(scan.torn && !scan.clean && scan.end_offset == gap && strlen(scan.reason) > 0);
        assert_true(scan.next_lsn == 103 && scan.synced_lsn == 104 && scan.seen_lsn == 106);
    }
}

static void absurd_headers_are_no_blocks(void **state) {
    (void)state;
    struct log_segment_header header = header_of(1);
    uint8_t bytes[LOG_BLOCK_HEADER_BYTES + 16] = {0};
    const struct log_block absurd[] = {
        {.epoch = 1, .first_lsn = 0},
        {.epoch = 1, .first_lsn = UINT64_MAX},
        {.epoch = 1, .first_lsn = 5, .record_count = 1000},
        {.epoch = 1, .first_lsn = 5, .synced_lsn = 5},
    };
    for (size_t i = 0; i < sizeof absurd / sizeof absurd[0]; i++) {
        struct log_block block;
        uint64_t size = 0;
        log_block_finish(log_block_seed(header.id), &absurd[i], bytes, 8);
        assert_int_equal(log_block_parse(log_block_seed(header.id), slice_of(bytes, sizeof bytes), &block, &size),
                         LOG_BLOCK_BAD);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_comes_back_and_every_flipped_bit_shows),
        cmocka_unit_test(a_newer_version_is_named_with_ours),
        cmocka_unit_test(a_scan_finds_the_end_and_the_marks),
        cmocka_unit_test(blocks_behind_a_bad_one_still_tell_the_marks),
        cmocka_unit_test(blocks_of_another_log_epoch_or_place_do_not_count),
        cmocka_unit_test(the_former_life_of_a_recycled_file_does_not_count),
        cmocka_unit_test(a_block_of_the_former_life_is_no_continuation),
        cmocka_unit_test(a_block_of_this_life_behind_a_gap_tells_the_marks),
        cmocka_unit_test(absurd_headers_are_no_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
