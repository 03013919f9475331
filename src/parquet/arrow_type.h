/* How the values of a column lie in Arrow, and how they get there from the layout of types.h.
 *
 *   Parquet                                  Arrow                             conversion
 *   BOOLEAN                                  Bool                              BITS
 *   INT32, INT64 and INTEGER of that size    Int32, Int64, UInt32, UInt64      COPY
 *   INT32 INTEGER of 8, 16 bits              Int8, Int16, UInt8, UInt16        NARROW
 *   DATE; TIME; TIMESTAMP                    Date32; Time32, Time64; Timestamp COPY
 *   INT96                                    Timestamp, of a unit to choose    INT96
 *   FLOAT, DOUBLE; FLOAT16                   Float32, Float64; Float16         COPY
 *   DECIMAL up to 38 (76) digits             Decimal128 (Decimal256)           DECIMAL
 *   STRING, ENUM, JSON                       Utf8                              BYTES, checked
 *   other BYTE_ARRAY                         Binary                            BYTES
 *   other FIXED                              FixedSizeBinary                   COPY
 *   NULL                                     Null                              NOTHING */
#ifndef PLINTH_PARQUET_ARROW_TYPE_H
#define PLINTH_PARQUET_ARROW_TYPE_H

#include "parquet/schema.h"

enum arrow_conversion {
    ARROW_CONVERT_COPY,
    ARROW_CONVERT_BITS,
    ARROW_CONVERT_NARROW,
    ARROW_CONVERT_INT96,
    ARROW_CONVERT_DECIMAL,
    ARROW_CONVERT_BYTES,
    ARROW_CONVERT_NOTHING,
};

struct arrow_type {
    char format[24]; /* of the C Data interface */
    enum arrow_conversion conversion;
    uint32_t width; /* bytes a value, but of BITS, BYTES and NOTHING */
    bool is_utf8;
    uint32_t int96_units; /* INT96: how many of the unit make a second */
};

/* `int96_unit` is what INT96 becomes a time stamp of; 0: nanoseconds. */
struct arrow_type arrow_type_of(const struct parquet_column *column, enum parquet_time_unit int96_unit);

#endif
