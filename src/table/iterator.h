/* One iterator interface over memtables, segments and merges of them: all versions of one table in row order
 * (key ascending, LSN descending), both ways.
 *
 * `row` may be read while `valid`; its slices live until the next call on the iterator. After a failing call the
 * iterator is not valid. One thread at a time. */
#ifndef PLINTH_TABLE_ITERATOR_H
#define PLINTH_TABLE_ITERATOR_H

#include "table/row.h"

struct iterator;

struct iterator_ops {
    enum plinth_status (*seek)(struct iterator *, struct slice key, uint64_t lsn, struct plinth_error *);
    enum plinth_status (*seek_before)(struct iterator *, struct slice key, uint64_t lsn, struct plinth_error *);
    enum plinth_status (*seek_first)(struct iterator *, struct plinth_error *);
    enum plinth_status (*seek_last)(struct iterator *, struct plinth_error *);
    enum plinth_status (*next)(struct iterator *, struct plinth_error *);
    enum plinth_status (*previous)(struct iterator *, struct plinth_error *);
    void (*close)(struct iterator *);
};

struct iterator {
    const struct iterator_ops *ops;
    bool valid;
    struct row row;
};

/* To the first version at or behind (key, lsn) in row order: the newest version of `key` not above `lsn`, or what
 * comes after it. UINT64_MAX asks for the newest version of all. */
PLINTH_MUST_CHECK static inline enum plinth_status iterator_seek(struct iterator *it, struct slice key, uint64_t lsn,
                                                                 struct plinth_error *error) {
    return it->ops->seek(it, key, lsn, error);
}
/* To the last version strictly before (key, lsn) in row order. (key, UINT64_MAX) gives the last version of the
 * greatest key below `key`, as nothing has that LSN. */
PLINTH_MUST_CHECK static inline enum plinth_status iterator_seek_before(struct iterator *it, struct slice key,
                                                                        uint64_t lsn, struct plinth_error *error) {
    return it->ops->seek_before(it, key, lsn, error);
}
PLINTH_MUST_CHECK static inline enum plinth_status iterator_seek_first(struct iterator *it,
                                                                       struct plinth_error *error) {
    return it->ops->seek_first(it, error);
}
PLINTH_MUST_CHECK static inline enum plinth_status iterator_seek_last(struct iterator *it, struct plinth_error *error) {
    return it->ops->seek_last(it, error);
}
PLINTH_MUST_CHECK static inline enum plinth_status iterator_next(struct iterator *it, struct plinth_error *error) {
    return it->ops->next(it, error);
}
PLINTH_MUST_CHECK static inline enum plinth_status iterator_previous(struct iterator *it, struct plinth_error *error) {
    return it->ops->previous(it, error);
}
/* Null is allowed. */
static inline void iterator_close(struct iterator *it) {
    if (it) it->ops->close(it);
}

/* Merges `count` iterators of the same table; takes ownership of them (the array itself stays the caller's), also on
 * failure. No two of them hold the same (key, LSN). */
PLINTH_MUST_CHECK enum plinth_status merge_open(struct iterator **inputs, size_t count, struct iterator **merged,
                                                struct plinth_error *error);

#endif
