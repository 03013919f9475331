#include "engine/rows_unique.h"

#include <stdlib.h>

#include "base/status.h"
#include "engine/array.h"
#include "engine/row_text.h"
#include "table/row_block.h"

enum { NOBODY = UINT32_MAX };

bool schema_has_unique(const struct table_schema *schema) {
    for (uint32_t i = 0; i < schema->index_count; i++)
        if (schema->indexes[i].unique) return true;
    return false;
}

/* Rows are numbered from 0 on, over all that is written. */

/* An entry of the index with a value that is written. */
struct holder {
    struct slice key;  /* of its row; the end of */
    struct slice rest; /* what is behind the value */
    uint64_t lsn;
    uint32_t value; /* in the index's list */
    uint32_t own;   /* the row that is written with this key, or NOBODY */
    enum { UNKNOWN, LIVE, DEAD } state;
};

/* A value without nulls, and who is to have it: wanted[first ..]. */
struct value {
    struct slice head;
    uint32_t first, count;
    uint32_t holder_first, holder_count;
};

struct checked_index {
    const struct table_index *index;
    struct buffer bytes;
    struct row_keys heads; /* of all upserts; bytes are in the buffer */
    uint32_t *rows;        /* by head */
    uint32_t head_count;
    uint32_t *wanted; /* rows, by value */
    struct value *values;
    uint32_t value_count;
    struct holder *holders; /* by value */
    uint64_t holder_count;
    uint32_t *by_own; /* those that are written, by row */
    uint32_t own_count;
};

/* A value that has to be looked at again. */
struct affected {
    uint32_t index, value;
};

struct unique_check {
    const struct unique_rows *in;
    struct arena arena;
    uint32_t *bases; /* by rows: the number of the first one; and behind the last */
    struct buffer key_bytes;
    struct row_keys keys; /* of all rows; offsets null: the table has no key */
    uint32_t *by_key;
    uint32_t count;
    uint8_t *lost; /* bitmap */
    struct checked_index *indexes;
    uint32_t index_count;
    struct affected *stack;
    uint64_t stack_count;
};

static void check_deinit(struct unique_check *check) {
    for (uint32_t i = 0; i < check->index_count; i++) {
        buffer_deinit(&check->indexes[i].bytes);
        free(check->indexes[i].holders);
    }
    buffer_deinit(&check->key_bytes);
    free(check->stack);
    arena_deinit(&check->arena);
}

/* ---- what is written ---- */

static size_t rows_of(const struct unique_check *check, uint32_t number) {
    size_t low = 0, high = check->in->count;
    while (low + 1 < high) {
        size_t middle = low + (high - low) / 2;
        if (check->bases[middle] <= number)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static uint32_t arrival_of(const struct unique_check *check, uint32_t number) {
    return check->in->arrival ? check->in->arrival[number] : number;
}

static const struct column *column_of(const struct transaction_rows *rows, uint32_t id) {
    for (uint32_t i = 0; i < rows->batch->column_count; i++)
        if (rows->column_ids[i] == id) return &rows->batch->columns[i];
    return NULL;
}

/* Appends keys to those before them; offsets[0] of the first is 0. */
static bool join_keys(struct buffer *bytes, uint32_t *offsets, const struct row_keys *keys, uint32_t count) {
    uint64_t base = bytes->size, first = keys->offsets[0];
    if (base + keys->offsets[count] > UINT32_MAX) return false;
    for (uint32_t i = 0; i < count; i++) offsets[i + 1] = (uint32_t)(base + keys->offsets[i + 1] - first);
    return buffer_append(bytes, keys->bytes + first, keys->offsets[count] - first);
}

static bool number_rows(struct unique_check *check) {
    const struct unique_rows *in = check->in;
    check->bases = arena_alloc(&check->arena, (in->count + 1) * sizeof *check->bases);
    if (!check->bases) return false;
    for (size_t i = 0; i < in->count; i++) {
        check->bases[i] = check->count;
        check->count += in->rows[i].batch->rows;
    }
    check->bases[in->count] = check->count;
    check->lost = arena_zalloc(&check->arena, check->count / 8 + 1);
    return check->lost != NULL;
}

static bool encode_keys(struct unique_check *check) {
    const struct table_schema *schema = check->in->schema;
    if (!schema->key_count) return true;
    uint32_t *offsets = arena_zalloc(&check->arena, ((size_t)check->count + 1) * sizeof *offsets);
    check->by_key = arena_alloc(&check->arena, ((size_t)check->count + 1) * sizeof *check->by_key);
    bool ok = offsets && check->by_key;
    struct arena work;
    arena_init(&work);
    for (size_t i = 0; ok && i < check->in->count; i++) {
        const struct column *parts[ROW_KEY_PARTS_MAX];
        const struct transaction_rows *rows = &check->in->rows[i];
        struct row_keys keys;
        for (uint32_t k = 0; k < schema->key_count; k++) parts[k] = column_of(rows, schema->key[k]);
        ok = row_keys_encode(&work, parts, schema->key_count, ROW_KEY_PRIMARY, rows->batch->rows, &keys) &&
             join_keys(&check->key_bytes, offsets + check->bases[i], &keys, rows->batch->rows);
        arena_reset(&work);
    }
    arena_deinit(&work);
    check->keys = (struct row_keys){offsets, check->key_bytes.data};
    return ok && row_keys_sort(&check->keys, check->count, check->by_key, NULL);
}

/* Empty in tables without a key. */
static struct slice key_of(const struct unique_check *check, uint32_t number) {
    return check->keys.offsets ? row_keys_at(&check->keys, number) : slice_of(NULL, 0);
}

/* The row that is written with this key, or NOBODY. */
static uint32_t find_own(const struct unique_check *check, struct slice key) {
    uint32_t low = 0, high = check->keys.offsets ? check->count : 0;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (slice_compare(row_keys_at(&check->keys, check->by_key[middle]), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    bool found =
        check->keys.offsets && low < check->count && slice_equal(row_keys_at(&check->keys, check->by_key[low]), key);
    return found ? check->by_key[low] : NOBODY;
}

/* ---- values ---- */

static bool append_heads(struct unique_check *check, struct checked_index *of, struct buffer *offsets,
                         struct buffer *numbers, size_t number, struct arena *work) {
    const struct transaction_rows *rows = &check->in->rows[number];
    const struct column *columns[ROW_KEY_PARTS_MAX];
    struct index_heads heads;
    for (uint32_t i = 0; i < of->index->column_count; i++) columns[i] = column_of(rows, of->index->columns[i]);
    if (!index_heads_encode(work, check->in->schema, of->index, of->index->column_count, columns, rows->batch->rows,
                            &heads) ||
        !buffer_reserve(offsets, (heads.count + (size_t)1) * sizeof(uint32_t)) ||
        !buffer_reserve(numbers, (heads.count + (size_t)1) * sizeof(uint32_t)))
        return false;
    uint32_t *ends = (uint32_t *)(offsets->data + offsets->size) - 1,
             *row = (uint32_t *)(numbers->data + numbers->size);
    if (!join_keys(&of->bytes, ends, &heads.keys, heads.count)) return false;
    for (uint32_t i = 0; i < heads.count; i++) row[i] = check->bases[number] + (heads.rows ? heads.rows[i] : i);
    offsets->size += heads.count * sizeof(uint32_t);
    numbers->size += heads.count * sizeof(uint32_t);
    of->head_count += heads.count;
    return true;
}

/* The heads of all upserts. */
static bool encode_heads(struct unique_check *check, struct checked_index *of) {
    struct buffer offsets = BUFFER_INIT, numbers = BUFFER_INIT;
    struct arena work;
    arena_init(&work);
    bool ok = buffer_append_u32(&offsets, 0);
    for (size_t i = 0; ok && i < check->in->count; i++) {
        if (check->in->rows[i].operation == ROWS_UPSERT) ok = append_heads(check, of, &offsets, &numbers, i, &work);
        arena_reset(&work);
    }
    if (ok) {
        of->heads = (struct row_keys){arena_alloc(&check->arena, offsets.size), of->bytes.data};
        of->rows = arena_alloc(&check->arena, numbers.size + 1);
        ok = of->heads.offsets && of->rows;
    }
    if (ok) {
        memcpy(of->heads.offsets, offsets.data, offsets.size);
        if (numbers.size) memcpy(of->rows, numbers.data, numbers.size);
    }
    buffer_deinit(&offsets);
    buffer_deinit(&numbers);
    arena_deinit(&work);
    return ok;
}

/* Brings equal heads together. */
static bool find_values(struct unique_check *check, struct checked_index *of) {
    uint32_t *order = arena_alloc(&check->arena, ((size_t)of->head_count + 1) * sizeof *order);
    of->wanted = arena_alloc(&check->arena, ((size_t)of->head_count + 1) * sizeof *of->wanted);
    of->values = arena_alloc(&check->arena, ((size_t)of->head_count + 1) * sizeof *of->values);
    if (!order || !of->wanted || !of->values || !row_keys_sort(&of->heads, of->head_count, order, NULL)) return false;
    uint32_t at = 0;
    for (uint32_t i = 0; i < of->head_count; i++) {
        struct slice head = row_keys_at(&of->heads, order[i]);
        struct reader reader = reader_of(head);
        bool has_null = true;
        if (!index_head_skip(&reader, check->in->schema, of->index, &has_null) || has_null) continue;
        if (!of->value_count || !slice_equal(of->values[of->value_count - 1].head, head))
            of->values[of->value_count++] = (struct value){.head = head, .first = at};
        of->values[of->value_count - 1].count++;
        of->wanted[at++] = of->rows[order[i]];
    }
    return true;
}

/* ---- who has them ---- */

/* The entries with a value; of those of one row the newest that the state has. */
static enum plinth_status read_holders(struct unique_check *check, struct checked_index *of, struct iterator *it,
                                       uint32_t number, struct plinth_error *error) {
    struct value *value = &of->values[number];
    value->holder_first = (uint32_t)of->holder_count;
    enum plinth_status st = iterator_seek(it, value->head, UINT64_MAX, error);
    for (; !st && it->valid && slice_starts_with(it->row.key, value->head); st = iterator_next(it, error)) {
        if (it->row.operation != ROW_SET || it->row.lsn > check->in->lsn) continue;
        struct slice rest = slice_of(it->row.key.data + value->head.size, it->row.key.size - value->head.size);
        if (value->holder_count && slice_equal(of->holders[of->holder_count - 1].rest, rest)) continue;
        const uint8_t *copy = arena_copy(&check->arena, rest);
        struct reader entry = reader_of(slice_of(copy, rest.size));
        if (copy && !index_included_skip(&entry, check->in->schema, of->index))
            return error_set(error, PLINTH_CORRUPT, "malformed entry in index \"%s\"", of->index->name);
        struct slice key = slice_of(entry.at, reader_left(&entry));
        struct holder holder = {key, slice_of(copy, rest.size), it->row.lsn, number, find_own(check, key), UNKNOWN};
        if (!copy || of->holder_count == NOBODY || !ARRAY_PUSH(of->holders, of->holder_count, holder))
            return error_no_memory(error, "unique index");
        value->holder_count++;
    }
    return st;
}

static void judge_holder(struct holder *holder, const struct row_place *place) {
    bool live = place->lsn && place->operation == ROW_SET && place->lsn <= holder->lsn;
    holder->state = live ? LIVE : DEAD;
}

static int compare_holders(const void *a, const void *b, void *context) {
    const struct holder *holders = context;
    return slice_compare(holders[*(const uint32_t *)a].key, holders[*(const uint32_t *)b].key);
}

static int compare_owns(const void *a, const void *b, void *context) {
    const struct holder *holders = context;
    uint32_t left = holders[*(const uint32_t *)a].own, right = holders[*(const uint32_t *)b].own;
    return (left > right) - (left < right);
}

/* Looks the rows up that are not written now. */
static enum plinth_status judge_foreign(struct unique_check *check, struct checked_index *of, uint32_t *order,
                                        uint32_t count, struct plinth_error *error) {
    enum { AT_ONCE = 4096 };
    if (!count) return PLINTH_OK;
    qsort_r(order, count, sizeof *order, compare_holders, of->holders);
    struct slice *keys = malloc(AT_ONCE * sizeof *keys);
    struct row_place *places = malloc(AT_ONCE * sizeof *places);
    enum plinth_status st = keys && places ? PLINTH_OK : error_no_memory(error, "unique index");
    for (uint32_t begin = 0; !st && begin < count; begin += AT_ONCE) {
        uint32_t some = count - begin < AT_ONCE ? count - begin : AT_ONCE;
        for (uint32_t i = 0; i < some; i++) keys[i] = of->holders[order[begin + i]].key;
        st = view_find_entries(check->in->view, check->in->schema, keys, some, check->in->lsn, false, places, error);
        if (st) break; /* it has released what it found */
        st = row_places_expire(places, some, check->in->schema, check->in->time_us, false, error);
        for (uint32_t i = 0; i < some; i++) {
            judge_holder(&of->holders[order[begin + i]], &places[i]);
            row_place_release(&places[i]);
        }
    }
    free(keys);
    free(places);
    return st;
}

static enum plinth_status find_holders(struct unique_check *check, struct checked_index *of,
                                       struct plinth_error *error) {
    struct iterator *it = NULL;
    uint32_t foreign_count = 0, *foreign = NULL;
    enum plinth_status st = view_index_iterator(check->in->view, check->in->schema, of->index, &it, error);
    for (uint32_t i = 0; !st && i < of->value_count; i++) st = read_holders(check, of, it, i, error);
    iterator_close(it);
    if (!st) {
        foreign = arena_alloc(&check->arena, (of->holder_count + 1) * sizeof *foreign);
        of->by_own = arena_alloc(&check->arena, (of->holder_count + 1) * sizeof *of->by_own);
        if (!foreign || !of->by_own) st = error_no_memory(error, "unique index");
    }
    for (uint32_t i = 0; !st && i < of->holder_count; i++) {
        if (of->holders[i].own == NOBODY)
            foreign[foreign_count++] = i;
        else
            of->by_own[of->own_count++] = i;
    }
    if (!st && of->own_count) qsort_r(of->by_own, of->own_count, sizeof *of->by_own, compare_owns, of->holders);
    return st ? st : judge_foreign(check, of, foreign, foreign_count, error);
}

/* Whether the entry is its row's, as the state has it. */
static enum plinth_status is_live(struct unique_check *check, struct holder *holder, bool *live,
                                  struct plinth_error *error) {
    struct row_place place;
    enum plinth_status st = PLINTH_OK;
    if (holder->state == UNKNOWN) {
        st = view_find_rows(check->in->view, check->in->schema, &holder->key, 1, check->in->lsn, &place, error);
        if (st) return st;
        st = row_places_expire(&place, 1, check->in->schema, check->in->time_us, false, error);
        judge_holder(holder, &place);
        row_place_release(&place);
        if (st) return st;
    }
    *live = holder->state == LIVE;
    return st;
}

/* ---- who cannot have them ---- */

/* Everything whose row would have moved away from it, were it not lost, is to be looked at again. */
static enum plinth_status note_affected(struct unique_check *check, uint32_t number, struct plinth_error *error) {
    for (uint32_t i = 0; i < check->index_count; i++) {
        const struct checked_index *of = &check->indexes[i];
        uint32_t low = 0, high = of->own_count;
        while (low < high) {
            uint32_t middle = low + (high - low) / 2;
            if (of->holders[of->by_own[middle]].own < number)
                low = middle + 1;
            else
                high = middle;
        }
        for (; low < of->own_count && of->holders[of->by_own[low]].own == number; low++) {
            struct affected affected = {i, of->holders[of->by_own[low]].value};
            if (!ARRAY_PUSH(check->stack, check->stack_count, affected)) return error_no_memory(error, "unique index");
        }
    }
    return PLINTH_OK;
}

/* `holder_key` is empty when it is that of a row without a key, which is written, too. */
static enum plinth_status lose(struct unique_check *check, const struct checked_index *of, const struct value *value,
                               uint32_t number, struct slice holder_key, struct plinth_error *error) {
    const struct unique_rows *in = check->in;
    struct buffer text = BUFFER_INIT;
    size_t rows = rows_of(check, number);
    bool ok = buffer_append(&text, "unique index \"", 14) &&
              buffer_append(&text, of->index->name, strlen(of->index->name)) && buffer_append(&text, "\": ", 3);
    static const char row[] = " is that of the row with ", other[] = " is that of another row of the same write";
    const char *whose = holder_key.size ? row : other;
    ok = ok && row_text_head(in->schema, of->index, value->head, &text) && buffer_append(&text, whose, strlen(whose)) &&
         (!holder_key.size || row_text_key(in->schema, holder_key, &text));
    enum plinth_status st = ok && buffer_append_u8(&text, 0) ? PLINTH_OK : error_no_memory(error, "unique index");
    bitmap_set(check->lost, number);
    if (!st) st = in->reject(in->context, rows, number - check->bases[rows], (const char *)text.data, error);
    buffer_deinit(&text);
    return st ? st : note_affected(check, number, error);
}

/* Rows lose that want a value which another row keeps. */
static enum plinth_status lose_to_holders(struct unique_check *check, struct affected at, struct plinth_error *error) {
    struct checked_index *of = &check->indexes[at.index];
    const struct value *value = &of->values[at.value];
    enum plinth_status st = PLINTH_OK;
    for (uint32_t h = 0; !st && h < value->holder_count; h++) {
        struct holder *holder = &of->holders[value->holder_first + h];
        bool keeps = holder->own == NOBODY || bitmap_get(check->lost, holder->own), live = false;
        if (keeps) st = is_live(check, holder, &live, error);
        for (uint32_t i = 0; !st && live && i < value->count; i++) {
            uint32_t number = of->wanted[value->first + i];
            if (!bitmap_get(check->lost, number)) st = lose(check, of, value, number, holder->key, error);
        }
    }
    return st;
}

static enum plinth_status settle(struct unique_check *check, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    while (!st && check->stack_count) st = lose_to_holders(check, check->stack[--check->stack_count], error);
    return st;
}

/* Who of several gets a value: the row that has it, else the first. */
static enum plinth_status find_winner(struct unique_check *check, struct checked_index *of, const struct value *value,
                                      uint32_t *winner, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    *winner = NOBODY;
    for (uint32_t h = 0; !st && h < value->holder_count; h++) {
        struct holder *holder = &of->holders[value->holder_first + h];
        bool live = false;
        for (uint32_t i = 0; !st && !live && holder->own != NOBODY && i < value->count; i++)
            if (of->wanted[value->first + i] == holder->own && !bitmap_get(check->lost, holder->own))
                st = is_live(check, holder, &live, error);
        if (live) *winner = holder->own;
    }
    bool held = *winner != NOBODY;
    for (uint32_t i = 0; !st && !held && i < value->count; i++) {
        uint32_t number = of->wanted[value->first + i];
        if (bitmap_get(check->lost, number)) continue;
        if (*winner == NOBODY || arrival_of(check, number) < arrival_of(check, *winner)) *winner = number;
    }
    return st;
}

static enum plinth_status lose_to_each_other(struct unique_check *check, uint32_t index, uint32_t number,
                                             struct plinth_error *error) {
    struct checked_index *of = &check->indexes[index];
    const struct value *value = &of->values[number];
    uint32_t winner, left = 0;
    for (uint32_t i = 0; i < value->count; i++) left += !bitmap_get(check->lost, of->wanted[value->first + i]);
    if (left < 2) return PLINTH_OK;
    enum plinth_status st = find_winner(check, of, value, &winner, error);
    for (uint32_t i = 0; !st && i < value->count; i++) {
        uint32_t row = of->wanted[value->first + i];
        if (row != winner && !bitmap_get(check->lost, row))
            st = lose(check, of, value, row, key_of(check, winner), error);
    }
    return st ? st : settle(check, error);
}

/* ---- all of it ---- */

static enum plinth_status prepare(struct unique_check *check, struct plinth_error *error) {
    const struct table_schema *schema = check->in->schema;
    check->indexes = arena_zalloc(&check->arena, schema->index_count * sizeof *check->indexes + 1);
    if (!check->indexes || !number_rows(check) || !encode_keys(check)) return error_no_memory(error, "unique index");
    enum plinth_status st = PLINTH_OK;
    for (uint32_t i = 0; !st && i < schema->index_count; i++) {
        if (!schema->indexes[i].unique) continue;
        struct checked_index *of = &check->indexes[check->index_count++];
        of->index = &schema->indexes[i];
        if (!encode_heads(check, of) || !find_values(check, of)) return error_no_memory(error, "unique index");
        if (of->value_count) st = find_holders(check, of, error);
    }
    return st;
}

static enum plinth_status note_reads(const struct unique_check *check, struct row_reads *reads,
                                     struct plinth_error *error) {
    for (uint32_t i = 0; i < check->index_count; i++) {
        const struct checked_index *of = &check->indexes[i];
        struct row_reads *into = &reads[of->index - check->in->schema->indexes];
        into->table = of->index->id;
        for (uint32_t v = 0; v < of->value_count; v++) {
            bool written = false;
            for (uint32_t m = 0; !written && m < of->values[v].count; m++)
                written = !bitmap_get(check->lost, of->wanted[of->values[v].first + m]);
            if (written && !row_reads_key(into, of->values[v].head)) return error_no_memory(error, "unique index");
        }
    }
    return PLINTH_OK;
}

enum plinth_status rows_check_unique(const struct unique_rows *unique, struct row_reads *reads,
                                     struct plinth_error *error) {
    struct unique_check check = {.in = unique};
    arena_init(&check.arena);
    enum plinth_status st = prepare(&check, error);
    /* First what others keep, so that of two that want one value the one is written that can be. */
    for (uint32_t i = 0; !st && i < check.index_count; i++)
        for (uint32_t v = 0; !st && v < check.indexes[i].value_count; v++)
            st = lose_to_holders(&check, (struct affected){i, v}, error);
    if (!st) st = settle(&check, error);
    for (uint32_t i = 0; !st && i < check.index_count; i++)
        for (uint32_t v = 0; !st && v < check.indexes[i].value_count; v++) st = lose_to_each_other(&check, i, v, error);
    if (!st) st = note_reads(&check, reads, error);
    check_deinit(&check);
    return st;
}
