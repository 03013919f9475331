/* Writing a segment of a typed table.
 *
 * Rows come as stretches of blocks. Each is cut where stripes end, and such a piece goes to the Parquet writer column
 * by column: a view where the layouts agree, else converted into an arena that is emptied after every piece. What grows
 * with the file is the stripe index, the key filters (about 10 bits a row) and the postings, which have a bound. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "base/hash.h"
#include "base/status.h"
#include "parquet/writer.h"
#include "table/postings.h"
#include "table/row_segment_encoding.h"
#include "table/row_segment_private.h"

enum {
    ROW_GROUP_ROWS_MAX = 1 << 20,
    ROW_GROUP_BYTES_MAX = 64 << 20, /* raw */
    ROW_FIXED_BYTES = 12,           /* LSN and operation, in raw bytes */
    WAITING_ROWS_MAX = 128 << 10,   /* the encodings are chosen by so many rows or bytes, if there are */
    WAITING_BYTES_MAX = 32 << 20,
    GROUP_ROWS_THOROUGH_MAX = 512 << 10, /* whose encodings are chosen for each row group, by all of it */
    ZSTD_LEVEL = 6,                      /* 1 % less than level 3; 12 is 1.5 % less again for twice the work */
    ZSTD_LEVEL_FAST = 1,
    ZSTD_LEVEL_THOROUGH = 19, /* weighs what a match costs: 5 % less, for six times the work */
    STRIPE_ROWS_DEFAULT = 1024,
    STRIPE_ROWS_COMPACTED_MAX = 16 << 10, /* longer pages compress better: by the row's size, up to so many */
    STRIPE_ROWS_THOROUGH_MAX = 64 << 10,
    STRIPE_BYTES_COMPACTED = ROW_STRIPE_BYTES_MAX,
    STRIPE_BYTES_THOROUGH = 2 * ROW_STRIPE_BYTES_MAX,
    STRIPE_ENTRIES_COMPACTED_MAX = 8 << 10, /* whoever looks one up decodes them all */
    STRIPE_ENTRIES_THOROUGH_MAX = 32 << 10,
    KEY_FILTER_BITS_MAX = 10, /* a key: 1 % false positives; */
    KEY_FILTER_BITS_MIN = 4,  /* at 15 % it still spares most reads */
    KEY_FILTER_SHARE = 64,    /* of compacted files it takes at most one part in so many */
    SYSTEM_COLUMNS_MAX = 3,   /* _lsn, _op, _ord */
};

/* Rows that wait for the encodings to be chosen. */
struct waiting_rows {
    struct row_block *block; /* referenced */
    uint32_t first, count;
};

/* A row group that was written: its stripes and its filter. */
struct written_group {
    uint32_t stripes;
    struct parquet_bloom bloom;
};

struct row_segment_writer {
    struct parquet_sink sink;
    struct store_writer *out;
    struct parquet_writer *parquet; /* made when enough rows are there to choose the encodings by */
    struct buffer waiting;          /* struct waiting_rows, until then */
    uint64_t waiting_count, waiting_bytes;
    const struct table_schema *schema;
    const struct table_index *of_index; /* of entries: borrowed; else null */
    enum parquet_codec codec;
    int codec_level;
    bool is_thorough, is_choosing; /* rows wait for the encodings of the next row group */
    struct parquet_column_options *columns;
    uint32_t stripe_rows_max;
    uint64_t group_bytes_max;
    struct segment_info info; /* of what was added so far */
    uint64_t raw_bytes;

    struct arena arena; /* what lives as long as the writer */
    struct parquet_schema leaves;
    struct parquet_column_data *data;    /* one a leaf */
    struct parquet_column_buffer *lists; /* one a column */
    bool *has_nan;                       /* one a column */
    struct postings_builder **postings;  /* one an index; null: none */
    struct arena piece;                  /* conversions of one piece */
    struct buffer lsns, operations, ordinals;

    uint32_t stripe_rows;
    uint64_t stripe_bytes;
    uint64_t group_rows, group_bytes;
    uint32_t group_stripes;
    struct buffer hashes;    /* uint64, of the open row group's keys */
    struct buffer groups;    /* struct written_group */
    struct buffer index;     /* stripes as in row_segment_private.h */
    struct buffer first_key; /* of the open stripe */
    struct buffer index_key; /* the first key of the stripe that was written last */
    uint8_t stripe_flags;
    struct buffer last_key;
    uint64_t last_lsn;
};

/* ---- creating ---- */

static enum plinth_status write_object(struct parquet_sink *sink, struct slice bytes, struct plinth_error *error) {
    return store_write(((struct row_segment_writer *)sink)->out, bytes, error);
}

static enum parquet_codec codec_of(const struct row_segment_options *options) {
    enum segment_codec codec = options->codec;
    if (options->schema->codec == TABLE_CODEC_LZ4) codec = SEGMENT_LZ4;
    if (options->schema->codec == TABLE_CODEC_ZSTD) codec = SEGMENT_ZSTD;
    if (options->schema->codec == TABLE_CODEC_NONE) codec = SEGMENT_UNCOMPRESSED;
    if (codec == SEGMENT_ZSTD || codec == SEGMENT_ZSTD_THOROUGH || codec == SEGMENT_ZSTD_FAST)
        return PARQUET_CODEC_ZSTD;
    return codec == SEGMENT_UNCOMPRESSED ? PARQUET_CODEC_UNCOMPRESSED : PARQUET_CODEC_LZ4_RAW;
}

static uint32_t system_column_count(const struct row_segment_writer *writer) {
    return writer->schema->key_count ? 2 : 3;
}

/* The nodes of the table's columns and of _lsn, _op, _ord. Null when memory is out. */
static struct parquet_node *make_nodes(struct row_segment_writer *writer, uint32_t *count) {
    static const char *const names[SYSTEM_COLUMNS_MAX] = {"_lsn", "_op", "_ord"};
    const struct table_schema *schema = writer->schema;
    size_t most = (size_t)schema->column_count * ROW_COLUMN_NODES_MAX + SYSTEM_COLUMNS_MAX;
    struct parquet_node *nodes = arena_zalloc(&writer->arena, most * sizeof *nodes);
    *count = 0;
    if (!nodes) return NULL;
    for (uint32_t i = 0; i < schema->column_count; i++) {
        struct parquet_node made[ROW_COLUMN_NODES_MAX];
        const struct table_column *column = &schema->columns[i];
        uint32_t made_count =
            row_column_nodes(column->name, column->id, column->type, table_schema_is_key(schema, column->id), made);
        memcpy(nodes + *count, made, made_count * sizeof *made);
        *count += made_count;
    }
    for (uint32_t i = 0; i < system_column_count(writer); i++) {
        nodes[*count].name = names[i];
        nodes[*count].type = i == 0 ? PARQUET_TYPE_INT64 : PARQUET_TYPE_INT32;
        nodes[(*count)++].repetition = PARQUET_REQUIRED;
    }
    return nodes;
}

/* How rows are sorted, as far as Parquet has the same order: not by floating-point numbers with their NaNs. */
static uint32_t make_sorting(const struct row_segment_writer *writer, struct parquet_sorting_column *sorting) {
    const struct table_schema *schema = writer->schema;
    uint32_t count = 0, heads = writer->of_index ? table_index_entry_parts(writer->of_index) : 0;
    for (uint32_t i = 0; i < heads + schema->key_count; i++) {
        int32_t column =
            table_schema_find_id(schema, i < heads ? table_index_part_id(writer->of_index, i) : schema->key[i - heads]);
        if (column < 0 || column_kind_is_float(schema->columns[column].type.kind)) return count;
        sorting[count++] = (struct parquet_sorting_column){.column = (uint32_t)column, .nulls_first = i < heads};
    }
    sorting[count++] =
        (struct parquet_sorting_column){.column = schema->column_count, .is_descending = schema->key_count > 0};
    if (!schema->key_count) sorting[count++] = (struct parquet_sorting_column){.column = schema->column_count + 2};
    return count;
}

static bool has_bloom_index(const struct table_schema *schema, uint32_t column_id) {
    for (uint32_t i = 0; i < schema->index_count; i++) {
        const struct table_index *index = &schema->indexes[i];
        if (index->kind == INDEX_BLOOM && index->state != INDEX_DROPPING && index->columns[0] == column_id) return true;
    }
    return false;
}

static struct row_sample_rows sample_about(const struct row_segment_writer *writer, bool are_all) {
    return (struct row_sample_rows){.are_all = are_all,
                                    .page_rows = writer->stripe_rows_max,
                                    .codec_level = writer->codec_level,
                                    .is_quick = writer->codec_level <= ZSTD_LEVEL_FAST};
}

/* How a column of the waiting rows is best encoded. */
static enum plinth_status choose_encoding(struct row_segment_writer *writer, const struct table_column *column,
                                          bool are_all, struct parquet_column_options *options,
                                          struct plinth_error *error) {
    const struct waiting_rows *waiting = (const struct waiting_rows *)(const void *)writer->waiting.data;
    uint32_t count = (uint32_t)(writer->waiting.size / sizeof *waiting);
    struct row_sample_piece *pieces = calloc(count + (size_t)1, sizeof *pieces);
    if (!pieces) return error_no_memory(error, "segment writer");
    for (uint32_t i = 0; i < count; i++) {
        const struct column *from = row_block_column(waiting[i].block, column->id);
        if (from && !column_type_equal(from->type, column->type)) from = NULL; /* take_column refuses it */
        pieces[i] = (struct row_sample_piece){from, waiting[i].first, waiting[i].count};
    }
    const struct row_sample_rows about = sample_about(writer, are_all);
    enum plinth_status st = row_encoding_choose(column->type, pieces, count, &about, writer->codec, options, error);
    free(pieces);
    if (st && error) (void)error_prefix(error, "segment %s, column %s", writer->info.name, column->name);
    return st;
}

static uint32_t choose_stripe_rows(const struct row_segment_writer *writer) {
    uint32_t most = writer->of_index ? STRIPE_ENTRIES_COMPACTED_MAX : STRIPE_ROWS_COMPACTED_MAX;
    uint64_t bytes = writer->is_thorough ? STRIPE_BYTES_THOROUGH : STRIPE_BYTES_COMPACTED;
    if (writer->is_thorough) most = writer->of_index ? STRIPE_ENTRIES_THOROUGH_MAX : STRIPE_ROWS_THOROUGH_MAX;
    if (writer->schema->page_rows) return writer->schema->page_rows;
    if (writer->codec != PARQUET_CODEC_ZSTD) return STRIPE_ROWS_DEFAULT;
    uint64_t rows = bytes / (writer->waiting_bytes / writer->waiting_count);
    if (rows < STRIPE_ROWS_DEFAULT) return STRIPE_ROWS_DEFAULT;
    return rows < most ? (uint32_t)rows : most;
}

/* LSNs of merged files are few and stand in runs, or mixed where one batch overlaps another. */
static enum plinth_status choose_lsn_encoding(struct row_segment_writer *writer, bool are_all,
                                              struct parquet_column_options *options, struct plinth_error *error) {
    const struct waiting_rows *waiting = (const struct waiting_rows *)(const void *)writer->waiting.data;
    uint32_t count = (uint32_t)(writer->waiting.size / sizeof *waiting), varying = 0;
    struct arena arena;
    arena_init(&arena);
    struct row_sample_piece *pieces = arena_zalloc(&arena, count * sizeof *pieces + 1);
    struct column *columns = arena_zalloc(&arena, count * sizeof *columns + 1);
    bool ok = pieces && columns;
    for (uint32_t i = 0; ok && i < count; i++) {
        const struct row_block *block = waiting[i].block;
        uint64_t *same = block->lsns ? NULL : arena_alloc(&arena, block->rows * sizeof *same);
        ok = block->lsns || same;
        for (uint32_t row = 0; same && row < block->rows; row++) same[row] = block->lsn_max;
        columns[i] = (struct column){.type = column_type_of(COLUMN_INT64),
                                     .values = block->lsns ? (const void *)block->lsns : same};
        pieces[i] = (struct row_sample_piece){&columns[i], waiting[i].first, waiting[i].count};
        varying += block->lsns != NULL;
    }
    const struct row_sample_rows about = sample_about(writer, are_all);
    enum plinth_status st = ok ? PLINTH_OK : error_no_memory(error, "segment writer");
    if (!st && varying)
        st = row_encoding_choose(column_type_of(COLUMN_INT64), pieces, count, &about, writer->codec, options, error);
    arena_deinit(&arena);
    return st;
}

static enum plinth_status choose_encodings(struct row_segment_writer *writer, bool are_all,
                                           struct plinth_error *error) {
    const struct table_schema *schema = writer->schema;
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; i < schema->column_count && !st; i++) {
        const struct table_column *column = &schema->columns[i];
        st = choose_encoding(writer, column, are_all, &writer->columns[i], error);
        if (writer->of_index) writer->columns[i].statistics = false; /* entries are found by the stripe index */
        writer->columns[i].bloom = column->type.kind != COLUMN_BOOL && has_bloom_index(schema, column->id);
    }
    if (!st && writer->codec == PARQUET_CODEC_ZSTD)
        st = choose_lsn_encoding(writer, are_all, &writer->columns[schema->column_count], error);
    return st;
}

static enum plinth_status create_parquet(struct row_segment_writer *writer, bool are_all, struct plinth_error *error) {
    const struct table_schema *schema = writer->schema;
    writer->stripe_rows_max = choose_stripe_rows(writer);
    uint32_t node_count, leaf_count = schema->column_count + system_column_count(writer);
    struct parquet_sorting_column sorting[2 * ROW_KEY_PARTS_MAX + 2];
    struct parquet_node *nodes = make_nodes(writer, &node_count);
    writer->columns = arena_zalloc(&writer->arena, leaf_count * sizeof *writer->columns);
    if (!nodes || !writer->columns) return error_no_memory(error, "segment writer");
    enum plinth_status st = parquet_schema_init(&writer->leaves, &writer->arena, "schema", nodes, node_count, error);
    for (uint32_t i = schema->column_count; i < leaf_count; i++) {
        writer->columns[i] = parquet_column_options_default();
        writer->columns[i].codec = writer->codec;
        writer->columns[i].codec_level = writer->codec_level;
        writer->columns[i].encoding = PARQUET_ENCODING_DELTA_BINARY_PACKED;
    }
    if (!st) st = choose_encodings(writer, are_all, error);
    const struct parquet_writer_options options = {.stripe_rows = writer->stripe_rows_max,
                                                   .created_by = "plinth version " PLINTH_VERSION,
                                                   .sorting = sorting,
                                                   .sorting_count = make_sorting(writer, sorting)};
    if (!st)
        st =
            parquet_writer_create(&writer->sink, nodes, node_count, writer->columns, &options, &writer->parquet, error);
    return st;
}

static bool create_postings(struct row_segment_writer *writer) {
    const struct table_schema *schema = writer->schema;
    writer->postings = arena_zalloc(&writer->arena, (schema->index_count + (size_t)1) * sizeof(void *));
    for (uint32_t i = 0; writer->postings && i < schema->index_count; i++) {
        const struct table_index *index = &schema->indexes[i];
        bool has_postings = index->kind == INDEX_BITMAP || index->kind == INDEX_TOKEN;
        if (!has_postings || index->state == INDEX_DROPPING) continue;
        writer->postings[i] = postings_builder_create(index->kind);
        if (!writer->postings[i]) return false;
    }
    return writer->postings != NULL;
}

static void drop_waiting(struct row_segment_writer *writer) {
    struct waiting_rows *waiting = (struct waiting_rows *)(void *)writer->waiting.data;
    for (size_t i = 0; i < writer->waiting.size / sizeof *waiting; i++) row_block_unref(waiting[i].block);
    buffer_deinit(&writer->waiting);
}

static void writer_destroy(struct row_segment_writer *writer) {
    const struct table_schema *schema = writer->schema;
    struct written_group *groups = (struct written_group *)(void *)writer->groups.data;
    struct buffer *buffers[] = {&writer->lsns,      &writer->operations, &writer->ordinals,
                                &writer->hashes,    &writer->groups,     &writer->index,
                                &writer->first_key, &writer->index_key,  &writer->last_key};
    parquet_writer_destroy(writer->parquet);
    drop_waiting(writer);
    for (size_t i = 0; i < writer->groups.size / sizeof *groups; i++) parquet_bloom_deinit(&groups[i].bloom);
    for (uint32_t i = 0; writer->lists && i < schema->column_count; i++)
        parquet_column_buffer_deinit(&writer->lists[i]);
    for (uint32_t i = 0; writer->postings && i < schema->index_count; i++)
        postings_builder_destroy(writer->postings[i]);
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) buffer_deinit(buffers[i]);
    segment_info_deinit(&writer->info);
    arena_deinit(&writer->piece);
    arena_deinit(&writer->arena);
    table_schema_unref(schema);
    free(writer);
}

enum plinth_status row_segment_writer_open(struct store *store, const char *name,
                                           const struct row_segment_options *options,
                                           struct row_segment_writer **writer, struct plinth_error *error) {
    *writer = NULL;
    const struct table_schema *schema = options->schema;
    struct row_segment_writer *opened = calloc(1, sizeof *opened);
    if (!opened) return error_no_memory(error, "segment writer");
    opened->sink.write = write_object;
    opened->schema = table_schema_ref(schema);
    opened->codec = codec_of(options);
    opened->is_thorough = opened->codec == PARQUET_CODEC_ZSTD && options->codec == SEGMENT_ZSTD_THOROUGH;
    if (opened->codec == PARQUET_CODEC_ZSTD)
        opened->codec_level = opened->is_thorough                   ? ZSTD_LEVEL_THOROUGH
                              : options->codec == SEGMENT_ZSTD_FAST ? ZSTD_LEVEL_FAST
                                                                    : ZSTD_LEVEL;
    opened->is_choosing = true;
    opened->group_bytes_max = ROW_GROUP_BYTES_MAX;
    if (options->group_bytes_max && options->group_bytes_max < ROW_GROUP_BYTES_MAX)
        opened->group_bytes_max = options->group_bytes_max;
    opened->info.table = schema->id;
    opened->info.job = options->job;
    opened->info.lsn_min = UINT64_MAX;
    opened->of_index = options->index;
    opened->info.is_rows = !options->index;
    opened->info.has_partition = options->has_partition;
    opened->info.partition = options->has_partition ? options->partition : 0;
    arena_init(&opened->arena);
    arena_init(&opened->piece);
    size_t columns = schema->column_count + (size_t)SYSTEM_COLUMNS_MAX;
    opened->data = arena_zalloc(&opened->arena, columns * sizeof *opened->data);
    opened->lists = arena_zalloc(&opened->arena, columns * sizeof *opened->lists);
    opened->has_nan = arena_zalloc(&opened->arena, columns * sizeof *opened->has_nan);
    enum plinth_status st = PLINTH_OK;
    int length = snprintf(opened->info.name, sizeof opened->info.name, "%s", name);
    if (length < 0 || (size_t)length >= sizeof opened->info.name)
        st = error_set(error, PLINTH_INVALID_ARGUMENT, "segment name %.100s is too long", name);
    if (!st && (!opened->data || !opened->lists || !opened->has_nan || !create_postings(opened)))
        st = error_no_memory(error, "segment writer");
    if (!st) st = store_create(store, name, &opened->out, error);
    if (st) {
        writer_destroy(opened);
        return st;
    }
    *writer = opened;
    return PLINTH_OK;
}

void row_segment_writer_abort(struct row_segment_writer *writer) {
    if (!writer) return;
    store_abort(writer->out);
    writer_destroy(writer);
}

/* ---- stripes and row groups ---- */

/* Row ids need none: they are a range of LSNs; and entries are found by their values, the beginnings of their keys. */
static bool has_key_filter(const struct row_segment_writer *writer) {
    return writer->schema->key_count && !writer->of_index;
}

/* Blocks of the key filter of the open row group, of `bytes` in the file. A compacted file of small rows has none: most
 * reads find their key in it. */
static uint32_t filter_blocks(const struct row_segment_writer *writer, uint64_t keys, uint64_t bytes) {
    uint64_t bits = KEY_FILTER_BITS_MAX;
    if (!has_key_filter(writer)) return 0;
    if (writer->codec == PARQUET_CODEC_ZSTD && bits * keys > bytes * 8 / KEY_FILTER_SHARE)
        bits = bytes * 8 / KEY_FILTER_SHARE / keys;
    if (bits < KEY_FILTER_BITS_MIN) return 0;
    return (uint32_t)(bits * keys / (8 * PARQUET_BLOOM_BLOCK_BYTES)) + 1;
}

static enum plinth_status end_group(struct row_segment_writer *writer, struct plinth_error *error) {
    if (!writer->group_rows) return PLINTH_OK;
    struct written_group group = {.stripes = writer->group_stripes};
    size_t count = writer->hashes.size / sizeof(uint64_t);
    uint64_t begin = parquet_writer_position(writer->parquet);
    enum plinth_status st = parquet_writer_end_row_group(writer->parquet, error);
    uint32_t blocks = filter_blocks(writer, count, parquet_writer_position(writer->parquet) - begin);
    if (!st && blocks) st = parquet_bloom_init_blocks(&group.bloom, blocks, error);
    if (st) return st;
    for (size_t i = 0; i < count && blocks; i++)
        parquet_bloom_insert_hash(&group.bloom, load_u64(writer->hashes.data + 8 * i));
    if (!buffer_append(&writer->groups, &group, sizeof group)) {
        parquet_bloom_deinit(&group.bloom);
        return error_no_memory(error, "key filters");
    }
    buffer_clear(&writer->hashes);
    writer->group_rows = writer->group_bytes = 0;
    writer->group_stripes = 0;
    writer->is_choosing = writer->is_thorough;
    return PLINTH_OK;
}

static size_t shared_bytes(struct slice a, struct slice b) {
    size_t most = a.size < b.size ? a.size : b.size, shared = 0;
    while (shared < most && a.data[shared] == b.data[shared]) shared++;
    return shared;
}

static enum plinth_status end_stripe(struct row_segment_writer *writer, struct plinth_error *error) {
    if (!writer->stripe_rows) return PLINTH_OK;
    struct slice key = buffer_slice(&writer->first_key);
    size_t shared = shared_bytes(key, buffer_slice(&writer->index_key));
    if (!buffer_append_varint(&writer->index, writer->stripe_rows) ||
        !buffer_append_u8(&writer->index, writer->stripe_flags) || !buffer_append_varint(&writer->index, shared) ||
        !buffer_append_string(&writer->index, slice_of(key.data + shared, key.size - shared)))
        return error_no_memory(error, "stripe index");
    struct buffer former = writer->index_key;
    writer->index_key = writer->first_key;
    writer->first_key = former;
    enum plinth_status st = parquet_writer_end_stripe(writer->parquet, error);
    writer->group_rows += writer->stripe_rows;
    writer->group_bytes += writer->stripe_bytes;
    writer->group_stripes++;
    writer->stripe_rows = 0;
    writer->stripe_bytes = 0;
    uint64_t rows_max = writer->is_thorough ? GROUP_ROWS_THOROUGH_MAX : ROW_GROUP_ROWS_MAX;
    if (!st && (writer->group_rows >= rows_max || writer->group_bytes >= writer->group_bytes_max))
        st = end_group(writer, error);
    return st;
}

/* ---- rows ---- */

/* Memory that rows of a column take; all of them have a width or offsets. */
static uint64_t column_rows_bytes(const struct column *column, uint32_t first, uint32_t count) {
    uint32_t width = column_type_width(column->type);
    if (width) return (uint64_t)width * count;
    if (column->type.kind == COLUMN_BOOL) return (count + 7) / 8;
    uint32_t begin = column->offsets[first], end = column->offsets[first + count];
    return 4 * (uint64_t)count +
           (column->type.kind == COLUMN_LIST ? column_rows_bytes(column->child, begin, end - begin) : end - begin);
}

static uint64_t rows_bytes(const struct row_block *block, uint32_t first, uint32_t count) {
    uint64_t bytes = (uint64_t)ROW_FIXED_BYTES * count;
    for (uint32_t i = 0; i < block->columns->column_count; i++)
        bytes += column_rows_bytes(&block->columns->columns[i], first, count);
    return bytes;
}

/* How many of `most` rows go into the open stripe: 0 when it is full by its bytes. */
static uint32_t rows_that_fit(const struct row_segment_writer *writer, const struct row_block *block, uint32_t first,
                              uint32_t most) {
    uint64_t cap = writer->is_thorough ? STRIPE_BYTES_THOROUGH : ROW_STRIPE_BYTES_MAX;
    uint64_t room = writer->stripe_bytes < cap ? cap - writer->stripe_bytes : 0;
    if (rows_bytes(block, first, most) <= room) return most;
    uint32_t low = writer->stripe_rows ? 0 : 1, high = most;
    while (low + 1 < high) { /* `low` rows fit, or must; `high` do not */
        uint32_t middle = low + (high - low) / 2;
        if (rows_bytes(block, first, middle) <= room) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Checks the order, counts superseded rows and remembers hashes. */
static enum plinth_status take_keys(struct row_segment_writer *writer, const struct row_block *block, uint32_t first,
                                    uint32_t count, struct plinth_error *error) {
    struct slice last = buffer_slice(&writer->last_key);
    uint64_t last_lsn = writer->last_lsn;
    bool has_filter = has_key_filter(writer);
    if (!buffer_reserve(&writer->hashes, (size_t)count * 8)) return error_no_memory(error, "key filter");
    for (uint32_t row = first; row < first + count; row++) {
        struct slice key = row_block_key(block, row);
        uint64_t lsn = row_block_lsn(block, row);
        bool is_first = row == first && writer->info.rows == 0;
        int order = is_first ? -1 : slice_compare(last, key);
        if (order > 0 || (order == 0 && last_lsn <= lsn) || lsn > INT64_MAX)
            return error_set(error, PLINTH_INTERNAL, "segment %s: row %" PRIu64 " was added out of order",
                             writer->info.name, writer->info.rows + (row - first));
        if (has_filter && (order != 0 || writer->hashes.size ==
                                             0)) { /* a filter knows also the key that its row group goes on with */
            store_u64(writer->hashes.data + writer->hashes.size, hash_stable(key.data, key.size));
            writer->hashes.size += 8;
        }
        if (row == first && writer->stripe_rows == 0) {
            buffer_clear(&writer->first_key);
            writer->stripe_flags = order == 0 ? STRIPE_CONTINUES : 0;
            if (!buffer_append(&writer->first_key, key.data, key.size)) return error_no_memory(error, "stripe index");
        }
        writer->info.superseded += order == 0;
        last = key;
        last_lsn = lsn;
    }
    struct buffer kept = BUFFER_INIT; /* `last` may be what last_key holds */
    if (!buffer_append(&kept, last.data, last.size)) return error_no_memory(error, "last key");
    buffer_deinit(&writer->last_key);
    writer->last_key = kept;
    writer->last_lsn = last_lsn;
    return PLINTH_OK;
}

/* _lsn, _op and _ord, and the info's sums of them. */
static enum plinth_status take_system_columns(struct row_segment_writer *writer, const struct row_block *block,
                                              uint32_t first, uint32_t count, struct plinth_error *error) {
    struct segment_info *info = &writer->info;
    buffer_clear(&writer->lsns);
    buffer_clear(&writer->operations);
    buffer_clear(&writer->ordinals);
    if (!buffer_reserve(&writer->lsns, (size_t)count * 8) || !buffer_reserve(&writer->operations, (size_t)count * 4) ||
        !buffer_reserve(&writer->ordinals, (size_t)count * 4))
        return error_no_memory(error, "segment stripe");
    for (uint32_t i = 0; i < count; i++) {
        uint64_t lsn = row_block_lsn(block, first + i);
        enum row_operation operation = row_block_operation(block, first + i);
        store_u64(writer->lsns.data + 8 * (size_t)i, lsn);
        store_u32(writer->operations.data + 4 * (size_t)i, operation);
        store_u32(writer->ordinals.data + 4 * (size_t)i, block->ordinals ? block->ordinals[first + i] : 0);
        info->deletes += operation == ROW_DELETE;
        if (lsn < info->lsn_min) info->lsn_min = lsn;
        if (lsn > info->lsn_max) info->lsn_max = lsn;
    }
    struct parquet_column_data *data = writer->data + writer->schema->column_count;
    data[0] = (struct parquet_column_data){.rows = count, .slots = count, .values = writer->lsns.data};
    data[1] = (struct parquet_column_data){.rows = count, .slots = count, .values = writer->operations.data};
    data[2] = (struct parquet_column_data){.rows = count, .slots = count, .values = writer->ordinals.data};
    return PLINTH_OK;
}

static bool contains_nan(const struct column *column, uint32_t rows) {
    if (column->type.kind == COLUMN_FLOAT32) {
        const float *values = column->values;
        for (uint32_t i = 0; i < rows; i++)
            if (isnan(values[i]) && !column_is_null(column, i)) return true;
    } else if (column->type.kind == COLUMN_FLOAT64) {
        const double *values = column->values;
        for (uint32_t i = 0; i < rows; i++)
            if (isnan(values[i]) && !column_is_null(column, i)) return true;
    }
    return false;
}

static enum plinth_status take_postings(struct row_segment_writer *writer, uint32_t number, const struct column *column,
                                        uint32_t rows, struct plinth_error *error) {
    const struct table_schema *schema = writer->schema;
    for (uint32_t i = 0; i < schema->index_count; i++) {
        if (!writer->postings[i] || schema->indexes[i].columns[0] != schema->columns[number].id) continue;
        if (!postings_builder_add(writer->postings[i], column, rows, writer->info.rows))
            return error_no_memory(error, "postings");
    }
    return PLINTH_OK;
}

static enum plinth_status take_column(struct row_segment_writer *writer, const struct row_block *block, uint32_t number,
                                      uint32_t first, uint32_t count, struct plinth_error *error) {
    const struct table_column *column = &writer->schema->columns[number];
    const struct column *from = row_block_column(block, column->id);
    struct column piece;
    if (from && !column_type_equal(from->type, column->type))
        return error_set(error, PLINTH_INTERNAL, "segment %s, column %s: the block's type is not the table's",
                         writer->info.name, column->name);
    bool ok = from ? column_slice(&writer->piece, from, first, count, &piece)
                   : column_make_nulls(&writer->piece, column->type, count, &piece);
    if (!ok) return error_no_memory(error, "segment stripe");
    enum plinth_status st = row_column_to_parquet(&writer->piece, &piece, count, &writer->leaves.columns[number],
                                                  &writer->lists[number], &writer->data[number], error);
    if (st) {
        if (error) (void)error_prefix(error, "segment %s, column %s", writer->info.name, column->name);
        return st;
    }
    const struct column *values = column->type.kind == COLUMN_LIST ? piece.child : &piece;
    if (column->type.kind != COLUMN_LIST) writer->has_nan[number] |= contains_nan(values, count);
    return take_postings(writer, number, &piece, count, error);
}

/* Rows that go into the open stripe as a whole. */
static enum plinth_status add_piece(struct row_segment_writer *writer, const struct row_block *block, uint32_t first,
                                    uint32_t count, struct plinth_error *error) {
    uint64_t bytes = rows_bytes(block, first, count);
    struct slice key = row_block_key(block, first);
    if (writer->info.rows == 0 && !buffer_append(&writer->info.key_min, key.data, key.size))
        return error_no_memory(error, "segment bounds");
    enum plinth_status st = take_keys(writer, block, first, count, error);
    if (!st) st = take_system_columns(writer, block, first, count, error);
    for (uint32_t i = 0; i < writer->schema->column_count && !st; i++)
        st = take_column(writer, block, i, first, count, error);
    if (!st) st = parquet_writer_write(writer->parquet, writer->data, count, error);
    arena_reset(&writer->piece);
    if (st) return st;
    writer->info.rows += count;
    writer->raw_bytes += bytes;
    writer->stripe_bytes += bytes;
    writer->stripe_rows += count;
    return writer->stripe_rows == writer->stripe_rows_max ? end_stripe(writer, error) : PLINTH_OK;
}

/* Adds rows until there are none left, or the row group has ended and the encodings of the next are to be chosen. */
static enum plinth_status add_rows(struct row_segment_writer *writer, const struct row_block *block, uint32_t first,
                                   uint32_t count, uint32_t *added, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    *added = 0;
    while (*added < count && !st && !writer->is_choosing) {
        uint32_t room = writer->stripe_rows_max - writer->stripe_rows, left = count - *added;
        uint32_t piece = rows_that_fit(writer, block, first + *added, left < room ? left : room);
        st = piece ? add_piece(writer, block, first + *added, piece, error) : end_stripe(writer, error);
        *added += piece;
    }
    return st;
}

/* Whether enough rows wait for the encodings to be chosen by: where these are chosen for each row group, all of it. */
static bool has_enough(const struct row_segment_writer *writer) {
    if (writer->is_thorough)
        return writer->waiting_count >= GROUP_ROWS_THOROUGH_MAX || writer->waiting_bytes >= writer->group_bytes_max;
    return writer->waiting_count >= WAITING_ROWS_MAX || writer->waiting_bytes >= WAITING_BYTES_MAX ||
           writer->waiting_bytes >= writer->group_bytes_max;
}

/* Chooses the encodings by the rows that wait, and writes these: they are all of the file, or all of the row group. */
static enum plinth_status stop_waiting(struct row_segment_writer *writer, bool are_all, struct plinth_error *error) {
    struct buffer rows = BUFFER_INIT;
    enum plinth_status st = PLINTH_OK;
    if (!writer->parquet)
        st = create_parquet(writer, are_all, error);
    else if (!(st = choose_encodings(writer, are_all, error)))
        st = parquet_writer_set_encodings(writer->parquet, writer->columns, error);
    rows = writer->waiting; /* what begins another row group waits again */
    writer->waiting = (struct buffer)BUFFER_INIT;
    writer->waiting_count = writer->waiting_bytes = 0;
    writer->is_choosing = false;
    const struct waiting_rows *waiting = (const struct waiting_rows *)(const void *)rows.data;
    size_t count = rows.size / sizeof *waiting;
    for (size_t i = 0; i < count && !st; i++)
        st = row_segment_writer_add(writer, waiting[i].block, waiting[i].first, waiting[i].count, error);
    for (size_t i = 0; i < count; i++) row_block_unref(waiting[i].block);
    buffer_deinit(&rows);
    return st;
}

enum plinth_status row_segment_writer_add(struct row_segment_writer *writer, const struct row_block *block,
                                          uint32_t first, uint32_t count, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    while (count && !st && !writer->is_choosing) {
        uint32_t added;
        st = add_rows(writer, block, first, count, &added, error);
        first += added;
        count -= added;
    }
    if (!count || st) return st;
    /* Blocks are immutable and counted: a reference more changes nothing that others see. */
    const struct waiting_rows waiting = {row_block_ref((struct row_block *)block), first, count};
    if (!buffer_append(&writer->waiting, &waiting, sizeof waiting)) {
        row_block_unref(waiting.block);
        return error_no_memory(error, "segment writer");
    }
    writer->waiting_count += count;
    writer->waiting_bytes += rows_bytes(block, first, count);
    return has_enough(writer) ? stop_waiting(writer, writer->is_thorough, error) : PLINTH_OK;
}

uint64_t row_segment_writer_raw_bytes(const struct row_segment_writer *writer) {
    return writer->raw_bytes + writer->waiting_bytes;
}

uint64_t row_segment_writer_rows(const struct row_segment_writer *writer) {
    return writer->info.rows + writer->waiting_count;
}

/* ---- ending ---- */

static enum plinth_status add_text(struct row_segment_writer *writer, const char *key, const struct buffer *text,
                                   struct plinth_error *error) {
    return parquet_writer_add_key_value(writer->parquet, key, buffer_slice(text), error);
}

static bool append_format(struct buffer *text, const char *format, ...) PLINTH_PRINTF(2, 3);
static bool append_format(struct buffer *text, const char *format, ...) {
    char piece[160];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(piece, sizeof piece, format, arguments);
    va_end(arguments);
    return size >= 0 && (size_t)size < sizeof piece && buffer_append(text, piece, (size_t)size);
}

static enum plinth_status add_block(struct row_segment_writer *writer, const char *key, const struct slice *parts,
                                    size_t part_count, struct plinth_error *error) {
    uint64_t begin = 0, bytes = 0;
    uint32_t crc = 0;
    enum plinth_status st = PLINTH_OK;
    for (size_t i = 0; i < part_count && !st; i++) {
        uint64_t offset;
        st = parquet_writer_append_raw(writer->parquet, parts[i], &offset, error);
        if (i == 0) begin = offset;
        bytes += parts[i].size;
        crc = crc32c(crc, parts[i].data, parts[i].size);
    }
    struct buffer text = BUFFER_INIT;
    if (!st && !append_format(&text, "%" PRIu64 ",%" PRIu64 ",%" PRIu32, begin, bytes, crc))
        st = error_no_memory(error, "segment metadata");
    if (!st) st = add_text(writer, key, &text, error);
    buffer_deinit(&text);
    return st;
}

static enum plinth_status add_stripe_index(struct row_segment_writer *writer, struct plinth_error *error) {
    struct buffer head = BUFFER_INIT;
    const struct written_group *groups = (const struct written_group *)(const void *)writer->groups.data;
    size_t count = writer->groups.size / sizeof *groups;
    struct slice *parts = calloc(count + 2, sizeof *parts);
    bool ok = parts && buffer_append_varint(&head, count);
    for (size_t i = 0; i < count && ok; i++)
        ok = buffer_append_varint(&head, groups[i].stripes) && buffer_append_varint(&head, groups[i].bloom.block_count);
    ok = ok && buffer_append_string(&writer->index, buffer_slice(&writer->last_key));
    enum plinth_status st = ok ? PLINTH_OK : error_no_memory(error, "stripe index");
    if (!st) {
        parts[0] = buffer_slice(&head);
        parts[1] = buffer_slice(&writer->index);
        for (size_t i = 0; i < count; i++)
            parts[i + 2] =
                slice_of(groups[i].bloom.blocks, (size_t)groups[i].bloom.block_count * PARQUET_BLOOM_BLOCK_BYTES);
        st = add_block(writer, SEGMENT_META_STRIPE_INDEX, parts, count + 2, error);
    }
    free(parts);
    buffer_deinit(&head);
    return st;
}

static enum plinth_status add_postings(struct row_segment_writer *writer, struct plinth_error *error) {
    const struct table_schema *schema = writer->schema;
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; i < schema->index_count && !st; i++) {
        const struct table_index *index = &schema->indexes[i];
        struct buffer bytes = BUFFER_INIT;
        if (!writer->postings[i] || postings_builder_overflowed(writer->postings[i])) continue;
        char key[64];
        snprintf(key, sizeof key, SEGMENT_META_POSTINGS "%" PRIu32 ".%c", index->columns[0],
                 index->kind == INDEX_BITMAP ? 'b' : 't');
        struct slice known; /* two indexes of one kind on one column share their postings */
        bool is_first = true;
        for (uint32_t k = 0; k < i; k++)
            if (writer->postings[k] && schema->indexes[k].kind == index->kind &&
                schema->indexes[k].columns[0] == index->columns[0])
                is_first = false;
        if (!is_first) continue;
        if (!postings_builder_finish(writer->postings[i], writer->codec_level, &bytes))
            st = error_no_memory(error, "postings");
        known = buffer_slice(&bytes);
        if (!st) st = add_block(writer, key, &known, 1, error);
        buffer_deinit(&bytes);
    }
    return st;
}

static enum plinth_status add_numbers(struct row_segment_writer *writer, struct plinth_error *error) {
    const struct segment_info *info = &writer->info;
    const struct {
        const char *key;
        uint64_t number;
    } numbers[] = {
        {SEGMENT_META_TENANT, info->table.tenant},   {SEGMENT_META_DATABASE, info->table.database},
        {SEGMENT_META_TABLE, info->table.table},     {SEGMENT_META_LSN_MIN, info->lsn_min},
        {SEGMENT_META_LSN_MAX, info->lsn_max},       {SEGMENT_META_DELETES, info->deletes},
        {SEGMENT_META_SUPERSEDED, info->superseded}, {SEGMENT_META_SCHEMA_VERSION, writer->schema->version},
    };
    const char *format = writer->of_index ? SEGMENT_FORMAT_ENTRIES : SEGMENT_FORMAT;
    enum plinth_status st =
        parquet_writer_add_key_value(writer->parquet, SEGMENT_META_FORMAT, slice_of_string(format), error);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && !st; i++) {
        char text[24];
        snprintf(text, sizeof text, "%" PRIu64, numbers[i].number);
        st = parquet_writer_add_key_value(writer->parquet, numbers[i].key, slice_of_string(text), error);
    }
    if (!st && info->has_partition) {
        char text[24];
        snprintf(text, sizeof text, "%" PRId64, info->partition);
        st = parquet_writer_add_key_value(writer->parquet, SEGMENT_META_PARTITION, slice_of_string(text), error);
    }
    return st;
}

static enum plinth_status add_index(struct row_segment_writer *writer, struct plinth_error *error) {
    const struct table_index *index = writer->of_index;
    struct buffer ids = BUFFER_INIT;
    bool ok = true;
    for (uint32_t i = 0; i < table_index_entry_parts(index); i++)
        ok = ok && append_format(&ids, "%s%" PRIu32, i ? "," : "", table_index_part_id(index, i));
    enum plinth_status st = ok ? PLINTH_OK : error_no_memory(error, "segment metadata");
    if (!st)
        st = parquet_writer_add_key_value(writer->parquet, SEGMENT_META_INDEX, slice_of_string(index->name), error);
    if (!st) st = add_text(writer, SEGMENT_META_INDEX_KEY, &ids, error);
    if (!st && index->included_count) {
        buffer_clear(&ids);
        st = append_format(&ids, "%" PRIu32, index->included_count)
                 ? add_text(writer, SEGMENT_META_INDEX_INCLUDED, &ids, error)
                 : error_no_memory(error, "segment metadata");
    }
    buffer_deinit(&ids);
    return st;
}

static enum plinth_status add_schema(struct row_segment_writer *writer, struct plinth_error *error) {
    const struct table_schema *schema = writer->schema;
    struct buffer key = BUFFER_INIT, types = BUFFER_INIT, no_nan = BUFFER_INIT;
    bool ok = true;
    for (uint32_t i = 0; i < schema->key_count; i++)
        ok = ok && append_format(&key, "%s%" PRIu32, i ? "," : "", schema->key[i]);
    for (uint32_t i = 0; i < schema->column_count; i++) {
        const struct table_column *column = &schema->columns[i];
        char text[COLUMN_TYPE_TEXT_MAX];
        ok = ok && append_format(&types, "%s%" PRIu32 ":%s", i ? ";" : "", column->id,
                                 column_type_format(column->type, text));
        if (column_kind_is_float(column->type.kind) && !writer->has_nan[i])
            ok = ok && append_format(&no_nan, "%s%" PRIu32, no_nan.size ? "," : "", column->id);
    }
    enum plinth_status st = ok ? PLINTH_OK : error_no_memory(error, "segment metadata");
    if (!st)
        st = parquet_writer_add_key_value(writer->parquet, SEGMENT_META_KIND,
                                          slice_of_string(writer->of_index ? SEGMENT_KIND_INDEX : SEGMENT_KIND_ROWS),
                                          error);
    if (!st && writer->of_index) st = add_index(writer, error);
    if (!st) st = add_text(writer, SEGMENT_META_KEY, &key, error);
    if (!st) st = add_text(writer, SEGMENT_META_TYPES, &types, error);
    if (!st && no_nan.size) st = add_text(writer, SEGMENT_META_NO_NAN, &no_nan, error);
    buffer_deinit(&key);
    buffer_deinit(&types);
    buffer_deinit(&no_nan);
    return st;
}

enum plinth_status row_segment_writer_commit(struct row_segment_writer *writer, struct segment_info *info,
                                             struct plinth_error *error) {
    *info = (struct segment_info){0};
    enum plinth_status st = PLINTH_OK;
    if (row_segment_writer_rows(writer) == 0)
        st = error_set(error, PLINTH_INTERNAL, "segment %s: committed without rows", writer->info.name);
    while (!st && writer->waiting_count) st = stop_waiting(writer, true, error);
    if (!st) st = end_stripe(writer, error);
    if (!st) st = end_group(writer, error);
    if (!st) st = add_stripe_index(writer, error);
    if (!st) st = add_postings(writer, error);
    if (!st) st = add_numbers(writer, error);
    if (!st) st = add_schema(writer, error);
    if (!st) st = parquet_writer_finish(writer->parquet, &writer->info.bytes, error);
    if (st) {
        row_segment_writer_abort(writer);
        return st;
    }
    writer->info.key_max = writer->last_key;
    writer->last_key = (struct buffer)BUFFER_INIT;
    st = store_commit(writer->out, error);
    if (!st) {
        *info = writer->info;
        writer->info.key_min = writer->info.key_max = (struct buffer)BUFFER_INIT;
    }
    writer_destroy(writer);
    return st;
}
