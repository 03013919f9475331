/* Batches on their way to a table: an Ingestion.WriteStream with many requests unanswered, each under the stream's
 * producer id and its own sequence. When the connection is lost, or the server restarts, a new stream is opened and
 * what has no answer is sent again; the server applies it once.
 *
 * The client's thread takes the answers; everything else, and all callbacks, are on the thread that calls in. */
#ifndef PLINTH_CMD_BATCH_STREAM_H
#define PLINTH_CMD_BATCH_STREAM_H

#include "cmd/cli.h"
#include "cmd/table_reader.h"
#include "plinth/v1/ingestion.pb-c.h"

struct batch_stream;

/* A batch, from batch_stream_take to its answer. */
struct stream_batch {
    struct buffer request;  /* packed */
    struct table_rows rows; /* lines and raw rows, for reports; its batch is gone */
    uint64_t sequence;
    uint32_t row_count;
    size_t file; /* the caller's */
    uint64_t chain;
    unsigned attempts;
    Plinth__V1__WriteRowsResponse *answer; /* guarded by the stream's mutex, until it is answered */
};

struct batch_stream_options {
    /* The oldest batch was answered, with success or a duplicate (`answer` null: known to be applied). CLI_OK goes on;
     * else the exit code, said already. */
    int (*on_answer)(void *context, const struct stream_batch *batch, const Plinth__V1__WriteRowsResponse *answer);
    /* It was refused. Says so; the exit code. */
    int (*on_refusal)(void *context, const struct stream_batch *batch, enum grpc_status code, const char *message);
    void *context;
};

struct batch_stream *batch_stream_create(struct cli *cli, const struct batch_stream_options *options);
/* Null is allowed. Gives up what is on its way. */
void batch_stream_destroy(struct batch_stream *stream);
/* A free batch with empty buffers, after waiting for one. */
int batch_stream_take(struct batch_stream *stream, struct stream_batch **batch);
/* Sends the batch that was taken. */
int batch_stream_send(struct batch_stream *stream, struct stream_batch *batch);
/* Waits until everything is answered. */
int batch_stream_drain(struct batch_stream *stream);
/* Batches that were sent again. */
uint64_t batch_stream_retries(const struct batch_stream *stream);

#endif
