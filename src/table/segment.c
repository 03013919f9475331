#include "table/segment.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/status.h"
#include "table/row_segment_private.h"
#include "table/stripe.h"

static atomic_uint_fast64_t next_id = 1;

/* ---- opening ---- */

static enum plinth_status read_object(struct parquet_source *source, uint64_t offset, void *into, size_t size,
                                      struct plinth_error *error) {
    struct segment *segment = (struct segment *)((uint8_t *)source - offsetof(struct segment, source));
    return object_read_at(segment->object, offset, into, size, error);
}

static enum plinth_status open_object(struct segment *segment, struct store *store, struct plinth_error *error) {
    enum plinth_status st = store_open(store, segment->info.name, &segment->object, error);
    if (st == PLINTH_NOT_FOUND) return error_set(error, PLINTH_CORRUPT, "the object is missing from the store");
    if (st) return st;
    if (segment->object->size != segment->info.bytes)
        return error_set(error, PLINTH_CORRUPT, "the object has %" PRIu64 " bytes, the manifest says %" PRIu64,
                         segment->object->size, segment->info.bytes);
    segment->source = (struct parquet_source){segment->object->size, segment->object->mapped, read_object};
    return parquet_reader_open(&segment->source, NULL, &segment->reader, error);
}

static enum plinth_status check_number(const struct segment *segment, const char *key, uint64_t wanted,
                                       struct plinth_error *error) {
    struct slice text;
    uint64_t number;
    if (!parquet_metadata_find(parquet_reader_metadata(segment->reader), key, &text) ||
        !segment_parse_number(text, &number))
        return error_set(error, PLINTH_CORRUPT, "metadata %s is missing or not a number", key);
    if (number == wanted) return PLINTH_OK;
    return error_set(error, PLINTH_CORRUPT, "metadata %s is %" PRIu64 ", the manifest says %" PRIu64, key, number,
                     wanted);
}

static enum plinth_status check_metadata(const struct segment *segment, struct plinth_error *error) {
    const struct parquet_metadata *metadata = parquet_reader_metadata(segment->reader);
    const struct segment_info *info = &segment->info;
    const char *reads = segment_info_kind_is_entries(metadata) ? SEGMENT_FORMAT_ENTRIES : SEGMENT_FORMAT;
    struct slice format;
    if (!parquet_metadata_find(metadata, SEGMENT_META_FORMAT, &format))
        return error_set(error, PLINTH_CORRUPT, "not a segment: metadata %s is missing", SEGMENT_META_FORMAT);
    if (!slice_equal(format, slice_of_string(reads)))
        return error_set(error, PLINTH_UNSUPPORTED, "segment format %.*s, this version reads %s",
                         (int)(format.size < 20 ? format.size : 20), (const char *)format.data, reads);
    const struct {
        const char *key;
        uint64_t wanted;
    } numbers[] = {
        {SEGMENT_META_TENANT, info->table.tenant},   {SEGMENT_META_DATABASE, info->table.database},
        {SEGMENT_META_TABLE, info->table.table},     {SEGMENT_META_LSN_MIN, info->lsn_min},
        {SEGMENT_META_LSN_MAX, info->lsn_max},       {SEGMENT_META_DELETES, info->deletes},
        {SEGMENT_META_SUPERSEDED, info->superseded},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        enum plinth_status st = check_number(segment, numbers[i].key, numbers[i].wanted, error);
        if (st) return st;
    }
    if (segment_info_kind_is_rows(metadata) != info->is_rows)
        return error_set(error, PLINTH_CORRUPT, "the manifest calls it a segment of a %s table, the file does not",
                         info->is_rows ? "typed" : "key-value");
    struct segment_info found = {0};
    enum plinth_status st = segment_info_partition(metadata, &found, error);
    if (st) return st;
    if (found.has_partition != info->has_partition || found.partition != info->partition)
        return error_set(error, PLINTH_CORRUPT, "metadata %s is not the manifest's", SEGMENT_META_PARTITION);
    uint64_t rows = 0;
    for (uint32_t i = 0; i < metadata->row_group_count; i++) rows += metadata->row_groups[i].row_count;
    if (rows == info->rows && metadata->row_count == info->rows) return PLINTH_OK;
    return error_set(error, PLINTH_CORRUPT, "the file has %" PRIu64 " rows, the manifest says %" PRIu64, rows,
                     info->rows);
}

static enum plinth_status find_columns(struct segment *segment, struct plinth_error *error) {
    static const enum parquet_type types[SEGMENT_COLUMNS] = {PARQUET_TYPE_BYTE_ARRAY, PARQUET_TYPE_BYTE_ARRAY,
                                                             PARQUET_TYPE_BYTE_ARRAY, PARQUET_TYPE_INT64,
                                                             PARQUET_TYPE_INT32};
    const struct parquet_schema *schema = &parquet_reader_metadata(segment->reader)->schema;
    for (enum segment_column column = 0; column < SEGMENT_COLUMNS; column++) {
        const char *name = segment_column_names[column];
        int32_t leaf = parquet_schema_find(schema, name);
        bool may_be_null = column == SEGMENT_VALUE || column == SEGMENT_INDEXES;
        if (leaf < 0 && may_be_null) continue; /* an index table */
        if (leaf < 0) return error_set(error, PLINTH_CORRUPT, "column %s is missing", name);
        const struct parquet_column *found = &schema->columns[leaf];
        if (found->type != types[column] || found->repetition_level_max != 0 || found->part_count != 1 ||
            found->definition_level_max > may_be_null)
            return error_set(error, PLINTH_CORRUPT, "column %s has a wrong type", name);
        segment->has_column[column] = true;
        segment->leaf[column] = (uint32_t)leaf;
    }
    return PLINTH_OK;
}

/* Back to a segment of which nothing was read. */
static void unload(struct segment *segment) {
    for (uint32_t i = 0; i < segment->group_count; i++) parquet_bloom_deinit(&segment->groups[i].bloom);
    row_segment_unload(segment);
    parquet_reader_close(segment->reader);
    object_close(segment->object);
    arena_deinit(&segment->arena);
    arena_init(&segment->arena);
    segment->rows = NULL;
    segment->reader = NULL;
    segment->object = NULL;
    segment->groups = NULL;
    segment->group_count = 0;
    segment->stripes = (struct stripe_index){0};
    memset(segment->has_column, 0, sizeof segment->has_column);
}

static void segment_destroy(struct segment *segment) {
    if (segment->cache && segment_is_loaded(segment)) page_cache_forget(segment->cache, segment->id);
    unload(segment);
    arena_deinit(&segment->arena);
    segment_info_deinit(&segment->info);
    pthread_mutex_destroy(&segment->load_mutex);
    free(segment);
}

static enum plinth_status read_all(struct segment *segment, struct plinth_error *error) {
    enum plinth_status st = open_object(segment, segment->store, error);
    if (!st) st = segment_check_indexes(segment, error);
    if (!st) st = check_metadata(segment, error);
    if (!st && (segment->info.is_rows || segment_info_kind_is_entries(parquet_reader_metadata(segment->reader)))) {
        st = row_segment_load(segment, error);
    } else if (!st) {
        st = find_columns(segment, error);
        if (!st) st = segment_load_index(segment, error);
    }
    return st;
}

enum plinth_status segment_load(struct segment *segment, struct plinth_error *error) {
    if (segment_is_loaded(segment)) return PLINTH_OK;
    enum plinth_status st = PLINTH_OK;
    pthread_mutex_lock(&segment->load_mutex);
    if (!segment_is_loaded(segment)) {
        st = read_all(segment, error);
        if (st) {
            st = segment_error(segment, st, error);
            unload(segment);
        } else {
            atomic_store_explicit(&segment->is_loaded, true, memory_order_release);
        }
    }
    pthread_mutex_unlock(&segment->load_mutex);
    return st;
}

enum plinth_status segment_open_lazily(struct store *store, struct page_cache *cache, const struct segment_info *info,
                                       struct segment **segment, struct plinth_error *error) {
    *segment = NULL;
    struct segment *opened = calloc(1, sizeof *opened);
    if (!opened || !segment_info_copy(&opened->info, info)) {
        free(opened);
        return error_no_memory(error, "segment");
    }
    atomic_init(&opened->references, 1);
    atomic_init(&opened->is_loaded, false);
    pthread_mutex_init(&opened->load_mutex, NULL);
    opened->id = atomic_fetch_add_explicit(&next_id, 1, memory_order_relaxed);
    opened->store = store;
    opened->cache = cache;
    arena_init(&opened->arena);
    bool is_known = info->index_crc && (info->key_min.size || info->key_max.size);
    enum plinth_status st = is_known ? PLINTH_OK : segment_load(opened, error);
    if (st)
        segment_destroy(opened);
    else
        *segment = opened;
    return st;
}

enum plinth_status segment_open(struct store *store, struct page_cache *cache, const struct segment_info *info,
                                struct segment **segment, struct plinth_error *error) {
    enum plinth_status st = segment_open_lazily(store, cache, info, segment, error);
    if (!st) st = segment_load(*segment, error);
    if (st) {
        segment_unref(*segment);
        *segment = NULL;
    }
    return st;
}

enum plinth_status segment_error(const struct segment *segment, enum plinth_status status, struct plinth_error *error) {
    /* What the Parquet library calls missing, impossible or unknown is damage in a file of ours. */
    bool is_damage = segment->object && (status == PLINTH_NOT_FOUND || status == PLINTH_INVALID_ARGUMENT);
    if (is_damage) status = PLINTH_CORRUPT;
    if (error && is_damage) error->status = status;
    if (error) (void)error_prefix(error, "segment %s", segment->info.name);
    return status;
}

struct segment *segment_ref(struct segment *segment) {
    atomic_fetch_add_explicit(&segment->references, 1, memory_order_relaxed);
    return segment;
}

void segment_unref(struct segment *segment) {
    if (segment && atomic_fetch_sub_explicit(&segment->references, 1, memory_order_acq_rel) == 1)
        segment_destroy(segment);
}

const struct segment_info *segment_info(const struct segment *segment) { return &segment->info; }

uint64_t segment_memory_bytes(const struct segment *segment) {
    if (!segment_is_loaded(segment)) return sizeof *segment;
    uint64_t bytes = sizeof *segment + segment->arena.used_bytes + parquet_reader_memory(segment->reader);
    for (uint32_t i = 0; i < segment->group_count; i++) bytes += segment->groups[i].bloom.owned.capacity;
    return bytes + row_segment_memory(segment);
}

/* ---- point reads ---- */

/* As stripe_load; with SEGMENT_MEMORY_ONLY only from the cache. */
static enum plinth_status load(struct segment *segment, uint32_t number, unsigned parts, unsigned flags,
                               struct stripe **stripe, struct plinth_error *error) {
    if (!(flags & SEGMENT_MEMORY_ONLY)) return stripe_load(segment, number, parts, stripe, error);
    *stripe = stripe_find_cached(segment, number, parts);
    return *stripe ? PLINTH_OK : PLINTH_WOULD_BLOCK;
}

/* Stripes first + 1 to last all begin with a version of `key`: the last one whose first version is not behind `lsn`,
 * or `first`. */
static enum plinth_status narrow(struct segment *segment, uint32_t first, uint32_t last, uint64_t lsn, unsigned flags,
                                 uint32_t *found, struct plinth_error *error) {
    uint32_t low = first, high = last; /* the answer lies in [low, high] */
    if (lsn == UINT64_MAX) high = low;
    while (low < high) {
        uint32_t middle = high - (high - low) / 2;
        struct stripe *stripe;
        enum plinth_status st = load(segment, middle, STRIPE_KEYS_ONLY, flags, &stripe, error);
        if (st) return st;
        if (stripe_rows_lsn(&stripe->rows, 0) >= lsn) {
            low = middle;
        } else {
            high = middle - 1;
        }
        stripe_unref(stripe);
    }
    *found = low;
    return PLINTH_OK;
}

enum plinth_status segment_find_stripe(struct segment *segment, struct slice key, uint64_t lsn, uint32_t *stripe,
                                       struct plinth_error *error) {
    uint32_t first, last;
    *stripe = 0;
    assert(segment_is_loaded(segment));
    if (!stripe_index_range(&segment->stripes, key, &first, &last)) return PLINTH_OK;
    return narrow(segment, first, last, lsn, 0, stripe, error);
}

static bool bloom_says_no(const struct segment *segment, uint32_t first, uint32_t last, uint64_t key_hash) {
    const struct stripe_index *index = &segment->stripes;
    for (uint32_t group = index->groups[first]; group <= index->groups[last]; group++) {
        const struct segment_group *about = &segment->groups[group];
        if (!about->has_bloom || parquet_bloom_check_hash(&about->bloom, key_hash)) return false;
    }
    return true;
}

static bool is_within_bounds(const struct segment_info *info, struct slice key) {
    return slice_compare(buffer_slice(&info->key_min), key) <= 0 &&
           slice_compare(key, buffer_slice(&info->key_max)) <= 0;
}

enum plinth_status segment_get(struct segment *segment, struct slice key, uint64_t key_hash, uint64_t lsn_max,
                               unsigned flags, struct segment_hit *hit, struct plinth_error *error) {
    *hit = (struct segment_hit){0};
    uint32_t first, last, number;
    enum plinth_status st = PLINTH_OK;
    if (lsn_max < segment->info.lsn_min) return PLINTH_NOT_FOUND;
    if (!segment_is_loaded(segment)) {
        if (!is_within_bounds(&segment->info, key)) return PLINTH_NOT_FOUND;
        st = flags & SEGMENT_MEMORY_ONLY ? PLINTH_WOULD_BLOCK : segment_load(segment, error);
        if (st) return st;
    }
    if (!stripe_index_range(&segment->stripes, key, &first, &last) || bloom_says_no(segment, first, last, key_hash))
        return PLINTH_NOT_FOUND;
    st = narrow(segment, first, last, lsn_max, flags, &number, error);
    unsigned parts = flags & SEGMENT_LSN_ONLY ? STRIPE_KEYS_ONLY : STRIPE_VALUES;
    while (!st) {
        struct stripe *stripe;
        st = load(segment, number, parts, flags, &stripe, error);
        if (st) break;
        uint32_t row = stripe_find(stripe, key, lsn_max);
        if (row < stripe->rows.count && slice_equal(stripe_rows_key(&stripe->rows, row), key)) {
            stripe_rows_get(&stripe->rows, row, &hit->row);
            hit->pinned = &stripe->entry;
            hit->segment = segment;
            hit->stripe = number;
            hit->stripe_row = row;
            return PLINTH_OK;
        }
        /* The version may be the first one of the next stripe. */
        if (row < stripe->rows.count || number++ == last) st = PLINTH_NOT_FOUND;
        stripe_unref(stripe);
    }
    return st;
}

void segment_hit_release(struct segment_hit *hit) {
    page_cache_unref(hit->pinned);
    *hit = (struct segment_hit){0};
}
