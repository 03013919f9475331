/* The manifest entry of an object that has no manifest: from its metadata. */
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "table/segment_private.h"

bool segment_parse_number(struct slice text, uint64_t *number) {
    uint64_t sum = 0;
    if (text.size == 0 || text.size > 20) return false;
    for (size_t i = 0; i < text.size; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';
        if (digit > 9 || sum > (UINT64_MAX - digit) / 10) return false;
        sum = sum * 10 + digit;
    }
    *number = sum;
    return true;
}

static bool kind_is(const struct parquet_metadata *metadata, const char *wanted) {
    struct slice kind;
    return parquet_metadata_find(metadata, SEGMENT_META_KIND, &kind) && slice_equal(kind, slice_of_string(wanted));
}

bool segment_info_kind_is_rows(const struct parquet_metadata *metadata) { return kind_is(metadata, SEGMENT_KIND_ROWS); }

bool segment_info_kind_is_entries(const struct parquet_metadata *metadata) {
    return kind_is(metadata, SEGMENT_KIND_INDEX);
}

enum plinth_status segment_info_partition(const struct parquet_metadata *metadata, struct segment_info *info,
                                          struct plinth_error *error) {
    struct slice text;
    uint64_t number;
    if (!parquet_metadata_find(metadata, SEGMENT_META_PARTITION, &text)) return PLINTH_OK;
    bool is_negative = text.size && text.data[0] == '-';
    if (is_negative) text = slice_of(text.data + 1, text.size - 1);
    if (!segment_parse_number(text, &number) || number > (uint64_t)INT64_MAX + is_negative)
        return error_set(error, PLINTH_CORRUPT, "metadata %s is not a number", SEGMENT_META_PARTITION);
    info->has_partition = true;
    info->partition = (int64_t)(is_negative ? 0 - number : number);
    return PLINTH_OK;
}

static enum plinth_status read_numbers(const struct parquet_metadata *metadata, struct segment_info *info,
                                       struct plinth_error *error) {
    uint64_t tenant = 0, database = 0, table = 0;
    const struct {
        const char *key;
        uint64_t *number;
    } numbers[] = {
        {SEGMENT_META_TENANT, &tenant},
        {SEGMENT_META_DATABASE, &database},
        {SEGMENT_META_TABLE, &table},
        {SEGMENT_META_LSN_MIN, &info->lsn_min},
        {SEGMENT_META_LSN_MAX, &info->lsn_max},
        {SEGMENT_META_DELETES, &info->deletes},
        {SEGMENT_META_SUPERSEDED, &info->superseded},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct slice text;
        if (!parquet_metadata_find(metadata, numbers[i].key, &text) || !segment_parse_number(text, numbers[i].number))
            return error_set(error, PLINTH_CORRUPT, "not a segment: metadata %s is missing or not a number",
                             numbers[i].key);
    }
    info->table = (struct table_id){(uint32_t)tenant, (uint32_t)database, (uint32_t)table};
    info->rows = metadata->row_count;
    info->is_rows = segment_info_kind_is_rows(metadata);
    return segment_info_partition(metadata, info, error);
}

/* An object as the Parquet reader sees it. */
struct object_source {
    struct parquet_source base;
    struct store_object *object;
};

static enum plinth_status read_object(struct parquet_source *source, uint64_t offset, void *into, size_t size,
                                      struct plinth_error *error) {
    return object_read_at(((struct object_source *)source)->object, offset, into, size, error);
}

enum plinth_status segment_info_read(struct store *store, const char *name, struct segment_info *info,
                                     struct plinth_error *error) {
    *info = (struct segment_info){0};
    struct object_source source = {0};
    struct parquet_reader *reader = NULL;
    int length = snprintf(info->name, sizeof info->name, "%s", name);
    if (length < 0 || (size_t)length >= sizeof info->name)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "segment name %.100s is too long", name);
    enum plinth_status st = store_open(store, name, &source.object, error);
    if (st) return st;
    source.base = (struct parquet_source){source.object->size, source.object->mapped, read_object};
    info->bytes = source.object->size;
    st = parquet_reader_open(&source.base, NULL, &reader, error);
    if (!st) st = read_numbers(parquet_reader_metadata(reader), info, error);
    if (st && error) (void)error_prefix(error, "segment %s", name);
    parquet_reader_close(reader);
    object_close(source.object);
    if (st) segment_info_deinit(info);
    return st;
}
