/* The rows that the benchmarks of tables write: measurements of many hosts, 10 columns, key (host, time).
 *
 *   host     string            "host-0000.eu-west.example", 4,000 of them
 *   time     timestamp(us)     every host each 10 seconds, in the order of time; 1 row in 100 up to an hour late
 *   region   string            8 of them, the host's
 *   path     string            20,000 of them, some much more frequent than others
 *   status   int16             200 mostly
 *   requests int32, bytes int64, cpu float64 (2 decimals), memory int64 (moves slowly), latency float64 (3 decimals)
 *
 * Row n is the same in every run. */
#ifndef PLINTH_BENCH_INGEST_ROWS_H
#define PLINTH_BENCH_INGEST_ROWS_H

#include "column/arrow_ipc.h"

enum { INGEST_COLUMNS = 10, INGEST_HOSTS = 4000, INGEST_PATHS = 20000 };

struct ingest_rows;
struct ingest_rows *ingest_rows_create(void);
void ingest_rows_destroy(struct ingest_rows *rows);

const struct arrow_schema *ingest_rows_schema(const struct ingest_rows *rows);
/* The types as texts of plinth_column. */
extern const char *const ingest_types[INGEST_COLUMNS];
/* Rows [first, first + count) as a batch. */
struct batch *ingest_rows_make(const struct ingest_rows *rows, uint64_t first, uint32_t count);
/* What these rows take as CSV, with line ends and without header. */
uint64_t ingest_rows_csv_bytes(const struct batch *batch);

#endif
