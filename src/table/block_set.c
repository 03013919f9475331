/* A table's blocks lie in an array with room for more. Adding fills the next place, which readers that hold the array
 * do not look at, as they took the count with it; replacing merged blocks makes a new array. Arrays are
 * reference-counted and hold a reference of each block. The mutex of a table is held for moments only. */
#include "table/block_set.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/log_event.h"
#include "base/status.h"
#include "table/row_block_private.h"

enum { TIER_BITS = 4, TIERS = 3, TIER_WIDTH = 1 << TIER_BITS, LIST_FIRST_CAPACITY = 32 };

struct block_list {
    atomic_uint references;
    uint32_t count; /* places filled; under the table's mutex */
    uint32_t capacity;
    struct row_block *blocks[];
};

/* What the table knows of the block in place i of its list. */
struct block_about {
    uint64_t bytes;
    uint8_t tier; /* TIERS: not to be merged, or being merged */
};

struct block_table {
    struct table_id id;
    struct block_table *next;
    pthread_mutex_t mutex;
    struct block_list *list;
    struct block_about *about; /* capacity of the list */
    uint32_t tier_counts[TIERS];
};

static void list_unref(struct block_list *list) {
    if (!list || atomic_fetch_sub_explicit(&list->references, 1, memory_order_acq_rel) != 1) return;
    for (uint32_t i = 0; i < list->count; i++) row_block_unref(list->blocks[i]);
    free(list);
}

static struct block_list *list_create(uint32_t capacity) {
    struct block_list *list = malloc(sizeof *list + capacity * sizeof list->blocks[0]);
    if (!list) return NULL;
    atomic_init(&list->references, 1);
    list->count = 0;
    list->capacity = capacity;
    return list;
}

static uint8_t tier_of(const struct row_block *block) {
    uint8_t tier = 0;
    while (tier < TIERS && block->rows >> TIER_BITS * (tier + 1)) tier++;
    return tier;
}

/* ---- tables ---- */

static _Atomic(struct block_table *) *bucket_of(struct block_set *set, struct table_id id) {
    return &set->buckets[(id.table * 31 + id.database * 7 + id.tenant) % BLOCK_SET_BUCKETS];
}

static struct block_table *find_from(struct block_table *table, struct table_id id) {
    while (table && table_id_compare(table->id, id) != 0) table = table->next;
    return table;
}

static struct block_table *find_table(struct block_set *set, struct table_id id) {
    return find_from(atomic_load_explicit(bucket_of(set, id), memory_order_acquire), id);
}

static void table_destroy(struct block_table *table) {
    list_unref(table->list);
    pthread_mutex_destroy(&table->mutex);
    free(table->about);
    free(table);
}

static struct block_table *table_create(struct table_id id) {
    struct block_table *table = calloc(1, sizeof *table);
    if (!table) return NULL;
    table->id = id;
    pthread_mutex_init(&table->mutex, NULL);
    table->list = list_create(LIST_FIRST_CAPACITY);
    table->about = calloc(LIST_FIRST_CAPACITY, sizeof *table->about);
    if (table->list && table->about) return table;
    table_destroy(table);
    return NULL;
}

/* Null when memory is out. */
static struct block_table *make_table(struct block_set *set, struct table_id id) {
    struct block_table *found = find_table(set, id);
    if (found) return found;
    struct block_table *made = table_create(id);
    if (!made) return NULL;
    _Atomic(struct block_table *) *bucket = bucket_of(set, id);
    made->next = atomic_load_explicit(bucket, memory_order_acquire);
    do {
        if ((found = find_from(made->next, id))) {
            table_destroy(made);
            return found;
        }
    } while (
        !atomic_compare_exchange_weak_explicit(bucket, &made->next, made, memory_order_release, memory_order_acquire));
    return made;
}

void block_set_init(struct block_set *set) {
    for (size_t i = 0; i < BLOCK_SET_BUCKETS; i++) atomic_init(&set->buckets[i], NULL);
    atomic_init(&set->rows, 0);
    atomic_init(&set->bytes, 0);
}

void block_set_deinit(struct block_set *set) {
    for (size_t i = 0; i < BLOCK_SET_BUCKETS; i++)
        for (struct block_table *table = atomic_load(&set->buckets[i]), *next; table; table = next) {
            next = table->next;
            table_destroy(table);
        }
}

bool block_set_next_table(struct block_set *set, struct table_id from, struct table_id *found) {
    bool any = false;
    for (size_t i = 0; i < BLOCK_SET_BUCKETS; i++) {
        struct block_table *table = atomic_load_explicit(&set->buckets[i], memory_order_acquire);
        for (; table; table = table->next) {
            if (table_id_compare(table->id, from) < 0 || (any && table_id_compare(table->id, *found) > 0)) continue;
            *found = table->id;
            any = true;
        }
    }
    return any;
}

void block_set_blocks(struct block_set *set, struct table_id id, struct memtable_blocks *blocks) {
    *blocks = (struct memtable_blocks){0};
    struct block_table *table = find_table(set, id);
    if (!table) return;
    pthread_mutex_lock(&table->mutex);
    blocks->list = table->list;
    blocks->count = table->list->count;
    blocks->blocks = table->list->blocks;
    atomic_fetch_add_explicit(&table->list->references, 1, memory_order_relaxed);
    pthread_mutex_unlock(&table->mutex);
}

void memtable_blocks_release(struct memtable_blocks *blocks) {
    list_unref(blocks->list);
    *blocks = (struct memtable_blocks){0};
}

size_t memtable_blocks_find(const struct memtable_blocks *blocks, struct slice key, uint64_t key_hash, uint64_t lsn_max,
                            uint32_t *row) {
    size_t found = SIZE_MAX;
    uint64_t newest = 0;
    uint32_t at;
    *row = 0;
    for (size_t i = 0; i < blocks->count; i++) {
        const struct row_block *block = blocks->blocks[i];
        if (block->lsn_max <= newest || !row_block_get(block, key, key_hash, lsn_max, &at)) continue;
        uint64_t lsn = row_block_lsn(block, at);
        if (lsn <= newest) continue;
        newest = lsn;
        found = i;
        *row = at;
    }
    return found;
}

/* ---- adding; the table's mutex is held ---- */

/* A list with all blocks but those of `without`, and room for more; takes the place of the present one. */
static bool copy_list(struct block_table *table, uint32_t capacity, struct row_block *const *without,
                      uint32_t without_count) {
    struct block_list *list = list_create(capacity);
    struct block_about *about = calloc(capacity, sizeof *about);
    if (!list || !about) {
        free(list);
        free(about);
        return false;
    }
    uint32_t left_out = 0; /* `without` is in the order of the list */
    for (uint32_t i = 0; i < table->list->count; i++) {
        struct row_block *block = table->list->blocks[i];
        if (left_out < without_count && without[left_out] == block) {
            left_out++;
            continue;
        }
        list->blocks[list->count] = row_block_ref(block);
        about[list->count++] = table->about[i];
    }
    list_unref(table->list);
    free(table->about);
    table->list = list;
    table->about = about;
    return true;
}

static bool push_block(struct block_table *table, struct row_block *block, uint64_t bytes) {
    struct block_list *list = table->list;
    if (list->count == list->capacity) {
        if (!copy_list(table, list->capacity * 2, NULL, 0)) return false;
        list = table->list;
    }
    uint8_t tier = tier_of(block);
    table->about[list->count] = (struct block_about){bytes, tier};
    if (tier < TIERS) table->tier_counts[tier]++;
    list->blocks[list->count++] = row_block_ref(block);
    return true;
}

/* ---- merging ---- */

struct tier_merge {
    struct row_block *inputs[TIER_WIDTH]; /* referenced, in the order of the list */
    uint32_t count;
    uint64_t bytes;
};

/* Takes a full tier's blocks out of its count, so that nobody else merges them. The mutex is held. */
static bool claim_tier(struct block_table *table, struct tier_merge *merge) {
    uint8_t tier = 0;
    while (tier < TIERS && table->tier_counts[tier] < TIER_WIDTH) tier++;
    if (tier == TIERS) return false;
    *merge = (struct tier_merge){0};
    for (uint32_t i = 0; i < table->list->count && merge->count < TIER_WIDTH; i++) {
        if (table->about[i].tier != tier) continue;
        merge->inputs[merge->count++] = row_block_ref(table->list->blocks[i]);
        merge->bytes += table->about[i].bytes;
        table->about[i].tier = TIERS;
    }
    table->tier_counts[tier] -= TIER_WIDTH;
    return true;
}

static bool claim(struct block_table *table, struct tier_merge *merge) {
    pthread_mutex_lock(&table->mutex);
    bool claimed = claim_tier(table, merge);
    pthread_mutex_unlock(&table->mutex);
    return claimed;
}

/* Puts the merged block in the place of the inputs. False when memory is out: they stay as they are. */
static bool replace(struct block_table *table, const struct tier_merge *merge, struct row_block *merged) {
    uint64_t bytes = row_block_memory_bytes(merged);
    pthread_mutex_lock(&table->mutex);
    bool replaced = copy_list(table, table->list->capacity, merge->inputs, merge->count);
    if (replaced) replaced = push_block(table, merged, bytes); /* there is room */
    pthread_mutex_unlock(&table->mutex);
    return replaced;
}

/* Merges while a tier is full. What fails here leaves blocks unmerged, and that costs reads only time. */
static void merge_tiers(struct block_set *set, struct block_table *table) {
    struct tier_merge merge;
    while (claim(table, &merge)) {
        struct row_block *merged = NULL;
        struct plinth_error error = {0};
        enum plinth_status st = row_blocks_merge(merge.inputs, merge.count, &merged, &error);
        if (!st && replace(table, &merge, merged)) {
            atomic_fetch_add_explicit(&set->bytes, row_block_memory_bytes(merged), memory_order_relaxed);
            atomic_fetch_sub_explicit(&set->bytes, merge.bytes, memory_order_relaxed);
        } else if (st) {
            log_event(LOG_WARN, "rows_in_memory_not_merged", "table=%u reason=\"%s\"", table->id.table, error.text);
        }
        row_block_unref(merged);
        for (uint32_t i = 0; i < merge.count; i++) row_block_unref(merge.inputs[i]);
    }
}

enum plinth_status block_set_add(struct block_set *set, struct table_id id, struct row_block *block,
                                 struct plinth_error *error) {
    struct block_table *table = make_table(set, id);
    uint64_t bytes = row_block_memory_bytes(block);
    bool added = false, full = false;
    if (table) {
        pthread_mutex_lock(&table->mutex);
        added = push_block(table, block, bytes);
        for (uint8_t tier = 0; tier < TIERS; tier++) full |= table->tier_counts[tier] >= TIER_WIDTH;
        pthread_mutex_unlock(&table->mutex);
    }
    if (!added) return error_no_memory(error, "rows in memory");
    atomic_fetch_add_explicit(&set->rows, block->rows, memory_order_relaxed);
    atomic_fetch_add_explicit(&set->bytes, bytes, memory_order_relaxed);
    if (full) merge_tiers(set, table);
    return PLINTH_OK;
}
