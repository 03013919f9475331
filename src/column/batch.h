/* Batches: rows as columns in Arrow's memory layout. What is written, held in memory, stored and read is a batch.
 *
 * Layout of a column of `rows` rows (bit and row 0 always at the start of the arrays: no Arrow offset):
 *   validity  bitmap, 1 = there is a value; null: no nulls. Bits behind the last row are undefined.
 *   values    fixed width: rows * width bytes, naturally aligned (those of 16 bytes to 8: read them with memcpy); BOOL:
 *             a bitmap. The slot of a null is undefined but readable.
 *   offsets   STRING, BYTES, LIST: rows + 1 non-decreasing uint32, at most INT32_MAX; offsets[0] need not be 0. A
 *             null's range is undefined but in bounds (readers look at validity first).
 *   bytes     STRING, BYTES: what the offsets point into; not null when there are rows (column_check sees to it)
 *   child     LIST: the elements' column, of at least offsets[rows] rows
 *
 * A struct batch is reference-counted and immutable once shared. Its memory is its arena, and whatever `release` frees
 * (the message or foreign array that it borrows from). */
#ifndef PLINTH_COLUMN_BATCH_H
#define PLINTH_COLUMN_BATCH_H

#include <stdatomic.h>

#include "base/arena.h"
#include "column/type.h"
#include "column/utf8.h"

enum { BATCH_ROWS_MAX = 1 << 24, BATCH_COLUMNS_MAX = 4096 };

struct column {
    struct column_type type;
    uint64_t null_count; /* exact; 0 when validity is null */
    const uint8_t *validity;
    const void *values;
    const uint32_t *offsets;
    const uint8_t *bytes;
    const struct column *child;
};

struct batch {
    atomic_uint references;
    uint32_t rows;
    uint32_t column_count;
    struct column *columns;
    struct arena arena;                   /* holds `columns` and what the batch owns */
    void (*release)(struct batch *batch); /* may be null: frees what is borrowed; called once, before the arena goes */
    void *release_context;
};

/* An empty batch of `column_count` zeroed columns (rows 0), one reference. Null when memory is out. */
struct batch *batch_create(uint32_t column_count);
/* The same for one whose columns will take about `bytes` of its arena. */
struct batch *batch_create_sized(uint32_t column_count, uint64_t bytes);
struct batch *batch_ref(struct batch *batch);
/* Null is allowed. */
void batch_unref(struct batch *batch);
/* Memory that the columns' buffers take for these rows (not what they may share or waste). */
uint64_t batch_bytes(const struct batch *batch);
uint64_t column_bytes(const struct column *column, uint32_t rows);

static inline bool bitmap_get(const uint8_t *bits, uint64_t i) { return (bits[i >> 3] >> (i & 7)) & 1; }
static inline void bitmap_set(uint8_t *bits, uint64_t i) { bits[i >> 3] |= (uint8_t)(1u << (i & 7)); }
static inline void bitmap_clear(uint8_t *bits, uint64_t i) { bits[i >> 3] &= (uint8_t) ~(1u << (i & 7)); }
/* 1-bits among the first `count`. */
uint64_t bitmap_count(const uint8_t *bits, uint64_t count);
/* 1-bits among bits [first, first + count). */
uint64_t bitmap_count_range(const uint8_t *bits, uint64_t first, uint64_t count);
/* The numbers of the 1-bits among the first `rows`, in order. */
void bitmap_rows(const uint8_t *selection, uint32_t rows, uint32_t *into);
/* Copies `count` bits from bit `from_bit` of `from` to bit `to_bit` of `to`; bits around the target stay. */
void bitmap_copy(uint8_t *to, uint64_t to_bit, const uint8_t *from, uint64_t from_bit, uint64_t count);

static inline bool column_is_null(const struct column *column, uint32_t row) {
    return column->validity && !bitmap_get(column->validity, row);
}
/* STRING and BYTES. */
static inline struct slice column_bytes_at(const struct column *column, uint32_t row) {
    return slice_of(column->bytes + column->offsets[row], column->offsets[row + 1] - column->offsets[row]);
}

/* ---- making columns of others; all memory from `arena`; false when it is out or INT32_MAX bytes are exceeded ---- */

/* `rows` nulls (with `validity` all zero and zeroed slots). */
PLINTH_MUST_CHECK bool column_make_nulls(struct arena *arena, struct column_type type, uint32_t rows,
                                         struct column *out);
/* Rows[0..count) of `from`, in that order. */
PLINTH_MUST_CHECK bool column_gather(struct arena *arena, const struct column *from, const uint32_t *rows,
                                     uint32_t count, struct column *out);
/* Rows [first, first + count), sharing memory where bits allow it (byte-aligned `first`), else copying bitmaps. */
PLINTH_MUST_CHECK bool column_slice(struct arena *arena, const struct column *from, uint32_t first, uint32_t count,
                                    struct column *out);
/* Stretches of rows of several columns of one type, one behind the other. A null source column stands for nulls. */
struct row_stretch {
    uint32_t source;
    uint32_t first;
    uint32_t count;
};
PLINTH_MUST_CHECK bool column_concat(struct arena *arena, struct column_type type, const struct column *const *sources,
                                     const struct row_stretch *stretches, uint32_t stretch_count, uint32_t rows,
                                     struct column *out);
/* The rows whose bit in `selection` is 1 (count = bitmap_count of it). */
PLINTH_MUST_CHECK bool column_filter(struct arena *arena, const struct column *from, const uint8_t *selection,
                                     uint32_t rows, uint32_t count, struct column *out);
/* The same for whole batches; a new batch that owns its memory (column_slice ones hold a reference of `from`). */
struct batch *batch_gather(const struct batch *from, const uint32_t *rows, uint32_t count);
struct batch *batch_slice(struct batch *from, uint32_t first, uint32_t count);
struct batch *batch_filter(const struct batch *from, const uint8_t *selection, uint32_t count);
/* The rows of `count` batches (at least one) of the same columns, one batch behind the other: a new batch that owns its
 * memory, of one batch a reference of it. */
struct batch *batch_concat(struct batch *const *batches, uint32_t count);

/* Casts that lose nothing, so that a batch fits a table: equal types; integers that fit (checked value by value, also
 * between signed and unsigned and to wider or narrower); integer -> float where exact; FLOAT32 -> FLOAT64; time stamps
 * to another unit where exact (zoned and unzoned never mix); DATE -> TIMESTAMP; decimals to another scale where exact;
 * integers -> DECIMAL; STRING -> BYTES, BYTES -> STRING when valid UTF-8; BYTES of 16 -> UUID; lists by element; an
 * all-null column of any type. A row whose value does not fit has its bit set in `rejected` (may be null: then the
 * first such row is an error) and becomes null. PLINTH_INVALID_ARGUMENT when the types never go together; texts name
 * neither column nor table: the caller prefixes them. */
PLINTH_MUST_CHECK enum plinth_status column_cast(struct arena *arena, const struct column *from, uint32_t rows,
                                                 struct column_type to, uint8_t *rejected, struct column *out,
                                                 struct plinth_error *error);
bool column_cast_is_possible(struct column_type from, struct column_type to);

/* Checks untrusted columns deeply enough that everything else may trust them: offsets in order and in bounds of
 * `bytes_size`/child rows, UTF-8 in STRING, decimals within their precision, null_count (recounted). The sizes of the
 * buffers have been checked by whoever found them. PLINTH_INVALID_ARGUMENT names the row. */
PLINTH_MUST_CHECK enum plinth_status column_check(struct column *column, uint32_t rows, uint64_t bytes_size,
                                                  uint32_t child_rows, struct plinth_error *error);

/* ---- the wire and log form: a column as bytes ---- */

/* flags u8 (bit 0: has validity) | null count varint if so | validity bitmap, zero-padded | fixed width: values; BOOL:
 * bitmap; STRING, BYTES: varint byte count, rows lengths as uint32, bytes; LIST: varint element count, rows lengths as
 * uint32, element column in the same form. Encodes rows [first, first + count). */
PLINTH_MUST_CHECK bool column_encode(struct buffer *into, const struct column *column, uint32_t first, uint32_t count);
uint64_t column_encoded_bytes(const struct column *column, uint32_t first, uint32_t count); /* an upper bound, close */
/* Defensive: PLINTH_CORRUPT. Copies what needs alignment into `arena`, borrows the rest from what is read. */
PLINTH_MUST_CHECK enum plinth_status column_decode(struct reader *from, struct arena *arena, struct column_type type,
                                                   uint32_t rows, struct column *out, struct plinth_error *error);

#endif
