/* The pages of a column chunk as they lie in the file, one behind the other: what they say of themselves, without
 * decoding them. For tools that show or check files; rows are read by reader.h.
 *
 *     parquet_page_walk_init → parquet_page_walk_next* → parquet_page_walk_deinit */
#ifndef PLINTH_PARQUET_PAGE_WALK_H
#define PLINTH_PARQUET_PAGE_WALK_H

#include "parquet/reader.h"

/* As the format numbers them. */
enum parquet_page_kind {
    PARQUET_PAGE_KIND_DATA = 0,
    PARQUET_PAGE_KIND_INDEX = 1,
    PARQUET_PAGE_KIND_DICTIONARY = 2,
    PARQUET_PAGE_KIND_DATA_V2 = 3,
};

struct parquet_page_info {
    uint64_t offset; /* of the header in the file */
    uint32_t header_bytes;
    uint32_t compressed_bytes, uncompressed_bytes; /* of the body */
    enum parquet_page_kind kind;
    enum parquet_encoding encoding;
    uint32_t value_count;           /* slots, nulls included; entries of a dictionary */
    uint32_t row_count, null_count; /* DATA_V2 */
    bool has_crc;
    uint32_t crc; /* as the header says */
    bool crc_is_right;
};

struct parquet_page_walk {
    const struct parquet_reader *reader;
    const struct parquet_column_chunk *chunk;
    uint64_t begin, at; /* the next page */
    uint64_t end;       /* where the chunk says that it ends */
    uint64_t end_max;   /* where it may end at most */
    uint64_t values;    /* of the data pages so far */
    struct buffer bytes;
};

/* PLINTH_CORRUPT: the chunk does not lie in the file; PLINTH_UNSUPPORTED: it is encrypted. */
PLINTH_MUST_CHECK enum plinth_status parquet_page_walk_init(struct parquet_page_walk *walk,
                                                            const struct parquet_reader *reader, uint32_t row_group,
                                                            uint32_t column, struct plinth_error *error);
void parquet_page_walk_deinit(struct parquet_page_walk *walk);
/* The next page; `*found` is false behind the last one. */
PLINTH_MUST_CHECK enum plinth_status parquet_page_walk_next(struct parquet_page_walk *walk,
                                                            struct parquet_page_info *page, bool *found,
                                                            struct plinth_error *error);
/* "data", "index", "dictionary", "data v2"; "?" when unknown. */
const char *parquet_page_kind_name(enum parquet_page_kind kind);

#endif
