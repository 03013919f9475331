/* Typed tables for tests: batches from text, and a table's rows as text. Compiled into the programs that use it. */
#ifndef PLINTH_TESTS_SUPPORT_TABLE_SUPPORT_H
#define PLINTH_TESTS_SUPPORT_TABLE_SUPPORT_H

#include "engine/rows.h"
#include "support/test_support.h"
#include "table/row_block.h"

enum { TEST_COLUMNS_MAX = 32 };

/* A batch and its schema. */
struct test_rows {
    char names[TEST_COLUMNS_MAX][32];
    struct arrow_field fields[TEST_COLUMNS_MAX];
    struct arrow_schema schema;
    struct batch *batch;
};
/* `columns` as "host string, time int64"; `text` as "a,1;b,2": rows by ';', values by ',', "-" is null. */
void test_rows_init(struct test_rows *rows, const char *columns, const char *text);
void test_rows_deinit(struct test_rows *rows);

/* Makes a table of these columns (a '?' behind a type: nullable) with this key ("" for none: "host,time"). */
void test_table_create(struct plinth *db, const char *name, const char *columns, const char *key, bool adds_columns);
struct table_id test_table_id(struct plinth *db, const char *name);
/* rows_submit of text, waited for. */
enum plinth_status test_rows_write(struct plinth *db, const char *table, enum rows_operation operation,
                                   const char *columns, const char *text, const struct plinth_write_options *options,
                                   struct rows_result *result, struct plinth_error *error);
/* Calls `visit` for each block of what a reader sees now of a table, in key order. PLINTH_NOT_FOUND when there is no
 * such table. */
typedef void test_block_visitor(void *context, const struct row_block *block);
enum plinth_status test_table_visit(struct plinth *db, const char *name, test_block_visitor *visit, void *context,
                                    struct plinth_error *error);
/* What a reader sees now of a table: rows in key order as `text` above, all columns of the schema. Freed by the caller.
 */
char *test_table_dump(struct plinth *db, const char *name);
/* Fails unless that is `wanted`. */
void test_table_check(struct plinth *db, const char *name, const char *wanted);

#endif
