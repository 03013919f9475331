#include "log/log_segment.h"

#include <stdio.h>

#include "base/crc32c.h"
#include "base/status.h"

static const uint64_t file_magic = UINT64_C(0x474c48544e494c50); /* "PLINTHLG" */
static const uint32_t block_magic = 0x4b424c50;                  /* "PLBK" */

enum { EPOCHS_OFFSET = 80, EPOCH_BYTES = 24 };
_Static_assert(EPOCHS_OFFSET + LOG_EPOCHS_MAX * EPOCH_BYTES <= LOG_SEGMENT_HEADER_BYTES, "the epochs fit");

/* ---- header ---- */

void log_segment_header_encode(const struct log_segment_header *header, uint8_t into[LOG_SEGMENT_HEADER_BYTES]) {
    const struct log_epoch *epoch = log_segment_epoch(header);
    memset(into, 0, LOG_SEGMENT_HEADER_BYTES);
    store_u64(into, file_magic);
    store_u32(into + 8, LOG_FORMAT_VERSION);
    memcpy(into + 16, header->id, LOG_ID_BYTES);
    store_u64(into + 32, epoch->number);
    store_u64(into + 40, epoch->base);
    store_u64(into + 48, header->first_lsn);
    store_u64(into + 56, header->previous_last_lsn);
    store_u64(into + 64, header->synced_lsn);
    store_u32(into + 72, (uint32_t)header->epoch_count);
    store_u32(into + 76, header->recycled ? LOG_SEGMENT_RECYCLED : 0);
    for (size_t i = 0; i < header->epoch_count; i++) {
        uint8_t *at = into + EPOCHS_OFFSET + i * EPOCH_BYTES;
        store_u64(at, header->epochs[i].number);
        store_u64(at + 8, header->epochs[i].base);
        store_u64(at + 16, header->epochs[i].last);
    }
    store_u32(into + 12, crc32c(0, into + 16, LOG_SEGMENT_HEADER_BYTES - 16));
}

/* The listed epochs ascend, do not overlap, and end with the file's own. */
static bool epochs_decode(const uint8_t *bytes, struct log_segment_header *header) {
    uint32_t count = load_u32(bytes + 72);
    if (count == 0 || count > LOG_EPOCHS_MAX) return false;
    header->epoch_count = count;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *at = bytes + EPOCHS_OFFSET + i * EPOCH_BYTES;
        struct log_epoch *epoch = &header->epochs[i];
        *epoch = (struct log_epoch){load_u64(at), load_u64(at + 8), load_u64(at + 16)};
        if (epoch->base == 0 || epoch->last < epoch->base - 1) return false;
        if (i > 0 && (epoch->number <= epoch[-1].number || epoch->base <= epoch[-1].last)) return false;
    }
    const struct log_epoch *own = log_segment_epoch(header);
    return own->number == load_u64(bytes + 32) && own->base == load_u64(bytes + 40) && own->last == UINT64_MAX &&
           header->first_lsn >= own->base && header->previous_last_lsn < header->first_lsn;
}

enum plinth_status log_segment_header_decode(struct slice bytes, const char *path, struct log_segment_header *header,
                                             struct plinth_error *error) {
    *header = (struct log_segment_header){0};
    if (bytes.size < LOG_SEGMENT_HEADER_BYTES) {
        return error_set(error, PLINTH_CORRUPT, "%s: log segment of %zu bytes is shorter than its header", path,
                         bytes.size);
    }
    const uint8_t *at = bytes.data;
    if (load_u64(at) != file_magic) return error_set(error, PLINTH_CORRUPT, "%s: offset 0: not a log segment", path);
    uint32_t version = load_u32(at + 8);
    if (crc32c(0, at + 16, LOG_SEGMENT_HEADER_BYTES - 16) != load_u32(at + 12)) {
        return error_set(error, PLINTH_CORRUPT, "%s: offset 0: the header's checksum does not match", path);
    }
    if (version != LOG_FORMAT_VERSION) {
        return error_set(error, PLINTH_UNSUPPORTED, "%s: log format version %u, this program knows version %d", path,
                         version, LOG_FORMAT_VERSION);
    }
    memcpy(header->id, at + 16, LOG_ID_BYTES);
    header->first_lsn = load_u64(at + 48);
    header->previous_last_lsn = load_u64(at + 56);
    header->synced_lsn = load_u64(at + 64);
    header->recycled = load_u32(at + 76) & LOG_SEGMENT_RECYCLED;
    if (epochs_decode(at, header)) return PLINTH_OK;
    return error_set(error, PLINTH_CORRUPT, "%s: offset 0: the header's epochs contradict each other", path);
}

/* ---- blocks ---- */

uint32_t log_block_seed(const uint8_t id[LOG_ID_BYTES]) { return crc32c(0, id, LOG_ID_BYTES); }

size_t log_block_finish(uint32_t seed, const struct log_block *fields, uint8_t *block, size_t body_bytes) {
    uint8_t *body = block + LOG_BLOCK_HEADER_BYTES;
    while (body_bytes % 8) body[body_bytes++] = 0;
    store_u32(block, block_magic);
    store_u32(block + 8, crc32c(seed, body, body_bytes));
    store_u32(block + 12, (uint32_t)body_bytes);
    store_u32(block + 16, fields->record_count);
    store_u32(block + 20, fields->flags);
    store_u64(block + 24, fields->first_lsn);
    store_u64(block + 32, fields->synced_lsn);
    store_u64(block + 40, fields->time_us);
    store_u64(block + 48, fields->epoch);
    store_u32(block + 4, crc32c(seed, block + 8, LOG_BLOCK_HEADER_BYTES - 8));
    return LOG_BLOCK_HEADER_BYTES + body_bytes;
}

static bool all_zero(struct slice bytes) {
    size_t i = 0;
    for (; i + 8 <= bytes.size; i += 8) {
        if (load_u64(bytes.data + i)) return false;
    }
    for (; i < bytes.size; i++) {
        if (bytes.data[i]) return false;
    }
    return true;
}

/* Good by its own checksum, and not a size or LSN that no writer makes. */
static bool block_header_parse(uint32_t seed, struct slice bytes, struct log_block *block, uint64_t *size) {
    const uint8_t *at = bytes.data;
    if (bytes.size < LOG_BLOCK_HEADER_BYTES || load_u32(at) != block_magic) return false;
    if (crc32c(seed, at + 8, LOG_BLOCK_HEADER_BYTES - 8) != load_u32(at + 4)) return false;
    uint32_t body_bytes = load_u32(at + 12);
    *block = (struct log_block){.record_count = load_u32(at + 16),
                                .flags = load_u32(at + 20),
                                .first_lsn = load_u64(at + 24),
                                .synced_lsn = load_u64(at + 32),
                                .time_us = load_u64(at + 40),
                                .epoch = load_u64(at + 48)};
    *size = LOG_BLOCK_HEADER_BYTES + (uint64_t)body_bytes;
    return body_bytes % 8 == 0 && body_bytes <= LOG_BLOCK_BODY_BYTES_MAX && block->record_count <= body_bytes &&
           block->first_lsn != 0 && block->first_lsn < UINT64_MAX - block->record_count &&
           block->synced_lsn < block->first_lsn;
}

enum log_block_state log_block_parse(uint32_t seed, struct slice bytes, struct log_block *block, uint64_t *size) {
    if (!block_header_parse(seed, bytes, block, size)) {
        size_t looked_at = bytes.size < LOG_BLOCK_HEADER_BYTES ? bytes.size : LOG_BLOCK_HEADER_BYTES;
        return all_zero(slice_of(bytes.data, looked_at)) ? LOG_BLOCK_ABSENT : LOG_BLOCK_BAD;
    }
    if (*size > bytes.size) return LOG_BLOCK_TORN;
    struct slice body = slice_of(bytes.data + LOG_BLOCK_HEADER_BYTES, *size - LOG_BLOCK_HEADER_BYTES);
    if (crc32c(seed, body.data, body.size) != load_u32(bytes.data + 8)) return LOG_BLOCK_TORN;
    block->body = body;
    return LOG_BLOCK_GOOD;
}

/* ---- scan ---- */

static void scan_marks(struct log_scan *scan, const struct log_block *block) {
    uint64_t last = block->first_lsn + block->record_count - 1; /* first_lsn is at least 1 */
    if (last > scan->seen_lsn) scan->seen_lsn = last;
    if (block->synced_lsn > scan->synced_lsn) scan->synced_lsn = block->synced_lsn;
}

/* Of this file's present life. */
static bool block_is_live(const struct log_segment_header *header, const struct log_block *block) {
    return block->epoch == log_segment_epoch(header)->number && block->first_lsn >= header->first_lsn;
}

/* Blocks in sequence; returns the flags of the last one. Says in scan->reason why it ends, unless there are zeros. */
static uint32_t scan_sequence(uint32_t seed, struct slice file, const struct log_segment_header *header,
                              log_scan_visitor *visit, void *context, struct log_scan *scan) {
    uint32_t flags = 0;
    for (;;) {
        uint64_t offset = scan->end_offset, size = 0;
        struct log_block block;
        enum log_block_state state =
            log_block_parse(seed, slice_of(file.data + offset, file.size - offset), &block, &size);
        if (state == LOG_BLOCK_ABSENT) return flags;
        if (state != LOG_BLOCK_GOOD) {
            snprintf(scan->reason, sizeof scan->reason, "%s",
                     state == LOG_BLOCK_BAD ? "no valid block header" : "the block's checksum does not match");
            return flags;
        }
        if (block.first_lsn != scan->next_lsn || !block_is_live(header, &block)) {
            snprintf(scan->reason, sizeof scan->reason, "a block of epoch %llu, LSN %llu stands here",
                     (unsigned long long)block.epoch, (unsigned long long)block.first_lsn);
            return flags;
        }
        flags = block.flags;
        if (flags & ~(uint32_t)(LOG_BLOCK_CLEAN_END | LOG_BLOCK_OPENED)) scan->unsupported = PLINTH_UNSUPPORTED;
        scan_marks(scan, &block);
        if (visit) visit(context, offset, &block);
        if (block.record_count) scan->last_lsn = block.first_lsn + block.record_count - 1;
        scan->next_lsn = block.first_lsn + block.record_count;
        scan->end_offset = offset + size;
    }
}

/* Whatever stands behind the end of the sequence counts for the marks; its header's checksum vouches for it. */
static void scan_behind(uint32_t seed, struct slice file, const struct log_segment_header *header,
                        struct log_scan *scan) {
    bool strange = false, live = false; /* bytes that are not zero; blocks of this life */
    for (uint64_t offset = scan->end_offset; offset < file.size; offset += 8) {
        struct slice rest = slice_of(file.data + offset, file.size - offset);
        if (rest.size < 8) {
            strange |= !all_zero(rest);
            break;
        }
        if (load_u64(rest.data) == 0) continue;
        strange = true;
        struct log_block block;
        uint64_t size = 0;
        if (load_u32(rest.data) == block_magic && block_header_parse(seed, rest, &block, &size) &&
            block_is_live(header, &block)) {
            scan_marks(scan, &block);
            live = true;
        }
    }
    scan->torn = header->recycled ? live || scan->reason[0] : strange;
}

void log_segment_scan(struct slice file, const struct log_segment_header *header, log_scan_visitor *visit,
                      void *context, struct log_scan *scan) {
    uint32_t seed = log_block_seed(header->id);
    *scan = (struct log_scan){.end_offset = LOG_SEGMENT_HEADER_BYTES,
                              .next_lsn = header->first_lsn,
                              .last_lsn = header->previous_last_lsn,
                              .synced_lsn = header->synced_lsn,
                              .seen_lsn = header->previous_last_lsn};
    if (file.size < LOG_SEGMENT_HEADER_BYTES) {
        scan->end_offset = file.size;
        return;
    }
    uint32_t flags = scan_sequence(seed, file, header, visit, context, scan);
    scan_behind(seed, file, header, scan);
    scan->clean = flags == LOG_BLOCK_CLEAN_END && !scan->torn;
    if (scan->torn && !scan->reason[0]) {
        snprintf(scan->reason, sizeof scan->reason, "zeros stand here, other bytes behind them");
    }
}
