/* Schema.fbs: which Arrow types are read as what, and how Plinth's types are written. */
#include "base/status.h"
#include "column/arrow_ipc_private.h"

enum {
    FIELD_NAME = 0,
    FIELD_NULLABLE = 1,
    FIELD_TYPE_TYPE = 2,
    FIELD_TYPE = 3,
    FIELD_DICTIONARY = 4,
    FIELD_CHILDREN = 5,
    FIELD_METADATA = 6
};
enum { DICTIONARY_ID = 0, DICTIONARY_INDEX_TYPE = 1, DICTIONARY_KIND = 3 };

/* The union Type. */
enum arrow_type {
    TYPE_NULL = 1,
    TYPE_INT,
    TYPE_FLOATING_POINT,
    TYPE_BINARY,
    TYPE_UTF8,
    TYPE_BOOL,
    TYPE_DECIMAL,
    TYPE_DATE,
    TYPE_TIME,
    TYPE_TIMESTAMP,
    TYPE_INTERVAL,
    TYPE_LIST,
    TYPE_STRUCT,
    TYPE_UNION,
    TYPE_FIXED_SIZE_BINARY,
    TYPE_FIXED_SIZE_LIST,
    TYPE_MAP,
    TYPE_DURATION,
    TYPE_LARGE_BINARY,
    TYPE_LARGE_UTF8,
    TYPE_LARGE_LIST,
    TYPE_RUN_END_ENCODED,
    TYPE_BINARY_VIEW,
    TYPE_UTF8_VIEW,
    TYPE_LIST_VIEW,
    TYPE_LARGE_LIST_VIEW,
    TYPE_COUNT
};

static const char *const TYPE_NAMES[TYPE_COUNT] = {
    [TYPE_NULL] = "Null",
    [TYPE_INT] = "Int",
    [TYPE_FLOATING_POINT] = "FloatingPoint",
    [TYPE_BINARY] = "Binary",
    [TYPE_UTF8] = "Utf8",
    [TYPE_BOOL] = "Bool",
    [TYPE_DECIMAL] = "Decimal",
    [TYPE_DATE] = "Date",
    [TYPE_TIME] = "Time",
    [TYPE_TIMESTAMP] = "Timestamp",
    [TYPE_INTERVAL] = "Interval",
    [TYPE_LIST] = "List",
    [TYPE_STRUCT] = "Struct",
    [TYPE_UNION] = "Union",
    [TYPE_FIXED_SIZE_BINARY] = "FixedSizeBinary",
    [TYPE_FIXED_SIZE_LIST] = "FixedSizeList",
    [TYPE_MAP] = "Map",
    [TYPE_DURATION] = "Duration",
    [TYPE_LARGE_BINARY] = "LargeBinary",
    [TYPE_LARGE_UTF8] = "LargeUtf8",
    [TYPE_LARGE_LIST] = "LargeList",
    [TYPE_RUN_END_ENCODED] = "RunEndEncoded",
    [TYPE_BINARY_VIEW] = "BinaryView",
    [TYPE_UTF8_VIEW] = "Utf8View",
    [TYPE_LIST_VIEW] = "ListView",
    [TYPE_LARGE_LIST_VIEW] = "LargeListView",
};

enum { FLOAT_SINGLE = 1, FLOAT_DOUBLE = 2, DATE_DAY = 0, DATE_MILLISECOND = 1, NAME_SHOWN_BYTES_MAX = 100 };

static const char EXTENSION_NAME_KEY[] = "ARROW:extension:name";
static const char EXTENSION_METADATA_KEY[] = "ARROW:extension:metadata";
static const char EXTENSION_UUID[] = "arrow.uuid";

/* ---- reading ---- */

enum plinth_status ipc_error_in_column(enum plinth_status status, const char *name, struct plinth_error *error) {
    int shown = (int)strnlen(name, NAME_SHOWN_BYTES_MAX + 1);
    if (shown > NAME_SHOWN_BYTES_MAX) { /* not inside a character */
        shown = NAME_SHOWN_BYTES_MAX;
        while (shown > 0 && ((uint8_t)name[shown] & 0xC0) == 0x80) shown--;
    }
    error_prefix(error, "column '%.*s'%s", shown, name, name[shown] ? "..." : "");
    return status;
}

static enum plinth_status malformed(struct plinth_error *error) {
    return error_set(error, PLINTH_INVALID_ARGUMENT, "malformed metadata (its offsets do not hold)");
}

static enum plinth_status integer_type(struct flatbuffer_table table, uint8_t *kind, struct plinth_error *error) {
    int32_t bits = flatbuffer_i32(table, 0, 0);
    bool is_signed = flatbuffer_u8(table, 1, 0);
    switch (bits) {
    case 8: *kind = is_signed ? COLUMN_INT8 : COLUMN_UINT8; return PLINTH_OK;
    case 16: *kind = is_signed ? COLUMN_INT16 : COLUMN_UINT16; return PLINTH_OK;
    case 32: *kind = is_signed ? COLUMN_INT32 : COLUMN_UINT32; return PLINTH_OK;
    case 64: *kind = is_signed ? COLUMN_INT64 : COLUMN_UINT64; return PLINTH_OK;
    default: return error_set(error, PLINTH_INVALID_ARGUMENT, "there are no integers of %d bits", bits);
    }
}

static enum plinth_status float_type(struct flatbuffer_table table, struct column_type *type,
                                     struct plinth_error *error) {
    int16_t precision = flatbuffer_i16(table, 0, 0);
    if (precision == FLOAT_SINGLE)
        type->kind = COLUMN_FLOAT32;
    else if (precision == FLOAT_DOUBLE)
        type->kind = COLUMN_FLOAT64;
    else if (precision == 0)
        return error_set(error, PLINTH_UNSUPPORTED, "type FloatingPoint(HALF) is not supported");
    else
        return error_set(error, PLINTH_INVALID_ARGUMENT, "there is no float precision %d", precision);
    return PLINTH_OK;
}

static enum plinth_status decimal_type(struct flatbuffer_table table, struct column_type *type,
                                       struct plinth_error *error) {
    int32_t precision = flatbuffer_i32(table, 0, 0), scale = flatbuffer_i32(table, 1, 0);
    int32_t bits = flatbuffer_i32(table, 2, 128);
    if (bits != 128)
        return error_set(error, PLINTH_UNSUPPORTED, "type Decimal of %d bits is not supported, only 128", bits);
    if (precision < 1 || precision > DECIMAL_PRECISION_MAX)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "a Decimal cannot have precision %d", precision);
    if (scale < 0 || scale > precision)
        return error_set(error, PLINTH_UNSUPPORTED, "type Decimal(%d, %d) is not supported: the scale lies outside",
                         precision, scale);
    *type = (struct column_type){.kind = COLUMN_DECIMAL, .precision = (uint8_t)precision, .scale = (uint8_t)scale};
    return PLINTH_OK;
}

static enum plinth_status time_unit(struct flatbuffer_table table, int16_t absent, uint8_t *unit,
                                    struct plinth_error *error) {
    int16_t value = flatbuffer_i16(table, 0, absent);
    if (value < TIME_SECOND || value > TIME_NANO)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "there is no time unit %d", value);
    *unit = (uint8_t)value;
    return PLINTH_OK;
}

static enum plinth_status date_type(struct flatbuffer_table table, struct column_type *type,
                                    struct plinth_error *error) {
    int16_t unit = flatbuffer_i16(table, 0, DATE_MILLISECOND);
    if (unit == DATE_DAY)
        type->kind = COLUMN_DATE;
    else if (unit == DATE_MILLISECOND)
        *type = (struct column_type){.kind = COLUMN_TIMESTAMP, .unit = TIME_MILLI};
    else
        return error_set(error, PLINTH_INVALID_ARGUMENT, "there is no date unit %d", unit);
    return PLINTH_OK;
}

static enum plinth_status time_type(struct flatbuffer_table table, struct column_type *type,
                                    struct plinth_error *error) {
    uint8_t unit = TIME_MILLI;
    enum plinth_status st = time_unit(table, TIME_MILLI, &unit, error);
    if (st) return st;
    int32_t bits = flatbuffer_i32(table, 1, 32);
    if (bits != (unit <= TIME_MILLI ? 32 : 64))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "a Time of this unit cannot have %d bits", bits);
    type->kind = bits == 32 ? COLUMN_INT32 : COLUMN_INT64;
    return PLINTH_OK;
}

/* Whether the field's metadata names the extension type arrow.uuid. */
static bool is_uuid(struct flatbuffer_table field) {
    struct flatbuffer_vector metadata = flatbuffer_elements(field, FIELD_METADATA, 4);
    for (uint32_t i = 0; i < metadata.count; i++) {
        struct flatbuffer_table pair = flatbuffer_element_table(field.in, metadata, i);
        if (slice_equal(flatbuffer_string(pair, KEY_VALUE_KEY), slice_of_string(EXTENSION_NAME_KEY)))
            return slice_equal(flatbuffer_string(pair, KEY_VALUE_VALUE), slice_of_string(EXTENSION_UUID));
        if (field.in->is_malformed) break;
    }
    return false;
}

static enum plinth_status fixed_binary_type(struct flatbuffer_table field, struct flatbuffer_table table,
                                            struct ipc_field *out, struct plinth_error *error) {
    int32_t width = flatbuffer_i32(table, 0, 0);
    if (width < 0) return error_set(error, PLINTH_INVALID_ARGUMENT, "FixedSizeBinary of %d bytes", width);
    out->type.kind = COLUMN_BYTES;
    out->layout = IPC_BYTES_FIXED;
    out->fixed_count = (uint32_t)width;
    if (width == 16 && is_uuid(field)) {
        out->type.kind = COLUMN_UUID;
        out->layout = IPC_FIXED;
    }
    return PLINTH_OK;
}

static enum plinth_status read_field(struct flatbuffer_table table, struct arena *arena, bool is_element,
                                     struct ipc_field *out, struct plinth_error *error);

/* The element's kind and parameters become the list's. */
static enum plinth_status list_type(struct flatbuffer_table field, struct arena *arena, struct ipc_field *out,
                                    struct plinth_error *error) {
    struct flatbuffer_vector children = flatbuffer_elements(field, FIELD_CHILDREN, 4);
    if (children.count != 1)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "a list has one child, not %u", children.count);
    out->child = arena_zalloc(arena, sizeof *out->child);
    if (!out->child) return error_no_memory(error, "schema");
    enum plinth_status st = read_field(flatbuffer_element_table(field.in, children, 0), arena, true, out->child, error);
    if (st) return st;
    out->type = out->child->type;
    out->type.element = out->type.kind;
    out->type.kind = COLUMN_LIST;
    return PLINTH_OK;
}

static enum plinth_status read_type(struct flatbuffer_table field, struct arena *arena, struct ipc_field *out,
                                    struct plinth_error *error) {
    uint8_t type = flatbuffer_u8(field, FIELD_TYPE_TYPE, 0);
    struct flatbuffer_table table = flatbuffer_child(field, FIELD_TYPE);
    out->layout = IPC_FIXED;
    switch (type) {
    case TYPE_NULL:
        out->layout = IPC_NULL;
        out->type.kind = COLUMN_STRING;
        return PLINTH_OK;
    case TYPE_BOOL:
        out->layout = IPC_BOOL;
        out->type.kind = COLUMN_BOOL;
        return PLINTH_OK;
    case TYPE_INT: return integer_type(table, &out->type.kind, error);
    case TYPE_FLOATING_POINT: return float_type(table, &out->type, error);
    case TYPE_DECIMAL: return decimal_type(table, &out->type, error);
    case TYPE_DATE: return date_type(table, &out->type, error);
    case TYPE_TIME: return time_type(table, &out->type, error);
    case TYPE_DURATION: out->type.kind = COLUMN_INT64; return time_unit(table, TIME_MILLI, &(uint8_t){0}, error);
    case TYPE_TIMESTAMP:
        out->type.kind = COLUMN_TIMESTAMP;
        out->type.zoned = flatbuffer_string(table, 1).size > 0;
        return time_unit(table, TIME_SECOND, &out->type.unit, error);
    case TYPE_BINARY:
    case TYPE_LARGE_BINARY:
        out->layout = type == TYPE_BINARY ? IPC_BYTES_32 : IPC_BYTES_64;
        out->type.kind = COLUMN_BYTES;
        return PLINTH_OK;
    case TYPE_UTF8:
    case TYPE_LARGE_UTF8:
        out->layout = type == TYPE_UTF8 ? IPC_BYTES_32 : IPC_BYTES_64;
        out->type.kind = COLUMN_STRING;
        return PLINTH_OK;
    case TYPE_FIXED_SIZE_BINARY: return fixed_binary_type(field, table, out, error);
    case TYPE_LIST: out->layout = IPC_LIST_32; return list_type(field, arena, out, error);
    case TYPE_LARGE_LIST: out->layout = IPC_LIST_64; return list_type(field, arena, out, error);
    case TYPE_FIXED_SIZE_LIST:
        out->layout = IPC_LIST_FIXED;
        out->fixed_count = (uint32_t)flatbuffer_i32(table, 0, 0);
        if (out->fixed_count > INT32_MAX)
            return error_set(error, PLINTH_INVALID_ARGUMENT, "FixedSizeList of %d elements", (int)out->fixed_count);
        return list_type(field, arena, out, error);
    default:
        if (type == 0 || type >= TYPE_COUNT)
            return error_set(error, type ? PLINTH_UNSUPPORTED : PLINTH_INVALID_ARGUMENT, "there is no type %u", type);
        return error_set(error, PLINTH_UNSUPPORTED, "type %s is not supported", TYPE_NAMES[type]);
    }
}

static enum plinth_status read_name(struct flatbuffer_table table, struct arena *arena, const char **name,
                                    struct plinth_error *error) {
    struct slice bytes = flatbuffer_string(table, FIELD_NAME);
    if (bytes.size && (memchr(bytes.data, 0, bytes.size) || utf8_find_invalid(bytes) != SIZE_MAX))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "a column's name is not valid UTF-8");
    *name = (const char *)arena_copy(arena, bytes);
    return *name ? PLINTH_OK : error_no_memory(error, "schema");
}

static enum plinth_status read_encoding(struct flatbuffer_table table, struct ipc_field *out,
                                        struct plinth_error *error) {
    struct flatbuffer_table encoding = flatbuffer_child(table, FIELD_DICTIONARY);
    if (flatbuffer_is_absent(encoding)) return PLINTH_OK;
    out->is_dictionary = true;
    out->dictionary_id = flatbuffer_i64(encoding, DICTIONARY_ID, 0);
    if (flatbuffer_i16(encoding, DICTIONARY_KIND, 0) != 0)
        return error_set(error, PLINTH_UNSUPPORTED, "its dictionary is of an unknown kind");
    struct flatbuffer_table index_type = flatbuffer_child(encoding, DICTIONARY_INDEX_TYPE);
    out->index_kind = COLUMN_INT32;
    return flatbuffer_is_absent(index_type) ? PLINTH_OK : integer_type(index_type, &out->index_kind, error);
}

static enum plinth_status read_field(struct flatbuffer_table table, struct arena *arena, bool is_element,
                                     struct ipc_field *out, struct plinth_error *error) {
    enum plinth_status st = read_name(table, arena, &out->name, error);
    if (st) return st;
    uint8_t type = flatbuffer_u8(table, FIELD_TYPE_TYPE, 0);
    out->nullable = flatbuffer_u8(table, FIELD_NULLABLE, 0);
    if (is_element && (type == TYPE_LIST || type == TYPE_LARGE_LIST || type == TYPE_FIXED_SIZE_LIST))
        st = error_set(error, PLINTH_UNSUPPORTED, "lists of lists are not supported");
    if (!st) st = read_type(table, arena, out, error);
    if (!st) st = read_encoding(table, out, error);
    if (table.in && table.in->is_malformed) {
        error_clear(error);
        st = malformed(error);
    }
    if (st && !is_element) return ipc_error_in_column(st, out->name, error);
    return st;
}

/* Whether two fields' dictionaries can be one. */
static bool same_values(const struct ipc_field *a, const struct ipc_field *b) {
    if (!column_type_equal(a->type, b->type) || a->layout != b->layout || a->fixed_count != b->fixed_count)
        return false;
    if (!a->child) return true;
    const struct ipc_field *x = a->child, *y = b->child;
    return x->is_dictionary == y->is_dictionary && x->index_kind == y->index_kind &&
           x->dictionary_id == y->dictionary_id && same_values(x, y);
}

static enum plinth_status note_dictionary(struct ipc_schema *schema, struct ipc_field *field,
                                          struct plinth_error *error) {
    if (!field->is_dictionary) return PLINTH_OK;
    field->dictionary = schema->dictionary_count;
    struct ipc_dictionary *known = ipc_schema_dictionary(schema, field->dictionary_id);
    if (known && !same_values(known->field, field))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "dictionary %lld has another type in column '%s'",
                         (long long)field->dictionary_id, known->field->name);
    if (known) {
        field->dictionary = (uint32_t)(known - schema->dictionaries);
        return PLINTH_OK;
    }
    struct ipc_dictionary *added = &schema->dictionaries[schema->dictionary_count++];
    *added = (struct ipc_dictionary){.id = field->dictionary_id, .field = field};
    return PLINTH_OK;
}

struct ipc_dictionary *ipc_schema_dictionary(const struct ipc_schema *schema, int64_t id) {
    for (uint32_t i = 0; i < schema->dictionary_count; i++)
        if (schema->dictionaries[i].id == id) return &schema->dictionaries[i];
    return NULL;
}

enum plinth_status ipc_schema_read(struct flatbuffer_table table, struct arena *arena, struct ipc_schema *schema,
                                   struct plinth_error *error) {
    *schema = (struct ipc_schema){0};
    if (flatbuffer_is_absent(table)) return error_set(error, PLINTH_INVALID_ARGUMENT, "the schema is missing");
    if (flatbuffer_i16(table, SCHEMA_ENDIANNESS, 0) != 0)
        return error_set(error, PLINTH_UNSUPPORTED, "big-endian data is not supported");
    struct flatbuffer_vector fields = flatbuffer_elements(table, SCHEMA_FIELDS, 4);
    if (table.in->is_malformed) return malformed(error);
    if (fields.count > BATCH_COLUMNS_MAX)
        return error_set(error, PLINTH_TOO_LARGE, "%u columns; at most %d", fields.count, BATCH_COLUMNS_MAX);
    schema->fields = arena_zalloc(arena, fields.count * sizeof *schema->fields);
    schema->schema.fields = arena_zalloc(arena, fields.count * sizeof *schema->schema.fields);
    schema->dictionaries = arena_zalloc(arena, 2 * fields.count * sizeof *schema->dictionaries);
    if (!schema->fields || !schema->schema.fields || !schema->dictionaries) return error_no_memory(error, "schema");
    for (uint32_t i = 0; i < fields.count; i++) {
        struct ipc_field *field = &schema->fields[i];
        enum plinth_status st = read_field(flatbuffer_element_table(table.in, fields, i), arena, false, field, error);
        if (st && !field->name) error_prefix(error, "column number %u", i + 1);
        if (st) return st;
        st = note_dictionary(schema, field, error);
        if (!st && field->child) st = note_dictionary(schema, field->child, error);
        if (st) return ipc_error_in_column(st, field->name, error);
        schema->schema.fields[i] = (struct arrow_field){field->name, field->type, field->nullable};
    }
    schema->schema.field_count = fields.count;
    return PLINTH_OK;
}

/* ---- writing ---- */

static uint8_t arrow_type_of(struct column_type type) {
    switch (type.kind) {
    case COLUMN_BOOL: return TYPE_BOOL;
    case COLUMN_FLOAT32:
    case COLUMN_FLOAT64: return TYPE_FLOATING_POINT;
    case COLUMN_DECIMAL: return TYPE_DECIMAL;
    case COLUMN_STRING: return TYPE_UTF8;
    case COLUMN_BYTES: return TYPE_BINARY;
    case COLUMN_DATE: return TYPE_DATE;
    case COLUMN_TIMESTAMP: return TYPE_TIMESTAMP;
    case COLUMN_UUID: return TYPE_FIXED_SIZE_BINARY;
    case COLUMN_LIST: return TYPE_LIST;
    default: return TYPE_INT;
    }
}

static void write_type(struct flatbuffer_writer *writer, uint32_t field, struct column_type type) {
    struct flatbuffer_field fields[3] = {0};
    uint16_t count = 0;
    switch (type.kind) {
    case COLUMN_BOOL:
    case COLUMN_STRING:
    case COLUMN_BYTES:
    case COLUMN_LIST: break;
    case COLUMN_FLOAT32:
    case COLUMN_FLOAT64:
        fields[count++] = (struct flatbuffer_field){0, 2, type.kind == COLUMN_FLOAT32 ? FLOAT_SINGLE : FLOAT_DOUBLE};
        break;
    case COLUMN_DECIMAL:
        fields[count++] = (struct flatbuffer_field){0, 4, type.precision};
        fields[count++] = (struct flatbuffer_field){1, 4, type.scale};
        fields[count++] = (struct flatbuffer_field){2, 4, 128};
        break;
    case COLUMN_DATE: fields[count++] = (struct flatbuffer_field){0, 2, DATE_DAY}; break;
    case COLUMN_TIMESTAMP:
        fields[count++] = (struct flatbuffer_field){0, 2, type.unit};
        if (type.zoned) fields[count++] = (struct flatbuffer_field){1, 4, 0};
        break;
    case COLUMN_UUID: fields[count++] = (struct flatbuffer_field){0, 4, 16}; break;
    default:
        fields[count++] = (struct flatbuffer_field){0, 4, 8 * column_type_width(type)};
        fields[count++] = (struct flatbuffer_field){1, 1, column_kind_is_signed(type.kind)};
        break;
    }
    uint32_t table = flatbuffer_write_table_at(writer, field, FIELD_TYPE, fields, count);
    if (type.kind == COLUMN_TIMESTAMP && type.zoned)
        flatbuffer_write_string_at(writer, table, 1, slice_of_string("UTC"));
}

static void write_key_value(struct flatbuffer_writer *writer, uint32_t slot, const char *key, const char *value) {
    static const struct flatbuffer_field fields[] = {{KEY_VALUE_KEY, 4, 0}, {KEY_VALUE_VALUE, 4, 0}};
    uint32_t pair = flatbuffer_write_element(writer, slot, fields, 2);
    flatbuffer_write_string_at(writer, pair, KEY_VALUE_KEY, slice_of_string(key));
    flatbuffer_write_string_at(writer, pair, KEY_VALUE_VALUE, slice_of_string(value));
}

/* The field that element `slot` of a vector refers to. */
static void write_field(struct flatbuffer_writer *writer, uint32_t slot, const char *name, struct column_type type,
                        bool nullable) {
    struct flatbuffer_field fields[6] = {
        {FIELD_NAME, 4, 0}, {FIELD_NULLABLE, 1, nullable}, {FIELD_TYPE_TYPE, 1, arrow_type_of(type)},
        {FIELD_TYPE, 4, 0}, {FIELD_CHILDREN, 4, 0},        {FIELD_METADATA, 4, 0},
    };
    bool is_extension = type.kind == COLUMN_UUID;
    uint32_t field = flatbuffer_write_element(writer, slot, fields, is_extension ? 6 : 5);
    flatbuffer_write_string_at(writer, field, FIELD_NAME, slice_of_string(name));
    write_type(writer, field, type);
    bool is_list = type.kind == COLUMN_LIST;
    uint32_t children = flatbuffer_write_vector_at(writer, field, FIELD_CHILDREN, is_list, 4, 4);
    if (is_list) write_field(writer, children, "item", column_type_element(type), true);
    if (!is_extension) return;
    uint32_t metadata = flatbuffer_write_vector_at(writer, field, FIELD_METADATA, 2, 4, 4);
    write_key_value(writer, metadata, EXTENSION_NAME_KEY, EXTENSION_UUID);
    write_key_value(writer, metadata + 4, EXTENSION_METADATA_KEY, "");
}

void ipc_schema_write(struct flatbuffer_writer *writer, uint32_t parent, uint16_t id,
                      const struct arrow_schema *schema) {
    static const struct flatbuffer_field fields[] = {{SCHEMA_ENDIANNESS, 2, 0}, {SCHEMA_FIELDS, 4, 0}};
    uint32_t table = flatbuffer_write_table_at(writer, parent, id, fields, 2);
    uint32_t first = flatbuffer_write_vector_at(writer, table, SCHEMA_FIELDS, schema->field_count, 4, 4);
    for (uint32_t i = 0; i < schema->field_count; i++) {
        const struct arrow_field *field = &schema->fields[i];
        write_field(writer, first + 4 * i, field->name, field->type, field->nullable);
    }
}
