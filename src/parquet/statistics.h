/* Ordering of values, for min and max: what the format calls the type-defined order.
 *
 * INT32, INT64: signed, or unsigned for INTEGER(signed = false). FLOAT, DOUBLE, FLOAT16: numeric; NaN is never in
 * statistics; a min of +0 is written as -0 and a max of -0 as +0. BYTE_ARRAY, FIXED: unsigned bytes, but DECIMAL as a
 * signed big-endian number. INT96: as times, the day and then the nanoseconds. BOOLEAN: false before true.
 *
 * Which bounds of a file are believed: those of columns whose order the file says and this version knows (TYPE_ORDER,
 * IEEE_754_TOTAL_ORDER, INT96_TIMESTAMP_ORDER). Where the file says none, and in the deprecated fields, those of types
 * that all writers compared in the same way: signed integers, BOOLEAN, FLOAT and DOUBLE; of others only when both
 * bounds are the same value, and are not bytes in the deprecated fields (which were wrong in old files). */
#ifndef PLINTH_PARQUET_STATISTICS_H
#define PLINTH_PARQUET_STATISTICS_H

#include "parquet/metadata.h"

enum parquet_order {
    PARQUET_ORDER_NONE, /* no statistics are written, those in files are not used */
    PARQUET_ORDER_BOOLEAN,
    PARQUET_ORDER_INT32,
    PARQUET_ORDER_UINT32,
    PARQUET_ORDER_INT64,
    PARQUET_ORDER_UINT64,
    PARQUET_ORDER_INT96,
    PARQUET_ORDER_FLOAT,
    PARQUET_ORDER_DOUBLE,
    PARQUET_ORDER_FLOAT16,
    PARQUET_ORDER_BYTES,
    PARQUET_ORDER_DECIMAL_BYTES,
};

/* Of the column's values. */
enum parquet_order parquet_column_order(const struct parquet_column *column);
/* Whether that is also the order of the column's bounds in the file, other than those in the deprecated fields. */
bool parquet_column_bounds_are_ordered(const struct parquet_column *column);
/* FLOAT, DOUBLE, FLOAT16. */
bool parquet_order_is_floating(enum parquet_order order);
/* <0, 0, >0 for two PLAIN-encoded values (BYTE_ARRAY without length) of one column. Values of a wrong size
 * (from a damaged file) compare as bytes. */
int parquet_value_compare(enum parquet_order order, struct slice a, struct slice b);

/* Whether `statistics` bound all values of the column from both sides by its order: false when either is missing,
 * NaN, of a wrong size, or not to be believed. NaN are not bounded. A zero bound of a floating-point column is widened
 * to the zero of the other sign, as the format asks for. */
bool parquet_statistics_bounds(const struct parquet_column *column, const struct parquet_statistics *statistics,
                               struct slice *min, struct slice *max);

#endif
