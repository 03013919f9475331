/* Footer, page headers and page index to Thrift. See metadata_private.h; the numbers are the field ids of
 * parquet.thrift. The old ConvertedType is written beside the LogicalType wherever it means the same, for readers that
 * know only that one. */
#include "parquet/metadata_private.h"
#include "parquet/thrift.h"

/* ---- Schema ---- */

static int32_t converted_from_logical(const struct parquet_logical_type *logical) {
    bool is_micros = logical->unit == PARQUET_TIME_MICROS;
    switch (logical->kind) {
    case PARQUET_LOGICAL_STRING: return 0;
    case PARQUET_LOGICAL_MAP: return 1;
    case PARQUET_LOGICAL_LIST: return 3;
    case PARQUET_LOGICAL_ENUM: return 4;
    case PARQUET_LOGICAL_DECIMAL: return 5;
    case PARQUET_LOGICAL_DATE: return 6;
    case PARQUET_LOGICAL_TIME:
        if (!logical->is_utc || logical->unit == PARQUET_TIME_NANOS) return -1;
        return is_micros ? 8 : 7;
    case PARQUET_LOGICAL_TIMESTAMP:
        if (!logical->is_utc || logical->unit == PARQUET_TIME_NANOS) return -1;
        return is_micros ? 10 : 9;
    case PARQUET_LOGICAL_INTEGER: {
        int step = logical->bits == 8 ? 0 : logical->bits == 16 ? 1 : logical->bits == 32 ? 2 : 3;
        return (logical->is_signed ? 15 : 11) + step;
    }
    case PARQUET_LOGICAL_JSON: return 19;
    case PARQUET_LOGICAL_BSON: return 20;
    case PARQUET_LOGICAL_INTERVAL: return 21;
    default: return -1;
    }
}

static void write_logical(struct thrift_writer *writer, const struct parquet_logical_type *logical) {
    if (logical->kind == PARQUET_LOGICAL_NONE || logical->kind >= PARQUET_LOGICAL_INTERVAL) return;
    thrift_begin_struct_field(writer, 10);
    thrift_begin_struct_field(writer, (int32_t)logical->kind);
    if (logical->kind == PARQUET_LOGICAL_DECIMAL) {
        thrift_write_i32_field(writer, 1, logical->scale);
        thrift_write_i32_field(writer, 2, logical->precision);
    } else if (logical->kind == PARQUET_LOGICAL_TIME || logical->kind == PARQUET_LOGICAL_TIMESTAMP) {
        thrift_write_bool_field(writer, 1, logical->is_utc);
        thrift_begin_struct_field(writer, 2);
        thrift_begin_struct_field(writer, (int32_t)logical->unit);
        thrift_end_struct(writer);
        thrift_end_struct(writer);
    } else if (logical->kind == PARQUET_LOGICAL_INTEGER) {
        thrift_write_byte_field(writer, 1, (int8_t)logical->bits);
        thrift_write_bool_field(writer, 2, logical->is_signed);
    }
    thrift_end_struct(writer);
    thrift_end_struct(writer);
}

static void write_node(struct thrift_writer *writer, const struct parquet_node *node) {
    thrift_begin_struct(writer);
    if (!node->is_group) thrift_write_i32_field(writer, 1, (int32_t)node->type);
    if (!node->is_group && node->type == PARQUET_TYPE_FIXED)
        thrift_write_i32_field(writer, 2, (int32_t)node->type_length);
    thrift_write_i32_field(writer, 3, (int32_t)node->repetition);
    thrift_write_binary_field(writer, 4, slice_of_string(node->name));
    if (node->is_group) thrift_write_i32_field(writer, 5, (int32_t)node->child_count);
    int32_t converted = converted_from_logical(&node->logical);
    if (converted >= 0) thrift_write_i32_field(writer, 6, converted);
    if (node->logical.kind == PARQUET_LOGICAL_DECIMAL) {
        thrift_write_i32_field(writer, 7, node->logical.scale);
        thrift_write_i32_field(writer, 8, node->logical.precision);
    }
    if (node->has_field_id) thrift_write_i32_field(writer, 9, node->field_id);
    write_logical(writer, &node->logical);
    thrift_end_struct(writer);
}

static uint32_t count_root_children(const struct parquet_schema *schema) {
    uint32_t roots = 0;
    uint64_t inside = 0; /* nodes still to come that have a parent other than the root */
    for (uint32_t i = 0; i < schema->node_count; i++) {
        if (inside == 0)
            roots++;
        else
            inside--;
        inside += schema->nodes[i].child_count;
    }
    return roots;
}

static void write_schema(struct thrift_writer *writer, const struct parquet_schema *schema) {
    thrift_begin_list_field(writer, 2, THRIFT_STRUCT, schema->node_count + 1);
    thrift_begin_struct(writer);
    thrift_write_binary_field(writer, 4, slice_of_string(schema->root_name));
    thrift_write_i32_field(writer, 5, (int32_t)count_root_children(schema));
    thrift_end_struct(writer);
    for (uint32_t i = 0; i < schema->node_count; i++) write_node(writer, &schema->nodes[i]);
}

/* ---- Column chunks and row groups ---- */

static void write_statistics(struct thrift_writer *writer, int32_t id, const struct parquet_statistics *statistics) {
    if (!statistics->has_min && !statistics->has_max && !statistics->has_null_count) return;
    thrift_begin_struct_field(writer, id);
    if (statistics->has_null_count) thrift_write_i64_field(writer, 3, (int64_t)statistics->null_count);
    if (statistics->has_distinct_count) thrift_write_i64_field(writer, 4, (int64_t)statistics->distinct_count);
    if (statistics->has_max) thrift_write_binary_field(writer, 5, statistics->max);
    if (statistics->has_min) thrift_write_binary_field(writer, 6, statistics->min);
    if (statistics->has_max) thrift_write_bool_field(writer, 7, statistics->max_exact);
    if (statistics->has_min) thrift_write_bool_field(writer, 8, statistics->min_exact);
    if (statistics->has_nan_count) thrift_write_i64_field(writer, 9, (int64_t)statistics->nan_count);
    thrift_end_struct(writer);
}

static void write_key_values(struct thrift_writer *writer, int32_t id, const struct parquet_key_value *pairs,
                             uint32_t count) {
    if (count == 0) return;
    thrift_begin_list_field(writer, id, THRIFT_STRUCT, count);
    for (uint32_t i = 0; i < count; i++) {
        thrift_begin_struct(writer);
        thrift_write_binary_field(writer, 1, pairs[i].key);
        if (pairs[i].has_value) thrift_write_binary_field(writer, 2, pairs[i].value);
        thrift_end_struct(writer);
    }
}

static void write_encoding_counts(struct thrift_writer *writer, const struct parquet_column_chunk *chunk) {
    if (chunk->encoding_count_count == 0) return;
    thrift_begin_list_field(writer, 13, THRIFT_STRUCT, chunk->encoding_count_count);
    for (uint32_t i = 0; i < chunk->encoding_count_count; i++) {
        const struct parquet_encoding_count *count = &chunk->encoding_counts[i];
        thrift_begin_struct(writer);
        thrift_write_i32_field(writer, 1, count->is_dictionary_page ? PARQUET_PAGE_DICTIONARY : PARQUET_PAGE_DATA);
        thrift_write_i32_field(writer, 2, (int32_t)count->encoding);
        thrift_write_i32_field(writer, 3, (int32_t)count->pages);
        thrift_end_struct(writer);
    }
}

static void write_level_counts(struct thrift_writer *writer, int32_t id, const struct parquet_level_counts *levels) {
    if (levels->count == 0) return;
    thrift_begin_list_field(writer, id, THRIFT_I64, levels->count);
    for (uint32_t i = 0; i < levels->count; i++) thrift_write_integer(writer, (int64_t)levels->slots[i]);
}

static void write_size_statistics(struct thrift_writer *writer, const struct parquet_column_chunk *chunk) {
    if (!chunk->has_unencoded_bytes && !chunk->levels) return;
    thrift_begin_struct_field(writer, 16);
    if (chunk->has_unencoded_bytes) thrift_write_i64_field(writer, 1, (int64_t)chunk->unencoded_bytes);
    if (chunk->levels) {
        write_level_counts(writer, 2, &chunk->levels->repetition);
        write_level_counts(writer, 3, &chunk->levels->definition);
    }
    thrift_end_struct(writer);
}

static void write_column_metadata(struct thrift_writer *writer, const struct parquet_column *column,
                                  const struct parquet_column_chunk *chunk) {
    thrift_begin_struct_field(writer, 3);
    thrift_write_i32_field(writer, 1, (int32_t)column->type);
    thrift_begin_list_field(writer, 2, THRIFT_I32, (uint32_t)__builtin_popcount(chunk->encodings));
    for (int encoding = 0; encoding < 32; encoding++)
        if (chunk->encodings >> encoding & 1) thrift_write_integer(writer, encoding);
    thrift_begin_list_field(writer, 3, THRIFT_BINARY, column->part_count);
    for (uint32_t i = 0; i < column->part_count; i++) thrift_write_binary(writer, slice_of_string(column->parts[i]));
    thrift_write_i32_field(writer, 4, (int32_t)chunk->codec);
    thrift_write_i64_field(writer, 5, (int64_t)chunk->value_count);
    thrift_write_i64_field(writer, 6, (int64_t)chunk->uncompressed_bytes);
    thrift_write_i64_field(writer, 7, (int64_t)chunk->compressed_bytes);
    write_key_values(writer, 8, chunk->key_values, chunk->key_value_count);
    thrift_write_i64_field(writer, 9, (int64_t)chunk->data_page_offset);
    if (chunk->dictionary_page_offset) thrift_write_i64_field(writer, 11, (int64_t)chunk->dictionary_page_offset);
    write_statistics(writer, 12, &chunk->statistics);
    write_encoding_counts(writer, chunk);
    if (chunk->bloom_offset) {
        thrift_write_i64_field(writer, 14, (int64_t)chunk->bloom_offset);
        thrift_write_i32_field(writer, 15, (int32_t)chunk->bloom_bytes);
    }
    write_size_statistics(writer, chunk);
    thrift_end_struct(writer);
}

static void write_column_chunk(struct thrift_writer *writer, const struct parquet_column *column,
                               const struct parquet_column_chunk *chunk) {
    thrift_begin_struct(writer);
    thrift_write_i64_field(writer, 2, 0); /* deprecated: where a copy of the metadata lies; 0 = nowhere */
    write_column_metadata(writer, column, chunk);
    if (chunk->offset_index_offset) {
        thrift_write_i64_field(writer, 4, (int64_t)chunk->offset_index_offset);
        thrift_write_i32_field(writer, 5, (int32_t)chunk->offset_index_bytes);
    }
    if (chunk->column_index_offset) {
        thrift_write_i64_field(writer, 6, (int64_t)chunk->column_index_offset);
        thrift_write_i32_field(writer, 7, (int32_t)chunk->column_index_bytes);
    }
    thrift_end_struct(writer);
}

static void write_row_group(struct thrift_writer *writer, const struct parquet_schema *schema,
                            const struct parquet_row_group *group, uint32_t ordinal) {
    thrift_begin_struct(writer);
    thrift_begin_list_field(writer, 1, THRIFT_STRUCT, schema->column_count);
    for (uint32_t i = 0; i < schema->column_count; i++)
        write_column_chunk(writer, &schema->columns[i], &group->columns[i]);
    thrift_write_i64_field(writer, 2, (int64_t)group->uncompressed_bytes);
    thrift_write_i64_field(writer, 3, (int64_t)group->row_count);
    if (group->sorting_count) {
        thrift_begin_list_field(writer, 4, THRIFT_STRUCT, group->sorting_count);
        for (uint32_t i = 0; i < group->sorting_count; i++) {
            thrift_begin_struct(writer);
            thrift_write_i32_field(writer, 1, (int32_t)group->sorting[i].column);
            thrift_write_bool_field(writer, 2, group->sorting[i].is_descending);
            thrift_write_bool_field(writer, 3, group->sorting[i].nulls_first);
            thrift_end_struct(writer);
        }
    }
    thrift_write_i64_field(writer, 5, (int64_t)group->file_offset);
    thrift_write_i64_field(writer, 6, (int64_t)group->compressed_bytes);
    if (ordinal <= INT16_MAX) thrift_write_i16_field(writer, 7, (int16_t)ordinal);
    thrift_end_struct(writer);
}

bool metadata_encode(const struct parquet_metadata *metadata, struct buffer *out) {
    struct thrift_writer writer;
    thrift_writer_init(&writer, out);
    thrift_begin_struct(&writer);
    thrift_write_i32_field(&writer, 1, metadata->version);
    write_schema(&writer, &metadata->schema);
    thrift_write_i64_field(&writer, 3, (int64_t)metadata->row_count);
    thrift_begin_list_field(&writer, 4, THRIFT_STRUCT, metadata->row_group_count);
    for (uint32_t i = 0; i < metadata->row_group_count; i++)
        write_row_group(&writer, &metadata->schema, &metadata->row_groups[i], i);
    write_key_values(&writer, 5, metadata->key_values, metadata->key_value_count);
    thrift_write_binary_field(&writer, 6, metadata->created_by);
    thrift_begin_list_field(&writer, 7, THRIFT_STRUCT, metadata->schema.column_count);
    for (uint32_t i = 0; i < metadata->schema.column_count; i++) {
        thrift_begin_struct(&writer);
        thrift_begin_struct_field(&writer, metadata->schema.columns[i].type == PARQUET_TYPE_INT96 ? 3 : 1);
        thrift_end_struct(&writer);
        thrift_end_struct(&writer);
    }
    thrift_end_struct(&writer);
    return !writer.failed;
}

/* ---- Pages, page index, bloom filter ---- */

bool page_header_encode(const struct parquet_page_header *header, struct buffer *out) {
    struct thrift_writer writer;
    thrift_writer_init(&writer, out);
    thrift_begin_struct(&writer);
    thrift_write_i32_field(&writer, 1, (int32_t)header->type);
    thrift_write_i32_field(&writer, 2, (int32_t)header->uncompressed_bytes);
    thrift_write_i32_field(&writer, 3, (int32_t)header->compressed_bytes);
    if (header->has_crc) thrift_write_i32_field(&writer, 4, (int32_t)header->crc);
    if (header->type == PARQUET_PAGE_DATA) {
        thrift_begin_struct_field(&writer, 5);
        thrift_write_i32_field(&writer, 1, (int32_t)header->value_count);
        thrift_write_i32_field(&writer, 2, (int32_t)header->encoding);
        thrift_write_i32_field(&writer, 3, (int32_t)header->definition_encoding);
        thrift_write_i32_field(&writer, 4, (int32_t)header->repetition_encoding);
    } else if (header->type == PARQUET_PAGE_DICTIONARY) {
        thrift_begin_struct_field(&writer, 7);
        thrift_write_i32_field(&writer, 1, (int32_t)header->value_count);
        thrift_write_i32_field(&writer, 2, (int32_t)header->encoding);
    } else {
        thrift_begin_struct_field(&writer, 8);
        thrift_write_i32_field(&writer, 1, (int32_t)header->value_count);
        thrift_write_i32_field(&writer, 2, (int32_t)header->null_count);
        thrift_write_i32_field(&writer, 3, (int32_t)header->row_count);
        thrift_write_i32_field(&writer, 4, (int32_t)header->encoding);
        thrift_write_i32_field(&writer, 5, (int32_t)header->definition_bytes);
        thrift_write_i32_field(&writer, 6, (int32_t)header->repetition_bytes);
        thrift_write_bool_field(&writer, 7, header->is_compressed);
    }
    thrift_end_struct(&writer);
    thrift_end_struct(&writer);
    return !writer.failed;
}

bool offset_index_encode(const struct parquet_page_location *locations, const uint64_t *unencoded_bytes, uint32_t count,
                         struct buffer *out) {
    struct thrift_writer writer;
    thrift_writer_init(&writer, out);
    thrift_begin_struct(&writer);
    thrift_begin_list_field(&writer, 1, THRIFT_STRUCT, count);
    for (uint32_t i = 0; i < count; i++) {
        thrift_begin_struct(&writer);
        thrift_write_i64_field(&writer, 1, (int64_t)locations[i].offset);
        thrift_write_i32_field(&writer, 2, (int32_t)locations[i].bytes);
        thrift_write_i64_field(&writer, 3, (int64_t)locations[i].first_row);
        thrift_end_struct(&writer);
    }
    if (unencoded_bytes) {
        thrift_begin_list_field(&writer, 2, THRIFT_I64, count);
        for (uint32_t i = 0; i < count; i++) thrift_write_integer(&writer, (int64_t)unencoded_bytes[i]);
    }
    thrift_end_struct(&writer);
    return !writer.failed;
}

bool column_index_encode(const struct parquet_page_index *index, struct buffer *out) {
    const struct parquet_page_bounds *bounds = index->bounds;
    uint32_t count = index->page_count;
    struct thrift_writer writer;
    thrift_writer_init(&writer, out);
    thrift_begin_struct(&writer);
    thrift_begin_list_field(&writer, 1, THRIFT_TRUE, count);
    for (uint32_t i = 0; i < count; i++) thrift_write_bool(&writer, bounds[i].is_null_page);
    thrift_begin_list_field(&writer, 2, THRIFT_BINARY, count);
    for (uint32_t i = 0; i < count; i++) thrift_write_binary(&writer, bounds[i].min);
    thrift_begin_list_field(&writer, 3, THRIFT_BINARY, count);
    for (uint32_t i = 0; i < count; i++) thrift_write_binary(&writer, bounds[i].max);
    thrift_write_i32_field(&writer, 4, (int32_t)index->order);
    thrift_begin_list_field(&writer, 5, THRIFT_I64, count);
    for (uint32_t i = 0; i < count; i++) thrift_write_integer(&writer, (int64_t)bounds[i].null_count);
    write_level_counts(&writer, 6, &index->levels.repetition);
    write_level_counts(&writer, 7, &index->levels.definition);
    if (index->has_nan_counts) {
        thrift_begin_list_field(&writer, 8, THRIFT_I64, count);
        for (uint32_t i = 0; i < count; i++) thrift_write_integer(&writer, (int64_t)bounds[i].nan_count);
    }
    thrift_end_struct(&writer);
    return !writer.failed;
}

bool bloom_header_encode(uint32_t bitset_bytes, struct buffer *out) {
    struct thrift_writer writer;
    thrift_writer_init(&writer, out);
    thrift_begin_struct(&writer);
    thrift_write_i32_field(&writer, 1, (int32_t)bitset_bytes);
    for (int32_t id = 2; id <= 4; id++) {
        thrift_begin_struct_field(&writer, id);
        thrift_begin_struct_field(&writer, 1);
        thrift_end_struct(&writer);
        thrift_end_struct(&writer);
    }
    thrift_end_struct(&writer);
    return !writer.failed;
}
