/* Files and what is known of them. See include/plinth_parquet.h. */
#include <stdlib.h>

#include "base/status.h"
#include "parquet/api_private.h"
#include "parquet/arrow_read.h"
#include "parquet/statistics.h"

enum { SPARE_BYTES_MAX = 1 << 20 };

static enum plinth_status read_file(struct parquet_source *source, uint64_t offset, void *into, size_t size,
                                    struct plinth_error *error) {
    struct plinth_parquet_file *file =
        (struct plinth_parquet_file *)(void *)((char *)source - offsetof(struct plinth_parquet_file, source));
    if (file->read) return file->read(file->context, offset, into, size, error);
    return file_read_exact(file->file, offset, into, size, error);
}

void api_file_unref(struct plinth_parquet_file *file) {
    if (atomic_fetch_sub_explicit(&file->references, 1, memory_order_acq_rel) > 1) return;
    parquet_scratch_destroy(atomic_load_explicit(&file->spare, memory_order_relaxed));
    parquet_reader_close(file->reader);
    file_close(file->file);
    arena_deinit(&file->arena);
    free(file);
}

enum plinth_status api_file_take_scratch(struct plinth_parquet_file *file, struct parquet_scratch **scratch,
                                         struct plinth_error *error) {
    *scratch = atomic_exchange_explicit(&file->spare, NULL, memory_order_acq_rel);
    return *scratch ? PLINTH_OK : parquet_scratch_create(scratch, error);
}

void api_file_return_scratch(struct plinth_parquet_file *file, struct parquet_scratch *scratch) {
    if (scratch && parquet_scratch_memory(scratch) <= SPARE_BYTES_MAX)
        scratch = atomic_exchange_explicit(&file->spare, scratch, memory_order_acq_rel);
    parquet_scratch_destroy(scratch);
}

/* Texts with a zero behind them. */
static enum plinth_status copy_texts(struct plinth_parquet_file *file, struct plinth_error *error) {
    const struct parquet_metadata *metadata = parquet_reader_metadata(file->reader);
    uint32_t count = metadata->key_value_count;
    file->created_by = (const char *)arena_copy(&file->arena, metadata->created_by);
    file->keys = arena_zalloc(&file->arena, (count + 1) * sizeof *file->keys);
    file->values = arena_zalloc(&file->arena, (count + 1) * sizeof *file->values);
    bool is_ok = file->created_by && file->keys && file->values;
    for (uint32_t i = 0; is_ok && i < count; i++) {
        const struct parquet_key_value *pair = &metadata->key_values[i];
        file->keys[i] = (const char *)arena_copy(&file->arena, pair->key);
        if (pair->has_value) file->values[i] = (const char *)arena_copy(&file->arena, pair->value);
        is_ok = file->keys[i] && (!pair->has_value || file->values[i]);
    }
    return is_ok ? PLINTH_OK : error_no_memory(error, "Parquet metadata");
}

enum { BATCH_BYTES_ENOUGH = 256 << 20, STREAM_TIMES = 16 };

static struct plinth_parquet_file *make_file(const struct plinth_parquet_open_options *options) {
    static const enum parquet_time_unit units[] = {
        [PLINTH_PARQUET_INT96_MICROS] = PARQUET_TIME_MICROS, [PLINTH_PARQUET_INT96_MILLIS] = PARQUET_TIME_MILLIS};
    struct plinth_parquet_file *file = calloc(1, sizeof *file);
    if (!file) return NULL;
    atomic_init(&file->references, 1);
    atomic_init(&file->spare, NULL);
    arena_init(&file->arena);
    file->int96_unit = PARQUET_TIME_NANOS;
    uint64_t one = options && options->memory_bytes_max ? options->memory_bytes_max : BATCH_BYTES_ENOUGH;
    file->batch_bytes_enough = one < BATCH_BYTES_ENOUGH ? one : BATCH_BYTES_ENOUGH;
    file->stream_bytes_max = one < UINT64_MAX / STREAM_TIMES ? one * STREAM_TIMES : UINT64_MAX;
    if (options) {
        if (options->stream_bytes_max) file->stream_bytes_max = options->stream_bytes_max;
        file->allow_invalid_utf8 = options->allow_invalid_utf8;
        if (options->int96 == PLINTH_PARQUET_INT96_MICROS || options->int96 == PLINTH_PARQUET_INT96_MILLIS)
            file->int96_unit = units[options->int96];
    }
    return file;
}

static enum plinth_status finish_open(struct plinth_parquet_file *file,
                                      const struct plinth_parquet_open_options *options,
                                      struct plinth_parquet_file **file_out, struct plinth_error *error) {
    struct parquet_reader_options own = {0};
    if (options) own = (struct parquet_reader_options){options->memory_bytes_max, options->no_checksums};
    enum plinth_status st = parquet_reader_open(&file->source, &own, &file->reader, error);
    if (!st) st = copy_texts(file, error);
    if (st)
        api_file_unref(file);
    else
        *file_out = file;
    return st;
}

enum plinth_status plinth_parquet_open(const char *path, const struct plinth_parquet_open_options *options,
                                       struct plinth_parquet_file **file_out, struct plinth_error *error) {
    *file_out = NULL;
    error_clear(error);
    struct plinth_parquet_file *file = make_file(options);
    if (!file) return error_no_memory(error, "Parquet file");
    file->source.read = read_file;
    enum plinth_status st = env_open(env_posix(), path, ENV_READ, &file->file, error);
    if (!st) st = file_size(file->file, &file->source.size, error);
    if (st) {
        api_file_unref(file);
        return st;
    }
    st = finish_open(file, options, file_out, error);
    if (st) error_prefix(error, "%.200s", path);
    return st;
}

enum plinth_status plinth_parquet_open_memory(const void *bytes, size_t size,
                                              const struct plinth_parquet_open_options *options,
                                              struct plinth_parquet_file **file_out, struct plinth_error *error) {
    *file_out = NULL;
    error_clear(error);
    struct plinth_parquet_file *file = make_file(options);
    if (!file) return error_no_memory(error, "Parquet file");
    file->source.size = size;
    file->source.mapped = size ? bytes : (const void *)"";
    return finish_open(file, options, file_out, error);
}

enum plinth_status plinth_parquet_open_function(plinth_parquet_read_function *read, void *context, uint64_t size,
                                                const struct plinth_parquet_open_options *options,
                                                struct plinth_parquet_file **file_out, struct plinth_error *error) {
    *file_out = NULL;
    error_clear(error);
    struct plinth_parquet_file *file = make_file(options);
    if (!file) return error_no_memory(error, "Parquet file");
    file->source = (struct parquet_source){.size = size, .read = read_file};
    file->read = read;
    file->context = context;
    return finish_open(file, options, file_out, error);
}

void plinth_parquet_close(struct plinth_parquet_file *file) {
    if (file) api_file_unref(file);
}

/* ---- What is known ---- */

void plinth_parquet_get_info(const struct plinth_parquet_file *file, struct plinth_parquet_info *info) {
    const struct parquet_metadata *metadata = parquet_reader_metadata(file->reader);
    uint64_t rows = 0; /* some files say another sum */
    for (uint32_t i = 0; i < metadata->row_group_count; i++) rows += metadata->row_groups[i].row_count;
    *info = (struct plinth_parquet_info){.row_count = rows,
                                         .row_group_count = metadata->row_group_count,
                                         .column_count = metadata->schema.column_count,
                                         .key_value_count = metadata->key_value_count,
                                         .version = metadata->version,
                                         .created_by = file->created_by};
}

enum plinth_status plinth_parquet_get_key_value(const struct plinth_parquet_file *file, uint32_t i, const char **key,
                                                const char **value, struct plinth_error *error) {
    uint32_t count = parquet_reader_metadata(file->reader)->key_value_count;
    *key = *value = NULL;
    error_clear(error);
    if (i >= count) return error_set(error, PLINTH_INVALID_ARGUMENT, "key-value pair %u of %u", i, count);
    *key = file->keys[i];
    *value = file->values[i];
    return PLINTH_OK;
}

enum plinth_status plinth_parquet_get_column(const struct plinth_parquet_file *file, uint32_t column,
                                             struct plinth_parquet_column_info *info, struct plinth_error *error) {
    const struct parquet_schema *schema = &parquet_reader_metadata(file->reader)->schema;
    *info = (struct plinth_parquet_column_info){0};
    error_clear(error);
    if (column >= schema->column_count)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "column %u of %u", column, schema->column_count);
    const struct parquet_column *about = &schema->columns[column];
    *info = (struct plinth_parquet_column_info){.path = about->path,
                                                .physical_type = parquet_type_name(about->type),
                                                .type_length = about->type_length,
                                                .definition_level_max = about->definition_level_max,
                                                .repetition_level_max = about->repetition_level_max};
    return PLINTH_OK;
}

enum plinth_status plinth_parquet_get_chunk(const struct plinth_parquet_file *file, uint32_t row_group, uint32_t column,
                                            struct plinth_parquet_chunk_info *info, struct plinth_error *error) {
    const struct parquet_metadata *metadata = parquet_reader_metadata(file->reader);
    *info = (struct plinth_parquet_chunk_info){0};
    error_clear(error);
    if (row_group >= metadata->row_group_count || column >= metadata->schema.column_count)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "row group %u of %u, column %u of %u", row_group,
                         metadata->row_group_count, column, metadata->schema.column_count);
    const struct parquet_column_chunk *chunk = &metadata->row_groups[row_group].columns[column];
    uint64_t dictionary = chunk->dictionary_page_offset;
    struct slice min, max;
    *info = (struct plinth_parquet_chunk_info){
        .row_count = metadata->row_groups[row_group].row_count,
        .value_count = chunk->value_count,
        .codec = parquet_codec_name(chunk->codec),
        .encodings = chunk->encodings,
        .offset = dictionary && dictionary < chunk->data_page_offset ? dictionary : chunk->data_page_offset,
        .compressed_bytes = chunk->compressed_bytes,
        .uncompressed_bytes = chunk->uncompressed_bytes,
        .has_null_count = chunk->statistics.has_null_count,
        .null_count = chunk->statistics.null_count,
        .has_page_index = chunk->offset_index_offset > 0,
        .has_bloom_filter = chunk->bloom_offset > 0,
        .is_encrypted = chunk->is_encrypted,
        .has_nan_count = chunk->statistics.has_nan_count,
        .has_unencoded_bytes = chunk->has_unencoded_bytes,
        .nan_count = chunk->statistics.nan_count,
        .unencoded_bytes = chunk->unencoded_bytes};
    if (chunk->levels && chunk->levels->repetition.count > 0) info->repetition_counts = chunk->levels->repetition.slots;
    if (chunk->levels && chunk->levels->definition.count > 0) info->definition_counts = chunk->levels->definition.slots;
    if (!parquet_statistics_bounds(&metadata->schema.columns[column], &chunk->statistics, &min, &max)) return PLINTH_OK;
    info->min = min.data ? min.data : (const void *)"";
    info->max = max.data ? max.data : (const void *)"";
    info->min_size = min.size;
    info->max_size = max.size;
    info->min_exact = chunk->statistics.min_exact;
    info->max_exact = chunk->statistics.max_exact;
    return PLINTH_OK;
}

enum plinth_status plinth_parquet_get_schema(const struct plinth_parquet_file *file, struct ArrowSchema *schema,
                                             struct plinth_error *error) {
    const struct parquet_schema *own = &parquet_reader_metadata(file->reader)->schema;
    struct parquet_fields fields;
    struct arena arena;
    *schema = (struct ArrowSchema){0};
    error_clear(error);
    arena_init(&arena);
    enum plinth_status st = parquet_fields_init(&fields, &arena, own, NULL, error);
    if (!st) st = arrow_schema_export(own, &fields, file->int96_unit, schema, error);
    arena_deinit(&arena);
    return st;
}
