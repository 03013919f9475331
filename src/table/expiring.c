/* An expired row is a delete: it hides older versions of its key, and goes where deletes go. */
#include <stdlib.h>

#include "base/status.h"
#include "table/covered.h"

struct expiring_iterator {
    struct iterator base;
    struct iterator *inner;
    uint64_t time_us;
};

static enum plinth_status show(struct expiring_iterator *it, enum plinth_status st) {
    it->base.valid = !st && it->inner->valid;
    if (!it->base.valid) return st;
    it->base.row = it->inner->row;
    if (!row_is_expired(it->base.row.indexes, it->time_us)) return st;
    it->base.row.operation = ROW_DELETE;
    it->base.row.value = it->base.row.indexes = slice_of(NULL, 0);
    return st;
}

static enum plinth_status expiring_seek(struct iterator *base, struct slice key, uint64_t lsn,
                                        struct plinth_error *error) {
    struct expiring_iterator *it = (struct expiring_iterator *)base;
    return show(it, iterator_seek(it->inner, key, lsn, error));
}

static enum plinth_status expiring_seek_before(struct iterator *base, struct slice key, uint64_t lsn,
                                               struct plinth_error *error) {
    struct expiring_iterator *it = (struct expiring_iterator *)base;
    return show(it, iterator_seek_before(it->inner, key, lsn, error));
}

static enum plinth_status expiring_seek_first(struct iterator *base, struct plinth_error *error) {
    struct expiring_iterator *it = (struct expiring_iterator *)base;
    return show(it, iterator_seek_first(it->inner, error));
}

static enum plinth_status expiring_seek_last(struct iterator *base, struct plinth_error *error) {
    struct expiring_iterator *it = (struct expiring_iterator *)base;
    return show(it, iterator_seek_last(it->inner, error));
}

static enum plinth_status expiring_next(struct iterator *base, struct plinth_error *error) {
    struct expiring_iterator *it = (struct expiring_iterator *)base;
    return show(it, iterator_next(it->inner, error));
}

static enum plinth_status expiring_previous(struct iterator *base, struct plinth_error *error) {
    struct expiring_iterator *it = (struct expiring_iterator *)base;
    return show(it, iterator_previous(it->inner, error));
}

static void expiring_close(struct iterator *base) {
    struct expiring_iterator *it = (struct expiring_iterator *)base;
    iterator_close(it->inner);
    free(it);
}

static const struct iterator_ops expiring_ops = {
    .seek = expiring_seek,
    .seek_before = expiring_seek_before,
    .seek_first = expiring_seek_first,
    .seek_last = expiring_seek_last,
    .next = expiring_next,
    .previous = expiring_previous,
    .close = expiring_close,
};

enum plinth_status expiring_iterator_open(struct iterator *inner, uint64_t time_us, struct iterator **it,
                                          struct plinth_error *error) {
    *it = NULL;
    struct expiring_iterator *opened = calloc(1, sizeof *opened);
    if (!opened) {
        iterator_close(inner);
        return error_no_memory(error, "iterator");
    }
    opened->base.ops = &expiring_ops;
    opened->inner = inner;
    opened->time_us = time_us;
    *it = &opened->base;
    return PLINTH_OK;
}
