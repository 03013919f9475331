/* segment_convert [options] IN DIRECTORY NAME: makes a segment of a typed table out of an Arrow stream or file of one
 * batch: the object NAME in the store at DIRECTORY. Then opens it, verifies it, and prints what it is.
 *
 *   --key A,B          the primary key's columns (their rows are sorted, of equal keys the last one is kept)
 *   --codec C          lz4 (the default), zstd, none
 *   --page-rows N      rows a stripe
 *   --lsn N            of all rows (1)
 *   --delete           the rows are deletes; the input has the key only
 *   --bloom, --bitmap, --token COLUMN
 *   --time             also prints seconds for writing and scanning
 *
 * Program of tests/integration/test_row_segment_files.py. A failure prints the status and the text and exits with 1. */
#include <stdio.h>
#include <stdlib.h>

#include "base/env.h"
#include "column/arrow_ipc.h"
#include "store/local_store.h"
#include "table/row_segment.h"

enum { BLOCK_ROWS = 1 << 18 };

struct conversion {
    char *key;
    enum segment_codec codec;
    uint32_t page_rows;
    uint64_t lsn;
    bool is_timed, is_delete;
    const char *in_path, *directory, *name;
    const char *index_columns[TABLE_INDEXES_MAX];
    enum index_kind index_kinds[TABLE_INDEXES_MAX];
    uint32_t index_count;
    struct store *store;
    struct table_schema *schema;
    uint32_t *ids;
    double write_s, scan_s, keys_s;
};

static void die(const char *what) {
    fprintf(stderr, "segment_convert: %s\n", what);
    exit(2);
}

static bool parse_option(struct conversion *to, const char *option, char *value) {
    if (!strcmp(option, "--key")) {
        to->key = value;
    } else if (!strcmp(option, "--codec")) {
        to->codec = !strcmp(value, "zstd") ? SEGMENT_ZSTD : !strcmp(value, "none") ? SEGMENT_UNCOMPRESSED : SEGMENT_LZ4;
    } else if (!strcmp(option, "--lsn")) {
        to->lsn = strtoull(value, NULL, 10);
    } else if (!strcmp(option, "--page-rows")) {
        to->page_rows = (uint32_t)strtoul(value, NULL, 10);
    } else {
        enum index_kind kind = !strcmp(option, "--bloom")    ? INDEX_BLOOM
                               : !strcmp(option, "--bitmap") ? INDEX_BITMAP
                               : !strcmp(option, "--token")  ? INDEX_TOKEN
                                                             : 0;
        if (!kind || to->index_count == TABLE_INDEXES_MAX) return false;
        to->index_kinds[to->index_count] = kind;
        to->index_columns[to->index_count++] = value;
    }
    return true;
}

static void parse(struct conversion *to, int argc, char **argv) {
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (!strcmp(argv[i], "--time")) {
            to->is_timed = true;
        } else if (!strcmp(argv[i], "--delete")) {
            to->is_delete = true;
        } else if (i + 1 == argc || !parse_option(to, argv[i], argv[i + 1])) {
            die("usage: segment_convert [options] IN DIRECTORY NAME (see the source)");
        } else {
            i++;
        }
    }
    if (argc - i != 3) die("usage: segment_convert [options] IN DIRECTORY NAME (see the source)");
    to->in_path = argv[i];
    to->directory = argv[i + 1];
    to->name = argv[i + 2];
}

static uint8_t *read_whole(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file) die("cannot open the input");
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*size + 1);
    if (!bytes || fread(bytes, 1, *size, file) != *size) die("cannot read the input");
    fclose(file);
    return bytes;
}

static double seconds(void) { return (double)env_monotonic_ns(env_posix()) / 1e9; }

static uint32_t column_id(const struct table_schema *schema, const char *name) {
    int32_t column = table_schema_find(schema, slice_of_string(name));
    if (column < 0) die("no such column");
    return schema->columns[column].id;
}

static void make_schema(struct conversion *to, const struct arrow_schema *fields) {
    struct table_id id = {1, 1, 100};
    to->schema =
        table_schema_create(id, TABLE_ROWS, slice_of_string("converted"), fields->field_count, to->index_count);
    to->ids = calloc(fields->field_count + (size_t)1, sizeof *to->ids);
    if (!to->schema || !to->ids) die("out of memory");
    for (uint32_t i = 0; i < fields->field_count; i++) {
        const struct arrow_field *field = &fields->fields[i];
        to->ids[i] = i + 1;
        if (!table_schema_add_column(to->schema, slice_of_string(field->name), field->type, field->nullable))
            die("out of memory");
    }
    for (char *part = to->key ? strtok(to->key, ",") : NULL; part; part = strtok(NULL, ","))
        to->schema->key[to->schema->key_count++] = column_id(to->schema, part);
    for (uint32_t i = 0; i < to->index_count; i++) {
        struct table_index index = {
            .id = {1, 1, 200 + i}, .kind = to->index_kinds[i], .state = INDEX_READY, .column_count = 1};
        index.columns[0] = column_id(to->schema, to->index_columns[i]);
        if (!table_schema_add_index(to->schema, &index, slice_of_string("index"))) die("out of memory");
    }
    to->schema->page_rows = to->page_rows;
}

/* By key, the last of each. */
static struct batch *sort_rows(const struct conversion *to, struct batch *batch) {
    const struct column *parts[ROW_KEY_PARTS_MAX];
    struct arena arena;
    struct row_keys keys;
    uint32_t *order = malloc((batch->rows + (size_t)1) * sizeof *order), count = 0;
    if (!to->schema->key_count) {
        free(order);
        return batch_ref(batch);
    }
    arena_init(&arena);
    for (uint32_t i = 0; i < to->schema->key_count; i++) parts[i] = &batch->columns[to->schema->key[i] - 1];
    if (!order || !row_keys_encode(&arena, parts, to->schema->key_count, ROW_KEY_PRIMARY, batch->rows, &keys) ||
        !row_keys_sort(&keys, batch->rows, order, NULL))
        die("out of memory");
    for (uint32_t i = 0; i < batch->rows; i++) {
        bool is_last =
            i + 1 == batch->rows || !slice_equal(row_keys_at(&keys, order[i]), row_keys_at(&keys, order[i + 1]));
        if (is_last) order[count++] = order[i];
    }
    struct batch *sorted = batch_gather(batch, order, count);
    if (!sorted) die("out of memory");
    free(order);
    arena_deinit(&arena);
    return sorted;
}

static enum plinth_status write_rows(struct conversion *to, struct batch *batch, struct segment_info *info,
                                     struct plinth_error *error) {
    const struct row_segment_options options = {.schema = to->schema, .job = 1, .codec = to->codec};
    const enum row_operation operation = to->is_delete ? ROW_DELETE : ROW_SET;
    struct row_segment_writer *writer;
    struct batch *sorted = sort_rows(to, batch);
    enum plinth_status st = row_segment_writer_open(to->store, to->name, &options, &writer, error);
    for (uint32_t first = 0, count; !st && first < sorted->rows; first += count) {
        count = sorted->rows - first < BLOCK_ROWS ? sorted->rows - first : BLOCK_ROWS;
        struct batch *slice = batch_slice(sorted, first, count);
        struct row_block *block = slice ? row_block_create(to->schema, slice, to->ids, operation) : NULL;
        if (!block || !row_block_set_lsn(block, to->lsn, first)) die("out of memory");
        double begin = seconds();
        st = row_segment_writer_add(writer, block, 0, count, error);
        to->write_s += seconds() - begin;
        row_block_unref(block);
        batch_unref(slice);
    }
    double begin = seconds();
    if (!st) st = row_segment_writer_commit(writer, info, error);
    to->write_s += seconds() - begin;
    batch_unref(sorted);
    return st;
}

static enum plinth_status scan(const struct conversion *to, struct segment *segment, bool with_keys, double *taken,
                               struct plinth_error *error) {
    const struct block_read read = {.schema = to->schema,
                                    .column_ids = to->ids,
                                    .column_count = with_keys ? 0 : to->schema->column_count,
                                    .with_keys = with_keys};
    double begin = seconds();
    struct block_stream *stream;
    struct row_block *block = NULL;
    uint64_t rows = 0;
    enum plinth_status st = segment_block_stream_open(segment, &read, &stream, error);
    while (!st) {
        st = block_stream_next(stream, &block, error);
        if (st || !block) break;
        rows += block->rows;
        row_block_unref(block);
    }
    block_stream_close(stream);
    *taken = seconds() - begin;
    if (!st && rows != segment_info(segment)->rows) die("the scan gave another number of rows");
    return st;
}

static void print_problem(void *context, const char *object, const char *problem) {
    *(bool *)context = true;
    fprintf(stderr, "%s: %s\n", object, problem);
}

static enum plinth_status check(struct conversion *to, const struct segment_info *info, struct plinth_error *error) {
    struct page_cache *cache;
    struct segment *segment;
    bool has_problems = false;
    enum plinth_status st = page_cache_create(16 << 20, &cache, error);
    if (!st) st = segment_open(to->store, cache, info, &segment, error);
    if (st) return st;
    st = segment_verify(segment, print_problem, &has_problems, error);
    if (!st && has_problems) die("the segment has problems");
    if (!st) st = scan(to, segment, false, &to->scan_s, error);
    if (!st) st = scan(to, segment, true, &to->keys_s, error);
    segment_unref(segment);
    page_cache_destroy(cache);
    return st;
}

static enum plinth_status convert(void *context, const struct arrow_schema *fields, struct batch *batch,
                                  struct plinth_error *error) {
    struct conversion *to = context;
    struct segment_info info;
    if (to->schema) die("the input has more than one batch");
    make_schema(to, fields);
    enum plinth_status st = write_rows(to, batch, &info, error);
    if (!st) st = check(to, &info, error);
    if (!st) {
        printf("rows=%llu bytes=%llu", (unsigned long long)info.rows, (unsigned long long)info.bytes);
        if (to->is_timed) printf(" write_s=%.3f scan_s=%.3f keys_s=%.3f", to->write_s, to->scan_s, to->keys_s);
        printf("\n");
    }
    segment_info_deinit(&info);
    return st;
}

int main(int argc, char **argv) {
    struct conversion conversion = {.codec = SEGMENT_LZ4, .lsn = 1};
    struct plinth_error error = {0};
    size_t size;
    parse(&conversion, argc, argv);
    uint8_t *bytes = read_whole(conversion.in_path, &size);
    const struct local_store_options options = {.map = true};
    enum plinth_status st = local_store_open(env_posix(), conversion.directory, &options, &conversion.store, &error);
    if (!st) st = arrow_read_all(slice_of(bytes, size), NULL, convert, &conversion, &error);
    if (st) fprintf(stderr, "%s: %s\n", plinth_status_name(st), error.text);
    if (conversion.store) store_close(conversion.store);
    table_schema_unref(conversion.schema);
    free(conversion.ids);
    free(bytes);
    return st ? 1 : 0;
}
