/* The inside of a scan, for scan.c and for the scans of transactions. */
#ifndef PLINTH_ENGINE_SCAN_H
#define PLINTH_ENGINE_SCAN_H

#include "engine/cursor.h"
#include "engine/engine.h"
#include "engine/row_indexes.h"

struct transaction_scan;

struct plinth_scan {
    struct plinth *db;
    struct cursor cursor;
    struct table_id rows; /* the key space */
    uint64_t lsn, time_us;
    uint64_t left; /* rows of the limit; UINT64_MAX: no limit */
    bool by_index;
    bool with_values;
    bool with_indexes;
    struct row_indexes indexes; /* with_indexes: of the last row */
    struct buffer index_value, stored;
    struct buffer value; /* of the last row, when it lies in the store */
    struct segment_hit hit;
    struct transaction_scan *transaction; /* owned; null outside of transactions */
};

/* The tighter of prefix and bounds, as [lower, upper). `successor` is memory for the upper end of the prefix. */
PLINTH_MUST_CHECK bool scan_narrow(struct slice prefix, struct slice *lower, struct slice *upper,
                                   struct buffer *successor);
/* The row that the cursor stands on; one value at a time is in memory. */
PLINTH_MUST_CHECK enum plinth_status scan_take_row(struct plinth_scan *scan, struct plinth_row *row,
                                                   struct plinth_error *error);

/* ---- transaction_scan.c ---- */

/* plinth_scan_next for a scan with `transaction`. */
PLINTH_MUST_CHECK enum plinth_status transaction_scan_next(struct plinth_scan *scan, struct plinth_row *row,
                                                           bool *found, struct plinth_error *error);
void transaction_scan_destroy(struct transaction_scan *scan); /* null is allowed */

#endif
