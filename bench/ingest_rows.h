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

enum { INGEST_COLUMNS = 10, INGEST_TIME = 1, INGEST_HOSTS = 4000, INGEST_PATHS = 20000 };

struct ingest_rows;
struct ingest_rows *ingest_rows_create(void);
void ingest_rows_destroy(struct ingest_rows *rows);

const struct arrow_schema *ingest_rows_schema(const struct ingest_rows *rows);
/* The types as texts of plinth_column. */
extern const char *const ingest_types[INGEST_COLUMNS];
/* Rows [first, first + count) as a batch. */
struct batch *ingest_rows_make(const struct ingest_rows *rows, uint64_t first, uint32_t count);
/* Batches made beforehand that are used again and again: every time around, the times in them have moved on, so that
 * the rows are new ones. Generating rows then costs next to nothing. */
enum { INGEST_POOL_BATCHES = 100 };
struct ingest_pool {
    struct batch *batches[INGEST_POOL_BATCHES];
    uint64_t span_rows; /* by which a batch's rows move on */
    uint64_t first;     /* of the first batch's */
    uint64_t next;
};
/* Rows [first, first + INGEST_POOL_BATCHES * batch_rows), then the same behind `span_rows` (a multiple of
 * INGEST_HOSTS). */
struct ingest_pool *ingest_pool_create(const struct ingest_rows *rows, uint64_t first, uint32_t batch_rows,
                                       uint64_t span_rows);
/* The next batch, borrowed until its turn comes again. */
struct batch *ingest_pool_next(struct ingest_pool *pool);
/* The same with times at random within 30 years, others each time. */
struct batch *ingest_pool_next_random(struct ingest_pool *pool);
void ingest_pool_destroy(struct ingest_pool *pool);
/* Moves times `rows` rows (a multiple of INGEST_HOSTS) on. */
void ingest_times_move(int64_t *times, uint32_t count, uint64_t rows);

/* What these rows take as CSV, with line ends and without header. */
uint64_t ingest_rows_csv_bytes(const struct batch *batch);

#endif
