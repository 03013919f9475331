/* The catalog: tenants, databases, key spaces and their indexes, by name and by id.
 *
 * Part of the deterministic state of a shard: it changes only when a DDL record is applied, and the same records give
 * the same catalog everywhere. A key space and each of its indexes is a table with an id of its own; ids are handed out
 * in log order and never reused. Every change has the next `version` (the schema version that records carry).
 *
 * Not locked: the engine guards it (engine/README.md, Locks). */
#ifndef PLINTH_CATALOG_CATALOG_H
#define PLINTH_CATALOG_CATALOG_H

#include "base/bytes.h"
#include "column/key_encoding.h"

enum { CATALOG_TENANT_DEFAULT = 1, CATALOG_NAME_BYTES_MAX = 128, CATALOG_TABLES_MAX = 4096 };

enum catalog_table_kind { CATALOG_SPACE = 1, CATALOG_INDEX = 2 };

struct catalog_database {
    uint32_t tenant;
    uint32_t id;
    char *name;
};

struct catalog_table {
    struct table_id id;
    enum catalog_table_kind kind;
    uint32_t space;      /* CATALOG_INDEX: the table it indexes, else 0 */
    uint64_t version;    /* the catalog version that made it */
    uint32_t next_index; /* CATALOG_SPACE: position + 1 of its newest index in the catalog's list, 0 for none;
                            CATALOG_INDEX: of the next older one */
    char *name;
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
enum catalog_change_kind { CATALOG_CREATE_DATABASE = 1, CATALOG_CREATE_SPACE = 2, CATALOG_CREATE_INDEX = 3 };

struct catalog_change {
    uint64_t version;
    enum catalog_change_kind kind;
    uint32_t tenant;
    uint32_t database; /* CREATE_SPACE and CREATE_INDEX */
    uint32_t space;    /* CREATE_INDEX */
    struct slice name;
};

/* The catalog that every log starts from: version 1, tenant 1, database "default" and key space "default". */
PLINTH_MUST_CHECK enum plinth_status catalog_init(struct catalog *catalog, struct plinth_error *error);
void catalog_deinit(struct catalog *catalog);

/* PLINTH_INVALID_ARGUMENT, naming `what` and the offending byte, unless 1 to 128 bytes of [A-Za-z0-9_.-]. */
PLINTH_MUST_CHECK enum plinth_status catalog_check_name(const char *what, struct slice name,
                                                        struct plinth_error *error);

/* Null when there is none. Valid until the next change. */
const struct catalog_database *catalog_find_database(const struct catalog *catalog, uint32_t tenant, struct slice name);
const struct catalog_database *catalog_database_by_id(const struct catalog *catalog, uint32_t id);
const struct catalog_table *catalog_find_space(const struct catalog *catalog, uint32_t database, struct slice name);
const struct catalog_table *catalog_find_index(const struct catalog *catalog, uint32_t space, struct slice name);
const struct catalog_table *catalog_table_by_id(const struct catalog *catalog, uint32_t table);

/* Whether `change` would apply: PLINTH_OK; PLINTH_CONFLICT (another version came first); PLINTH_ALREADY_EXISTS;
 * PLINTH_NOT_FOUND (its database or space); PLINTH_INVALID_ARGUMENT (name). */
PLINTH_MUST_CHECK enum plinth_status catalog_check(const struct catalog *catalog, const struct catalog_change *change,
                                                   struct plinth_error *error);
/* Applies a change that catalog_check accepts; others leave the catalog as it is and return why. Only memory can fail
 * besides. */
PLINTH_MUST_CHECK enum plinth_status catalog_apply(struct catalog *catalog, const struct catalog_change *change,
                                                   struct plinth_error *error);

PLINTH_MUST_CHECK bool catalog_change_encode(struct buffer *into, const struct catalog_change *change);
/* `change->name` is borrowed from what is read; false on malformed bytes. */
bool catalog_change_decode(struct reader *from, struct catalog_change *change);

/* The whole catalog, for checkpoints. Decode is defensive and expects an uninitialised catalog. */
PLINTH_MUST_CHECK bool catalog_encode(struct buffer *into, const struct catalog *catalog);
PLINTH_MUST_CHECK enum plinth_status catalog_decode(struct reader *from, struct catalog *catalog,
                                                    struct plinth_error *error);

#endif
