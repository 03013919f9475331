/* The table "metrics" of the rows of ingest_rows.h, in an engine of this process. */
#ifndef PLINTH_BENCH_INGEST_TABLE_H
#define PLINTH_BENCH_INGEST_TABLE_H

#include "engine/rows.h"
#include "ingest_rows.h"

#define INGEST_TABLE "metrics"

/* Ends the program when there was an error. */
void bench_check(enum plinth_status st, const struct plinth_error *error);

enum { INGEST_INDEXES = 2 };
/* Key (host, time); with the first `indexes` of the sorted indexes "by_path", on path, and "by_region", on (region,
 * time). */
void ingest_table_create(struct plinth *db, const struct ingest_rows *rows, unsigned indexes);
struct table_id ingest_table_id(struct plinth *db);

/* Submits a batch to a table; a reject ends the program. Not durable yet: rows_wait(result). */
struct rows_result bench_rows_submit(struct plinth *db, struct table_id table, const struct arrow_schema *schema,
                                     const struct batch *batch, const struct plinth_write_options *write);

#endif
