#include "engine/row_text.h"

#include <inttypes.h>
#include <stdio.h>

#include "column/column_builder.h"
#include "column/column_function.h"
#include "column/row_key.h"

/* One part as an index has it: its column's name, in the function if there is one. */
static bool append_name(struct buffer *text, const struct table_schema *schema, uint32_t column_id, uint8_t function) {
    int32_t at = table_schema_find_id(schema, column_id);
    if (at < 0) return false;
    struct slice name = slice_of_string(schema->columns[at].name);
    if (function == FUNCTION_ELEMENTS)
        return buffer_append(text, "element of ", 11) && buffer_append(text, name.data, name.size);
    return column_function_format(text, (enum column_function)function, name);
}

static bool append_parts(struct buffer *text, const struct table_schema *schema, const uint32_t *columns,
                         const uint8_t *functions, const struct column_type *types, uint32_t count, struct slice key,
                         enum row_key_form form) {
    struct column_builder builders[ROW_KEY_PARTS_MAX] = {0}, *parts[ROW_KEY_PARTS_MAX];
    struct reader from = reader_of(key);
    bool ok = count != 0;
    for (uint32_t i = 0; ok && i < count; i++) {
        parts[i] = &builders[i];
        ok = column_builder_init(parts[i], types[i]);
    }
    ok = ok && row_key_decode(&from, parts, count, form);
    for (uint32_t i = 0; ok && i < count; i++) {
        struct column view = column_builder_view(parts[i]);
        ok = (!i || buffer_append(text, ", ", 2)) &&
             append_name(text, schema, columns[i], functions ? functions[i] : FUNCTION_NONE) &&
             buffer_append(text, " = ", 3);
        if (ok) ok = column_is_null(&view, 0) ? buffer_append(text, "null", 4) : column_format(text, &view, 0);
    }
    for (uint32_t i = 0; i < count; i++) column_builder_deinit(&builders[i]);
    return ok;
}

bool row_text_key(const struct table_schema *schema, struct slice key, struct buffer *text) {
    struct column_type types[ROW_KEY_PARTS_MAX];
    if (!schema->key_count) {
        char position[40];
        struct reader from = reader_of(key);
        if (key.size != ROW_ID_BYTES) return false;
        uint64_t lsn = __builtin_bswap64(load_u64(from.at));
        int size = snprintf(position, sizeof position, "position %" PRIu64, lsn);
        return buffer_append(text, position, (size_t)size);
    }
    for (uint32_t i = 0; i < schema->key_count; i++) {
        int32_t at = table_schema_find_id(schema, schema->key[i]);
        if (at < 0) return false;
        types[i] = schema->columns[at].type;
    }
    return append_parts(text, schema, schema->key, NULL, types, schema->key_count, key, ROW_KEY_PRIMARY);
}

bool row_text_head(const struct table_schema *schema, const struct table_index *index, struct slice head,
                   struct buffer *text) {
    struct column_type types[ROW_KEY_PARTS_MAX];
    for (uint32_t i = 0; i < index->column_count; i++) types[i] = table_index_part_type(schema, index, i);
    return append_parts(text, schema, index->columns, index->functions, types, index->column_count, head,
                        ROW_KEY_INDEX);
}
