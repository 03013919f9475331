/* Schemas of the C Data interface: format strings, names and flags, both ways. */
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "column/arrow_data_private.h"

enum { FORMAT_TEXT_MAX = 32 };

/* ---- reading ---- */

static enum plinth_status refuse(const struct ArrowSchema *schema, const char *what, struct plinth_error *error) {
    return error_set(error, PLINTH_UNSUPPORTED, "Arrow format \"%.60s\"%s", schema->format, what);
}

/* Formats that are one word. */
static const struct {
    const char *format;
    uint8_t kind;
    uint8_t unit;
    uint8_t layout;
} plain_formats[] = {
    {"n", COLUMN_STRING, 0, DATA_NULL},     {"b", COLUMN_BOOL, 0, DATA_FIXED},
    {"c", COLUMN_INT8, 0, DATA_FIXED},      {"s", COLUMN_INT16, 0, DATA_FIXED},
    {"i", COLUMN_INT32, 0, DATA_FIXED},     {"l", COLUMN_INT64, 0, DATA_FIXED},
    {"C", COLUMN_UINT8, 0, DATA_FIXED},     {"S", COLUMN_UINT16, 0, DATA_FIXED},
    {"I", COLUMN_UINT32, 0, DATA_FIXED},    {"L", COLUMN_UINT64, 0, DATA_FIXED},
    {"f", COLUMN_FLOAT32, 0, DATA_FIXED},   {"g", COLUMN_FLOAT64, 0, DATA_FIXED},
    {"u", COLUMN_STRING, 0, DATA_BYTES_32}, {"U", COLUMN_STRING, 0, DATA_BYTES_64},
    {"z", COLUMN_BYTES, 0, DATA_BYTES_32},  {"Z", COLUMN_BYTES, 0, DATA_BYTES_64},
    {"tdD", COLUMN_DATE, 0, DATA_FIXED},    {"tdm", COLUMN_TIMESTAMP, TIME_MILLI, DATA_FIXED},
    {"tts", COLUMN_INT32, 0, DATA_FIXED},   {"ttm", COLUMN_INT32, 0, DATA_FIXED},
    {"ttu", COLUMN_INT64, 0, DATA_FIXED},   {"ttn", COLUMN_INT64, 0, DATA_FIXED},
    {"tDs", COLUMN_INT64, 0, DATA_FIXED},   {"tDm", COLUMN_INT64, 0, DATA_FIXED},
    {"tDu", COLUMN_INT64, 0, DATA_FIXED},   {"tDn", COLUMN_INT64, 0, DATA_FIXED},
    {"+l", COLUMN_LIST, 0, DATA_LIST_32},   {"+L", COLUMN_LIST, 0, DATA_LIST_64},
};

/* A key's value in the metadata: int32 count, then key and value, each with an int32 length; of this machine's order.
 */
static struct slice metadata_value(const char *metadata, const char *key) {
    if (!metadata) return slice_of(NULL, 0);
    const uint8_t *at = (const uint8_t *)metadata;
    uint32_t pairs = load_u32(at);
    at += 4;
    for (uint32_t i = 0; i < pairs && pairs <= INT32_MAX; i++) {
        struct slice name = slice_of(at + 4, load_u32(at));
        at += 4 + name.size;
        struct slice value = slice_of(at + 4, load_u32(at));
        at += 4 + value.size;
        if (slice_equal(name, slice_of_string(key))) return value;
    }
    return slice_of(NULL, 0);
}

static const char EXTENSION_KEY[] = "ARROW:extension:name";
static const char EXTENSION_UUID[] = "arrow.uuid";

static bool parse_count(const char *text, uint32_t *count) {
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    *count = (uint32_t)value;
    return text[0] >= '0' && text[0] <= '9' && *end == 0 && value <= INT32_MAX;
}

static bool parse_fixed_bytes(const struct ArrowSchema *schema, struct data_format *format) {
    if (!parse_count(schema->format + 2, &format->fixed_count)) return false;
    bool uuid = format->fixed_count == 16 &&
                slice_equal(metadata_value(schema->metadata, EXTENSION_KEY), slice_of_string(EXTENSION_UUID));
    format->type = column_type_of(uuid ? COLUMN_UUID : COLUMN_BYTES);
    format->layout = uuid ? DATA_FIXED : DATA_BYTES_FIXED;
    return true;
}

/* d:precision,scale[,bits] */
static bool parse_decimal(const char *text, struct data_format *format) {
    unsigned precision, scale, bits = 128;
    int used = 0;
    if (sscanf(text, "d:%2u,%2u%n", &precision, &scale, &used) != 2) return false;
    if (text[used] && (sscanf(text + used, ",%3u%n", &bits, &(int){0}) != 1 || bits != 128)) return false;
    format->type =
        (struct column_type){.kind = COLUMN_DECIMAL, .precision = (uint8_t)precision, .scale = (uint8_t)scale};
    format->layout = DATA_FIXED;
    return column_type_is_valid(format->type);
}

/* ts<unit>:[zone] */
static bool parse_timestamp(const char *text, struct data_format *format) {
    static const char units[] = "smun";
    const char *unit = text[2] ? strchr(units, text[2]) : NULL;
    if (!unit || text[3] != ':') return false;
    format->type =
        (struct column_type){.kind = COLUMN_TIMESTAMP, .unit = (uint8_t)(unit - units), .zoned = text[4] != 0};
    format->layout = DATA_FIXED;
    return true;
}

enum plinth_status data_format_parse(const struct ArrowSchema *schema, struct data_format *format,
                                     struct plinth_error *error) {
    *format = (struct data_format){.layout = DATA_FIXED};
    const char *text = schema->format;
    if (!text) return error_set(error, PLINTH_INVALID_ARGUMENT, "an Arrow schema without format");
    for (size_t i = 0; i < sizeof plain_formats / sizeof *plain_formats; i++) {
        if (strcmp(text, plain_formats[i].format) != 0) continue;
        format->type = (struct column_type){.kind = plain_formats[i].kind, .unit = plain_formats[i].unit};
        format->layout = (enum data_layout)plain_formats[i].layout;
        return PLINTH_OK;
    }
    bool known = false;
    if (strncmp(text, "w:", 2) == 0) {
        known = parse_fixed_bytes(schema, format);
    } else if (strncmp(text, "d:", 2) == 0) {
        known = parse_decimal(text, format);
    } else if (strncmp(text, "ts", 2) == 0) {
        known = parse_timestamp(text, format);
    } else if (strncmp(text, "+w:", 3) == 0) {
        known = parse_count(text + 3, &format->fixed_count);
        format->type = column_type_of(COLUMN_LIST);
        format->layout = DATA_LIST_FIXED;
    }
    return known ? PLINTH_OK : refuse(schema, " is not supported", error);
}

enum plinth_status data_field_type(const struct ArrowSchema *schema, struct column_type *type,
                                   struct plinth_error *error) {
    struct data_format format;
    *type = (struct column_type){0};
    enum plinth_status status = data_format_parse(schema, &format, error);
    if (status) return status;
    if (schema->dictionary) {
        if (!column_kind_is_integer(format.type.kind) || schema->format[0] == 't')
            return refuse(schema, " as index of a dictionary", error);
        if (schema->dictionary->dictionary) return refuse(schema, " of a dictionary of a dictionary", error);
        return data_field_type(schema->dictionary, type, error);
    }
    if (format.type.kind != COLUMN_LIST) {
        *type = format.type;
        return PLINTH_OK;
    }
    if (schema->n_children != 1 || !schema->children || !schema->children[0])
        return error_set(error, PLINTH_INVALID_ARGUMENT, "an Arrow list with %lld children",
                         (long long)schema->n_children);
    struct column_type element;
    status = data_field_type(schema->children[0], &element, error);
    if (status) return status;
    if (element.kind == COLUMN_LIST) return refuse(schema, " of lists is not supported", error);
    *type = element;
    type->element = element.kind;
    type->kind = COLUMN_LIST;
    return PLINTH_OK;
}

enum plinth_status data_check_batch_schema(const struct ArrowSchema *schema, struct plinth_error *error) {
    if (!schema->release) return error_set(error, PLINTH_INVALID_ARGUMENT, "the Arrow schema was released already");
    if (!schema->format || strcmp(schema->format, "+s") != 0)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "Arrow format \"%.60s\"; a batch is a struct, \"+s\"",
                         schema->format ? schema->format : "");
    if (schema->n_children < 0 || schema->n_children > BATCH_COLUMNS_MAX || (schema->n_children && !schema->children))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "an Arrow struct of %lld columns; at most %d",
                         (long long)schema->n_children, BATCH_COLUMNS_MAX);
    for (int64_t i = 0; i < schema->n_children; i++)
        if (!schema->children[i])
            return error_set(error, PLINTH_INVALID_ARGUMENT, "Arrow column %lld is missing", (long long)i);
    return PLINTH_OK;
}

enum plinth_status arrow_import_schema(const struct ArrowSchema *from, struct arena *arena, struct arrow_schema *schema,
                                       struct plinth_error *error) {
    *schema = (struct arrow_schema){0};
    enum plinth_status status = data_check_batch_schema(from, error);
    if (status) return status;
    uint32_t count = (uint32_t)from->n_children;
    struct arrow_field *fields = arena_zalloc(arena, count * sizeof *fields);
    if (!fields) return error_no_memory(error, "Arrow schema");
    for (uint32_t i = 0; i < count; i++) {
        const struct ArrowSchema *child = from->children[i];
        struct slice name = slice_of_string(child->name ? child->name : "");
        if (utf8_find_invalid(name) != SIZE_MAX)
            return error_set(error, PLINTH_INVALID_ARGUMENT, "the name of Arrow column %u is not UTF-8", i);
        fields[i].nullable = child->flags & ARROW_FLAG_NULLABLE;
        fields[i].name = (const char *)arena_copy(arena, name);
        if (!fields[i].name) return error_no_memory(error, "Arrow schema");
        status = data_field_type(child, &fields[i].type, error);
        if (status) {
            error_prefix(error, "column '%.100s'", fields[i].name);
            return status;
        }
    }
    *schema = (struct arrow_schema){fields, count};
    return PLINTH_OK;
}

/* ---- writing ---- */

/* What a schema node owns, in one piece but for the children. */
struct exported_schema {
    struct ArrowSchema *children[1]; /* a list's element; a batch has its own array */
    struct ArrowSchema **batch_children;
    char format[FORMAT_TEXT_MAX];
    uint8_t metadata[64];
    char name[];
};

static void release_schema(struct ArrowSchema *schema) {
    struct exported_schema *exported = schema->private_data;
    for (int64_t i = 0; i < schema->n_children; i++) {
        if (schema->children[i]->release) schema->children[i]->release(schema->children[i]);
        free(schema->children[i]);
    }
    free(exported->batch_children);
    free(exported);
    schema->release = NULL;
}

static void put_format(struct column_type type, char text[FORMAT_TEXT_MAX]) {
    static const char *const formats[COLUMN_KIND_COUNT] = {
        [COLUMN_BOOL] = "b",   [COLUMN_INT8] = "c",    [COLUMN_INT16] = "s",   [COLUMN_INT32] = "i",
        [COLUMN_INT64] = "l",  [COLUMN_UINT8] = "C",   [COLUMN_UINT16] = "S",  [COLUMN_UINT32] = "I",
        [COLUMN_UINT64] = "L", [COLUMN_FLOAT32] = "f", [COLUMN_FLOAT64] = "g", [COLUMN_STRING] = "u",
        [COLUMN_BYTES] = "z",  [COLUMN_DATE] = "tdD",  [COLUMN_UUID] = "w:16", [COLUMN_LIST] = "+l",
    };
    if (type.kind == COLUMN_DECIMAL)
        snprintf(text, FORMAT_TEXT_MAX, "d:%u,%u", type.precision, type.scale);
    else if (type.kind == COLUMN_TIMESTAMP)
        snprintf(text, FORMAT_TEXT_MAX, "ts%c:%s", "smun"[type.unit & 3], type.zoned ? "UTC" : "");
    else
        snprintf(text, FORMAT_TEXT_MAX, "%s", formats[type.kind]);
}

static uint8_t *put_metadata_string(uint8_t *at, const char *text) {
    uint32_t size = (uint32_t)strlen(text);
    store_u32(at, size);
    memcpy(at + 4, text, size);
    return at + 4 + size;
}

/* A schema node without children. */
static bool export_node(const char *name, const char *format, struct ArrowSchema *to) {
    size_t size = strlen(name) + 1;
    struct exported_schema *exported = calloc(1, sizeof *exported + size);
    if (!exported) return false;
    memcpy(exported->name, name, size);
    snprintf(exported->format, sizeof exported->format, "%s", format);
    *to = (struct ArrowSchema){.format = exported->format,
                               .name = exported->name,
                               .children = exported->children,
                               .release = release_schema,
                               .private_data = exported};
    return true;
}

static bool export_field(const char *name, struct column_type type, bool nullable, struct ArrowSchema *to) {
    char format[FORMAT_TEXT_MAX];
    put_format(type, format);
    if (!export_node(name, format, to)) return false;
    struct exported_schema *exported = to->private_data;
    to->flags = nullable ? ARROW_FLAG_NULLABLE : 0;
    if (type.kind == COLUMN_UUID) {
        store_u32(exported->metadata, 1);
        put_metadata_string(put_metadata_string(exported->metadata + 4, EXTENSION_KEY), EXTENSION_UUID);
        to->metadata = (const char *)exported->metadata;
    }
    if (type.kind != COLUMN_LIST) return true;
    struct ArrowSchema *child = calloc(1, sizeof *child);
    if (child && export_field("item", column_type_element(type), true, child)) {
        exported->children[0] = child;
        to->n_children = 1;
        return true;
    }
    free(child);
    release_schema(to);
    return false;
}

enum plinth_status arrow_export_schema(const struct arrow_schema *schema, struct ArrowSchema *to,
                                       struct plinth_error *error) {
    *to = (struct ArrowSchema){0};
    if (!export_node("", "+s", to)) return error_no_memory(error, "Arrow schema");
    struct exported_schema *exported = to->private_data;
    exported->batch_children = calloc(schema->field_count + (size_t)1, sizeof *exported->batch_children);
    to->children = exported->batch_children;
    for (uint32_t i = 0; i < schema->field_count && exported->batch_children; i++) {
        const struct arrow_field *field = &schema->fields[i];
        struct ArrowSchema *child = calloc(1, sizeof *child);
        if (!child || !export_field(field->name, field->type, field->nullable, child)) {
            free(child);
            break;
        }
        to->children[to->n_children++] = child;
    }
    if (exported->batch_children && to->n_children == schema->field_count) return PLINTH_OK;
    release_schema(to);
    return error_no_memory(error, "Arrow schema");
}
