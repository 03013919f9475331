/* The skip list.
 *
 * A node is one allocation of the arena:
 *
 *   link[height-1] ... link[1] | link[0] prefix lsn sizes operation | key | value | indexes
 *                                ^ struct node
 *
 * Links grow downwards in memory, so that a node's lowest link, its key's first 8 bytes and what decides an order lie
 * in one cache line, whatever its height. `prefix` (key_prefix.h) decides nearly every comparison without touching the
 * key.
 *
 * Publication: a node is filled, then linked from the lowest level up, each by a compare-and-swap with release order
 * that pairs with the acquire load in node_next. Nodes are never unlinked or changed. A reader may meet a node that
 * is not linked in its upper levels yet; that costs time, never correctness, as level 0 holds every node.
 *
 * References: Pugh, "Skip lists: a probabilistic alternative to balanced trees", CACM 1990. */
#include "table/memtable.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/status.h"
#include "column/key_encoding.h"
#include "table/block_set.h"
#include "table/key_prefix.h"

enum {
    HEIGHT_MAX = 14,                           /* 4^13 rows at one in four going up a level */
    ARENA_CHUNK_BYTES = 4 * 1024 * 1024 - 512, /* with its header just below two huge pages */
};

struct node {
    _Atomic(struct node *) link; /* level 0; level i stands i pointers before it */
    uint64_t prefix;
    uint64_t lsn;
    uint32_t key_size;
    uint32_t value_size;
    uint32_t indexes_size;
    uint32_t operation;
    uint8_t key[]; /* then value, then indexes */
};

/* The range deletes as they stood once. Sets of a table stand together, larger ones first. */
struct range_list {
    struct range_list *older;
    size_t count;
    struct {
        struct table_id table;
        struct range_set *set; /* a reference */
    } entries[];
};

struct memtable {
    atomic_uint references;
    atomic_uint height; /* levels in use; only grows */
    atomic_uint_fast64_t rows;
    atomic_uint_fast64_t bytes; /* of all nodes */
    uint64_t seed;
    struct shared_arena arena;
    struct node *head;
    struct block_set blocks;
    pthread_mutex_t ranges_mutex; /* held to add a range delete */
    _Atomic(struct range_list *) ranges;
    atomic_bool may_expire, has_references;
    atomic_uint_fast64_t value_bytes; /* in the store */
    atomic_uint_fast64_t *account;    /* null: not charged */
    uint64_t charged;
};

/* A place in row order: (key, lsn). */
struct target {
    uint64_t prefix;
    struct slice key;
    uint64_t lsn;
};

static inline _Atomic(struct node *) *node_link(struct node *node, unsigned level) { return &node->link - level; }

static inline struct node *node_next(struct node *node, unsigned level) {
    return atomic_load_explicit(node_link(node, level), memory_order_acquire);
}

static inline struct target target_of(struct slice key, uint64_t lsn) {
    return (struct target){key_prefix(key), key, lsn};
}

static inline struct slice node_key(const struct node *node) { return slice_of(node->key, node->key_size); }

/* Whether `node` stands strictly before the target. */
static inline bool node_before(const struct node *node, const struct target *target) {
    if (node->prefix != target->prefix) return node->prefix < target->prefix;
    int order = key_compare_behind_prefix(node_key(node), target->key);
    return order ? order < 0 : node->lsn > target->lsn;
}

static inline void prefetch(const struct node *node) { __builtin_prefetch(node); }

/* Goes right on one level from `at`; gives the last node before the target and, in `*next`, what follows it. What lies
 * one level down is fetched meanwhile: most steps go there. */
static inline struct node *walk_level(struct node *at, unsigned level, const struct target *target,
                                      struct node **next) {
    for (;;) {
        struct node *right = node_next(at, level);
        if (level) prefetch(node_next(at, level - 1));
        if (!right || !node_before(right, target)) {
            *next = right;
            return at;
        }
        at = right;
    }
}

/* The last node before the target (perhaps the head), and what follows it. */
static struct node *find(struct memtable *memtable, const struct target *target, struct node **next) {
    struct node *at = memtable->head;
    *next = NULL;
    for (unsigned level = atomic_load_explicit(&memtable->height, memory_order_relaxed); level-- > 0;) {
        at = walk_level(at, level, target, next);
    }
    return at;
}

static struct node *first_at_or_after(struct memtable *memtable, const struct target *target) {
    struct node *next;
    (void)find(memtable, target, &next);
    return next;
}

/* Null when there is none. */
static struct node *last_before(struct memtable *memtable, const struct target *target) {
    struct node *next, *found = find(memtable, target, &next);
    return found == memtable->head ? NULL : found;
}

static void node_row(const struct node *node, size_t key_skip, struct row *row) {
    const uint8_t *value = node->key + node->key_size;
    row->key = slice_of(node->key + key_skip, node->key_size - key_skip);
    row->lsn = node->lsn;
    row->operation = (enum row_operation)node->operation;
    row->value = slice_of(value, node->value_size);
    row->indexes = slice_of(value + node->value_size, node->indexes_size);
}

/* ---- life ---- */

static struct node *node_alloc(struct memtable *memtable, unsigned height, size_t payload) {
    size_t links = (height - 1) * sizeof(_Atomic(struct node *));
    size_t bytes = links + sizeof(struct node) + payload;
    uint8_t *memory = shared_arena_alloc(&memtable->arena, bytes);
    if (!memory) return NULL;
    atomic_fetch_add_explicit(&memtable->bytes, (bytes + 7) & ~(size_t)7, memory_order_relaxed);
    return (struct node *)(memory + links);
}

enum plinth_status memtable_create(struct memtable **memtable, struct plinth_error *error) {
    *memtable = NULL;
    struct memtable *created = calloc(1, sizeof *created);
    if (!created) return error_no_memory(error, "memtable");
    shared_arena_init(&created->arena, ARENA_CHUNK_BYTES);
    block_set_init(&created->blocks);
    pthread_mutex_init(&created->ranges_mutex, NULL);
    atomic_init(&created->ranges, NULL);
    atomic_init(&created->may_expire, false);
    atomic_init(&created->has_references, false);
    atomic_init(&created->value_bytes, 0);
    created->head = node_alloc(created, HEIGHT_MAX, 0);
    if (!created->head) {
        shared_arena_deinit(&created->arena);
        pthread_mutex_destroy(&created->ranges_mutex);
        free(created);
        return error_no_memory(error, "memtable");
    }
    for (unsigned level = 0; level < HEIGHT_MAX; level++) atomic_init(node_link(created->head, level), NULL);
    atomic_init(&created->references, 1);
    atomic_init(&created->height, 1);
    atomic_init(&created->rows, 0);
    created->seed = (uint64_t)(uintptr_t)created;
    *memtable = created;
    return PLINTH_OK;
}

struct memtable *memtable_ref(struct memtable *memtable) {
    atomic_fetch_add_explicit(&memtable->references, 1, memory_order_relaxed);
    return memtable;
}

static void range_lists_free(struct range_list *list) {
    while (list) {
        struct range_list *older = list->older;
        for (size_t i = 0; i < list->count; i++) range_set_unref(list->entries[i].set);
        free(list);
        list = older;
    }
}

void memtable_unref(struct memtable *memtable) {
    if (!memtable || atomic_fetch_sub_explicit(&memtable->references, 1, memory_order_acq_rel) != 1) return;
    if (memtable->account) atomic_fetch_sub_explicit(memtable->account, memtable->charged, memory_order_relaxed);
    range_lists_free(atomic_load_explicit(&memtable->ranges, memory_order_relaxed));
    pthread_mutex_destroy(&memtable->ranges_mutex);
    shared_arena_deinit(&memtable->arena);
    block_set_deinit(&memtable->blocks);
    free(memtable);
}

uint64_t memtable_bytes(const struct memtable *memtable) {
    return sizeof *memtable + atomic_load_explicit(&memtable->bytes, memory_order_relaxed) +
           atomic_load_explicit(&memtable->blocks.bytes, memory_order_relaxed);
}

void memtable_charge(struct memtable *memtable, atomic_uint_fast64_t *account) {
    memtable->account = account;
    memtable->charged = memtable_bytes(memtable);
    atomic_fetch_add_explicit(account, memtable->charged, memory_order_relaxed);
}

uint64_t memtable_entries_bytes(struct memtable *memtable) {
    struct table_id from = {0}, table;
    uint64_t bytes = 0;
    for (; block_set_next_table(&memtable->blocks, from, &table); from = table, from.table++) {
        struct memtable_blocks blocks;
        block_set_blocks(&memtable->blocks, table, &blocks);
        for (size_t i = 0; i < blocks.count; i++) bytes += row_block_entries_bytes(blocks.blocks[i]);
        memtable_blocks_release(&blocks);
    }
    return bytes;
}

uint64_t memtable_rows(const struct memtable *memtable) {
    return atomic_load_explicit(&memtable->rows, memory_order_relaxed) +
           atomic_load_explicit(&memtable->blocks.rows, memory_order_relaxed);
}

bool memtable_may_expire(const struct memtable *memtable) {
    return atomic_load_explicit(&memtable->may_expire, memory_order_acquire);
}

bool memtable_has_references(const struct memtable *memtable) {
    return atomic_load_explicit(&memtable->has_references, memory_order_acquire);
}

uint64_t memtable_value_bytes(const struct memtable *memtable) {
    return atomic_load_explicit(&memtable->value_bytes, memory_order_relaxed);
}

/* ---- insert ---- */

/* One in four goes up each level. The row's ordinal is hashed (splitmix64) with a seed that clients cannot know. */
static unsigned height_of(uint64_t ordinal, uint64_t seed) {
    uint64_t bits = ordinal * UINT64_C(0x9e3779b97f4a7c15) + seed;
    bits = (bits ^ bits >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    bits = (bits ^ bits >> 27) * UINT64_C(0x94d049bb133111eb);
    bits ^= bits >> 31;
    unsigned height = 1 + (unsigned)__builtin_ctzll(bits | UINT64_C(1) << 62) / 2;
    return height < HEIGHT_MAX ? height : HEIGHT_MAX;
}

static void raise_height(struct memtable *memtable, unsigned height) {
    unsigned now = atomic_load_explicit(&memtable->height, memory_order_relaxed);
    while (now < height && !atomic_compare_exchange_weak_explicit(&memtable->height, &now, height, memory_order_relaxed,
                                                                  memory_order_relaxed)) {
    }
}

static struct node *node_create(struct memtable *memtable, unsigned height, const struct row *row,
                                const struct target *target) {
    struct node *node = node_alloc(memtable, height, row->key.size + row->value.size + row->indexes.size);
    if (!node) return NULL;
    node->prefix = target->prefix;
    node->lsn = row->lsn;
    node->key_size = (uint32_t)row->key.size;
    node->value_size = (uint32_t)row->value.size;
    node->indexes_size = (uint32_t)row->indexes.size;
    node->operation = row->operation;
    uint8_t *at = node->key;
    if (row->key.size) memcpy(at, row->key.data, row->key.size);
    at += row->key.size;
    if (row->value.size) memcpy(at, row->value.data, row->value.size);
    at += row->value.size;
    if (row->indexes.size) memcpy(at, row->indexes.data, row->indexes.size);
    return node;
}

/* Links `node` on one level behind `before`, which is followed by `after`; looks again from there when another insert
 * came between. */
static void link_level(struct node *node, unsigned level, const struct target *target, struct node *before,
                       struct node *after) {
    for (;;) {
        atomic_store_explicit(node_link(node, level), after, memory_order_relaxed);
        if (atomic_compare_exchange_strong_explicit(node_link(before, level), &after, node, memory_order_release,
                                                    memory_order_relaxed))
            return;
        before = walk_level(before, level, target, &after);
    }
}

enum plinth_status memtable_insert(struct memtable *memtable, const struct row *row, struct plinth_error *error) {
    if (row->key.size > UINT32_MAX || row->value.size > UINT32_MAX || row->indexes.size > UINT32_MAX)
        return error_no_memory(error, "memtable row over 4 GiB");
    struct target target = target_of(row->key, row->lsn);
    uint64_t ordinal = atomic_fetch_add_explicit(&memtable->rows, 1, memory_order_relaxed);
    unsigned height = height_of(ordinal, memtable->seed);
    struct node *node = node_create(memtable, height, row, &target);
    if (!node) {
        atomic_fetch_sub_explicit(&memtable->rows, 1, memory_order_relaxed);
        return error_no_memory(error, "memtable row");
    }
    raise_height(memtable, height);
    struct row_reference reference;
    if (row_reference_decode(row->indexes, &reference)) {
        atomic_store_explicit(&memtable->has_references, true, memory_order_release);
        atomic_fetch_add_explicit(&memtable->value_bytes, reference.length, memory_order_relaxed);
    }
    if (row_expires_us(row->indexes)) atomic_store_explicit(&memtable->may_expire, true, memory_order_release);

    struct node *before[HEIGHT_MAX], *after[HEIGHT_MAX], *at = memtable->head;
    unsigned level = atomic_load_explicit(&memtable->height, memory_order_relaxed);
    while (level-- > 0) {
        at = walk_level(at, level, &target, &after[level]);
        before[level] = at;
    }
    for (level = 0; level < height; level++) link_level(node, level, &target, before[level], after[level]);
    return PLINTH_OK;
}

bool memtable_get(struct memtable *memtable, struct slice stored_key, uint64_t lsn_max, struct row *row) {
    struct target target = target_of(stored_key, lsn_max);
    struct node *node = first_at_or_after(memtable, &target);
    if (!node || node->prefix != target.prefix || key_compare_behind_prefix(node_key(node), stored_key) != 0)
        return false;
    node_row(node, 0, row);
    return true;
}

bool memtable_next_table(struct memtable *memtable, struct table_id from, struct table_id *found) {
    uint8_t prefix[TABLE_PREFIX_BYTES_MAX];
    struct target target = target_of(slice_of(prefix, table_prefix_encode(prefix, from)), UINT64_MAX);
    struct node *node = first_at_or_after(memtable, &target);
    struct slice key;
    struct table_id with_blocks;
    bool any = node && table_prefix_decode(node_key(node), found, &key);
    if (!block_set_next_table(&memtable->blocks, from, &with_blocks)) return any;
    if (!any || table_id_compare(with_blocks, *found) < 0) *found = with_blocks;
    return true;
}

/* ---- range deletes ---- */

/* A copy of `from` (may be null) with room for one more entry; the sets get a reference each. */
static struct range_list *list_copy(struct range_list *from) {
    size_t count = from ? from->count : 0;
    struct range_list *to = malloc(sizeof *to + (count + 1) * sizeof to->entries[0]);
    if (!to) return NULL;
    to->older = from;
    to->count = count;
    for (size_t i = 0; i < count; i++) {
        to->entries[i] = from->entries[i];
        range_set_ref(to->entries[i].set);
    }
    return to;
}

/* Puts a set behind the others of its table; false when memory is out (the set is not taken then). */
static bool list_put(struct range_list *list, struct table_id table, struct range_set *set, uint64_t *bytes) {
    size_t end = list->count;
    while (end > 0 && table_id_compare(list->entries[end - 1].table, table) != 0) end--;
    if (!end) end = list->count; /* the first of its table */
    size_t begin = end, taken = range_set_count(set);
    while (begin > 0 && table_id_compare(list->entries[begin - 1].table, table) == 0 &&
           range_set_count(list->entries[begin - 1].set) < 2 * taken)
        taken += range_set_count(list->entries[--begin].set);
    if (begin == end) {
        memmove(&list->entries[end + 1], &list->entries[end], (list->count++ - end) * sizeof list->entries[0]);
        list->entries[end].table = table;
        list->entries[end].set = set;
        return true;
    }
    struct range_set *sets[64], *merged;
    size_t count = 0;
    for (size_t i = begin; i < end && count < 63; i++) sets[count++] = list->entries[i].set;
    sets[count++] = set;
    merged = range_set_merge(sets, count);
    if (!merged) return false;
    *bytes += range_set_bytes(merged);
    for (size_t i = begin; i < end; i++) range_set_unref(list->entries[i].set);
    range_set_unref(set);
    list->entries[begin].set = merged;
    memmove(&list->entries[begin + 1], &list->entries[end], (list->count - end) * sizeof list->entries[0]);
    list->count -= end - begin - 1;
    return true;
}

enum plinth_status memtable_delete_range(struct memtable *memtable, struct table_id table,
                                         const struct deleted_range *range, struct plinth_error *error) {
    struct range_set *set = range_set_create(range, 1);
    if (!set) return error_no_memory(error, "range delete");
    uint64_t bytes = range_set_bytes(set);
    pthread_mutex_lock(&memtable->ranges_mutex);
    struct range_list *list = list_copy(atomic_load_explicit(&memtable->ranges, memory_order_relaxed));
    bool ok = list && list_put(list, table, set, &bytes);
    if (ok) {
        bytes += sizeof *list + list->count * sizeof list->entries[0];
        atomic_fetch_add_explicit(&memtable->bytes, bytes, memory_order_relaxed);
        atomic_store_explicit(&memtable->ranges, list, memory_order_release);
    } else if (list) {
        list->older = NULL;
        range_lists_free(list);
    }
    pthread_mutex_unlock(&memtable->ranges_mutex);
    if (ok) return PLINTH_OK;
    range_set_unref(set);
    return error_no_memory(error, "range delete");
}

void memtable_find_range(struct memtable *memtable, struct table_id table, struct slice key, uint64_t lsn_max,
                         const struct deleted_range **best) {
    const struct range_list *list = atomic_load_explicit(&memtable->ranges, memory_order_acquire);
    for (size_t i = 0; list && i < list->count; i++)
        if (table_id_compare(list->entries[i].table, table) == 0)
            range_set_find(list->entries[i].set, key, lsn_max, best);
}

bool memtable_ranges(struct memtable *memtable, struct table_id table, struct range_view *view) {
    const struct range_list *list = atomic_load_explicit(&memtable->ranges, memory_order_acquire);
    for (size_t i = 0; list && i < list->count; i++)
        if (table_id_compare(list->entries[i].table, table) == 0 && !range_view_add(view, list->entries[i].set))
            return false;
    return true;
}

/* ---- blocks ---- */

enum plinth_status memtable_add_block(struct memtable *memtable, struct table_id table, struct row_block *block,
                                      struct plinth_error *error) {
    return block_set_add(&memtable->blocks, table, block, error);
}

void memtable_blocks(struct memtable *memtable, struct table_id table, struct memtable_blocks *blocks) {
    block_set_blocks(&memtable->blocks, table, blocks);
}

/* ---- iterator ---- */

struct memtable_iterator {
    struct iterator base;
    struct memtable *memtable;
    struct node *at;
    struct buffer stored_key; /* table prefix, then the key that is sought */
    size_t prefix_size;
    uint8_t behind[TABLE_PREFIX_BYTES_MAX]; /* the first bytes that sort after the whole table */
    size_t behind_size;
};

static struct slice table_prefix(const struct memtable_iterator *it) {
    return slice_of(it->stored_key.data, it->prefix_size);
}

/* Stands on `node`, if there is one and it belongs to the table. */
static enum plinth_status stand_on(struct memtable_iterator *it, struct node *node) {
    it->at = node;
    it->base.valid = node && slice_starts_with(node_key(node), table_prefix(it));
    if (it->base.valid) node_row(node, it->prefix_size, &it->base.row);
    return PLINTH_OK;
}

static enum plinth_status make_target(struct memtable_iterator *it, struct slice key, uint64_t lsn,
                                      struct target *target, struct plinth_error *error) {
    it->base.valid = false;
    it->stored_key.size = it->prefix_size;
    if (!buffer_append(&it->stored_key, key.data, key.size)) return error_no_memory(error, "key to seek");
    *target = target_of(buffer_slice(&it->stored_key), lsn);
    return PLINTH_OK;
}

static enum plinth_status memtable_iterator_seek(struct iterator *base, struct slice key, uint64_t lsn,
                                                 struct plinth_error *error) {
    struct memtable_iterator *it = (struct memtable_iterator *)base;
    struct target target;
    enum plinth_status st = make_target(it, key, lsn, &target, error);
    return st ? st : stand_on(it, first_at_or_after(it->memtable, &target));
}

static enum plinth_status memtable_iterator_seek_before(struct iterator *base, struct slice key, uint64_t lsn,
                                                        struct plinth_error *error) {
    struct memtable_iterator *it = (struct memtable_iterator *)base;
    struct target target;
    enum plinth_status st = make_target(it, key, lsn, &target, error);
    return st ? st : stand_on(it, last_before(it->memtable, &target));
}

static enum plinth_status memtable_iterator_seek_first(struct iterator *base, struct plinth_error *error) {
    (void)error;
    struct memtable_iterator *it = (struct memtable_iterator *)base;
    struct target target = target_of(table_prefix(it), UINT64_MAX);
    return stand_on(it, first_at_or_after(it->memtable, &target));
}

static enum plinth_status memtable_iterator_seek_last(struct iterator *base, struct plinth_error *error) {
    (void)error;
    struct memtable_iterator *it = (struct memtable_iterator *)base;
    struct target target = target_of(slice_of(it->behind, it->behind_size), UINT64_MAX);
    return stand_on(it, last_before(it->memtable, &target));
}

static enum plinth_status memtable_iterator_next(struct iterator *base, struct plinth_error *error) {
    (void)error;
    struct memtable_iterator *it = (struct memtable_iterator *)base;
    struct node *next = node_next(it->at, 0);
    if (next) prefetch(node_next(next, 0));
    return stand_on(it, next);
}

/* There are no links backwards: a search finds what stands before. */
static enum plinth_status memtable_iterator_previous(struct iterator *base, struct plinth_error *error) {
    (void)error;
    struct memtable_iterator *it = (struct memtable_iterator *)base;
    struct target target = target_of(node_key(it->at), it->at->lsn);
    return stand_on(it, last_before(it->memtable, &target));
}

static void memtable_iterator_close(struct iterator *base) {
    struct memtable_iterator *it = (struct memtable_iterator *)base;
    memtable_unref(it->memtable);
    buffer_deinit(&it->stored_key);
    free(it);
}

static const struct iterator_ops memtable_iterator_ops = {
    .seek = memtable_iterator_seek,
    .seek_before = memtable_iterator_seek_before,
    .seek_first = memtable_iterator_seek_first,
    .seek_last = memtable_iterator_seek_last,
    .next = memtable_iterator_next,
    .previous = memtable_iterator_previous,
    .close = memtable_iterator_close,
};

/* A table's prefix never is all 0xFF (its first byte is at most 251), so something always sorts behind it. */
static void set_behind(struct memtable_iterator *it) {
    size_t size = it->prefix_size;
    memcpy(it->behind, it->stored_key.data, size);
    while (it->behind[size - 1] == 0xFF) size--;
    it->behind[size - 1]++;
    it->behind_size = size;
}

enum plinth_status memtable_iterator_open(struct memtable *memtable, struct table_id table, struct iterator **it,
                                          struct plinth_error *error) {
    *it = NULL;
    struct memtable_iterator *opened = calloc(1, sizeof *opened);
    uint8_t prefix[TABLE_PREFIX_BYTES_MAX];
    size_t prefix_size = table_prefix_encode(prefix, table);
    if (!opened || !buffer_append(&opened->stored_key, prefix, prefix_size)) {
        free(opened);
        return error_no_memory(error, "memtable iterator");
    }
    opened->base.ops = &memtable_iterator_ops;
    opened->memtable = memtable_ref(memtable);
    opened->prefix_size = prefix_size;
    set_behind(opened);
    *it = &opened->base;
    return PLINTH_OK;
}
