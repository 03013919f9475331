/* Point reads through include/plinth_parquet.h: rows by their key, of the key and some more columns.
 *
 *     parquet_point FILE KEYS KEY_COLUMN COLUMN...
 *
 * KEYS holds int64 values of KEY_COLUMN, each in exactly one row. Every one is read by itself: stream, batch, values,
 * release. Then a part of them is read again through a function that counts what is read of the column's chunks.
 * Prints p50_us, p99_us, and the page reads a column: the most for one key, and the mean. Driven by bench_parquet.py.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "measure.h"
#include "plinth_parquet.h"

enum { COLUMNS_MAX = 16, WARM_UP = 2000, COUNTED = 2000 };

struct chunk {
    uint64_t begin, end;
    uint32_t column; /* in `columns` */
};

/* A file of which reads are counted. */
struct counted_file {
    int descriptor;
    struct chunk *chunks;
    size_t chunk_count;
    uint32_t reads[COLUMNS_MAX]; /* for the key that is being read */
};

struct point_reads {
    const char *columns[COLUMNS_MAX];
    uint32_t column_count;
    int64_t *keys;
    size_t key_count;
};

static void must(enum plinth_status status, const struct plinth_error *error) {
    if (status) bench_die("%s", error->text);
}

static enum plinth_status read_counted(void *context, uint64_t offset, void *into, size_t size,
                                       struct plinth_error *error) {
    struct counted_file *file = context;
    (void)error;
    for (size_t i = 0; i < file->chunk_count; i++)
        if (offset >= file->chunks[i].begin && offset < file->chunks[i].end) file->reads[file->chunks[i].column]++;
    return pread(file->descriptor, into, size, (off_t)offset) == (ssize_t)size ? PLINTH_OK : PLINTH_IO_ERROR;
}

/* Where the columns' pages lie. */
static void find_chunks(const struct plinth_parquet_file *file, const struct point_reads *reads,
                        struct counted_file *counted) {
    struct plinth_error error;
    struct plinth_parquet_info info;
    plinth_parquet_get_info(file, &info);
    counted->chunks = calloc((size_t)info.row_group_count * reads->column_count, sizeof *counted->chunks);
    if (!counted->chunks) bench_die("out of memory");
    for (uint32_t c = 0; c < info.column_count; c++) {
        struct plinth_parquet_column_info column;
        uint32_t i = 0;
        must(plinth_parquet_get_column(file, c, &column, &error), &error);
        while (i < reads->column_count && strcmp(reads->columns[i], column.path) != 0) i++;
        for (uint32_t g = 0; i < reads->column_count && g < info.row_group_count; g++) {
            struct plinth_parquet_chunk_info chunk;
            must(plinth_parquet_get_chunk(file, g, c, &chunk, &error), &error);
            counted->chunks[counted->chunk_count++] =
                (struct chunk){chunk.offset, chunk.offset + chunk.compressed_bytes, i};
        }
    }
}

/* The row of a key. Its key is compared, all its values are touched. */
static void read_one(const struct plinth_parquet_file *file, const struct point_reads *reads, int64_t key) {
    struct plinth_parquet_bounds bounds = {reads->columns[0], &key, &key, sizeof key, sizeof key};
    struct plinth_parquet_selection selection = {
        .columns = reads->columns, .column_count = reads->column_count, .bounds = &bounds, .bounds_count = 1};
    struct ArrowArrayStream stream;
    struct ArrowArray row;
    struct plinth_error error;
    must(plinth_parquet_read(file, &selection, &stream, &error), &error);
    if (stream.get_next(&stream, &row)) bench_die("%s", stream.get_last_error(&stream));
    if (!row.release || row.length != 1 || row.n_children != (int64_t)reads->column_count)
        bench_die("key %lld has not exactly one row", (long long)key);
    if (((const int64_t *)row.children[0]->buffers[1])[row.children[0]->offset] != key)
        bench_die("key %lld is not that of its row", (long long)key);
    row.release(&row);
    stream.release(&stream);
}

static void time_reads(const char *path, const struct point_reads *reads) {
    struct histogram *latencies = calloc(1, sizeof *latencies);
    struct plinth_parquet_file *file;
    struct plinth_error error;
    if (!latencies) bench_die("out of memory");
    must(plinth_parquet_open(path, NULL, &file, &error), &error);
    for (size_t i = 0; i < WARM_UP; i++) read_one(file, reads, reads->keys[i % reads->key_count]);
    for (size_t i = 0; i < reads->key_count; i++) {
        uint64_t begin = bench_now_ns();
        read_one(file, reads, reads->keys[i]);
        histogram_add(latencies, bench_now_ns() - begin);
    }
    printf("p50_us=%.1f p99_us=%.1f ", (double)histogram_quantile_ns(latencies, 0.5) / 1e3,
           (double)histogram_quantile_ns(latencies, 0.99) / 1e3);
    plinth_parquet_close(file);
    free(latencies);
}

static void count_reads(const char *path, const struct point_reads *reads) {
    struct counted_file counted = {.descriptor = open(path, O_RDONLY | O_CLOEXEC)};
    struct plinth_parquet_file *file;
    struct plinth_error error;
    struct stat about;
    uint32_t most = 0;
    uint64_t sum = 0;
    size_t keys = reads->key_count < COUNTED ? reads->key_count : COUNTED;
    if (counted.descriptor < 0 || fstat(counted.descriptor, &about)) bench_die("%s cannot be opened", path);
    must(plinth_parquet_open_function(read_counted, &counted, (uint64_t)about.st_size, NULL, &file, &error), &error);
    find_chunks(file, reads, &counted);
    for (size_t i = 0; i < keys; i++) {
        memset(counted.reads, 0, sizeof counted.reads);
        read_one(file, reads, reads->keys[i]);
        for (uint32_t c = 0; c < reads->column_count; c++) {
            most = counted.reads[c] > most ? counted.reads[c] : most;
            sum += counted.reads[c];
        }
    }
    printf("page_reads_max=%u page_reads_mean=%.2f\n", most, (double)sum / (double)(keys * reads->column_count));
    plinth_parquet_close(file);
    close(counted.descriptor);
    free(counted.chunks);
}

static void load_keys(const char *path, struct point_reads *reads) {
    FILE *file = fopen(path, "rb");
    struct stat about;
    if (!file || fstat(fileno(file), &about) || about.st_size < (off_t)sizeof(int64_t))
        bench_die("no keys in %s", path);
    reads->key_count = (size_t)about.st_size / sizeof(int64_t);
    reads->keys = calloc(reads->key_count, sizeof(int64_t));
    if (!reads->keys || fread(reads->keys, sizeof(int64_t), reads->key_count, file) != reads->key_count)
        bench_die("%s cannot be read", path);
    fclose(file);
}

int main(int argc, char **argv) {
    struct point_reads reads = {0};
    if (argc < 4 || argc - 3 > COLUMNS_MAX) bench_die("usage: parquet_point FILE KEYS KEY_COLUMN COLUMN...");
    for (int i = 3; i < argc; i++) reads.columns[reads.column_count++] = argv[i];
    load_keys(argv[2], &reads);
    time_reads(argv[1], &reads);
    count_reads(argv[1], &reads);
    free(reads.keys);
    return 0;
}
