/* Prints a Parquet file as JSON, for the comparison with other readers:
 *
 *     parquet_dump [--stripes] [--mapped] FILE       metadata, page index, all values
 *     parquet_dump --bloom COLUMN HEX FILE           whether each row group may hold the value
 *
 * Values are the hexadecimal form of their PLAIN encoding (BYTE_ARRAY without its length), nulls are null,
 * lists are arrays of them. Columns in lists of lists are given by slots: [repetition level, definition level, value].
 * --stripes reads the values page by page by the page index instead of scanning. Exit code 1 and a line on standard
 * error when the file cannot be read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory_file.h"
#include "parquet/list_levels.h"

static void print_hex(struct slice bytes) {
    putchar('"');
    for (size_t i = 0; i < bytes.size; i++) printf("%02x", bytes.data[i]);
    putchar('"');
}

static void print_text(const char *text) {
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') putchar('\\');
        if ((unsigned char)*text < 0x20)
            printf("\\u%04x", *text);
        else
            putchar(*text);
    }
    putchar('"');
}

static void print_value(const struct parquet_column *column, const struct parquet_column_data *data, uint64_t row) {
    static const uint8_t truths[2] = {0, 1};
    const uint8_t *values = data->values;
    if (parquet_column_data_is_null(data, row))
        printf("null");
    else if (column->type == PARQUET_TYPE_BYTE_ARRAY)
        print_hex(parquet_column_data_bytes(data, row));
    else if (column->type == PARQUET_TYPE_BOOLEAN)
        print_hex(slice_of(&truths[(values[row >> 3] >> (row & 7)) & 1], 1));
    else
        print_hex(slice_of(values + row * column->width, column->width));
}

static void print_list(const struct parquet_column *column, const struct parquet_list_data *list, uint64_t row) {
    if (list->validity && !((list->validity[row >> 3] >> (row & 7)) & 1)) {
        printf("null");
        return;
    }
    putchar('[');
    for (uint32_t i = list->offsets[row]; i < list->offsets[row + 1]; i++) {
        if (i > list->offsets[row]) putchar(',');
        print_value(column, &list->elements, i);
    }
    putchar(']');
}

static void print_slots(const struct parquet_column *column, const struct parquet_column_data *data, bool *is_first) {
    for (uint64_t i = 0; i < data->slots; i++) {
        printf("%s[%u,%u,", *is_first ? "" : ",", data->repetition_levels[i], data->definition_levels[i]);
        print_value(column, data, i);
        putchar(']');
        *is_first = false;
    }
}

static enum plinth_status print_values(const struct parquet_column *column, const struct parquet_column_data *data,
                                       bool *is_first, struct plinth_error *error) {
    struct parquet_list_buffer lists = {0};
    if (column->repetition_level_max > 1) {
        print_slots(column, data, is_first);
        return PLINTH_OK;
    }
    bool is_list = !parquet_column_is_flat(column);
    enum plinth_status st = is_list ? parquet_list_from_levels(column, data, &lists, error) : PLINTH_OK;
    for (uint64_t i = 0; !st && i < data->rows; i++) {
        if (!*is_first) putchar(',');
        *is_first = false;
        if (is_list)
            print_list(column, &lists.data, i);
        else
            print_value(column, data, i);
    }
    parquet_list_buffer_deinit(&lists);
    return st;
}

static enum plinth_status scan_values(const struct parquet_reader *reader, uint32_t group, uint32_t column,
                                      bool *is_first, struct plinth_error *error) {
    struct parquet_scan *scan;
    struct parquet_column_data data;
    uint64_t rows = 1;
    enum plinth_status st = parquet_scan_create(reader, group, &column, 1, &scan, error);
    while (!st && rows > 0) {
        st = parquet_scan_next(scan, 0, &data, &rows, error);
        if (!st && rows > 0)
            st = print_values(&parquet_reader_metadata(reader)->schema.columns[column], &data, is_first, error);
    }
    parquet_scan_destroy(scan);
    return st;
}

static enum plinth_status stripe_values(const struct parquet_reader *reader, uint32_t group, uint32_t column,
                                        bool *is_first, struct plinth_error *error) {
    struct parquet_page_index index;
    struct parquet_scratch *scratch = NULL;
    struct parquet_column_buffer page = {0};
    enum plinth_status st = parquet_reader_page_index(reader, group, column, &index, error);
    if (st == PLINTH_NOT_FOUND) return scan_values(reader, group, column, is_first, error);
    if (!st) st = parquet_scratch_create(&scratch, error);
    for (uint32_t i = 0; !st && i < index.page_count; i++) {
        st = parquet_reader_read_page(reader, group, column, &index, i, NULL, scratch, &page, error);
        if (!st)
            st = print_values(&parquet_reader_metadata(reader)->schema.columns[column], &page.data, is_first, error);
    }
    parquet_scratch_destroy(scratch);
    parquet_column_buffer_deinit(&page);
    parquet_page_index_deinit(&index);
    return st;
}

static enum plinth_status print_column(const struct parquet_reader *reader, uint32_t c, bool by_stripes,
                                       struct plinth_error *error) {
    const struct parquet_metadata *metadata = parquet_reader_metadata(reader);
    const struct parquet_column *column = &metadata->schema.columns[c];
    bool is_first = true;
    enum plinth_status st = PLINTH_OK;
    printf("%s{\"path\":", c ? ",\n" : "");
    print_text(column->path);
    printf(",\"type\":\"%s\",\"logical\":%d,\"definition\":%u,\"repetition\":%u", parquet_type_name(column->type),
           (int)column->logical.kind, column->definition_level_max, column->repetition_level_max);
    printf(",\"%s\":[", column->repetition_level_max > 1 ? "slots" : "values");
    for (uint32_t g = 0; !st && g < metadata->row_group_count; g++)
        st = by_stripes ? stripe_values(reader, g, c, &is_first, error) : scan_values(reader, g, c, &is_first, error);
    printf("]}");
    return st;
}

static void print_bounds(bool has_min, struct slice min, bool has_max, struct slice max) {
    printf("\"min\":");
    has_min ? print_hex(min) : (void)printf("null");
    printf(",\"max\":");
    has_max ? print_hex(max) : (void)printf("null");
}

static enum plinth_status print_pages(const struct parquet_reader *reader, uint32_t group, uint32_t column,
                                      struct plinth_error *error) {
    struct parquet_page_index index;
    enum plinth_status st = parquet_reader_page_index(reader, group, column, &index, error);
    if (st == PLINTH_NOT_FOUND) return PLINTH_OK;
    if (st) return st;
    printf(",\"pages\":[");
    for (uint32_t i = 0; i < index.page_count; i++) {
        const struct parquet_page_location *location = &index.locations[i];
        printf("%s{\"offset\":%llu,\"bytes\":%u,\"first_row\":%llu,\"rows\":%llu", i ? "," : "",
               (unsigned long long)location->offset, location->bytes, (unsigned long long)location->first_row,
               (unsigned long long)location->row_count);
        if (index.bounds) {
            const struct parquet_page_bounds *bounds = &index.bounds[i];
            printf(",\"null_page\":%s,", bounds->is_null_page ? "true" : "false");
            print_bounds(!bounds->is_null_page, bounds->min, !bounds->is_null_page, bounds->max);
            if (index.has_null_counts) printf(",\"nulls\":%llu", (unsigned long long)bounds->null_count);
        }
        printf("}");
    }
    printf("],\"order\":%d", (int)index.order);
    parquet_page_index_deinit(&index);
    return PLINTH_OK;
}

static enum plinth_status print_row_group(const struct parquet_reader *reader, uint32_t g, struct plinth_error *error) {
    const struct parquet_metadata *metadata = parquet_reader_metadata(reader);
    const struct parquet_row_group *group = &metadata->row_groups[g];
    enum plinth_status st = PLINTH_OK;
    printf("%s{\"rows\":%llu,\"columns\":[", g ? ",\n" : "", (unsigned long long)group->row_count);
    for (uint32_t c = 0; !st && c < metadata->schema.column_count; c++) {
        const struct parquet_statistics *statistics = &group->columns[c].statistics;
        printf("%s{\"codec\":\"%s\",\"encodings\":%u,\"nulls\":%lld,", c ? "," : "",
               parquet_codec_name(group->columns[c].codec), group->columns[c].encodings,
               statistics->has_null_count ? (long long)statistics->null_count : -1);
        print_bounds(statistics->has_min, statistics->min, statistics->has_max, statistics->max);
        st = print_pages(reader, g, c, error);
        printf("}");
    }
    printf("]}");
    return st;
}

static enum plinth_status print_file(const struct parquet_reader *reader, bool by_stripes, struct plinth_error *error) {
    const struct parquet_metadata *metadata = parquet_reader_metadata(reader);
    enum plinth_status st = PLINTH_OK;
    printf("{\"rows\":%llu,\"row_groups\":[", (unsigned long long)metadata->row_count);
    for (uint32_t g = 0; !st && g < metadata->row_group_count; g++) st = print_row_group(reader, g, error);
    printf("],\"columns\":[");
    for (uint32_t c = 0; !st && c < metadata->schema.column_count; c++) st = print_column(reader, c, by_stripes, error);
    printf("]}\n");
    return st;
}

static enum plinth_status print_bloom(const struct parquet_reader *reader, const char *name, const char *hex,
                                      struct plinth_error *error) {
    const struct parquet_metadata *metadata = parquet_reader_metadata(reader);
    uint8_t value[256];
    size_t size = 0;
    int32_t column = parquet_schema_find(&metadata->schema, name);
    if (column < 0) return PLINTH_NOT_FOUND;
    for (unsigned byte; size < sizeof value && sscanf(hex + 2 * size, "%2x", &byte) == 1; size++)
        value[size] = (uint8_t)byte;
    printf("[");
    for (uint32_t g = 0; g < metadata->row_group_count; g++) {
        bool maybe;
        bool has_filter = metadata->row_groups[g].columns[column].bloom_offset > 0;
        enum plinth_status st =
            parquet_reader_bloom_check(reader, g, (uint32_t)column, slice_of(value, size), &maybe, error);
        if (st) return st;
        printf("%s%s", g ? "," : "", !has_filter ? "null" : maybe ? "true" : "false");
    }
    printf("]\n");
    return PLINTH_OK;
}

static bool load(const char *path, struct buffer *bytes) {
    FILE *file = fopen(path, "rb");
    size_t got = 1;
    while (file && got > 0 && buffer_reserve(bytes, 1 << 16)) {
        got = fread(bytes->data + bytes->size, 1, 1 << 16, file);
        bytes->size += got;
    }
    if (!file) return false;
    fclose(file);
    return true;
}

int main(int argc, char **argv) {
    struct memory_file file;
    struct parquet_reader *reader = NULL;
    struct plinth_error error = {0};
    bool by_stripes = false, is_mapped = false;
    const char *bloom_column = NULL, *bloom_value = NULL, *path = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--stripes") == 0) {
            by_stripes = true;
        } else if (strcmp(argv[i], "--mapped") == 0) {
            is_mapped = true;
        } else if (strcmp(argv[i], "--bloom") == 0 && i + 2 < argc) {
            bloom_column = argv[++i];
            bloom_value = argv[++i];
        } else {
            path = argv[i];
        }
    }
    memory_file_init(&file);
    if (!path || !load(path, &file.bytes)) {
        fprintf(stderr, "usage: parquet_dump [--stripes] [--mapped] [--bloom COLUMN HEX] FILE\n");
        return 2;
    }
    enum plinth_status st = parquet_reader_open(memory_file_source(&file, is_mapped), NULL, &reader, &error);
    if (!st)
        st = bloom_column ? print_bloom(reader, bloom_column, bloom_value, &error)
                          : print_file(reader, by_stripes, &error);
    if (st) fprintf(stderr, "%s: %s: %s\n", path, plinth_status_name(st), error.text);
    parquet_reader_close(reader);
    memory_file_deinit(&file);
    return st ? 1 : 0;
}
