#include "engine/rows_unique.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"
#include "engine/array.h"
#include "engine/table_gate.h"

#define NEWEST_LSN (UINT64_MAX >> 1)

bool schema_has_unique(const struct table_schema *schema) {
    for (uint32_t i = 0; i < schema->index_count; i++)
        if (schema->indexes[i].unique) return true;
    return false;
}

/* Moves `entry` behind the index's parts; *has_null when one of them is null. */
static bool skip_head(struct reader *entry, const struct table_schema *schema, const struct table_index *index,
                      bool *has_null) {
    *has_null = false;
    for (uint32_t i = 0; i < index->column_count; i++) {
        struct column_type type = table_index_part_type(schema, index, i);
        *has_null |= reader_left(entry) && entry->at[0] == 1; /* row_key.h */
        if (!row_key_skip(entry, &type, 1)) return false;
    }
    return true;
}

/* An entry that may count, and what asks. */
struct holder {
    struct slice key; /* of its row */
    uint64_t lsn;
    uint32_t of; /* a number of the asker's */
};

static int compare_holders(const void *a, const void *b) {
    return slice_compare(((const struct holder *)a)->key, ((const struct holder *)b)->key);
}

/* Calls `found` for those of the holders (sorted here) whose rows are there as the entries say. */
static enum plinth_status visit_live(struct view *view, const struct table_schema *schema, struct holder *holders,
                                     uint64_t count, void (*found)(void *, const struct holder *), void *context,
                                     struct plinth_error *error) {
    enum { AT_ONCE = 4096 };
    if (!count) return PLINTH_OK;
    qsort(holders, count, sizeof *holders, compare_holders);
    struct slice *keys = malloc(AT_ONCE * sizeof *keys);
    struct row_place *places = malloc(AT_ONCE * sizeof *places);
    enum plinth_status st = keys && places ? PLINTH_OK : error_no_memory(error, "unique index");
    for (uint64_t begin = 0; !st && begin < count; begin += AT_ONCE) {
        uint32_t some = (uint32_t)(count - begin < AT_ONCE ? count - begin : AT_ONCE);
        for (uint32_t i = 0; i < some; i++) keys[i] = holders[begin + i].key;
        st = view_find_rows(view, schema, keys, some, NEWEST_LSN, places, error);
        for (uint32_t i = 0; !st && i < some; i++) {
            const struct row_place *place = &places[i];
            if (place->lsn && place->operation == ROW_SET && place->lsn <= holders[begin + i].lsn)
                found(context, &holders[begin + i]);
            row_place_release(&places[i]);
        }
    }
    free(keys);
    free(places);
    return st;
}

/* ---- a batch ---- */

struct unique_check {
    struct plinth *db;
    struct rows_plan *plan;
    const struct table_index *index;
    struct arena arena;
    struct row_keys keys;  /* primary keys of all rows */
    uint8_t *passed_over;  /* rows that are rejected, or whose key comes again */
    struct holder *others; /* entries of other rows with a value of the batch */
    uint64_t other_count;
    enum plinth_status status;
    struct plinth_error *error;
};

static const struct column *plan_column(const struct rows_plan *plan, uint32_t id) {
    for (uint32_t i = 0; i < plan->column_count; i++)
        if (plan->column_ids[i] == id) return &plan->columns[i];
    return NULL;
}

static bool encode_keys(struct unique_check *check) {
    const struct table_schema *schema = check->plan->schema;
    const struct column *parts[ROW_KEY_PARTS_MAX];
    for (uint32_t i = 0; i < schema->key_count; i++)
        if (!(parts[i] = plan_column(check->plan, schema->key[i]))) return false;
    return row_keys_encode(&check->arena, parts, schema->key_count, ROW_KEY_PRIMARY, check->plan->rows, &check->keys);
}

/* Of rows with one key the last counts. */
static bool find_passed_over(struct unique_check *check) {
    uint32_t rows = check->plan->rows;
    uint32_t *order = arena_alloc(&check->arena, ((size_t)rows + 1) * sizeof *order);
    check->passed_over = arena_zalloc(&check->arena, rows / 8 + 1);
    if (!order || !check->passed_over) return false;
    for (uint32_t i = 0; i < rows; i++)
        if (check->plan->rejected && bitmap_get(check->plan->rejected, i)) bitmap_set(check->passed_over, i);
    if (!check->plan->schema->key_count) return true;
    if (!row_keys_sort(&check->keys, rows, order, NULL)) return false;
    for (uint32_t i = 1; i < rows; i++)
        if (slice_equal(row_keys_at(&check->keys, order[i - 1]), row_keys_at(&check->keys, order[i])))
            bitmap_set(check->passed_over, order[i - 1]);
    return true;
}

static void reject(struct unique_check *check, uint32_t row, const char *who) {
    if (check->status) return;
    bitmap_set(check->passed_over, row);
    check->status = rows_reject(check->plan, row, PLINTH_ALREADY_EXISTS, check->error,
                                "unique index \"%s\": %s has the same values", check->index->name, who);
}

static void reject_holder(void *context, const struct holder *holder) {
    struct unique_check *check = context;
    if (!bitmap_get(check->passed_over, holder->of)) reject(check, holder->of, "another row");
}

/* Entries of other rows that begin with the head. */
static enum plinth_status look_for(struct unique_check *check, struct iterator *it, struct slice head, uint32_t row) {
    struct slice own = check->plan->schema->key_count ? row_keys_at(&check->keys, row) : slice_of(NULL, 0);
    enum plinth_status st = iterator_seek(it, head, UINT64_MAX, check->error);
    for (; !st && it->valid && slice_starts_with(it->row.key, head); st = iterator_next(it, check->error)) {
        struct slice key = slice_of(it->row.key.data + head.size, it->row.key.size - head.size);
        if (it->row.operation != ROW_SET || (check->plan->schema->key_count && slice_equal(key, own))) continue;
        const uint8_t *copy = arena_copy(&check->arena, key);
        struct holder holder = {slice_of(copy, key.size), it->row.lsn, row};
        if (!copy || !ARRAY_PUSH(check->others, check->other_count, holder))
            return error_no_memory(check->error, "unique index");
    }
    return st;
}

static enum plinth_status check_index(struct unique_check *check, struct view *view) {
    const struct rows_plan *plan = check->plan;
    const struct column *columns[ROW_KEY_PARTS_MAX];
    struct index_heads heads;
    struct iterator *it = NULL;
    for (uint32_t i = 0; i < check->index->column_count; i++) columns[i] = plan_column(plan, check->index->columns[i]);
    uint32_t *order;
    if (!index_heads_encode(&check->arena, plan->schema, check->index, columns, plan->rows, &heads) ||
        !(order = arena_alloc(&check->arena, ((size_t)heads.count + 1) * sizeof *order)) ||
        !row_keys_sort(&heads.keys, heads.count, order, NULL))
        return error_no_memory(check->error, "unique index");
    enum plinth_status st = view_index_iterator(view, plan->schema, check->index, &it, check->error);
    struct slice taken = slice_of(NULL, 0); /* the value that a row before has */
    for (uint32_t i = 0; !st && !check->status && i < heads.count; i++) {
        uint32_t row = heads.rows ? heads.rows[order[i]] : order[i];
        struct slice head = row_keys_at(&heads.keys, order[i]);
        struct reader reader = reader_of(head);
        bool has_null = true;
        if (bitmap_get(check->passed_over, row)) continue;
        if (!skip_head(&reader, plan->schema, check->index, &has_null) || has_null) continue;
        if (taken.data && slice_equal(taken, head)) {
            reject(check, row, "another row of the same write");
            continue;
        }
        taken = head;
        st = look_for(check, it, head, row);
    }
    iterator_close(it);
    if (!st) st = check->status;
    if (!st) st = visit_live(view, plan->schema, check->others, check->other_count, reject_holder, check, check->error);
    check->other_count = 0;
    free(check->others);
    check->others = NULL;
    return st ? st : check->status;
}

enum plinth_status rows_check_unique(struct plinth *db, struct rows_plan *plan, struct plinth_error *error) {
    struct unique_check check = {.db = db, .plan = plan, .error = error};
    if (plan->write->operation != ROWS_UPSERT || !plan->rows) return PLINTH_OK;
    arena_init(&check.arena);
    struct view *view = view_current(&db->views);
    bool ok = (!plan->schema->key_count || encode_keys(&check)) && find_passed_over(&check);
    enum plinth_status st = ok ? PLINTH_OK : error_no_memory(error, "unique index");
    for (uint32_t i = 0; !st && i < plan->schema->index_count; i++) {
        check.index = &plan->schema->indexes[i];
        if (check.index->unique) st = check_index(&check, view);
    }
    view_unref(view);
    arena_deinit(&check.arena);
    return st;
}

/* ---- all entries ---- */

/* Entries with the same values. */
struct doubles {
    struct view *view;
    const struct table_schema *schema;
    const struct table_index *index;
    struct buffer head;
    struct arena arena;
    struct holder *holders;
    uint64_t count;
    uint64_t live; /* of the holders at hand */
    uint64_t values;
    char first[64]; /* a row's key in hex */
};

static void count_live(void *context, const struct holder *holder) {
    struct doubles *doubles = context;
    size_t used = 0;
    if (doubles->live++ != 1 || doubles->values) return;
    for (size_t i = 0; i < holder->key.size && used + 3 < sizeof doubles->first; i++)
        used += (size_t)snprintf(doubles->first + used, sizeof doubles->first - used, "%02x", holder->key.data[i]);
}

static enum plinth_status end_value(struct doubles *doubles, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    doubles->live = 0;
    if (doubles->count > 1)
        st = visit_live(doubles->view, doubles->schema, doubles->holders, doubles->count, count_live, doubles, error);
    doubles->values += doubles->live > 1;
    doubles->count = 0;
    free(doubles->holders);
    doubles->holders = NULL;
    arena_reset(&doubles->arena);
    return st;
}

static enum plinth_status add_entry(struct doubles *doubles, const struct row *row, struct plinth_error *error) {
    struct reader reader = reader_of(row->key);
    bool has_null;
    if (!skip_head(&reader, doubles->schema, doubles->index, &has_null))
        return error_set(error, PLINTH_CORRUPT, "malformed entry in index \"%s\"", doubles->index->name);
    struct slice head = slice_of(row->key.data, (size_t)(reader.at - row->key.data));
    struct slice key = slice_of(reader.at, reader_left(&reader));
    enum plinth_status st = PLINTH_OK;
    if (has_null) return PLINTH_OK;
    if (!slice_equal(buffer_slice(&doubles->head), head)) {
        st = end_value(doubles, error);
        buffer_clear(&doubles->head);
        if (!st && !buffer_append(&doubles->head, head.data, head.size)) st = error_no_memory(error, "unique index");
    }
    /* Entries of one row stand together, newest first: the newest is the one that may count. */
    if (st || (doubles->count && slice_equal(doubles->holders[doubles->count - 1].key, key))) return st;
    const uint8_t *copy = arena_copy(&doubles->arena, key);
    struct holder holder = {slice_of(copy, key.size), row->lsn, 0};
    return copy && ARRAY_PUSH(doubles->holders, doubles->count, holder) ? PLINTH_OK
                                                                        : error_no_memory(error, "unique index");
}

enum plinth_status engine_find_doubles(struct plinth *db, const struct table_schema *schema,
                                       const struct table_index *index, struct plinth_error *error) {
    struct doubles doubles = {.schema = schema, .index = index};
    struct iterator *it = NULL;
    /* Who has looked before all entries were there has written behind this. */
    engine_table_gate_close(db, schema->id.table);
    engine_table_gate_open(db, schema->id.table);
    doubles.view = view_current(&db->views);
    arena_init(&doubles.arena);
    enum plinth_status st = view_index_iterator(doubles.view, schema, index, &it, error);
    if (!st) st = iterator_seek_first(it, error);
    while (!st && it->valid) {
        st = add_entry(&doubles, &it->row, error);
        if (!st) st = iterator_next(it, error);
    }
    if (!st) st = end_value(&doubles, error);
    iterator_close(it);
    view_unref(doubles.view);
    free(doubles.holders);
    buffer_deinit(&doubles.head);
    arena_deinit(&doubles.arena);
    if (st || !doubles.values) return st;
    return error_set(error, PLINTH_ALREADY_EXISTS,
                     "index \"%s\" is unique, and %" PRIu64
                     " of its values are there more than once, one of them in the row with key 0x%s",
                     index->name, doubles.values, doubles.first);
}
