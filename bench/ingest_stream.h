/* The generator of bench_ingest's second part: one stream of Ingestion.WriteStream that a server is fed with.
 *
 * Record batches are made and encoded as Arrow IPC beforehand; what is left to do for each is to move its times on and
 * to copy it into the stream. Every request has the producer's id and a sequence, so each of them is written exactly
 * once. */
#ifndef PLINTH_BENCH_INGEST_STREAM_H
#define PLINTH_BENCH_INGEST_STREAM_H

#include "ingest_rows.h"
#include "measure.h"

struct ingest_stream_options {
    const char *address, *table;
    uint32_t batch_rows;
    uint32_t in_flight; /* requests without an answer */
    double seconds;
};

struct ingest_stream_result {
    uint64_t rows;      /* acknowledged */
    uint64_t raw_bytes; /* of these rows in Arrow's layout */
    uint64_t begin_ns, last_answer_ns;
    struct histogram latency; /* from sending a batch to its acknowledgement */
};

/* Sends for so long, then waits for all answers. A reject or an error ends the program. */
void ingest_stream_run(const struct ingest_rows *rows, const struct ingest_stream_options *options,
                       struct ingest_stream_result *result);

#endif
