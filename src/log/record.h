/* One record of the log: a compact header (DESIGN: rules of the log) and an opaque payload.
 *
 * Bytes of a record inside a block, where what the records of a block share is written once:
 *
 *   varint  size of all that follows
 *   u8      flags: bits 0-1 durability (enum record_durability)
 *                  bit 2    PRODUCER_SAME  producer as in the record before it (0 before the first)
 *                  bit 3    CHUNK          chunk numbers follow (else chunk 0 of 1)
 *                  bit 4    SCHEMA         a schema version follows (else 0)
 *                  bit 5    TIME_SAME      time as in the record before it (the block's before the first)
 *                  bit 6    EXTRA          a varint of further flags follows (else 0)
 *                  bit 7    reserved, 0
 *   u8      kind
 *   varint  zigzag(time - time before)      unless TIME_SAME
 *   u64     producer                        unless PRODUCER_SAME
 *   varint  zigzag(sequence - sequence before, wrapping)
 *   varint  chunk, varint chunk count       if CHUNK
 *   varint  schema version                  if SCHEMA
 *   varint  extra flags                     if EXTRA
 *   bytes   payload, to the end
 *
 * Kinds and extra flags mean nothing here: they are handed up as they are, so that a feature level in the engine
 * decides what it understands. The bit-7 flag would change the layout and is PLINTH_UNSUPPORTED. */
#ifndef PLINTH_LOG_RECORD_H
#define PLINTH_LOG_RECORD_H

#include <stdint.h>

#include "base/bytes.h"

enum {
    RECORD_PAYLOAD_BYTES_MAX = 1 << 20,
    RECORD_HEADER_BYTES_MAX = 64, /* everything of an encoded record but its payload */
};

/* How far a record must have come before its writer is answered. The numbers are those of enum plinth_durability. */
enum record_durability {
    RECORD_UNSPECIFIED = 0,
    RECORD_BUFFERED = 1, /* in the log's memory */
    RECORD_WRITTEN = 2,  /* handed to the operating system */
    RECORD_SYNCED = 3,   /* on the disk */
};

struct record_header {
    uint8_t kind;
    enum record_durability durability;
    uint32_t schema_version;
    uint32_t chunk; /* chunk i of n, from 0; a count of 0 is written as 1 */
    uint32_t chunk_count;
    uint32_t extra_flags;
    uint64_t time_us;  /* the appender's wall time */
    uint64_t producer; /* 0: none */
    uint64_t sequence;
};

struct record {
    uint64_t lsn;
    struct record_header header;
    struct slice payload; /* borrowed */
};

/* What a record is encoded against: the record before it in the block. Before the first: {block time, 0, 0}. */
struct record_context {
    uint64_t time_us;
    uint64_t producer;
    uint64_t sequence;
};

/* Writes the record to `into`, which has room for RECORD_HEADER_BYTES_MAX plus the parts' bytes; returns the bytes
 * used and moves `context` on. The parts together are at most RECORD_PAYLOAD_BYTES_MAX (the caller has checked). */
size_t record_encode(struct record_context *context, const struct record_header *header, const struct slice *parts,
                     int part_count, uint8_t *into);

/* Reads one record of untrusted bytes; the payload borrows from them. PLINTH_CORRUPT when they are malformed,
 * PLINTH_UNSUPPORTED for the reserved flag. Does not touch record->lsn. */
PLINTH_MUST_CHECK enum plinth_status record_decode(struct record_context *context, struct reader *reader,
                                                   struct record *record, struct plinth_error *error);

#endif
