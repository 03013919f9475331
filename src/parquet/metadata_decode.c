/* Footer, page headers and page index from Thrift. See metadata.h and metadata_private.h; the numbers in the
 * switches are the field ids of parquet.thrift. */
#include <string.h>

#include "base/status.h"
#include "parquet/metadata_private.h"
#include "parquet/schema_private.h"
#include "parquet/thrift.h"

enum { PAGE_HEADER_MEMORY_MAX = 1 << 16 };

static enum plinth_status reader_status(const struct thrift_reader *reader, const char *what,
                                        struct plinth_error *error) {
    if (!reader->failure) return PLINTH_OK;
    return error_set(error, reader->is_out_of_memory ? PLINTH_OUT_OF_MEMORY : PLINTH_CORRUPT, "%s %s", what,
                     reader->failure);
}

static char *read_name(struct thrift_reader *reader, enum thrift_type type) {
    struct slice name = thrift_read_binary(reader, type);
    if (name.size > 0 && memchr(name.data, 0, name.size)) thrift_fail(reader, "has a name with a zero byte in it");
    char *copy = thrift_alloc(reader, name.size + 1, 1);
    if (copy && name.size > 0) memcpy(copy, name.data, name.size);
    return copy;
}

/* ---- Schema ---- */

static enum parquet_time_unit read_time_unit(struct thrift_reader *reader) {
    struct thrift_field field = {0};
    enum parquet_time_unit unit = PARQUET_TIME_MILLIS;
    while (thrift_next_field(reader, &field)) {
        if (field.id >= PARQUET_TIME_MILLIS && field.id <= PARQUET_TIME_NANOS) unit = (enum parquet_time_unit)field.id;
        thrift_skip(reader, field.type);
    }
    return unit;
}

/* The parameters' field ids: DECIMAL 1 scale 2 precision; TIME, TIMESTAMP 1 utc 2 unit; INTEGER 1 bits 2 signed. */
static void read_logical_parameters(struct thrift_reader *reader, struct parquet_logical_type *logical) {
    struct thrift_field field = {0};
    while (thrift_next_field(reader, &field)) {
        bool is_time = logical->kind == PARQUET_LOGICAL_TIME || logical->kind == PARQUET_LOGICAL_TIMESTAMP;
        if (logical->kind == PARQUET_LOGICAL_DECIMAL && field.id == 1)
            logical->scale = thrift_read_i32(reader, field.type);
        else if (logical->kind == PARQUET_LOGICAL_DECIMAL && field.id == 2)
            logical->precision = thrift_read_i32(reader, field.type);
        else if (is_time && field.id == 1)
            logical->is_utc = thrift_read_bool(reader, field.type);
        else if (is_time && field.id == 2 && thrift_is_struct(reader, field.type))
            logical->unit = read_time_unit(reader);
        else if (logical->kind == PARQUET_LOGICAL_INTEGER && field.id == 1)
            logical->bits = (uint8_t)thrift_read_integer(reader, field.type);
        else if (logical->kind == PARQUET_LOGICAL_INTEGER && field.id == 2)
            logical->is_signed = thrift_read_bool(reader, field.type);
        else
            thrift_skip(reader, field.type);
    }
}

static struct parquet_logical_type read_logical(struct thrift_reader *reader, enum thrift_type type) {
    struct parquet_logical_type logical = {0};
    struct thrift_field field = {0};
    if (!thrift_is_struct(reader, type)) return logical;
    while (thrift_next_field(reader, &field)) {
        bool is_known = field.id >= PARQUET_LOGICAL_STRING && field.id <= PARQUET_LOGICAL_GEOGRAPHY && field.id != 9;
        logical.kind = is_known ? (enum parquet_logical_kind)field.id : PARQUET_LOGICAL_OTHER;
        if (thrift_is_struct(reader, field.type)) read_logical_parameters(reader, &logical);
    }
    return logical;
}

/* The old ConvertedType, for files that have no LogicalType. */
static struct parquet_logical_type logical_from_converted(int32_t converted, int32_t scale, int32_t precision) {
    struct parquet_logical_type logical = {0};
    switch (converted) {
    case 0: logical.kind = PARQUET_LOGICAL_STRING; break;
    case 1:
    case 2: logical.kind = PARQUET_LOGICAL_MAP; break;
    case 3: logical.kind = PARQUET_LOGICAL_LIST; break;
    case 4: logical.kind = PARQUET_LOGICAL_ENUM; break;
    case 5:
        logical =
            (struct parquet_logical_type){.kind = PARQUET_LOGICAL_DECIMAL, .scale = scale, .precision = precision};
        break;
    case 6: logical.kind = PARQUET_LOGICAL_DATE; break;
    case 7:
    case 8:
    case 9:
    case 10:
        logical.kind = converted <= 8 ? PARQUET_LOGICAL_TIME : PARQUET_LOGICAL_TIMESTAMP;
        logical.is_utc = true;
        logical.unit = converted & 1 ? PARQUET_TIME_MILLIS : PARQUET_TIME_MICROS;
        break;
    case 11:
    case 12:
    case 13:
    case 14:
    case 15:
    case 16:
    case 17:
    case 18:
        logical.kind = PARQUET_LOGICAL_INTEGER;
        logical.is_signed = converted >= 15;
        logical.bits = (uint8_t)(8 << ((converted - 11) & 3));
        break;
    case 19: logical.kind = PARQUET_LOGICAL_JSON; break;
    case 20: logical.kind = PARQUET_LOGICAL_BSON; break;
    case 21: logical.kind = PARQUET_LOGICAL_INTERVAL; break;
    default: break;
    }
    return logical;
}

/* fastparquet (2024 to 2026, has_nulls=None) writes false and true for REQUIRED and OPTIONAL. */
static int32_t read_repetition(struct thrift_reader *reader, enum thrift_type type) {
    bool is_bool = type == THRIFT_TRUE || type == THRIFT_FALSE;
    return is_bool ? (int32_t)thrift_read_bool(reader, type) : thrift_read_i32(reader, type);
}

static void read_schema_element(struct thrift_reader *reader, struct parquet_node *node) {
    struct thrift_field field = {0};
    bool has_type = false, has_logical = false;
    int32_t converted = -1, scale = 0, precision = 0;
    *node = (struct parquet_node){.name = "", .is_group = true};
    while (thrift_next_field(reader, &field)) {
        switch (field.id) {
        case 1:
            node->type = (enum parquet_type)thrift_read_i32(reader, field.type);
            if ((unsigned)node->type >= PARQUET_TYPE_COUNT) thrift_fail(reader, "has a column of unknown type");
            has_type = true;
            break;
        case 2: node->type_length = thrift_read_size_u32(reader, field.type); break;
        case 3:
            node->repetition = (enum parquet_repetition)read_repetition(reader, field.type);
            if ((unsigned)node->repetition > PARQUET_REPEATED) thrift_fail(reader, "has an unknown repetition");
            break;
        case 4: node->name = read_name(reader, field.type); break;
        case 5: node->child_count = thrift_read_size_u32(reader, field.type); break;
        case 6: converted = thrift_read_i32(reader, field.type); break;
        case 7: scale = thrift_read_i32(reader, field.type); break;
        case 8: precision = thrift_read_i32(reader, field.type); break;
        case 9:
            node->field_id = thrift_read_i32(reader, field.type);
            node->has_field_id = true;
            break;
        case 10:
            node->logical = read_logical(reader, field.type);
            has_logical = true;
            break;
        default: thrift_skip(reader, field.type); break;
        }
    }
    if (reader->failure) return;
    if (has_type && node->child_count > 0) thrift_fail(reader, "has a schema node with both a type and children");
    node->is_group = !has_type;
    if (node->type != PARQUET_TYPE_FIXED || node->is_group) node->type_length = 0;
    if (has_type && node->type == PARQUET_TYPE_FIXED &&
        (node->type_length == 0 || node->type_length > PARQUET_FIXED_LENGTH_MAX))
        thrift_fail(reader, "has a fixed-length column without a valid length");
    if (!has_logical) node->logical = logical_from_converted(converted, scale, precision);
    if (!schema_logical_fits(node)) node->logical = (struct parquet_logical_type){.kind = PARQUET_LOGICAL_OTHER};
}

static void read_schema(struct thrift_reader *reader, enum thrift_type type, struct parquet_metadata *metadata,
                        uint32_t *root_children) {
    uint32_t count = thrift_read_list(reader, type, THRIFT_STRUCT);
    struct parquet_node root;
    if (reader->failure) return;
    if (count == 0) {
        thrift_fail(reader, "has an empty schema");
        return;
    }
    read_schema_element(reader, &root);
    struct parquet_node *nodes = thrift_alloc(reader, count - 1, sizeof *nodes);
    for (uint32_t i = 0; i < count - 1 && !reader->failure; i++) read_schema_element(reader, &nodes[i]);
    *root_children = root.child_count;
    metadata->schema = (struct parquet_schema){.root_name = root.name, .nodes = nodes, .node_count = count - 1};
}

/* ---- Column chunks ---- */

static void read_key_value(struct thrift_reader *reader, struct parquet_key_value *pair) {
    struct thrift_field field = {0};
    while (thrift_next_field(reader, &field)) {
        if (field.id == 1) {
            pair->key = thrift_read_binary(reader, field.type);
        } else if (field.id == 2) {
            pair->value = thrift_read_binary(reader, field.type);
            pair->has_value = true;
        } else {
            thrift_skip(reader, field.type);
        }
    }
}

static struct parquet_key_value *read_key_values(struct thrift_reader *reader, enum thrift_type type, uint32_t *count) {
    *count = thrift_read_list(reader, type, THRIFT_STRUCT);
    struct parquet_key_value *pairs = thrift_alloc(reader, *count, sizeof *pairs);
    for (uint32_t i = 0; i < *count && !reader->failure; i++) read_key_value(reader, &pairs[i]);
    if (reader->failure) *count = 0;
    return pairs;
}

/* Of the two pairs of fields the new one (5, 6) wins over the deprecated one (1, 2). */
static void read_statistics(struct thrift_reader *reader, struct parquet_statistics *statistics) {
    struct thrift_field field = {0};
    struct slice old_min = {0}, old_max = {0};
    bool has_old_min = false, has_old_max = false;
    *statistics = (struct parquet_statistics){0};
    while (thrift_next_field(reader, &field)) {
        switch (field.id) {
        case 1:
            old_max = thrift_read_binary(reader, field.type);
            has_old_max = true;
            break;
        case 2:
            old_min = thrift_read_binary(reader, field.type);
            has_old_min = true;
            break;
        case 3:
            statistics->null_count = thrift_read_size(reader, field.type);
            statistics->has_null_count = true;
            break;
        case 4:
            statistics->distinct_count = thrift_read_size(reader, field.type);
            statistics->has_distinct_count = true;
            break;
        case 5:
            statistics->max = thrift_read_binary(reader, field.type);
            statistics->has_max = true;
            break;
        case 6:
            statistics->min = thrift_read_binary(reader, field.type);
            statistics->has_min = true;
            break;
        case 7: statistics->max_exact = thrift_read_bool(reader, field.type); break;
        case 8: statistics->min_exact = thrift_read_bool(reader, field.type); break;
        case 9:
            statistics->nan_count = thrift_read_size(reader, field.type);
            statistics->has_nan_count = true;
            break;
        default: thrift_skip(reader, field.type); break;
        }
    }
    if (statistics->has_min || statistics->has_max || !(has_old_min || has_old_max)) return;
    statistics->is_legacy = true;
    statistics->min = old_min;
    statistics->max = old_max;
    statistics->has_min = has_old_min;
    statistics->has_max = has_old_max;
}

static void read_encodings(struct thrift_reader *reader, enum thrift_type type, struct parquet_column_chunk *chunk) {
    uint32_t count = thrift_read_list(reader, type, THRIFT_I64);
    for (uint32_t i = 0; i < count && !reader->failure; i++) {
        int32_t encoding = thrift_read_i32(reader, THRIFT_I32);
        if (encoding >= 0 && encoding < 32) chunk->encodings |= 1u << encoding;
    }
}

static void read_encoding_counts(struct thrift_reader *reader, enum thrift_type type,
                                 struct parquet_column_chunk *chunk) {
    uint32_t count = thrift_read_list(reader, type, THRIFT_STRUCT);
    struct parquet_encoding_count *counts = thrift_alloc_any(reader, count, sizeof *counts);
    for (uint32_t i = 0; i < count && !reader->failure; i++) {
        struct thrift_field field = {0};
        counts[i] = (struct parquet_encoding_count){0};
        while (thrift_next_field(reader, &field)) {
            if (field.id == 1)
                counts[i].is_dictionary_page = thrift_read_i32(reader, field.type) == PARQUET_PAGE_DICTIONARY;
            else if (field.id == 2)
                counts[i].encoding = (enum parquet_encoding)thrift_read_i32(reader, field.type);
            else if (field.id == 3)
                counts[i].pages = thrift_read_size_u32(reader, field.type);
            else
                thrift_skip(reader, field.type);
        }
    }
    chunk->encoding_counts = counts;
    chunk->encoding_count_count = reader->failure ? 0 : count;
}

static struct parquet_level_counts read_level_counts(struct thrift_reader *reader, enum thrift_type type) {
    uint32_t count = thrift_read_list(reader, type, THRIFT_I64);
    if (count == 0) return (struct parquet_level_counts){0};
    uint64_t *slots = thrift_alloc_any(reader, count, sizeof *slots);
    for (uint32_t i = 0; i < count && !reader->failure; i++) slots[i] = thrift_read_size(reader, THRIFT_I64);
    return (struct parquet_level_counts){slots, reader->failure ? 0 : count};
}

static void read_size_statistics(struct thrift_reader *reader, const struct parquet_column *column,
                                 struct parquet_column_chunk *chunk) {
    struct thrift_field field = {0};
    struct parquet_level_statistics levels = {0};
    while (thrift_next_field(reader, &field)) {
        if (field.id == 1) {
            chunk->unencoded_bytes = thrift_read_size(reader, field.type);
            chunk->has_unencoded_bytes = true;
        } else if (field.id == 2) {
            levels.repetition = read_level_counts(reader, field.type);
        } else if (field.id == 3) {
            levels.definition = read_level_counts(reader, field.type);
        } else {
            thrift_skip(reader, field.type);
        }
    }
    if (levels.repetition.count != column->repetition_level_max + 1u) levels.repetition.count = 0;
    if (levels.definition.count != column->definition_level_max + 1u) levels.definition.count = 0;
    if (levels.repetition.count + levels.definition.count == 0) return;
    struct parquet_level_statistics *kept = thrift_alloc_any(reader, 1, sizeof *kept);
    if (kept) *kept = levels;
    chunk->levels = kept;
}

static void check_column_type(struct thrift_reader *reader, int32_t type, const struct parquet_column *column) {
    if (type != (int32_t)column->type) thrift_fail(reader, "has a column chunk of another type than its column");
}

static void read_column_metadata(struct thrift_reader *reader, const struct parquet_column *column,
                                 struct parquet_column_chunk *chunk) {
    struct thrift_field field = {0};
    while (thrift_next_field(reader, &field)) {
        switch (field.id) {
        case 1: check_column_type(reader, thrift_read_i32(reader, field.type), column); break;
        case 2: read_encodings(reader, field.type, chunk); break;
        case 4: chunk->codec = (enum parquet_codec)thrift_read_i32(reader, field.type); break;
        case 5: chunk->value_count = thrift_read_size(reader, field.type); break;
        case 6: chunk->uncompressed_bytes = thrift_read_size(reader, field.type); break;
        case 7: chunk->compressed_bytes = thrift_read_size(reader, field.type); break;
        case 8: chunk->key_values = read_key_values(reader, field.type, &chunk->key_value_count); break;
        case 9: chunk->data_page_offset = thrift_read_size(reader, field.type); break;
        case 11: chunk->dictionary_page_offset = thrift_read_size(reader, field.type); break;
        case 12:
            if (thrift_is_struct(reader, field.type)) read_statistics(reader, &chunk->statistics);
            break;
        case 13: read_encoding_counts(reader, field.type, chunk); break;
        case 14: chunk->bloom_offset = thrift_read_size(reader, field.type); break;
        case 15: chunk->bloom_bytes = thrift_read_size_u32(reader, field.type); break;
        case 16:
            if (thrift_is_struct(reader, field.type)) read_size_statistics(reader, column, chunk);
            break;
        default: thrift_skip(reader, field.type); break; /* 3: the path is known from the schema */
        }
    }
}

static void read_column_chunk(struct thrift_reader *reader, const struct parquet_column *column,
                              struct parquet_column_chunk *chunk) {
    struct thrift_field field = {0};
    bool has_metadata = false;
    while (thrift_next_field(reader, &field)) {
        switch (field.id) {
        case 1:
            if (thrift_read_binary(reader, field.type).size > 0) chunk->is_encrypted = true; /* another file */
            break;
        case 3:
            if (thrift_is_struct(reader, field.type)) read_column_metadata(reader, column, chunk);
            has_metadata = true;
            break;
        case 4: chunk->offset_index_offset = thrift_read_size(reader, field.type); break;
        case 5: chunk->offset_index_bytes = thrift_read_size_u32(reader, field.type); break;
        case 6: chunk->column_index_offset = thrift_read_size(reader, field.type); break;
        case 7: chunk->column_index_bytes = thrift_read_size_u32(reader, field.type); break;
        case 8:
        case 9:
            chunk->is_encrypted = true;
            thrift_skip(reader, field.type);
            break;
        default: thrift_skip(reader, field.type); break;
        }
    }
    if (!has_metadata && !chunk->is_encrypted) thrift_fail(reader, "has a column chunk without metadata");
}

/* ---- Row groups and the file ---- */

static void read_sorting(struct thrift_reader *reader, enum thrift_type type, struct parquet_row_group *group) {
    uint32_t count = thrift_read_list(reader, type, THRIFT_STRUCT);
    group->sorting = thrift_alloc(reader, count, sizeof *group->sorting);
    for (uint32_t i = 0; i < count && !reader->failure; i++) {
        struct thrift_field field = {0};
        while (thrift_next_field(reader, &field)) {
            if (field.id == 1)
                group->sorting[i].column = thrift_read_size_u32(reader, field.type);
            else if (field.id == 2)
                group->sorting[i].is_descending = thrift_read_bool(reader, field.type);
            else if (field.id == 3)
                group->sorting[i].nulls_first = thrift_read_bool(reader, field.type);
            else
                thrift_skip(reader, field.type);
        }
    }
    group->sorting_count = reader->failure ? 0 : count;
}

static void read_columns(struct thrift_reader *reader, enum thrift_type type, const struct parquet_schema *schema,
                         struct parquet_row_group *group) {
    uint32_t count = thrift_read_list(reader, type, THRIFT_STRUCT);
    if (count != schema->column_count) thrift_fail(reader, "has a row group without exactly the schema's columns");
    group->columns = thrift_alloc(reader, count, sizeof *group->columns);
    for (uint32_t i = 0; i < count && !reader->failure; i++)
        read_column_chunk(reader, &schema->columns[i], &group->columns[i]);
}

static void read_row_group(struct thrift_reader *reader, const struct parquet_schema *schema,
                           struct parquet_row_group *group) {
    struct thrift_field field = {0};
    while (thrift_next_field(reader, &field)) {
        switch (field.id) {
        case 1: read_columns(reader, field.type, schema, group); break;
        case 2: group->uncompressed_bytes = thrift_read_size(reader, field.type); break;
        case 3: group->row_count = thrift_read_size(reader, field.type); break;
        case 4: read_sorting(reader, field.type, group); break;
        case 5: group->file_offset = (uint64_t)thrift_read_integer(reader, field.type); break;
        case 6: group->compressed_bytes = thrift_read_size(reader, field.type); break;
        default: thrift_skip(reader, field.type); break;
        }
    }
    if (!group->columns && !reader->failure) {
        if (schema->column_count > 0) thrift_fail(reader, "has a row group without columns");
    }
}

static void read_row_groups(struct thrift_reader *reader, enum thrift_type type, struct parquet_metadata *metadata) {
    uint32_t count = thrift_read_list(reader, type, THRIFT_STRUCT);
    metadata->row_groups = thrift_alloc(reader, count, sizeof *metadata->row_groups);
    uint64_t rows = 0;
    for (uint32_t i = 0; i < count && !reader->failure; i++) {
        struct parquet_row_group *group = &metadata->row_groups[i];
        read_row_group(reader, &metadata->schema, group);
        group->first_row = rows;
        if (__builtin_add_overflow(rows, group->row_count, &rows)) thrift_fail(reader, "has too many rows");
    }
    metadata->row_group_count = reader->failure ? 0 : count;
}

/* The ColumnOrder union: 1 of the type, which INT96 has none of; 2 IEEE 754's total order; 3 of INT96 as times. */
static void set_column_order(struct parquet_column *column, int32_t choice) {
    bool is_floating = column->type == PARQUET_TYPE_FLOAT || column->type == PARQUET_TYPE_DOUBLE ||
                       column->logical.kind == PARQUET_LOGICAL_FLOAT16;
    bool is_int96 = column->type == PARQUET_TYPE_INT96;
    column->bounds_order = choice == 2 && is_floating                                ? PARQUET_BOUNDS_TOTAL
                           : (choice == 1 && !is_int96) || (choice == 3 && is_int96) ? PARQUET_BOUNDS_BY_TYPE
                                                                                     : PARQUET_BOUNDS_UNKNOWN;
}

/* Without the list, what the bounds of a column mean is not defined. */
static void forget_column_orders(struct parquet_schema *schema) {
    for (uint32_t i = 0; i < schema->column_count; i++) schema->columns[i].bounds_order = PARQUET_BOUNDS_NOT_SAID;
}

static void read_column_orders(struct thrift_reader *reader, enum thrift_type type, struct parquet_metadata *metadata) {
    uint32_t count = thrift_read_list(reader, type, THRIFT_STRUCT);
    for (uint32_t i = 0; i < count && !reader->failure; i++) {
        struct thrift_field field = {0};
        int32_t choice = 0;
        while (thrift_next_field(reader, &field)) {
            choice = field.id;
            thrift_skip(reader, field.type);
        }
        if (i < metadata->schema.column_count) set_column_order(&metadata->schema.columns[i], choice);
    }
}

static enum plinth_status derive_columns(struct thrift_reader *reader, uint32_t root_children,
                                         struct parquet_metadata *metadata, struct plinth_error *error) {
    enum plinth_status st = reader_status(reader, "the footer", error);
    uint32_t top_level = 0;
    if (!st) st = schema_derive(&metadata->schema, &reader->memory, &top_level, error);
    if (st == PLINTH_INVALID_ARGUMENT) {
        error_prefix(error, "the footer");
        if (error) error->status = PLINTH_CORRUPT;
        return PLINTH_CORRUPT;
    }
    if (!st && top_level != root_children)
        st = error_set(error, PLINTH_CORRUPT, "the footer's schema says %u columns at the root, but has %u",
                       root_children, top_level);
    return st;
}

enum plinth_status metadata_decode(struct slice bytes, struct bounded_arena memory, struct parquet_metadata *metadata,
                                   struct plinth_error *error) {
    struct thrift_reader reader;
    struct thrift_field field = {0};
    bool has_schema = false;
    uint32_t root_children = 0;
    *metadata = (struct parquet_metadata){0};
    thrift_reader_init(&reader, bytes, memory);
    while (thrift_next_field(&reader, &field)) {
        switch (field.id) {
        case 1: metadata->version = thrift_read_i32(&reader, field.type); break;
        case 2:
            if (has_schema) thrift_fail(&reader, "has two schemas");
            read_schema(&reader, field.type, metadata, &root_children);
            enum plinth_status st = derive_columns(&reader, root_children, metadata, error);
            if (st) return st;
            forget_column_orders(&metadata->schema);
            has_schema = true;
            break;
        case 3: metadata->row_count = thrift_read_size(&reader, field.type); break;
        case 4:
            if (!has_schema) thrift_fail(&reader, "has row groups before the schema");
            read_row_groups(&reader, field.type, metadata);
            break;
        case 5: metadata->key_values = read_key_values(&reader, field.type, &metadata->key_value_count); break;
        case 6: metadata->created_by = thrift_read_binary(&reader, field.type); break;
        case 7: read_column_orders(&reader, field.type, metadata); break;
        default: thrift_skip(&reader, field.type); break;
        }
    }
    if (!has_schema) thrift_fail(&reader, "has no schema");
    return reader_status(&reader, "the footer", error);
}

bool parquet_metadata_find(const struct parquet_metadata *metadata, const char *key, struct slice *value) {
    *value = slice_of(NULL, 0);
    for (uint32_t i = 0; i < metadata->key_value_count; i++) {
        if (!slice_equal(metadata->key_values[i].key, slice_of_string(key))) continue;
        *value = metadata->key_values[i].value;
        return true;
    }
    return false;
}

/* ---- Pages ---- */

static void read_data_page(struct thrift_reader *reader, struct parquet_page_header *header) {
    struct thrift_field field = {0};
    while (thrift_next_field(reader, &field)) {
        switch (field.id) {
        case 1: header->value_count = thrift_read_size_u32(reader, field.type); break;
        case 2: header->encoding = (enum parquet_encoding)thrift_read_i32(reader, field.type); break;
        case 3: header->definition_encoding = (enum parquet_encoding)thrift_read_i32(reader, field.type); break;
        case 4: header->repetition_encoding = (enum parquet_encoding)thrift_read_i32(reader, field.type); break;
        default: thrift_skip(reader, field.type); break;
        }
    }
}

static void read_dictionary_page(struct thrift_reader *reader, struct parquet_page_header *header) {
    struct thrift_field field = {0};
    while (thrift_next_field(reader, &field)) {
        if (field.id == 1)
            header->value_count = thrift_read_size_u32(reader, field.type);
        else if (field.id == 2)
            header->encoding = (enum parquet_encoding)thrift_read_i32(reader, field.type);
        else
            thrift_skip(reader, field.type);
    }
}

static void read_data_page_v2(struct thrift_reader *reader, struct parquet_page_header *header) {
    struct thrift_field field = {0};
    header->is_compressed = true;
    while (thrift_next_field(reader, &field)) {
        switch (field.id) {
        case 1: header->value_count = thrift_read_size_u32(reader, field.type); break;
        case 2: header->null_count = thrift_read_size_u32(reader, field.type); break;
        case 3: header->row_count = thrift_read_size_u32(reader, field.type); break;
        case 4: header->encoding = (enum parquet_encoding)thrift_read_i32(reader, field.type); break;
        case 5: header->definition_bytes = thrift_read_size_u32(reader, field.type); break;
        case 6: header->repetition_bytes = thrift_read_size_u32(reader, field.type); break;
        case 7: header->is_compressed = thrift_read_bool(reader, field.type); break;
        default: thrift_skip(reader, field.type); break;
        }
    }
}

static void check_page_header(struct thrift_reader *reader, const struct parquet_page_header *header, bool has_body) {
    if (reader->failure) return;
    if (!has_body && header->type != PARQUET_PAGE_INDEX)
        thrift_fail(reader, "lacks the part that belongs to its type");
    else if (header->type == PARQUET_PAGE_DATA_V2 &&
             (uint64_t)header->definition_bytes + header->repetition_bytes >
                 (header->compressed_bytes < header->uncompressed_bytes ? header->compressed_bytes
                                                                        : header->uncompressed_bytes))
        thrift_fail(reader, "has levels longer than the page");
}

enum plinth_status page_header_decode(struct slice bytes, struct parquet_page_header *header, size_t *header_bytes,
                                      bool *is_truncated, struct plinth_error *error) {
    struct thrift_reader reader;
    struct thrift_field field = {0};
    int32_t body_field = 0, type = -1;
    struct arena arena = {0}; /* page headers hold no lists that are kept */
    *header = (struct parquet_page_header){.type = PARQUET_PAGE_INDEX};
    thrift_reader_init(&reader, bytes, (struct bounded_arena){&arena, 0});
    while (thrift_next_field(&reader, &field)) {
        switch (field.id) {
        case 1: type = thrift_read_i32(&reader, field.type); break;
        case 2: header->uncompressed_bytes = thrift_read_size_u32(&reader, field.type); break;
        case 3: header->compressed_bytes = thrift_read_size_u32(&reader, field.type); break;
        case 4:
            header->crc = (uint32_t)thrift_read_i32(&reader, field.type);
            header->has_crc = true;
            break;
        case 5:
        case 7:
        case 8:
            if (!thrift_is_struct(&reader, field.type)) break;
            body_field = field.id;
            if (field.id == 5) read_data_page(&reader, header);
            if (field.id == 7) read_dictionary_page(&reader, header);
            if (field.id == 8) read_data_page_v2(&reader, header);
            break;
        default: thrift_skip(&reader, field.type); break;
        }
    }
    if (!reader.failure && (type < 0 || type > PARQUET_PAGE_DATA_V2)) thrift_fail(&reader, "is of an unknown type");
    if (!reader.failure) header->type = (enum parquet_page_type)type;
    static const int32_t body_fields[] = {5, 6, 7, 8};
    check_page_header(&reader, header, type >= 0 && type <= PARQUET_PAGE_DATA_V2 && body_field == body_fields[type]);
    *header_bytes = reader.failure ? 0 : (size_t)(reader.at - bytes.data);
    *is_truncated = reader.is_truncated;
    return reader_status(&reader, "the page header", error);
}

/* ---- Page index and bloom filter ---- */

static void read_location(struct thrift_reader *reader, struct parquet_page_location *location) {
    struct thrift_field field = {0};
    while (thrift_next_field(reader, &field)) {
        if (field.id == 1)
            location->offset = thrift_read_size(reader, field.type);
        else if (field.id == 2)
            location->bytes = thrift_read_size_u32(reader, field.type);
        else if (field.id == 3)
            location->first_row = thrift_read_size(reader, field.type);
        else
            thrift_skip(reader, field.type);
    }
}

enum plinth_status offset_index_decode(struct slice bytes, struct bounded_arena memory,
                                       struct parquet_page_index *index, struct plinth_error *error) {
    struct thrift_reader reader;
    struct thrift_field field = {0};
    thrift_reader_init(&reader, bytes, memory);
    while (thrift_next_field(&reader, &field)) {
        if (field.id == 1) {
            uint32_t count = thrift_read_list(&reader, field.type, THRIFT_STRUCT);
            index->locations = thrift_alloc(&reader, count, sizeof *index->locations);
            for (uint32_t i = 0; i < count && !reader.failure; i++) read_location(&reader, &index->locations[i]);
            index->page_count = reader.failure ? 0 : count;
            index->unencoded_bytes = NULL; /* when the list stands there twice, the sizes were of the other one */
        } else if (field.id == 2) {
            struct parquet_level_counts sizes = read_level_counts(&reader, field.type);
            if (sizes.count > 0 && sizes.count == index->page_count) index->unencoded_bytes = sizes.slots;
        } else {
            thrift_skip(&reader, field.type);
        }
    }
    return reader_status(&reader, "the offset index", error);
}

/* Begins one of the ColumnIndex's lists, all of which have an element a page. */
static bool read_bounds_list(struct thrift_reader *reader, enum thrift_type type, enum thrift_type element,
                             uint32_t pages) {
    uint32_t count = thrift_read_list(reader, type, element);
    if (!reader->failure && count != pages) thrift_fail(reader, "has another number of pages than the offset index");
    return !reader->failure;
}

enum plinth_status column_index_decode(struct slice bytes, struct bounded_arena memory,
                                       struct parquet_page_index *index, struct plinth_error *error) {
    struct thrift_reader reader;
    struct thrift_field field = {0};
    unsigned seen = 0;
    uint32_t pages = index->page_count;
    thrift_reader_init(&reader, bytes, memory);
    struct parquet_page_bounds *bounds = thrift_alloc(&reader, pages, sizeof *bounds);
    while (thrift_next_field(&reader, &field)) {
        if (field.id >= 1 && field.id <= 5) seen |= 1u << field.id;
        if (field.id == 1 && read_bounds_list(&reader, field.type, THRIFT_TRUE, pages)) {
            for (uint32_t i = 0; i < pages; i++) bounds[i].is_null_page = thrift_read_bool_element(&reader);
        } else if (field.id == 2 && read_bounds_list(&reader, field.type, THRIFT_BINARY, pages)) {
            for (uint32_t i = 0; i < pages; i++) bounds[i].min = thrift_read_binary(&reader, THRIFT_BINARY);
        } else if (field.id == 3 && read_bounds_list(&reader, field.type, THRIFT_BINARY, pages)) {
            for (uint32_t i = 0; i < pages; i++) bounds[i].max = thrift_read_binary(&reader, THRIFT_BINARY);
        } else if (field.id == 4) {
            int32_t order = thrift_read_i32(&reader, field.type);
            index->order = order == PARQUET_ASCENDING || order == PARQUET_DESCENDING
                               ? (enum parquet_boundary_order)order
                               : PARQUET_UNORDERED;
        } else if (field.id == 5 && read_bounds_list(&reader, field.type, THRIFT_I64, pages)) {
            for (uint32_t i = 0; i < pages; i++) {
                int64_t nulls = thrift_read_integer(&reader, THRIFT_I64);
                if (nulls < 0) seen &= ~(1u << 5); /* some writers say -1 for "not counted" */
                bounds[i].null_count = nulls < 0 ? 0 : (uint64_t)nulls;
            }
        } else if (field.id == 6) {
            index->levels.repetition = read_level_counts(&reader, field.type);
        } else if (field.id == 7) {
            index->levels.definition = read_level_counts(&reader, field.type);
        } else if (field.id == 8 && read_bounds_list(&reader, field.type, THRIFT_I64, pages)) {
            for (uint32_t i = 0; i < pages; i++) bounds[i].nan_count = thrift_read_size(&reader, THRIFT_I64);
            index->has_nan_counts = true;
        } else if (field.id > 5) {
            thrift_skip(&reader, field.type);
        } else if (field.id < 1) {
            thrift_fail(&reader, "has an unknown field");
        }
    }
    if (!reader.failure && (seen & 0x1e) != 0x1e) thrift_fail(&reader, "lacks a required field");
    enum plinth_status st = reader_status(&reader, "the column index", error);
    if (st) return st;
    index->bounds = bounds;
    index->has_null_counts = (seen & 1u << 5) != 0;
    return PLINTH_OK;
}

/* A union of empty structs: the id of its one member. */
static int32_t read_choice(struct thrift_reader *reader, enum thrift_type type) {
    struct thrift_field field = {0};
    int32_t choice = 0;
    if (!thrift_is_struct(reader, type)) return 0;
    while (thrift_next_field(reader, &field)) {
        choice = field.id;
        thrift_skip(reader, field.type);
    }
    return choice;
}

enum plinth_status bloom_header_decode(struct slice bytes, size_t *header_bytes, uint32_t *bitset_bytes,
                                       struct plinth_error *error) {
    struct thrift_reader reader;
    struct thrift_field field = {0};
    struct arena arena = {0};
    int32_t choices[5] = {0};
    *header_bytes = 0;
    *bitset_bytes = 0;
    thrift_reader_init(&reader, bytes, (struct bounded_arena){&arena, 0});
    while (thrift_next_field(&reader, &field)) {
        if (field.id == 1)
            *bitset_bytes = thrift_read_size_u32(&reader, field.type);
        else if (field.id >= 2 && field.id <= 4)
            choices[field.id] = read_choice(&reader, field.type);
        else
            thrift_skip(&reader, field.type);
    }
    enum plinth_status st = reader_status(&reader, "the bloom filter's header", error);
    if (st) return st;
    if (choices[2] != 1 || choices[3] != 1 || choices[4] != 1)
        return error_set(error, PLINTH_UNSUPPORTED,
                         "the bloom filter is of an unknown kind (algorithm %d, hash %d, compression %d)", choices[2],
                         choices[3], choices[4]);
    if (*bitset_bytes == 0 || *bitset_bytes % PARQUET_BLOOM_BLOCK_BYTES || *bitset_bytes > PARQUET_BLOOM_BYTES_MAX)
        return error_set(error, PLINTH_CORRUPT, "the bloom filter's size, %u bytes, is not possible", *bitset_bytes);
    *header_bytes = (size_t)(reader.at - bytes.data);
    return PLINTH_OK;
}
