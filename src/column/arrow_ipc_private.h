/* What the files of Arrow IPC share; for this folder only.
 *
 *   arrow_ipc_schema   schema metadata <-> arrow_schema, and how each field's buffers lie (struct ipc_field)
 *   arrow_ipc_codec    one compressed buffer
 *   arrow_ipc_columns  the nodes and buffers of a record batch -> columns
 *   arrow_ipc_read     messages of a stream; dictionaries
 *   arrow_ipc_write    columns -> messages
 *   arrow_ipc_file     the file form, and whole streams and files in memory
 */
#ifndef PLINTH_COLUMN_ARROW_IPC_PRIVATE_H
#define PLINTH_COLUMN_ARROW_IPC_PRIVATE_H

#include "column/arrow_ipc.h"
#include "column/column_builder.h"
#include "column/flatbuffer.h"

/* Field ids and enums of Message.fbs, Schema.fbs and File.fbs. */
enum {
    MESSAGE_VERSION = 0,
    MESSAGE_HEADER_TYPE = 1,
    MESSAGE_HEADER = 2,
    MESSAGE_BODY_LENGTH = 3,
    MESSAGE_METADATA = 4
};
enum { HEADER_SCHEMA = 1, HEADER_DICTIONARY_BATCH = 2, HEADER_RECORD_BATCH = 3 };
enum { METADATA_V4 = 3, METADATA_V5 = 4 };
enum { SCHEMA_ENDIANNESS = 0, SCHEMA_FIELDS = 1 };
enum { BATCH_LENGTH = 0, BATCH_NODES = 1, BATCH_BUFFERS = 2, BATCH_COMPRESSION = 3 };
enum { COMPRESSION_CODEC = 0, COMPRESSION_METHOD = 1 };
enum { DICTIONARY_BATCH_ID = 0, DICTIONARY_BATCH_DATA = 1, DICTIONARY_BATCH_IS_DELTA = 2 };
enum { FOOTER_VERSION = 0, FOOTER_SCHEMA = 1, FOOTER_DICTIONARIES = 2, FOOTER_RECORD_BATCHES = 3 };
enum { KEY_VALUE_KEY = 0, KEY_VALUE_VALUE = 1 };

enum {
    FIELD_NODE_BYTES = 16, /* int64 length, int64 null count */
    BUFFER_BYTES = 16,     /* int64 offset in the body, int64 length */
    BLOCK_BYTES = 24,      /* int64 offset in the file, int32 metadata length, 4 bytes of padding, int64 body length */
    PREFIX_BYTES = 8,      /* continuation marker, int32 metadata length */
    ALIGNMENT = 8,         /* of messages and body buffers */
};
#define CONTINUATION_MARKER 0xFFFFFFFFu
#define FILE_MAGIC "ARROW1"
enum { FILE_MAGIC_BYTES = 6, FILE_HEAD_BYTES = 8, FILE_TAIL_BYTES = 10 };

static inline uint64_t ipc_align(uint64_t size) { return (size + ALIGNMENT - 1) & ~(uint64_t)(ALIGNMENT - 1); }

/* ---- schema ---- */

/* How the buffers of a field lie, next to what its column becomes. */
enum ipc_layout {
    IPC_NULL,        /* no buffers at all */
    IPC_BOOL,        /* validity, bitmap */
    IPC_FIXED,       /* validity, values */
    IPC_BYTES_32,    /* validity, int32 offsets, bytes */
    IPC_BYTES_64,    /* validity, int64 offsets, bytes */
    IPC_BYTES_FIXED, /* validity, bytes */
    IPC_LIST_32,     /* validity, int32 offsets; child */
    IPC_LIST_64,     /* validity, int64 offsets; child */
    IPC_LIST_FIXED   /* validity; child */
};

struct ipc_field {
    const char *name;
    struct column_type type; /* decoded */
    enum ipc_layout layout;  /* of the values: for a dictionary-encoded field, those in the dictionary */
    bool nullable;
    bool is_dictionary;
    uint8_t index_kind;    /* of a dictionary-encoded field: COLUMN_INT8 to COLUMN_UINT64 */
    uint32_t fixed_count;  /* IPC_BYTES_FIXED: bytes; IPC_LIST_FIXED: elements */
    int64_t dictionary_id; /* of a dictionary-encoded field, and its place in ipc_schema.dictionaries */
    uint32_t dictionary;
    struct ipc_field *child;
};

/* A dictionary as last read: `rows` values and behind them one null, to which null indexes point. It is a builder so
 * that a stream of small deltas does not copy it again each time. */
struct ipc_dictionary {
    int64_t id;
    const struct ipc_field *field; /* the first that uses it */
    bool is_known;                 /* a dictionary batch was read */
    uint32_t rows;
    struct column_builder builder;
    struct column column; /* the builder's view */
};

struct ipc_schema {
    struct arrow_schema schema;
    struct ipc_field *fields;
    struct ipc_dictionary *dictionaries;
    uint32_t dictionary_count;
};

/* Reads a Schema table; everything lies in `arena` but what the dictionaries' builders take. */
PLINTH_MUST_CHECK enum plinth_status ipc_schema_read(struct flatbuffer_table table, struct arena *arena,
                                                     struct ipc_schema *schema, struct plinth_error *error);
struct ipc_dictionary *ipc_schema_dictionary(const struct ipc_schema *schema, int64_t id);
/* Writes the Schema table that field `id` of the table at `parent` refers to. */
void ipc_schema_write(struct flatbuffer_writer *writer, uint32_t parent, uint16_t id,
                      const struct arrow_schema *schema);
/* Puts "column 'name': " before the text; cuts long names. Returns `status`. */
enum plinth_status ipc_error_in_column(enum plinth_status status, const char *name, struct plinth_error *error);

/* ---- codec ---- */

/* The libraries' contexts, made when first needed; of one thread. */
struct ipc_codec {
    struct ZSTD_CCtx_s *zstd_compress;
    struct ZSTD_DCtx_s *zstd_decompress;
    struct LZ4F_dctx_s *lz4_decompress;
};
void ipc_codec_deinit(struct ipc_codec *codec);
/* Appends the compressed form of `in`. */
PLINTH_MUST_CHECK enum plinth_status ipc_compress(struct ipc_codec *codec, enum arrow_compression compression,
                                                  struct slice in, struct buffer *into, struct plinth_error *error);
/* Exactly `size` bytes come out, else PLINTH_INVALID_ARGUMENT. */
PLINTH_MUST_CHECK enum plinth_status ipc_decompress(struct ipc_codec *codec, enum arrow_compression compression,
                                                    struct slice in, uint8_t *out, size_t size,
                                                    struct plinth_error *error);

/* ---- columns ---- */

/* A record batch (or the one in a dictionary batch) that is being read. */
struct ipc_source {
    const struct ipc_schema *schema;
    struct flatbuffer_vector nodes;
    struct flatbuffer_vector buffers;
    struct slice body;
    enum arrow_compression compression;
    struct ipc_codec *codec;
    struct arena *arena;    /* of the columns */
    struct buffer *scratch; /* dictionary indexes */
    uint64_t bytes_left;    /* that may still be allocated */
    uint32_t rows;
    uint32_t next_node;
    uint32_t next_buffer;
};

/* Takes the parts of a RecordBatch table apart; `body` is its message's. */
PLINTH_MUST_CHECK enum plinth_status ipc_source_init(struct ipc_source *source, struct flatbuffer_table table,
                                                     struct slice body, struct plinth_error *error);
/* The column of the next nodes and buffers, checked; it borrows from the body where alignment allows. `as_values`: of
 * a dictionary-encoded field, the values, not the indexes. */
PLINTH_MUST_CHECK enum plinth_status ipc_source_column(struct ipc_source *source, const struct ipc_field *field,
                                                       bool as_values, struct column *out, struct plinth_error *error);
/* All nodes and buffers have been used. */
PLINTH_MUST_CHECK enum plinth_status ipc_source_finish(const struct ipc_source *source, struct plinth_error *error);

/* ---- messages ---- */

struct ipc_message {
    struct flatbuffer flatbuffer;
    uint8_t header_type;
    struct flatbuffer_table header;
    uint32_t metadata_bytes; /* with prefix and padding */
    uint64_t body_bytes;
    struct slice body;
    bool is_end; /* the end-of-stream marker */
};
/* Takes the message at the start of `bytes` apart. *is_complete false: `bytes` end inside it. */
PLINTH_MUST_CHECK enum plinth_status ipc_message_read(struct slice bytes, uint64_t bytes_max,
                                                      struct ipc_message *message, bool *is_complete,
                                                      struct plinth_error *error);

struct arrow_reader {
    uint64_t bytes_max;
    bool has_schema;
    bool is_file; /* dictionaries are not replaced */
    struct ipc_schema schema;
    struct arena arena; /* the schema's */
    struct ipc_codec codec;
    struct buffer scratch;
};
PLINTH_MUST_CHECK enum plinth_status ipc_reader_schema(struct arrow_reader *reader, struct flatbuffer_table table,
                                                       struct plinth_error *error);
/* Takes in one message, complete and not the end. */
PLINTH_MUST_CHECK enum plinth_status ipc_reader_message(struct arrow_reader *reader, const struct ipc_message *message,
                                                        struct batch **batch, struct plinth_error *error);

/* ---- writing ---- */

/* arrow_write_batch, telling the bytes of metadata (with prefix and padding) and body. */
PLINTH_MUST_CHECK enum plinth_status ipc_write_batch(struct buffer *into, const struct batch *batch,
                                                     enum arrow_compression compression, uint64_t *metadata_bytes,
                                                     uint64_t *body_bytes, struct plinth_error *error);

#endif
