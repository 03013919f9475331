/* One request of the Ingestion service, from bytes to the engine. */
#ifndef PLINTH_SERVICE_ROWS_WRITE_H
#define PLINTH_SERVICE_ROWS_WRITE_H

#include "column/arrow_ipc.h"
#include "engine/rows.h"
#include "plinth/v1/ingestion.pb-c.h"

struct service;

/* What requests of one stream leave to the next: the table and the open Arrow stream. {0}: nothing yet. */
struct rows_source {
    char *database;
    char *table;
    struct arrow_reader *reader;
};
void rows_source_deinit(struct rows_source *source);

struct rows_written {
    struct plinth_write_options options;
    struct rows_result result;
};

/* Reads and submits one request (rows_submit: not yet durable). Runs on a worker. On failure nothing was written, and
 * `written` needs no deinit; its options are set as far as they were read. */
PLINTH_MUST_CHECK enum plinth_status rows_write_submit(struct service *service, struct rows_source *source,
                                                       struct slice message, struct rows_written *written,
                                                       struct plinth_error *error);
/* Rows of a request for a table: of an Arrow IPC stream, or when that is null of a RowSet. The batch is the caller's,
 * `schema` and `unfit` live in `arena` or in `source`. */
PLINTH_MUST_CHECK enum plinth_status rows_write_payload(struct rows_source *source, const struct table_schema *table,
                                                        const ProtobufCBinaryData *arrow,
                                                        const Plinth__V1__RowSet *rows, struct arena *arena,
                                                        struct arrow_schema *schema, struct batch **batch,
                                                        struct rows_unfit *unfit, struct plinth_error *error);
/* The schema of a table of rows that a request names. */
PLINTH_MUST_CHECK enum plinth_status rows_write_table(struct service *service, const Plinth__V1__Table *named,
                                                      const struct table_schema **schema, struct plinth_error *error);
/* Appends the WriteRowsResponse of a submitted request, or of a failed one. False when memory is out. */
PLINTH_MUST_CHECK bool rows_write_answer(struct buffer *into, const struct rows_written *written,
                                         enum plinth_status status, const struct plinth_error *error);

#endif
