/* The format of one file of the local log, without I/O: functions over bytes.
 *
 * A file "<first LSN, 20 digits>.log" is a header of 4,096 bytes and then blocks, one behind the other, each 8-byte
 * aligned; what follows the last one is zeros (space reserved ahead) or the end of the file. In a recycled file, one
 * that held an older part of the same log before, at least LOG_BLOCK_HEADER_BYTES of zeros follow (or the end), and
 * then whatever its former life has left. Little-endian.
 *
 *   header                                   block
 *    0 u64    magic "PLINTHLG"                0 u32  magic "PLBK"
 *    8 u32    format version                  4 u32  CRC-32C of bytes 8 to 56, begun with that of the log id
 *   12 u32    CRC-32C of bytes 16 to 4096     8 u32  CRC-32C of the body, begun with that of the log id
 *   16 byte16 log id                         12 u32  bytes of the body, a multiple of 8
 *   32 u64    epoch number                   16 u32  records
 *   40 u64    base of the epoch              20 u32  flags (enum log_block_flags)
 *   48 u64    first LSN of this file         24 u64  LSN of the first record (of the next one, without records)
 *   56 u64    last LSN before this file      32 u64  LSN that was synced when this was written
 *   64 u64    LSN synced at creation         40 u64  time, in microseconds since 1970
 *   72 u32    number of epochs listed        48 u64  epoch number
 *   76 u32    flags a reader may pass over   56      body: records as in record.h, then at most 7 zero bytes
 *   80 ...    epochs: number, base, last (u64 each), oldest first; the last one listed is this file's
 *
 * The header's checksum is laid out the same in every version, so that a newer version is told from damage. The CRCs
 * of blocks begin with the log id, so that no payload and no stale disk block passes for a block of this log.
 *
 * LSNs are never given out twice, and a file is recycled when its records lie before those of the file that is being
 * written. So every block of a former life begins below the first LSN of the file it stands in, and every block of its
 * present life does not: that tells them apart, also behind a tear. A program that does not know of recycled files
 * takes what they leave for a torn tail, cuts it off and begins a new epoch, which loses nothing. */
#ifndef PLINTH_LOG_LOG_SEGMENT_H
#define PLINTH_LOG_LOG_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "log/log.h"

enum {
    LOG_FORMAT_VERSION = 1,
    LOG_SEGMENT_HEADER_BYTES = 4096,
    LOG_BLOCK_HEADER_BYTES = 56,
    LOG_BLOCK_BODY_BYTES_MAX = 16 << 20,
};

struct log_segment_header {
    uint8_t id[LOG_ID_BYTES];
    uint64_t first_lsn;
    uint64_t previous_last_lsn; /* of the record before this file, over all epochs; 0 when there is none */
    uint64_t synced_lsn;
    bool recycled;
    size_t epoch_count; /* 1 to LOG_EPOCHS_MAX */
    struct log_epoch epochs[LOG_EPOCHS_MAX];
};

static inline const struct log_epoch *log_segment_epoch(const struct log_segment_header *header) {
    return &header->epochs[header->epoch_count - 1];
}

void log_segment_header_encode(const struct log_segment_header *header, uint8_t into[LOG_SEGMENT_HEADER_BYTES]);
/* `bytes` is the start of the file, as far as there is one. PLINTH_CORRUPT, or PLINTH_UNSUPPORTED naming both
 * versions; the text begins with `path`. */
PLINTH_MUST_CHECK enum plinth_status log_segment_header_decode(struct slice bytes, const char *path,
                                                               struct log_segment_header *header,
                                                               struct plinth_error *error);

enum log_segment_flags {
    LOG_SEGMENT_RECYCLED = 1, /* bytes of a former life may stand behind the zeros that follow the last block */
};

enum log_block_flags {
    LOG_BLOCK_CLEAN_END = 1, /* no records: the log was closed in order here */
    LOG_BLOCK_OPENED = 2,    /* no records: and opened again, so that LSNs may have been handed out since */
};

struct log_block {
    uint64_t epoch;
    uint64_t first_lsn;
    uint64_t synced_lsn;
    uint64_t time_us;
    uint32_t record_count;
    uint32_t flags;
    struct slice body; /* borrowed */
};

/* What every CRC of a log's blocks begins with. */
uint32_t log_block_seed(const uint8_t id[LOG_ID_BYTES]);
/* Completes a block whose body stands at block + LOG_BLOCK_HEADER_BYTES: pads it to 8 bytes (there is room for 7
 * more), writes the header, and returns the size of it all. `fields->body` is ignored. */
size_t log_block_finish(uint32_t seed, const struct log_block *fields, uint8_t *block, size_t body_bytes);

enum log_block_state {
    LOG_BLOCK_GOOD,
    LOG_BLOCK_TORN,   /* the header is good, the body is not, or not all there */
    LOG_BLOCK_BAD,    /* no block, and not zeros */
    LOG_BLOCK_ABSENT, /* zeros, or the end */
};
/* Looks at the block at the start of untrusted `bytes`. Fills `block` when it is GOOD or TORN (then the body is
 * empty), and `*size` with its size including the header. */
enum log_block_state log_block_parse(uint32_t seed, struct slice bytes, struct log_block *block, uint64_t *size);

/* Where the blocks of a file end and why. */
struct log_scan {
    uint64_t end_offset; /* behind the last good block in sequence */
    uint64_t next_lsn;   /* what a block there would begin with */
    uint64_t last_lsn;   /* of the last record before it; the header's previous_last_lsn when there is none */
    uint64_t synced_lsn; /* the highest in any good block header, also behind the end */
    uint64_t seen_lsn;   /* the highest record in any good block header, also behind the end */
    bool clean;          /* the last good block is a clean end and nothing follows */
    bool torn;           /* something that is not zero follows; in a recycled file: at once, or a block of this life */
    enum plinth_status unsupported; /* PLINTH_UNSUPPORTED when a good block has flags of a newer version */
    char reason[120];               /* what is wrong at end_offset, when torn */
};
/* Called for every good block in sequence. */
typedef void log_scan_visitor(void *context, uint64_t offset, const struct log_block *block);
/* Scans a whole file: blocks in sequence from the header on, then, for the highest LSNs, every block behind. `visit`
 * may be null. */
void log_segment_scan(struct slice file, const struct log_segment_header *header, log_scan_visitor *visit,
                      void *context, struct log_scan *scan);

#endif
