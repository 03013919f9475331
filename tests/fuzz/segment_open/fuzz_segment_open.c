/* Arbitrary bytes as a segment's object: opening, reading and verifying it gives rows or a status, never a crash.
 *
 * The first byte says whether the store maps its objects; the rest is the object. What the manifest would say of it is
 * taken from the file where it can be, so that a slightly changed segment gets past the first checks. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "memory_store.h"
#include "parquet/page_index.h"
#include "parquet/reader.h"
#include "table/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t number_of(const struct parquet_metadata *metadata, const char *key) {
    struct slice text;
    uint64_t number = 0;
    if (!parquet_metadata_find(metadata, key, &text)) return 0;
    for (size_t i = 0; i < text.size && text.data[i] >= '0' && text.data[i] <= '9'; i++)
        number = number * 10 + (text.data[i] - '0');
    return number;
}

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

static void guess_info(struct slice object, struct segment_info *info) {
    struct parquet_source source = {.size = object.size, .mapped = object.data};
    struct parquet_reader *reader;
    strcpy(info->name, "segments/1/fuzz");
    info->bytes = object.size;
    if (parquet_reader_open(&source, NULL, &reader, NULL)) return;
    const struct parquet_metadata *metadata = parquet_reader_metadata(reader);
    info->table.tenant = (uint32_t)number_of(metadata, "plinth.tenant");
    info->table.database = (uint32_t)number_of(metadata, "plinth.database");
    info->table.table = (uint32_t)number_of(metadata, "plinth.table");
    info->lsn_min = number_of(metadata, "plinth.lsn_min");
    info->lsn_max = number_of(metadata, "plinth.lsn_max");
    info->deletes = number_of(metadata, "plinth.rows_deleted");
    info->superseded = number_of(metadata, "plinth.rows_superseded");
    info->rows = metadata->row_count;
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
    guess_info(object, &info);
    if (store_put(&store.base, info.name, object, NULL) || page_cache_create(1 << 20, &cache, NULL)) abort();
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
