/* Parquet files as rows (table_reader.h).
 *
 * Types: those of column/type.h and what other writers have: INT96 (as timestamp(ns)), TIME (as integers), decimals in
 * any physical type, FLOAT16, lists of any of the usual shapes. Structs and maps are named and refused, unless they are
 * left out by --map.
 *
 * A plain file is mapped; a compressed one or standard input is read into memory first, as the footer stands at the
 * end. Pages of a row group's columns end at different rows; pieces are joined until they make a batch. */
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>

#include "base/env.h"
#include "base/status.h"
#include "cmd/table_reader_private.h"
#include "parquet/list_levels.h"
#include "parquet/reader.h"

enum { READ_BYTES = 1 << 20, PIECES_MAX = 1024, DECIMAL_BYTES = 16, JULIAN_EPOCH = 2440588 };

typedef __int128 int128;

/* A column of the file that is sent. */
struct file_leaf {
    uint32_t leaf;   /* number in the file's schema */
    uint32_t column; /* in base.columns */
    struct parquet_list_buffer list;
};

struct parquet_file {
    struct table_reader base;
    struct parquet_source source;
    struct env_file *mapped;
    struct buffer bytes;
    struct parquet_reader *parquet;
    const struct parquet_schema *schema;
    uint32_t *column_leaves; /* of each column of the file; UINT32_MAX: it cannot be read */
    struct file_leaf *leaves;
    uint32_t *numbers; /* the leaves' numbers, for the scan */
    uint32_t leaf_count;
    struct parquet_scan *scan;
    uint32_t row_group; /* the next one */
    struct parquet_column_data *data;
    struct batch *whole;
    uint32_t whole_next;
    uint64_t rows;
};

static struct parquet_file *parquet_file_of(struct table_reader *reader) { return (struct parquet_file *)reader; }

/* ---- types ---- */

static uint8_t integer_kind(const struct parquet_logical_type *logical, uint8_t wide) {
    if (logical->kind != PARQUET_LOGICAL_INTEGER) return wide;
    switch (logical->bits) {
    case 8: return logical->is_signed ? COLUMN_INT8 : COLUMN_UINT8;
    case 16: return logical->is_signed ? COLUMN_INT16 : COLUMN_UINT16;
    case 32: return logical->is_signed ? COLUMN_INT32 : COLUMN_UINT32;
    default: return logical->is_signed ? COLUMN_INT64 : COLUMN_UINT64;
    }
}

static struct column_type leaf_type(const struct parquet_column *leaf) {
    const struct parquet_logical_type *logical = &leaf->logical;
    if (logical->kind == PARQUET_LOGICAL_DECIMAL && logical->precision >= 1 &&
        logical->precision <= DECIMAL_PRECISION_MAX && logical->scale >= 0 && logical->scale <= logical->precision)
        return (struct column_type){
            .kind = COLUMN_DECIMAL, .precision = (uint8_t)logical->precision, .scale = (uint8_t)logical->scale};
    switch (leaf->type) {
    case PARQUET_TYPE_BOOLEAN: return column_type_of(COLUMN_BOOL);
    case PARQUET_TYPE_INT32:
        if (logical->kind == PARQUET_LOGICAL_DATE) return column_type_of(COLUMN_DATE);
        return column_type_of(integer_kind(logical, COLUMN_INT32));
    case PARQUET_TYPE_INT64:
        if (logical->kind == PARQUET_LOGICAL_TIMESTAMP)
            return (struct column_type){
                .kind = COLUMN_TIMESTAMP, .unit = (uint8_t)logical->unit, .zoned = logical->is_utc};
        return column_type_of(integer_kind(logical, COLUMN_INT64));
    case PARQUET_TYPE_INT96: return (struct column_type){.kind = COLUMN_TIMESTAMP, .unit = TIME_NANO};
    case PARQUET_TYPE_FLOAT: return column_type_of(COLUMN_FLOAT32);
    case PARQUET_TYPE_DOUBLE: return column_type_of(COLUMN_FLOAT64);
    case PARQUET_TYPE_BYTE_ARRAY: {
        bool text = logical->kind == PARQUET_LOGICAL_STRING || logical->kind == PARQUET_LOGICAL_ENUM ||
                    logical->kind == PARQUET_LOGICAL_JSON;
        return column_type_of(text ? COLUMN_STRING : COLUMN_BYTES);
    }
    default:
        if (logical->kind == PARQUET_LOGICAL_UUID) return column_type_of(COLUMN_UUID);
        if (logical->kind == PARQUET_LOGICAL_FLOAT16) return column_type_of(COLUMN_FLOAT32);
        return column_type_of(COLUMN_BYTES);
    }
}

/* ---- values ---- */

static void *values_of(struct arena *arena, struct column *column, uint64_t slots, size_t width) {
    void *values = arena_alloc(arena, (slots + 1) * width);
    column->values = values;
    return values;
}

static bool narrow(struct arena *arena, struct column *column, const int32_t *from, uint64_t slots) {
    if (column->type.kind == COLUMN_INT8 || column->type.kind == COLUMN_UINT8) {
        uint8_t *to = values_of(arena, column, slots, 1);
        for (uint64_t i = 0; to && i < slots; i++) to[i] = (uint8_t)from[i];
        return to;
    }
    uint16_t *to = values_of(arena, column, slots, 2);
    for (uint64_t i = 0; to && i < slots; i++) to[i] = (uint16_t)from[i];
    return to;
}

/* Big-endian two's complement of any length; false when 16 bytes are not enough. */
static bool read_big_endian(struct slice bytes, int128 *value) {
    uint8_t fill = bytes.size && bytes.data[0] & 0x80 ? 0xff : 0;
    unsigned __int128 number = fill ? ~(unsigned __int128)0 : 0;
    for (size_t i = 0; i < bytes.size; i++) {
        bool significant = bytes.size - i <= DECIMAL_BYTES;
        if (!significant && bytes.data[i] != fill) return false;
        if (significant) number = number << 8 | bytes.data[i];
    }
    *value = (int128)number;
    return true;
}

static enum plinth_status decimals(struct arena *arena, struct column *column, const struct parquet_column *leaf,
                                   const struct parquet_column_data *data, struct plinth_error *error) {
    uint8_t *to = values_of(arena, column, data->slots, DECIMAL_BYTES);
    if (!to) return error_no_memory(error, "column");
    for (uint64_t i = 0; i < data->slots; i++) {
        int128 value = 0;
        bool ok = true;
        if (data->validity && !bitmap_get(data->validity, i)) {
            /* nothing there to read */
        } else if (leaf->type == PARQUET_TYPE_INT32) {
            value = ((const int32_t *)data->values)[i];
        } else if (leaf->type == PARQUET_TYPE_INT64) {
            value = ((const int64_t *)data->values)[i];
        } else if (leaf->type == PARQUET_TYPE_FIXED) {
            ok = read_big_endian(slice_of((const uint8_t *)data->values + i * leaf->width, leaf->width), &value);
        } else {
            ok = read_big_endian(parquet_column_data_bytes(data, i), &value);
        }
        if (!ok) return error_set(error, PLINTH_INVALID_ARGUMENT, "a decimal of more than 38 digits");
        memcpy(to + i * DECIMAL_BYTES, &value, DECIMAL_BYTES);
    }
    return PLINTH_OK;
}

/* Nanoseconds of the day, then the Julian day. */
static enum plinth_status int96_times(struct arena *arena, struct column *column,
                                      const struct parquet_column_data *data, struct plinth_error *error) {
    int64_t *to = values_of(arena, column, data->slots, 8);
    if (!to) return error_no_memory(error, "column");
    for (uint64_t i = 0; i < data->slots; i++) {
        const uint8_t *at = (const uint8_t *)data->values + i * 12;
        int64_t days = (int64_t)load_u32(at + 8) - JULIAN_EPOCH;
        to[i] = 0;
        if (data->validity && !bitmap_get(data->validity, i)) continue;
        if (__builtin_mul_overflow(days, INT64_C(86400000000000), &to[i]) ||
            __builtin_add_overflow(to[i], (int64_t)load_u64(at), &to[i]))
            return error_set(error, PLINTH_INVALID_ARGUMENT, "a time that nanoseconds in 64 bits cannot hold");
    }
    return PLINTH_OK;
}

static float half_to_float(uint16_t half) {
    int exponent = half >> 10 & 31, fraction = half & 1023;
    float value = exponent == 31  ? (fraction ? NAN : INFINITY)
                  : exponent == 0 ? ldexpf((float)fraction, -24)
                                  : ldexpf((float)(fraction + 1024), exponent - 25);
    return half & 0x8000 ? -value : value;
}

static bool halves(struct arena *arena, struct column *column, const struct parquet_column_data *data) {
    float *to = values_of(arena, column, data->slots, 4);
    for (uint64_t i = 0; to && i < data->slots; i++)
        to[i] = half_to_float(load_u16((const uint8_t *)data->values + i * 2));
    return to;
}

static enum plinth_status fixed_bytes(struct arena *arena, struct column *column, uint32_t width,
                                      const struct parquet_column_data *data, struct plinth_error *error) {
    if (data->slots * width > INT32_MAX)
        return error_set(error, PLINTH_TOO_LARGE, "more than 2 GiB of values in one piece");
    uint32_t *offsets = arena_alloc(arena, (data->slots + 1) * sizeof *offsets);
    if (!offsets) return error_no_memory(error, "column");
    for (uint64_t i = 0; i <= data->slots; i++) offsets[i] = (uint32_t)(i * width);
    column->offsets = offsets;
    column->bytes = data->values ? data->values : (const uint8_t *)"";
    return PLINTH_OK;
}

/* Slots as a column of as many rows, borrowed from `data` where the layouts are the same. */
static enum plinth_status convert(struct arena *arena, const struct parquet_column *leaf,
                                  const struct parquet_column_data *data, struct column *column,
                                  struct plinth_error *error) {
    *column = (struct column){.type = leaf_type(leaf)};
    bool ok = true;
    column->validity = data->null_count ? data->validity : NULL;
    column->null_count = data->null_count;
    column->values = data->values;
    switch (column->type.kind) {
    case COLUMN_INT8:
    case COLUMN_UINT8:
    case COLUMN_INT16:
    case COLUMN_UINT16: ok = narrow(arena, column, data->values, data->slots); break;
    case COLUMN_DECIMAL: return decimals(arena, column, leaf, data, error);
    case COLUMN_TIMESTAMP:
        if (leaf->type == PARQUET_TYPE_INT96) return int96_times(arena, column, data, error);
        break;
    case COLUMN_FLOAT32:
        if (leaf->type == PARQUET_TYPE_FIXED) ok = halves(arena, column, data);
        break;
    case COLUMN_STRING:
    case COLUMN_BYTES:
        if (leaf->type == PARQUET_TYPE_FIXED) return fixed_bytes(arena, column, leaf->width, data, error);
        column->offsets = data->offsets;
        column->bytes = data->bytes ? data->bytes : (const uint8_t *)"";
        break;
    default: break;
    }
    return ok ? PLINTH_OK : error_no_memory(error, "column");
}

static uint64_t count_nulls(const uint8_t *validity, uint64_t rows) {
    return validity ? rows - bitmap_count(validity, rows) : 0;
}

/* Rows of a leaf; a list's elements are a column of their own. */
static enum plinth_status convert_leaf(struct arena *arena, const struct parquet_column *leaf, struct file_leaf *file,
                                       const struct parquet_column_data *data, struct column *column,
                                       struct plinth_error *error) {
    if (parquet_column_is_flat(leaf)) {
        struct parquet_column_data flat = *data;
        flat.slots = data->rows;
        flat.null_count = count_nulls(data->validity, data->rows);
        return convert(arena, leaf, &flat, column, error);
    }
    enum plinth_status st = parquet_list_from_levels(leaf, data, &file->list, error);
    if (st) return st;
    struct column *child = arena_zalloc(arena, sizeof *child);
    if (!child) return error_no_memory(error, "column");
    struct parquet_column_data elements = file->list.data.elements;
    elements.slots = file->list.data.offsets[data->rows];
    elements.null_count = count_nulls(elements.validity, elements.slots);
    st = convert(arena, leaf, &elements, child, error);
    if (st) return st;
    *column = (struct column){.type = child->type, .offsets = file->list.data.offsets, .child = child};
    column->type.kind = COLUMN_LIST;
    column->type.element = child->type.kind;
    column->null_count = count_nulls(file->list.data.validity, data->rows);
    column->validity = column->null_count ? file->list.data.validity : NULL;
    return PLINTH_OK;
}

/* Sizes come from the page reader, which checks them; what is looked at here are texts and digits. */
static enum plinth_status check_values(struct column *column, uint32_t rows, struct plinth_error *error) {
    uint32_t child_rows = column->child ? column->offsets[rows] : 0;
    const struct column *values = column->child ? column->child : column;
    uint32_t count = column->child ? child_rows : rows;
    uint64_t bytes = column_kind_is_bytes(values->type.kind) ? values->offsets[count] : 0;
    return column_check(column, rows, bytes, child_rows, error);
}

/* ---- opening ---- */

static enum plinth_status read_all(struct parquet_file *file, struct file_source *source, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    for (size_t got = 1; !st && got; file->bytes.size += got) {
        if (!buffer_reserve(&file->bytes, READ_BYTES)) return error_no_memory(error, "Parquet file");
        st = file_source_read(source, file->bytes.data + file->bytes.size, READ_BYTES, &got, error);
    }
    file->source.mapped = file->bytes.data;
    file->source.size = file->bytes.size;
    return st;
}

static enum plinth_status open_bytes(struct parquet_file *file, const char *path, struct plinth_error *error) {
    char magic[4] = "";
    size_t got = 0;
    struct file_source *source;
    if (strcmp(path, "-") != 0) {
        enum plinth_status st = env_open(env_posix(), path, ENV_READ, &file->mapped, error);
        if (!st) st = file_read(file->mapped, 0, magic, sizeof magic, &got, error);
        if (st) return st;
        file->base.name = path;
        if (got == sizeof magic && memcmp(magic, "PAR1", 4) == 0)
            return file_map(file->mapped, &file->source.mapped, &file->source.size, error);
        file_close(file->mapped);
        file->mapped = NULL;
    }
    enum plinth_status st = file_source_open(path, &source, error);
    if (st) return st;
    file->base.name = file_source_name(source);
    st = read_all(file, source, error);
    if (st) error_prefix(error, "%s", file->base.name);
    file_source_close(source);
    return st;
}

/* Nodes below node `at`, itself included; `*leaves` of them are columns. */
static uint32_t subtree(const struct parquet_schema *schema, uint32_t at, uint32_t *leaves) {
    uint32_t nodes = 1;
    if (!schema->nodes[at].is_group && !schema->nodes[at].child_count) ++*leaves;
    for (uint32_t i = 0; i < schema->nodes[at].child_count && at + nodes < schema->node_count; i++)
        nodes += subtree(schema, at + nodes, leaves);
    return nodes;
}

/* The columns of a table: the nodes below the root. */
static enum plinth_status read_columns(struct parquet_file *file, struct plinth_error *error) {
    const struct parquet_schema *schema = file->schema;
    struct slice *names = malloc((schema->node_count + 1) * sizeof *names);
    file->column_leaves = arena_alloc(&file->base.arena, (schema->node_count + 1) * sizeof *file->column_leaves);
    if (!names || !file->column_leaves) {
        free(names);
        return error_no_memory(error, "columns");
    }
    size_t count = 0;
    uint32_t leaf = 0;
    for (uint32_t at = 0; at < schema->node_count; count++) {
        uint32_t leaves = 0;
        names[count] = slice_of_string(schema->nodes[at].name);
        bool is_map = schema->nodes[at].logical.kind == PARQUET_LOGICAL_MAP;
        at += subtree(schema, at, &leaves);
        bool readable = leaves == 1 && !is_map && schema->columns[leaf].repetition_level_max <= 1 &&
                        (schema->columns[leaf].part_count == 1 || schema->columns[leaf].repetition_level_max == 1);
        file->column_leaves[count] = readable ? leaf : UINT32_MAX;
        leaf += leaves;
    }
    enum plinth_status st = table_reader_name_columns(&file->base, names, count, error);
    free(names);
    for (size_t i = 0; !st && i < count; i++) {
        struct table_reader_column *column = &file->base.columns[i];
        if (file->column_leaves[i] == UINT32_MAX) {
            if (*column->name)
                st = error_set(error, PLINTH_UNSUPPORTED,
                               "%s: column '%s' is nested, which columns of tables are not; leave it out with --map "
                               "'%s='",
                               file->base.name, file->base.file_names[i], file->base.file_names[i]);
            continue;
        }
        const struct parquet_column *of = &schema->columns[file->column_leaves[i]];
        struct column_type type = leaf_type(of);
        column->type = type;
        if (parquet_column_is_flat(of)) continue;
        column->type.kind = COLUMN_LIST;
        column->type.element = type.kind;
    }
    return st == PLINTH_UNSUPPORTED ? PLINTH_INVALID_ARGUMENT : st;
}

static enum plinth_status parquet_guess(struct table_reader *base, struct plinth_error *error) {
    (void)base, (void)error; /* the schema has told */
    return PLINTH_OK;
}

static enum plinth_status parquet_bind(struct table_reader *base, struct plinth_error *error) {
    struct parquet_file *file = parquet_file_of(base);
    file->leaves = arena_zalloc(&base->arena, (base->column_count + 1) * sizeof *file->leaves);
    file->numbers = arena_zalloc(&base->arena, (base->column_count + 1) * sizeof *file->numbers);
    file->data = arena_zalloc(&base->arena, (base->column_count + 1) * sizeof *file->data);
    if (!file->leaves || !file->numbers || !file->data) return error_no_memory(error, "columns");
    for (uint32_t i = 0; i < base->column_count; i++) {
        if (!*base->bound[i].name) continue;
        file->leaves[file->leaf_count] = (struct file_leaf){.leaf = file->column_leaves[i], .column = i};
        file->numbers[file->leaf_count++] = file->column_leaves[i];
    }
    if (!file->leaf_count)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "%s: no column is left to import", base->name);
    return table_reader_check_casts(base, error);
}

/* ---- reading ---- */

/* The next rows of the scan, copied; null at the end of the row group. */
static enum plinth_status next_piece(struct parquet_file *file, uint64_t rows_max, struct batch **piece,
                                     struct plinth_error *error) {
    uint64_t rows;
    *piece = NULL;
    enum plinth_status st = parquet_scan_next(file->scan, rows_max, file->data, &rows, error);
    if (st || !rows) return st;
    struct batch *made = batch_create((uint32_t)file->base.column_count);
    struct arena scratch;
    arena_init(&scratch);
    if (!made) st = error_no_memory(error, "batch");
    const struct row_stretch all = {0, 0, (uint32_t)rows};
    for (uint32_t i = 0; !st && i < made->column_count; i++) /* those that --map leaves out stay so */
        if (!*file->base.bound[i].name &&
            !column_make_nulls(&made->arena, column_type_of(COLUMN_BOOL), (uint32_t)rows, &made->columns[i]))
            st = error_no_memory(error, "batch");
    for (uint32_t i = 0; !st && i < file->leaf_count; i++) {
        const struct parquet_column *leaf = &file->schema->columns[file->leaves[i].leaf];
        struct column column;
        const struct column *source = &column;
        st = convert_leaf(&scratch, leaf, &file->leaves[i], &file->data[i], &column, error);
        if (!st) st = check_values(&column, (uint32_t)rows, error);
        if (st)
            error_prefix(error, "rows %llu to %llu, column %s", (unsigned long long)file->rows + 1,
                         (unsigned long long)(file->rows + rows), leaf->path);
        else if (!column_concat(&made->arena, column.type, &source, &all, 1, (uint32_t)rows,
                                &made->columns[file->leaves[i].column]))
            st = error_no_memory(error, "batch");
    }
    arena_deinit(&scratch);
    if (st) {
        batch_unref(made);
        return st;
    }
    made->rows = (uint32_t)rows;
    *piece = made;
    return PLINTH_OK;
}

/* Pieces of the row group up to about one batch; null at the end of the file. */
static enum plinth_status next_whole(struct parquet_file *file, struct plinth_error *error) {
    const struct table_reader_options *options = file->base.options;
    const struct parquet_metadata *metadata = parquet_reader_metadata(file->parquet);
    struct batch *pieces[PIECES_MAX];
    uint32_t count = 0;
    uint64_t rows = 0, bytes = 0;
    enum plinth_status st = PLINTH_OK;
    while (!st && rows < options->batch_rows_max && bytes < options->batch_bytes_max && count < PIECES_MAX) {
        if (!file->scan && file->row_group == metadata->row_group_count) break;
        if (!file->scan)
            st = parquet_scan_create(file->parquet, file->row_group++, file->numbers, file->leaf_count, &file->scan,
                                     error);
        struct batch *piece = NULL;
        if (!st) st = next_piece(file, options->batch_rows_max - rows, &piece, error);
        if (st) break;
        if (!piece) {
            parquet_scan_destroy(file->scan);
            file->scan = NULL;
            continue;
        }
        rows += piece->rows;
        bytes += batch_bytes(piece);
        pieces[count++] = piece;
    }
    if (!st && count) {
        file->whole = batch_concat(pieces, count);
        file->whole_next = 0;
        if (!file->whole) st = error_no_memory(error, "batch");
    }
    for (uint32_t i = 0; i < count; i++) batch_unref(pieces[i]);
    if (st) error_prefix(error, "%s", file->base.name);
    return st;
}

static enum plinth_status parquet_next(struct table_reader *base, struct table_rows *rows, bool *end,
                                       struct plinth_error *error) {
    struct parquet_file *file = parquet_file_of(base);
    if (!file->whole || file->whole_next == file->whole->rows) {
        batch_unref(file->whole);
        file->whole = NULL;
        enum plinth_status st = next_whole(file, error);
        *end = !file->whole;
        if (st || *end) return st;
    }
    uint32_t count = table_reader_slice_rows(base, file->whole), left = file->whole->rows - file->whole_next;
    if (count > left) count = left;
    enum plinth_status st = table_reader_slice(base, file->whole, file->whole_next, count, file->rows + 1, rows, error);
    if (st) return st;
    file->whole_next += count;
    file->rows += count;
    return PLINTH_OK;
}

static uint64_t parquet_consumed(const struct table_reader *base) {
    const struct parquet_file *file = (const struct parquet_file *)base;
    uint64_t rows = parquet_reader_metadata(file->parquet)->row_count;
    return rows ? (uint64_t)((double)file->source.size * (double)file->rows / (double)rows) : file->source.size;
}
static uint64_t parquet_size(const struct table_reader *base) {
    return ((const struct parquet_file *)base)->source.size;
}

static void parquet_close(struct table_reader *base) {
    struct parquet_file *file = parquet_file_of(base);
    batch_unref(file->whole);
    parquet_scan_destroy(file->scan);
    for (uint32_t i = 0; i < file->leaf_count; i++) parquet_list_buffer_deinit(&file->leaves[i].list);
    parquet_reader_close(file->parquet);
    file_close(file->mapped);
    buffer_deinit(&file->bytes);
    free(file);
}

static const struct table_reader_ops parquet_ops = {.guess = parquet_guess,
                                                    .bind = parquet_bind,
                                                    .next = parquet_next,
                                                    .consumed = parquet_consumed,
                                                    .size = parquet_size,
                                                    .close = parquet_close};

enum plinth_status table_reader_parquet_open(const char *path, struct table_reader *shape, struct table_reader **reader,
                                             struct plinth_error *error) {
    struct parquet_file *made = calloc(1, sizeof *made);
    if (!made) return error_no_memory(error, "import");
    made->base = *shape;
    made->base.ops = &parquet_ops;
    arena_init(&made->base.arena);
    enum plinth_status st = open_bytes(made, path, error);
    if (!st) {
        st = parquet_reader_open(&made->source, NULL, &made->parquet, error);
        if (!st) made->schema = &parquet_reader_metadata(made->parquet)->schema;
        if (st) error_prefix(error, "%s", made->base.name);
    }
    if (!st) st = read_columns(made, error);
    if (st) {
        table_reader_close(&made->base);
        return st == PLINTH_UNSUPPORTED ? PLINTH_INVALID_ARGUMENT : st; /* the file's fault, not the usage's */
    }
    *reader = &made->base;
    return PLINTH_OK;
}
