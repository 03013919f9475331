#include "row_model.h"

#include <stdlib.h>

void row_model_init(struct row_model *model) {
    *model = (struct row_model){0};
    arena_init(&model->arena);
}

void row_model_deinit(struct row_model *model) {
    arena_deinit(&model->arena);
    free(model->rows);
    *model = (struct row_model){0};
}

static struct slice keep(struct row_model *model, struct slice bytes) {
    uint8_t *copy = arena_copy(&model->arena, bytes);
    assert_non_null(copy);
    return slice_of(copy, bytes.size);
}

void row_model_add(struct row_model *model, const struct row *row) {
    if (model->count == model->capacity) {
        model->capacity = model->capacity ? 2 * model->capacity : 64;
        model->rows = realloc(model->rows, model->capacity * sizeof *model->rows);
        assert_non_null(model->rows);
    }
    struct row *copy = &model->rows[model->count++];
    *copy = *row;
    copy->key = keep(model, row->key);
    copy->value = keep(model, row->value);
    copy->indexes = keep(model, row->indexes);
}

static int compare_rows(const void *a, const void *b) {
    const struct row *row_a = a, *row_b = b;
    return row_order(row_a->key, row_a->lsn, row_b->key, row_b->lsn);
}

void row_model_sort(struct row_model *model) {
    if (model->count) qsort(model->rows, model->count, sizeof *model->rows, compare_rows);
}

size_t row_model_find(const struct row_model *model, struct slice key, uint64_t lsn) {
    size_t low = 0, high = model->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (row_order(model->rows[middle].key, model->rows[middle].lsn, key, lsn) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

const struct row *row_model_get(const struct row_model *model, struct slice key, uint64_t lsn_max) {
    size_t index = row_model_find(model, key, lsn_max);
    bool found = index < model->count && slice_equal(model->rows[index].key, key);
    return found ? &model->rows[index] : NULL;
}

/* Key number `n`: its bytes depend on n alone, lengths differ, and many start alike. */
static struct slice make_key(uint64_t n, size_t bytes_max, struct buffer *buffer) {
    struct test_random random = test_random_of(n * 1000003 + 17);
    size_t size = test_random_below(&random, bytes_max + 1);
    buffer_clear(buffer);
    assert_true(buffer_reserve(buffer, size + 8));
    for (size_t i = 0; i < size; i++) {
        uint64_t byte = test_random_below(&random, 8);
        static const uint8_t alphabet[] = {0, 'a', 'a', 'a', 'b', 0x7F, 0x80, 0xFF};
        assert_true(buffer_append_u8(buffer, alphabet[byte]));
    }
    return buffer_slice(buffer);
}

static struct slice make_value(struct test_random *random, size_t bytes_max, struct buffer *buffer) {
    size_t size = test_random_below(random, bytes_max + 1);
    buffer_clear(buffer);
    assert_true(buffer_append_zeros(buffer, size));
    if (size && test_random_below(random, 2)) test_random_bytes(random, buffer->data, size);
    return buffer_slice(buffer);
}

static struct slice make_indexes(struct test_random *random, struct buffer *buffer) {
    buffer_clear(buffer);
    uint8_t bytes[20];
    for (uint64_t i = test_random_below(random, 3) + 1; i > 0; i--) {
        size_t size = test_random_below(random, sizeof bytes);
        test_random_bytes(random, bytes, size);
        assert_true(buffer_append_varint(buffer, 10 - i));
        assert_true(buffer_append_string(buffer, slice_of(bytes, size)));
    }
    return buffer_slice(buffer);
}

void row_model_fill(struct row_model *model, const struct row_shape *shape, struct test_random *random) {
    struct buffer key = BUFFER_INIT, value = BUFFER_INIT, indexes = BUFFER_INIT;
    size_t key_bytes_max = shape->key_bytes_max ? shape->key_bytes_max : 8;
    for (size_t i = 0; i < shape->rows; i++) {
        struct row row = {.lsn = shape->lsn_first + (shape->one_lsn ? 0 : i), .operation = ROW_SET};
        row.key = make_key(test_random_below(random, shape->keys), key_bytes_max, &key);
        if (test_random_below(random, 100) < shape->delete_percent) {
            row.operation = ROW_DELETE;
        } else {
            row.value = make_value(random, shape->value_bytes_max, &value);
            if (test_random_below(random, 100) < shape->index_percent) row.indexes = make_indexes(random, &indexes);
        }
        row_model_add(model, &row);
    }
    buffer_deinit(&key);
    buffer_deinit(&value);
    buffer_deinit(&indexes);
    row_model_sort(model);
    if (!shape->one_lsn || !model->count) return;
    size_t kept = 1;
    for (size_t i = 1; i < model->count; i++) {
        if (!slice_equal(model->rows[i].key, model->rows[kept - 1].key)) model->rows[kept++] = model->rows[i];
    }
    model->count = kept;
}

struct slice row_model_random_key(const struct row_model *model, struct test_random *random, struct buffer *buffer) {
    buffer_clear(buffer);
    if (model->count) {
        const struct row *row = &model->rows[test_random_below(random, model->count)];
        assert_true(buffer_append(buffer, row->key.data, row->key.size));
    }
    switch (test_random_below(random, 6)) {
    case 0: assert_true(buffer_append_u8(buffer, (uint8_t)test_random_below(random, 256))); break;
    case 1:
        if (buffer->size) buffer->size--;
        break;
    case 2:
        if (buffer->size) buffer->data[test_random_below(random, buffer->size)] ^= 1;
        break;
    default: break;
    }
    return buffer_slice(buffer);
}

/* ---- iterator ---- */

struct row_model_iterator {
    struct iterator base;
    const struct row_model *model;
    size_t at; /* SIZE_MAX before the first */
};

static enum plinth_status stand_at(struct row_model_iterator *it, size_t at) {
    it->at = at;
    it->base.valid = at < it->model->count;
    if (it->base.valid) it->base.row = it->model->rows[at];
    return PLINTH_OK;
}

static enum plinth_status model_seek(struct iterator *base, struct slice key, uint64_t lsn,
                                     struct plinth_error *error) {
    (void)error;
    struct row_model_iterator *it = (struct row_model_iterator *)base;
    return stand_at(it, row_model_find(it->model, key, lsn));
}
static enum plinth_status model_seek_before(struct iterator *base, struct slice key, uint64_t lsn,
                                            struct plinth_error *error) {
    (void)error;
    struct row_model_iterator *it = (struct row_model_iterator *)base;
    return stand_at(it, row_model_find(it->model, key, lsn) - 1);
}
static enum plinth_status model_seek_first(struct iterator *base, struct plinth_error *error) {
    (void)error;
    return stand_at((struct row_model_iterator *)base, 0);
}
static enum plinth_status model_seek_last(struct iterator *base, struct plinth_error *error) {
    (void)error;
    struct row_model_iterator *it = (struct row_model_iterator *)base;
    return stand_at(it, it->model->count - 1);
}
static enum plinth_status model_next(struct iterator *base, struct plinth_error *error) {
    (void)error;
    struct row_model_iterator *it = (struct row_model_iterator *)base;
    return stand_at(it, it->at + 1);
}
static enum plinth_status model_previous(struct iterator *base, struct plinth_error *error) {
    (void)error;
    struct row_model_iterator *it = (struct row_model_iterator *)base;
    return stand_at(it, it->at - 1);
}
static void model_close(struct iterator *base) { free(base); }

static const struct iterator_ops model_ops = {
    .seek = model_seek,
    .seek_before = model_seek_before,
    .seek_first = model_seek_first,
    .seek_last = model_seek_last,
    .next = model_next,
    .previous = model_previous,
    .close = model_close,
};

struct iterator *row_model_iterator(const struct row_model *model) {
    struct row_model_iterator *it = calloc(1, sizeof *it);
    assert_non_null(it);
    it->base.ops = &model_ops;
    it->model = model;
    return &it->base;
}

/* ---- assertions ---- */

void assert_row_equal(const struct row *got, const struct row *wanted, bool lsn_only) {
    assert_true(slice_equal(got->key, wanted->key));
    assert_true(got->lsn == wanted->lsn);
    assert_int_equal(got->operation, wanted->operation);
    if (lsn_only) return;
    assert_true(slice_equal(got->value, wanted->value));
    assert_true(slice_equal(got->indexes, wanted->indexes));
}

void assert_iterator_scans(struct iterator *it, const struct row_model *model, bool lsn_only) {
    struct plinth_error error;
    assert_ok(iterator_seek_first(it, &error), &error);
    for (size_t i = 0; i < model->count; i++) {
        assert_true(it->valid);
        assert_row_equal(&it->row, &model->rows[i], lsn_only);
        assert_ok(iterator_next(it, &error), &error);
    }
    assert_false(it->valid);
    assert_ok(iterator_seek_last(it, &error), &error);
    for (size_t i = model->count; i-- > 0;) {
        assert_true(it->valid);
        assert_row_equal(&it->row, &model->rows[i], lsn_only);
        assert_ok(iterator_previous(it, &error), &error);
    }
    assert_false(it->valid);
}

void assert_iterator_agrees(struct iterator *it, const struct row_model *model, struct test_random *random,
                            size_t operations, bool lsn_only) {
    struct plinth_error error;
    struct buffer buffer = BUFFER_INIT;
    struct iterator *wanted = row_model_iterator(model);
    for (size_t i = 0; i < operations; i++) {
        uint64_t what = test_random_below(random, 12);
        if (what < 2 || !wanted->valid) {
            struct slice key = row_model_random_key(model, random, &buffer);
            uint64_t lsn = UINT64_MAX;
            if (model->count && test_random_below(random, 2))
                lsn = model->rows[test_random_below(random, model->count)].lsn + test_random_below(random, 2);
            if (what % 2) {
                assert_ok(iterator_seek(it, key, lsn, &error), &error);
                assert_ok(iterator_seek(wanted, key, lsn, &error), &error);
            } else {
                assert_ok(iterator_seek_before(it, key, lsn, &error), &error);
                assert_ok(iterator_seek_before(wanted, key, lsn, &error), &error);
            }
        } else if (what == 2 && test_random_below(random, 10) == 0) {
            assert_ok(iterator_seek_first(it, &error), &error);
            assert_ok(iterator_seek_first(wanted, &error), &error);
        } else if (what == 3 && test_random_below(random, 10) == 0) {
            assert_ok(iterator_seek_last(it, &error), &error);
            assert_ok(iterator_seek_last(wanted, &error), &error);
        } else if (what < 8) {
            assert_ok(iterator_next(it, &error), &error);
            assert_ok(iterator_next(wanted, &error), &error);
        } else {
            assert_ok(iterator_previous(it, &error), &error);
            assert_ok(iterator_previous(wanted, &error), &error);
        }
        assert_int_equal(it->valid, wanted->valid);
        if (it->valid) assert_row_equal(&it->row, &wanted->row, lsn_only);
    }
    iterator_close(wanted);
    buffer_deinit(&buffer);
}
