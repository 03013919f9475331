/* Arrow's types of columns. See arrow_type.h. */
#include "parquet/arrow_type.h"

#include <stdio.h>
#include <string.h>

enum { DECIMAL128_DIGITS = 38, DECIMAL256_DIGITS = 76 };

static char unit_letter(enum parquet_time_unit unit) {
    return unit == PARQUET_TIME_MILLIS ? 'm' : unit == PARQUET_TIME_MICROS ? 'u' : 'n';
}

static void set_format(struct arrow_type *type, const char *format) {
    snprintf(type->format, sizeof type->format, "%s", format);
}

static void set_decimal(struct arrow_type *type, const struct parquet_logical_type *logical) {
    bool is_wide = logical->precision > DECIMAL128_DIGITS;
    type->conversion = ARROW_CONVERT_DECIMAL;
    type->width = is_wide ? 32 : 16;
    snprintf(type->format, sizeof type->format, "d:%d,%d%s", logical->precision, logical->scale, is_wide ? ",256" : "");
}

static void set_integer(struct arrow_type *type, const struct parquet_logical_type *logical) {
    static const char formats[4][2][2] = {{"C", "c"}, {"S", "s"}, {"I", "i"}, {"L", "l"}};
    int size = logical->bits == 8 ? 0 : logical->bits == 16 ? 1 : logical->bits == 32 ? 2 : 3;
    set_format(type, formats[size][logical->is_signed]);
    if (size < 2) type->conversion = ARROW_CONVERT_NARROW;
    type->width = logical->bits / 8u;
}

static void set_time(struct arrow_type *type, const struct parquet_logical_type *logical) {
    char letter = unit_letter(logical->unit);
    if (logical->kind == PARQUET_LOGICAL_TIME)
        snprintf(type->format, sizeof type->format, "tt%c", letter);
    else
        snprintf(type->format, sizeof type->format, "ts%c:%s", letter, logical->is_utc ? "UTC" : "");
}

/* Those that a logical type turns into something else than their physical one. */
static bool set_logical(struct arrow_type *type, const struct parquet_column *column) {
    const struct parquet_logical_type *logical = &column->logical;
    switch (logical->kind) {
    case PARQUET_LOGICAL_NULL:
        type->conversion = ARROW_CONVERT_NOTHING;
        set_format(type, "n");
        return true;
    case PARQUET_LOGICAL_STRING:
    case PARQUET_LOGICAL_ENUM:
    case PARQUET_LOGICAL_JSON:
        type->conversion = ARROW_CONVERT_BYTES;
        type->is_utf8 = true;
        set_format(type, "u");
        return true;
    case PARQUET_LOGICAL_DECIMAL:
        if (logical->precision > DECIMAL256_DIGITS) return false;
        set_decimal(type, logical);
        return true;
    case PARQUET_LOGICAL_INTEGER: set_integer(type, logical); return true;
    case PARQUET_LOGICAL_DATE: set_format(type, "tdD"); return true;
    case PARQUET_LOGICAL_TIME:
    case PARQUET_LOGICAL_TIMESTAMP: set_time(type, logical); return true;
    case PARQUET_LOGICAL_FLOAT16: set_format(type, "e"); return true;
    default: return false;
    }
}

struct arrow_type arrow_type_of(const struct parquet_column *column, enum parquet_time_unit int96_unit) {
    struct arrow_type type = {.conversion = ARROW_CONVERT_COPY, .width = column->width};
    if (set_logical(&type, column)) return type;
    switch (column->type) {
    case PARQUET_TYPE_BOOLEAN:
        type.conversion = ARROW_CONVERT_BITS;
        set_format(&type, "b");
        break;
    case PARQUET_TYPE_INT32: set_format(&type, "i"); break;
    case PARQUET_TYPE_INT64: set_format(&type, "l"); break;
    case PARQUET_TYPE_FLOAT: set_format(&type, "f"); break;
    case PARQUET_TYPE_DOUBLE: set_format(&type, "g"); break;
    case PARQUET_TYPE_INT96:
        type.conversion = ARROW_CONVERT_INT96;
        type.width = 8;
        type.int96_units = int96_unit == PARQUET_TIME_MILLIS   ? 1000
                           : int96_unit == PARQUET_TIME_MICROS ? 1000000
                                                               : 1000000000;
        snprintf(type.format, sizeof type.format, "ts%c:", int96_unit ? unit_letter(int96_unit) : 'n');
        break;
    case PARQUET_TYPE_BYTE_ARRAY:
        type.conversion = ARROW_CONVERT_BYTES;
        set_format(&type, "z");
        break;
    default: snprintf(type.format, sizeof type.format, "w:%u", column->width); break;
    }
    return type;
}
