/* The schema of a table: what its rows, keys and indexes are. Immutable and reference-counted, so that a write, scan or
 * merge keeps the one it began with; the catalog makes a new one with every change (catalog/catalog.h).
 *
 * Columns have ids that are never reused within their table: what is stored refers to columns by id, so adding and
 * renaming columns is metadata only. A key space has the fixed schema (key BYTES primary key, value BYTES). */
#ifndef PLINTH_TABLE_TABLE_SCHEMA_H
#define PLINTH_TABLE_TABLE_SCHEMA_H

#include <stdatomic.h>

#include "column/batch.h"
#include "column/column_function.h"
#include "column/key_encoding.h"
#include "column/row_key.h"
#include "column/type.h"

enum { TABLE_COLUMNS_MAX = 1600, TABLE_INDEXES_MAX = 64, TABLE_NAME_BYTES_MAX = 128, INDEX_INCLUDED_MAX = 16 };

enum table_kind {
    TABLE_SPACE = 1, /* keys and values; rows come from sets (row.h) */
    TABLE_ROWS = 2,  /* typed columns; rows come as batches (row_block.h) */
};

enum table_codec { TABLE_CODEC_DEFAULT = 0, TABLE_CODEC_LZ4 = 1, TABLE_CODEC_ZSTD = 2, TABLE_CODEC_NONE = 3 };

struct table_column {
    uint32_t id; /* from 1 */
    struct column_type type;
    bool nullable;
    const char *name;
    /* A value each, not null, of the column's type; null for none. */
    const struct column *initial_default; /* what rows have that were written before the column was; never changes */
    const struct column *write_default;   /* what rows get that are written without the column */
};

enum index_kind {
    INDEX_SPACE = 1,  /* of a key space: values come with each set */
    INDEX_SORTED = 2, /* entries (values…, primary key) in a table of their own: equality, ranges, order */
    INDEX_BLOOM = 3,  /* a bloom filter of the column in every segment: equality prunes segments and row groups */
    INDEX_BITMAP = 4, /* value -> rows, a compressed bitmap in every segment: equality on few distinct values */
    INDEX_TOKEN = 5,  /* word -> rows, likewise: PREDICATE_WORDS */
};
/* BUILDING: entries of what is written are made, those of older rows are being added; no reader uses it. */
enum index_state { INDEX_BUILDING = 1, INDEX_READY = 2, INDEX_DROPPING = 3 };

struct table_index {
    struct table_id id; /* of its own table (where INDEX_SORTED keeps its entries), and its identity for all kinds */
    enum index_kind kind;
    enum index_state state;
    uint32_t columns[ROW_KEY_PARTS_MAX]; /* ids; one for all kinds but INDEX_SORTED */
    uint32_t column_count;
    uint8_t functions[ROW_KEY_PARTS_MAX];  /* enum column_function, by part; only of INDEX_SORTED */
    uint32_t included[INDEX_INCLUDED_MAX]; /* ids of columns whose values stand in the entries, too, as further parts */
    uint32_t included_count;
    bool unique;
    uint32_t replaces; /* BUILDING: the index (id.table) whose name it takes when it is ready; 0: none */
    const char *name;
};

struct table_schema {
    atomic_uint references;
    struct table_id id;
    enum table_kind kind;
    uint64_t version; /* the catalog version of its last change */
    const char *name;
    struct table_column *columns; /* in the order of their definition */
    uint32_t column_count;
    uint32_t next_column_id;
    uint32_t key[ROW_KEY_PARTS_MAX]; /* ids of the primary key's columns; */
    uint32_t key_count;              /* 0: no key, every row is kept in arrival order */
    uint32_t partition_column;       /* id of a DATE or TIMESTAMP column that is part of the key (or any NOT NULL one
                                        when there is no key); 0: not partitioned */
    uint64_t partition_us;           /* length of a partition; partition i is [i, i + 1) * partition_us since 1970 */
    uint64_t retention_us;           /* partitions whose end is older than shard time - this are dropped; 0: never */
    uint32_t expire_column; /* id of a DATE or TIMESTAMP column: a row is there until this long after its value */
    uint64_t expire_us;     /* (expired_rows.h), for ever where that is null; 0: rows do not expire */
    enum table_codec codec;
    uint32_t page_rows; /* rows a stripe; 0: the default, 1,024 */
    bool adds_columns;  /* writes may bring new columns */
    struct table_index *indexes;
    uint32_t index_count;
    struct arena *memory; /* what the pointers point into */
};

/* A schema without columns, with one reference, version 0 and room for this many columns and indexes; null when memory
 * is out. Not shared yet: the functions below fill it. */
struct table_schema *table_schema_create(struct table_id id, enum table_kind kind, struct slice name,
                                         uint32_t columns_max, uint32_t indexes_max);
/* The schema of a key space: key BYTES (id 1, primary key), value BYTES (id 2). */
struct table_schema *table_schema_create_space(struct table_id id, struct slice name, uint32_t indexes_max);
/* Append a column with the next id, or a copy of an index (`name` instead of its own); there must be room. False when
 * memory is out. */
PLINTH_MUST_CHECK bool table_schema_add_column(struct table_schema *schema, struct slice name, struct column_type type,
                                               bool nullable);
PLINTH_MUST_CHECK bool table_schema_add_index(struct table_schema *schema, const struct table_index *index,
                                              struct slice name);
/* Give columns[at] copies of these values (of one row each; null: none) as its defaults. False when memory is out. */
PLINTH_MUST_CHECK bool table_schema_set_defaults(struct table_schema *schema, uint32_t at, const struct column *initial,
                                                 const struct column *write);

struct table_schema *table_schema_ref(const struct table_schema *schema);
/* Null is allowed. */
void table_schema_unref(const struct table_schema *schema);
/* A deep copy with one reference, as a start for a changed one; null when memory is out. `extra_columns` and
 * `extra_indexes` is the room behind what it has. */
struct table_schema *table_schema_copy(const struct table_schema *from, uint32_t extra_columns, uint32_t extra_indexes);

/* Index in schema->columns, or -1. */
int32_t table_schema_find(const struct table_schema *schema, struct slice name);
int32_t table_schema_find_id(const struct table_schema *schema, uint32_t column_id);
const struct table_index *table_schema_find_index(const struct table_schema *schema, struct slice name);
const struct table_index *table_schema_find_index_id(const struct table_schema *schema, uint32_t index_table);
/* Entries begin with the index's parts, which are what it is sorted by, and the values of its included columns, as
 * further parts: all together these many, at most ROW_KEY_PARTS_MAX. The primary key is behind them. */
static inline uint32_t table_index_entry_parts(const struct table_index *index) {
    return index->column_count + index->included_count;
}
/* The id of the column that a part of an entry is of. */
static inline uint32_t table_index_part_column(const struct table_index *index, uint32_t part) {
    return part < index->column_count ? index->columns[part] : index->included[part - index->column_count];
}
/* What a part of an entry is: the type that it is encoded by; and the id of its column in the index's segments, which
 * is the column's own or, of a function of it, INDEX_PART_ID and behind. Floating-point numbers that are included are
 * encoded as integers of their bits, for keys do not tell all of them apart. */
enum { INDEX_PART_ID = 0x700000 };
struct column_type table_index_part_type(const struct table_schema *schema, const struct table_index *index,
                                         uint32_t part);
uint32_t table_index_part_id(const struct table_index *index, uint32_t part);
/* The part that is the elements of a list, of which a row has any number of entries; -1: each row has one. */
int32_t table_index_elements(const struct table_index *index);
/* The type that included columns of this one are encoded by. */
struct column_type table_included_type(struct column_type type);
/* The columns that entries are made of: distinct ids, ascending. Gives their number. */
uint32_t table_index_columns(const struct table_index *index, uint32_t ids[ROW_KEY_PARTS_MAX]);
/* Whether each row has exactly one entry. */
static inline bool table_index_has_one_entry_a_row(const struct table_index *index) {
    return table_index_elements(index) < 0;
}
bool table_schema_is_key(const struct table_schema *schema, uint32_t column_id);

/* ---- what is stored of a column, as the schema has it ---- */

/* What rows have of which nothing is stored: the initial default, else nulls. False when memory is out. */
PLINTH_MUST_CHECK bool table_column_absent(struct arena *arena, const struct table_column *column, uint32_t rows,
                                           struct column *out);
/* A column that was stored before its type became wider, as a column of the present type; memory is shared where the
 * types are equal. PLINTH_CORRUPT, naming both, for a type that the column never had. */
PLINTH_MUST_CHECK enum plinth_status table_column_widen(struct arena *arena, const struct table_column *column,
                                                        const struct column *stored, uint32_t rows, struct column *out,
                                                        struct plinth_error *error);

#endif
