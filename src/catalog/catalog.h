/* The catalog: tenants, databases, tables (key spaces and typed ones) and their indexes, by name and by id.
 *
 * Part of the deterministic state of a shard: it changes only when a DDL record is applied, and the same records give
 * the same catalog everywhere. A table and each of its indexes has an id of its own; ids are handed out in log order
 * and never reused, nor are those of a table's columns. Every change has the next `version` (the schema version that
 * records carry). Key spaces and typed tables of a database share one set of names.
 *
 * Each table has a schema (table/table_schema.h), immutable and reference-counted: a change makes a new one, so whoever
 * holds the one before keeps it.
 *
 * Bytes: a change is
 *   version, kind u8, tenant, database, table, name
 *   CREATE_TABLE        then columns, key count, key ids, partition column, partition us, retention us, codec u8, page
 *                       rows, flags u8 (1: adds columns)
 *   ADD_COLUMNS         then columns
 *   CREATE_TABLE_INDEX  then index kind u8, state u8, column count, column ids
 *   SET_INDEX_STATE     then state u8
 *   BUILD_INDEX         as CREATE_TABLE_INDEX, then a function u8 for each column, count and ids of included columns,
 *                       flags u8 (1: unique), id of the index that it replaces or 0
 *   REPLACE_INDEX       nothing more
 * with columns = count, then each: name, type (6 bytes, column/type.h), nullable u8. The whole catalog has for each
 * typed table what CREATE_TABLE has, with ids before the names and the next column id behind the columns; its schema
 * version stands behind. All numbers are varints where no width is said. What is said of typed tables came with feature
 * level 2; a catalog without them has the bytes that it had before. An index of the whole catalog that has what only
 * BUILD_INDEX says has 0x80 in its kind, and that behind its columns. BUILD_INDEX and REPLACE_INDEX came with level 5.
 *
 * Not locked: the engine guards it (engine/README.md, Locks). */
#ifndef PLINTH_CATALOG_CATALOG_H
#define PLINTH_CATALOG_CATALOG_H

#include "base/arena.h"
#include "base/bytes.h"
#include "column/key_encoding.h"
#include "table/table_schema.h"

enum {
    CATALOG_TENANT_DEFAULT = 1,
    CATALOG_NAME_BYTES_MAX = 128,
    CATALOG_TABLES_MAX = 4096,
    CATALOG_PAGE_ROWS_MIN = 16,
    CATALOG_PAGE_ROWS_MAX = 65536,
    CATALOG_FEATURE_LEVEL_TABLES = 2,  /* what typed tables, and drops, need */
    CATALOG_FEATURE_LEVEL_INDEXES = 5, /* what indexes that are built online need */
};
#define CATALOG_PARTITION_US_MIN (60ull * 1000 * 1000)
#define CATALOG_PARTITION_US_MAX (36525ull * 24 * 3600 * 1000 * 1000)

enum catalog_table_kind { CATALOG_SPACE = 1, CATALOG_INDEX = 2, CATALOG_ROWS = 3 };

struct catalog_database {
    uint32_t tenant;
    uint32_t id;
    char *name;
};

struct catalog_table {
    struct table_id id;
    enum catalog_table_kind kind;
    uint32_t space;      /* CATALOG_INDEX: the table it indexes (a key space or a typed one), else 0 */
    uint64_t version;    /* the catalog version that made it */
    uint32_t next_index; /* of a table: position + 1 of its newest index in the catalog's list, 0 for none;
                            CATALOG_INDEX: of the next older one */
    char *name;
    const struct table_schema *schema; /* CATALOG_SPACE and CATALOG_ROWS: one reference; else null */
};

struct catalog {
    uint64_t version;
    uint32_t next_id;
    struct catalog_database *databases;
    uint32_t database_count, database_capacity;
    struct catalog_table *tables; /* ordered by id.table, which grows; so the order is that of creation */
    uint32_t table_count, table_capacity;
};

/* One change. `version` must be catalog.version + 1, else it does not apply. */
enum catalog_change_kind {
    CATALOG_CREATE_DATABASE = 1,
    CATALOG_CREATE_SPACE = 2,
    CATALOG_CREATE_INDEX = 3, /* of a key space */
    CATALOG_CREATE_TABLE = 4,
    CATALOG_DROP_TABLE = 5, /* or key space, with all its indexes */
    CATALOG_ADD_COLUMNS = 6,
    CATALOG_CREATE_TABLE_INDEX = 7,
    CATALOG_SET_INDEX_STATE = 8,
    CATALOG_DROP_INDEX = 9,     /* of a typed table */
    CATALOG_BUILD_INDEX = 10,   /* of a typed table, online: state BUILDING from the record on */
    CATALOG_REPLACE_INDEX = 11, /* an index that was built for it takes the name of another one, which is dropped */
    CATALOG_CHANGE_KIND_COUNT
};

/* A column as a change brings it; it gets the table's next column id. */
struct catalog_column {
    struct slice name;
    struct column_type type;
    bool nullable;
};

struct catalog_change {
    uint64_t version;
    enum catalog_change_kind kind;
    uint32_t tenant;
    uint32_t database; /* all but CREATE_DATABASE */
    uint32_t space;    /* the table (or key space) that is changed; SET_INDEX_STATE, DROP_INDEX, REPLACE_INDEX: the
                          index */
    struct slice name; /* of what is made; else empty */
    const struct catalog_column *columns; /* CREATE_TABLE, ADD_COLUMNS */
    uint32_t column_count;
    /* CREATE_TABLE; a column's id is its place in `columns`, from 1 */
    uint32_t key[ROW_KEY_PARTS_MAX];
    uint32_t key_count;
    uint32_t partition_column; /* id; 0: none */
    uint64_t partition_us;
    uint64_t retention_us;
    enum table_codec codec;
    uint32_t page_rows;
    bool adds_columns;
    /* CREATE_TABLE_INDEX (the columns' ids in `key`), SET_INDEX_STATE */
    enum index_kind index_kind;
    enum index_state index_state;
    /* BUILD_INDEX, besides what CREATE_TABLE_INDEX has; as in struct table_index */
    uint8_t functions[ROW_KEY_PARTS_MAX];
    uint32_t included[INDEX_INCLUDED_MAX];
    uint32_t included_count;
    bool unique;
    uint32_t replaces;
};

/* The feature level that a change of this kind needs. */
uint32_t catalog_change_level(enum catalog_change_kind kind);
/* Whether the change takes something away. */
bool catalog_change_drops(enum catalog_change_kind kind);

/* Names of enum index_kind, index_state and table_codec, as people write them; "?" for others. */
const char *index_kind_name(enum index_kind kind);
const char *index_state_name(enum index_state state);
const char *table_codec_name(enum table_codec codec);

/* The catalog that every log starts from: version 1, tenant 1, database "default" and key space "default". */
PLINTH_MUST_CHECK enum plinth_status catalog_init(struct catalog *catalog, struct plinth_error *error);
void catalog_deinit(struct catalog *catalog);

/* PLINTH_INVALID_ARGUMENT, naming `what` and the offending byte, unless 1 to 128 bytes of [A-Za-z0-9_.-]. */
PLINTH_MUST_CHECK enum plinth_status catalog_check_name(const char *what, struct slice name,
                                                        struct plinth_error *error);
/* Names of columns are 1 to 128 bytes of UTF-8 without control characters that do not begin with an underscore. */
PLINTH_MUST_CHECK enum plinth_status catalog_check_column_name(struct slice name, struct plinth_error *error);

/* Null when there is none. Valid until the next change. */
const struct catalog_database *catalog_find_database(const struct catalog *catalog, uint32_t tenant, struct slice name);
const struct catalog_database *catalog_database_by_id(const struct catalog *catalog, uint32_t id);
const struct catalog_table *catalog_find_space(const struct catalog *catalog, uint32_t database, struct slice name);
/* A key space or typed table. */
const struct catalog_table *catalog_find_table(const struct catalog *catalog, uint32_t database, struct slice name);
const struct catalog_table *catalog_find_index(const struct catalog *catalog, uint32_t space, struct slice name);
const struct catalog_table *catalog_table_by_id(const struct catalog *catalog, uint32_t table);

/* Whether `change` would apply: PLINTH_OK; PLINTH_CONFLICT (another version came first; or a column exists with another
 * type); PLINTH_ALREADY_EXISTS; PLINTH_NOT_FOUND (its database, table, index or column); PLINTH_INVALID_ARGUMENT (a
 * name, or a rule of tables and indexes: the text names column and rule); PLINTH_RESOURCE_EXHAUSTED (too many). */
PLINTH_MUST_CHECK enum plinth_status catalog_check(const struct catalog *catalog, const struct catalog_change *change,
                                                   struct plinth_error *error);
/* Applies a change that catalog_check accepts; others leave the catalog as it is and return why. Only memory can fail
 * besides. */
PLINTH_MUST_CHECK enum plinth_status catalog_apply(struct catalog *catalog, const struct catalog_change *change,
                                                   struct plinth_error *error);

PLINTH_MUST_CHECK bool catalog_change_encode(struct buffer *into, const struct catalog_change *change);
/* Names are borrowed from what is read, `columns` lie in `arena`; false on malformed bytes or memory out. */
PLINTH_MUST_CHECK bool catalog_change_decode(struct reader *from, struct arena *arena, struct catalog_change *change);

/* The whole catalog, for checkpoints. Decode is defensive and expects an uninitialised catalog. */
PLINTH_MUST_CHECK bool catalog_encode(struct buffer *into, const struct catalog *catalog);
PLINTH_MUST_CHECK enum plinth_status catalog_decode(struct reader *from, struct catalog *catalog,
                                                    struct plinth_error *error);

#endif
