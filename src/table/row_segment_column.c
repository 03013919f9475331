#include "table/row_segment_column.h"

#include "base/status.h"

enum { MILLIS_A_SECOND = 1000, BITMAP_SLACK = 8 };

static size_t bits_bytes(uint64_t bits) { return (size_t)((bits + 7) / 8); }

/* ---- schema ---- */

static struct parquet_logical_type integer_type(uint8_t bits, bool is_signed) {
    return (struct parquet_logical_type){.kind = PARQUET_LOGICAL_INTEGER, .bits = bits, .is_signed = is_signed};
}

static struct parquet_logical_type timestamp_type(struct column_type type) {
    enum parquet_time_unit unit = type.unit == TIME_NANO    ? PARQUET_TIME_NANOS
                                  : type.unit == TIME_MICRO ? PARQUET_TIME_MICROS
                                                            : PARQUET_TIME_MILLIS;
    return (struct parquet_logical_type){.kind = PARQUET_LOGICAL_TIMESTAMP, .is_utc = type.zoned, .unit = unit};
}

static void set_physical(struct parquet_node *node, enum parquet_type type, struct parquet_logical_type logical) {
    node->type = type;
    node->logical = logical;
    if (type == PARQUET_TYPE_FIXED) node->type_length = 16;
}

/* Type and logical type of a leaf. */
static void set_leaf(struct parquet_node *node, struct column_type type) {
    static const struct parquet_logical_type none = {0};
    const struct parquet_logical_type decimal = {
        .kind = PARQUET_LOGICAL_DECIMAL, .precision = type.precision, .scale = type.scale};
    const struct parquet_logical_type string = {.kind = PARQUET_LOGICAL_STRING}, date = {.kind = PARQUET_LOGICAL_DATE},
                                      uuid = {.kind = PARQUET_LOGICAL_UUID};
    switch (type.kind) {
    case COLUMN_BOOL: set_physical(node, PARQUET_TYPE_BOOLEAN, none); break;
    case COLUMN_INT8: set_physical(node, PARQUET_TYPE_INT32, integer_type(8, true)); break;
    case COLUMN_INT16: set_physical(node, PARQUET_TYPE_INT32, integer_type(16, true)); break;
    case COLUMN_INT32: set_physical(node, PARQUET_TYPE_INT32, integer_type(32, true)); break;
    case COLUMN_INT64: set_physical(node, PARQUET_TYPE_INT64, integer_type(64, true)); break;
    case COLUMN_UINT8: set_physical(node, PARQUET_TYPE_INT32, integer_type(8, false)); break;
    case COLUMN_UINT16: set_physical(node, PARQUET_TYPE_INT32, integer_type(16, false)); break;
    case COLUMN_UINT32: set_physical(node, PARQUET_TYPE_INT32, integer_type(32, false)); break;
    case COLUMN_UINT64: set_physical(node, PARQUET_TYPE_INT64, integer_type(64, false)); break;
    case COLUMN_FLOAT32: set_physical(node, PARQUET_TYPE_FLOAT, none); break;
    case COLUMN_FLOAT64: set_physical(node, PARQUET_TYPE_DOUBLE, none); break;
    case COLUMN_DECIMAL: set_physical(node, PARQUET_TYPE_FIXED, decimal); break;
    case COLUMN_STRING: set_physical(node, PARQUET_TYPE_BYTE_ARRAY, string); break;
    case COLUMN_DATE: set_physical(node, PARQUET_TYPE_INT32, date); break;
    case COLUMN_TIMESTAMP: set_physical(node, PARQUET_TYPE_INT64, timestamp_type(type)); break;
    case COLUMN_UUID: set_physical(node, PARQUET_TYPE_FIXED, uuid); break;
    default: set_physical(node, PARQUET_TYPE_BYTE_ARRAY, none); break;
    }
}

uint32_t row_column_nodes(const char *name, uint32_t column_id, struct column_type type, bool is_required,
                          struct parquet_node nodes[ROW_COLUMN_NODES_MAX]) {
    for (int i = 0; i < ROW_COLUMN_NODES_MAX; i++) nodes[i] = (struct parquet_node){0};
    nodes[0].name = name;
    nodes[0].repetition = is_required ? PARQUET_REQUIRED : PARQUET_OPTIONAL;
    nodes[0].has_field_id = column_id > 0;
    nodes[0].field_id = (int32_t)column_id;
    if (type.kind != COLUMN_LIST) {
        set_leaf(&nodes[0], type);
        return 1;
    }
    nodes[0].is_group = nodes[1].is_group = true;
    nodes[0].child_count = nodes[1].child_count = 1;
    nodes[0].logical.kind = PARQUET_LOGICAL_LIST;
    nodes[1].name = "list";
    nodes[1].repetition = PARQUET_REPEATED;
    nodes[2].name = "element";
    nodes[2].repetition = PARQUET_OPTIONAL;
    set_leaf(&nodes[2], column_type_element(type));
    return 3;
}

static bool logical_equal(const struct parquet_logical_type *a, const struct parquet_logical_type *b) {
    return a->kind == b->kind && a->bits == b->bits && a->is_signed == b->is_signed && a->is_utc == b->is_utc &&
           a->unit == b->unit && a->scale == b->scale && a->precision == b->precision;
}

bool row_column_nodes_match(struct column_type type, const struct parquet_node *nodes, uint32_t count) {
    struct parquet_node wanted[ROW_COLUMN_NODES_MAX];
    if (row_column_nodes("", 0, type, false, wanted) != count) return false;
    for (uint32_t i = 0; i < count; i++) {
        bool may_be_required = i != 1 && nodes[i].repetition == PARQUET_REQUIRED;
        if ((nodes[i].repetition != wanted[i].repetition && !may_be_required) ||
            nodes[i].child_count != wanted[i].child_count || nodes[i].is_group != wanted[i].is_group)
            return false;
        if (nodes[i].is_group) continue;
        if (nodes[i].type != wanted[i].type || nodes[i].type_length != wanted[i].type_length ||
            !logical_equal(&nodes[i].logical, &wanted[i].logical))
            return false;
    }
    return true;
}

/* ---- to Parquet ---- */

static void swap_16(uint8_t *to, const uint8_t *from) {
    uint64_t low = load_u64(from), high = load_u64(from + 8);
    store_u64(to, __builtin_bswap64(high));
    store_u64(to + 8, __builtin_bswap64(low));
}

static void widen(const struct column *column, uint32_t rows, int32_t *to) {
    const void *values = column->values;
    switch (column->type.kind) {
    case COLUMN_INT8:
        for (uint32_t i = 0; i < rows; i++) to[i] = ((const int8_t *)values)[i];
        break;
    case COLUMN_UINT8:
        for (uint32_t i = 0; i < rows; i++) to[i] = ((const uint8_t *)values)[i];
        break;
    case COLUMN_INT16:
        for (uint32_t i = 0; i < rows; i++) to[i] = ((const int16_t *)values)[i];
        break;
    default:
        for (uint32_t i = 0; i < rows; i++) to[i] = ((const uint16_t *)values)[i];
        break;
    }
}

static enum plinth_status seconds_to_millis(const struct column *column, uint32_t rows, int64_t *to,
                                            struct plinth_error *error) {
    const int64_t *values = column->values;
    for (uint32_t i = 0; i < rows; i++) {
        if (!__builtin_mul_overflow(values[i], MILLIS_A_SECOND, &to[i])) continue;
        if (!column_is_null(column, i))
            return error_set(error, PLINTH_INVALID_ARGUMENT, "%lld seconds are too many for milliseconds",
                             (long long)values[i]);
        to[i] = 0;
    }
    return PLINTH_OK;
}

/* Elements of the rows only, with offsets from 0. */
static enum plinth_status list_to_parquet(struct arena *arena, const struct column *column, uint32_t rows,
                                          const struct parquet_column *leaf, struct parquet_column_buffer *lists,
                                          struct parquet_column_data *data, struct plinth_error *error) {
    uint32_t first = column->offsets[0], count = column->offsets[rows] - first;
    uint32_t *offsets = arena_alloc(arena, ((size_t)rows + 1) * sizeof *offsets);
    struct column elements;
    if (!offsets || !column_slice(arena, column->child, first, count, &elements))
        return error_no_memory(error, "lists of a segment");
    for (uint32_t i = 0; i <= rows; i++) offsets[i] = column->offsets[i] - first;
    struct parquet_list_data list = {.rows = rows, .validity = column->validity, .offsets = offsets};
    enum plinth_status st = row_column_to_parquet(arena, &elements, count, NULL, NULL, &list.elements, error);
    if (!st) st = parquet_list_to_levels(leaf, &list, lists, error);
    if (!st) *data = lists->data;
    return st;
}

enum plinth_status row_column_to_parquet(struct arena *arena, const struct column *column, uint32_t rows,
                                         const struct parquet_column *leaf, struct parquet_column_buffer *lists,
                                         struct parquet_column_data *data, struct plinth_error *error) {
    uint8_t kind = column->type.kind;
    if (kind == COLUMN_LIST) return list_to_parquet(arena, column, rows, leaf, lists, data, error);
    bool is_narrow = kind == COLUMN_INT8 || kind == COLUMN_UINT8 || kind == COLUMN_INT16 || kind == COLUMN_UINT16;
    bool is_seconds = kind == COLUMN_TIMESTAMP && column->type.unit == TIME_SECOND;
    *data = (struct parquet_column_data){.rows = rows,
                                         .slots = rows,
                                         .validity = column->null_count ? column->validity : NULL,
                                         .values = column->values,
                                         .offsets = column->offsets,
                                         .bytes = column->bytes};
    if (!is_narrow && !is_seconds && kind != COLUMN_DECIMAL) return PLINTH_OK;
    uint8_t *to = arena_alloc(arena, (size_t)rows * 16 + 1);
    if (!to) return error_no_memory(error, "columns of a segment");
    data->values = to;
    if (is_seconds) return seconds_to_millis(column, rows, (int64_t *)(void *)to, error);
    if (is_narrow) {
        widen(column, rows, (int32_t *)(void *)to);
    } else {
        const uint8_t *from = column->values;
        for (uint32_t i = 0; i < rows; i++) swap_16(to + (size_t)i * 16, from + (size_t)i * 16);
    }
    return PLINTH_OK;
}

struct slice row_column_to_plain(const struct column *column, uint32_t row, uint8_t scratch[16]) {
    const uint8_t *values = column->values;
    uint32_t width = column_type_width(column->type);
    struct column one = *column;
    one.validity = NULL;
    switch (column->type.kind) {
    case COLUMN_STRING:
    case COLUMN_BYTES: return column_bytes_at(column, row);
    case COLUMN_BOOL: scratch[0] = bitmap_get(values, row); return slice_of(scratch, 1);
    case COLUMN_DECIMAL: swap_16(scratch, values + (size_t)row * 16); return slice_of(scratch, 16);
    case COLUMN_INT8:
    case COLUMN_UINT8:
    case COLUMN_INT16:
    case COLUMN_UINT16: {
        int32_t wide;
        one.values = values + (size_t)row * width;
        widen(&one, 1, &wide);
        store_u32(scratch, (uint32_t)wide);
        return slice_of(scratch, 4);
    }
    case COLUMN_TIMESTAMP:
        store_u64(scratch,
                  load_u64(values + (size_t)row * 8) * (column->type.unit == TIME_SECOND ? MILLIS_A_SECOND : 1));
        return slice_of(scratch, 8);
    default: return slice_of(values + (size_t)row * width, width);
    }
}

/* ---- from Parquet ---- */

static void fill_bits(uint8_t *bits, uint32_t first, uint32_t count) {
    for (; count && first % 8; count--) bitmap_set(bits, first++);
    if (count / 8) memset(bits + first / 8, 0xFF, count / 8);
    first += count / 8 * 8;
    for (count %= 8; count; count--) bitmap_set(bits, first++);
}

static bool take_validity(struct arena *arena, const struct page_piece *pieces, uint32_t count, uint32_t rows,
                          struct column *out) {
    bool has_nulls = false;
    for (uint32_t i = 0; i < count; i++) {
        const struct page_piece *piece = &pieces[i];
        has_nulls |= piece->list ? piece->list->validity != NULL : !piece->data || piece->data->validity;
    }
    if (!has_nulls) return true;
    uint8_t *bits = arena_zalloc(arena, bits_bytes(rows) + BITMAP_SLACK);
    if (!bits) return false;
    uint32_t row = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct page_piece *piece = &pieces[i];
        const uint8_t *from = piece->list ? piece->list->validity : piece->data ? piece->data->validity : NULL;
        if (from) {
            bitmap_copy(bits, row, from, piece->first, piece->count);
        } else if (piece->list || piece->data) {
            fill_bits(bits, row, piece->count);
        }
        row += piece->count;
    }
    out->null_count = rows - bitmap_count(bits, rows);
    out->validity = out->null_count ? bits : NULL;
    return true;
}

static bool take_bools(struct arena *arena, const struct page_piece *pieces, uint32_t count, uint32_t rows,
                       struct column *out) {
    uint8_t *bits = arena_zalloc(arena, bits_bytes(rows) + BITMAP_SLACK);
    uint32_t row = 0;
    out->values = bits;
    for (uint32_t i = 0; bits && i < count; i++) {
        if (pieces[i].data) bitmap_copy(bits, row, pieces[i].data->values, pieces[i].first, pieces[i].count);
        row += pieces[i].count;
    }
    return bits != NULL;
}

static void convert(struct column_type type, const uint8_t *from, uint32_t count, uint8_t *to) {
    switch (column_type_width(type)) {
    case 1:
        for (uint32_t i = 0; i < count; i++) to[i] = from[4 * (size_t)i];
        break;
    case 2:
        for (uint32_t i = 0; i < count; i++) store_u16(to + 2 * (size_t)i, load_u16(from + 4 * (size_t)i));
        break;
    case 8:
        if (type.kind == COLUMN_TIMESTAMP && type.unit == TIME_SECOND) {
            for (uint32_t i = 0; i < count; i++) {
                int64_t seconds = (int64_t)load_u64(from + 8 * (size_t)i) / MILLIS_A_SECOND;
                store_u64(to + 8 * (size_t)i, (uint64_t)seconds);
            }
        } else {
            memcpy(to, from, 8 * (size_t)count);
        }
        break;
    case 16:
        if (type.kind == COLUMN_DECIMAL) {
            for (uint32_t i = 0; i < count; i++) swap_16(to + 16 * (size_t)i, from + 16 * (size_t)i);
        } else {
            memcpy(to, from, 16 * (size_t)count);
        }
        break;
    default: memcpy(to, from, 4 * (size_t)count); break;
    }
}

static bool take_fixed(struct arena *arena, struct column_type type, const struct page_piece *pieces, uint32_t count,
                       uint32_t rows, struct column *out) {
    uint32_t width = column_type_width(type), stored = width < 4 ? 4 : width;
    uint8_t *to = arena_alloc(arena, (size_t)rows * width + 1);
    out->values = to;
    for (uint32_t i = 0; to && i < count; i++) {
        if (!pieces[i].data) {
            memset(to, 0, (size_t)pieces[i].count * width);
        } else if (pieces[i].count) {
            const uint8_t *from = (const uint8_t *)pieces[i].data->values + (size_t)pieces[i].first * stored;
            convert(type, from, pieces[i].count, to);
        }
        to += (size_t)pieces[i].count * width;
    }
    return out->values != NULL;
}

static const uint32_t *piece_offsets(const struct page_piece *piece) {
    return piece->list ? piece->list->offsets : piece->data ? piece->data->offsets : NULL;
}

/* Offsets from 0 of bytes or lists. Null when memory is out or there are too many. */
static uint32_t *take_offsets(struct arena *arena, const struct page_piece *pieces, uint32_t count, uint32_t rows) {
    uint32_t *offsets = arena_alloc(arena, ((size_t)rows + 1) * sizeof *offsets), *at = offsets;
    uint64_t total = 0;
    if (!offsets) return NULL;
    *at++ = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t *from = piece_offsets(&pieces[i]);
        uint32_t shift = from ? (uint32_t)total - from[pieces[i].first] : 0; /* modulo 2^32 */
        for (uint32_t k = 1; k <= pieces[i].count; k++)
            *at++ = from ? from[pieces[i].first + k] + shift : (uint32_t)total;
        if (from) total += from[pieces[i].first + pieces[i].count] - from[pieces[i].first];
        if (total > INT32_MAX) return NULL;
    }
    return offsets;
}

static bool take_bytes(struct arena *arena, const struct page_piece *pieces, uint32_t count, uint32_t rows,
                       struct column *out) {
    uint32_t *offsets = take_offsets(arena, pieces, count, rows);
    uint8_t *to = offsets ? arena_alloc(arena, (size_t)offsets[rows] + 1) : NULL;
    out->offsets = offsets;
    out->bytes = to;
    for (uint32_t i = 0; to && i < count; i++) {
        if (!pieces[i].data) continue;
        const uint32_t *from = pieces[i].data->offsets + pieces[i].first;
        uint32_t size = from[pieces[i].count] - from[0];
        if (size) memcpy(to, pieces[i].data->bytes + from[0], size);
        to += size;
    }
    return out->bytes != NULL;
}

static bool take_lists(struct arena *arena, struct column_type type, const struct page_piece *pieces, uint32_t count,
                       uint32_t rows, struct column *out) {
    uint32_t *offsets = take_offsets(arena, pieces, count, rows);
    struct column *child = arena_alloc(arena, sizeof *child);
    struct page_piece *elements = arena_alloc(arena, (size_t)count * sizeof *elements);
    out->offsets = offsets;
    out->child = child;
    if (!offsets || !child || !elements) return false;
    for (uint32_t i = 0; i < count; i++) {
        elements[i] = (struct page_piece){0};
        if (!pieces[i].list) continue; /* null rows have no elements */
        const uint32_t *from = pieces[i].list->offsets + pieces[i].first;
        elements[i] = (struct page_piece){
            .data = &pieces[i].list->elements, .first = from[0], .count = from[pieces[i].count] - from[0]};
    }
    return row_column_from_parquet(arena, column_type_element(type), elements, count, offsets[rows], child);
}

bool row_column_from_parquet(struct arena *arena, struct column_type type, const struct page_piece *pieces,
                             uint32_t piece_count, uint32_t rows, struct column *out) {
    *out = (struct column){.type = type};
    if (!take_validity(arena, pieces, piece_count, rows, out)) return false;
    if (type.kind == COLUMN_BOOL) return take_bools(arena, pieces, piece_count, rows, out);
    if (type.kind == COLUMN_LIST) return take_lists(arena, type, pieces, piece_count, rows, out);
    if (column_kind_is_bytes(type.kind)) return take_bytes(arena, pieces, piece_count, rows, out);
    return take_fixed(arena, type, pieces, piece_count, rows, out);
}

bool row_column_plain_fits(struct column_type type, struct slice plain) {
    if (column_kind_is_bytes(type.kind)) return plain.size <= INT32_MAX;
    uint32_t width = column_type_width(type);
    return type.kind != COLUMN_LIST && plain.size == (type.kind == COLUMN_BOOL ? 1 : width < 4 ? 4 : width);
}

bool row_column_from_plain(struct arena *arena, struct column_type type, struct slice plain, struct column *out) {
    *out = (struct column){.type = type};
    uint32_t offsets[2] = {0, (uint32_t)plain.size};
    uint64_t aligned[2] = {0};
    struct parquet_column_data data = {
        .rows = 1, .slots = 1, .values = aligned, .offsets = offsets, .bytes = plain.data};
    if (!column_kind_is_bytes(type.kind)) memcpy(aligned, plain.data, plain.size < 16 ? plain.size : 16);
    const struct page_piece piece = {.data = &data, .count = 1};
    return row_column_from_parquet(arena, type, &piece, 1, 1, out);
}
