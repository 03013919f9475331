/* A table in an engine of its own, and what it should hold: for the tests of queries.
 *
 * Rows are (host STRING, at TIMESTAMP(us), value INT64?, tag STRING?, flag BOOL?, note STRING?); all but the key follow
 * from one number, so the model is that number by host and slot of time, or a list of them where there is no key. */
#ifndef PLINTH_TESTS_QUERY_TABLE_H
#define PLINTH_TESTS_QUERY_TABLE_H

#include "column/arrow_ipc.h"
#include "column/column_builder.h"
#include "engine/rows.h"
#include "query/query.h"
#include "support/test_support.h"

enum { HOSTS = 16, SLOTS = 100, TABLE_COLUMNS = 6, ARRIVALS_MAX = 20000 };

struct cell {
    bool there;
    uint64_t value;
};
struct arrival {
    uint32_t host, slot;
    uint64_t value;
};
struct model {
    struct cell cells[HOSTS][SLOTS];
    struct arrival *arrived; /* tables without a key; shared by copies */
    uint32_t arrived_count;
};

struct query_table {
    char path[TEST_PATH_MAX];
    struct plinth *db;
    const struct table_schema *schema;
    bool keyless;
    struct model model;
    struct plinth_error error;
};

/* With `indexed`, one index of each kind. */
void query_table_open(struct query_table *table, bool keyless, uint64_t partition_us, bool indexed);
void query_table_close(struct query_table *table);
/* Names again what describes the table, after it was changed. */
void query_table_refresh(struct query_table *table);

/* Rows to be written together. */
struct row_writer {
    struct column_builder builders[TABLE_COLUMNS];
};
void row_writer_init(struct row_writer *writer);
void row_writer_add(struct row_writer *writer, uint32_t host, uint32_t slot, uint64_t value);
/* Writes them and forgets them; deletes take the key's columns. */
void row_writer_submit(struct row_writer *writer, struct query_table *table, enum rows_operation operation,
                       bool atomic);
void row_writer_deinit(struct row_writer *writer);

/* Random rows into table and model. */
void query_table_upsert(struct query_table *table, struct test_random *random, uint32_t rows);
void query_table_delete(struct query_table *table, struct test_random *random, uint32_t rows);

/* The model's rows, in the order of keys or of arrival. */
struct batch *model_rows(const struct query_table *table, const struct model *model);

/* Rows as lines of text. */
struct lines {
    char **all;
    uint32_t count, capacity;
};
void lines_add(struct lines *lines, const struct batch *batch, uint32_t row, const uint32_t *columns,
               uint32_t column_count);
void lines_sort(struct lines *lines);
void lines_reverse(struct lines *lines);
void lines_deinit(struct lines *lines);
/* Fails, naming `what`, unless they are the same. */
void assert_lines(const struct lines *got, const struct lines *wanted, const char *what);
/* All rows of a query. */
enum plinth_status lines_of_query(struct query_table *table, const struct query_options *options, struct lines *lines,
                                  struct query_explain *explain);

/* A condition as SQL text, for `options`; in `arena`. */
const struct predicate *parse_where(struct arena *arena, const char *text);

#endif
