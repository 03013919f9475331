/* Arrow IPC: batches as the Arrow columnar format's encapsulated messages, stream and file form, in and out.
 * (https://arrow.apache.org/docs/format/Columnar.html, Message.fbs, Schema.fbs; metadata version V5, V4 read.)
 *
 * Reading is defensive: whatever the bytes are, a call gives batches or a status (PLINTH_INVALID_ARGUMENT with what was
 * wrong where; PLINTH_UNSUPPORTED names the feature; PLINTH_TOO_LARGE above `bytes_max`). Read are: all types of
 * type.h, Null (as STRING), LargeUtf8/LargeBinary, LargeList and FixedSizeList (as lists), Utf8View/BinaryView not;
 * Date64 (as TIMESTAMP ms), Time and Duration (as INT32/INT64), FixedSizeBinary (16 as UUID when the field carries the
 * extension arrow.uuid, else BYTES), dictionary-encoded columns (decoded; delta dictionaries too), bodies compressed
 * with LZ4_FRAME or ZSTD; both byte orders are not: big-endian is PLINTH_UNSUPPORTED. Structs, maps, unions are named
 * and refused. */
#ifndef PLINTH_COLUMN_ARROW_IPC_H
#define PLINTH_COLUMN_ARROW_IPC_H

#include "column/batch.h"

struct arrow_field {
    const char *name; /* zero-terminated UTF-8 */
    struct column_type type;
    bool nullable;
};

struct arrow_schema {
    struct arrow_field *fields;
    uint32_t field_count;
};

enum arrow_compression { ARROW_UNCOMPRESSED = 0, ARROW_LZ4_FRAME = 1, ARROW_ZSTD = 2 };

/* ---- writing: messages appended to a buffer ---- */

/* The schema message; once, at the start of a stream. */
PLINTH_MUST_CHECK enum plinth_status arrow_write_schema(struct buffer *into, const struct arrow_schema *schema,
                                                        struct plinth_error *error);
/* One record batch message. The batch's columns are the schema's. */
PLINTH_MUST_CHECK enum plinth_status arrow_write_batch(struct buffer *into, const struct batch *batch,
                                                       enum arrow_compression compression, struct plinth_error *error);
/* The end-of-stream marker. */
PLINTH_MUST_CHECK bool arrow_write_end(struct buffer *into);

/* The file form: magic, stream, footer. `blocks` collects what the footer lists. */
struct arrow_file_writer;
PLINTH_MUST_CHECK enum plinth_status arrow_file_begin(struct buffer *into, const struct arrow_schema *schema,
                                                      struct arrow_file_writer **writer, struct plinth_error *error);
/* Appends to `into`, whose first byte lies at the file's offset that the writer has counted so far. */
PLINTH_MUST_CHECK enum plinth_status arrow_file_write(struct arrow_file_writer *writer, struct buffer *into,
                                                      const struct batch *batch, enum arrow_compression compression,
                                                      struct plinth_error *error);
/* Appends the footer and frees the writer (also on failure). */
PLINTH_MUST_CHECK enum plinth_status arrow_file_end(struct arrow_file_writer *writer, struct buffer *into,
                                                    struct plinth_error *error);
void arrow_file_abort(struct arrow_file_writer *writer);

/* ---- reading ---- */

struct arrow_reader_options {
    uint64_t bytes_max; /* of one decoded batch, dictionaries included; 0: 1 GiB */
};

/* A reader of a stream given in pieces: it keeps schema and dictionaries between messages. */
struct arrow_reader;
PLINTH_MUST_CHECK enum plinth_status arrow_reader_create(const struct arrow_reader_options *options,
                                                         struct arrow_reader **reader, struct plinth_error *error);
void arrow_reader_destroy(struct arrow_reader *reader);
/* Reads the next message from `bytes`: `*used` bytes of it were consumed; 0 and PLINTH_OK: the message is not complete
 * yet (call again with more). A record batch gives `*batch` (one reference; it borrows from `bytes`: whoever keeps
 * it longer than those sets batch->release, or gathers). Schema and dictionary
 * messages give a null batch. `*end` is set by the end-of-stream marker. 8-byte alignment of `bytes` spares copies. */
PLINTH_MUST_CHECK enum plinth_status arrow_reader_next(struct arrow_reader *reader, struct slice bytes, size_t *used,
                                                       struct batch **batch, bool *end, struct plinth_error *error);
/* Null until the schema message was read. Valid as long as the reader. */
const struct arrow_schema *arrow_reader_schema(const struct arrow_reader *reader);

/* All batches of a whole stream or file in memory ("ARROW1" at the start tells), through a callback. The batch is the
 * callback's to ref when it keeps it; it borrows from `bytes`. A non-zero status of the callback stops and returns.
 * Where there are no batches the callback sees one without rows, for the schema's sake. Files are read by their footer;
 * a stream may lack its end marker, but nothing may follow it. */
typedef enum plinth_status arrow_batch_visitor(void *context, const struct arrow_schema *schema, struct batch *batch,
                                               struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status arrow_read_all(struct slice bytes, const struct arrow_reader_options *options,
                                                    arrow_batch_visitor *visit, void *context,
                                                    struct plinth_error *error);

#endif
