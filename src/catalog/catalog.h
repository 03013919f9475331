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
 *                       rows, flags u8 (1: adds columns; 4: rows expire, from feature level 5 on: then id of the
 *                       column, us)
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
 *   ALTER_TABLE         then schema version that it starts from, horizon LSN, count, each alteration: kind u8, column
 * id, then   ADD_COLUMN name, type, nullable u8, value | DROP_COLUMN cascade u8 | RENAME_COLUMN name | WIDEN_COLUMN
 * type | SET_DEFAULT type, value | RENAME_TABLE name | SET_OPTIONS which u8, codec u8, page rows, retention us, adds
 * columns u8, and if `which` has EXPIRY, id of the column (0: rows do not expire), us; with value = 0, or 1 and the
 * value (column_encode, one row). From feature level 5 on; then a table's flags in the whole catalog may have 2: behind
 * its schema version stand the columns with defaults (count; each: id, initial value, write value) and what it was
 * before (count; each: until LSN, a table's schema as above).
 *
 * What a table was before its alterations is kept until no reader can ask for it (struct catalog_past), so that old
 * states are read by the schema that they had.
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
    CATALOG_FEATURE_LEVEL_ALTER = 5,   /* what ALTER_TABLE needs */
    CATALOG_FEATURE_LEVEL_EXPIRY = 5,  /* what tables need whose rows expire */
    CATALOG_PASTS_MAX = 256,           /* of one table */
    CATALOG_ALTERATIONS_MAX = 2048,    /* of one change */
    CATALOG_DEFAULT_BYTES_MAX = 4096,  /* as column_encoded_bytes counts */
};
#define CATALOG_PARTITION_US_MIN (60ull * 1000 * 1000)
#define CATALOG_PARTITION_US_MAX (36525ull * 24 * 3600 * 1000 * 1000)
#define CATALOG_EXPIRE_US_MAX CATALOG_PARTITION_US_MAX

enum catalog_table_kind { CATALOG_SPACE = 1, CATALOG_INDEX = 2, CATALOG_ROWS = 3 };

struct catalog_database {
    uint32_t tenant;
    uint32_t id;
    char *name;
};

/* What a table was, up to and without the record that altered it. */
struct catalog_past {
    uint64_t until_lsn;
    const struct table_schema *schema; /* one reference; its indexes do not count */
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
    struct catalog_past *pasts;        /* oldest first */
    uint32_t past_count;
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
    CATALOG_ALTER_TABLE = 20,   /* of a typed table */
    CATALOG_CHANGE_KIND_COUNT
};

/* A column as a change brings it; it gets the table's next column id. */
struct catalog_column {
    struct slice name;
    struct column_type type;
    bool nullable;
};

/* One step of ALTER_TABLE. Columns that an earlier step adds have ids already. */
enum catalog_alteration_kind {
    CATALOG_ALTER_ADD_COLUMN = 1,
    CATALOG_ALTER_DROP_COLUMN = 2,
    CATALOG_ALTER_RENAME_COLUMN = 3,
    CATALOG_ALTER_WIDEN_COLUMN = 4,
    CATALOG_ALTER_DROP_NOT_NULL = 5,
    CATALOG_ALTER_SET_DEFAULT = 6,
    CATALOG_ALTER_RENAME_TABLE = 7,
    CATALOG_ALTER_SET_OPTIONS = 8,
};
enum catalog_option {
    CATALOG_OPTION_CODEC = 1,
    CATALOG_OPTION_PAGE_ROWS = 2,
    CATALOG_OPTION_RETENTION = 4,
    CATALOG_OPTION_ADDS_COLUMNS = 8,
    CATALOG_OPTION_EXPIRY = 16,
};

struct catalog_alteration {
    enum catalog_alteration_kind kind;
    uint32_t column;             /* id; all but ADD_COLUMN, RENAME_TABLE, SET_OPTIONS */
    struct catalog_column added; /* ADD_COLUMN */
    struct slice name;           /* RENAME_* */
    struct column_type type;     /* WIDEN_COLUMN */
    bool cascade;                /* DROP_COLUMN: with the indexes that name it */
    const struct column *value;  /* ADD_COLUMN, SET_DEFAULT: one row, not null; null: no default */
    unsigned options;            /* SET_OPTIONS: which of these (enum catalog_option) */
    enum table_codec codec;
    uint32_t page_rows;
    uint64_t retention_us;
    bool adds_columns;
    uint32_t expire_column; /* 0: rows do not expire */
    uint64_t expire_us;
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
    uint32_t expire_column; /* id; 0: rows do not expire */
    uint64_t expire_us;
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
    /* ALTER_TABLE: all steps or none */
    const struct catalog_alteration *alterations;
    uint32_t alteration_count;
    uint64_t schema_version; /* of the table that the steps begin with */
    uint64_t horizon_lsn;    /* no reader needs a state below: pasts up to here are forgotten, those of all tables */
    uint64_t lsn;            /* of the record, for whoever applies it; not encoded */
};
/* Whether changes of this kind are known. */
bool catalog_change_is_known(enum catalog_change_kind kind);

/* The feature level that a change needs. */
uint32_t catalog_change_level(const struct catalog_change *change);
/* Whether rows of some table expire that did not before. */
bool catalog_change_expires(const struct catalog_change *change);
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

/* The schema of a typed table as the state at `lsn` has it: columns and names of that time, with the types that they
 * have now or had last, and such of the present indexes as are on them. Referenced; null when memory is out. */
const struct table_schema *catalog_schema_at(const struct catalog_table *table, uint64_t lsn);
/* What segments are to hold when nobody reads a state below `horizon_lsn`: the present columns, and under other names
 * those that were dropped above it. Rows expire in it only when they do so, and alike, in all these states. Referenced;
 * null when memory is out. */
const struct table_schema *catalog_schema_stored(const struct catalog_table *table, uint64_t horizon_lsn);
/* One step, on a schema that is not shared and has room for a column more. The text says what is wrong; the schema is
 * then not to be used any more. */
PLINTH_MUST_CHECK enum plinth_status catalog_alter_schema(struct table_schema *schema,
                                                          const struct catalog_alteration *alteration,
                                                          struct plinth_error *error);

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
