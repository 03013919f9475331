/* Arbitrary bytes as a segment's object: opening, reading and verifying it gives rows or a status, never a crash.
 *
 * The first byte says whether the store maps its objects; the rest is the object. What the manifest would say of it is
 * taken from the file where it can be, so that a slightly changed segment gets past the first checks. */
#include <roaring/roaring.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "expr/predicate.h"
#include "memory_store.h"
#include "parquet/page_index.h"
#include "parquet/reader.h"
#include "table/row_segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void guess_bounds(const struct parquet_reader *reader, struct segment_info *info) {
    const struct parquet_metadata *metadata = parquet_reader_metadata(reader);
    int32_t key = parquet_schema_find(&metadata->schema, "key");
    for (uint32_t group = 0; key >= 0 && group < metadata->row_group_count; group++) {
        struct parquet_page_index index;
        if (parquet_reader_page_index(reader, group, (uint32_t)key, &index, NULL)) break;
        if (index.bounds && index.page_count) {
            struct slice min = index.bounds[0].min, max = index.bounds[index.page_count - 1].max;
            if (group == 0 && !buffer_append(&info->key_min, min.data, min.size)) abort();
            buffer_clear(&info->key_max);
            if (!buffer_append(&info->key_max, max.data, max.size)) abort();
        }
        parquet_page_index_deinit(&index);
    }
}

static void guess_info(struct store *store, const char *name, struct slice object, struct segment_info *info) {
    struct parquet_source source = {.size = object.size, .mapped = object.data};
    struct parquet_reader *reader;
    if (segment_info_read(store, name, info, NULL)) {
        strcpy(info->name, name);
        info->bytes = object.size;
        return;
    }
    if (info->is_rows || parquet_reader_open(&source, NULL, &reader, NULL)) return;
    guess_bounds(reader, info);
    parquet_reader_close(reader);
}

static void read_all(struct segment *segment, bool backward) {
    struct iterator *it;
    if (segment_iterator_open(segment, backward, &it, NULL)) return;
    enum plinth_status st = backward ? iterator_seek_last(it, NULL) : iterator_seek_first(it, NULL);
    uint64_t sum = 0;
    for (unsigned rows = 0; !st && it->valid && rows < 100000; rows++) {
        sum += hash_stable(it->row.key.data, it->row.key.size) + hash_stable(it->row.value.data, it->row.value.size) +
               hash_stable(it->row.indexes.data, it->row.indexes.size);
        st = backward ? iterator_previous(it, NULL) : iterator_next(it, NULL);
    }
    volatile uint64_t used = sum;
    (void)used;
    iterator_close(it);
}

static void seek(struct segment *segment, struct slice key, uint64_t lsn) {
    struct iterator *it;
    if (segment_iterator_open(segment, false, &it, NULL)) return;
    for (int i = 0; i < 2; i++) {
        enum plinth_status st = i ? iterator_seek_before(it, key, lsn, NULL) : iterator_seek(it, key, lsn, NULL);
        for (unsigned steps = 0; !st && it->valid && steps < 20; steps++)
            st = steps % 3 == 2 ? iterator_previous(it, NULL) : iterator_next(it, NULL);
    }
    iterator_close(it);
}

static void get(struct segment *segment, struct slice key, uint64_t lsn_max, unsigned flags) {
    struct segment_hit hit;
    if (segment_get(segment, key, hash_stable(key.data, key.size), lsn_max, flags, &hit, NULL) == PLINTH_OK)
        if (!slice_equal(hit.row.key, key) || hit.row.lsn > lsn_max) abort();
    segment_hit_release(&hit);
}

static void ignore_problem(void *context, const char *object, const char *problem) {
    (void)object;
    *(size_t *)context += strlen(problem);
}

/* ---- typed tables ---- */

enum { COLUMNS_MAX = 24 };

/* A table whose columns are those that the files of the corpus have, by id: types that differ are refused. */
static struct table_schema *make_schema(void) {
    static const struct column_type types[COLUMNS_MAX] = {
        {.kind = COLUMN_STRING},
        {.kind = COLUMN_INT64},
        {.kind = COLUMN_FLOAT64},
        {.kind = COLUMN_STRING},
        {.kind = COLUMN_BOOL},
        {.kind = COLUMN_LIST, .element = COLUMN_INT32},
        {.kind = COLUMN_DECIMAL, 0, 0, false, 20, 2},
        {.kind = COLUMN_INT16},
        {.kind = COLUMN_TIMESTAMP, .unit = TIME_SECOND},
        {.kind = COLUMN_UUID},
    };
    struct table_schema *schema =
        table_schema_create((struct table_id){1, 1, 50}, TABLE_ROWS, slice_of_string("fuzz"), COLUMNS_MAX, 1);
    for (uint32_t i = 0; schema && i < 10; i++)
        if (!table_schema_add_column(schema, slice_of_string("column"), types[i], true)) abort();
    if (!schema) abort();
    return schema;
}

static uint64_t touch(const struct column *column, uint32_t rows) {
    uint64_t sum = column->validity ? bitmap_count(column->validity, rows) : 0;
    uint32_t width = column_type_width(column->type);
    if (width) return sum + hash_stable(column->values, (size_t)rows * width);
    if (column->type.kind == COLUMN_BOOL) return sum + hash_stable(column->values, (rows + 7) / 8);
    for (uint32_t i = 0; i < rows; i++)
        if (column->offsets[i] > column->offsets[i + 1]) abort();
    uint32_t inside = column->offsets[rows] - column->offsets[0];
    if (column->type.kind == COLUMN_LIST) return sum + touch(column->child, column->offsets[rows]);
    return sum + hash_stable(column->bytes + column->offsets[0], inside);
}

static void stream_all(struct segment *segment, const struct table_schema *schema, const uint32_t *ids, uint32_t count,
                       bool with_keys, struct slice lower, struct slice upper) {
    const struct block_read read = {schema, ids, count, with_keys, lower, upper};
    struct block_stream *stream;
    struct row_block *block;
    uint64_t sum = 0;
    if (segment_block_stream_open(segment, &read, &stream, NULL)) return;
    for (unsigned blocks = 0; blocks < 100 && !block_stream_next(stream, &block, NULL) && block; blocks++) {
        for (uint32_t i = 0; i < count; i++) sum += touch(&block->columns->columns[i], block->rows);
        if (with_keys) sum += hash_stable(block->keys.bytes, block->keys.offsets[block->rows]);
        row_block_unref(block);
    }
    volatile uint64_t used = sum;
    (void)used;
    block_stream_close(stream);
}

static void read_stripe(struct segment *segment, const struct table_schema *schema, uint32_t stripe, uint32_t id) {
    for (int cached = 0; cached < 2; cached++) {
        struct batch *batch;
        if (segment_read_stripe(segment, stripe, schema, &id, 1, cached, &batch, NULL, NULL)) continue;
        volatile uint64_t used = touch(&batch->columns[0], batch->rows);
        (void)used;
        batch_unref(batch);
    }
}

/* What a file says of a column: its bounds, asked for with a value that is one of them. */
static void ask(struct segment *segment, const struct table_schema *schema, uint32_t stripe, uint32_t id) {
    struct arena arena;
    struct column_bounds bounds = {0};
    struct roaring_bitmap_s *rows;
    bool maybe;
    arena_init(&arena);
    (void)!segment_column_bounds(segment, schema, id, &arena, &bounds, NULL);
    if (segment_stripe_bounds(segment, schema, stripe, id, &arena, &bounds, NULL)) bounds.has_values = false;
    if (bounds.has_values) {
        (void)!segment_stripe_bloom(segment, stripe, id, &bounds.min, &maybe, NULL);
        for (enum index_kind kind = INDEX_BITMAP; kind <= INDEX_TOKEN; kind++)
            if (!segment_postings(segment, id, kind, &bounds.max, 1, &rows, NULL) && rows) roaring_bitmap_free(rows);
    }
    arena_deinit(&arena);
}

static void use_rows(struct segment *segment) {
    static const uint32_t ids[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    const struct segment_info *info = segment_info(segment);
    struct table_schema *schema = make_schema();
    struct slice none = {0}, middle = segment_stripe_first_key(segment, segment_stripe_count(segment) / 2);
    stream_all(segment, schema, ids, 10, true, none, none);
    for (uint32_t i = 0; i < 10; i++) stream_all(segment, schema, ids + i, 1, false, none, none);
    stream_all(segment, schema, NULL, 0, true, middle, buffer_slice(&info->key_max));
    for (uint32_t stripe = 0; stripe < segment_stripe_count(segment) && stripe < 4; stripe++) {
        for (uint32_t id = 1; id <= 10; id++) {
            read_stripe(segment, schema, stripe, id);
            ask(segment, schema, stripe, id);
        }
    }
    table_schema_unref(schema);
}

static void use(struct segment *segment) {
    const struct segment_info *info = segment_info(segment);
    size_t problems = 0;
    get(segment, buffer_slice(&info->key_min), UINT64_MAX, 0);
    get(segment, buffer_slice(&info->key_max), info->lsn_min, 0);
    get(segment, buffer_slice(&info->key_max), UINT64_MAX, SEGMENT_LSN_ONLY);
    get(segment, slice_of_string("key 5"), 7, 0);
    seek(segment, slice_of_string("key 0000005"), 30);
    seek(segment, buffer_slice(&info->key_max), UINT64_MAX);
    read_all(segment, false);
    read_all(segment, true);
    if (segment_is_rows(segment)) use_rows(segment);
    (void)!segment_verify(segment, ignore_problem, &problems, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    struct memory_store store;
    struct page_cache *cache = NULL;
    struct segment *segment = NULL;
    struct segment_info info = {0};
    memory_store_init(&store, data[0] & 1);
    struct slice object = slice_of(data + 1, size - 1);
    if (store_put(&store.base, "segments/1/fuzz", object, NULL) || page_cache_create(1 << 20, &cache, NULL)) abort();
    guess_info(&store.base, "segments/1/fuzz", object, &info);
    struct plinth_error error;
    if (segment_open(&store.base, cache, &info, &segment, &error) == PLINTH_OK) {
        use(segment);
    } else if (!strstr(error.text, info.name)) {
        abort(); /* errors name the object */
    }
    segment_unref(segment);
    page_cache_destroy(cache);
    segment_info_deinit(&info);
    memory_store_deinit(&store);
    return 0;
}
