/* Writing a segment: rows are gathered into the columns of one stripe, which goes to the Parquet writer as a whole. The
 * Parquet writer holds the encoded pages of the open row group (ROW_GROUP_BYTES_MAX raw), nothing else grows with the
 * file but the page index. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "parquet/writer.h"
#include "table/row_segment_encoding.h"
#include "table/row_segment_entries.h"
#include "table/segment_private.h"

enum {
    STRIPE_ROWS_DEFAULT = 256,
    STRIPE_BYTES_DEFAULT = 32 * 1024,
    INDEX_STRIPE_ROWS = 1024, /* entries are short, and looked up by ranges */
    INDEX_STRIPE_BYTES = 128 * 1024,
    INDEX_COMPACTED_STRIPES = 4, /* times as long where ZSTD gains by it */
    INDEX_ZSTD_LEVEL = 6,
    ROW_GROUP_ROWS_MAX = 128 * 1024,
    ROW_GROUP_BYTES_MAX = 32 * 1024 * 1024,
    ROW_FIXED_BYTES = 9,          /* LSN and operation, in raw bytes */
    INDEXES_STATISTICS_BYTES = 4, /* only the null pages are of use */
};

/* A BYTE_ARRAY column of the open stripe. */
struct byte_column {
    struct buffer bytes;
    struct buffer offsets;  /* uint32, one more than rows */
    struct buffer validity; /* bitmap */
};

struct segment_writer {
    struct parquet_sink sink;
    struct row_entries_writer *entries; /* of a typed table's index: it does everything */
    struct store_writer *out;
    struct parquet_writer *parquet; /* made with the first stripe, which tells how keys are encoded best */
    struct segment_options options;
    struct segment_info info; /* of what was added so far */
    uint64_t raw_bytes;
    uint64_t group_rows, group_bytes;

    /* The open stripe. When it was handed over, its columns are kept until the next row, which is compared with the
     * last one. */
    bool is_handed_over;
    uint32_t rows;
    uint64_t bytes;
    uint64_t last_lsn;
    struct byte_column keys, values, indexes;
    struct buffer lsns;       /* int64 */
    struct buffer operations; /* int32 */
};

/* ---- columns of the stripe ---- */

/* `bytes` gets memory at once, so that it is never null. */
static bool byte_column_init(struct byte_column *column) {
    return buffer_append_u32(&column->offsets, 0) && buffer_reserve(&column->bytes, 1);
}

static void byte_column_deinit(struct byte_column *column) {
    buffer_deinit(&column->bytes);
    buffer_deinit(&column->offsets);
    buffer_deinit(&column->validity);
}

static void byte_column_clear(struct byte_column *column) {
    buffer_clear(&column->bytes);
    buffer_clear(&column->validity);
    column->offsets.size = sizeof(uint32_t);
}

static bool byte_column_add(struct byte_column *column, uint32_t row, struct slice value, bool is_valid) {
    if (row % 8 == 0 && !buffer_append_u8(&column->validity, 0)) return false;
    if (is_valid) column->validity.data[row / 8] |= (uint8_t)(1u << row % 8);
    return buffer_append(&column->bytes, value.data, value.size) &&
           buffer_append_u32(&column->offsets, (uint32_t)column->bytes.size);
}

static struct parquet_column_data byte_column_data(const struct byte_column *column) {
    return (struct parquet_column_data){.validity = column->validity.data,
                                        .offsets = (const uint32_t *)(const void *)column->offsets.data,
                                        .bytes = column->bytes.data};
}

static struct slice last_key(const struct segment_writer *writer) {
    const uint32_t *offsets = (const uint32_t *)(const void *)writer->keys.offsets.data;
    uint32_t begin = offsets[writer->rows - 1];
    return slice_of(writer->keys.bytes.data + begin, offsets[writer->rows] - begin);
}

/* ---- creating ---- */

static enum plinth_status write_object(struct parquet_sink *sink, struct slice bytes, struct plinth_error *error) {
    return store_write(((struct segment_writer *)sink)->out, bytes, error);
}

static enum parquet_codec codec_of(enum segment_codec codec) {
    switch (codec) {
    case SEGMENT_ZSTD:
    case SEGMENT_ZSTD_FAST:
    case SEGMENT_ZSTD_THOROUGH: return PARQUET_CODEC_ZSTD;
    case SEGMENT_UNCOMPRESSED: return PARQUET_CODEC_UNCOMPRESSED;
    default: return PARQUET_CODEC_LZ4_RAW;
    }
}

/* Keys share their beginnings with their neighbours, LSNs are near each other, operations are nearly all the same.
 * Exact bounds of the keys make the page index the stripe index. Entries of an index are found by their values, which
 * are the beginning of a key only: a filter of whole keys would be of no use. */
static struct parquet_column_options column_options(enum segment_column column, const struct segment_options *segment) {
    struct parquet_column_options options = parquet_column_options_default();
    options.codec = codec_of(segment->codec);
    if (segment->index_table && options.codec == PARQUET_CODEC_ZSTD) options.codec_level = INDEX_ZSTD_LEVEL;
    switch (column) {
    case SEGMENT_KEY:
        options.encoding = PARQUET_ENCODING_DELTA_BYTE_ARRAY;
        options.statistics_bytes_max = PARQUET_STATISTICS_UNTRUNCATED;
        options.bloom = !segment->index_table;
        break;
    case SEGMENT_VALUE:
        options.encoding = PARQUET_ENCODING_DELTA_LENGTH_BYTE_ARRAY;
        options.statistics = false;
        break;
    case SEGMENT_INDEXES:
        options.encoding = PARQUET_ENCODING_DELTA_LENGTH_BYTE_ARRAY;
        options.statistics_bytes_max = INDEXES_STATISTICS_BYTES;
        break;
    case SEGMENT_LSN: options.encoding = PARQUET_ENCODING_DELTA_BINARY_PACKED; break;
    default:
        options.dictionary = !segment->index_table;
        if (segment->index_table) options.encoding = PARQUET_ENCODING_DELTA_BINARY_PACKED;
        break;
    }
    return options;
}

/* How the entries of an index are encoded: the values and the keys in them repeat, which is seen by DELTA_BYTE_ARRAY or
 * by the codec, whichever sees more. */
static enum plinth_status tune_index_keys(struct segment_writer *writer, struct parquet_column_options *options,
                                          struct plinth_error *error) {
    struct parquet_column_options chosen;
    const struct column keys = {.type = column_type_of(COLUMN_BYTES),
                                .offsets = (const uint32_t *)(const void *)writer->keys.offsets.data,
                                .bytes = writer->keys.bytes.data};
    const struct row_sample_piece piece = {&keys, 0, writer->rows};
    const struct row_sample_rows about = {.page_rows = writer->options.stripe_rows,
                                          .codec_level = options->codec_level,
                                          .is_quick = options->codec != PARQUET_CODEC_ZSTD};
    enum plinth_status st = row_encoding_choose(keys.type, &piece, 1, &about, options->codec, &chosen, error);
    options->encoding = chosen.encoding;
    return st;
}

static enum plinth_status create_parquet(struct segment_writer *writer, struct plinth_error *error) {
    static const enum parquet_type types[SEGMENT_COLUMNS] = {PARQUET_TYPE_BYTE_ARRAY, PARQUET_TYPE_BYTE_ARRAY,
                                                             PARQUET_TYPE_BYTE_ARRAY, PARQUET_TYPE_INT64,
                                                             PARQUET_TYPE_INT32};
    struct parquet_node nodes[SEGMENT_COLUMNS] = {0};
    struct parquet_column_options columns[SEGMENT_COLUMNS];
    uint32_t count = 0;
    for (enum segment_column column = 0; column < SEGMENT_COLUMNS; column++) {
        bool may_be_null = column == SEGMENT_VALUE || column == SEGMENT_INDEXES;
        if (writer->options.index_table && may_be_null) continue;
        nodes[count].name = segment_column_names[column];
        nodes[count].type = types[column];
        nodes[count].repetition = may_be_null ? PARQUET_OPTIONAL : PARQUET_REQUIRED;
        columns[count++] = column_options(column, &writer->options);
    }
    enum plinth_status st = writer->options.index_table ? tune_index_keys(writer, &columns[0], error) : PLINTH_OK;
    if (st) return st;
    uint32_t lsn_leaf = writer->options.index_table ? 1 : SEGMENT_LSN;
    const struct parquet_sorting_column sorting[] = {{.column = 0}, {.column = lsn_leaf, .is_descending = true}};
    const struct parquet_writer_options options = {.stripe_rows = writer->options.stripe_rows,
                                                   .created_by = "plinth version " PLINTH_VERSION,
                                                   .sorting = sorting,
                                                   .sorting_count = 2};
    return parquet_writer_create(&writer->sink, nodes, count, columns, &options, &writer->parquet, error);
}

static void writer_destroy(struct segment_writer *writer) {
    parquet_writer_destroy(writer->parquet);
    byte_column_deinit(&writer->keys);
    byte_column_deinit(&writer->values);
    byte_column_deinit(&writer->indexes);
    buffer_deinit(&writer->lsns);
    buffer_deinit(&writer->operations);
    segment_info_deinit(&writer->info);
    free(writer);
}

static bool is_zstd(enum segment_codec codec) { return codec_of(codec) == PARQUET_CODEC_ZSTD; }

static void set_sizes(struct segment_options *options) {
    if (!options->group_bytes_max || options->group_bytes_max > ROW_GROUP_BYTES_MAX)
        options->group_bytes_max = ROW_GROUP_BYTES_MAX;
    uint32_t times = is_zstd(options->codec) ? INDEX_COMPACTED_STRIPES : 1;
    if (!options->stripe_rows)
        options->stripe_rows = options->index_table ? times * INDEX_STRIPE_ROWS : STRIPE_ROWS_DEFAULT;
    if (!options->stripe_bytes)
        options->stripe_bytes = options->index_table ? times * INDEX_STRIPE_BYTES : STRIPE_BYTES_DEFAULT;
}

enum plinth_status segment_writer_open(struct store *store, const char *name, const struct segment_options *options,
                                       struct segment_writer **writer, struct plinth_error *error) {
    *writer = NULL;
    struct segment_writer *opened = calloc(1, sizeof *opened);
    if (!opened) return error_no_memory(error, "segment writer");
    if (options->index) {
        enum plinth_status st = row_entries_writer_open(store, name, options, &opened->entries, error);
        if (st)
            free(opened);
        else
            *writer = opened;
        return st;
    }
    opened->sink.write = write_object;
    opened->options = *options;
    set_sizes(&opened->options);
    opened->info.table = options->table;
    opened->info.job = options->job;
    opened->info.lsn_min = UINT64_MAX;
    enum plinth_status st = PLINTH_OK;
    int length = snprintf(opened->info.name, sizeof opened->info.name, "%s", name);
    if (length < 0 || (size_t)length >= sizeof opened->info.name)
        st = error_set(error, PLINTH_INVALID_ARGUMENT, "segment name %.100s is too long", name);
    if (!st &&
        (!byte_column_init(&opened->keys) || !byte_column_init(&opened->values) || !byte_column_init(&opened->indexes)))
        st = error_no_memory(error, "segment writer");
    if (!st) st = store_create(store, name, &opened->out, error);
    if (st) {
        writer_destroy(opened);
        return st;
    }
    *writer = opened;
    return PLINTH_OK;
}

void segment_writer_abort(struct segment_writer *writer) {
    if (!writer) return;
    if (writer->entries) {
        row_entries_writer_abort(writer->entries);
        free(writer);
        return;
    }
    store_abort(writer->out);
    writer_destroy(writer);
}

/* ---- rows ---- */

static enum plinth_status hand_over(struct segment_writer *writer, struct plinth_error *error) {
    if (writer->rows == 0 || writer->is_handed_over) return PLINTH_OK;
    struct parquet_column_data columns[SEGMENT_COLUMNS];
    uint32_t count = 0;
    columns[count++] = byte_column_data(&writer->keys);
    if (!writer->options.index_table) {
        columns[count++] = byte_column_data(&writer->values);
        columns[count++] = byte_column_data(&writer->indexes);
    }
    columns[count++] = (struct parquet_column_data){.values = writer->lsns.data};
    columns[count++] = (struct parquet_column_data){.values = writer->operations.data};
    enum plinth_status st = writer->parquet ? PLINTH_OK : create_parquet(writer, error);
    if (!st) st = parquet_writer_write(writer->parquet, columns, writer->rows, error);
    if (!st) st = parquet_writer_end_stripe(writer->parquet, error);
    writer->group_rows += writer->rows;
    writer->group_bytes += writer->bytes;
    if (!st && (writer->group_rows >= ROW_GROUP_ROWS_MAX || writer->group_bytes >= writer->options.group_bytes_max)) {
        st = parquet_writer_end_row_group(writer->parquet, error);
        writer->group_rows = writer->group_bytes = 0;
    }
    writer->is_handed_over = true;
    return st;
}

static void begin_stripe(struct segment_writer *writer) {
    byte_column_clear(&writer->keys);
    byte_column_clear(&writer->values);
    byte_column_clear(&writer->indexes);
    buffer_clear(&writer->lsns);
    buffer_clear(&writer->operations);
    writer->rows = 0;
    writer->bytes = 0;
    writer->is_handed_over = false;
}

static bool append_row(struct segment_writer *writer, const struct row *row) {
    bool is_set = row->operation == ROW_SET && !row_has_reference(row->indexes), ok;
    ok = byte_column_add(&writer->keys, writer->rows, row->key, true) && buffer_append_u64(&writer->lsns, row->lsn) &&
         buffer_append_u32(&writer->operations, row->operation);
    if (!writer->options.index_table)
        ok = ok && byte_column_add(&writer->values, writer->rows, is_set ? row->value : slice_of(NULL, 0), is_set) &&
             byte_column_add(&writer->indexes, writer->rows, row->indexes, row->indexes.size > 0);
    if (ok) writer->rows++;
    return ok;
}

/* Checks what the format can hold, and the order; tells whether the row is an older version of the last key. */
static enum plinth_status check_row(const struct segment_writer *writer, const struct row *row, bool *is_superseded,
                                    struct plinth_error *error) {
    *is_superseded = false;
    if (row->lsn > INT64_MAX || row->key.size + row->value.size + row->indexes.size > INT32_MAX / 2)
        return error_set(error, PLINTH_INTERNAL, "segment %s: LSN %" PRIu64 " or a row of %zu bytes is over the limit",
                         writer->info.name, row->lsn, row->key.size + row->value.size + row->indexes.size);
    if (writer->info.rows == 0) return PLINTH_OK;
    int order = slice_compare(last_key(writer), row->key);
    *is_superseded = order == 0;
    if (order < 0 || (order == 0 && writer->last_lsn > row->lsn)) return PLINTH_OK;
    return error_set(error, PLINTH_INTERNAL, "segment %s: row %" PRIu64 " was added out of order", writer->info.name,
                     writer->info.rows);
}

enum plinth_status segment_writer_add(struct segment_writer *writer, const struct row *row,
                                      struct plinth_error *error) {
    if (writer->entries) return row_entries_writer_add(writer->entries, row, error);
    struct segment_info *info = &writer->info;
    uint64_t bytes = row->key.size + row->value.size + row->indexes.size + ROW_FIXED_BYTES;
    bool is_superseded;
    enum plinth_status st = check_row(writer, row, &is_superseded, error);
    if (!st && writer->bytes + bytes > writer->options.stripe_bytes) st = hand_over(writer, error);
    if (st) return st;
    if (writer->is_handed_over) begin_stripe(writer);
    if (!append_row(writer, row) || (info->rows == 0 && !buffer_append(&info->key_min, row->key.data, row->key.size)))
        return error_no_memory(error, "segment stripe");
    writer->bytes += bytes;
    writer->raw_bytes += bytes;
    writer->last_lsn = row->lsn;
    info->rows++;
    info->deletes += row->operation == ROW_DELETE;
    info->superseded += is_superseded;
    uint64_t expires_us = row_expires_us(row->indexes);
    if (expires_us && (!info->expiring || expires_us < info->expires_min)) info->expires_min = expires_us;
    if (expires_us > info->expires_max) info->expires_max = expires_us;
    info->expiring += expires_us != 0;
    info->references += row_has_reference(row->indexes);
    if (row->lsn < info->lsn_min) info->lsn_min = row->lsn;
    if (row->lsn > info->lsn_max) info->lsn_max = row->lsn;
    return writer->rows == writer->options.stripe_rows ? hand_over(writer, error) : PLINTH_OK;
}

uint64_t segment_writer_raw_bytes(const struct segment_writer *writer) {
    return writer->entries ? row_entries_writer_raw_bytes(writer->entries) : writer->raw_bytes;
}

uint64_t segment_writer_rows(const struct segment_writer *writer) {
    return writer->entries ? row_entries_writer_rows(writer->entries) : writer->info.rows;
}

/* ---- ending ---- */

static enum plinth_status add_number(struct segment_writer *writer, const char *key, uint64_t number,
                                     struct plinth_error *error) {
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, number);
    return parquet_writer_add_key_value(writer->parquet, key, slice_of_string(text), error);
}

static enum plinth_status add_metadata(struct segment_writer *writer, struct plinth_error *error) {
    const struct segment_info *info = &writer->info;
    const struct {
        const char *key;
        uint64_t number;
    } numbers[] = {
        {SEGMENT_META_TENANT, info->table.tenant},   {SEGMENT_META_DATABASE, info->table.database},
        {SEGMENT_META_TABLE, info->table.table},     {SEGMENT_META_LSN_MIN, info->lsn_min},
        {SEGMENT_META_LSN_MAX, info->lsn_max},       {SEGMENT_META_DELETES, info->deletes},
        {SEGMENT_META_SUPERSEDED, info->superseded},
    };
    enum plinth_status st =
        parquet_writer_add_key_value(writer->parquet, SEGMENT_META_FORMAT, slice_of_string(SEGMENT_FORMAT), error);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && !st; i++)
        st = add_number(writer, numbers[i].key, numbers[i].number, error);
    return st;
}

enum plinth_status segment_writer_commit(struct segment_writer *writer, struct segment_info *info,
                                         struct plinth_error *error) {
    *info = (struct segment_info){0};
    enum plinth_status st = PLINTH_OK;
    if (writer->entries) {
        st = row_entries_writer_commit(writer->entries, info, error);
        free(writer);
        return st;
    }
    if (writer->info.rows == 0)
        st = error_set(error, PLINTH_INTERNAL, "segment %s: committed without rows", writer->info.name);
    if (!st) st = hand_over(writer, error);
    if (!st) st = add_metadata(writer, error);
    if (!st) st = parquet_writer_finish(writer->parquet, &writer->info.bytes, error);
    struct slice key_max = st ? (struct slice){0} : last_key(writer);
    if (!st && !buffer_append(&writer->info.key_max, key_max.data, key_max.size))
        st = error_no_memory(error, "segment bounds");
    if (st) {
        segment_writer_abort(writer);
        return st;
    }
    st = store_commit(writer->out, error);
    if (!st) {
        *info = writer->info;
        writer->info.key_min = writer->info.key_max = (struct buffer)BUFFER_INIT;
    }
    writer_destroy(writer);
    return st;
}
