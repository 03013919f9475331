/* Scans within a transaction: the rows of its snapshot with its own writes over them, and an account of how far the
 * scan has come, for that is what the commit rests on. */
#include <stdlib.h>

#include "base/status.h"
#include "engine/array.h"
#include "engine/scan.h"
#include "engine/transaction.h"

struct transaction_scan {
    struct plinth_transaction *transaction;
    size_t range;               /* in transaction->ranges */
    struct buffer lower, upper; /* what was asked for; an empty upper is the end of the space */
    struct buffer stored_lower, stored_upper;
    struct touched_key *own; /* the next key of the transaction, written or not */
    bool started;
    bool ahead; /* the cursor's row has not been given yet */
};

void transaction_scan_destroy(struct transaction_scan *scan) {
    if (!scan) return;
    scan->transaction->open_scans--;
    buffer_deinit(&scan->lower);
    buffer_deinit(&scan->upper);
    buffer_deinit(&scan->stored_lower);
    buffer_deinit(&scan->stored_upper);
    free(scan);
}

static bool set_bytes(struct buffer *buffer, struct slice bytes) {
    buffer_clear(buffer);
    return buffer_append(buffer, bytes.data, bytes.size);
}

/* Notes that everything up to the cursor's row, or up to the scan's end, has been read. */
static enum plinth_status extend_range(struct plinth_scan *scan, struct plinth_error *error) {
    const struct transaction_scan *own = scan->transaction;
    struct transaction_range *range = &own->transaction->ranges[own->range];
    const struct cursor *cursor = &scan->cursor;
    bool ok;
    if (!range->read) {
        ok = set_bytes(&range->lower, buffer_slice(&own->lower)) && set_bytes(&range->upper, buffer_slice(&own->upper));
        range->read = true;
    } else {
        ok = true;
    }
    if (!cursor->reverse) {
        ok = ok && set_bytes(&range->upper, cursor->valid ? cursor->row.key : buffer_slice(&own->upper));
        if (cursor->valid) ok = ok && buffer_append_u8(&range->upper, 0);
    } else {
        ok = ok && set_bytes(&range->lower, cursor->valid ? cursor->row.key : buffer_slice(&own->lower));
    }
    return ok ? PLINTH_OK : error_no_memory(error, "transaction");
}

/* To the next key that the transaction writes within the bounds; null when there is none. */
static void skip_unwritten(struct transaction_scan *own, const struct touched_keys *keys, bool reverse) {
    while (own->own && !own->own->written)
        own->own = reverse ? touched_keys_seek_below(keys, own->own->stored) : own->own->next[0];
    if (!own->own) return;
    if (reverse ? slice_compare(own->own->stored, buffer_slice(&own->stored_lower)) < 0
                : own->stored_upper.size && slice_compare(own->own->stored, buffer_slice(&own->stored_upper)) >= 0)
        own->own = NULL;
}

static void step_own(struct transaction_scan *own, const struct touched_keys *keys, bool reverse) {
    own->own = reverse ? touched_keys_seek_below(keys, own->own->stored) : own->own->next[0];
    skip_unwritten(own, keys, reverse);
}

static void start_own(struct transaction_scan *own, const struct touched_keys *keys, bool reverse) {
    own->own = reverse ? touched_keys_seek_below(keys, buffer_slice(&own->stored_upper))
                       : touched_keys_seek(keys, buffer_slice(&own->stored_lower));
    skip_unwritten(own, keys, reverse);
}

static void take_own(const struct plinth_scan *scan, const struct plinth_operation *operation, struct plinth_row *row) {
    *row = (struct plinth_row){.key = operation->key};
    if (scan->with_values) row->value = operation->value;
    if (!scan->with_indexes) return;
    row->indexes = operation->indexes;
    row->index_count = operation->index_count;
}

/* < 0 when the transaction's own key comes before the cursor's row in the scan's direction, 0 when it covers it. */
static int compare_own(const struct plinth_scan *scan) {
    const struct transaction_scan *own = scan->transaction;
    if (!own->ahead) return -1;
    if (!own->own) return 1;
    int order = slice_compare(slice_in(own->own->operation.key), scan->cursor.row.key);
    return scan->cursor.reverse ? -order : order;
}

/* Whether the transaction's range deletes take the cursor's row away. */
static enum plinth_status is_deleted(struct plinth_scan *scan, bool *deleted, struct plinth_error *error) {
    const struct plinth_transaction *transaction = scan->transaction->transaction;
    if (!transaction->delete_count) return PLINTH_OK;
    buffer_clear(&scan->stored);
    if (!engine_stored_key(&scan->stored, scan->rows, scan->cursor.row.key))
        return error_no_memory(error, "transaction");
    *deleted = transaction_deletes(transaction, buffer_slice(&scan->stored));
    return PLINTH_OK;
}

enum plinth_status transaction_scan_next(struct plinth_scan *scan, struct plinth_row *row, bool *found,
                                         struct plinth_error *error) {
    struct transaction_scan *own = scan->transaction;
    const struct touched_keys *keys = &own->transaction->keys;
    bool reverse = scan->cursor.reverse;
    if (!own->started) start_own(own, keys, reverse);
    while (scan->left) {
        skip_unwritten(own, keys, reverse); /* a range delete since may have taken it away */
        if (!own->ahead && (scan->cursor.valid || !own->started)) {
            own->started = true;
            enum plinth_status st = cursor_next(&scan->cursor, error);
            if (!st) st = extend_range(scan, error);
            if (st) return st;
            own->ahead = scan->cursor.valid;
        }
        if (!own->ahead && !own->own) return PLINTH_OK;
        int order = compare_own(scan);
        if (order >= 0) own->ahead = false;
        if (order > 0) {
            bool deleted = false;
            enum plinth_status st = is_deleted(scan, &deleted, error);
            if (st) return st;
            if (deleted) continue;
            st = scan_take_row(scan, row, error);
            if (st) return st;
        } else {
            const struct plinth_operation *operation = &own->own->operation;
            step_own(own, keys, reverse);
            if (operation->kind == PLINTH_DELETE) continue;
            take_own(scan, operation, row);
        }
        scan->left--;
        *found = true;
        return PLINTH_OK;
    }
    return PLINTH_OK;
}

/* ---- opening ---- */

static bool copy_bounds(struct transaction_scan *own, struct plinth_space space,
                        const struct plinth_scan_options *options) {
    struct slice lower = slice_in(options->lower), upper = slice_in(options->upper);
    struct buffer successor = BUFFER_INIT, prefix = BUFFER_INIT;
    bool ok = scan_narrow(slice_in(options->prefix), &lower, &upper, &successor) && set_bytes(&own->lower, lower) &&
              set_bytes(&own->upper, upper) && engine_stored_key(&prefix, table_in(space), slice_of(NULL, 0)) &&
              engine_stored_key(&own->stored_lower, table_in(space), lower);
    if (ok)
        ok = upper.size ? engine_stored_key(&own->stored_upper, table_in(space), upper)
                        : prefix_successor(&own->stored_upper, buffer_slice(&prefix));
    buffer_deinit(&successor);
    buffer_deinit(&prefix);
    return ok;
}

enum plinth_status plinth_transaction_scan_open(struct plinth_transaction *transaction, struct plinth_space space,
                                                const struct plinth_scan_options *options, struct plinth_scan **scan,
                                                struct plinth_error *error) {
    *scan = NULL;
    error_clear(error);
    struct plinth_scan_options inner = {0};
    if (options) inner = *options;
    inner.read = (struct plinth_read_options){.snapshot = transaction->snapshot};
    enum plinth_status st = transaction_check(transaction, error);
    if (!st) st = plinth_scan_open(transaction->db, space, &inner, scan, error);
    if (st) return st;
    struct transaction_scan *own = calloc(1, sizeof *own);
    if (own) {
        own->transaction = transaction;
        own->range = transaction->range_count;
        transaction->open_scans++;
        (*scan)->transaction = own;
    }
    struct transaction_range range = {.space = space};
    if (own && copy_bounds(own, space, &inner) && ARRAY_PUSH(transaction->ranges, transaction->range_count, range))
        return PLINTH_OK;
    plinth_scan_close(*scan);
    *scan = NULL;
    return error_no_memory(error, "transaction");
}
