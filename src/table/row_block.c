/* Row blocks. Those of a memtable also have
 *
 *   a bloom filter   an array of 64-bit words, a word for each four keys. The upper half of a key's hash chooses the
 *                    word, five groups of 6 bits of the lower half choose bits of it: one cache line a question, 1 % of
 *                    them answered wrongly. (Putze, Sanders, Singler: "Cache-, Hash- and Space-Efficient Bloom
 *                    Filters", 2007; blocks of one word.)
 *   index entries    made and sorted when the first reader asks for them, one list an index. */
#include "table/row_block.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/status.h"
#include "table/row_block_private.h"

enum { BLOOM_KEYS_A_WORD = 4, BLOOM_BITS = 5 };

/* The sorted entries of one index. */
struct block_index {
    uint32_t table; /* id.table of the index */
    struct index_entries entries;
    struct arena arena;
    struct block_index *next;
};

struct row_block_memory {
    uint64_t *bloom; /* null: the table has no key */
    uint32_t bloom_words;
    pthread_mutex_t mutex; /* guards the list, held while entries are made; entries never change */
    struct block_index *indexes;
    atomic_uint_fast64_t entries_bytes; /* of `indexes` */
};

/* ---- life ---- */

struct row_block *row_block_new(uint32_t column_count) {
    struct row_block *block = calloc(1, sizeof *block);
    struct batch *columns = batch_create(column_count);
    if (!block || !columns) {
        batch_unref(columns);
        free(block);
        return NULL;
    }
    atomic_init(&block->references, 1);
    arena_init(&block->arena);
    block->columns = columns;
    return block;
}

struct row_block *row_block_ref(struct row_block *block) {
    atomic_fetch_add_explicit(&block->references, 1, memory_order_relaxed);
    return block;
}

static void block_index_destroy(struct block_index *index) {
    arena_deinit(&index->arena);
    free(index);
}

static void memory_destroy(struct row_block_memory *memory) {
    while (memory->indexes) {
        struct block_index *index = memory->indexes;
        memory->indexes = index->next;
        block_index_destroy(index);
    }
    pthread_mutex_destroy(&memory->mutex);
    free(memory);
}

void row_block_unref(struct row_block *block) {
    if (!block || atomic_fetch_sub_explicit(&block->references, 1, memory_order_acq_rel) != 1) return;
    if (block->memory) memory_destroy(block->memory);
    batch_unref(block->columns);
    arena_deinit(&block->arena);
    free(block);
}

uint64_t row_block_bytes(const struct row_block *block) {
    uint64_t bytes = sizeof *block + batch_bytes(block->columns);
    if (block->keys.offsets) {
        bytes += block->keys.offsets[block->rows] - block->keys.offsets[0];
        bytes += (uint64_t)block->rows * (sizeof *block->keys.offsets + (block->prefixes ? sizeof(uint64_t) : 0));
    }
    if (block->lsns) bytes += (uint64_t)block->rows * sizeof *block->lsns;
    if (block->ordinals) bytes += (uint64_t)block->rows * sizeof *block->ordinals;
    if (block->operations) bytes += block->rows;
    if (block->memory) bytes += sizeof *block->memory + block->memory->bloom_words * sizeof(uint64_t);
    return bytes;
}

uint64_t row_block_memory_bytes(const struct row_block *block) {
    const struct batch *columns = block->columns;
    uint64_t used = columns->release ? batch_bytes(columns) : columns->arena.used_bytes;
    return sizeof *block + sizeof *columns + block->arena.used_bytes + used +
           (block->memory ? sizeof *block->memory : 0);
}

uint64_t row_block_entries_bytes(const struct row_block *block) {
    return block->memory ? atomic_load_explicit(&block->memory->entries_bytes, memory_order_relaxed) : 0;
}

const struct column *row_block_column(const struct row_block *block, uint32_t column_id) {
    for (uint32_t i = 0; i < block->columns->column_count; i++)
        if (block->column_ids[i] == column_id) return &block->columns->columns[i];
    return NULL;
}

/* ---- making ---- */

static uint64_t bloom_bits(uint64_t hash) {
    uint64_t bits = 0;
    for (unsigned i = 0; i < BLOOM_BITS; i++) bits |= UINT64_C(1) << (hash >> (6 * i) & 63);
    return bits;
}

static uint32_t bloom_word(uint64_t hash, uint32_t words) { return (uint32_t)((hash >> 32) * words >> 32); }

static bool make_prefixes(struct row_block *block) {
    uint64_t *prefixes = arena_alloc(&block->arena, (uint64_t)block->rows * sizeof *prefixes);
    if (!prefixes) return false;
    for (uint32_t i = 0; i < block->rows; i++) prefixes[i] = key_prefix(row_block_key(block, i));
    block->prefixes = prefixes;
    return true;
}

bool row_block_add_memory(struct row_block *block) {
    struct row_block_memory *memory = calloc(1, sizeof *memory);
    if (!memory) return false;
    pthread_mutex_init(&memory->mutex, NULL);
    block->memory = memory;
    if (block->ordinals || !block->keys.offsets) return true; /* row ids: their bounds tell nearly as much */
    uint32_t words = (block->rows + BLOOM_KEYS_A_WORD - 1) / BLOOM_KEYS_A_WORD;
    uint64_t *bloom = arena_zalloc(&block->arena, words * sizeof *bloom);
    if (!bloom) return false;
    for (uint32_t i = 0; i < block->rows; i++) {
        struct slice key = row_block_key(block, i);
        uint64_t hash = hash_stable(key.data, key.size);
        bloom[bloom_word(hash, words)] |= bloom_bits(hash);
    }
    memory->bloom = bloom;
    memory->bloom_words = words;
    return true;
}

static bool encode_keys(struct row_block *block, const struct table_schema *schema) {
    const struct column *parts[ROW_KEY_PARTS_MAX];
    for (uint32_t i = 0; i < schema->key_count; i++) {
        parts[i] = row_block_column(block, schema->key[i]);
        if (!parts[i]) return false;
    }
    return row_keys_encode(&block->arena, parts, schema->key_count, ROW_KEY_PRIMARY, block->rows, &block->keys) &&
           make_prefixes(block);
}

static bool fill(struct row_block *block, const struct table_schema *schema, const uint32_t *column_ids,
                 enum row_operation operation) {
    uint32_t *ids = arena_alloc(&block->arena, block->columns->column_count * sizeof *ids);
    if (!ids) return false;
    memcpy(ids, column_ids, block->columns->column_count * sizeof *ids);
    block->column_ids = ids;
    if (operation != ROW_SET) {
        uint8_t *operations = arena_alloc(&block->arena, block->rows);
        if (!operations) return false;
        memset(operations, operation, block->rows);
        block->operations = operations;
    }
    return (!schema->key_count || encode_keys(block, schema)) && row_block_add_memory(block);
}

struct row_block *row_block_create(const struct table_schema *schema, struct batch *sorted, const uint32_t *column_ids,
                                   enum row_operation operation) {
    struct row_block *block = calloc(1, sizeof *block);
    if (!block) return NULL;
    atomic_init(&block->references, 1);
    /* Keys, their offsets and prefixes, bloom filter, ids; small blocks are many, and memtables count what they take.
     */
    arena_init_sized(&block->arena, 256 + 8ull * sorted->column_count + 48ull * sorted->rows);
    block->rows = sorted->rows;
    block->columns = batch_ref(sorted);
    if (fill(block, schema, column_ids, operation)) return block;
    row_block_unref(block);
    return NULL;
}

/* Keys of a table without key columns. */
static bool make_row_ids(struct row_block *block, uint64_t lsn, uint32_t first_ordinal) {
    uint32_t *ordinals = arena_alloc(&block->arena, (uint64_t)block->rows * sizeof *ordinals);
    uint32_t *offsets = arena_alloc(&block->arena, ((uint64_t)block->rows + 1) * sizeof *offsets);
    uint8_t *bytes = arena_alloc(&block->arena, (uint64_t)block->rows * ROW_ID_BYTES);
    if (!ordinals || !offsets || !bytes) return false;
    for (uint32_t i = 0; i < block->rows; i++) {
        ordinals[i] = first_ordinal + i;
        offsets[i] = i * ROW_ID_BYTES;
        store_u64(bytes + offsets[i], __builtin_bswap64(lsn));
        store_u32(bytes + offsets[i] + 8, __builtin_bswap32(ordinals[i]));
    }
    offsets[block->rows] = block->rows * ROW_ID_BYTES;
    block->ordinals = ordinals;
    block->keys = (struct row_keys){offsets, bytes};
    return make_prefixes(block);
}

bool row_block_set_lsn(struct row_block *block, uint64_t lsn, uint32_t first_ordinal) {
    block->lsn_min = block->lsn_max = lsn;
    bool has_key = block->keys.offsets && !block->ordinals;
    return has_key || make_row_ids(block, lsn, first_ordinal);
}

/* ---- finding ---- */

uint32_t row_block_find(const struct row_block *block, struct slice key, uint64_t lsn) {
    uint64_t prefix = key_prefix(key);
    uint32_t low = 0, high = block->rows;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (row_block_compare(block, middle, prefix, key, lsn) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool row_block_get(const struct row_block *block, struct slice key, uint64_t key_hash, uint64_t lsn_max,
                   uint32_t *row) {
    *row = 0;
    if (lsn_max < block->lsn_min || !block->rows) return false;
    const struct row_block_memory *memory = block->memory;
    if (memory && memory->bloom) {
        uint64_t bits = bloom_bits(key_hash);
        if ((memory->bloom[bloom_word(key_hash, memory->bloom_words)] & bits) != bits) return false;
    }
    uint32_t found = row_block_find(block, key, lsn_max);
    if (found == block->rows || !slice_equal(row_block_key(block, found), key)) return false;
    *row = found;
    return true;
}

/* ---- index entries ---- */

static int compare_heads(const void *a, const void *b, void *context) {
    const struct row_keys *heads = context;
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return slice_compare(row_keys_at(heads, left), row_keys_at(heads, right));
}

/* Leaves of each row's heads one of those that are equal. */
static bool drop_doubles(struct arena *arena, struct index_heads *heads) {
    uint32_t *order = arena_alloc(arena, ((size_t)heads->count + 1) * sizeof *order), kept = 0;
    uint32_t *offsets = arena_alloc(arena, ((size_t)heads->count + 1) * sizeof *offsets), at = 0;
    uint32_t *rows = arena_alloc(arena, ((size_t)heads->count + 1) * sizeof *rows);
    uint8_t *bytes = arena_alloc(arena, (size_t)heads->keys.offsets[heads->count] + 1);
    if (!order || !offsets || !rows || !bytes) return false;
    for (uint32_t i = 0; i < heads->count; i++) order[i] = i;
    for (uint32_t begin = 0, end; begin < heads->count; begin = end) {
        for (end = begin + 1; end < heads->count && heads->rows[end] == heads->rows[begin]; end++) continue;
        qsort_r(order + begin, end - begin, sizeof *order, compare_heads, &heads->keys);
        for (uint32_t i = begin; i < end; i++) {
            struct slice key = row_keys_at(&heads->keys, order[i]);
            if (i > begin && slice_equal(key, row_keys_at(&heads->keys, order[i - 1]))) continue;
            offsets[kept] = at;
            rows[kept++] = heads->rows[begin];
            memcpy(bytes + at, key.data, key.size);
            at += (uint32_t)key.size;
        }
    }
    offsets[kept] = at;
    *heads = (struct index_heads){kept, {offsets, bytes}, rows};
    return true;
}

/* The elements of part `elements`, which are no nulls, with what the other parts are beside them. */
static bool spread_elements(struct arena *arena, struct column *parts, uint32_t part_count, uint32_t elements,
                            uint32_t rows, uint32_t **row_of, uint32_t *count) {
    const struct column *lists = &parts[elements];
    uint32_t first = rows ? lists->offsets[0] : 0, all = rows ? lists->offsets[rows] - first : 0;
    uint32_t *taken = arena_alloc(arena, ((size_t)all + 1) * sizeof *taken);
    *row_of = arena_alloc(arena, ((size_t)all + 1) * sizeof **row_of);
    *count = 0;
    if (!taken || !*row_of) return false;
    for (uint32_t row = 0; row < rows; row++) {
        if (column_is_null(lists, row)) continue;
        for (uint32_t i = lists->offsets[row]; i < lists->offsets[row + 1]; i++) {
            if (column_is_null(lists->child, i)) continue;
            taken[*count] = i;
            (*row_of)[(*count)++] = row;
        }
    }
    for (uint32_t p = 0; p < part_count; p++) {
        struct column spread;
        const struct column *from = p == elements ? lists->child : &parts[p];
        if (!column_gather(arena, from, p == elements ? taken : *row_of, *count, &spread)) return false;
        parts[p] = spread;
    }
    return true;
}

/* The values of one part of entries, in the type that they are encoded by. */
static bool make_part(struct arena *arena, const struct table_schema *schema, const struct table_index *index,
                      uint32_t part, const struct column *from, uint32_t rows, struct column *out) {
    struct column absent;
    if (part < index->column_count && index->functions[part] == FUNCTION_ELEMENTS && from) {
        *out = *from;
        return true;
    }
    int32_t at = table_schema_find_id(schema, table_index_part_column(index, part));
    if (!from && at < 0) return false;
    if (!from && !table_column_absent(arena, &schema->columns[at], rows, &absent)) return false;
    if (!from) from = &absent;
    if (part < index->column_count) {
        enum column_function function = (enum column_function)index->functions[part];
        if (function != FUNCTION_ELEMENTS) return column_function_apply(arena, function, from, rows, out);
        *out = *from;
        return true;
    }
    if (at < 0 || table_column_widen(arena, &schema->columns[at], from, rows, out, NULL)) return false;
    out->type = table_included_type(out->type);
    return true;
}

bool index_heads_encode(struct arena *arena, const struct table_schema *schema, const struct table_index *index,
                        uint32_t part_count, const struct column *const *columns, uint32_t rows,
                        struct index_heads *heads) {
    struct column parts[ROW_KEY_PARTS_MAX];
    const struct column *pointers[ROW_KEY_PARTS_MAX];
    int32_t elements = table_index_elements(index);
    *heads = (struct index_heads){.count = rows};
    for (uint32_t i = 0; i < part_count; i++) {
        if (!make_part(arena, schema, index, i, columns[i], rows, &parts[i])) return false;
        pointers[i] = &parts[i];
    }
    if (elements >= 0 &&
        !spread_elements(arena, parts, part_count, (uint32_t)elements, rows, &heads->rows, &heads->count))
        return false;
    if (!row_keys_encode(arena, pointers, part_count, ROW_KEY_INDEX, heads->count, &heads->keys)) return false;
    return elements < 0 || drop_doubles(arena, heads);
}

bool index_head_skip(struct reader *entry, const struct table_schema *schema, const struct table_index *index,
                     bool *has_null) {
    *has_null = false;
    for (uint32_t i = 0; i < index->column_count; i++) {
        struct column_type type = table_index_part_type(schema, index, i);
        *has_null |= reader_left(entry) && entry->at[0] == 1; /* row_key.h */
        if (!row_key_skip(entry, &type, 1)) return false;
    }
    return true;
}

bool index_included_skip(struct reader *entry, const struct table_schema *schema, const struct table_index *index) {
    for (uint32_t i = index->column_count; i < table_index_entry_parts(index); i++) {
        struct column_type type = table_index_part_type(schema, index, i);
        if (!row_key_skip(entry, &type, 1)) return false;
    }
    return true;
}

/* The values of all rows' entries as INDEX keys, without the primary key. */
static bool encode_heads(struct arena *arena, const struct row_block *block, const struct table_schema *schema,
                         const struct table_index *index, struct index_heads *heads) {
    const struct column *columns[ROW_KEY_PARTS_MAX];
    uint32_t parts = table_index_entry_parts(index);
    for (uint32_t i = 0; i < parts; i++) columns[i] = row_block_column(block, table_index_part_column(index, i));
    return index_heads_encode(arena, schema, index, parts, columns, block->rows, heads);
}

/* Entries in the order of the rows: head, then primary key; deleted rows left out. */
static bool join_keys(struct arena *arena, const struct row_block *block, const struct index_heads *heads,
                      struct index_entries *entries) {
    uint64_t bytes = heads->keys.offsets[heads->count];
    for (uint32_t i = 0; heads->rows && i < heads->count; i++) bytes += row_block_key(block, heads->rows[i]).size;
    if (!heads->rows) bytes += block->keys.offsets[block->rows] - block->keys.offsets[0];
    if (bytes > UINT32_MAX) return false;
    entries->rows = arena_alloc(arena, ((uint64_t)heads->count + 1) * sizeof *entries->rows);
    entries->keys.offsets = arena_alloc(arena, ((uint64_t)heads->count + 1) * sizeof *entries->keys.offsets);
    entries->keys.bytes = arena_alloc(arena, bytes + 1);
    if (!entries->rows || !entries->keys.offsets || !entries->keys.bytes) return false;
    uint32_t at = 0, count = 0;
    for (uint32_t i = 0; i < heads->count; i++) {
        uint32_t row = heads->rows ? heads->rows[i] : i;
        if (row_block_operation(block, row) != ROW_SET) continue;
        struct slice head = row_keys_at(&heads->keys, i), key = row_block_key(block, row);
        entries->rows[count] = row;
        entries->keys.offsets[count++] = at;
        memcpy(entries->keys.bytes + at, head.data, head.size);
        if (key.size) memcpy(entries->keys.bytes + at + head.size, key.data, key.size);
        at += (uint32_t)(head.size + key.size);
    }
    entries->keys.offsets[count] = at;
    entries->count = count;
    return true;
}

/* Copies entries in the order given. */
static bool put_in_order(struct arena *arena, const struct index_entries *from, const uint32_t *order,
                         struct index_entries *to) {
    to->count = from->count;
    to->rows = arena_alloc(arena, ((uint64_t)from->count + 1) * sizeof *to->rows);
    to->keys.offsets = arena_alloc(arena, ((uint64_t)from->count + 1) * sizeof *to->keys.offsets);
    to->keys.bytes = arena_alloc(arena, from->keys.offsets[from->count]);
    if (!to->rows || !to->keys.offsets || !to->keys.bytes) return false;
    uint32_t at = 0;
    for (uint32_t i = 0; i < from->count; i++) {
        struct slice key = row_keys_at(&from->keys, order[i]);
        to->rows[i] = from->rows[order[i]];
        to->keys.offsets[i] = at;
        memcpy(to->keys.bytes + at, key.data, key.size);
        at += (uint32_t)key.size;
    }
    to->keys.offsets[from->count] = at;
    return true;
}

bool index_entries_encode(struct arena *arena, const struct row_block *block, const struct table_schema *schema,
                          const struct table_index *index, struct index_entries *entries) {
    struct index_heads heads;
    *entries = (struct index_entries){0};
    return encode_heads(arena, block, schema, index, &heads) && join_keys(arena, block, &heads, entries);
}

bool index_entries_make(struct arena *arena, const struct row_block *block, const struct table_schema *schema,
                        const struct table_index *index, struct index_entries *entries) {
    *entries = (struct index_entries){0};
    struct arena work;
    arena_init(&work);
    struct index_entries joined;
    /* The sort is stable and rows are newest first, so versions that differ in nothing but LSN stay so. */
    uint32_t *order = NULL;
    bool ok = index_entries_encode(&work, block, schema, index, &joined);
    if (ok) ok = (order = arena_alloc(&work, ((uint64_t)joined.count + 1) * sizeof *order)) != NULL;
    if (ok) ok = row_keys_sort(&joined.keys, joined.count, order, NULL);
    if (ok) ok = put_in_order(arena, &joined, order, entries);
    arena_deinit(&work);
    return ok;
}

static struct block_index *block_index_create(const struct row_block *block, const struct table_schema *schema,
                                              const struct table_index *index) {
    struct block_index *made = calloc(1, sizeof *made);
    if (!made) return NULL;
    arena_init(&made->arena);
    made->table = index->id.table;
    if (index_entries_make(&made->arena, block, schema, index, &made->entries)) return made;
    block_index_destroy(made);
    return NULL;
}

/* The entries kept with a block of the memtable; null when memory is out. */
static const struct block_index *kept_index(struct row_block *block, const struct table_schema *schema,
                                            const struct table_index *index) {
    struct row_block_memory *memory = block->memory;
    pthread_mutex_lock(&memory->mutex);
    struct block_index *found = memory->indexes;
    while (found && found->table != index->id.table) found = found->next;
    if (!found && (found = block_index_create(block, schema, index))) {
        found->next = memory->indexes;
        memory->indexes = found;
        atomic_fetch_add_explicit(&memory->entries_bytes, sizeof *found + found->arena.used_bytes,
                                  memory_order_relaxed);
    }
    pthread_mutex_unlock(&memory->mutex);
    return found;
}

/* ---- iterators over keys, those of the rows or those of an index ---- */

struct block_iterator {
    struct iterator base;
    struct row_block *block;
    struct block_index *own; /* entries that are not kept with the block */
    const struct row_keys *keys;
    const uint32_t *rows; /* null: key i is of row i */
    uint32_t count;
    uint32_t at;
};

static uint32_t iterator_row(const struct block_iterator *it, uint32_t at) { return it->rows ? it->rows[at] : at; }

/* UINT32_MAX and `count`, what lies in front of the first and behind the last entry, are not valid. */
static enum plinth_status stand_at(struct block_iterator *it, uint32_t at) {
    it->at = at;
    it->base.valid = at < it->count;
    if (!it->base.valid) return PLINTH_OK;
    uint32_t row = iterator_row(it, at);
    it->base.row = (struct row){.key = row_keys_at(it->keys, at),
                                .lsn = row_block_lsn(it->block, row),
                                .operation = row_block_operation(it->block, row)};
    return PLINTH_OK;
}

/* The first entry at or behind (key, lsn). */
static uint32_t find_entry(const struct block_iterator *it, struct slice key, uint64_t lsn) {
    uint32_t low = 0, high = it->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        uint64_t own_lsn = row_block_lsn(it->block, iterator_row(it, middle));
        if (row_order(row_keys_at(it->keys, middle), own_lsn, key, lsn) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static enum plinth_status block_iterator_seek(struct iterator *base, struct slice key, uint64_t lsn,
                                              struct plinth_error *error) {
    (void)error;
    struct block_iterator *it = (struct block_iterator *)base;
    return stand_at(it, find_entry(it, key, lsn));
}

static enum plinth_status block_iterator_seek_before(struct iterator *base, struct slice key, uint64_t lsn,
                                                     struct plinth_error *error) {
    (void)error;
    struct block_iterator *it = (struct block_iterator *)base;
    return stand_at(it, find_entry(it, key, lsn) - 1);
}

static enum plinth_status block_iterator_seek_first(struct iterator *base, struct plinth_error *error) {
    (void)error;
    return stand_at((struct block_iterator *)base, 0);
}

static enum plinth_status block_iterator_seek_last(struct iterator *base, struct plinth_error *error) {
    (void)error;
    struct block_iterator *it = (struct block_iterator *)base;
    return stand_at(it, it->count - 1);
}

static enum plinth_status block_iterator_next(struct iterator *base, struct plinth_error *error) {
    (void)error;
    struct block_iterator *it = (struct block_iterator *)base;
    return stand_at(it, it->at + 1);
}

static enum plinth_status block_iterator_previous(struct iterator *base, struct plinth_error *error) {
    (void)error;
    struct block_iterator *it = (struct block_iterator *)base;
    return stand_at(it, it->at - 1);
}

static void block_iterator_close(struct iterator *base) {
    struct block_iterator *it = (struct block_iterator *)base;
    if (it->own) block_index_destroy(it->own);
    row_block_unref(it->block);
    free(it);
}

static const struct iterator_ops block_iterator_ops = {
    .seek = block_iterator_seek,
    .seek_before = block_iterator_seek_before,
    .seek_first = block_iterator_seek_first,
    .seek_last = block_iterator_seek_last,
    .next = block_iterator_next,
    .previous = block_iterator_previous,
    .close = block_iterator_close,
};

static struct block_iterator *block_iterator_create(struct row_block *block, const struct row_keys *keys,
                                                    uint32_t count) {
    struct block_iterator *it = calloc(1, sizeof *it);
    if (!it) return NULL;
    it->base.ops = &block_iterator_ops;
    it->block = row_block_ref(block);
    it->keys = keys;
    it->count = count;
    return it;
}

enum plinth_status row_block_key_iterator(struct row_block *block, struct iterator **it, struct plinth_error *error) {
    struct block_iterator *made = block_iterator_create(block, &block->keys, block->rows);
    *it = made ? &made->base : NULL;
    return made ? PLINTH_OK : error_no_memory(error, "iterator over rows");
}

enum plinth_status row_block_index_iterator(struct row_block *block, const struct table_schema *schema,
                                            const struct table_index *index, struct iterator **it,
                                            struct plinth_error *error) {
    *it = NULL;
    struct block_index *own = block->memory ? NULL : block_index_create(block, schema, index);
    const struct block_index *found = block->memory ? kept_index(block, schema, index) : own;
    struct block_iterator *made =
        found ? block_iterator_create(block, &found->entries.keys, found->entries.count) : NULL;
    if (!made) {
        if (own) block_index_destroy(own);
        return error_no_memory(error, "index entries of rows in memory");
    }
    made->own = own;
    made->rows = found->entries.rows;
    *it = &made->base;
    return PLINTH_OK;
}
