/* Column types: what a value of a table's column is, and how it lies in memory (batch.h).
 *
 *   kind        Arrow type              values in memory (little-endian)     Parquet
 *   BOOL        Bool                    bitmap                               BOOLEAN
 *   INT8..64    Int8..Int64             1, 2, 4, 8 bytes                     INT32 / INT64 with INTEGER
 *   UINT8..64   UInt8..UInt64           1, 2, 4, 8 bytes                     INT32 / INT64 with INTEGER (unsigned)
 *   FLOAT32/64  Float32, Float64        4, 8 bytes                           FLOAT, DOUBLE
 *   DECIMAL     Decimal128(p, s)        16 bytes, two's complement           FIXED(16) DECIMAL, big-endian
 *   STRING      Utf8                    offsets + bytes, valid UTF-8         BYTE_ARRAY STRING
 *   BYTES       Binary                  offsets + bytes                      BYTE_ARRAY
 *   DATE        Date32                  int32, days since 1970-01-01         INT32 DATE
 *   TIMESTAMP   Timestamp(unit, zone)   int64 since 1970-01-01               INT64 TIMESTAMP (seconds as millis)
 *   UUID        FixedSizeBinary(16)     16 bytes                             FIXED(16) UUID
 *   LIST        List<element>           offsets + child column               3-level LIST
 *
 * A zoned time stamp is an instant (stored as UTC); an unzoned one is a wall-clock reading. A LIST's element is any
 * kind but LIST; its unit, zone, precision and scale stand in the list's own fields. */
#ifndef PLINTH_COLUMN_TYPE_H
#define PLINTH_COLUMN_TYPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

enum column_kind {
    COLUMN_BOOL = 1,
    COLUMN_INT8 = 2,
    COLUMN_INT16 = 3,
    COLUMN_INT32 = 4,
    COLUMN_INT64 = 5,
    COLUMN_UINT8 = 6,
    COLUMN_UINT16 = 7,
    COLUMN_UINT32 = 8,
    COLUMN_UINT64 = 9,
    COLUMN_FLOAT32 = 10,
    COLUMN_FLOAT64 = 11,
    COLUMN_DECIMAL = 12,
    COLUMN_STRING = 13,
    COLUMN_BYTES = 14,
    COLUMN_DATE = 15,
    COLUMN_TIMESTAMP = 16,
    COLUMN_UUID = 17,
    COLUMN_LIST = 18,
    COLUMN_KIND_COUNT
};

enum time_unit { TIME_SECOND = 0, TIME_MILLI = 1, TIME_MICRO = 2, TIME_NANO = 3 }; /* as in Arrow */

enum { DECIMAL_PRECISION_MAX = 38, COLUMN_TYPE_TEXT_MAX = 64 };

struct column_type {
    uint8_t kind;      /* enum column_kind */
    uint8_t element;   /* LIST: the kind of its elements, else 0 */
    uint8_t unit;      /* TIMESTAMP: enum time_unit */
    bool zoned;        /* TIMESTAMP: an instant (UTC) */
    uint8_t precision; /* DECIMAL: digits, 1 to 38 */
    uint8_t scale;     /* DECIMAL: digits behind the point, 0 to precision */
};

static inline struct column_type column_type_of(enum column_kind kind) { return (struct column_type){.kind = kind}; }
/* The type of a LIST's elements. */
static inline struct column_type column_type_element(struct column_type list) {
    return (struct column_type){list.element, 0, list.unit, list.zoned, list.precision, list.scale};
}
bool column_type_equal(struct column_type a, struct column_type b);
/* Fields that the kind does not use are 0, the others in range. */
bool column_type_is_valid(struct column_type type);
/* Bytes a value in `values`: 1, 2, 4, 8, 16; 0 for BOOL (bits), STRING, BYTES and LIST (offsets). */
uint32_t column_type_width(struct column_type type);
static inline bool column_kind_is_bytes(uint8_t kind) { return kind == COLUMN_STRING || kind == COLUMN_BYTES; }
static inline bool column_kind_is_signed(uint8_t kind) { return kind >= COLUMN_INT8 && kind <= COLUMN_INT64; }
static inline bool column_kind_is_unsigned(uint8_t kind) { return kind >= COLUMN_UINT8 && kind <= COLUMN_UINT64; }
static inline bool column_kind_is_integer(uint8_t kind) { return kind >= COLUMN_INT8 && kind <= COLUMN_UINT64; }
static inline bool column_kind_is_float(uint8_t kind) { return kind == COLUMN_FLOAT32 || kind == COLUMN_FLOAT64; }

/* Whether every value of `from` is one of `to`, too, in the same order, so that a column can become wider with its
 * values staying what they are: integers to larger ones (unsigned ones also to larger signed ones), FLOAT32 to FLOAT64,
 * decimals to more digits before the point, DATE to unzoned TIMESTAMP in s or ms. Not for equal types. */
bool column_type_widens(struct column_type from, struct column_type to);
/* Whether equal values of both types have the same bytes in keys (row_key.h). */
bool column_type_same_keys(struct column_type a, struct column_type b);

/* The text form, as the CLI and errors write it: "int64", "decimal(12,2)", "timestamp(ms)", "timestamp(us, utc)",
 * "list<string>". Parsing takes the same, letters of any case, and the usual aliases: boolean, tinyint, smallint,
 * int/integer, bigint, real/float, double, text/varchar, binary/blob/bytea, numeric(p,s), timestamptz (us, utc),
 * timestamp (us), T[]. */
const char *column_type_format(struct column_type type, char text[COLUMN_TYPE_TEXT_MAX]);
/* PLINTH_INVALID_ARGUMENT quotes the text and says what was expected. */
PLINTH_MUST_CHECK enum plinth_status column_type_parse(struct slice text, struct column_type *type,
                                                       struct plinth_error *error);

/* Six bytes, the fields in order. */
enum { COLUMN_TYPE_BYTES = 6 };
PLINTH_MUST_CHECK bool column_type_encode(struct buffer *into, struct column_type type);
/* False on malformed bytes or a type that is not valid. */
bool column_type_decode(struct reader *from, struct column_type *type);

#endif
