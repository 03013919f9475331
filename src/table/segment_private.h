/* What the files segment*.c and stripe*.c share: the columns, and an open segment's memory. */
#ifndef PLINTH_TABLE_SEGMENT_PRIVATE_H
#define PLINTH_TABLE_SEGMENT_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "parquet/bloom.h"
#include "parquet/page_index.h"
#include "parquet/reader.h"
#include "table/segment.h"

enum segment_column {
    SEGMENT_KEY,
    SEGMENT_VALUE,
    SEGMENT_INDEXES,
    SEGMENT_LSN,
    SEGMENT_OPERATION,
    SEGMENT_COLUMNS,
};

extern const char *const segment_column_names[SEGMENT_COLUMNS];

#define SEGMENT_FORMAT "1"
#define SEGMENT_FORMAT_ENTRIES "2" /* of entries as columns (row_segment_entries.h) */

/* Key-value metadata of the file; numbers are decimal. */
#define SEGMENT_META_FORMAT "plinth.format"
#define SEGMENT_META_TENANT "plinth.tenant"
#define SEGMENT_META_DATABASE "plinth.database"
#define SEGMENT_META_TABLE "plinth.table"
#define SEGMENT_META_LSN_MIN "plinth.lsn_min"
#define SEGMENT_META_LSN_MAX "plinth.lsn_max"
#define SEGMENT_META_DELETES "plinth.rows_deleted"
#define SEGMENT_META_SUPERSEDED "plinth.rows_superseded"
/* Of sorted indexes: its name, and the parts of its keys (row_key.h), a line "type name" each. */
#define SEGMENT_META_INDEX "plinth.index"
#define SEGMENT_META_INDEX_PARTS "plinth.index_parts"
#define SEGMENT_META_KEY_PARTS "plinth.key_parts"
/* Of those with columns instead: the ids of the index's. */
#define SEGMENT_META_INDEX_KEY "plinth.index_key"
#define SEGMENT_META_INDEX_INCLUDED "plinth.index_included" /* how many of them, the last ones, are only included */
#define SEGMENT_KIND_INDEX "index"

/* Of typed tables (row_segment.h) only. */
#define SEGMENT_META_KIND "plinth.kind"
#define SEGMENT_META_SCHEMA_VERSION "plinth.schema_version"
#define SEGMENT_META_KEY "plinth.key"
#define SEGMENT_META_TYPES "plinth.types"
#define SEGMENT_META_NO_NAN "plinth.no_nan"
#define SEGMENT_META_PARTITION "plinth.partition"
#define SEGMENT_META_STRIPE_INDEX "plinth.stripe_index"
#define SEGMENT_META_POSTINGS "plinth.postings."
#define SEGMENT_KIND_ROWS "rows"

/* What the page index says of a stripe's pages, so that some need not be read. */
enum stripe_flags {
    STRIPE_CONTINUES = 1,          /* its first key is the last key of the stripe before */
    STRIPE_LSN_CONSTANT = 2,       /* all rows have stripe_lsns[stripe] */
    STRIPE_OPERATION_CONSTANT = 4, /* all rows have the operation in the bits above STRIPE_OPERATION_SHIFT */
    STRIPE_NO_INDEXES = 8,         /* _index is null in all rows */
    STRIPE_OPERATION_SHIFT = 6,
};

struct page_place {
    uint64_t offset;
    uint32_t bytes;
};

/* A row group. */
struct segment_group {
    uint32_t first_stripe;
    uint32_t stripe_count;
    struct parquet_bloom bloom;
    bool has_bloom;
    struct page_place *places[SEGMENT_COLUMNS]; /* by stripe of the group; null: the column is not in the file */
};

/* The stripe index: for stripe i its first key, in three forms. All first keys share their first `common` bytes;
 * prefixes[i] is key_prefix of what follows them, so that one array of numbers decides nearly every search. */
struct stripe_index {
    uint32_t count;
    uint32_t common;
    uint64_t *prefixes;
    uint32_t *key_offsets; /* count + 1 */
    uint8_t *keys;         /* whole keys, back to back */
    uint64_t *lsns;        /* with STRIPE_LSN_CONSTANT */
    uint32_t *groups;
    uint32_t *first_rows; /* in the row group */
    uint32_t *rows;
    uint8_t *flags;
};

struct row_segment; /* row_segment_private.h */

struct segment {
    atomic_uint references;
    uint64_t id; /* in the page cache */
    struct page_cache *cache;
    struct store *store;
    struct segment_info info;   /* only segment_open changes it */
    pthread_mutex_t load_mutex; /* held while the file is read for what follows */
    atomic_bool is_loaded;
    struct store_object *object;
    struct parquet_source source;
    struct parquet_reader *reader;
    bool has_column[SEGMENT_COLUMNS];
    uint32_t leaf[SEGMENT_COLUMNS];
    struct row_segment *rows; /* null: a segment of a key space or of its index, or of entries as keys */
    uint32_t group_count;
    struct segment_group *groups;
    struct stripe_index stripes;
    struct arena arena; /* groups, places and the stripe index */
};

/* acquire, with the release of whoever loaded it */
static inline bool segment_is_loaded(const struct segment *segment) {
    return atomic_load_explicit(&segment->is_loaded, memory_order_acquire);
}

static inline struct slice stripe_first_key(const struct stripe_index *index, uint32_t stripe) {
    uint32_t begin = index->key_offsets[stripe];
    return slice_of(index->keys + begin, index->key_offsets[stripe + 1] - begin);
}

/* How many stripes begin with a key not above `key`; the last of them holds the last version of `key` not behind the
 * end of the stripe, if there is any. */
uint32_t stripe_index_count_not_above(const struct stripe_index *index, struct slice key);

/* The range of stripes in which versions of `key` can be: [*first, *last]; false when there are none (the key lies
 * before the segment's first). */
bool stripe_index_range(const struct stripe_index *index, struct slice key, uint32_t *first, uint32_t *last);

/* The stripe in which the search for (key, lsn) begins: the first row at or behind it stands there or first in the next
 * one. The segment's first stripe when the key lies before it. */
PLINTH_MUST_CHECK enum plinth_status segment_find_stripe(struct segment *segment, struct slice key, uint64_t lsn,
                                                         uint32_t *stripe, struct plinth_error *error);

/* Puts the object's name in front of the error's text; returns the status, or PLINTH_CORRUPT for one that a whole file
 * would not give. */
enum plinth_status segment_error(const struct segment *segment, enum plinth_status status, struct plinth_error *error);

/* Builds groups and stripe index from the footer and the page indexes; memory from segment->arena. */
PLINTH_MUST_CHECK enum plinth_status segment_load_index(struct segment *segment, struct plinth_error *error);

/* What follows the bytes that all first keys share, as numbers; the arrays of first keys are there. */
PLINTH_MUST_CHECK enum plinth_status segment_finish_index(struct segment *segment, struct plinth_error *error);
/* The manifest's bounds must be the file's, when it has some; else they are taken from the file. */
PLINTH_MUST_CHECK enum plinth_status segment_check_bounds(struct segment *segment, struct slice last_key,
                                                          struct plinth_error *error);
/* Sets the flags of a stripe from the bounds of its page of `column`. */
void stripe_index_note_bounds(uint8_t *flags, uint64_t *lsn, enum segment_column column,
                              const struct parquet_page_bounds *bounds);
/* A decimal number of at most 64 bits. */
PLINTH_MUST_CHECK bool segment_parse_number(struct slice text, uint64_t *number);

/* Whether metadata says that the file is a typed table's, */
bool segment_info_kind_is_rows(const struct parquet_metadata *metadata);
/* or one of an index's entries as columns. */
bool segment_info_kind_is_entries(const struct parquet_metadata *metadata);
/* Sets has_partition and partition from the metadata. */
PLINTH_MUST_CHECK enum plinth_status segment_info_partition(const struct parquet_metadata *metadata,
                                                            struct segment_info *info, struct plinth_error *error);

/* Computes the checksum of footer, page indexes and bloom filters, and compares it with info.index_crc (or sets that).
 */
PLINTH_MUST_CHECK enum plinth_status segment_check_indexes(struct segment *segment, struct plinth_error *error);

#endif
