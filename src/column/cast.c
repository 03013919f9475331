/* Casts that lose nothing. Each kind of pair has a loop over the rows that writes the new values and marks the rows
 * that do not fit; what becomes of these (nulls, or an error about the first) is decided once, in cast_finish. */
#include <stdlib.h>

#include "base/status.h"
#include "column/column_builder.h"
#include "column/column_private.h"
#include "column/time_text.h"

struct cast {
    struct arena *arena;
    const struct column *from;
    uint32_t rows;
    struct column_type to;
    void *values;     /* of the new column, `rows` of its width */
    uint8_t *misfits; /* bitmap; null until the first */
    bool out_of_memory;
};

static void cast_reject(struct cast *cast, uint32_t row) {
    if (column_is_null(cast->from, row)) return;
    if (!cast->misfits) cast->misfits = arena_zalloc(cast->arena, bitmap_bytes(cast->rows));
    if (cast->misfits)
        bitmap_set(cast->misfits, row);
    else
        cast->out_of_memory = true;
}

/* ---- integers ---- */

/* Values [first, first + count) as 64 bits, sign-extended or zero-extended. */
static void load_integers(const struct column *from, uint32_t first, uint32_t count, int64_t *into) {
#define LOAD(KIND, TYPE)                                                                                               \
    case KIND:                                                                                                         \
        for (uint32_t i = 0; i < count; i++) into[i] = (int64_t)((const TYPE *)from->values)[first + i];               \
        break;
    switch (from->type.kind) {
        LOAD(COLUMN_INT8, int8_t)
        LOAD(COLUMN_INT16, int16_t)
        LOAD(COLUMN_INT32, int32_t)
        LOAD(COLUMN_UINT8, uint8_t)
        LOAD(COLUMN_UINT16, uint16_t)
        LOAD(COLUMN_UINT32, uint32_t)
    default: memcpy(into, (const int64_t *)from->values + first, count * sizeof *into);
    }
#undef LOAD
}

static void store_integers(const struct cast *cast, uint32_t first, uint32_t count, const int64_t *from) {
    switch (column_type_width(cast->to)) {
    case 1:
        for (uint32_t i = 0; i < count; i++) ((uint8_t *)cast->values)[first + i] = (uint8_t)from[i];
        break;
    case 2:
        for (uint32_t i = 0; i < count; i++) ((uint16_t *)cast->values)[first + i] = (uint16_t)from[i];
        break;
    case 4:
        for (uint32_t i = 0; i < count; i++) ((uint32_t *)cast->values)[first + i] = (uint32_t)from[i];
        break;
    default: memcpy((int64_t *)cast->values + first, from, count * sizeof *from);
    }
}

enum { CHUNK_ROWS = 256 };

static void cast_integers(struct cast *cast) {
    unsigned bits = 8 * column_type_width(cast->to);
    bool is_signed = column_kind_is_signed(cast->to.kind), from_u64 = cast->from->type.kind == COLUMN_UINT64;
    uint64_t most = UINT64_MAX >> (64 - bits + is_signed);
    int64_t least = is_signed ? -(int64_t)most - 1 : 0;
    int64_t chunk[CHUNK_ROWS];
    for (uint32_t first = 0; first < cast->rows; first += CHUNK_ROWS) {
        uint32_t count = cast->rows - first < CHUNK_ROWS ? cast->rows - first : CHUNK_ROWS;
        load_integers(cast->from, first, count, chunk);
        bool all = true;
        for (uint32_t i = 0; i < count; i++) {
            bool fits = from_u64 ? (uint64_t)chunk[i] <= most
                                 : chunk[i] >= least && (chunk[i] < 0 || (uint64_t)chunk[i] <= most);
            all &= fits;
        }
        for (uint32_t i = 0; i < count && !all; i++) {
            bool fits = from_u64 ? (uint64_t)chunk[i] <= most
                                 : chunk[i] >= least && (chunk[i] < 0 || (uint64_t)chunk[i] <= most);
            if (fits) continue;
            cast_reject(cast, first + i);
            chunk[i] = 0;
        }
        store_integers(cast, first, count, chunk);
    }
}

/* ---- one value at a time: each returns false when the value does not fit ---- */

typedef bool cast_value(const struct cast *cast, uint32_t row);

static int128 integer_at(const struct column *from, uint32_t row) {
    int64_t value;
    load_integers(from, row, 1, &value);
    return from->type.kind == COLUMN_UINT64 ? (int128)(uint64_t)value : value;
}

static bool integer_to_float(const struct cast *cast, uint32_t row) {
    int128 value = integer_at(cast->from, row);
    if (cast->to.kind == COLUMN_FLOAT64) {
        double as_float = (double)value;
        ((double *)cast->values)[row] = as_float;
        return (int128)as_float == value;
    }
    float as_float = (float)value;
    ((float *)cast->values)[row] = as_float;
    return (int128)as_float == value;
}

static bool float_to_double(const struct cast *cast, uint32_t row) {
    ((double *)cast->values)[row] = ((const float *)cast->from->values)[row];
    return true;
}

/* value * 10^places within the target's precision */
static bool put_scaled(const struct cast *cast, uint32_t row, int128 value, unsigned places) {
    bool fits = value == 0 || (cast->to.precision >= places && decimal_fits(value, cast->to.precision - places));
    store_int128(cast->values, row, fits ? value * decimal_power(value ? places : 0) : 0);
    return fits;
}

static bool integer_to_decimal(const struct cast *cast, uint32_t row) {
    return put_scaled(cast, row, integer_at(cast->from, row), cast->to.scale);
}

static bool decimal_to_decimal(const struct cast *cast, uint32_t row) {
    int128 value = load_int128(cast->from->values, row);
    unsigned from_scale = cast->from->type.scale;
    if (cast->to.scale >= from_scale) return put_scaled(cast, row, value, cast->to.scale - from_scale);
    int128 power = decimal_power(from_scale - cast->to.scale);
    return value % power == 0 && put_scaled(cast, row, value / power, 0);
}

static bool timestamp_to_timestamp(const struct cast *cast, uint32_t row) {
    int64_t value = ((const int64_t *)cast->from->values)[row], *into = (int64_t *)cast->values + row;
    int64_t from = time_units_per_second(cast->from->type.unit), to = time_units_per_second(cast->to.unit);
    if (to >= from) return !__builtin_mul_overflow(value, to / from, into);
    *into = value / (from / to);
    return value % (from / to) == 0;
}

static bool date_to_timestamp(const struct cast *cast, uint32_t row) {
    int64_t seconds = (int64_t)((const int32_t *)cast->from->values)[row] * 86400;
    return !__builtin_mul_overflow(seconds, time_units_per_second(cast->to.unit), (int64_t *)cast->values + row);
}

static bool bytes_to_uuid(const struct cast *cast, uint32_t row) {
    struct slice value = column_bytes_at(cast->from, row);
    if (value.size == 16) memcpy((uint8_t *)cast->values + (size_t)row * 16, value.data, 16);
    return value.size == 16;
}

/* Null: never. `*integers` is set for the pair that has its own loop. */
static cast_value *value_cast_of(struct column_type from, struct column_type to, bool *integers) {
    bool from_integer = column_kind_is_integer(from.kind);
    *integers = from_integer && column_kind_is_integer(to.kind);
    if (from_integer && column_kind_is_float(to.kind)) return integer_to_float;
    if (from_integer && to.kind == COLUMN_DECIMAL) return integer_to_decimal;
    if (from.kind == COLUMN_FLOAT32 && to.kind == COLUMN_FLOAT64) return float_to_double;
    if (from.kind == COLUMN_DECIMAL && to.kind == COLUMN_DECIMAL) return decimal_to_decimal;
    if (from.kind == COLUMN_DATE && to.kind == COLUMN_TIMESTAMP) return date_to_timestamp;
    if (from.kind == COLUMN_BYTES && to.kind == COLUMN_UUID) return bytes_to_uuid;
    bool both = from.kind == COLUMN_TIMESTAMP && to.kind == COLUMN_TIMESTAMP && from.zoned == to.zoned;
    return both ? timestamp_to_timestamp : NULL;
}

bool column_cast_is_possible(struct column_type from, struct column_type to) {
    bool integers;
    if (column_type_equal(from, to)) return true;
    if (from.kind == COLUMN_LIST && to.kind == COLUMN_LIST)
        return column_cast_is_possible(column_type_element(from), column_type_element(to));
    if (column_kind_is_bytes(from.kind) && column_kind_is_bytes(to.kind)) return true;
    return value_cast_of(from, to, &integers) || integers;
}

/* ---- columns ---- */

static void cast_fixed(struct cast *cast, cast_value *convert) {
    uint32_t width = column_type_width(cast->to);
    for (uint32_t i = 0; i < cast->rows; i++) {
        if (!column_is_null(cast->from, i) && convert(cast, i)) continue;
        memset((uint8_t *)cast->values + (size_t)i * width, 0, width);
        cast_reject(cast, i);
    }
}

static void cast_bytes_to_string(struct cast *cast, struct column *out) {
    struct column as_string = *out;
    if (!column_check(&as_string, cast->rows, COLUMN_BYTES_MAX, 0, NULL)) return;
    for (uint32_t i = 0; i < cast->rows; i++)
        if (utf8_find_invalid(column_bytes_at(cast->from, i)) != SIZE_MAX) cast_reject(cast, i);
}

static enum plinth_status cast_lists(struct cast *cast, struct column *out, struct plinth_error *error) {
    uint32_t elements = cast->rows ? cast->from->offsets[cast->rows] : 0;
    uint8_t *rejected = arena_zalloc(cast->arena, bitmap_bytes(elements));
    struct column *child = arena_alloc(cast->arena, sizeof *child);
    struct column from;
    if (!rejected || !child || !column_slice(cast->arena, cast->from->child, 0, elements, &from))
        return error_no_memory(error, "column cast");
    enum plinth_status status =
        column_cast(cast->arena, &from, elements, column_type_element(cast->to), rejected, child, error);
    if (status) return status;
    out->child = child;
    if (!bitmap_count(rejected, elements)) return PLINTH_OK;
    for (uint32_t i = 0; i < cast->rows; i++) {
        uint32_t first = cast->from->offsets[i];
        if (bitmap_count_range(rejected, first, cast->from->offsets[i + 1] - first)) cast_reject(cast, i);
    }
    return PLINTH_OK;
}

static enum plinth_status misfit_error(const struct cast *cast, struct plinth_error *error) {
    uint32_t row = 0;
    while (!bitmap_get(cast->misfits, row)) row++;
    char type[COLUMN_TYPE_TEXT_MAX];
    struct buffer text = BUFFER_INIT;
    bool formatted = column_format(&text, cast->from, row);
    int shown = formatted ? (int)(text.size < 80 ? text.size : 80) : 0;
    enum plinth_status status = error_set(error, PLINTH_INVALID_ARGUMENT, "row %u: %.*s does not fit %s", row, shown,
                                          shown ? (const char *)text.data : "", column_type_format(cast->to, type));
    buffer_deinit(&text);
    return status;
}

/* Rows that do not fit become nulls and set their bits in `rejected`. */
static enum plinth_status cast_finish(const struct cast *cast, uint8_t *rejected, struct column *out,
                                      struct plinth_error *error) {
    if (cast->out_of_memory) return error_no_memory(error, "column cast");
    if (!cast->misfits) return PLINTH_OK;
    if (!rejected) return misfit_error(cast, error);
    uint64_t bytes = bitmap_bytes(cast->rows);
    uint8_t *validity = arena_alloc(cast->arena, bytes);
    if (!validity) return error_no_memory(error, "column cast");
    for (uint64_t i = 0; i < bytes; i++) {
        rejected[i] |= cast->misfits[i];
        validity[i] = (uint8_t)((cast->from->null_count ? cast->from->validity[i] : 0xFF) & ~cast->misfits[i]);
    }
    out->validity = validity;
    out->null_count = cast->rows - bitmap_count(validity, cast->rows);
    return PLINTH_OK;
}

static enum plinth_status cast_rows(struct cast *cast, struct column *out, struct plinth_error *error) {
    bool integers;
    cast_value *convert = value_cast_of(cast->from->type, cast->to, &integers);
    if (convert || integers) {
        cast->values = arena_alloc(cast->arena, (uint64_t)cast->rows * column_type_width(cast->to));
        if (!cast->values) return error_no_memory(error, "column cast");
        out->values = cast->values;
        out->offsets = NULL;
        out->bytes = NULL;
        if (integers)
            cast_integers(cast);
        else
            cast_fixed(cast, convert);
        return PLINTH_OK;
    }
    if (cast->to.kind == COLUMN_LIST) return cast_lists(cast, out, error);
    if (cast->to.kind == COLUMN_STRING) cast_bytes_to_string(cast, out);
    return PLINTH_OK; /* STRING -> BYTES: the same buffers */
}

enum plinth_status column_cast(struct arena *arena, const struct column *from, uint32_t rows, struct column_type to,
                               uint8_t *rejected, struct column *out, struct plinth_error *error) {
    *out = (struct column){.type = to};
    if (column_type_equal(from->type, to)) {
        *out = *from;
        return PLINTH_OK;
    }
    if (from->null_count == rows)
        return column_make_nulls(arena, to, rows, out) ? PLINTH_OK : error_no_memory(error, "column of nulls");
    bool lists = from->type.kind == COLUMN_LIST && to.kind == COLUMN_LIST; /* without elements any will do */
    if (!lists && !column_cast_is_possible(from->type, to)) {
        char from_text[COLUMN_TYPE_TEXT_MAX], to_text[COLUMN_TYPE_TEXT_MAX];
        return error_set(error, PLINTH_INVALID_ARGUMENT, "%s cannot become %s",
                         column_type_format(from->type, from_text), column_type_format(to, to_text));
    }
    struct cast cast = {.arena = arena, .from = from, .rows = rows, .to = to};
    struct column made = *from;
    made.type = to;
    if (!from->null_count) made.validity = NULL;
    enum plinth_status status = cast_rows(&cast, &made, error);
    if (!status) status = cast_finish(&cast, rejected, &made, error);
    if (!status) *out = made;
    return status;
}
